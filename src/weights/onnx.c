// weights/onnx.c: a network and its weights as an ONNX file of opset 17.
// In: struct exported.  Out: a file with one input (batch, 3, size, size), batch free, and the outputs "probabilities"
// and "logits"; initializers under canonical names; metadata_props classes, preprocessing, input, graft.arch.
// Grammar (field numbers of the published onnx.proto):
//   Model:  1 ir_version, 2 producer_name, 7 Graph, 8 OperatorSet {2 version}, 14 {1 key, 2 value}
//   Graph:  1 Node, 2 name, 5 Tensor, 11 and 12 ValueInfo {1 name, 2 {1 {1 element type, 2 {1 {1 size | 2 name}}}}}
//   Node:   1 input, 2 output, 3 name, 4 op_type, 5 Attribute {1 name, 3 i, 2 f, 8 ints, 20 type}
//   Tensor: 1 dims, 2 data_type, 8 name, 9 raw_data
// Everything but the weights is made in memory; the weights go out one at a time, so VGG16 costs its largest matrix.

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/protobuf.h"
#include "weights/weights.h"
#include "weights/windows.h"
#include <stdio.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17, TYPE_FLOAT = 1, TYPE_INT64 = 7, NAME_SIZE = 192 };
enum { ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INT = 2, ATTRIBUTE_INTS = 7 };
static const char input_name[] = "input", logits_name[] = "logits", probabilities_name[] = "probabilities";

struct onnx {
    const struct graph *graph;
    struct pb_writer nodes;     // the graph's fields 1
    struct pb_writer constants; // fields 5 that are no parameters
    char **value;               // the tensor's name, by the graph's value
};

static void attribute_ints(struct pb_writer *node, const char *name, const int64_t *values, int n)
{
    struct pb_writer attribute = {0};
    pb_text(&attribute, 1, name);
    for (int i = 0; i < n; i++)
        pb_int(&attribute, 8, values[i]);
    pb_int(&attribute, 20, ATTRIBUTE_INTS);
    pb_message(node, 5, &attribute);
}
#define ATTRIBUTE_INTS(node, name, ...)                                                                                \
    attribute_ints(node, name, (const int64_t[]){__VA_ARGS__}, (int)COUNT_OF(((const int64_t[]){__VA_ARGS__})))

static void attribute_int(struct pb_writer *node, const char *name, int64_t value)
{
    struct pb_writer attribute = {0};
    pb_text(&attribute, 1, name);
    pb_int(&attribute, 3, value);
    pb_int(&attribute, 20, ATTRIBUTE_INT);
    pb_message(node, 5, &attribute);
}

static void attribute_float(struct pb_writer *node, const char *name, float value)
{
    struct pb_writer attribute = {0};
    pb_text(&attribute, 1, name);
    pb_float(&attribute, 2, value);
    pb_int(&attribute, 20, ATTRIBUTE_FLOAT);
    pb_message(node, 5, &attribute);
}

// Adds a node whose attributes are in `take_node`; it and its one output have the same name.
static void node_put(struct onnx *o, const char *type, const char *name, const char *const *in, int n_in,
                     struct pb_writer *take_node)
{
    for (int i = 0; i < n_in; i++)
        pb_text(take_node, 1, in[i]);
    pb_text(take_node, 2, name);
    pb_text(take_node, 3, name);
    pb_text(take_node, 4, type);
    pb_message(&o->nodes, 1, take_node);
}
#define NODE(o, type, name, node, ...)                                                                                 \
    node_put(o, type, name, (const char *const[]){__VA_ARGS__}, (int)COUNT_OF(((const char *const[]){__VA_ARGS__})), node)

static void constant_put(struct onnx *o, const char *name, int type, int64_t count, const void *data, size_t size)
{
    struct pb_writer tensor = {0};
    if (count > 0)
        pb_int(&tensor, 1, count); // no dimension: a scalar
    pb_int(&tensor, 2, type);
    pb_text(&tensor, 8, name);
    pb_bytes(&tensor, 9, data, size);
    pb_message(&o->constants, 5, &tensor);
}

