// graph/graph.c: building a network, node by node, in execution order.
// In: builder calls.  Out: struct graph, whose nodes only read values made before them.
// The first failure stays in g->status and g->message; later calls do nothing, so a network's file needs no checks.
// A builder returns a value that exists even after a failure (0, the input).

#include "graph/graph.h"
#include "base/memory.h"
#include "base/status.h"
#include "graph/shape.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

typedef graft_status shape_of(const struct graph *g, const struct node *node, struct value *out);

static const struct op_row {
    const char *text;
    int n_min, n_max;
    shape_of *shape;
} op_rows[OP_COUNT] = {
#define OP(id, text, n_min, n_max) [OP_##id] = {text, n_min, n_max, shape_##id},
#include "graph/ops.def"
#undef OP
};

// Keeps the first failure with where it happened.  `fail` has been called.
static int failed(struct graph *g, graft_status status, const char *what)
{
    if (g->status == GRAFT_OK) {
        fail_prefix(status, "%s", what);
        g->status = status;
        snprintf(g->message, sizeof g->message, "%s", graft_message());
    }
    return 0;
}

void graph_init(struct graph *g, int c, int h, int w)
{
    *g = (struct graph){.output = -1};
    if (c < 1 || h < 1 || w < 1)
        failed(g, fail(GRAFT_BAD_OPTION, "(%d, %d, %d) is not a picture's shape", c, h, w), "input");
    else if (!mem_grow(&g->values, &g->value_capacity, 1, sizeof *g->values))
        failed(g, fail_memory("a network"), "input");
    else
        g->values[g->n_values++] = (struct value){.c = c, .h = h, .w = w, .producer = -1};
}

void graph_fini(struct graph *g)
{
    for (int i = 0; i < g->n_params; i++)
        mem_free(g->params[i].name);
    mem_free(g->params);
    mem_free(g->values);
    mem_free(g->nodes);
    *g = (struct graph){.output = -1};
}

// Appends a node whose op, inputs and attributes are set; returns its output.  `name` is for messages.
static int node_add(struct graph *g, struct node *node, const char *name)
{
    const struct op_row *row = &op_rows[node->op];
    char what[128];
    if (g->status != GRAFT_OK)
        return 0;
    snprintf(what, sizeof what, "%s%s%s", row->text, name ? " " : "", name ? name : "");
    if (node->n_in < row->n_min || node->n_in > row->n_max)
        return failed(g, fail(GRAFT_FAILED, "%d inputs, expected %d to %d", node->n_in, row->n_min, row->n_max), what);
    for (int i = 0; i < node->n_in; i++)
        ASSERT(node->in[i] >= 0 && node->in[i] < g->n_values);
    struct value value = {0};
    const graft_status status = row->shape(g, node, &value);
    if (status != GRAFT_OK)
        return failed(g, status, what);
    if (!mem_grow(&g->nodes, &g->node_capacity, (size_t)g->n_nodes + 1, sizeof *g->nodes) ||
        !mem_grow(&g->values, &g->value_capacity, (size_t)g->n_values + 1, sizeof *g->values))
        return failed(g, fail_memory("a network"), what);
    value.producer = g->n_nodes;
    node->out = g->n_values;
    node->trains = node->n_params > 0;
    g->nodes[g->n_nodes++] = *node;
    g->values[g->n_values] = value;
    return g->n_values++;
}

// Appends parameter `prefix``suffix` to the node that node_add comes to next.
static void param_add(struct graph *g, struct node *node, const char *prefix, const char *suffix, struct shape shape,
                      bool running)
{
    if (g->status != GRAFT_OK)
        return;
    char *name = mem_format("%s%s", prefix, suffix);
    if (!name || !mem_grow(&g->params, &g->param_capacity, (size_t)g->n_params + 1, sizeof *g->params)) {
        mem_free(name);
        failed(g, fail_memory("a network"), prefix);
        return;
    }
    for (int i = 0; i < g->n_params; i++)
        ASSERT(strcmp(g->params[i].name, name) != 0);
    ASSERT(node->n_params < MAX_PARAMS);
    node->param[node->n_params++] = g->n_params;
    g->params[g->n_params++] = (struct graph_param){
        .name = name, .shape = shape, .node = g->n_nodes, .running = running, .trains = !running};
}

int graph_conv(struct graph *g, int src, const char *name, struct conv_attr attr)
{
    struct node node = {.op = OP_CONV, .in = {src}, .n_in = 1, .attr.conv = attr, .row = g->n_rows};
    if (g->status != GRAFT_OK)
        return 0;
    const int groups = attr.groups > 0 ? attr.groups : 1; // shape_CONV refuses others
    param_add(g, &node, name, ".weight", SHAPE(attr.oc, g->values[src].c / groups, attr.kh, attr.kw), false);
    if (attr.bias)
        param_add(g, &node, name, ".bias", SHAPE(attr.oc), false);
    g->n_rows++;
    return node_add(g, &node, name);
}

