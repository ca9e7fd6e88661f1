// exec/step_bn.c: BatchNorm on batch or fixed statistics, with the residual added to it and the activation after it.
// Backward the masked gradient is the residual's as it is.

#include "exec/steps.h"
#include <math.h>
#include <string.h>

static const struct node *bn_of(const struct cell *cell) { return cell->bn != NULL ? cell->bn : cell->node; }

// The value that is added, -1: none.
static int residual_of(const struct cell *cell)
{
    return cell->bn == NULL ? -1 : cell->node->in[cell->node->in[0] == cell->bn->out];
}

static int residual_buffer(const struct plan *p, const struct cell *cell)
{
    return cell->bn == NULL ? NO_BUFFER : p->value_buffer[residual_of(cell)];
}

static bool bn_uses_batch(const struct plan *p, const struct node *node)
{
    return p->options.mode == PLAN_TRAIN && p->options.bn == BN_TRAIN && node->trains;
}

// Mean and variance.  Of a growing value only the blocks that nobody has measured yet: s->offset of its own, from block
// s->size of the whole on, whose statistics extra2 holds.
static void statistics(struct plan *p, const struct step *s, const struct run *run, float *mean, float *variance)
{
    if (s->narrow) {
        p->kernels->bf16->bn_statistics(half_map(p, s->cell->out), half(BUFFER(src)), (double *)BUFFER(partial), mean,
                                        variance);
        return;
    }
    struct map_shape map = value_map(p, s->cell->out);
    struct map src = MAP(src);
    const size_t v = (size_t)p->kernels->lanes, c = channel_floats(p, s->cell->out), all = s->whole * v;
    if (s->extra2 == NO_BUFFER) {
        p->kernels->bn_statistics(map, src, mean, variance);
        return;
    }
    float *const kept = BUFFER(extra2) + s->size * v; // means, then variances
    map.cb -= (int)s->offset;
    src.at += s->offset * map.h * map.w * v;
    if (map.cb > 0)
        p->kernels->bn_statistics(map, src, kept + s->offset * v, kept + all + s->offset * v);
    memcpy(mean, kept, c * sizeof *mean);
    memcpy(variance, kept + all, c * sizeof *variance);
}

static void apply(const struct plan *p, const struct step *s, const struct run *run, const float *scale,
                  const float *shift)
{
    if (s->narrow)
        p->kernels->bf16->bn_apply(half_map(p, s->cell->out), half(BUFFER(src)), scale, shift, half(BUFFER(dst)),
                                   s->cell->act);
    else
        p->kernels->bn_apply(value_map(p, s->cell->out), MAP(src), scale, shift, MAP(src2), MAP(dst), s->cell->act);
}

