// exec/step_dense.c: dense layers, y = x W' + b, as matrix products.

#include "exec/steps.h"
#include <string.h>

static int dense_width(const struct plan *p, int value)
{
    return (int)(value_floats(p, value) / (size_t)p->options.batch);
}

static graft_status run_dense(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const int n = p->options.batch, k = dense_width(p, node->in[0]), units = node->attr.dense.units;
    float *dst = BUFFER(dst);
    TRY(dnn_sgemm(false, true, n, units, k, BUFFER(src), k, plan_param(p, node->param[0]), k, dst, units));
    p->kernels->bias_add(dst, node->attr.dense.bias ? plan_param(p, node->param[1]) : NULL, n, units, s->cell->act);
    return GRAFT_OK;
}

static graft_status run_dense_weights(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const int n = p->options.batch, k = dense_width(p, node->in[0]), units = node->attr.dense.units;
    float *weight = BUFFER(extra), *bias = BUFFER(extra2);
    const size_t size = p->params->entries[node->param[0]].size, used = (size_t)units * k;
    memset(weight + used, 0, (size - used) * sizeof *weight);
    TRY(dnn_sgemm(true, false, units, k, n, BUFFER(dst), units, BUFFER(src), k, weight, k));
    if (bias != NULL) {
        memset(bias, 0, p->params->entries[node->param[1]].size * sizeof *bias);
        p->kernels->bias_gradient(BUFFER(dst), bias, n, units);
    }
    return GRAFT_OK;
}

static graft_status run_dense_data(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const int n = p->options.batch, k = dense_width(p, node->in[0]), units = node->attr.dense.units;
    return dnn_sgemm(false, false, n, k, units, BUFFER(dst), units, plan_param(p, node->param[0]), k, BUFFER(src), k);
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

graft_status dense_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const int in = node->in[0];
    int weight, bias;
    struct step *s;
    TRY(act_backward_step(p, cell));
    const int diff = p->value_gradient[cell->out];
    if (node->trains)
        TRY(value_again(p, in));
    TRY(weight_gradients_make(p, node, &weight, &bias));
    if (weight != NO_BUFFER) {
        TRY(step_add(p, &s));
        s->run = run_dense_weights;
        s->cell = cell;
        s->src = p->value_buffer[in];
        s->dst = diff;
        s->extra = weight;
        s->extra2 = bias;
        step_uses(p, s);
    }
    if (p->needs_gradient[in]) {
        int diff_src;
        TRY(buffer_make(p, value_floats(p, in), &diff_src));
        TRY(step_add(p, &s));
        s->run = run_dense_data;
        s->cell = cell;
        s->src = diff_src;
        s->dst = diff;
        step_uses(p, s);
        TRY(gradient_give(p, in, diff_src));
    }
    return weight_gradients_ready(p, node, weight, bias);
}
