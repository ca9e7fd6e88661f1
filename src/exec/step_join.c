// exec/step_join.c: elementwise operations: activations that stand alone, dropout, add.

#include "exec/steps.h"
#include "base/rng.h"
#include <string.h>

static graft_status run_act(struct plan *p, const struct step *s, const struct run *run)
{
    memcpy(BUFFER(dst), BUFFER(src), s->size * sizeof(float));
    p->kernels->act_forward(BUFFER(dst), s->size, s->cell->node->op == OP_RELU ? ACT_RELU : ACT_RELU6);
    return GRAFT_OK;
}

static graft_status run_lone_act_backward(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->act_backward(value_rows(p, s->cell->out), MAP(src), MAP(dst), MAP(dst),
                             s->cell->node->op == OP_RELU ? ACT_RELU : ACT_RELU6);
    return GRAFT_OK;
}

// The mask is a number a picture, so it does not depend on the layout.
static void drop_whole(const float *src, float *dst, int batch, size_t each, float rate, uint64_t key)
{
    const float keep = 1 / (1 - rate);
#pragma omp parallel for schedule(static)
    for (int n = 0; n < batch; n++) {
        const float factor = rng_unit(rng_hash(key, (uint64_t)n, 0, 0)) < rate ? 0 : keep;
        for (size_t i = (size_t)n * each; i < (size_t)(n + 1) * each; i++)
            dst[i] = factor > 0 ? src[i] * factor : 0; // also of what is no number
    }
}

static graft_status run_dropout(struct plan *p, const struct step *s, const struct run *run)
{
    const float rate = p->options.mode == PLAN_TRAIN ? s->cell->node->attr.dropout.rate : 0;
    if (rate == 0)
        memmove(BUFFER(dst), BUFFER(src), s->size * sizeof(float));
    else if (s->cell->node->attr.dropout.whole)
        drop_whole(BUFFER(src), BUFFER(dst), p->options.batch, s->size / (size_t)p->options.batch, rate,
                   rng_hash(RNG_DROPOUT, run->seed, run->step, (uint64_t)s->cell->layer));
    else
        p->kernels->dropout(BUFFER(src), BUFFER(dst), s->size, rate, run->seed, run->step, (uint64_t)s->cell->layer);
    return GRAFT_OK;
}

static graft_status run_add(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->add(value_rows(p, s->cell->out), MAP(src), MAP(src2), MAP(dst), s->cell->act);
    return GRAFT_OK;
}

graft_status add_again(struct plan *p, const struct cell *cell) { return elementwise_forward(p, cell); }

graft_status elementwise_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    if (cell->bn != NULL)
        return bn_forward(p, cell);
    if (cell_narrow(p, cell))
        return add_narrow_forward(p, cell);
    TRY(step_add(p, &s));
    const enum op op = cell->node->op;
    s->run = op == OP_ADD ? run_add : op == OP_DROPOUT ? run_dropout : run_act;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->src2 = op == OP_ADD ? p->value_buffer[cell->node->in[1]] : NO_BUFFER;
    s->dst = p->value_buffer[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status elementwise_backward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    if (cell->node->op == OP_DROPOUT)
        TRY(gradient_apart(p, cell->out));
    TRY(step_add(p, &s));
    s->run = cell->node->op == OP_DROPOUT ? run_dropout : run_lone_act_backward;
    s->cell = cell;
    s->dst = p->value_gradient[cell->out];
    s->src = cell->node->op == OP_DROPOUT ? s->dst : p->value_buffer[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return gradient_give(p, cell->node->in[0], s->dst);
}

// Both sides receive the same gradient: the second a copy, so that the first may be changed in place.
graft_status add_backward(struct plan *p, const struct cell *cell)
{
    if (cell->bn != NULL)
        return bn_backward(p, cell);
    if (cell_narrow(p, cell))
        return add_narrow_backward(p, cell);
    TRY(act_backward_step(p, cell));
    const int diff = p->value_gradient[cell->out], a = cell->node->in[0], b = cell->node->in[1];
    if (p->needs_gradient[b] && (p->needs_gradient[a] || a == b)) {
        int copy;
        TRY(buffer_make(p, value_floats(p, b), &copy));
        TRY(copy_step(p, cell, b, diff, copy));
        TRY(gradient_give(p, b, copy));
        return gradient_give(p, a, diff);
    }
    return gradient_give(p, p->needs_gradient[b] ? b : a, diff);
}