// src2: the residual; extra: mean, inverse (kept for backward); scratch: scale, shift.  Each is channel_floats long.
static graft_status run_bn(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = bn_of(s->cell);
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
    const struct node *node = bn_of(s->cell);
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

// What lies in a concat's value, or is one: a dense block's BatchNorms measure its channels once.
static graft_status statistics_share(struct plan *p, struct step *s, int value)
{
    int whole = value, channel = 0;
    for (; p->places[whole].whole >= 0; whole = p->places[whole].whole)
        channel += p->places[whole].channel;
    struct place *place = &p->places[whole];
    const int first = channel / p->kernels->lanes, blocks = value_map(p, value).cb;
    if ((whole == value && place->statistics == NO_BUFFER) || first > place->measured)
        return GRAFT_OK;
    if (place->statistics == NO_BUFFER)
        TRY(buffer_make(p, 2 * channel_floats(p, whole), &place->statistics));
    s->extra2 = place->statistics;
    s->whole = (size_t)value_map(p, whole).cb;
    s->size = (size_t)first;
    s->offset = (size_t)(place->measured - first < blocks ? place->measured - first : blocks);
    if (first + blocks > place->measured)
        place->measured = first + blocks;
    return GRAFT_OK;
}

// In bf16: the step from the source to the value; `saved`: mean and inverse, NO_BUFFER: made here.
static graft_status bn_narrow(struct plan *p, const struct cell *cell, int saved)
{
    struct step *s;
    const int in = cell->node->in[0];
    int src, dst;
    TRY(half_read(p, in, p->value_buffer[in], &src));
    TRY(half_make(p, cell->out, &dst));
    TRY(step_add(p, &s));
    s->run = saved == NO_BUFFER ? run_bn : run_bn_again;
    s->cell = cell;
    s->narrow = true;
    s->flag = saved == NO_BUFFER && bn_uses_batch(p, cell->node);
    s->src = src;
    s->dst = dst;
    s->extra = saved;
    if (saved == NO_BUFFER)
        TRY(buffer_make(p, 2 * channel_floats(p, cell->out), &s->extra));
    TRY(buffer_make(p, 2 * channel_floats(p, cell->out), &s->scratch));
    if (s->flag)
        TRY(buffer_make(p, bf16_partial(half_map(p, cell->out)), &s->partial));
    step_uses(p, s);
    return half_made(p, cell->out, dst);
}

graft_status bn_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    if (cell_narrow(p, cell))
        return bn_narrow(p, cell, NO_BUFFER);
    const size_t c = channel_floats(p, cell->out);
    TRY(step_add(p, &s));
    s->run = run_bn;
    s->cell = cell;
    s->flag = bn_uses_batch(p, bn_of(cell));
    s->src = p->value_buffer[bn_of(cell)->in[0]];
    s->src2 = residual_buffer(p, cell);
    s->dst = p->value_buffer[cell->out];
    if (s->flag)
        TRY(statistics_share(p, s, bn_of(cell)->in[0]));
    TRY(buffer_make(p, 2 * c, &s->extra));
    TRY(buffer_make(p, 2 * c, &s->scratch));
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status bn_again(struct plan *p, const struct cell *cell)
{
    struct step *s;
    const int saved = bn_saved(p, cell);
    if (cell_narrow(p, cell))
        return bn_narrow(p, cell, saved);
    TRY(step_add(p, &s));
    s->run = run_bn_again;
    s->cell = cell;
    s->src = p->value_buffer[bn_of(cell)->in[0]];
    s->src2 = residual_buffer(p, cell);
    s->dst = p->value_buffer[cell->out];
    s->extra = saved;
    TRY(buffer_make(p, 2 * channel_floats(p, cell->out), &s->scratch));
    step_uses(p, s);
    return GRAFT_OK;
}

// src2: the activated output; dst: the gradient, masked in place; dst2: that of the source, which may be dst, and may
// hold what is to be added to; scratch, extra2: gradients of gamma and beta.
static graft_status run_bn_backward(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = bn_of(s->cell);
    const size_t c = channel_floats(p, s->cell->out);
    const float *mean = BUFFER(extra);
    if (s->narrow) {
        p->kernels->bf16->bn_backward(half_map(p, s->cell->out), half(BUFFER(src)), half(BUFFER(src2)),
                                      half(BUFFER(dst)), mean, mean + c, plan_param(p, node->param[0]),
                                      p->masked[s->cell->out] ? ACT_NONE : s->cell->act, s->flag,
                                      p->needs_gradient[node->in[0]], (double *)BUFFER(partial), BUFFER(scratch),
                                      BUFFER(extra2));
        return GRAFT_OK;
    }
    const struct bn_gradient g = {
        .shape = value_map(p, s->cell->out), .src = MAP(src), .dst = MAP(src2), .diff = MAP(dst), .diff_src = MAP(dst2),
        .add = s->adds, .mean = mean, .inverse = mean + c, .gamma = plan_param(p, node->param[0]),
        .act = p->masked[s->cell->out] ? ACT_NONE : s->cell->act, .batch_statistics = s->flag,
        .diff_gamma = BUFFER(scratch), .diff_beta = BUFFER(extra2)};
    p->kernels->bn_backward(&g);
    return GRAFT_OK;
}

static graft_status bn_narrow_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const int in = node->in[0], saved = bn_saved(p, cell);
    const bool masks = cell->act != ACT_NONE && !p->masked[cell->out];
    struct step *s;
    int gamma, beta, diff, made, src;
    TRY(weight_gradients_make(p, node, &gamma, &beta));
    TRY(half_read(p, cell->out, p->value_gradient[cell->out], &diff));
    src = made = diff; // where they are not read
    if (masks) {
        TRY(value_again(p, cell->out));
        TRY(half_read(p, cell->out, p->value_buffer[cell->out], &made));
    }
    if (node->trains) {
        TRY(value_again(p, in));
        TRY(half_read(p, in, p->value_buffer[in], &src));
    }
    TRY(step_add(p, &s));
    s->run = run_bn_backward;
    s->cell = cell;
    s->narrow = true;
    s->flag = bn_uses_batch(p, node);
    s->src2 = made;
    s->src = src;
    s->dst = diff;
    s->extra = saved;
    s->scratch = gamma;
    s->extra2 = beta;
    TRY(buffer_make(p, bf16_partial(half_map(p, cell->out)), &s->partial));
    step_uses(p, s);
    TRY(half_give(p, in, diff, NO_BUFFER));
    return weight_gradients_ready(p, node, gamma, beta);
}

graft_status bn_backward(struct plan *p, const struct cell *cell)
{
    if (cell_narrow(p, cell))
        return bn_narrow_backward(p, cell);
    const struct node *node = bn_of(cell);
    struct step *s;
    int gamma, beta, diff_src = NO_BUFFER;
    const int in = node->in[0], saved = bn_saved(p, cell), residual = residual_of(cell);
    const bool shares = residual >= 0 && p->needs_gradient[residual];
    const bool masks = cell->act != ACT_NONE && !p->masked[cell->out];
    if (masks)
        TRY(value_again(p, cell->out));
    if (node->trains)
        TRY(value_again(p, in));
    TRY(weight_gradients_make(p, node, &gamma, &beta));
    const bool adds = p->needs_gradient[in] && p->value_gradient[in] != NO_BUFFER;
    if (adds)
        diff_src = p->value_gradient[in];
    else if (p->needs_gradient[in] && (shares || is_view(p, p->value_gradient[cell->out]))) // its readers want it apart
        TRY(buffer_make(p, value_floats(p, in), &diff_src));
    else if (p->needs_gradient[in])
        diff_src = p->value_gradient[cell->out];
    TRY(step_add(p, &s));
    s->run = run_bn_backward;
    s->cell = cell;
    s->flag = bn_uses_batch(p, node);
    s->src2 = masks ? p->value_buffer[cell->out] : p->value_gradient[cell->out]; // else it is not read
    s->src = node->trains ? p->value_buffer[in] : s->src2; // fixed gamma: the source is not read
    s->dst = p->value_gradient[cell->out];
    s->dst2 = diff_src;
    s->adds = adds;
    s->extra = saved;
    s->scratch = gamma;
    s->extra2 = beta;
    step_uses(p, s);
    if (!adds)
        TRY(gradient_give(p, in, diff_src));
    if (shares)
        TRY(gradient_give(p, residual, p->value_gradient[cell->out]));
    return weight_gradients_ready(p, node, gamma, beta);
}
