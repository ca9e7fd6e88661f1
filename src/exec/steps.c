// exec/steps.c: what each operation adds to a plan, forward and backward, and the functions that its steps run.
// In: cells.  Out: steps over buffers; a gradient buffer belongs to its value until the producer's backward takes it.
// Where a value has several consumers the first writes its gradient and the others add to it.

#include "exec/cells.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

#define BUFFER(field) plan_buffer(p, s->field, run)

static graft_status step_add(struct plan *p, struct step **out)
{
    *out = step_new(p);
    return *out != NULL ? GRAFT_OK : fail_memory("the plan's steps");
}

static void step_uses(struct plan *p, const struct step *s)
{
    const int all[] = {s->src, s->src2, s->dst, s->extra, s->extra2, s->scratch};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buffer_use(p, all[i]);
}

static graft_status buffer_make(struct plan *p, size_t floats, int *out)
{
    *out = buffer_new(p, floats);
    return *out != NO_BUFFER ? GRAFT_OK : fail_memory("the plan's buffers");
}

static graft_status value_make(struct plan *p, int value)
{
    return buffer_make(p, value_floats(p, value), &p->value_buffer[value]);
}

static size_t channel_floats(const struct plan *p, int value)
{
    return (size_t)value_map(p, value).cb * p->kernels->lanes;
}

// Gives the gradient in `buffer` to `value`: the value takes it, or adds it to what it has.
static graft_status run_accumulate(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->add(BUFFER(dst), BUFFER(src), BUFFER(dst), s->size);
    return GRAFT_OK;
}

static graft_status gradient_give(struct plan *p, int value, int buffer)
{
    if (!p->needs_gradient[value])
        return GRAFT_OK;
    if (p->value_gradient[value] == NO_BUFFER) {
        p->value_gradient[value] = buffer;
        return GRAFT_OK;
    }
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_accumulate;
    s->src = buffer;
    s->dst = p->value_gradient[value];
    s->size = value_floats(p, value);
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status run_ready(struct plan *p, const struct step *s, const struct run *run)
{
    if (run->ready != NULL)
        run->ready(run->user, s->entry, BUFFER(src));
    return GRAFT_OK;
}

static graft_status ready_step(struct plan *p, int entry, int gradient)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_ready;
    s->src = gradient;
    s->entry = entry;
    step_uses(p, s);
    return GRAFT_OK;
}

// Masks the gradient of a cell's output by its activation, in place.
static graft_status run_act_backward(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->act_backward(BUFFER(src), BUFFER(dst), s->size, s->cell->act);
    return GRAFT_OK;
}