int graph_dense(struct graph *g, int src, const char *name, int units, bool bias)
{
    struct node node = {.op = OP_DENSE, .in = {src}, .n_in = 1, .attr.dense = {units, bias}, .row = g->n_rows};
    if (g->status != GRAFT_OK)
        return 0;
    const struct value *v = &g->values[src];
    param_add(g, &node, name, ".weight", SHAPE(units, (int64_t)v->c * v->h * v->w), false);
    if (bias)
        param_add(g, &node, name, ".bias", SHAPE(units), false);
    g->n_rows++;
    return node_add(g, &node, name);
}

// Row of a layer that has none of its own, BatchNorm or scale: that of the layer it follows; where it precedes one
// (DenseNet), the last row before it.
static int row_of(const struct graph *g, int src)
{
    const int producer = g->values[src].producer, above = producer < 0 ? -1 : g->nodes[producer].row;
    return above < 0 ? g->n_rows - 1 : above;
}

int graph_bn(struct graph *g, int src, const char *name, struct bn_attr attr)
{
    if (g->status != GRAFT_OK)
        return 0;
    struct node node = {.op = OP_BN, .in = {src}, .n_in = 1, .attr.bn = attr, .row = row_of(g, src)};
    const struct shape shape = SHAPE(g->values[src].c);
    param_add(g, &node, name, ".weight", shape, false);
    if (g->status == GRAFT_OK && attr.unscaled) {
        g->params[node.param[0]].constant = true;
        g->params[node.param[0]].trains = false;
    }
    param_add(g, &node, name, ".bias", shape, false);
    param_add(g, &node, name, ".running_mean", shape, true);
    param_add(g, &node, name, ".running_var", shape, true);
    return node_add(g, &node, name);
}

int graph_scale(struct graph *g, int src, const char *name)
{
    if (g->status != GRAFT_OK)
        return 0;
    struct node node = {.op = OP_SCALE, .in = {src}, .n_in = 1, .row = row_of(g, src)};
    param_add(g, &node, name, ".weight", SHAPE(g->values[src].c), false);
    param_add(g, &node, name, ".bias", SHAPE(g->values[src].c), false);
    return node_add(g, &node, name);
}

int graph_lrn(struct graph *g, int src, struct lrn_attr attr)
{
    return node_add(g, &(struct node){.op = OP_LRN, .in = {src}, .n_in = 1, .attr.lrn = attr, .row = -1}, NULL);
}

int graph_relu(struct graph *g, int src)
{
    return node_add(g, &(struct node){.op = OP_RELU, .in = {src}, .n_in = 1, .row = -1}, NULL);
}

int graph_relu6(struct graph *g, int src)
{
    return node_add(g, &(struct node){.op = OP_RELU6, .in = {src}, .n_in = 1, .row = -1}, NULL);
}

int graph_maxpool(struct graph *g, int src, struct pool_attr attr)
{
    return node_add(g, &(struct node){.op = OP_MAXPOOL, .in = {src}, .n_in = 1, .attr.pool = attr, .row = -1}, NULL);
}

int graph_avgpool(struct graph *g, int src, struct pool_attr attr)
{
    return node_add(g, &(struct node){.op = OP_AVGPOOL, .in = {src}, .n_in = 1, .attr.pool = attr, .row = -1}, NULL);
}

int graph_adaptive_avgpool(struct graph *g, int src, int oh, int ow)
{
    struct node node = {.op = OP_ADAPTIVE_AVGPOOL, .in = {src}, .n_in = 1, .attr.adaptive = {oh, ow}, .row = -1};
    return node_add(g, &node, NULL);
}

int graph_global_avgpool(struct graph *g, int src) { return graph_adaptive_avgpool(g, src, 1, 1); }

int graph_dropout(struct graph *g, int src, float rate)
{
    return node_add(
        g, &(struct node){.op = OP_DROPOUT, .in = {src}, .n_in = 1, .attr.dropout = {.rate = rate}, .row = -1}, NULL);
}

int graph_add(struct graph *g, int a, int b)
{
    return node_add(g, &(struct node){.op = OP_ADD, .in = {a, b}, .n_in = 2, .row = -1}, NULL);
}

int graph_concat(struct graph *g, const int *src, int n)
{
    struct node node = {.op = OP_CONCAT, .n_in = n, .row = -1};
    ASSERT(n >= 0 && n <= MAX_INPUTS);
    memcpy(node.in, src, (size_t)n * sizeof *src);
    return node_add(g, &node, NULL);
}

