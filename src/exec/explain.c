// exec/explain.c: the gradient of the logits with respect to one value inside the network, for saying what a prediction
// rests on.  The network runs as in evaluation; the gradient is seeded with the targets and stops at the value.

#include "exec/steps.h"
#include <string.h>

void explain_mark(struct plan *p)
{
    p->needs_gradient[p->options.keep] = true;
    for (int i = 0; i < p->graph->n_nodes; i++)
        for (int k = 0; k < p->graph->nodes[i].n_in; k++)
            if (p->needs_gradient[p->graph->nodes[i].in[k]])
                p->needs_gradient[p->graph->nodes[i].out] = true;
}

static graft_status run_seed(struct plan *p, const struct step *s, const struct run *run)
{
    memcpy(BUFFER(dst), run->targets, s->size * sizeof(float));
    return GRAFT_OK;
}

graft_status explain_steps(struct plan *p)
{
    const int output = p->graph->output, keep = p->options.keep;
    struct step *s;
    if (p->value_buffer[keep] == NO_BUFFER)
        return fail(GRAFT_FAILED, "value %d of the network is not computed by itself", keep);
    TRY(step_add(p, &s));
    s->run = run_seed;
    TRY(buffer_make(p, value_floats(p, output), &s->dst));
    s->size = value_floats(p, output);
    p->value_gradient[output] = s->dst;
    step_uses(p, s);
    for (int i = p->n_cells - 1; i >= 0 && p->cells[i].out != keep; i--)
        if (p->needs_gradient[p->cells[i].out])
            TRY(cell_backward(p, &p->cells[i]));
    buffer_use(p, p->value_buffer[keep]);
    buffer_use(p, p->value_gradient[keep]);
    return GRAFT_OK;
}

void plan_kept(const struct plan *p, bool gradient, float *dst)
{
    const int keep = p->options.keep, v = p->kernels->lanes, channels = p->graph->values[keep].c;
    const struct map_shape m = value_map(p, keep);
    const struct map src = plan_map(p, gradient ? p->value_gradient[keep] : p->value_buffer[keep], NULL);
    const size_t area = (size_t)m.h * m.w;
    if (p->graph->values[keep].flat) { // (n, c) as it is
        memcpy(dst, src.at, value_floats(p, keep) * sizeof *dst);
        return;
    }
    for (int n = 0; n < m.n; n++)
        for (int c = 0; c < channels; c++) {
            const float *from = src.at + n * src.image + (c / v) * area * v + c % v;
            for (size_t i = 0; i < area; i++)
                *dst++ = from[i * v];
        }
}