static void windows_put(struct pb_writer *node, const struct pool_attr *a)
{
    ATTRIBUTE_INTS(node, "kernel_shape", a->kh, a->kw);
    ATTRIBUTE_INTS(node, "strides", a->stride_h, a->stride_w);
    ATTRIBUTE_INTS(node, "pads", a->top, a->left, a->bottom, a->right);
}

// One axis of an adaptive pool whose windows differ: each is cut out, averaged and put in its place.
static void uneven_axis(struct onnx *o, const char *name, const char *src, int axis, int in, int out)
{
    struct pb_writer joined = {0};
    char part[NAME_SIZE], cut[NAME_SIZE], from[NAME_SIZE], to[NAME_SIZE], axes[NAME_SIZE];
    snprintf(axes, sizeof axes, "%s.axis", name);
    constant_put(o, axes, TYPE_INT64, 1, &(int64_t){axis}, sizeof(int64_t));
    for (int i = 0; i < out; i++) {
        int begin, end;
        struct pb_writer slice = {0}, mean = {0};
        adaptive_window(in, out, i, &begin, &end);
        snprintf(part, sizeof part, "%s.%d", name, i);
        snprintf(cut, sizeof cut, "%s.%d.cut", name, i);
        snprintf(from, sizeof from, "%s.%d.from", name, i);
        snprintf(to, sizeof to, "%s.%d.to", name, i);
        constant_put(o, from, TYPE_INT64, 1, &(int64_t){begin}, sizeof(int64_t));
        constant_put(o, to, TYPE_INT64, 1, &(int64_t){end}, sizeof(int64_t));
        NODE(o, "Slice", cut, &slice, src, from, to, axes);
        ATTRIBUTE_INTS(&mean, "kernel_shape", axis == 2 ? end - begin : 1, axis == 3 ? end - begin : 1);
        NODE(o, "AveragePool", part, &mean, cut);
        pb_text(&joined, 1, part);
    }
    attribute_int(&joined, "axis", axis);
    node_put(o, "Concat", name, NULL, 0, &joined);
}

static void adaptive_put(struct onnx *o, const struct node *node, const char *name, const char *src)
{
    const struct value *in = &o->graph->values[node->in[0]];
    const int oh = node->attr.adaptive.oh, ow = node->attr.adaptive.ow;
    struct pb_writer pool = {0};
    struct pool_attr a = {0};
    if (oh == 1 && ow == 1)
        NODE(o, "GlobalAveragePool", name, &pool, src);
    else if (oh == in->h && ow == in->w)
        NODE(o, "Identity", name, &pool, src);
    else if (adaptive_even(in->h, oh, &a.kh, &a.stride_h) && adaptive_even(in->w, ow, &a.kw, &a.stride_w)) {
        windows_put(&pool, &a);
        NODE(o, "AveragePool", name, &pool, src);
    } else {
        char rows[NAME_SIZE];
        snprintf(rows, sizeof rows, "%s.rows", name);
        uneven_axis(o, rows, src, 2, in->h, oh);
        uneven_axis(o, name, rows, 3, in->w, ow);
    }
}

static void clip_put(struct onnx *o, const char *name, const char *src)
{
    static const float zero = 0, six = 6;
    char low[NAME_SIZE], high[NAME_SIZE];
    snprintf(low, sizeof low, "%s.min", name);
    snprintf(high, sizeof high, "%s.max", name);
    constant_put(o, low, TYPE_FLOAT, 0, &zero, sizeof zero);
    constant_put(o, high, TYPE_FLOAT, 0, &six, sizeof six);
    NODE(o, "Clip", name, &(struct pb_writer){0}, src, low, high);
}

static void dense_put(struct onnx *o, const struct node *node, const char *name, const char *src)
{
    const struct graph_param *params = o->graph->params;
    struct pb_writer flat = {0}, gemm = {0};
    char flattened[NAME_SIZE];
    if (!o->graph->values[node->in[0]].flat) {
        snprintf(flattened, sizeof flattened, "%s.flatten", params[node->param[0]].name);
        attribute_int(&flat, "axis", 1);
        NODE(o, "Flatten", flattened, &flat, src);
        src = flattened;
    }
    attribute_int(&gemm, "transB", 1);
    const char *in[] = {src, params[node->param[0]].name, node->n_params > 1 ? params[node->param[1]].name : NULL};
    node_put(o, "Gemm", name, in, 1 + node->n_params, &gemm);
}

