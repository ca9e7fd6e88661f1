// weights/keras_layers.c: a network as Keras layers that compute the same.
// In: a graph.  Out: layers with their configurations, in Keras's own order.
// What differs:  Keras is channels-last, so joins are along the last axis and dense kernels behind a map are re-laid
//   (zoo's file_relay); paddings are "valid", "same" (as TensorFlow has it) or a ZeroPadding2D in front;
//   a padded average that counts its padding is zeros in front, one that does not is an even "same";
//   a padded maximum is "same", or zeros in front where no value can be negative; Scale is a depthwise 1x1 convolution;
//   an adaptive pool is a plain one, or its windows cut out (Cropping2D), averaged and joined, an axis after the other.
// Order:  Keras sorts layers by their distance from the output, the farthest first; equals by when a depth-first walk
//   from the output first meets them.  Files list layers in that order, and Keras pairs them by it.

#include "weights/keras_layers.h"
#include "base/memory.h"
#include "weights/windows.h"
#include <stdlib.h>
#include <string.h>

struct maker {
    const struct exported *e;
    const struct graph *g;
    const struct dialect *dialect; // Keras's names; NULL: the network has none
    struct keras_model *model;
    int *layer;     // by value: the layer whose output it is
    bool *flat;     // by value: Keras has it as (batch, channels)
    bool *positive; // by value: none of its numbers is negative
};

// --- layers ----------------------------------------------------------------------------------------------------------

static bool name_taken(const struct keras_model *m, const char *name)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->layers[i].name, name) == 0)
            return true;
    return false;
}

// Appends a layer; `*out` is its index.  Names and configurations are taken over in any case.
static graft_status layer_add(struct maker *k, char *take_name, const char *class_name, json_t *take_config,
                              const int *in, int n_in, int *out)
{
    struct keras_model *m = k->model;
    if (take_name == NULL || take_config == NULL ||
        json_object_set_new(take_config, "name", json_string(take_name)) != 0 ||
        (n_in > 0 && json_object_set_new(take_config, "trainable", json_true()) != 0) ||
        json_object_set_new(take_config, "dtype", json_string("float32")) != 0 ||
        !mem_grow(&m->layers, &m->capacity, (size_t)m->count + 1, sizeof *m->layers)) {
        mem_free(take_name);
        json_decref(take_config);
        return fail_memory("Keras's layers");
    }
    ASSERT(n_in <= LAYER_INPUTS && !name_taken(m, take_name));
    struct keras_layer *layer = &m->layers[m->count];
    *layer = (struct keras_layer){
        .name = take_name, .class_name = class_name, .config = take_config, .n_in = n_in, .node = -1};
    for (int i = 0; i < n_in; i++)
        layer->in[i] = in[i];
    *out = m->count++;
    return GRAFT_OK;
}

// Keras's name where there is one; else the canonical one, "features_0", since PyTorch, as Keras's backend, forbids
// dots; else what the node does and its number.
static char *node_name(const struct maker *k, int node)
{
    static const char *const texts[] = {
#define OP(id, text, n_min, n_max) text,
#include "graph/ops.def"
#undef OP
    };
    char name[256];
    if (k->dialect != NULL && dialect_layer(k->dialect, k->e->network, k->g, node, name, sizeof name) &&
        strchr(name, '/') == NULL)
        return name_taken(k->model, name) ? mem_format("%s_%d", name, node) : mem_text(name);
    if (!node_prefix(k->g, node, name, sizeof name))
        return mem_format("%s_%d", texts[k->g->nodes[node].op], node);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '.' || *c == '/' ? '_' : *c;
    return mem_text(name);
}

// The layer that a node of the graph is; its parameters are the layer's weights.
static graft_status node_layer(struct maker *k, int node, const char *class_name, json_t *take_config, int in)
{
    const struct node *n = &k->g->nodes[node];
    int inputs[MAX_INPUTS], layer;
    for (int i = 0; i < n->n_in; i++)
        inputs[i] = n->n_in == 1 ? in : k->layer[n->in[i]];
    TRY(layer_add(k, node_name(k, node), class_name, take_config, inputs, n->n_in, &layer));
    struct keras_layer *made = &k->model->layers[layer];
    made->node = node;
    for (int i = 0; i < n->n_params; i++)
        if (!k->g->params[n->param[i]].constant)
            made->param[made->n_params++] = n->param[i];
    k->layer[n->out] = layer;
    return GRAFT_OK;
}

