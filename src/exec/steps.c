// exec/steps.c: what the operations' steps share, the loss, and the table of emitters.
// A gradient buffer belongs to its value until the producer's backward takes it.  Where a value has several consumers
// the first gives its gradient and the others add to it.

#include "exec/steps.h"
#include <string.h>

graft_status step_add(struct plan *p, struct step **out)
{
    *out = step_new(p);
    return *out != NULL ? GRAFT_OK : fail_memory("the plan's steps");
}

void step_uses(struct plan *p, const struct step *s)
{
    const int all[] = {s->src, s->src2, s->dst, s->dst2, s->extra, s->extra2, s->scratch, s->partial};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buffer_use(p, all[i]);
}

graft_status buffer_make(struct plan *p, size_t floats, int *out)
{
    *out = buffer_new(p, floats);
    return *out != NO_BUFFER ? GRAFT_OK : fail_memory("the plan's buffers");
}

graft_status view_make(struct plan *p, int parent, int value, int channel, int *out)
{
    const struct value *v = &p->graph->values[value];
    *out = view_new(p, parent, (size_t)channel * v->h * v->w, value_floats(p, value));
    return *out != NO_BUFFER ? GRAFT_OK : fail_memory("the plan's buffers");
}

static graft_status value_make(struct plan *p, int value)
{
    const struct place place = p->places[value];
    if (p->value_buffer[value] != NO_BUFFER)
        return GRAFT_OK;
    if (p->narrow[value])
        return narrow_buffer(p, value, &p->value_buffer[value]);
    if (place.whole < 0)
        return buffer_make(p, value_floats(p, value), &p->value_buffer[value]);
    TRY(value_make(p, place.whole));
    return view_make(p, p->value_buffer[place.whole], value, place.channel, &p->value_buffer[value]);
}

size_t channel_floats(const struct plan *p, int value)
{
    return (size_t)value_map(p, value).cb * p->kernels->lanes;
}

static const struct cell *cell_of(const struct plan *p, int value)
{
    for (int i = 0; i < p->n_cells; i++)
        if (p->cells[i].out == value)
            return &p->cells[i];
    return NULL;
}

static bool is_output(const struct plan *p, int value)
{
    for (int k = 0; k < p->graph->n_outputs; k++)
        if (value == p->graph->outputs[k].value)
            return true;
    return false;
}

// Whether a BatchNorm's output, which comes from its source, that its own way back reads; or a concat of nothing else.
static bool comes_again(const struct plan *p, int value)
{
    const struct cell *cell = cell_of(p, value);
    if (cell == NULL || !p->needs_gradient[value] || is_output(p, value))
        return false;
    if (cell->node->op != OP_CONCAT)
        return cell->node->op == OP_BN && cell->node->trains;
    for (int k = 0; k < cell->node->n_in; k++)
        if (p->places[cell->node->in[k]].whole != value || !comes_again(p, cell->node->in[k]))
            return false;
    return true;
}

// Of a residual's sum, which comes from what is kept or a BatchNorm's output, and from at least one of those: of a
// chain of residual blocks every second sum is dropped.
static bool sum_comes_again(const struct plan *p, const struct cell *cell)
{
    bool again = p->needs_gradient[cell->out] && !is_output(p, cell->out) && p->places[cell->out].whole < 0;
    bool any = cell->bn != NULL && cell->bn->trains;
    for (int k = 0; k < cell->node->n_in; k++) {
        const int in = cell_input(cell, k);
        any |= p->dropped[in];
        again &= !p->dropped[in] || cell_of(p, in)->node->op == OP_BN;
    }
    return again && any;
}

// What lies in a concat's value is dropped when all of it is.
void values_drop(struct plan *p)
{
    for (int i = 0; i < p->n_cells; i++) {
        const int value = p->cells[i].out;
        int whole = value;
        while (p->places[whole].whole >= 0)
            whole = p->places[whole].whole;
        p->dropped[value] = p->cells[i].node->op == OP_ADD ? sum_comes_again(p, &p->cells[i])
                                                           : comes_again(p, value) && comes_again(p, whole);
        if (p->dropped[value])
            p->value_buffer[value] = NO_BUFFER;
    }
}