static void conv_put(struct onnx *o, const struct node *node, const char *name, const char *src)
{
    const struct graph_param *params = o->graph->params;
    const struct conv_attr *a = &node->attr.conv;
    struct pb_writer conv = {0};
    const struct pool_attr window = {a->kh, a->kw, a->stride_h, a->stride_w, a->top, a->left, a->bottom, a->right, false};
    windows_put(&conv, &window);
    attribute_int(&conv, "group", a->groups);
    const char *in[] = {src, params[node->param[0]].name, node->n_params > 1 ? params[node->param[1]].name : NULL};
    node_put(o, "Conv", name, in, 1 + node->n_params, &conv);
}

static void scale_put(struct onnx *o, const struct node *node, const char *name, const char *src)
{
    char product[NAME_SIZE];
    snprintf(product, sizeof product, "%s.product", name);
    NODE(o, "Mul", product, &(struct pb_writer){0}, src, o->graph->params[node->param[0]].name);
    NODE(o, "Add", name, &(struct pb_writer){0}, product, o->graph->params[node->param[1]].name);
}

// `name` is the node's and its output's.
static void op_put(struct onnx *o, const struct node *node, const char *name)
{
    const struct graph_param *params = o->graph->params;
    const char *src[1 + MAX_INPUTS];
    struct pb_writer n = {0};
    for (int i = 0; i < node->n_in; i++)
        src[i] = o->value[node->in[i]];
    switch (node->op) {
    case OP_CONV:
        conv_put(o, node, name, src[0]);
        return;
    case OP_BN:
        attribute_float(&n, "epsilon", node->attr.bn.epsilon);
        NODE(o, "BatchNormalization", name, &n, src[0], params[node->param[0]].name, params[node->param[1]].name,
             params[node->param[2]].name, params[node->param[3]].name);
        return;
    case OP_SCALE:
        scale_put(o, node, name, src[0]);
        return;
    case OP_LRN:
        attribute_int(&n, "size", node->attr.lrn.size);
        attribute_float(&n, "alpha", node->attr.lrn.alpha);
        attribute_float(&n, "beta", node->attr.lrn.beta);
        attribute_float(&n, "bias", node->attr.lrn.k);
        NODE(o, "LRN", name, &n, src[0]);
        return;
    case OP_RELU:
        NODE(o, "Relu", name, &n, src[0]);
        return;
    case OP_RELU6:
        clip_put(o, name, src[0]);
        return;
    case OP_MAXPOOL:
        windows_put(&n, &node->attr.pool);
        NODE(o, "MaxPool", name, &n, src[0]);
        return;
    case OP_AVGPOOL:
        windows_put(&n, &node->attr.pool);
        attribute_int(&n, "count_include_pad", node->attr.pool.count_padding);
        NODE(o, "AveragePool", name, &n, src[0]);
        return;
    case OP_ADAPTIVE_AVGPOOL:
        adaptive_put(o, node, name, src[0]);
        return;
    case OP_DENSE:
        dense_put(o, node, name, src[0]);
        return;
    case OP_ADD:
        NODE(o, "Add", name, &n, src[0], src[1]);
        return;
    case OP_CONCAT:
        attribute_int(&n, "axis", 1);
        node_put(o, "Concat", name, src, node->n_in, &n);
        return;
    case OP_DROPOUT: // does nothing when predicting: its output is its input
    case OP_COUNT:
        break;
    }
    ASSERT(node->op == OP_DROPOUT);
}

// The layer's canonical name, or "relu_7" for a node without parameters.
static char *node_name(const struct graph *g, int index)
{
    static const char *const texts[] = {
#define OP(id, text, n_min, n_max) text,
#include "graph/ops.def"
#undef OP
    };
    const struct node *node = &g->nodes[index];
    const char *weight = node->n_params > 0 ? g->params[node->param[0]].name : NULL;
    return node->out == g->output ? mem_text(logits_name)
           : weight != NULL       ? mem_format("%.*s", (int)(strlen(weight) - strlen(".weight")), weight)
                                  : mem_format("%s_%d", texts[node->op], index);
}

