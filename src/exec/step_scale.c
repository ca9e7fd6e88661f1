// exec/step_scale.c: y = gamma x + beta per channel, with the activation after it.
// The kernels are BatchNorm's with a mean of 0 and a deviation of 1.

#include "exec/steps.h"

static graft_status run_scale(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    p->kernels->bn_apply(value_map(p, s->cell->out), MAP(src), plan_param(p, node->param[0]),
                         plan_param(p, node->param[1]), (struct map){0}, MAP(dst), s->cell->act);
    return GRAFT_OK;
}

graft_status scale_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_scale;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    step_uses(p, s);
    return GRAFT_OK;
}

// src2: the activated output; dst: the gradient, in place; scratch, extra2: gradients of gamma and beta; extra: mean
// and inverse deviation.
static graft_status run_scale_backward(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const size_t c = channel_floats(p, s->cell->out);
    float *mean = BUFFER(extra), *inverse = mean + c;
    for (size_t i = 0; i < c; i++) {
        mean[i] = 0;
        inverse[i] = 1;
    }
    const struct bn_gradient g = {
        .shape = value_map(p, s->cell->out), .src = MAP(src), .dst = MAP(src2), .diff = MAP(dst),
        .diff_src = p->needs_gradient[node->in[0]] ? MAP(dst) : (struct map){0}, .mean = mean, .inverse = inverse,
        .gamma = plan_param(p, node->param[0]), .act = s->cell->act, .diff_gamma = BUFFER(scratch),
        .diff_beta = BUFFER(extra2)};
    p->kernels->bn_backward(&g);
    return GRAFT_OK;
}

graft_status scale_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    struct step *s;
    int gamma, beta, constants;
    if (node->trains)
        TRY(value_again(p, node->in[0]));
    TRY(weight_gradients_make(p, node, &gamma, &beta));
    TRY(buffer_make(p, 2 * channel_floats(p, cell->out), &constants));
    TRY(step_add(p, &s));
    s->run = run_scale_backward;
    s->cell = cell;
    s->src2 = p->value_buffer[cell->out];
    s->src = node->trains ? p->value_buffer[node->in[0]] : s->src2; // fixed gamma: the source is not read
    s->dst = p->value_gradient[cell->out];
    s->extra = constants;
    s->scratch = gamma;
    s->extra2 = beta;
    step_uses(p, s);
    TRY(gradient_give(p, node->in[0], s->dst));
    return weight_gradients_ready(p, node, gamma, beta);
}
