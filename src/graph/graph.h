// graph/graph.h: a network as pure data: values and nodes.  Paddings are explicit on four sides ("same" is resolved
// while building), shapes are per image.  No execution here.
#pragma once

#include "tensor/tensor.h"

enum op {
#define OP(id, text, n_min, n_max) OP_##id,
#include "graph/ops.def"
#undef OP
    OP_COUNT
};

struct conv_attr { int oc, kh, kw, stride_h, stride_w, top, left, bottom, right, groups; bool bias; };
// running = (1 - momentum) * running + momentum * batch; `unscaled`: gamma is 1 for good (Keras's scale=False).
struct bn_attr { float epsilon; float momentum; bool unbiased, unscaled; };
struct pool_attr {
    int kh, kw, stride_h, stride_w, top, left, bottom, right;
    bool count_padding;
}; // ceil mode resolved
struct adaptive_attr { int oh, ow; };
struct dense_attr { int units; bool bias; };
struct dropout_attr { float rate; bool whole; }; // whole: all of a picture's map or nothing of it
struct lrn_attr {
    int size;
    float alpha, beta, k;
}; // y = x / (k + alpha / size * sum of x^2 over `size` channels)^beta

enum { MAX_INPUTS = 8, MAX_PARAMS = 4, MAX_OUTPUTS = 4, LRN_MOST = 17 };
struct node {
    enum op op;
    int in[MAX_INPUTS], n_in, out;   // value indices
    int param[MAX_PARAMS], n_params; // parameter indices: conv, dense: weight[, bias]; bn: gamma, beta, mean,
                                     // variance; scale: gamma, beta
    union { struct conv_attr conv; struct bn_attr bn; struct pool_attr pool; struct adaptive_attr adaptive;
            struct dense_attr dense; struct dropout_attr dropout; struct lrn_attr lrn; } attr;
    bool trains;                     // set by graph_freeze
    bool for_loss, for_prediction;   // leads to an output of weight above 0; to one that predicts, or the main head
    int row; // row of `models NET --layers` (conv or dense with its BatchNorm and scale); -1: none
};
struct value { int c, h, w, producer; bool flat; }; // flat: (c) after dense
// Logits.  loss = sum of weight * cross-entropy; prediction = mean of the softmaxes of those that predict.
struct graph_output { int value; float weight; bool predicts; };
// `constant`: the gamma of an unscaled BatchNorm, 1 for good: it never trains, counts as no parameter, and foreign
// files have no such tensor.
struct graph_param { char *name; struct shape shape; int node; bool running, constant, trains; };
struct graph {
    struct node *nodes; int n_nodes; size_t node_capacity;
    struct value *values; int n_values; size_t value_capacity; // value 0 is the input
    struct graph_param *params; int n_params; size_t param_capacity;
    int output;                      // logits (main head)
    struct graph_output outputs[MAX_OUTPUTS]; int n_outputs; // the auxiliary heads as built, then the main head
    int n_rows;
    graft_status status;             // sticky: the first failure of a builder call
    char message[256];
};
void graph_init(struct graph *g, int c, int h, int w);
void graph_fini(struct graph *g);
// Builders return the new value.  `name` is the canonical prefix: weight = name.weight, bias = name.bias, BatchNorm
// also name.running_mean, name.running_var.  Failures are sticky in g->status (graph_finish reports them).
int graph_conv(struct graph *g, int src, const char *name, struct conv_attr attr);
int graph_bn(struct graph *g, int src, const char *name, struct bn_attr attr);
int graph_scale(struct graph *g, int src, const char *name); // y = weight x + bias per channel
int graph_lrn(struct graph *g, int src, struct lrn_attr attr);
int graph_relu(struct graph *g, int src);
int graph_relu6(struct graph *g, int src);
int graph_maxpool(struct graph *g, int src, struct pool_attr attr);
int graph_avgpool(struct graph *g, int src, struct pool_attr attr);
int graph_adaptive_avgpool(struct graph *g, int src, int oh, int ow);
int graph_global_avgpool(struct graph *g, int src);
int graph_dense(struct graph *g, int src, const char *name, int units, bool bias);
int graph_dropout(struct graph *g, int src, float rate);
int graph_add(struct graph *g, int a, int b);
int graph_concat(struct graph *g, const int *src, int n);
void graph_output(struct graph *g, int value, float weight, bool predicts); // an auxiliary head
graft_status graph_finish(struct graph *g, int output); // the main head: weight 1, predicts
// After graph_finish: weights of the auxiliary heads in order (NULL: as built); `main_only`: none of them predicts.
// After graph_finish: stochastic depth.  Each residual branch is left out for a picture with a probability that grows
// evenly to `rate` at the last one, and scaled up where it stays.  GRAFT_BAD_OPTION where there are none.
graft_status graph_drop_path(struct graph *g, float rate);
void graph_outputs_set(struct graph *g, const float *aux_weights, bool main_only);
struct conv_attr conv_same(const struct graph *g, int src, int oc, int kernel, int stride, int groups,
                           bool bias);                                                     // TF "same"
struct conv_attr conv_pad(int oc, int kernel, int stride, int pad, int groups, bool bias); // symmetric
struct conv_attr conv_odd(int oc, int kh, int kw, int stride, bool same,
                          bool bias); // odd kernel: padding k / 2, or none
struct pool_attr pool_ceil(const struct graph *g, int src, int kernel, int stride, int pad, bool ceil_mode);

enum bn_mode { BN_TRAIN, BN_STATS, BN_FROZEN };
// Marks what trains.  The first `rows` rows are frozen (their BatchNorm too: fixed statistics, fixed gamma, beta), and
// what leads only to outputs of weight 0.
graft_status graph_freeze(struct graph *g, int rows, enum bn_mode bn);
// The part that is frozen from the input on: values that depend on the picture and on nothing that trains or is drawn.
// fixed: by value.  ends: those of them that the rest reads.  Returns their number; 0: there is no such part, or the
// rest reads the picture itself, or more than MAX_ENDS values.
enum { MAX_ENDS = 8 };
int graph_prefix(const struct graph *g, bool *fixed, int ends[MAX_ENDS]);
int graph_head_row(const struct graph *g); // the first row of which all that follow are classifiers
int graph_row_named(const struct graph *g, const char *name); // rows up to and including that layer, -1: none
const char *graph_row_name(const struct graph *g, int row);   // canonical prefix of its weight
double graph_multiply_adds(const struct graph *g);
size_t graph_parameters(const struct graph *g, bool trainable_only); // running statistics and constants excluded