static graft_status nodes_make(struct onnx *o)
{
    const struct graph *g = o->graph;
    o->value = mem_zero((size_t)g->n_values, sizeof *o->value);
    if (o->value == NULL || (o->value[0] = mem_text(input_name)) == NULL)
        return fail_memory("a network's names");
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        o->value[node->out] = node->op == OP_DROPOUT ? mem_text(o->value[node->in[0]]) : node_name(g, i);
        if (o->value[node->out] == NULL)
            return fail_memory("a network's names");
        op_put(o, node, o->value[node->out]);
    }
    ASSERT(g->values[g->output].flat);
    struct pb_writer softmax = {0};
    attribute_int(&softmax, "axis", 1);
    NODE(o, "Softmax", probabilities_name, &softmax, logits_name);
    TRY(pb_finish(&o->constants));
    return pb_finish(&o->nodes);
}

// The value (batch, dims...) as field `number` of the graph.
static void value_info(struct pb_writer *graph, uint32_t number, const char *name, const int *dims, int n)
{
    struct pb_writer shape = {0}, dim = {0}, tensor = {0}, type = {0}, info = {0};
    pb_text(&dim, 2, "batch");
    pb_message(&shape, 1, &dim);
    for (int i = 0; i < n; i++) {
        pb_int(&dim, 1, dims[i]);
        pb_message(&shape, 1, &dim);
    }
    pb_int(&tensor, 1, TYPE_FLOAT);
    pb_message(&tensor, 2, &shape);
    pb_message(&type, 1, &tensor);
    pb_text(&info, 1, name);
    pb_message(&info, 2, &type);
    pb_message(graph, number, &info);
}

static void property(struct pb_writer *model, const char *key, const char *value)
{
    struct pb_writer entry = {0};
    pb_text(&entry, 1, key);
    pb_text(&entry, 2, value);
    pb_message(model, 14, &entry);
}

static graft_status json_property(struct pb_writer *model, const char *key, json_t *take_value)
{
    char *text = take_value != NULL ? json_text(take_value) : NULL;
    json_decref(take_value);
    if (text == NULL)
        return fail_memory("the model's metadata");
    property(model, key, text);
    mem_free(text);
    return GRAFT_OK;
}

// Class names, and how a picture becomes the input: (x - mean) * scale, x in 0..255.
static graft_status properties_put(struct pb_writer *model, const struct exported *e)
{
    const struct input_spec *in = e->input;
    json_t *classes = json_array();
    for (int i = 0; i < e->n_classes; i++)
        if (json_array_append_new(classes, json_string(e->classes[i])) != 0) {
            json_decref(classes);
            return fail(GRAFT_FAILED, "class name '%s' is not UTF-8 and cannot go into a model file", e->classes[i]);
        }
    property(model, "graft.arch", e->network->name);
    property(model, "input", input_name);
    TRY(json_property(model, "classes", classes));
    static const char *const rules[] = {[RESIZE_CROP] = "crop", [RESIZE_SQUASH] = "squash", [RESIZE_PAD] = "pad"};
    return json_property(model, "preprocessing",
                         json_pack("{s:i, s:i, s:s, s:s, s:s, s:[f, f, f], s:[f, f, f]}", "size", in->size, "resize",
                                   in->resize, "rule", rules[in->rule], "filter",
                                   in->filter == FILTER_BICUBIC ? "bicubic" : "bilinear", "channels",
                                   in->bgr ? "BGR" : "RGB", "mean", (double)in->mean[0], (double)in->mean[1],
                                   (double)in->mean[2], "scale", (double)in->scale[0], (double)in->scale[1],
                                   (double)in->scale[2]));
}

// A parameter's Tensor message up to its raw data, of which it says the size.
static graft_status tensor_head(const struct graph *g, int param, struct pb_writer *out, size_t *data_size)
{
    const struct shape shape = g->params[param].shape;
    size_t count;
    ASSERT(shape_count(shape, &count));
    *data_size = count * sizeof(float);
    for (int d = 0; d < shape.rank; d++)
        pb_int(out, 1, shape.dim[d]);
    for (int d = 0; d < 2 && g->nodes[g->params[param].node].op == OP_SCALE; d++) // (c, 1, 1), beside (n, c, h, w)
        pb_int(out, 1, 1);
    pb_int(out, 2, TYPE_FLOAT);
    pb_text(out, 8, g->params[param].name);
    pb_begin(out, 9, *data_size);
    return pb_finish(out);
}