static graft_status helper_layer(struct maker *k, int node, const char *suffix, const char *class_name,
                                 json_t *take_config, int in, int *out)
{
    char *base = node_name(k, node);
    char *name = base != NULL ? mem_format("%s_%s", base, suffix) : NULL;
    mem_free(base);
    return layer_add(k, name, class_name, take_config, &in, 1, out);
}

// --- windows ---------------------------------------------------------------------------------------------------------

struct window {
    int n, k, stride, before, after;
}; // one axis
struct windows {
    struct window h, w;
};

static struct windows conv_windows(const struct value *v, const struct conv_attr *a)
{
    return (struct windows){{v->h, a->kh, a->stride_h, a->top, a->bottom},
                            {v->w, a->kw, a->stride_w, a->left, a->right}};
}

static struct windows pool_windows(const struct value *v, const struct pool_attr *a)
{
    return (struct windows){{v->h, a->kh, a->stride_h, a->top, a->bottom},
                            {v->w, a->kw, a->stride_w, a->left, a->right}};
}

static bool axis_is_same(struct window a)
{
    const int out = (a.n + a.stride - 1) / a.stride, total = (out - 1) * a.stride + a.k - a.n;
    return a.before == (total > 0 ? total / 2 : 0) && a.after == (total > 0 ? total - total / 2 : 0);
}

static bool padded(struct windows a) { return a.h.before > 0 || a.h.after > 0 || a.w.before > 0 || a.w.after > 0; }
static bool is_even(struct windows a) { return a.h.before == a.h.after && a.w.before == a.w.after; }
static bool is_same(struct windows a) { return axis_is_same(a.h) && axis_is_same(a.w); }

static graft_status zeros_layer(struct maker *k, int node, struct windows a, int *layer)
{
    return helper_layer(k, node, "pad", "ZeroPadding2D",
                        json_pack("{s:[[i, i], [i, i]], s:s}", "padding", a.h.before, a.h.after, a.w.before, a.w.after,
                                  "data_format", "channels_last"),
                        *layer, layer);
}

// "valid" or "same", after a layer of zeros where neither says it.
static graft_status padding_choose(struct maker *k, int node, struct windows a, bool zeros_only, int *layer,
                                   const char **out)
{
    *out = padded(a) && !zeros_only && is_same(a) ? "same" : "valid";
    return padded(a) && **out == 'v' ? zeros_layer(k, node, a, layer) : GRAFT_OK;
}

// --- operations ------------------------------------------------------------------------------------------------------

static graft_status conv_layer(struct maker *k, int node)
{
    const struct node *n = &k->g->nodes[node];
    const struct conv_attr *a = &n->attr.conv;
    const struct value *v = &k->g->values[n->in[0]];
    int layer = k->layer[n->in[0]];
    const char *padding;
    TRY(padding_choose(k, node, conv_windows(v, a), false, &layer, &padding));
    const bool depthwise = a->groups > 1 && a->groups == v->c;
    json_t *config = json_pack("{s:[i, i], s:[i, i], s:s, s:s, s:[i, i], s:s, s:b}", "kernel_size", a->kh, a->kw,
                               "strides", a->stride_h, a->stride_w, "padding", padding, "data_format", "channels_last",
                               "dilation_rate", 1, 1, "activation", "linear", "use_bias", a->bias);
    if (config != NULL && depthwise)
        json_object_set_new(config, "depth_multiplier", json_integer(a->oc / a->groups));
    else if (config != NULL) {
        json_object_set_new(config, "filters", json_integer(a->oc));
        json_object_set_new(config, "groups", json_integer(a->groups));
    }
    return node_layer(k, node, depthwise ? "DepthwiseConv2D" : "Conv2D", config, layer);
}

static graft_status pool_layer(struct maker *k, int node)
{
    const struct node *n = &k->g->nodes[node];
    const struct pool_attr *a = &n->attr.pool;
    const struct windows windows = pool_windows(&k->g->values[n->in[0]], a);
    const bool largest = n->op == OP_MAXPOOL, counted = !largest && a->count_padding;
    int layer = k->layer[n->in[0]];
    const char *padding;
    // Uneven "same" around an average is right on TensorFlow only: on PyTorch Keras repeats the border instead.
    const bool same = is_same(windows) && (largest || is_even(windows));
    if (padded(windows) && !counted && !same && !(largest && k->positive[n->in[0]]))
        return fail(GRAFT_BAD_FILE,
                    "Keras has no pool padded by %d, %d, %d, %d over %d x %d that leaves the padding out; "
                    "write .onnx or .safetensors",
                    a->top, a->left, a->bottom, a->right, windows.h.n, windows.w.n);
    TRY(padding_choose(k, node, windows, counted, &layer, &padding));
    return node_layer(k, node, largest ? "MaxPooling2D" : "AveragePooling2D",
                      json_pack("{s:[i, i], s:[i, i], s:s, s:s}", "pool_size", a->kh, a->kw, "strides", a->stride_h,
                                a->stride_w, "padding", padding, "data_format", "channels_last"),
                      layer);
}