void graph_output(struct graph *g, int value, float weight, bool predicts)
{
    if (g->status != GRAFT_OK)
        return;
    ASSERT(g->n_outputs < MAX_OUTPUTS && g->output < 0 && weight >= 0);
    g->outputs[g->n_outputs++] = (struct graph_output){value, weight, predicts};
}

// Marks, from the outputs back, what the loss and what the prediction need.
static void outputs_mark(struct graph *g)
{
    for (int i = 0; i < g->n_nodes; i++)
        g->nodes[i].for_loss = g->nodes[i].for_prediction = false;
    for (int k = 0; k < g->n_outputs; k++) {
        const struct graph_output *o = &g->outputs[k];
        const int producer = g->values[o->value].producer;
        if (producer < 0)
            continue;
        g->nodes[producer].for_loss |= o->weight > 0;
        g->nodes[producer].for_prediction |= o->predicts || o->value == g->output;
    }
    for (int i = g->n_nodes - 1; i >= 0; i--)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            const int producer = g->values[g->nodes[i].in[k]].producer;
            if (producer < 0)
                continue;
            g->nodes[producer].for_loss |= g->nodes[i].for_loss;
            g->nodes[producer].for_prediction |= g->nodes[i].for_prediction;
        }
}

graft_status graph_finish(struct graph *g, int output)
{
    if (g->status != GRAFT_OK)
        return fail(g->status, "%s", g->message);
    ASSERT(output >= 0 && output < g->n_values);
    graph_output(g, output, 1, true);
    g->output = output;
    outputs_mark(g);
    return GRAFT_OK;
}

void graph_outputs_set(struct graph *g, const float *aux_weights, bool main_only)
{
    for (int k = 0; k < g->n_outputs - 1; k++) {
        if (aux_weights != NULL)
            g->outputs[k].weight = aux_weights[k];
        if (main_only)
            g->outputs[k].predicts = false;
    }
    outputs_mark(g);
}

// ---- paddings

// TensorFlow's "same": out = ceil(n / stride), the odd one of the padding at the end.
static void same_axis(int n, int k, int stride, int *before, int *after)
{
    const int out = (n + stride - 1) / stride, total = (out - 1) * stride + k - n;
    *before = total > 0 ? total / 2 : 0;
    *after = total > 0 ? total - total / 2 : 0;
}

struct conv_attr conv_same(const struct graph *g, int src, int oc, int kernel, int stride, int groups, bool bias)
{
    struct conv_attr a = {.oc = oc, .kh = kernel, .kw = kernel, .stride_h = stride, .stride_w = stride,
                          .groups = groups, .bias = bias};
    if (g->status != GRAFT_OK)
        return a;
    same_axis(g->values[src].h, kernel, stride, &a.top, &a.bottom);
    same_axis(g->values[src].w, kernel, stride, &a.left, &a.right);
    return a;
}

struct conv_attr conv_pad(int oc, int kernel, int stride, int pad, int groups, bool bias)
{
    return (struct conv_attr){.oc = oc, .kh = kernel, .kw = kernel, .stride_h = stride, .stride_w = stride, .top = pad,
                              .left = pad, .bottom = pad, .right = pad, .groups = groups, .bias = bias};
}

struct conv_attr conv_odd(int oc, int kh, int kw, int stride, bool same, bool bias)
{
    const int pad_h = same ? kh / 2 : 0, pad_w = same ? kw / 2 : 0;
    return (struct conv_attr){.oc = oc, .kh = kh, .kw = kw, .stride_h = stride, .stride_w = stride, .top = pad_h,
                              .left = pad_w, .bottom = pad_h, .right = pad_w, .groups = 1, .bias = bias};
}

// PyTorch's ceil mode as padding at the end: a last partial window counts unless it starts in the padding there.
static int ceil_after(int n, int k, int stride, int pad, bool ceil_mode)
{
    const int room = n + 2 * pad - k;
    if (!ceil_mode || room % stride == 0 || room + stride - 1 < 0)
        return pad;
    if (room < 0) // the only window is a partial one
        return pad - room;
    const int start = (room / stride + 1) * stride; // of the partial window, from the first padded column
    return start >= n + pad ? pad : start + k - n - pad;
}

struct pool_attr pool_ceil(const struct graph *g, int src, int kernel, int stride, int pad, bool ceil_mode)
{
    struct pool_attr a = {.kh = kernel, .kw = kernel, .stride_h = stride, .stride_w = stride, .top = pad, .left = pad,
                          .bottom = pad, .right = pad};
    if (g->status != GRAFT_OK)
        return a;
    a.bottom = ceil_after(g->values[src].h, kernel, stride, pad, ceil_mode);
    a.right = ceil_after(g->values[src].w, kernel, stride, pad, ceil_mode);
    return a;
}
