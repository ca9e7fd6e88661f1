// exec/layers.c: what the steps of a plan are, and what they cost, for people: `graft bench --layers`.
// Operations are those of the direct way, so Winograd's rate is an effective one and may exceed the processor's peak.

#include "base/log.h"
#include "exec/cells.h"
#include <math.h>

static const char *const op_text[OP_COUNT] = {
#define OP(id, text, n_min, n_max) [OP_##id] = text,
#include "graph/ops.def"
#undef OP
};

static double conv_flops(const struct dnn_conv_shape *s)
{
    return 2.0 * s->n * s->oc * s->oh * s->ow * s->kh * s->kw * (s->ic / s->groups);
}

// Every buffer that the step names, once, without scratch.
static double buffer_bytes(const struct plan *p, const struct step *s)
{
    const int all[] = {s->src, s->src2, s->dst, s->dst2, s->extra, s->extra2};
    const struct value *in = &p->graph->values[0];
    double sum = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= all[k] == all[i];
        if (!again && all[i] >= 0)
            sum += (double)p->buffers[all[i]].bytes;
        else if (!again && all[i] == BUFFER_INPUT)
            sum += 4.0 * p->options.batch * in->c * in->h * in->w;
    }
    return sum;
}

// The operation that makes a value, or NULL: it is the network's input.
static const struct node *value_node(const struct plan *p, int value)
{
    for (int i = 0; i < p->graph->n_nodes; i++)
        if (p->graph->nodes[i].out == value)
            return &p->graph->nodes[i];
    return NULL;
}

int plan_step_count(const struct plan *p) { return p->n_steps; }

struct plan_step plan_step_at(const struct plan *p, int index)
{
    static const char *const passes[] = {"forward", "data", "weights"};
    const struct step *s = &p->steps[index];
    const bool backward = index >= p->first_backward;
    const struct node *node = s->cell == NULL ? NULL : s->cell->bn != NULL ? s->cell->bn : s->cell->node;
    struct plan_step out = {.op = "join", .layer = "", .pass = backward ? "backward" : "forward", .algorithm = "own",
                            .bytes = buffer_bytes(p, s)};
    bool reads_weights = false;
    if (step_converts(s)) {
        out.op = "convert";
        node = value_node(p, s->entry);
    } else if (node == NULL && s->entry >= 0) {
        node = &p->graph->nodes[p->graph->params[s->entry].node];
        out.op = "update";
        out.bytes =
            5 * sizeof(float) * (double)p->params->entries[s->entry].size; // g; w and momentum, read and written
    } else if (s->shape.kh > 0) {
        out.op = op_text[OP_CONV];
        out.pass = passes[s->pass];
        out.flops = conv_flops(&s->shape);
        out.algorithm = s->winograd != NULL ? "winograd" : s->conv != NULL ? dnn_conv_name(s->conv) : "own";
        reads_weights = s->pass != DNN_WEIGHTS;
    } else if (node != NULL && node->op == OP_DENSE && s->size == 0) {
        const struct value *in = &p->graph->values[node->in[0]];
        out.op = op_text[OP_DENSE];
        out.flops = 2.0 * p->options.batch * in->c * (in->flat ? 1 : in->h * in->w) * node->attr.dense.units;
        out.pass = passes[!backward ? DNN_FORWARD : s->extra == NO_BUFFER ? DNN_DATA : DNN_WEIGHTS];
        reads_weights = s->extra == NO_BUFFER;
        if (!reads_weights) // and updates them: w and momentum, read and written
            out.bytes += 4 * sizeof(float) * (double)p->params->entries[node->param[0]].size;
    } else if (node != NULL)
        out.op = node->op == OP_CONV || node->op == OP_DENSE ? "mask" : op_text[node->op];
    if (reads_weights)
        out.bytes += (s->shape.bf16 ? 2 : 1) * sizeof(float) * // read as fp32, written and read as bf16
                     (double)p->params->entries[node->param[0]].size;
    if (node != NULL && node->row >= 0)
        out.layer = graph_row_name(p->graph, node->row);
    return out;
}

// Every thread's best of many short tries: another process on the core spoils most of them, seldom all.
double exec_peak(void)
{
    enum { TRIES = 40 };
    const long rounds = 100000;
    const struct products *products = exec_kernels()->products;
    double peak = 0;
    exec_threads();
#pragma omp parallel reduction(+ : peak)
    for (int i = 0; i < TRIES; i++) {
        const double begin = now_seconds(), flops = products->multiply(rounds);
        peak = fmax(peak, flops / (now_seconds() - begin));
    }
    return peak;
}