// Whether nothing but dense layers, through dropouts, reads the value.
static bool only_dense_reads(const struct graph *g, int value)
{
    bool read = false;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == value) {
                read = true;
                if (g->nodes[i].op != OP_DENSE &&
                    !(g->nodes[i].op == OP_DROPOUT && only_dense_reads(g, g->nodes[i].out)))
                    return false;
            }
    return read;
}

static json_t *join_config(int axis) { return json_pack("{s:i}", "axis", axis); }

// One axis of an adaptive pool whose windows differ; `*layer` becomes the layer that joins them.
static graft_status uneven_axis(struct maker *k, int node, bool rows, int in, int out, int *layer)
{
    int parts[LAYER_INPUTS];
    char suffix[32];
    if (out > LAYER_INPUTS)
        return fail(GRAFT_BAD_FILE, "an adaptive pool to %d windows is not written for Keras", out);
    for (int i = 0; i < out; i++) {
        int begin, end, part = *layer;
        adaptive_window(in, out, i, &begin, &end);
        snprintf(suffix, sizeof suffix, "%s_%d_cut", rows ? "row" : "column", i);
        TRY(helper_layer(k, node, suffix, "Cropping2D",
                         json_pack("{s:[[i, i], [i, i]], s:s}", "cropping", rows ? begin : 0, rows ? in - end : 0,
                                   rows ? 0 : begin, rows ? 0 : in - end, "data_format", "channels_last"),
                         part, &part));
        snprintf(suffix, sizeof suffix, "%s_%d", rows ? "row" : "column", i);
        const int kh = rows ? end - begin : 1, kw = rows ? 1 : end - begin;
        TRY(helper_layer(k, node, suffix, "AveragePooling2D",
                         json_pack("{s:[i, i], s:[i, i], s:s, s:s}", "pool_size", kh, kw, "strides", kh, kw, "padding",
                                   "valid", "data_format", "channels_last"),
                         part, &part));
        parts[i] = part;
    }
    if (out == 1)
        return *layer = parts[0], GRAFT_OK;
    char *base = node_name(k, node);
    char *name = base != NULL ? mem_format("%s_%s", base, rows ? "rows" : "columns") : NULL;
    mem_free(base);
    return layer_add(k, name, "Concatenate", join_config(rows ? 1 : 2), parts, out, layer);
}

static graft_status adaptive_layer(struct maker *k, int node)
{
    const struct node *n = &k->g->nodes[node];
    const struct value *v = &k->g->values[n->in[0]];
    const int oh = n->attr.adaptive.oh, ow = n->attr.adaptive.ow;
    int layer = k->layer[n->in[0]], kh, kw, stride_h, stride_w;
    if (oh == 1 && ow == 1) {
        k->flat[n->out] = only_dense_reads(k->g, n->out);
        return node_layer(k, node, "GlobalAveragePooling2D",
                          json_pack("{s:s, s:b}", "data_format", "channels_last", "keepdims", !k->flat[n->out]), layer);
    }
    if (oh == v->h && ow == v->w)
        return k->layer[n->out] = layer, GRAFT_OK;
    if (adaptive_even(v->h, oh, &kh, &stride_h) && adaptive_even(v->w, ow, &kw, &stride_w))
        return node_layer(k, node, "AveragePooling2D",
                          json_pack("{s:[i, i], s:[i, i], s:s, s:s}", "pool_size", kh, kw, "strides", stride_h,
                                    stride_w, "padding", "valid", "data_format", "channels_last"),
                          layer);
    TRY(uneven_axis(k, node, true, v->h, oh, &layer));
    TRY(uneven_axis(k, node, false, v->w, ow, &layer));
    return k->layer[n->out] = layer, GRAFT_OK;
}

static bool predicts(const struct graph *g, int value)
{
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].value == value)
            return g->outputs[i].predicts;
    return false;
}

