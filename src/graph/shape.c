// graph/shape.c: the shape of each operation's output, and the paddings that frameworks state by rule.
//   out = floor((n + before + after - k) / stride) + 1

#include "graph/shape.h"

static int extent(int n, int k, int stride, int before, int after) { return (n + before + after - k) / stride + 1; }

static void window(struct graph *g, const char *what, const struct value *src, int kh, int kw, int sh, int sw, int top,
                   int left, int bottom, int right, struct value *out)
{
    if (src->flat || src->h + top + bottom < kh || src->w + left + right < kw) {
        graph_break(g, GRAFT_BAD_OPTION, "%s of %dx%d does not fit its input of %dx%d: the pictures are too small for "
                    "this network; use a larger --imgsz", what, kh, kw, src->h, src->w);
        return;
    }
    out->h = extent(src->h, kh, sh, top, bottom);
    out->w = extent(src->w, kw, sw, left, right);
}

static void shape_CONV(struct graph *g, const struct node *node, struct value *out)
{
    const struct conv_attr *a = &node->attr.conv;
    const struct value *src = &g->values[node->in[0]];
    ASSERT(src->c % a->groups == 0 && a->oc % a->groups == 0);
    out->c = a->oc;
    window(g, "a convolution", src, a->kh, a->kw, a->stride_h, a->stride_w, a->top, a->left, a->bottom, a->right, out);
}

static void shape_same(struct graph *g, const struct node *node, struct value *out) { *out = g->values[node->in[0]]; }
#define shape_BN shape_same
#define shape_RELU shape_same
#define shape_RELU6 shape_same
#define shape_DROPOUT shape_same

static void shape_MAXPOOL(struct graph *g, const struct node *node, struct value *out)
{
    const struct pool_attr *a = &node->attr.pool;
    const struct value *src = &g->values[node->in[0]];
    out->c = src->c;
    window(g, "a pool", src, a->kh, a->kw, a->stride_h, a->stride_w, a->top, a->left, a->bottom, a->right, out);
}
#define shape_AVGPOOL shape_MAXPOOL

static void shape_ADAPTIVE_AVGPOOL(struct graph *g, const struct node *node, struct value *out)
{
    *out = (struct value){g->values[node->in[0]].c, node->attr.adaptive.oh, node->attr.adaptive.ow, -1, false};
}

static void shape_DENSE(struct graph *g, const struct node *node, struct value *out)
{
    (void)g;
    *out = (struct value){node->attr.dense.units, 1, 1, -1, true};
}

static void shape_ADD(struct graph *g, const struct node *node, struct value *out)
{
    const struct value *a = &g->values[node->in[0]], *b = &g->values[node->in[1]];
    ASSERT(a->c == b->c && a->h == b->h && a->w == b->w && a->flat == b->flat);
    *out = *a;
}

static void shape_CONCAT(struct graph *g, const struct node *node, struct value *out)
{
    *out = g->values[node->in[0]];
    for (int k = 1; k < node->n_in; k++) {
        const struct value *part = &g->values[node->in[k]];
        ASSERT(part->h == out->h && part->w == out->w && !part->flat);
        out->c += part->c;
    }
}

void shape_node(struct graph *g, const struct node *node, struct value *out)
{
    static void (*const table[OP_COUNT])(struct graph *, const struct node *, struct value *) = {
#define OP(id, text, n_min, n_max) [OP_##id] = shape_##id,
#include "graph/ops.def"
#undef OP
    };
    table[node->op](g, node, out);
}

struct conv_attr conv_same(const struct graph *g, int src, int oc, int kernel, int stride, int groups, bool bias)
{
    const struct value *v = &g->values[src];
    struct conv_attr a = {oc, kernel, kernel, stride, stride, 0, 0, 0, 0, groups, bias};
    const int h = ((v->h + stride - 1) / stride - 1) * stride + kernel - v->h;
    const int w = ((v->w + stride - 1) / stride - 1) * stride + kernel - v->w;
    a.top = h > 0 ? h / 2 : 0;
    a.bottom = h > 0 ? h - a.top : 0;
    a.left = w > 0 ? w / 2 : 0;
    a.right = w > 0 ? w - a.left : 0;
    return a;
}

struct conv_attr conv_pad(int oc, int kernel, int stride, int pad, int groups, bool bias)
{
    return (struct conv_attr){oc, kernel, kernel, stride, stride, pad, pad, pad, pad, groups, bias};
}

// PyTorch's ceil mode: one more window where it starts inside the map or its leading padding; resolved here into extra
// padding after.  avgpool_factor in exec counts only up to `pad`, so counted padding is not combined with it.
static int ceil_after(int n, int k, int stride, int pad, bool ceil_mode)
{
    int out = (n + 2 * pad - k + (ceil_mode ? stride - 1 : 0)) / stride + 1;
    if (ceil_mode && (out - 1) * stride >= n + pad)
        out--;
    const int after = (out - 1) * stride + k - n - pad;
    return after > pad ? after : pad;
}

struct pool_attr pool_ceil(const struct graph *g, int src, int kernel, int stride, int pad, bool ceil_mode)
{
    const struct value *v = &g->values[src];
    return (struct pool_attr){kernel, kernel, stride, stride, pad, pad, ceil_after(v->h, kernel, stride, pad, ceil_mode),
                              ceil_after(v->w, kernel, stride, pad, ceil_mode), false};
}
