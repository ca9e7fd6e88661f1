// graph/shape.c: shape inference of every operation.
// In: a node and the values it reads.  Out: the output's channels, height and width (per image).
// Windows:  out = floor((n + before + after - k) / stride) + 1 per axis.

#include "graph/shape.h"
#include "base/status.h"

static const struct value *input(const struct graph *g, const struct node *node, int index)
{
    return &g->values[node->in[index]];
}

static graft_status same_as_input(const struct graph *g, const struct node *node, struct value *out)
{
    *out = *input(g, node, 0);
    return GRAFT_OK;
}

// One axis of a window.  Every window must touch the picture: padding is smaller than the window.
static graft_status window(const char *axis, int n, int k, int stride, int before, int after, int *out)
{
    if (k < 1 || stride < 1 || before < 0 || after < 0 || before >= k)
        return fail(GRAFT_FAILED, "window %d, stride %d, padding %d + %d of the %s is not possible", k, stride, before,
                    after, axis);
    const int64_t room = (int64_t)n + before + after - k;
    if (room < 0)
        return fail(GRAFT_BAD_OPTION, "the %s is %d here, a window of %d does not fit; use larger pictures", axis, n,
                    k);
    *out = (int)(room / stride) + 1;
    return GRAFT_OK;
}

graft_status shape_CONV(const struct graph *g, const struct node *node, struct value *out)
{
    const struct conv_attr *a = &node->attr.conv;
    const struct value *v = input(g, node, 0);
    if (v->flat)
        return fail(GRAFT_FAILED, "a convolution cannot follow a dense layer");
    if (a->oc < 1 || a->groups < 1 || v->c % a->groups || a->oc % a->groups)
        return fail(GRAFT_FAILED, "%d channels to %d in %d groups is not possible", v->c, a->oc, a->groups);
    out->c = a->oc;
    TRY(window("height", v->h, a->kh, a->stride_h, a->top, a->bottom, &out->h));
    return window("width", v->w, a->kw, a->stride_w, a->left, a->right, &out->w);
}

graft_status shape_BN(const struct graph *g, const struct node *node, struct value *out)
{
    return same_as_input(g, node, out);
}

graft_status shape_SCALE(const struct graph *g, const struct node *node, struct value *out)
{
    if (input(g, node, 0)->flat)
        return fail(GRAFT_FAILED, "a scale cannot follow a dense layer");
    return same_as_input(g, node, out);
}

graft_status shape_LRN(const struct graph *g, const struct node *node, struct value *out)
{
    const struct lrn_attr *a = &node->attr.lrn;
    if (input(g, node, 0)->flat || a->size < 1 || a->size % 2 == 0 || a->size > LRN_MOST || !(a->k > 0) ||
        !(a->alpha >= 0) || !(a->beta >= 0))
        return fail(GRAFT_FAILED,
                    "normalisation across %d channels (alpha %g, beta %g, k %g) is not possible here; the "
                    "count is odd and at most %d, k positive",
                    a->size, (double)a->alpha, (double)a->beta, (double)a->k, LRN_MOST);
    return same_as_input(g, node, out);
}

graft_status shape_RELU(const struct graph *g, const struct node *node, struct value *out)
{
    return same_as_input(g, node, out);
}

graft_status shape_RELU6(const struct graph *g, const struct node *node, struct value *out)
{
    return same_as_input(g, node, out);
}

graft_status shape_DROPOUT(const struct graph *g, const struct node *node, struct value *out)
{
    const float rate = node->attr.dropout.rate;
    if (!(rate >= 0 && rate < 1))
        return fail(GRAFT_BAD_OPTION, "a dropout rate is at least 0 and below 1, not %g", (double)rate);
    return same_as_input(g, node, out);
}

static graft_status pool(const struct graph *g, const struct node *node, struct value *out)
{
    const struct pool_attr *a = &node->attr.pool;
    const struct value *v = input(g, node, 0);
    if (v->flat)
        return fail(GRAFT_FAILED, "a pool cannot follow a dense layer");
    out->c = v->c;
    TRY(window("height", v->h, a->kh, a->stride_h, a->top, a->bottom, &out->h));
    return window("width", v->w, a->kw, a->stride_w, a->left, a->right, &out->w);
}

graft_status shape_MAXPOOL(const struct graph *g, const struct node *node, struct value *out)
{
    return pool(g, node, out);
}

graft_status shape_AVGPOOL(const struct graph *g, const struct node *node, struct value *out)
{
    return pool(g, node, out);
}

graft_status shape_ADAPTIVE_AVGPOOL(const struct graph *g, const struct node *node, struct value *out)
{
    const struct adaptive_attr *a = &node->attr.adaptive;
    const struct value *v = input(g, node, 0);
    if (v->flat || a->oh < 1 || a->ow < 1)
        return fail(GRAFT_FAILED, "an adaptive pool to %d x %d is not possible here", a->oh, a->ow);
    *out = (struct value){.c = v->c, .h = a->oh, .w = a->ow};
    return GRAFT_OK;
}

graft_status shape_DENSE(const struct graph *g, const struct node *node, struct value *out)
{
    (void)g;
    if (node->attr.dense.units < 1)
        return fail(GRAFT_BAD_OPTION, "a dense layer needs at least one output, not %d", node->attr.dense.units);
    *out = (struct value){.c = node->attr.dense.units, .h = 1, .w = 1, .flat = true};
    return GRAFT_OK;
}

graft_status shape_ADD(const struct graph *g, const struct node *node, struct value *out)
{
    const struct value *a = input(g, node, 0), *b = input(g, node, 1);
    if (a->c != b->c || a->h != b->h || a->w != b->w || a->flat != b->flat)
        return fail(GRAFT_FAILED, "(%d, %d, %d) and (%d, %d, %d) cannot be added", a->c, a->h, a->w, b->c, b->h, b->w);
    return same_as_input(g, node, out);
}

graft_status shape_CONCAT(const struct graph *g, const struct node *node, struct value *out)
{
    TRY(same_as_input(g, node, out));
    if (out->flat)
        return fail(GRAFT_FAILED, "outputs of dense layers cannot be joined"); // exec joins blocks of channels
    for (int i = 1; i < node->n_in; i++) {
        const struct value *v = input(g, node, i);
        if (v->h != out->h || v->w != out->w || v->flat != out->flat || __builtin_add_overflow(out->c, v->c, &out->c))
            return fail(GRAFT_FAILED, "(%d, %d, %d) cannot join maps of %d x %d", v->c, v->h, v->w, out->h, out->w);
    }
    return GRAFT_OK;
}
