// exec/step_conv.c: convolution, forward and its two gradients, by Winograd, through the library or by definition; with
// a folded BatchNorm the weights are the plan's derived ones. By data, Winograd writes the gradient already masked by
// the activation that made the convolution's input.

#include "exec/choice.h"
#include "exec/steps.h"
#include "base/memory.h"
#include <string.h>

static struct dnn_conv_shape conv_shape(const struct plan *p, const struct cell *cell, bool forward)
{
    const struct conv_attr *a = &cell->node->attr.conv;
    const struct value *src = &p->graph->values[cell->node->in[0]], *dst = &p->graph->values[cell->node->out];
    return (struct dnn_conv_shape){
        .n = p->options.batch, .ic = src->c, .ih = src->h, .iw = src->w, .oc = dst->c, .oh = dst->h, .ow = dst->w,
        .kh = a->kh, .kw = a->kw, .stride_h = a->stride_h, .stride_w = a->stride_w, .top = a->top, .left = a->left,
        .bottom = a->bottom, .right = a->right, .groups = a->groups, .bias = a->bias || cell->fold != NULL,
        .plain_src = cell->node->in[0] == 0, .act = forward ? cell->act : ACT_NONE,
        .bf16 = cell_narrow(p, cell), .layout = p->params->entries[cell->node->param[0]].layout};
}

static void run_conv_narrow_own(struct plan *p, const struct step *s, const struct run *run, float *wei, float *bias)
{
    const struct bf16_depthwise_kernels *kernels = p->kernels->bf16_depthwise;
    uint16_t *const src = half(BUFFER(src)), *const dst = half(BUFFER(dst));
    float *const scratch = BUFFER(scratch);
    if (s->pass == DNN_FORWARD)
        kernels->forward(&s->shape, src, wei, bias, dst, scratch);
    else if (s->pass == DNN_DATA)
        kernels->data(&s->shape, dst, wei, src, scratch);
    else
        kernels->weights(&s->shape, src, dst, wei, bias, scratch);
}

static graft_status run_conv(struct plan *p, const struct step *s, const struct run *run)
{
    float *wei, *bias;
    const struct node *node = s->cell->node;
    if (s->pass == DNN_WEIGHTS) {
        wei = BUFFER(extra);
        bias = BUFFER(extra2);
        const struct param_entry *e = &p->params->entries[node->param[0]];
        if (s->conv == NULL && s->winograd == NULL)
            memset(wei, 0, e->size * sizeof(float));
        if (bias != NULL) // the tail is not the kernel's
            memset(bias, 0, p->params->entries[node->param[1]].size * sizeof(float));
    } else if (s->cell->fold != NULL) {
        const struct fold *fold = &p->folds[s->entry];
        wei = fold->weight;
        bias = fold->bias;
    } else {
        wei = plan_param(p, node->param[0]);
        bias = node->attr.conv.bias ? plan_param(p, node->param[1]) : NULL;
    }
    if (s->conv != NULL)
        return dnn_conv_run(s->conv, BUFFER(src), wei, bias, BUFFER(dst), BUFFER(scratch));
    if (s->winograd != NULL) {
        struct winograd_maps maps = {.weights = wei, .bias = bias, .scratch = BUFFER(scratch), .mask = BUFFER(src2)};
        float *const src = BUFFER(src), *const dst = BUFFER(dst);
        maps.source = s->pass == DNN_DATA ? dst : src;
        maps.destination = s->pass == DNN_DATA ? src : dst;
        maps.gradient = dst;
        if (s->pass == DNN_WEIGHTS)
            p->kernels->winograd->gradient(s->winograd, &maps);
        else
            p->kernels->winograd->convolve(s->winograd, &maps);
        return GRAFT_OK;
    }
    if (s->narrow)
        run_conv_narrow_own(p, s, run, wei, bias);
    else
        p->kernels->conv_own(&s->shape, s->pass, BUFFER(src), wei, bias, BUFFER(dst));
    return GRAFT_OK;
}

static graft_status winograd_step(struct plan *p, const struct cell *cell, struct step *s)
{
    const int in = cell->node->in[0];
    enum dnn_act act = s->shape.act;
    if (s->pass == DNN_DATA && only_consumer(p, in) == cell->node && (act = value_act(p, in)) != ACT_NONE) {
        s->src2 = p->value_buffer[in];
        p->masked[in] = true;
    }
    s->winograd = mem_alloc(sizeof *s->winograd);
    if (s->winograd == NULL)
        return fail_memory("a convolution");
    *s->winograd =
        winograd_describe(&s->shape, s->pass, act, p->kernels->lanes, p->kernels->products->rows, exec_threads());
    return buffer_make(p, winograd_scratch(s->winograd), &s->scratch);
}

static graft_status library_step(struct plan *p, struct step *s)
{
    TRY(dnn_conv_new(&s->shape, s->pass, p->kernels->lanes, &s->conv));
    if (s->shape.bf16 && s->conv == NULL)
        return fail(GRAFT_FAILED, "layer '%s': %s has no bf16 kernel for it but a reference; use --precision fp32",
                    graph_row_name(p->graph, s->cell->node->row), exec_library());
    if (s->conv != NULL && dnn_conv_scratch(s->conv) > 0)
        TRY(buffer_make(p, (dnn_conv_scratch(s->conv) + 3) / 4, &s->scratch));
    return GRAFT_OK;
}