static graft_status dense_layer(struct maker *k, int node)
{
    const struct node *n = &k->g->nodes[node];
    int layer = k->layer[n->in[0]];
    if (!k->flat[n->in[0]])
        TRY(helper_layer(k, node, "flatten", "Flatten", json_pack("{s:s}", "data_format", "channels_last"), layer,
                         &layer));
    return node_layer(k, node, "Dense",
                      json_pack("{s:i, s:s, s:b}", "units", n->attr.dense.units, "activation",
                                predicts(k->g, n->out) ? "softmax" : "linear", "use_bias", n->attr.dense.bias),
                      layer);
}

static graft_status scale_layer(struct maker *k, int node)
{
    return node_layer(k, node, "DepthwiseConv2D",
                      json_pack("{s:[i, i], s:[i, i], s:s, s:s, s:[i, i], s:s, s:b, s:i}", "kernel_size", 1, 1,
                                "strides", 1, 1, "padding", "valid", "data_format", "channels_last", "dilation_rate", 1,
                                1, "activation", "linear", "use_bias", 1, "depth_multiplier", 1),
                      k->layer[k->g->nodes[node].in[0]]);
}

static graft_status node_put(struct maker *k, int node)
{
    const struct node *n = &k->g->nodes[node];
    const int in = k->layer[n->in[0]];
    k->flat[n->out] = k->flat[n->in[0]];
    k->positive[n->out] = true;
    for (int i = 0; i < n->n_in; i++)
        k->positive[n->out] &= k->positive[n->in[i]];
    switch (n->op) {
    case OP_CONV:
        k->positive[n->out] = false;
        return conv_layer(k, node);
    case OP_BN:
        k->positive[n->out] = false;
        return node_layer(k, node, "BatchNormalization",
                          json_pack("{s:i, s:f, s:f, s:b, s:b}", "axis", k->flat[n->in[0]] ? 1 : 3, "momentum",
                                    1 - (double)n->attr.bn.momentum, "epsilon", (double)n->attr.bn.epsilon, "center", 1,
                                    "scale", !n->attr.bn.unscaled),
                          in);
    case OP_SCALE:
        k->positive[n->out] = false;
        return scale_layer(k, node);
    case OP_RELU:
        k->positive[n->out] = true;
        return node_layer(k, node, "ReLU", json_object(), in);
    case OP_RELU6:
        k->positive[n->out] = true;
        return node_layer(k, node, "ReLU", json_pack("{s:f}", "max_value", 6.0), in);
    case OP_MAXPOOL:
    case OP_AVGPOOL:
        return pool_layer(k, node);
    case OP_ADAPTIVE_AVGPOOL:
        return adaptive_layer(k, node);
    case OP_DENSE:
        k->positive[n->out] = false;
        k->flat[n->out] = true;
        return dense_layer(k, node);
    case OP_DROPOUT:
        return node_layer(k, node, "Dropout", json_pack("{s:f}", "rate", (double)n->attr.dropout.rate), in);
    case OP_ADD:
        return node_layer(k, node, "Add", json_object(), in);
    case OP_CONCAT:
        return node_layer(k, node, "Concatenate", join_config(k->flat[n->in[0]] ? 1 : 3), in);
    case OP_LRN:
        return fail(GRAFT_BAD_FILE,
                    "%s normalises across channels (LRN), for which Keras has no layer; write .onnx or "
                    ".safetensors",
                    k->e->network->name);
    case OP_COUNT:
        break;
    }
    ASSERT(false);
    return GRAFT_FAILED;
}

// The head that predicts, or the mean of several.
static graft_status output_layer(struct maker *k, int *out)
{
    int heads[MAX_OUTPUTS], n = 0;
    for (int i = 0; i < k->g->n_outputs; i++)
        if (k->g->outputs[i].predicts)
            heads[n++] = k->layer[k->g->outputs[i].value];
    if (n == 1)
        return *out = heads[0], GRAFT_OK;
    return layer_add(k, mem_text("mean_of_heads"), "Average", json_object(), heads, n, out);
}

// --- order -----------------------------------------------------------------------------------------------------------

struct place {
    int depth, met, layer;
};

static int place_compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->depth != y->depth ? y->depth - x->depth : x->met - y->met;
}

static void walk(const struct keras_model *m, int layer, struct place *places, int *met)
{
    if (places[layer].met >= 0)
        return;
    places[layer].met = (*met)++;
    for (int i = 0; i < m->layers[layer].n_in; i++)
        walk(m, m->layers[layer].in[i], places, met);
}