graft_status value_again(struct plan *p, int value)
{
    if (!p->dropped[value])
        return GRAFT_OK;
    const struct cell *cell = cell_of(p, value);
    p->dropped[value] = false;
    for (int k = 0; k < cell->node->n_in; k++)
        TRY(value_again(p, cell_input(cell, k)));
    TRY(value_make(p, value));
    if (cell->node->op == OP_CONCAT) // its parts lie in it
        return GRAFT_OK;
    return cell->node->op == OP_BN || cell->bn != NULL ? bn_again(p, cell) : add_again(p, cell);
}

static graft_status run_accumulate(struct plan *p, const struct step *s, const struct run *run)
{
    if (s->narrow) {
        p->kernels->bf16->add(half(BUFFER(dst)), half(BUFFER(src)), half(BUFFER(dst)), half_size(p, s->value),
                              ACT_NONE);
        return GRAFT_OK;
    }
    p->kernels->add(value_rows(p, s->value), MAP(dst), MAP(src), MAP(dst), ACT_NONE);
    return GRAFT_OK;
}

static graft_status run_copy(struct plan *p, const struct step *s, const struct run *run)
{
    const struct rows r = value_rows(p, s->value);
    const struct map src = MAP(src), dst = MAP(dst);
#pragma omp parallel for schedule(static)
    for (size_t n = 0; n < r.n; n++)
        memcpy(dst.at + n * dst.image, src.at + n * src.image, r.each * sizeof(float));
    return GRAFT_OK;
}

graft_status copy_step(struct plan *p, const struct cell *cell, int value, int src, int dst)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_copy;
    s->cell = cell;
    s->value = value;
    s->src = src;
    s->dst = dst;
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status gradient_apart(struct plan *p, int value)
{
    int apart;
    if (!is_view(p, p->value_gradient[value]))
        return GRAFT_OK;
    TRY(buffer_make(p, value_floats(p, value), &apart));
    TRY(copy_step(p, cell_of(p, value), value, p->value_gradient[value], apart));
    p->value_gradient[value] = apart;
    return GRAFT_OK;
}

