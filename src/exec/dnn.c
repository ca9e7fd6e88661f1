// exec/dnn.c: oneDNN's convolution passes and matrix product; the only file that includes its header.
// In: shapes in the words of the field, pointers.  Out: primitives bound to user-owned memory and scratch.
// oneDNN 2.x describes an operation first and asks for implementations of the description; 3.x does both in one call
// and made memory descriptors opaque.  Everything that differs stands between here and the `---` line.

#include "exec/dnn.h"
#include "base/memory.h"
#include <dnnl.h>
#include <stdio.h>
#include <string.h>

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static graft_status check(dnnl_status_t status, const char *what)
{
    if (status == dnnl_success)
        return GRAFT_OK;
    if (status == dnnl_out_of_memory)
        return fail_memory(what);
    return fail(GRAFT_FAILED, "oneDNN: %s failed with status %d", what, (int)status);
}

static graft_status ready(void)
{
    if (engine != NULL)
        return GRAFT_OK;
    TRY(check(dnnl_engine_create(&engine, dnnl_cpu, 0), "creating the CPU engine"));
    return check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "creating the stream");
}

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout_desc;
typedef const_dnnl_memory_desc_t layout_view;
static dnnl_status_t desc_make(layout_desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(d, rank, dims, type, tag);
}
static void desc_free(layout_desc *d)
{
    if (*d != NULL)
        dnnl_memory_desc_destroy(*d);
}
static layout_view desc_view(const layout_desc *d) { return *d; }
#else
typedef dnnl_memory_desc_t layout_desc;
typedef const dnnl_memory_desc_t *layout_view;
static dnnl_status_t desc_make(layout_desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(d, rank, dims, type, tag);
}
static void desc_free(layout_desc *d) { (void)d; }
static layout_view desc_view(const layout_desc *d) { return d; }
#endif

struct conv_descs {
    layout_desc src, wei, bias, dst;
    dnnl_dims_t stride, before, after;
};

static dnnl_status_t attr_make(dnnl_primitive_attr_t *attr, enum dnn_act act)
{
    dnnl_status_t s = dnnl_primitive_attr_create(attr);
    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (s != dnnl_success || act == ACT_NONE)
        return s;
    dnnl_post_ops_t ops;
    s = dnnl_post_ops_create(&ops);
    if (s != dnnl_success)
        return s;
    const dnnl_alg_kind_t kind = act == ACT_RELU ? dnnl_eltwise_relu : dnnl_eltwise_clip;
    const float beta = act == ACT_RELU ? 0 : 6;
#if DNNL_VERSION_MAJOR >= 3
    s = dnnl_post_ops_append_eltwise(ops, kind, 0, beta);
#else
    s = dnnl_post_ops_append_eltwise(ops, 1, kind, 0, beta);
#endif
    if (s == dnnl_success)
        s = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return s;
}

static bool name_is_fast(const_dnnl_primitive_desc_t pd)
{
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    return strstr(name, "ref") == NULL;
}

#if DNNL_VERSION_MAJOR >= 3
static const dnnl_status_t IMPLEMENTATIONS_END = dnnl_last_impl_reached;
#else
static const dnnl_status_t IMPLEMENTATIONS_END = dnnl_iterator_ends;
#endif

// Walks the implementations of one pass to the first that is not a reference; *pd stays NULL where none is found.
// Success, or what the library says: that it has no (other) implementation, or a failure.
static dnnl_status_t conv_desc(const struct conv_descs *d, enum dnn_pass pass, bool inference,
                               const_dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint,
                               dnnl_primitive_desc_t *pd)
{
    const dnnl_prop_kind_t prop = inference ? dnnl_forward_inference : dnnl_forward_training;
    const bool bias = d->bias
#if DNNL_VERSION_MAJOR >= 3
                      != NULL;
    const dnnl_dims_t none = {0, 0};
    dnnl_status_t s;
    layout_view b = bias ? desc_view(&d->bias) : NULL;
    if (pass == DNN_FORWARD)
        s = dnnl_convolution_forward_primitive_desc_create(pd, engine, prop, dnnl_convolution_direct,
                                                           desc_view(&d->src), desc_view(&d->wei), b,
                                                           desc_view(&d->dst), d->stride, none, d->before, d->after,
                                                           attr);
    else if (pass == DNN_DATA)
        s = dnnl_convolution_backward_data_primitive_desc_create(pd, engine, dnnl_convolution_direct,
                                                                 desc_view(&d->src), desc_view(&d->wei),
                                                                 desc_view(&d->dst), d->stride, none, d->before,
                                                                 d->after, hint, attr);
    else
        s = dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, dnnl_convolution_direct,
                                                                    desc_view(&d->src), desc_view(&d->wei), b,
                                                                    desc_view(&d->dst), d->stride, none, d->before,
                                                                    d->after, hint, attr);
    while (s == dnnl_success && !name_is_fast(*pd))
        s = dnnl_primitive_desc_next_impl(*pd);
    if (s != dnnl_success) {
        dnnl_primitive_desc_destroy(*pd);
        *pd = NULL;
    }
    return s;
