// graph/graph.c: builders.  Each appends a node, its output value and its parameters; shapes come from graph/shape.c.
// The first failure sticks; later calls do nothing, and graph_finish reports it.

#include "graph/shape.h"
#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const op_names[OP_COUNT] = {
#define OP(id, text, n_min, n_max) [OP_##id] = text,
#include "graph/ops.def"
#undef OP
};
static const struct { int fewest, most; } op_inputs[OP_COUNT] = {
#define OP(id, text, n_min, n_max) [OP_##id] = {n_min, n_max},
#include "graph/ops.def"
#undef OP
};

void graph_break(struct graph *g, graft_status status, const char *format, ...)
{
    va_list args;
    if (g->status != GRAFT_OK)
        return;
    g->status = status;
    va_start(args, format);
    vsnprintf(g->message, sizeof g->message, format, args);
    va_end(args);
}

static int value_add(struct graph *g, struct value value)
{
    if (!mem_grow(&g->values, &g->value_capacity, (size_t)g->n_values + 1, sizeof *g->values)) {
        graph_break(g, GRAFT_NO_RESOURCE, "no memory left for the graph");
        return 0;
    }
    g->values[g->n_values] = value;
    return g->n_values++;
}

void graph_init(struct graph *g, int c, int h, int w)
{
    *g = (struct graph){.output = -1};
    value_add(g, (struct value){.c = c, .h = h, .w = w, .producer = -1});
}

void graph_fini(struct graph *g)
{
    for (int i = 0; i < g->n_params; i++)
        mem_free(g->params[i].name);
    mem_free(g->nodes);
    mem_free(g->values);
    mem_free(g->params);
    *g = (struct graph){0};
}

static int param_add(struct graph *g, int node, const char *name, const char *suffix, struct shape shape, bool running)
{
    char *full = mem_format("%s.%s", name, suffix);
    if (full == NULL || !mem_grow(&g->params, &g->param_capacity, (size_t)g->n_params + 1, sizeof *g->params)) {
        mem_free(full);
        graph_break(g, GRAFT_NO_RESOURCE, "no memory left for the graph");
        return 0;
    }
    g->params[g->n_params] = (struct graph_param){full, shape, node, running, !running};
    return g->n_params++;
}

// Appends `node` (inputs set); gives its output value, or the input again after a failure.
static int node_add(struct graph *g, struct node node, const char *name)
{
    if (g->status != GRAFT_OK)
        return node.in[0];
    const int index = g->n_nodes;
    ASSERT(node.n_in >= op_inputs[node.op].fewest && node.n_in <= op_inputs[node.op].most);
    struct value out = {0};
    shape_node(g, &node, &out);
    if (g->status != GRAFT_OK)
        return node.in[0];
    out.producer = index;
    node.out = value_add(g, out);
    node.trains = false;
    node.row = -1;
    if (!mem_grow(&g->nodes, &g->node_capacity, (size_t)g->n_nodes + 1, sizeof *g->nodes)) {
        graph_break(g, GRAFT_NO_RESOURCE, "no memory left for the graph");
        return node.in[0];
    }
    const struct value *src = &g->values[node.in[0]];
    if (node.op == OP_CONV || node.op == OP_DENSE) {
        const struct conv_attr *a = &node.attr.conv;
        const bool conv = node.op == OP_CONV, bias = conv ? a->bias : node.attr.dense.bias;
        node.row = g->n_rows++;
        const int64_t flat = src->flat ? src->c : (int64_t)src->c * src->h * src->w;
        const struct shape weight = conv ? SHAPE(a->oc, src->c / a->groups, a->kh, a->kw) : SHAPE(node.attr.dense.units, flat);
        node.param[node.n_params++] = param_add(g, index, name, "weight", weight, false);
        if (bias)
            node.param[node.n_params++] = param_add(g, index, name, "bias", SHAPE(weight.dim[0]), false);
    } else if (node.op == OP_BN) {
        node.row = g->n_rows - 1; // a BatchNorm belongs to the convolution before it
        node.param[0] = param_add(g, index, name, "weight", SHAPE(src->c), false);
        node.param[1] = param_add(g, index, name, "bias", SHAPE(src->c), false);
        node.param[2] = param_add(g, index, name, "running_mean", SHAPE(src->c), true);
        node.param[3] = param_add(g, index, name, "running_var", SHAPE(src->c), true);
        node.n_params = 4;
    }
    node.trains = node.n_params > 0;
    g->nodes[g->n_nodes++] = node;
    return node.out;
}

#define NODE(op_, src, ...) node_add(g, (struct node){.op = op_, .in = {src}, .n_in = 1, __VA_ARGS__}, name)

int graph_conv(struct graph *g, int src, const char *name, struct conv_attr attr) { return NODE(OP_CONV, src, .attr.conv = attr); }
int graph_bn(struct graph *g, int src, const char *name, struct bn_attr attr) { return NODE(OP_BN, src, .attr.bn = attr); }
int graph_dense(struct graph *g, int src, const char *name, int units, bool bias)
{
    return NODE(OP_DENSE, src, .attr.dense = {units, bias});
}

static int plain(struct graph *g, int src, enum op op)
{
    return node_add(g, (struct node){.op = op, .in = {src}, .n_in = 1}, NULL);
}
int graph_relu(struct graph *g, int src) { return plain(g, src, OP_RELU); }
int graph_relu6(struct graph *g, int src) { return plain(g, src, OP_RELU6); }

static int pooled(struct graph *g, int src, enum op op, struct pool_attr attr)
{
    return node_add(g, (struct node){.op = op, .in = {src}, .n_in = 1, .attr.pool = attr}, NULL);
}
int graph_maxpool(struct graph *g, int src, struct pool_attr attr) { return pooled(g, src, OP_MAXPOOL, attr); }
int graph_avgpool(struct graph *g, int src, struct pool_attr attr) { return pooled(g, src, OP_AVGPOOL, attr); }

int graph_adaptive_avgpool(struct graph *g, int src, int oh, int ow)
{
    return node_add(g, (struct node){.op = OP_ADAPTIVE_AVGPOOL, .in = {src}, .n_in = 1, .attr.adaptive = {oh, ow}}, NULL);
}
int graph_global_avgpool(struct graph *g, int src) { return graph_adaptive_avgpool(g, src, 1, 1); }

int graph_dropout(struct graph *g, int src, float rate)
{
    return node_add(g, (struct node){.op = OP_DROPOUT, .in = {src}, .n_in = 1, .attr.dropout = {rate}}, NULL);
}

int graph_add(struct graph *g, int a, int b) { return node_add(g, (struct node){.op = OP_ADD, .in = {a, b}, .n_in = 2}, NULL); }

int graph_concat(struct graph *g, const int *src, int n)
{
    struct node node = {.op = OP_CONCAT, .n_in = n};
    ASSERT(n >= 1 && n <= MAX_INPUTS);
    memcpy(node.in, src, (size_t)n * sizeof *src);
    return node_add(g, node, NULL);
}

graft_status graph_finish(struct graph *g, int output)
{
    g->output = output;
    return g->status == GRAFT_OK ? GRAFT_OK : fail(g->status, "%s", g->message);
}
