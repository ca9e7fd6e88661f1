// exec/step_bf16.c: between maps, which are fp32 in channel blocks, and what the library's bf16 kernels read and write.

#include "exec/steps.h"

static uint16_t *half(float *buffer) { return (uint16_t *)buffer; }

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

graft_status narrow_step(struct plan *p, int value, int buffer, int *out)
{
    TRY(narrow_buffer(p, value, out));
    return convert(p, value, buffer, NO_BUFFER, *out, true);
}

graft_status widen_step(struct plan *p, int value, int narrow, int mask, int dst)
{
    return convert(p, value, narrow, mask, dst, false);
}

bool step_converts(const struct step *s) { return s->run == run_narrow || s->run == run_widen; }
