// exec/step_bn.c: BatchNorm on batch or fixed statistics, with the activation after it.

#include "exec/steps.h"
#include <math.h>
#include <string.h>

static bool bn_uses_batch(const struct plan *p, const struct node *node)
{
    return p->options.mode == PLAN_TRAIN && p->options.bn == BN_TRAIN && node->trains;
}

// Statistics of the batch into `mean` and `variance`.
static void statistics(const struct plan *p, const struct step *s, const struct run *run, float *mean, float *variance)
{
    if (s->narrow)
        p->kernels->bf16->bn_statistics(half_map(p, s->cell->out), half(BUFFER(src)), (double *)BUFFER(partial), mean,
                                        variance);
    else
        p->kernels->bn_statistics(value_map(p, s->cell->out), BUFFER(src), mean, variance);
}

static void apply(const struct plan *p, const struct step *s, const struct run *run, const float *scale,
                  const float *shift)
{
    if (s->narrow)
        p->kernels->bf16->bn_apply(half_map(p, s->cell->out), half(BUFFER(src)), scale, shift, half(BUFFER(dst)),
                                   s->cell->act);
    else
        p->kernels->bn_apply(value_map(p, s->cell->out), BUFFER(src), scale, shift, BUFFER(dst), s->cell->act);
}

// extra: mean, inverse (kept for backward); scratch: scale, shift.  Each is channel_floats long.
static graft_status run_bn(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const struct bn_attr *a = &node->attr.bn;
    const struct map_shape map = value_map(p, s->cell->out);
    const size_t c = channel_floats(p, s->cell->out);
    float *mean = BUFFER(extra), *inverse = mean + c, *scale = BUFFER(scratch), *shift = scale + c;
    const float *gamma = plan_param(p, node->param[0]), *beta = plan_param(p, node->param[1]);
    float *running_mean = plan_param(p, node->param[2]), *running_variance = plan_param(p, node->param[3]);
    if (s->flag) {
        const double count = (double)map.n * map.h * map.w;
        const float correction = a->unbiased && count > 1 ? (float)(count / (count - 1)) : 1;
        statistics(p, s, run, mean, inverse);
        for (int i = 0; i < p->graph->values[s->cell->out].c; i++) {
            running_mean[i] += a->momentum * (mean[i] - running_mean[i]);
            running_variance[i] += a->momentum * (inverse[i] * correction - running_variance[i]);
        }
    } else {
        memcpy(mean, running_mean, c * sizeof *mean);
        memcpy(inverse, running_variance, c * sizeof *inverse);
    }
    for (size_t i = 0; i < c; i++) {
        inverse[i] = 1 / sqrtf(inverse[i] + a->epsilon);
        scale[i] = gamma[i] * inverse[i];
        shift[i] = beta[i] - mean[i] * scale[i];
    }
    apply(p, s, run, scale, shift);
    return GRAFT_OK;
}

// Mean and inverse were kept.
static graft_status run_bn_again(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const size_t c = channel_floats(p, s->cell->out);
    const float *mean = BUFFER(extra), *inverse = mean + c, *gamma = plan_param(p, node->param[0]);
    const float *beta = plan_param(p, node->param[1]);
    float *scale = BUFFER(scratch), *shift = scale + c;
    for (size_t i = 0; i < c; i++) {
        scale[i] = gamma[i] * inverse[i];
        shift[i] = beta[i] - mean[i] * scale[i];
    }
    apply(p, s, run, scale, shift);
    return GRAFT_OK;
}

static int bn_saved(const struct plan *p, const struct cell *cell)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].cell == cell && p->steps[i].run == run_bn)
            return p->steps[i].extra;
    ASSERT(!"the forward step of a BatchNorm");
    return NO_BUFFER;
}