// Layers that the output does not depend on (auxiliary heads) are left out.
static graft_status layers_sort(struct keras_model *m)
{
    struct place *places = mem_zero((size_t)m->count, sizeof *places);
    int *new_index = mem_zero((size_t)m->count, sizeof *new_index), met = 0;
    struct keras_layer *sorted = mem_zero((size_t)m->count, sizeof *sorted);
    if (places == NULL || new_index == NULL || sorted == NULL) {
        mem_free(places);
        mem_free(new_index);
        mem_free(sorted);
        return fail_memory("Keras's layers");
    }
    for (int i = 0; i < m->count; i++)
        places[i] = (struct place){.met = -1, .layer = i};
    walk(m, m->output, places, &met);
    for (int i = m->count; i-- > 0;) // a layer's inputs were made before it
        for (int k = 0; places[i].met >= 0 && k < m->layers[i].n_in; k++)
            if (places[m->layers[i].in[k]].depth <= places[i].depth)
                places[m->layers[i].in[k]].depth = places[i].depth + 1;
    for (int i = 0; i < m->count; i++)
        if (places[i].met < 0)
            places[i].depth = -1; // last
    qsort(places, (size_t)m->count, sizeof *places, place_compare);
    for (int i = 0; i < m->count; i++)
        new_index[places[i].layer] = i;
    for (int i = 0; i < m->count; i++) {
        sorted[i] = m->layers[places[i].layer];
        for (int k = 0; k < sorted[i].n_in; k++)
            sorted[i].in[k] = new_index[sorted[i].in[k]];
    }
    for (int i = met; i < m->count; i++) {
        mem_free(sorted[i].name);
        json_decref(sorted[i].config);
    }
    mem_free(m->layers);
    m->layers = sorted;
    m->capacity = (size_t)m->count;
    m->output = new_index[m->output];
    m->count = met;
    mem_free(places);
    mem_free(new_index);
    return GRAFT_OK;
}

graft_status keras_layers_make(const struct exported *e, struct keras_model *out)
{
    const struct graph *g = e->graph;
    *out = (struct keras_model){0};
    struct maker k = {.e = e,
                      .g = g,
                      .model = out,
                      .layer = mem_zero((size_t)g->n_values, sizeof *k.layer),
                      .flat = mem_zero((size_t)g->n_values, sizeof *k.flat),
                      .positive = mem_zero((size_t)g->n_values, sizeof *k.positive)};
    graft_status status = GRAFT_OK;
    for (const struct dialect *d = e->network->dialects; d != NULL && d->title != NULL && k.dialect == NULL; d++)
        k.dialect = d->layout == FILE_KERAS ? d : NULL;
    if (k.layer == NULL || k.flat == NULL || k.positive == NULL)
        TRY_GOTO(fail_memory("Keras's layers"));
    const struct value *in = &g->values[0];
    TRY_GOTO(layer_add(&k, mem_text("input"), "InputLayer",
                       json_pack("{s:[n, i, i, i]}", "batch_shape", in->h, in->w, in->c), NULL, 0, &k.layer[0]));
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].for_prediction)
            TRY_GOTO(node_put(&k, i));
    TRY_GOTO(output_layer(&k, &out->output));
    TRY_GOTO(layers_sort(out));
done:
    mem_free(k.layer);
    mem_free(k.flat);
    mem_free(k.positive);
    if (status != GRAFT_OK)
        keras_layers_fini(out);
    return status;
}

void keras_layers_fini(struct keras_model *m)
{
    for (int i = 0; i < m->count; i++) {
        mem_free(m->layers[i].name);
        json_decref(m->layers[i].config);
    }
    mem_free(m->layers);
    *m = (struct keras_model){0};
}

struct shape keras_shape(const struct graph *g, int param)
{
    const struct node *node = &g->nodes[g->params[param].node];
    return node->op == OP_SCALE && node->param[0] == param ? SHAPE(1, 1, g->params[param].shape.dim[0], 1)
                                                           : file_shape(FILE_KERAS, g, param);
}

const char *keras_weight(const struct graph *g, int param)
{
    static const char *const norm[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    const struct node *node = &g->nodes[g->params[param].node];
    int index = 0;
    while (node->param[index] != param)
        index++;
    return node->op == OP_BN ? norm[index] : index == 0 ? "kernel" : "bias";
}