#else
                          .ndims != 0;
    dnnl_convolution_desc_t op;
    const dnnl_memory_desc_t *b = bias ? &d->bias : NULL;
    dnnl_status_t s;
    if (pass == DNN_FORWARD)
        s = dnnl_convolution_forward_desc_init(&op, prop, dnnl_convolution_direct, &d->src, &d->wei, b, &d->dst,
                                               d->stride, d->before, d->after);
    else if (pass == DNN_DATA)
        s = dnnl_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, &d->src, &d->wei, &d->dst,
                                                     d->stride, d->before, d->after);
    else
        s = dnnl_convolution_backward_weights_desc_init(&op, dnnl_convolution_direct, &d->src, &d->wei, b, &d->dst,
                                                        d->stride, d->before, d->after);
    if (s != dnnl_success)
        return s;
    dnnl_primitive_desc_iterator_t it;
    s = dnnl_primitive_desc_iterator_create(&it, &op, attr, engine, hint);
    if (s != dnnl_success)
        return s;
    do {
        dnnl_primitive_desc_t found = dnnl_primitive_desc_iterator_fetch(it);
        if (found != NULL && name_is_fast(found)) {
            *pd = found;
            break;
        }
        dnnl_primitive_desc_destroy(found);
    } while ((s = dnnl_primitive_desc_iterator_next(it)) == dnnl_success);
    dnnl_primitive_desc_iterator_destroy(it);
    return s;
#endif
}

static dnnl_status_t reorder_make(layout_view from, layout_view to, dnnl_primitive_t *out)
{
    dnnl_primitive_desc_t pd;
    dnnl_status_t s = dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL);
    if (s != dnnl_success)
        return s;
    s = dnnl_primitive_create(out, pd);
    dnnl_primitive_desc_destroy(pd);
    return s;
}
// ---------------------------------------------------------------------------------------------------------------------

struct dnn_conv {
    enum dnn_pass pass;
    bool bias;
    char name[64];
    dnnl_primitive_t primitive, reorder;            // reorder: NULL when the kernel takes the block's layout
    dnnl_memory_t src, wei, kernel_wei, bias_memory, dst, pad; // kernel_wei: in the kernel's layout, in scratch
    size_t pad_bytes, wei_bytes;                    // scratch: pad, then kernel_wei
};

static dnnl_format_tag_t wei_tag(enum param_layout layout, int lanes)
{
    switch (layout) {
    case LAYOUT_OIHW_BLOCK:
        return lanes == 16 ? dnnl_OIhw16i16o : dnnl_OIhw8i8o;
    case LAYOUT_OHWI_BLOCK:
        return lanes == 16 ? dnnl_Ohwi16o : dnnl_Ohwi8o;
    case LAYOUT_GOIHW_DEPTHWISE:
        return lanes == 16 ? dnnl_Goihw16g : dnnl_Goihw8g;
    default:
        return dnnl_goihw;
    }
}

static size_t round_64(size_t bytes) { return (bytes + 63) / 64 * 64; }

static dnnl_status_t memories_make(struct dnn_conv *c, const struct conv_descs *d, layout_view kernel_wei,
                                   layout_view pad)
{
    dnnl_status_t s = dnnl_memory_create(&c->src, desc_view(&d->src), engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->wei, desc_view(&d->wei), engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->kernel_wei, kernel_wei, engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->dst, desc_view(&d->dst), engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success && c->bias)
        s = dnnl_memory_create(&c->bias_memory, desc_view(&d->bias), engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->pad, pad, engine, DNNL_MEMORY_NONE);
    return s;
}