static graft_status act_backward_step(struct plan *p, const struct cell *cell)
{
    if (cell->act == ACT_NONE)
        return GRAFT_OK;
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_act_backward;
    s->cell = cell;
    s->src = p->value_buffer[cell->out];
    s->dst = p->value_gradient[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return GRAFT_OK;
}

// --- convolution -----------------------------------------------------------------------------------------------------

static struct dnn_conv_shape conv_shape(const struct plan *p, const struct cell *cell, bool forward)
{
    const struct conv_attr *a = &cell->node->attr.conv;
    const struct value *src = &p->graph->values[cell->node->in[0]], *dst = &p->graph->values[cell->node->out];
    return (struct dnn_conv_shape){
        .n = p->options.batch, .ic = src->c, .ih = src->h, .iw = src->w, .oc = dst->c, .oh = dst->h, .ow = dst->w,
        .kh = a->kh, .kw = a->kw, .stride_h = a->stride_h, .stride_w = a->stride_w, .top = a->top, .left = a->left,
        .bottom = a->bottom, .right = a->right, .groups = a->groups, .bias = a->bias || cell->fold != NULL,
        .plain_src = cell->node->in[0] == 0, .act = forward ? cell->act : ACT_NONE,
        .layout = p->params->entries[cell->node->param[0]].layout};
}

static graft_status run_conv(struct plan *p, const struct step *s, const struct run *run)
{
    float *wei, *bias;
    const struct node *node = s->cell->node;
    if (s->pass == DNN_WEIGHTS) {
        wei = BUFFER(extra);
        bias = BUFFER(extra2);
        const struct param_entry *e = &p->params->entries[node->param[0]];
        if (s->conv == NULL)
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
    p->kernels->conv_own(&s->shape, s->pass, BUFFER(src), wei, bias, BUFFER(dst));
    return GRAFT_OK;
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
    TRY(dnn_conv_new(&s->shape, pass, p->kernels->lanes, &s->conv));
    if (s->conv != NULL && dnn_conv_scratch(s->conv) > 0)
        TRY(buffer_make(p, (dnn_conv_scratch(s->conv) + 3) / 4, &s->scratch));
    *out = s;
    return GRAFT_OK;
}

static graft_status conv_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(conv_step(p, cell, DNN_FORWARD, &s));
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status conv_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const int in = node->in[0], diff = p->value_gradient[cell->out];
    int weight = NO_BUFFER, bias = NO_BUFFER;
    struct step *s;
    TRY(act_backward_step(p, cell));
    if (node->trains) {
        TRY(buffer_make(p, p->params->entries[node->param[0]].size, &weight));
        if (node->attr.conv.bias)
            TRY(buffer_make(p, p->params->entries[node->param[1]].size, &bias));
        TRY(conv_step(p, cell, DNN_WEIGHTS, &s));
        s->src = p->value_buffer[in];
        s->dst = diff;
        s->extra = weight;
        s->extra2 = bias;
        step_uses(p, s);
    }
    if (p->needs_gradient[in]) {
        int diff_src;
        TRY(buffer_make(p, value_floats(p, in), &diff_src));
        TRY(conv_step(p, cell, DNN_DATA, &s));
        s->src = diff_src;
        s->dst = diff;
        step_uses(p, s);
        TRY(gradient_give(p, in, diff_src));
    }
    if (weight != NO_BUFFER)
        TRY(ready_step(p, node->param[0], weight));
    if (bias != NO_BUFFER)
        TRY(ready_step(p, node->param[1], bias));
    return GRAFT_OK;
}

// --- BatchNorm -------------------------------------------------------------------------------------------------------

static bool bn_uses_batch(const struct plan *p, const struct node *node)
{
    return p->options.mode == PLAN_TRAIN && p->options.bn == BN_TRAIN && node->trains;
}

// extra: mean, inverse (kept for backward); scratch: scale, shift.  Each is channel_floats long.
static graft_status run_bn(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const struct bn_attr *a = &node->attr.bn;
    const struct map_shape map = value_map(p, s->cell->out);
    const size_t c = channel_floats(p, s->cell->out);
    float *mean = BUFFER(extra), *inverse = mean + c, *scale = BUFFER(scratch), *shift = scale + c;
    const float *gamma = plan_param(p, node->param[0]), *beta = plan_param(p, node->param[1]);
    float *running_mean = plan_param(p, node->param[2]), *running_variance = plan_param(p, node->param[3]);
    if (s->flag) {
        const double count = (double)map.n * map.h * map.w;
        const float correction = a->unbiased && count > 1 ? (float)(count / (count - 1)) : 1;
        p->kernels->bn_statistics(map, BUFFER(src), mean, inverse);
        for (int i = 0; i < p->graph->values[s->cell->out].c; i++) {
            running_mean[i] += a->momentum * (mean[i] - running_mean[i]);
            running_variance[i] += a->momentum * (inverse[i] * correction - running_variance[i]);
        }
    } else {
        memcpy(mean, running_mean, c * sizeof *mean);
        memcpy(inverse, running_variance, c * sizeof *inverse);
    }
    for (size_t i = 0; i < c; i++) {
        inverse[i] = 1 / sqrtf(inverse[i] + a->epsilon);
        scale[i] = gamma[i] * inverse[i];
        shift[i] = beta[i] - mean[i] * scale[i];
    }
    p->kernels->bn_apply(map, BUFFER(src), scale, shift, BUFFER(dst), s->cell->act);
    return GRAFT_OK;
}

static int bn_saved(const struct plan *p, const struct cell *cell)
{
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].cell == cell && p->steps[i].run == run_bn)
            return p->steps[i].extra;
    ASSERT(!"the forward step of a BatchNorm");
    return NO_BUFFER;
}