graft_status gradient_give(struct plan *p, int value, int buffer)
{
    if (!p->needs_gradient[value])
        return GRAFT_OK;
    if (p->value_gradient[value] == NO_BUFFER) {
        p->value_gradient[value] = buffer;
        return GRAFT_OK;
    }
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_accumulate;
    s->narrow = p->narrow[value];
    s->src = buffer;
    s->dst = p->value_gradient[value];
    s->value = value;
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status run_ready(struct plan *p, const struct step *s, const struct run *run)
{
    const struct param_entry *e = &p->params->entries[s->entry];
    const size_t used = param_entry_size(e, p->params->lanes);
    float *gradient = BUFFER(src);
    memset(gradient + used, 0, (e->size - used) * sizeof *gradient); // the gap to the next entry is no kernel's
    if (run->ready != NULL)
        run->ready(run->user, (struct gradient){s->entry, 0, e->size, gradient});
    return GRAFT_OK;
}

graft_status ready_step(struct plan *p, int entry, int gradient)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_ready;
    s->src = gradient;
    s->entry = entry;
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status run_act_backward(struct plan *p, const struct step *s, const struct run *run)
{
    if (s->narrow) {
        p->kernels->bf16->act_backward(half(BUFFER(src)), half(BUFFER(dst)), half_size(p, s->cell->out), s->cell->act);
        return GRAFT_OK;
    }
    p->kernels->act_backward(value_rows(p, s->value), MAP(src), MAP(src2), MAP(dst), s->cell->act);
    return GRAFT_OK;
}

graft_status act_backward_step(struct plan *p, const struct cell *cell)
{
    if (cell->act == ACT_NONE || p->masked[cell->out])
        return GRAFT_OK;
    TRY(value_again(p, cell->out));
    struct step *s;
    const int given = p->value_gradient[cell->out];
    if (is_view(p, given))
        TRY(buffer_make(p, value_floats(p, cell->out), &p->value_gradient[cell->out]));
    TRY(step_add(p, &s));
    s->run = run_act_backward;
    s->narrow = p->narrow[cell->out];
    s->cell = cell;
    s->value = cell->out;
    s->src = p->value_buffer[cell->out];
    s->src2 = given;
    s->dst = p->value_gradient[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status weight_gradients_make(struct plan *p, const struct node *node, int *weight, int *bias)
{
    *weight = *bias = NO_BUFFER;
    if (!node->trains || p->options.mode != PLAN_TRAIN)
        return GRAFT_OK;
    TRY(buffer_make(p, p->params->entries[node->param[0]].size, weight));
    return node->n_params > 1 ? buffer_make(p, p->params->entries[node->param[1]].size, bias) : GRAFT_OK;
}

graft_status weight_gradients_ready(struct plan *p, const struct node *node, int weight, int bias)
{
    if (weight != NO_BUFFER && p->graph->params[node->param[0]].trains) // an unscaled BatchNorm's gamma does not
        TRY(ready_step(p, node->param[0], weight));
    return bias != NO_BUFFER ? ready_step(p, node->param[1], bias) : GRAFT_OK;
}

// Which pair serves an operation.  A row of ops.def without one does not compile.
#define EMIT_CONV conv_forward, conv_backward
#define EMIT_BN bn_forward, bn_backward
#define EMIT_SCALE scale_forward, scale_backward
#define EMIT_LRN lrn_forward, lrn_backward
#define EMIT_RELU elementwise_forward, elementwise_backward
#define EMIT_RELU6 elementwise_forward, elementwise_backward
#define EMIT_DROPOUT elementwise_forward, elementwise_backward
#define EMIT_ADD elementwise_forward, add_backward
#define EMIT_MAXPOOL pool_forward, pool_backward
#define EMIT_AVGPOOL pool_forward, pool_backward
#define EMIT_ADAPTIVE_AVGPOOL pool_forward, pool_backward
#define EMIT_DENSE dense_forward, dense_backward
#define EMIT_CONCAT concat_forward, concat_backward

typedef graft_status (*emit)(struct plan *p, const struct cell *cell);
static const struct { emit forward, backward; } emitters[OP_COUNT] = {
#define OP(id, text, n_min, n_max) [OP_##id] = {EMIT_##id},
#include "graph/ops.def"
#undef OP
};

graft_status cell_forward(struct plan *p, const struct cell *cell)
{
    TRY(value_make(p, cell->out));
    return emitters[cell->node->op].forward(p, cell);
}

graft_status cell_backward(struct plan *p, const struct cell *cell)
{
    return emitters[cell->node->op].backward(p, cell);
}

static int highest(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return (int)best;
}

// One output's part of the loss; the first one (s->flag) starts the sum.
static graft_status run_loss(struct plan *p, const struct step *s, const struct run *run)
{
    const double weight = p->graph->outputs[s->entry].weight;
    const double loss = softmax_loss(BUFFER(src), run->targets, weight, BUFFER(dst), p->options.batch, (int)s->size);
    p->loss = s->flag ? loss : p->loss + loss;
    const float *logits = BUFFER(src);
    p->hits = 0; // the main head comes last
    for (size_t i = 0; i < (size_t)p->options.batch; i++)
        p->hits += highest(logits + i * s->size, s->size) == highest(run->targets + i * s->size, s->size);
    return GRAFT_OK;
}

graft_status loss_steps(struct plan *p)
{
    const struct graph *g = p->graph;
    bool first = true;
    for (int k = 0; k < g->n_outputs; k++) {
        const int output = g->outputs[k].value;
        struct step *s;
        if (g->outputs[k].weight == 0)
            continue;
        if (!g->values[output].flat)
            return fail(GRAFT_FAILED, "training needs a network that ends in a dense layer");
        TRY(step_add(p, &s));
        s->run = run_loss;
        s->entry = k;
        s->flag = first;
        s->src = p->value_buffer[output];
        s->size = (size_t)g->values[output].c;
        if (p->needs_gradient[output])
            TRY(buffer_make(p, value_floats(p, output), &s->dst));
        step_uses(p, s);
        TRY(gradient_give(p, output, s->dst));
        first = false;
    }
    return GRAFT_OK;
}