// `d` for weights in the block's layout; *any and *any_gradient for a layout that the kernel chooses.
static dnnl_status_t descs_make(const struct dnn_conv_shape *a, bool with_bias, int lanes, struct conv_descs *d,
                                layout_desc *any, layout_desc *any_gradient)
{
    const bool grouped = a->groups > 1;
    const dnnl_dims_t src = {a->n, a->ic, a->ih, a->iw}, dst = {a->n, a->oc, a->oh, a->ow}, bias = {a->oc};
    const dnnl_dims_t wei = {a->oc, a->ic, a->kh, a->kw};
    const dnnl_dims_t grouped_wei = {a->groups, a->oc / a->groups, a->ic / a->groups, a->kh, a->kw};
    const dnnl_data_type_t map = a->bf16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_format_tag_t blocked = lanes == 16 ? dnnl_nChw16c : dnnl_nChw8c;
    const int wei_rank = grouped ? 5 : 4;
    const dnnl_dim_t *wei_dims = grouped ? grouped_wei : wei;
    dnnl_status_t s = desc_make(&d->src, 4, src, map, a->bf16 ? dnnl_nhwc : a->plain_src ? dnnl_nchw : blocked);
    if (s == dnnl_success)
        s = desc_make(&d->dst, 4, dst, map, a->bf16 ? dnnl_nhwc : blocked);
    if (s == dnnl_success)
        s = desc_make(&d->wei, wei_rank, wei_dims, dnnl_f32, wei_tag(a->layout, lanes));
    if (s == dnnl_success)
        s = desc_make(any, wei_rank, wei_dims, map, dnnl_format_tag_any);
    if (s == dnnl_success)
        s = desc_make(any_gradient, wei_rank, wei_dims, dnnl_f32, dnnl_format_tag_any);
    if (s == dnnl_success && with_bias)
        s = desc_make(&d->bias, 1, bias, dnnl_f32, dnnl_a);
    return s;
}

// The kernel, a reorder where it wants its weights otherwise than `d` has them, and what they run on.
static dnnl_status_t kernel_make(struct dnn_conv *c, const struct conv_descs *d, const_dnnl_primitive_desc_t pd)
{
    const char *name = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    snprintf(c->name, sizeof c->name, "%s", name);
    layout_view kernel_wei = dnnl_primitive_desc_query_md(
        pd, c->pass == DNN_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    layout_view pad = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    c->pad_bytes = dnnl_memory_desc_get_size(pad);
    dnnl_status_t s = dnnl_primitive_create(&c->primitive, pd);
    if (s == dnnl_success && !dnnl_memory_desc_equal(kernel_wei, desc_view(&d->wei))) {
        c->wei_bytes = dnnl_memory_desc_get_size(kernel_wei);
        s = c->pass == DNN_WEIGHTS ? reorder_make(kernel_wei, desc_view(&d->wei), &c->reorder)
                                   : reorder_make(desc_view(&d->wei), kernel_wei, &c->reorder);
    }
    return s == dnnl_success ? memories_make(c, d, kernel_wei, pad) : s;
}

graft_status dnn_conv_new(const struct dnn_conv_shape *shape, enum dnn_pass pass, int lanes, struct dnn_conv **out)
{
    *out = NULL;
    TRY(ready());
    struct conv_descs d = {.stride = {shape->stride_h, shape->stride_w}, .before = {shape->top, shape->left},
                           .after = {shape->bottom, shape->right}};
    layout_desc any = {0}, any_gradient = {0};
    dnnl_primitive_attr_t attr = NULL, plain_attr = NULL;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    struct dnn_conv *c = mem_zero(1, sizeof *c);
    if (c == NULL)
        return fail_memory("a convolution");
    c->pass = pass;
    c->bias = shape->bias && pass != DNN_DATA;
    dnnl_status_t s = descs_make(shape, c->bias, lanes, &d, &any, &any_gradient);
    if (s == dnnl_success)
        s = attr_make(&attr, pass == DNN_FORWARD ? shape->act : ACT_NONE);
    if (s == dnnl_success)
        s = attr_make(&plain_attr, ACT_NONE);
    struct conv_descs free_wei = d; // the kernel chooses the layout of its weights
    free_wei.wei = any;
    if (s == dnnl_success && pass != DNN_FORWARD) {
        s = conv_desc(&free_wei, DNN_FORWARD, false, plain_attr, NULL, &hint);
        if (s != dnnl_success) // no fast forward to derive from: no fast backward either
            goto done;
    }
    if (pass == DNN_WEIGHTS)
        free_wei.wei = any_gradient;
    if (s == dnnl_success) {
        if (!shape->bf16)
            s = conv_desc(&d, pass, true, attr, hint, &pd);
        if (pd == NULL)
            s = conv_desc(&free_wei, pass, true, attr, hint, &pd);
    }
    if (pd == NULL)
        goto done;
    s = kernel_make(c, &d, pd);
    if (s == dnnl_success) {
        *out = c;
        c = NULL;
    }
done:
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_attr_destroy(attr);
    dnnl_primitive_attr_destroy(plain_attr);
    desc_free(&d.src);
    desc_free(&d.wei);
    desc_free(&d.dst);
    desc_free(&d.bias);
    desc_free(&any);
    desc_free(&any_gradient);
    dnn_conv_free(c);
    if (s == dnnl_unimplemented || s == IMPLEMENTATIONS_END) // nothing fast, which is no failure
        return GRAFT_OK;
    return check(s, "making a convolution");
}

void dnn_conv_free(struct dnn_conv *c)
{
    if (c == NULL)
        return;
    dnnl_memory_t all[] = {c->src, c->wei, c->kernel_wei, c->bias_memory, c->dst, c->pad};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i] != NULL)
            dnnl_memory_destroy(all[i]);
    if (c->primitive != NULL)
        dnnl_primitive_destroy(c->primitive);
    if (c->reorder != NULL)
        dnnl_primitive_destroy(c->reorder);
    mem_free(c);
}

