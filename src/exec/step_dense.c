// exec/step_dense.c: dense layers, y = x W' + b, as matrix products.

#include "exec/steps.h"
#include <string.h>

static int dense_width(const struct plan *p, int value)
{
    return (int)(value_floats(p, value) / (size_t)p->options.batch);
}

static struct dense_shape dense_shape(const struct plan *p, const struct cell *cell)
{
    return (struct dense_shape){p->options.batch, dense_width(p, cell->node->in[0]), cell->node->attr.dense.units};
}

static graft_status run_dense(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    p->kernels->dense->forward(dense_shape(p, s->cell), BUFFER(src), plan_param(p, node->param[0]),
                               node->attr.dense.bias ? plan_param(p, node->param[1]) : NULL, BUFFER(dst),
                               s->cell->act);
    return GRAFT_OK;
}

// Rows of the gradient of the weights that are made and used up at a time, while they are in the caches.
static int gradient_rows(const struct plan *p, struct dense_shape s)
{
    enum { FLOATS = 1 << 17 }; // a thread's part
    const int least = p->kernels->dense->rows, fit = FLOATS / s.k / least * least;
    const int rows = (fit > least ? fit : least) * exec_threads();
    return rows < s.units ? rows : s.units;
}

static graft_status run_dense_weights(struct plan *p, const struct step *s, const struct run *run)
{
    const struct dense_shape shape = dense_shape(p, s->cell);
    const int entry = s->cell->node->param[0], step = (int)s->whole;
    const size_t size = p->params->entries[entry].size, k = (size_t)shape.k;
    float *weight = BUFFER(extra), *bias = BUFFER(extra2);
    for (int first = 0; first < shape.units; first += step) {
        const int rows = first + step < shape.units ? step : shape.units - first;
        struct gradient g = {entry, first * k, rows * k, weight};
        p->kernels->dense->weights(shape, BUFFER(dst), BUFFER(src), first, rows, weight);
        if (first + rows == shape.units) { // with the gap to the next entry
            memset(weight + g.n, 0, (size - g.first - g.n) * sizeof *weight);
            g.n = size - g.first;
        }
        if (run->ready != NULL)
            run->ready(run->user, g);
    }
    if (bias != NULL) {
        memset(bias, 0, p->params->entries[s->cell->node->param[1]].size * sizeof *bias);
        p->kernels->dense->bias(shape, BUFFER(dst), bias);
    }
    return GRAFT_OK;
}

static graft_status run_dense_data(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->dense->data(dense_shape(p, s->cell), BUFFER(dst), plan_param(p, s->cell->node->param[0]), BUFFER(src));
    return GRAFT_OK;
}

graft_status dense_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_dense;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    step_uses(p, s);
    return GRAFT_OK;
}

// Makes the gradient of the weights part by part and gives each to the run's hook, which changes the weights.
static graft_status weights_step(struct plan *p, const struct cell *cell, int diff)
{
    const struct node *node = cell->node;
    const struct dense_shape shape = dense_shape(p, cell);
    const size_t rows = (size_t)gradient_rows(p, shape), size = p->params->entries[node->param[0]].size;
    int weight, bias = NO_BUFFER;
    struct step *s;
    TRY(value_again(p, node->in[0]));
    TRY(buffer_make(p, rows * shape.k + (size - (size_t)shape.units * shape.k), &weight));
    if (node->attr.dense.bias)
        TRY(buffer_make(p, p->params->entries[node->param[1]].size, &bias));
    TRY(step_add(p, &s));
    s->run = run_dense_weights;
    s->cell = cell;
    s->src = p->value_buffer[node->in[0]];
    s->dst = diff;
    s->extra = weight;
    s->extra2 = bias;
    s->whole = rows;
    step_uses(p, s);
    return bias != NO_BUFFER ? ready_step(p, node->param[1], bias) : GRAFT_OK;
}

static graft_status data_step(struct plan *p, const struct cell *cell, int diff)
{
    const int in = cell->node->in[0];
    int diff_src;
    struct step *s;
    TRY(buffer_make(p, value_floats(p, in), &diff_src));
    TRY(step_add(p, &s));
    s->run = run_dense_data;
    s->cell = cell;
    s->src = diff_src;
    s->dst = diff;
    step_uses(p, s);
    return gradient_give(p, in, diff_src);
}

// By data first: it reads the weights as they were.
graft_status dense_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    TRY(act_backward_step(p, cell));
    const int diff = p->value_gradient[cell->out];
    if (p->needs_gradient[node->in[0]])
        TRY(data_step(p, cell, diff));
    return node->trains && p->options.mode == PLAN_TRAIN ? weights_step(p, cell, diff) : GRAFT_OK;
}