static graft_status bn_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    const size_t c = channel_floats(p, cell->out);
    TRY(step_add(p, &s));
    s->run = run_bn;
    s->cell = cell;
    s->flag = bn_uses_batch(p, cell->node);
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    TRY(buffer_make(p, 2 * c, &s->extra));
    TRY(buffer_make(p, 2 * c, &s->scratch));
    step_uses(p, s);
    return GRAFT_OK;
}

// src2: the activated output; dst: the gradient, in place; scratch: gradients of gamma and beta.
static graft_status run_bn_backward(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const size_t c = channel_floats(p, s->cell->out);
    float *mean = BUFFER(extra), *gamma = BUFFER(scratch), *beta = BUFFER(extra2);
    p->kernels->bn_backward(value_map(p, s->cell->out), BUFFER(src), BUFFER(src2), BUFFER(dst), mean, mean + c,
                            plan_param(p, node->param[0]), s->cell->act, s->flag, p->needs_gradient[node->in[0]],
                            gamma, beta);
    return GRAFT_OK;
}

static graft_status bn_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const size_t c = channel_floats(p, cell->out);
    struct step *s;
    int gamma = NO_BUFFER, beta = NO_BUFFER;
    const int saved = bn_saved(p, cell);
    if (node->trains) {
        TRY(buffer_make(p, c, &gamma));
        TRY(buffer_make(p, c, &beta));
    }
    TRY(step_add(p, &s));
    s->run = run_bn_backward;
    s->cell = cell;
    s->flag = bn_uses_batch(p, node);
    s->src2 = p->value_buffer[cell->out];
    s->src = node->trains ? p->value_buffer[node->in[0]] : s->src2; // fixed gamma: the source is not read
    s->dst = p->value_gradient[cell->out];
    s->extra = saved;
    s->scratch = gamma;
    s->extra2 = beta;
    step_uses(p, s);
    TRY(gradient_give(p, node->in[0], s->dst));
    if (node->trains) {
        TRY(ready_step(p, node->param[0], gamma));
        TRY(ready_step(p, node->param[1], beta));
    }
    return GRAFT_OK;
}

// --- dense: y = x W' + b ---------------------------------------------------------------------------------------------

static int dense_width(const struct plan *p, int value) { return (int)(value_floats(p, value) / (size_t)p->options.batch); }

static graft_status run_dense(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const int n = p->options.batch, k = dense_width(p, node->in[0]), units = node->attr.dense.units;
    float *dst = BUFFER(dst);
    TRY(dnn_sgemm(false, true, n, units, k, BUFFER(src), k, plan_param(p, node->param[0]), k, dst, units));
    p->kernels->bias_add(dst, node->attr.dense.bias ? plan_param(p, node->param[1]) : NULL, n, units, s->cell->act);
    return GRAFT_OK;
}

static graft_status run_dense_weights(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const int n = p->options.batch, k = dense_width(p, node->in[0]), units = node->attr.dense.units;
    float *weight = BUFFER(extra), *bias = BUFFER(extra2);
    const size_t size = p->params->entries[node->param[0]].size, used = (size_t)units * k;
    memset(weight + used, 0, (size - used) * sizeof *weight);
    TRY(dnn_sgemm(true, false, units, k, n, BUFFER(dst), units, BUFFER(src), k, weight, k));
    if (bias != NULL) {
        memset(bias, 0, p->params->entries[node->param[1]].size * sizeof *bias);
        p->kernels->bias_gradient(BUFFER(dst), bias, n, units);
    }
    return GRAFT_OK;
}

static graft_status run_dense_data(struct plan *p, const struct step *s, const struct run *run)
{
    const struct node *node = s->cell->node;
    const int n = p->options.batch, k = dense_width(p, node->in[0]), units = node->attr.dense.units;
    return dnn_sgemm(false, false, n, k, units, BUFFER(dst), units, plan_param(p, node->param[0]), k, BUFFER(src), k);
}

