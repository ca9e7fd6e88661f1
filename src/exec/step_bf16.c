// exec/step_bf16.c: which maps of a plan are bf16, and the ways between those and the others, fp32 in channel blocks.

#include "exec/steps.h"

bool cell_narrow(const struct plan *p, const struct cell *cell)
{
    const enum op op = cell->node->op;
    // groups have few channels each: nothing to multiply matrices of
    return p->options.bf16 && (op == OP_BN || op == OP_ADD || (op == OP_CONV && cell->node->attr.conv.groups == 1));
}

void narrow_mark(struct plan *p)
{
    if (!p->options.bf16 || p->options.mode == PLAN_EXPLAIN)
        return;
    for (int i = 0; i < p->n_cells; i++)
        p->narrow[p->cells[i].out] = cell_narrow(p, &p->cells[i]);
    for (int i = 0; i < p->n_cells; i++)
        for (int k = 0; !cell_narrow(p, &p->cells[i]) && k < p->cells[i].node->n_in; k++)
            p->narrow[p->cells[i].node->in[k]] = false;
    for (int i = 0; i < p->graph->n_outputs; i++)
        p->narrow[p->graph->outputs[i].value] = false;
    for (int i = 0; i < p->n_ends; i++) // which are kept as fp32
        p->narrow[p->ends[i]] = false;
}

struct bf16_map half_map(const struct plan *p, int value)
{
    const struct value *v = &p->graph->values[value];
    return (struct bf16_map){(size_t)p->options.batch * v->h * v->w, v->c, (int)channel_floats(p, value)};
}

size_t map_size(const struct plan *p, int value)
{
    const struct bf16_map map = half_map(p, value);
    return p->narrow[value] ? map.pixels * map.channels : value_floats(p, value);
}

static graft_status run_narrow(struct plan *p, const struct step *s, const struct run *run)
{
    const struct map_shape map = value_map(p, s->entry);
    const int channels = p->graph->values[s->entry].c;
    if (s->entry == 0)
        p->kernels->bf16->narrow_plain(map, channels, BUFFER(src), half(BUFFER(dst)));
    else
        p->kernels->bf16->narrow(map, channels, BUFFER(src), half(BUFFER(dst)));
    return GRAFT_OK;
}

static graft_status run_widen(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->bf16->widen(value_map(p, s->entry), p->graph->values[s->entry].c, half(BUFFER(src)), BUFFER(src2),
                            value_act(p, s->entry), BUFFER(dst));
    return GRAFT_OK;
}

graft_status narrow_buffer(struct plan *p, int value, int *out)
{
    const struct value *v = &p->graph->values[value];
    return buffer_make(p, ((size_t)p->options.batch * v->c * v->h * v->w + 1) / 2, out);
}

// `value` says the shape: of itself, or of its gradient.
static graft_status convert(struct plan *p, int value, int src, int mask, int dst, bool narrows)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = narrows ? run_narrow : run_widen;
    s->entry = value;
    s->src = src;
    s->src2 = mask;
    s->dst = dst;
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status half_read(struct plan *p, int value, int buffer, int *out)
{
    *out = buffer;
    if (p->narrow[value])
        return GRAFT_OK;
    TRY(narrow_buffer(p, value, out));
    return convert(p, value, buffer, NO_BUFFER, *out, true);
}

graft_status half_make(struct plan *p, int value, int *out)
{
    *out = p->value_buffer[value];
    return p->narrow[value] ? GRAFT_OK : narrow_buffer(p, value, out);
}

graft_status half_made(struct plan *p, int value, int half)
{
    return p->narrow[value] ? GRAFT_OK : convert(p, value, half, NO_BUFFER, p->value_buffer[value], false);
}

graft_status half_give(struct plan *p, int value, int half, int mask)
{
    if (!p->needs_gradient[value])
        return GRAFT_OK;
    if (!p->narrow[value]) {
        const int narrow = half;
        TRY(buffer_make(p, value_floats(p, value), &half));
        TRY(convert(p, value, narrow, mask, half, false));
    }
    return gradient_give(p, value, half);
}

bool step_converts(const struct step *s) { return s->run == run_narrow || s->run == run_widen; }
