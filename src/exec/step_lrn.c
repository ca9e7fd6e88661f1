// exec/step_lrn.c: local response normalisation across channels.

#include "exec/steps.h"

static struct lrn_shape lrn_shape(const struct node *node)
{
    const struct lrn_attr *a = &node->attr.lrn;
    return (struct lrn_shape){a->size, a->alpha / (float)a->size, a->beta, a->k};
}

static graft_status run_lrn(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->lrn_forward(value_map(p, s->cell->out), lrn_shape(s->cell->node), BUFFER(src), BUFFER(dst));
    return GRAFT_OK;
}

static graft_status run_lrn_backward(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->lrn_backward(value_map(p, s->cell->out), lrn_shape(s->cell->node), BUFFER(src), BUFFER(dst),
                             BUFFER(scratch));
    return GRAFT_OK;
}

graft_status lrn_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_lrn;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status lrn_backward(struct plan *p, const struct cell *cell)
{
    const int in = cell->node->in[0];
    struct step *s;
    int ratio;
    TRY(value_again(p, in));
    TRY(gradient_apart(p, cell->out));
    TRY(buffer_make(p, value_floats(p, in), &ratio));
    TRY(step_add(p, &s));
    s->run = run_lrn_backward;
    s->cell = cell;
    s->src = p->value_buffer[in];
    s->dst = p->value_gradient[cell->out];
    s->scratch = ratio;
    step_uses(p, s);
    return gradient_give(p, in, s->dst);
}