static graft_status dense_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_dense;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status dense_backward(struct plan *p, const struct cell *cell)
{
    const struct node *node = cell->node;
    const int in = node->in[0], diff = p->value_gradient[cell->out];
    int weight = NO_BUFFER, bias = NO_BUFFER;
    struct step *s;
    TRY(act_backward_step(p, cell));
    if (node->trains) {
        TRY(buffer_make(p, p->params->entries[node->param[0]].size, &weight));
        if (node->attr.dense.bias)
            TRY(buffer_make(p, p->params->entries[node->param[1]].size, &bias));
        TRY(step_add(p, &s));
        s->run = run_dense_weights;
        s->cell = cell;
        s->src = p->value_buffer[in];
        s->dst = diff;
        s->extra = weight;
        s->extra2 = bias;
        step_uses(p, s);
    }
    if (p->needs_gradient[in]) {
        int diff_src;
        TRY(buffer_make(p, value_floats(p, in), &diff_src));
        TRY(step_add(p, &s));
        s->run = run_dense_data;
        s->cell = cell;
        s->src = diff_src;
        s->dst = diff;
        step_uses(p, s);
        TRY(gradient_give(p, in, diff_src));
    }
    if (weight != NO_BUFFER)
        TRY(ready_step(p, node->param[0], weight));
    if (bias != NO_BUFFER)
        TRY(ready_step(p, node->param[1], bias));
    return GRAFT_OK;
}

// --- pooling ---------------------------------------------------------------------------------------------------------

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
    if (cell->node->op == OP_MAXPOOL)
        p->kernels->maxpool_forward(pool_shape(p, cell), BUFFER(src), BUFFER(dst), (uint8_t *)BUFFER(extra));
    else if (cell->node->op == OP_AVGPOOL)
        p->kernels->avgpool_forward(pool_shape(p, cell), BUFFER(src), BUFFER(dst));
    else
        p->kernels->adaptive_forward(value_map(p, cell->node->in[0]), a->oh, a->ow, BUFFER(src), BUFFER(dst));
    return GRAFT_OK;
}

static graft_status run_pool_backward(struct plan *p, const struct step *s, const struct run *run)
{
    const struct cell *cell = s->cell;
    const struct adaptive_attr *a = &cell->node->attr.adaptive;
    if (cell->node->op == OP_MAXPOOL)
        p->kernels->maxpool_backward(pool_shape(p, cell), BUFFER(src), (uint8_t *)BUFFER(extra), BUFFER(dst));
    else if (cell->node->op == OP_AVGPOOL)
        p->kernels->avgpool_backward(pool_shape(p, cell), BUFFER(src), BUFFER(dst));
    else
        p->kernels->adaptive_backward(value_map(p, cell->node->in[0]), a->oh, a->ow, BUFFER(src), BUFFER(dst));
    return GRAFT_OK;
}

static graft_status pool_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_pool;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->dst = p->value_buffer[cell->out];
    if (cell->node->op == OP_MAXPOOL && p->needs_gradient[cell->out]) {
        if (cell->node->attr.pool.kh * cell->node->attr.pool.kw > 256)
            return fail(GRAFT_FAILED, "a max pool of %dx%d: training takes windows of up to 256 elements",
                        cell->node->attr.pool.kh, cell->node->attr.pool.kw);
        TRY(buffer_make(p, (value_floats(p, cell->out) + 3) / 4, &s->extra)); // a byte an element
    }
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status pool_backward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    int diff_src, index = NO_BUFFER;
    TRY(buffer_make(p, value_floats(p, cell->node->in[0]), &diff_src));
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].cell == cell && p->steps[i].run == run_pool)
            index = p->steps[i].extra;
    TRY(step_add(p, &s));
    s->run = run_pool_backward;
    s->cell = cell;
    s->src = p->value_gradient[cell->out];
    s->dst = diff_src;
    s->extra = index;
    step_uses(p, s);
    return gradient_give(p, cell->node->in[0], diff_src);
}

// --- elementwise and joining -----------------------------------------------------------------------------------------