// Bytes of all parameters as fields 5 of the graph, and of the largest one's data.
static graft_status tensors_measure(const struct graph *g, uint64_t *sum, size_t *largest)
{
    *sum = *largest = 0;
    for (int i = 0; i < g->n_params; i++) {
        struct pb_writer head = {0}, key = {0};
        size_t data;
        graft_status status = tensor_head(g, i, &head, &data);
        pb_begin(&key, 5, head.size + data);
        if (status == GRAFT_OK)
            status = pb_finish(&key);
        *sum += key.size + head.size + data;
        *largest = data > *largest ? data : *largest;
        pb_writer_fini(&head);
        pb_writer_fini(&key);
        TRY(status);
    }
    return GRAFT_OK;
}

static graft_status tensors_put(struct file_writer *file, const struct exported *e, float *scratch)
{
    for (int i = 0; i < e->graph->n_params; i++) {
        struct pb_writer head = {0}, key = {0};
        size_t data;
        graft_status status = tensor_head(e->graph, i, &head, &data);
        pb_begin(&key, 5, head.size + data);
        if (status == GRAFT_OK)
            status = pb_finish(&key);
        if (status == GRAFT_OK)
            status = file_writer_put(file, key.data, key.size);
        if (status == GRAFT_OK)
            status = file_writer_put(file, head.data, head.size);
        if (status == GRAFT_OK) {
            param_to_canonical(e->params, i, scratch);
            status = file_writer_put(file, scratch, data);
        }
        pb_writer_fini(&head);
        pb_writer_fini(&key);
        TRY(status);
    }
    return GRAFT_OK;
}

graft_status onnx_write(const char *path, const struct exported *e)
{
    struct onnx o = {.graph = e->graph};
    struct pb_writer model = {0}, opset = {0}, tail = {0};
    struct file_writer file = {.fd = -1};
    float *scratch = NULL;
    uint64_t tensors;
    size_t largest;
    graft_status status = GRAFT_OK;
    pb_int(&model, 1, IR_VERSION);
    pb_text(&model, 2, "graft");
    pb_int(&opset, 2, OPSET);
    pb_message(&model, 8, &opset);
    TRY_GOTO(properties_put(&model, e));
    TRY_GOTO(nodes_make(&o));
    pb_text(&tail, 2, e->network->name);
    value_info(&tail, 11, input_name, (const int[]){3, e->input->size, e->input->size}, 3);
    value_info(&tail, 12, probabilities_name, &e->n_classes, 1);
    value_info(&tail, 12, logits_name, &e->n_classes, 1);
    TRY_GOTO(pb_finish(&tail));
    TRY_GOTO(tensors_measure(e->graph, &tensors, &largest));
    const uint64_t size = o.nodes.size + o.constants.size + tail.size + tensors;
    if (size > INT32_MAX)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "an ONNX file holds at most 2 GiB; %s has %llu MiB of weights", e->network->name,
                      (unsigned long long)(tensors >> 20)));
    pb_begin(&model, 7, size);
    TRY_GOTO(pb_finish(&model));
    scratch = mem_alloc(largest);
    if (scratch == NULL)
        TRY_GOTO(fail_memory("a tensor"));
    TRY_GOTO(file_writer_open(path, &file));
    TRY_GOTO(file_writer_put(&file, model.data, model.size));
    TRY_GOTO(file_writer_put(&file, o.nodes.data, o.nodes.size));
    if (o.constants.size > 0)
        TRY_GOTO(file_writer_put(&file, o.constants.data, o.constants.size));
    TRY_GOTO(file_writer_put(&file, tail.data, tail.size));
    TRY_GOTO(tensors_put(&file, e, scratch));
done:
    for (int i = 0; o.value != NULL && i < e->graph->n_values; i++)
        mem_free(o.value[i]);
    mem_free(o.value);
    mem_free(scratch);
    pb_writer_fini(&o.nodes);
    pb_writer_fini(&o.constants);
    pb_writer_fini(&model);
    pb_writer_fini(&tail);
    if (status == GRAFT_OK)
        return file_writer_commit(&file);
    file_writer_abandon(&file);
    return status;
}