size_t dnn_conv_scratch(const struct dnn_conv *c) { return round_64(c->pad_bytes) + c->wei_bytes; }
const char *dnn_conv_name(const struct dnn_conv *c) { return c->name; }

static graft_status reorder_run(struct dnn_conv *c, dnnl_memory_t from, dnnl_memory_t to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    return check(dnnl_primitive_execute(c->reorder, stream, 2, args), "reordering weights");
}

graft_status dnn_conv_run(struct dnn_conv *c, const void *src, const float *wei, const float *bias, const void *dst,
                          void *scratch)
{
    char *const kernel_wei = (char *)scratch + round_64(c->pad_bytes);
    dnnl_memory_set_data_handle(c->src, (void *)src);
    dnnl_memory_set_data_handle(c->wei, (void *)wei);
    dnnl_memory_set_data_handle(c->kernel_wei, c->reorder != NULL ? (void *)kernel_wei : (void *)wei);
    dnnl_memory_set_data_handle(c->dst, (void *)dst);
    dnnl_memory_set_data_handle(c->pad, scratch);
    if (c->bias)
        dnnl_memory_set_data_handle(c->bias_memory, (void *)bias);
    if (c->reorder != NULL && c->pass != DNN_WEIGHTS)
        TRY(reorder_run(c, c->wei, c->kernel_wei));
    static const int args_of[3][4] = {
        [DNN_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS},
        [DNN_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0},
        [DNN_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_BIAS},
    };
    const int *arg = args_of[c->pass];
    const dnnl_exec_arg_t args[] = {{arg[0], c->src},
                                    {arg[1], c->kernel_wei},
                                    {arg[2], c->dst},
                                    {DNNL_ARG_SCRATCHPAD, c->pad},
                                    {arg[3], c->bias_memory}};
    TRY(check(dnnl_primitive_execute(c->primitive, stream, c->bias ? 5 : 4, args), c->name));
    if (c->reorder != NULL && c->pass == DNN_WEIGHTS)
        TRY(reorder_run(c, c->kernel_wei, c->wei));
    return check(dnnl_stream_wait(stream), "waiting for the stream");
}

const char *dnn_version(void)
{
    static char text[48];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

bool dnn_takes_bf16(void)
{
    const unsigned isa = dnnl_cpu_isa_avx512_core_bf16;
    return ((unsigned)dnnl_get_effective_cpu_isa() & isa) == isa;
}

bool dnn_takes(int lanes)
{
    const unsigned isa = lanes > 8 ? dnnl_cpu_isa_avx512_core : dnnl_cpu_isa_avx2;
    return ((unsigned)dnnl_get_effective_cpu_isa() & isa) == isa;
}