static graft_status run_act(struct plan *p, const struct step *s, const struct run *run)
{
    memcpy(BUFFER(dst), BUFFER(src), s->size * sizeof(float));
    p->kernels->act_forward(BUFFER(dst), s->size, s->cell->node->op == OP_RELU ? ACT_RELU : ACT_RELU6);
    return GRAFT_OK;
}

static graft_status run_lone_act_backward(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->act_backward(BUFFER(src), BUFFER(dst), s->size, s->cell->node->op == OP_RELU ? ACT_RELU : ACT_RELU6);
    return GRAFT_OK;
}

static graft_status run_dropout(struct plan *p, const struct step *s, const struct run *run)
{
    const float rate = p->options.mode == PLAN_TRAIN ? s->cell->node->attr.dropout.rate : 0;
    if (rate == 0)
        memmove(BUFFER(dst), BUFFER(src), s->size * sizeof(float));
    else
        p->kernels->dropout(BUFFER(src), BUFFER(dst), s->size, rate, run->seed, run->step, (uint64_t)s->cell->layer);
    return GRAFT_OK;
}

static graft_status run_add(struct plan *p, const struct step *s, const struct run *run)
{
    p->kernels->add(BUFFER(src), BUFFER(src2), BUFFER(dst), s->size);
    if (s->cell->act != ACT_NONE)
        p->kernels->act_forward(BUFFER(dst), s->size, s->cell->act);
    return GRAFT_OK;
}

static graft_status run_copy(struct plan *p, const struct step *s, const struct run *run)
{
    memcpy(BUFFER(dst), BUFFER(src), s->size * sizeof(float));
    return GRAFT_OK;
}

// Copies channels between a part (whole) and the parent's channels from s->offset; s->flag: parent to part (gradient).
static graft_status run_concat(struct plan *p, const struct step *s, const struct run *run)
{
    const int part = s->entry, v = p->kernels->lanes;
    const struct map_shape a = value_map(p, part), b = value_map(p, s->cell->out);
    const size_t area = (size_t)a.h * a.w;
    float *small = s->flag ? BUFFER(dst) : BUFFER(src), *large = s->flag ? BUFFER(src) : BUFFER(dst);
    const int channels = p->graph->values[part].c, begin = (int)s->offset;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < a.n; n++) {
        if (s->flag)
            memset(small + (size_t)n * a.cb * area * v, 0, a.cb * area * v * sizeof(float));
        for (int c = 0; c < channels; c++) {
            float *x = small + ((size_t)n * a.cb + c / v) * area * v + c % v;
            float *y = large + ((size_t)n * b.cb + (begin + c) / v) * area * v + (begin + c) % v;
            for (size_t i = 0; i < area; i++)
                if (s->flag)
                    x[i * v] = y[i * v];
                else
                    y[i * v] = x[i * v];
        }
    }
    if (!s->flag && begin + channels == p->graph->values[s->cell->out].c) // the last part clears the tail
        for (int c = begin + channels; c < b.cb * v; c++)
            for (int n = 0; n < a.n; n++)
                for (size_t i = 0; i < area; i++)
                    large[((size_t)n * b.cb + c / v) * area * v + i * v + c % v] = 0;
    return GRAFT_OK;
}

static graft_status concat_steps(struct plan *p, const struct cell *cell, bool backward)
{
    size_t offset = 0;
    for (int k = 0; k < cell->node->n_in; k++) {
        const int part = cell->node->in[k];
        struct step *s;
        if (!backward || p->needs_gradient[part]) {
            int diff = NO_BUFFER;
            if (backward)
                TRY(buffer_make(p, value_floats(p, part), &diff));
            TRY(step_add(p, &s));
            s->run = run_concat;
            s->cell = cell;
            s->entry = part;
            s->offset = offset;
            s->flag = backward;
            s->src = backward ? p->value_gradient[cell->out] : p->value_buffer[part];
            s->dst = backward ? diff : p->value_buffer[cell->out];
            step_uses(p, s);
            if (backward)
                TRY(gradient_give(p, part, diff));
        }
        offset += (size_t)p->graph->values[part].c;
    }
    return GRAFT_OK;
}

