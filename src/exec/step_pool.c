// exec/step_pool.c: max, average and adaptive average pooling.  Max pooling keeps a byte an output for its way back,
// and works on bf16 maps where its source is one.

#include "exec/steps.h"

static struct pool_shape pool_shape(const struct plan *p, const struct cell *cell)
{
    const struct pool_attr *a = &cell->node->attr.pool;
    const struct value *dst = &p->graph->values[cell->out];
    return (struct pool_shape){value_map(p, cell->node->in[0]), dst->h, dst->w, a->kh, a->kw, a->stride_h, a->stride_w,
                               a->top, a->left, a->count_padding, a->bottom, a->right};
}

static graft_status run_pool(struct plan *p, const struct step *s, const struct run *run)
{
    const struct cell *cell = s->cell;
    const struct adaptive_attr *a = &cell->node->attr.adaptive;
    if (s->narrow)
        p->kernels->bf16_pools->max_forward(pool_shape(p, cell), p->graph->values[cell->out].c, half(BUFFER(src)),
                                            half(BUFFER(dst)), (uint8_t *)BUFFER(extra));
    else if (cell->node->op == OP_MAXPOOL)
        p->kernels->pools->max_forward(pool_shape(p, cell), MAP(src), MAP(dst), (uint8_t *)BUFFER(extra));
    else if (cell->node->op == OP_AVGPOOL)
        p->kernels->pools->average_forward(pool_shape(p, cell), MAP(src), MAP(dst));
    else
        p->kernels->pools->adaptive_forward(value_map(p, cell->node->in[0]), a->oh, a->ow, MAP(src), MAP(dst));
    return GRAFT_OK;
}

static graft_status run_pool_backward(struct plan *p, const struct step *s, const struct run *run)
{
    const struct cell *cell = s->cell;
    const struct adaptive_attr *a = &cell->node->attr.adaptive;
    if (s->narrow)
        p->kernels->bf16_pools->max_backward(pool_shape(p, cell), p->graph->values[cell->out].c, half(BUFFER(src)),
                                             (uint8_t *)BUFFER(extra), half(BUFFER(src2)),
                                             value_act(p, cell->node->in[0]), half(BUFFER(dst)));
    else if (cell->node->op == OP_MAXPOOL)
        p->kernels->pools->max_backward(pool_shape(p, cell), MAP(src), (uint8_t *)BUFFER(extra), MAP(src2),
                                        value_act(p, cell->node->in[0]), MAP(dst));
    else if (cell->node->op == OP_AVGPOOL)
        p->kernels->pools->average_backward(pool_shape(p, cell), MAP(src), MAP(dst));
    else
        p->kernels->pools->adaptive_backward(value_map(p, cell->node->in[0]), a->oh, a->ow, MAP(src), MAP(dst));
    return GRAFT_OK;
}

graft_status pool_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    const bool narrow = cell_narrow(p, cell);
    int dst = p->value_buffer[cell->out];
    if (narrow)
        TRY(half_make(p, cell->out, &dst));
    TRY(step_add(p, &s));
    s->run = run_pool;
    s->narrow = narrow;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = dst;
    if (cell->node->op == OP_MAXPOOL && p->needs_gradient[cell->out]) {
        if (cell->node->attr.pool.kh * cell->node->attr.pool.kw > 256)
            return fail(GRAFT_FAILED, "a max pool of %dx%d: training takes windows of up to 256 elements",
                        cell->node->attr.pool.kh, cell->node->attr.pool.kw);
        TRY(buffer_make(p, (value_floats(p, cell->out) + 3) / 4, &s->extra)); // a byte an element
    }
    step_uses(p, s);
    return narrow ? half_made(p, cell->out, dst) : GRAFT_OK;
}

graft_status pool_backward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    const int in = cell->node->in[0];
    const bool narrow = cell_narrow(p, cell), alone = only_consumer(p, in) != NULL;
    int diff_src, index = NO_BUFFER, diff = p->value_gradient[cell->out];
    if (narrow) {
        TRY(half_read(p, cell->out, diff, &diff));
        TRY(narrow_buffer(p, in, &diff_src));
    } else
        TRY(buffer_make(p, value_floats(p, in), &diff_src));
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].cell == cell && p->steps[i].run == run_pool)
            index = p->steps[i].extra;
    TRY(step_add(p, &s));
    s->run = run_pool_backward;
    s->narrow = narrow;
    s->cell = cell;
    s->src = diff;
    s->dst = diff_src;
    s->extra = index;
    // What is not positive as a maximum is not positive at its place either: the activation before a max pool masks
    // here, where the maximum is at hand in the same precision.
    if (cell->node->op == OP_MAXPOOL && alone && !p->masked[cell->out] && value_act(p, in) != ACT_NONE &&
        narrow == p->narrow[cell->out])
        s->src2 = p->value_buffer[cell->out];
    p->masked[in] = s->src2 != NO_BUFFER || (p->masked[cell->out] && alone);
    step_uses(p, s);
    return gradient_give(p, in, diff_src);
}
