// exec/step_bf16.c: which maps of a plan are bf16, and the ways between those and the others, fp32 in channel blocks.

#include "exec/steps.h"
#include <string.h>

static bool conv_narrow(const struct plan *p, const struct node *node)
{
    const struct conv_attr *a = &node->attr.conv;
    return a->groups == 1 || conv_narrow_own(p, node); // other groups: nothing to multiply matrices of
}

bool conv_narrow_own(const struct plan *p, const struct node *node)
{
    const struct conv_attr *a = &node->attr.conv;
    const int most = BF16_DEPTHWISE_SIDE;
    return p->params->entries[node->param[0]].layout == LAYOUT_GOIHW_DEPTHWISE && a->kh <= most && a->kw <= most;
}

bool cell_narrow(const struct plan *p, const struct cell *cell)
{
    const enum op op = cell->node->op;
    if (op == OP_MAXPOOL) // multiplies nothing: of what it is given
        return p->narrow[cell->node->in[0]];
    return p->options.bf16 && (op == OP_BN || op == OP_ADD || (op == OP_CONV && conv_narrow(p, cell->node)));
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
    for (int i = 0; i < p->n_cells; i++) // a pool's source may have become fp32 since
        p->narrow[p->cells[i].out] &= cell_narrow(p, &p->cells[i]);
}

struct bf16_map half_map(const struct plan *p, int value)
{
    const struct value *v = &p->graph->values[value];
    return (struct bf16_map){(size_t)p->options.batch * v->h * v->w, v->c, (int)channel_floats(p, value)};
}

size_t half_size(const struct plan *p, int value)
{
    const struct bf16_map map = half_map(p, value);
    return map.pixels * map.channels;
}

// Image by image: a value may lie in a concat's.
static graft_status run_narrow(struct plan *p, const struct step *s, const struct run *run)
{
    struct map_shape map = value_map(p, s->entry);
    const struct value *v = &p->graph->values[s->entry];
    const size_t each = (size_t)v->c * v->h * v->w;
    if (s->entry == 0) {
        p->kernels->bf16->narrow_plain(map, v->c, BUFFER(src), half(BUFFER(dst)));
        return GRAFT_OK;
    }
    const struct map src = MAP(src);
    const int images = is_view(p, s->src) ? map.n : 1;
    map.n /= images;
    for (int n = 0; n < images; n++)
        p->kernels->bf16->narrow(map, v->c, src.at + n * src.image, half(BUFFER(dst)) + n * each);
    return GRAFT_OK;
}

static graft_status run_widen(struct plan *p, const struct step *s, const struct run *run)
{
    struct map_shape map = value_map(p, s->entry);
    const struct value *v = &p->graph->values[s->entry];
    const size_t each = (size_t)v->c * v->h * v->w;
    const struct map dst = MAP(dst), mask = MAP(src2);
    const int images = is_view(p, s->dst) || is_view(p, s->src2) ? map.n : 1;
    map.n /= images;
    for (int n = 0; n < images; n++)
        p->kernels->bf16->widen(map, v->c, half(BUFFER(src)) + n * each,
                                mask.at != NULL ? mask.at + n * mask.image : NULL, value_act(p, s->entry),
                                dst.at + n * dst.image);
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

static graft_status run_add_narrow(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->bf16->add(half(BUFFER(src)), half(BUFFER(src2)), half(BUFFER(dst)), s->size, s->cell->act);
    return GRAFT_OK;
}

static graft_status run_copy_narrow(struct plan *p, const struct step *s, const struct run *run)
{
    const char *const src = (const char *)BUFFER(src);
    char *const dst = (char *)BUFFER(dst);
    const size_t bytes = s->size * sizeof(uint16_t);
    enum { PIECE = 1 << 16 };
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < bytes; at += PIECE)
        memcpy(dst + at, src + at, bytes - at < PIECE ? bytes - at : PIECE);
    return GRAFT_OK;
}

graft_status add_narrow_forward(struct plan *p, const struct cell *cell)
{
    const int a = cell->node->in[0], b = cell->node->in[1];
    struct step *s;
    int src, src2, dst;
    TRY(half_read(p, a, p->value_buffer[a], &src));
    TRY(half_read(p, b, p->value_buffer[b], &src2));
    TRY(half_make(p, cell->out, &dst));
    TRY(step_add(p, &s));
    s->run = run_add_narrow;
    s->cell = cell;
    s->src = src;
    s->src2 = src2;
    s->dst = dst;
    s->size = half_size(p, cell->out);
    step_uses(p, s);
    return half_made(p, cell->out, dst);
}

// As add_backward.
graft_status add_narrow_backward(struct plan *p, const struct cell *cell)
{
    const int a = cell->node->in[0], b = cell->node->in[1];
    int diff, copy;
    TRY(act_backward_step(p, cell));
    TRY(half_read(p, cell->out, p->value_gradient[cell->out], &diff));
    if (p->needs_gradient[b] && (p->needs_gradient[a] || a == b)) {
        struct step *s;
        TRY(narrow_buffer(p, b, &copy));
        TRY(step_add(p, &s));
        s->run = run_copy_narrow;
        s->cell = cell;
        s->src = diff;
        s->dst = copy;
        s->size = half_size(p, b);
        step_uses(p, s);
        TRY(half_give(p, b, copy, NO_BUFFER));
        return half_give(p, a, diff, NO_BUFFER);
    }
    return half_give(p, p->needs_gradient[b] ? b : a, diff, NO_BUFFER);
}

bool step_converts(const struct step *s) { return s->run == run_narrow || s->run == run_widen; }