static graft_status elementwise_forward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    const enum op op = cell->node->op;
    s->run = op == OP_ADD ? run_add : op == OP_DROPOUT ? run_dropout : run_act;
    s->cell = cell;
    s->src = p->value_buffer[cell->node->in[0]];
    s->src2 = op == OP_ADD ? p->value_buffer[cell->node->in[1]] : NO_BUFFER;
    s->dst = p->value_buffer[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return GRAFT_OK;
}

static graft_status elementwise_backward(struct plan *p, const struct cell *cell)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = cell->node->op == OP_DROPOUT ? run_dropout : run_lone_act_backward;
    s->cell = cell;
    s->dst = p->value_gradient[cell->out];
    s->src = cell->node->op == OP_DROPOUT ? s->dst : p->value_buffer[cell->out];
    s->size = value_floats(p, cell->out);
    step_uses(p, s);
    return gradient_give(p, cell->node->in[0], s->dst);
}

// Both sides receive the same gradient: the second a copy, so that the first may be changed in place.
static graft_status add_backward(struct plan *p, const struct cell *cell)
{
    TRY(act_backward_step(p, cell));
    const int diff = p->value_gradient[cell->out], a = cell->node->in[0], b = cell->node->in[1];
    if (p->needs_gradient[b] && (p->needs_gradient[a] || a == b)) {
        int copy;
        struct step *s;
        TRY(buffer_make(p, value_floats(p, b), &copy));
        TRY(step_add(p, &s));
        s->run = run_copy;
        s->src = diff;
        s->dst = copy;
        s->size = value_floats(p, b);
        step_uses(p, s);
        TRY(gradient_give(p, b, copy));
        return gradient_give(p, a, diff);
    }
    return gradient_give(p, p->needs_gradient[b] ? b : a, diff);
}

// --- the table -------------------------------------------------------------------------------------------------------

static graft_status concat_forward(struct plan *p, const struct cell *cell) { return concat_steps(p, cell, false); }
static graft_status concat_backward(struct plan *p, const struct cell *cell) { return concat_steps(p, cell, true); }

typedef graft_status (*emit)(struct plan *p, const struct cell *cell);
static const struct { emit forward, backward; } emitters[OP_COUNT] = {
    [OP_CONV] = {conv_forward, conv_backward},
    [OP_BN] = {bn_forward, bn_backward},
    [OP_RELU] = {elementwise_forward, elementwise_backward},
    [OP_RELU6] = {elementwise_forward, elementwise_backward},
    [OP_MAXPOOL] = {pool_forward, pool_backward},
    [OP_AVGPOOL] = {pool_forward, pool_backward},
    [OP_ADAPTIVE_AVGPOOL] = {pool_forward, pool_backward},
    [OP_DENSE] = {dense_forward, dense_backward},
    [OP_DROPOUT] = {elementwise_forward, elementwise_backward},
    [OP_ADD] = {elementwise_forward, add_backward},
    [OP_CONCAT] = {concat_forward, concat_backward},
};

graft_status cell_forward(struct plan *p, const struct cell *cell)
{
    TRY(value_make(p, cell->out));
    return emitters[cell->node->op].forward(p, cell);
}

graft_status cell_backward(struct plan *p, const struct cell *cell) { return emitters[cell->node->op].backward(p, cell); }

static graft_status run_loss(struct plan *p, const struct step *s, const struct run *run)
{
    p->loss = softmax_loss(BUFFER(src), run->targets, BUFFER(dst), p->options.batch, (int)s->size);
    return GRAFT_OK;
}

graft_status loss_step(struct plan *p)
{
    const int output = p->graph->output;
    struct step *s;
    if (!p->graph->values[output].flat)
        return fail(GRAFT_FAILED, "training needs a network that ends in a dense layer");
    TRY(step_add(p, &s));
    s->run = run_loss;
    s->src = p->value_buffer[output];
    TRY(buffer_make(p, value_floats(p, output), &s->dst));
    s->size = (size_t)p->graph->values[output].c;
    p->value_gradient[output] = s->dst;
    step_uses(p, s);
    return GRAFT_OK;
}