graft_status conv_uses_winograd(struct plan *p, const struct cell *cell, enum dnn_pass pass, bool *winograd)
{
    const struct dnn_conv_shape shape = conv_shape(p, cell, pass == DNN_FORWARD);
    return choice_make(p, cell, &shape, pass, winograd);
}

// After the buffers of a step are set: how far apart their images are, which all but Winograd take for granted.
static void conv_images(const struct plan *p, struct step *s)
{
    if (s->winograd == NULL) {
        ASSERT(!is_view(p, s->src) && !is_view(p, s->dst));
        return;
    }
    s->winograd->read_image = plan_image(p, s->pass == DNN_DATA ? s->dst : s->src);
    s->winograd->tile_image = plan_image(p, s->pass == DNN_DATA ? s->src : s->dst);
    ASSERT(s->src2 == NO_BUFFER || plan_image(p, s->src2) == s->winograd->tile_image); // the mask
}

static graft_status conv_step(struct plan *p, const struct cell *cell, enum dnn_pass pass, struct step **out)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_conv;
    s->cell = cell;
    s->pass = pass;
    s->shape = conv_shape(p, cell, pass == DNN_FORWARD);
    for (int i = 0; i < p->n_folds; i++)
        if (p->folds[i].cell == cell)
            s->entry = i;
    *out = s;
    bool winograd;
    if (s->shape.bf16 && conv_narrow_own(p, cell->node)) {
        s->narrow = true;
        return buffer_make(p, p->kernels->bf16_depthwise->scratch(&s->shape, pass, exec_threads()), &s->scratch);
    }
    if (s->shape.bf16)
        return library_step(p, s);
    TRY(choice_make(p, cell, &s->shape, pass, &winograd));
    if (winograd)
        return winograd_step(p, cell, s);
    return library_step(p, s);
}

static graft_status conv_forward_narrow(struct plan *p, const struct cell *cell)
{
    struct step *s;
    int src, dst;
    TRY(half_read(p, cell->node->in[0], p->value_buffer[cell->node->in[0]], &src));
    TRY(half_make(p, cell->out, &dst));
    TRY(conv_step(p, cell, DNN_FORWARD, &s));
    s->src = src;
    s->dst = dst;
    step_uses(p, s);
    return half_made(p, cell->out, dst);
}

static graft_status conv_backward_narrow(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const int in = node->in[0];
    struct step *s;
    int weight, bias;
    if (node->trains || (p->needs_gradient[in] && value_act(p, in) != ACT_NONE)) // its sums, or the mask
        TRY(value_again(p, in));
    TRY(weight_gradients_make(p, node, &weight, &bias));
    int src, diff, mask = NO_BUFFER;
    TRY(half_read(p, cell->out, p->value_gradient[cell->out], &diff));
    if (weight != NO_BUFFER) {
        TRY(half_read(p, in, p->value_buffer[in], &src));
        TRY(conv_step(p, cell, DNN_WEIGHTS, &s));
        s->src = src;
        s->dst = diff;
        s->extra = weight;
        s->extra2 = bias;
        step_uses(p, s);
    }
    if (!p->needs_gradient[in])
        return weight_gradients_ready(p, node, weight, bias);
    if (!p->narrow[in] && only_consumer(p, in) == cell->node && value_act(p, in) != ACT_NONE) {
        mask = p->value_buffer[in];
        p->masked[in] = true;
    }
    TRY(narrow_buffer(p, in, &src));
    TRY(conv_step(p, cell, DNN_DATA, &s));
    s->src = src;
    s->dst = diff;
    step_uses(p, s);
    TRY(half_give(p, in, src, mask));
    return weight_gradients_ready(p, node, weight, bias);
}

graft_status conv_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    if (cell_narrow(p, cell))
        return conv_forward_narrow(p, cell);
    TRY(conv_step(p, cell, DNN_FORWARD, &s));
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    conv_images(p, s);
    step_uses(p, s);
    return GRAFT_OK;
}

graft_status conv_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const int in = node->in[0];
    int weight, bias;
    bool by_weights = true, by_data = true;
    struct step *s;
    TRY(act_backward_step(p, cell));
    if (cell_narrow(p, cell))
        return conv_backward_narrow(p, cell);
    if (node->trains && p->options.mode == PLAN_TRAIN)
        TRY(conv_uses_winograd(p, cell, DNN_WEIGHTS, &by_weights));
    if (p->needs_gradient[in])
        TRY(conv_uses_winograd(p, cell, DNN_DATA, &by_data));
    if (!by_weights || !by_data)
        TRY(gradient_apart(p, cell->out));
    const int diff = p->value_gradient[cell->out];
    if (node->trains || (p->needs_gradient[in] && value_act(p, in) != ACT_NONE)) // its sums, or the mask
        TRY(value_again(p, in));
    TRY(weight_gradients_make(p, node, &weight, &bias));
    if (weight != NO_BUFFER) {
        TRY(conv_step(p, cell, DNN_WEIGHTS, &s));
        s->src = p->value_buffer[in];
        s->dst = diff;
        s->extra = weight;
        s->extra2 = bias;
        conv_images(p, s);
        step_uses(p, s);
    }
    if (p->needs_gradient[in]) {
        int diff_src;
        TRY(buffer_make(p, value_floats(p, in), &diff_src));
        TRY(conv_step(p, cell, DNN_DATA, &s));
        s->src = diff_src;
        s->dst = diff;
        conv_images(p, s);
        step_uses(p, s);
        TRY(gradient_give(p, in, diff_src));
    }
    return weight_gradients_ready(p, node, weight, bias);
}
