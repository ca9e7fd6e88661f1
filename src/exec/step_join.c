// exec/step_join.c: elementwise operations (activations that stand alone, dropout) and joins (add, concat).

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
    p->kernels->act_backward(BUFFER(src), BUFFER(dst), s->size, s->cell->node->op == OP_RELU ? ACT_RELU : ACT_RELU6);
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
    if (s->narrow) {
        p->kernels->bf16->add(half(BUFFER(src)), half(BUFFER(src2)), half(BUFFER(dst)), s->size, s->cell->act);
        return GRAFT_OK;
    }
    p->kernels->add(BUFFER(src), BUFFER(src2), BUFFER(dst), s->size);
    if (s->cell->act != ACT_NONE)
        p->kernels->act_forward(BUFFER(dst), s->size, s->cell->act);
    return GRAFT_OK;
}

static graft_status add_narrow(struct plan *p, const struct cell *cell)
{
    const int a = cell->node->in[0], b = cell->node->in[1];
    const struct bf16_map map = half_map(p, cell->out);
    struct step *s;
    int src, src2, dst;
    TRY(half_read(p, a, p->value_buffer[a], &src));
    TRY(half_read(p, b, p->value_buffer[b], &src2));
    TRY(half_make(p, cell->out, &dst));
    TRY(step_add(p, &s));
    s->run = run_add;
    s->cell = cell;
    s->narrow = true;
    s->src = src;
    s->src2 = src2;
    s->dst = dst;
    s->size = map.pixels * map.channels;
    step_uses(p, s);
    return half_made(p, cell->out, dst);
}

graft_status add_again(struct plan *p, const struct cell *cell) { return elementwise_forward(p, cell); }

static graft_status run_copy(struct plan *p, const struct step *s, const struct run *run)
{
    memcpy(BUFFER(dst), BUFFER(src), s->size * (s->narrow ? sizeof(uint16_t) : sizeof(float)));
    return GRAFT_OK;
}

// Copies channels between a part (whole) and the parent's channels from s->offset; s->flag: parent to part (gradient).
static graft_status run_concat(struct plan *p, const struct step *s, const struct run *run)
{
    const int part = s->entry, v = p->kernels->lanes;
    const struct map_shape a = value_map(p, part), b = value_map(p, s->cell->out);
    const size_t area = (size_t)a.h * a.w;
    float *small = s->flag ? BUFFER(dst) : BUFFER(src), *large = s->flag ? BUFFER(src) : BUFFER(dst);
    const int channels = p->graph->values[part].c, begin = (int)s->offset;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < a.n; n++) {
        if (s->flag)
            memset(small + (size_t)n * a.cb * area * v, 0, a.cb * area * v * sizeof(float));
        for (int c = 0; c < channels; c++) {
            float *x = small + ((size_t)n * a.cb + c / v) * area * v + c % v;
            float *y = large + ((size_t)n * b.cb + (begin + c) / v) * area * v + (begin + c) % v;
            for (size_t i = 0; i < area; i++)
                if (s->flag)
                    x[i * v] = y[i * v];
                else
                    y[i * v] = x[i * v];
        }
    }
    if (!s->flag && begin + channels == p->graph->values[s->cell->out].c) // the last part clears the tail
        for (int c = begin + channels; c < b.cb * v; c++)
            for (int n = 0; n < a.n; n++)
                for (size_t i = 0; i < area; i++)
                    large[((size_t)n * b.cb + c / v) * area * v + i * v + c % v] = 0;
    return GRAFT_OK;
}

static graft_status concat_steps(struct plan *p, const struct cell *cell, bool backward)
{
    size_t offset = 0;
    for (int k = 0; k < cell->node->n_in; k++) {
        const int part = cell->node->in[k];
        struct step *s;
        if (!backward || p->needs_gradient[part]) {
            int diff = NO_BUFFER;
            if (backward)
                TRY(buffer_make(p, value_floats(p, part), &diff));
            TRY(step_add(p, &s));
            s->run = run_concat;
            s->cell = cell;
            s->entry = part;
            s->offset = offset;
            s->flag = backward;
            s->src = backward ? p->value_gradient[cell->out] : p->value_buffer[part];
            s->dst = backward ? diff : p->value_buffer[cell->out];
            step_uses(p, s);
            if (backward)
                TRY(gradient_give(p, part, diff));
        }
        offset += (size_t)p->graph->values[part].c;
    }
    return GRAFT_OK;
}

graft_status elementwise_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    if (cell_narrow(p, cell))
        return add_narrow(p, cell);
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
    TRY(step_add(p, &s));
    s->run = cell->node->op == OP_DROPOUT ? run_dropout : run_lone_act_backward;
    s->cell = cell;
    s->dst = p->value_gradient[cell->out];
    s->src = cell->node->op == OP_DROPOUT ? s->dst : p->value_buffer[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return gradient_give(p, cell->node->in[0], s->dst);
}

static graft_status copy_step(struct plan *p, int value, bool narrow, int src, int *out)
{
    const struct bf16_map map = half_map(p, value);
    struct step *s;
    TRY(narrow ? narrow_buffer(p, value, out) : buffer_make(p, value_floats(p, value), out));
    TRY(step_add(p, &s));
    s->run = run_copy;
    s->narrow = narrow;
    s->src = src;
    s->dst = *out;
    s->size = narrow ? map.pixels * map.channels : value_floats(p, value);
    step_uses(p, s);
    return GRAFT_OK;
}

// Both sides receive the same gradient: the second a copy, so that the first may be changed in place.
graft_status add_backward(struct plan *p, const struct cell *cell)
{
    TRY(act_backward_step(p, cell));
    const int a = cell->node->in[0], b = cell->node->in[1];
    const bool narrow = cell_narrow(p, cell);
    int diff = p->value_gradient[cell->out], copy = diff;
    if (narrow)
        TRY(half_read(p, cell->out, diff, &diff));
    const bool both = p->needs_gradient[b] && (p->needs_gradient[a] || a == b);
    if (both)
        TRY(copy_step(p, b, narrow, diff, &copy));
    else
        copy = diff;
    if (narrow) {
        TRY(p->needs_gradient[b] ? half_give(p, b, copy, NO_BUFFER) : GRAFT_OK);
        return both || !p->needs_gradient[b] ? half_give(p, a, diff, NO_BUFFER) : GRAFT_OK;
    }
    TRY(gradient_give(p, b, copy));
    return both || !p->needs_gradient[b] ? gradient_give(p, a, diff) : GRAFT_OK;
}

graft_status concat_forward(struct plan *p, const struct cell *cell) { return concat_steps(p, cell, false); }
graft_status concat_backward(struct plan *p, const struct cell *cell) { return concat_steps(p, cell, true); }