// The step from the source to the value; `saved`: mean and inverse, NO_BUFFER: made here.
static graft_status bn_step(struct plan *p, const struct cell *cell, int saved)
{
    struct step *s;
    const int in = cell->node->in[0];
    const size_t c = channel_floats(p, cell->out);
    const bool narrow = cell_narrow(p, cell);
    int src = p->value_buffer[in], dst = p->value_buffer[cell->out];
    if (narrow) {
        TRY(half_read(p, in, src, &src));
        TRY(half_make(p, cell->out, &dst));
    }
    TRY(step_add(p, &s));
    s->run = saved == NO_BUFFER ? run_bn : run_bn_again;
    s->cell = cell;
    s->narrow = narrow;
    s->flag = saved == NO_BUFFER && bn_uses_batch(p, cell->node);
    s->src = src;
    s->dst = dst;
    s->extra = saved;
    if (saved == NO_BUFFER)
        TRY(buffer_make(p, 2 * c, &s->extra));
    TRY(buffer_make(p, 2 * c, &s->scratch));
    if (narrow && s->flag)
        TRY(buffer_make(p, bf16_partial(half_map(p, cell->out)), &s->partial));
    step_uses(p, s);
    return narrow ? half_made(p, cell->out, dst) : GRAFT_OK;
}

graft_status bn_forward(struct plan *p, const struct cell *cell) { return bn_step(p, cell, NO_BUFFER); }
graft_status bn_again(struct plan *p, const struct cell *cell) { return bn_step(p, cell, bn_saved(p, cell)); }

// src2: the activated output; dst: the gradient, in place; scratch: gradients of gamma and beta.
static graft_status run_bn_backward(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const size_t c = channel_floats(p, s->cell->out);
    float *mean = BUFFER(extra), *gamma = BUFFER(scratch), *beta = BUFFER(extra2);
    const enum dnn_act act = p->masked[s->cell->out] ? ACT_NONE : s->cell->act;
    const bool need_src = p->needs_gradient[node->in[0]];
    if (s->narrow)
        p->kernels->bf16->bn_backward(half_map(p, s->cell->out), half(BUFFER(src)), half(BUFFER(src2)),
                                      half(BUFFER(dst)), mean, mean + c, plan_param(p, node->param[0]), act, s->flag,
                                      need_src, (double *)BUFFER(partial), gamma, beta);
    else
        p->kernels->bn_backward(value_map(p, s->cell->out), BUFFER(src), BUFFER(src2), BUFFER(dst), mean, mean + c,
                                plan_param(p, node->param[0]), act, s->flag, need_src, gamma, beta);
    return GRAFT_OK;
}

graft_status bn_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    struct step *s;
    int gamma, beta;
    const int saved = bn_saved(p, cell);
    const bool masks = cell->act != ACT_NONE && !p->masked[cell->out];
    if (masks)
        TRY(value_again(p, cell->out));
    if (node->trains)
        TRY(value_again(p, node->in[0]));
    TRY(weight_gradients_make(p, node, &gamma, &beta));
    const bool narrow = cell_narrow(p, cell);
    int diff = p->value_gradient[cell->out];
    int made = masks ? p->value_buffer[cell->out] : diff;               // else it is not read
    int src = node->trains ? p->value_buffer[node->in[0]] : made;       // fixed gamma: the source is not read
    if (narrow) {
        TRY(half_read(p, cell->out, diff, &diff));
        made = diff;
        if (masks)
            TRY(half_read(p, cell->out, p->value_buffer[cell->out], &made));
        src = made;
        if (node->trains)
            TRY(half_read(p, node->in[0], p->value_buffer[node->in[0]], &src));
    }
    TRY(step_add(p, &s));
    s->run = run_bn_backward;
    s->cell = cell;
    s->narrow = narrow;
    s->flag = bn_uses_batch(p, node);
    s->src2 = made;
    s->src = src;
    s->dst = diff;
    s->extra = saved;
    s->scratch = gamma;
    s->extra2 = beta;
    if (narrow)
        TRY(buffer_make(p, bf16_partial(half_map(p, cell->out)), &s->partial));
    step_uses(p, s);
    if (narrow)
        TRY(half_give(p, node->in[0], diff, NO_BUFFER));
    else
        TRY(gradient_give(p, node->in[0], diff));
    return weight_gradients_ready(p, node, gamma, beta);
}
