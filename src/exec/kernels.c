// exec/kernels.c: graft's own kernels in C that the compiler vectorises.  Compiled once per instruction set, see
// exec/simd.h. Owner of a task: one (image, channel block) or one channel block, so results never depend on the thread
// count.

#include "exec/kernels.h"
#include "exec/products.h"
#include "exec/simd.h"
#include "base/rng.h"
#include <stddef.h>
#include <float.h>
#include <math.h>
#include <string.h>

// pixels summed in float before the sum goes into double: keeps BatchNorm as exact as the frameworks'
enum { FOLD = 32 };
enum { PIECE = 16384 }; // floats of an elementwise task
#define LANE_LOOP _Pragma("omp simd") for (int l = 0; l < V; l++)
static const float SIX = 6;

static inline float act_mask(float dst, float diff, enum dnn_act act)
{
    if (act == ACT_NONE)
        return diff;
    const float limit = act == ACT_RELU6 ? SIX : INFINITY;
    return (dst > 0) & (dst < limit) ? diff : 0; // one selection, no branch: the loops around it vectorise
}

static void act_forward(float *x, size_t size, enum dnn_act act)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < size; i++)
        x[i] = act_value(x[i], act);
}

// A piece of rows: `size` floats from `begin` of an image.
struct piece { size_t image, begin, size; };
static inline size_t pieces_of(struct rows r) { return r.n * ((r.each + PIECE - 1) / PIECE); }
static inline struct piece piece_at(struct rows r, size_t task)
{
    const size_t each = (r.each + PIECE - 1) / PIECE, begin = task % each * PIECE;
    return (struct piece){task / each, begin, r.each - begin < PIECE ? r.each - begin : PIECE};
}
static inline float *piece_in(struct map m, struct piece p) { return m.at + p.image * m.image + p.begin; }

static void act_backward(struct rows r, struct map dst, struct map diff, struct map out, enum dnn_act act)
{
#pragma omp parallel for schedule(static)
    for (size_t task = 0; task < pieces_of(r); task++) {
        const struct piece p = piece_at(r, task);
        const float *y = piece_in(dst, p), *d = piece_in(diff, p);
        float *o = piece_in(out, p);
#pragma omp simd
        for (size_t i = 0; i < p.size; i++)
            o[i] = act_mask(y[i], d[i], act);
    }
}

static void add(struct rows r, struct map a, struct map b, struct map dst, enum dnn_act act)
{
#pragma omp parallel for schedule(static)
    for (size_t task = 0; task < pieces_of(r); task++) {
        const struct piece p = piece_at(r, task);
        const float *x = piece_in(a, p), *y = piece_in(b, p);
        float *o = piece_in(dst, p);
#pragma omp simd
        for (size_t i = 0; i < p.size; i++)
            o[i] = act_value(x[i] + y[i], act);
    }
}

// Sums are shifted by the block's first pixel and folded into double every FOLD pixels, so large means lose nothing.
static void bn_statistics(struct map_shape s, struct map src, float *mean, float *variance)
{
    const size_t area = (size_t)s.h * s.w;
#pragma omp parallel for schedule(static)
    for (int b = 0; b < s.cb; b++) {
        double sum[V] = {0}, square[V] = {0};
        const float *first = src.at + b * area * V;
        for (int n = 0; n < s.n; n++) {
            const float *x = src.at + n * src.image + b * area * V; // (h*w, v)
            for (size_t begin = 0; begin < area; begin += FOLD) {
                const size_t end = begin + FOLD < area ? begin + FOLD : area;
                float part[V] = {0}, part_square[V] = {0};
                for (size_t p = begin; p < end; p++)
                    LANE_LOOP
                    {
                        const float d = x[p * V + l] - first[l];
                        part[l] += d;
                        part_square[l] += d * d;
                    }
                for (int l = 0; l < V; l++) {
                    sum[l] += part[l];
                    square[l] += part_square[l];
                }
            }
        }
        const double count = (double)s.n * area;
        for (int l = 0; l < V; l++) {
            const double shifted = sum[l] / count, var = square[l] / count - shifted * shifted;
            mean[b * V + l] = (float)(first[l] + shifted);
            variance[b * V + l] = var > 0 ? (float)var : 0;
        }
    }
}

// One image of one channel block; `act` and `joins` (a residual is added) are constant where it is inlined.
static inline __attribute__((always_inline)) void bn_block(const enum dnn_act act, const bool joins, size_t area,
                                                           const float *x, const float *scale, const float *shift,
                                                           const float *r, float *y)
{
    for (size_t p = 0; p < area; p++)
        LANE_LOOP
        {
            const float value = x[p * V + l] * scale[l] + shift[l];
            y[p * V + l] = act_value(joins ? value + r[p * V + l] : value, act);
        }
}

static void bn_apply(struct map_shape s, struct map src, const float *scale, const float *shift, struct map residual,
                     struct map dst, enum dnn_act act)
{
    const size_t area = (size_t)s.h * s.w;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.n * s.cb; task++) {
        const float *x = block_at(src, task, s.cb, area * V);
        const float *a = scale + task % s.cb * V, *b = shift + task % s.cb * V;
        float *y = block_at(dst, task, s.cb, area * V);
        const float *r = residual.at != NULL ? block_at(residual, task, s.cb, area * V) : NULL;
        if (r != NULL && act == ACT_NONE)
            bn_block(ACT_NONE, true, area, x, a, b, r, y);
        else if (r != NULL)
            bn_block(act, true, area, x, a, b, r, y);
        else
            bn_block(act, false, area, x, a, b, r, y);
    }
}

// One image of one channel block: masks the gradient in place; sum += g, product += g (x - mean).  `act` is constant
// where it is inlined.
static inline __attribute__((always_inline)) void bn_gradient_sums(const enum dnn_act act, size_t area, const float *x,
                                                                   const float *y, float *g, const float *mean,
                                                                   double *sum, double *product)
{
    for (size_t begin = 0; begin < area; begin += FOLD) {
        const size_t end = begin + FOLD < area ? begin + FOLD : area;
        float part[V] = {0}, part_product[V] = {0};
        for (size_t p = begin; p < end; p++)
            LANE_LOOP
            {
                const float d = act_mask(y[p * V + l], g[p * V + l], act);
                if (act != ACT_NONE)
                    g[p * V + l] = d;
                part[l] += d;
                part_product[l] += d * (x[p * V + l] - mean[l]);
            }
        for (int l = 0; l < V; l++) {
            sum[l] += part[l];
            product[l] += part_product[l];
        }
    }
}

// One image of one channel block: the gradient of the source from the masked one; `add` is constant where it is
// inlined.
static inline __attribute__((always_inline)) void bn_gradient_apply(const bool add, bool batch_statistics, size_t area,
                                                                    const float *x, const float *g, const float *mean,
                                                                    const float *scale, const float *offset,
                                                                    const float *slope, float *out)
{
    if (batch_statistics)
        for (size_t p = 0; p < area; p++)
            LANE_LOOP
            {
                const float d =
                    scale[l] * g[p * V + l] - offset[l] - slope[l] * (x[p * V + l] - mean[l]);
                out[p * V + l] = add ? out[p * V + l] + d : d;
            }
    else
        for (size_t p = 0; p < area; p++)
            LANE_LOOP
                out[p * V + l] = add ? out[p * V + l] + scale[l] * g[p * V + l] : scale[l] * g[p * V + l];
}

// y = gamma * (x - mean) * inverse + beta;  g = masked gradient of y, x' = (x - mean) * inverse, m = n*h*w:
//   dgamma = sum g x',  dbeta = sum g
//   dx = gamma * inverse * (g - dbeta / m - x' dgamma / m) with batch statistics, else gamma * inverse * g
static void bn_backward(const struct bn_gradient *g)
{
    const struct map_shape s = g->shape;
    const size_t area = (size_t)s.h * s.w;
    const double count = (double)s.n * area;
#pragma omp parallel for schedule(static)
    for (int b = 0; b < s.cb; b++) {
        double sum[V] = {0}, product[V] = {0};
        const float *m = g->mean + b * V, *inv = g->inverse + b * V;
        for (int n = 0; n < s.n; n++) {
            const size_t at = b * area * V;
            const float *x = g->src.at + n * g->src.image + at, *y = g->dst.at + n * g->dst.image + at;
            float *d = g->diff.at + n * g->diff.image + at;
            if (g->act == ACT_NONE)
                bn_gradient_sums(ACT_NONE, area, x, y, d, m, sum, product);
            else if (g->act == ACT_RELU)
                bn_gradient_sums(ACT_RELU, area, x, y, d, m, sum, product);
            else
                bn_gradient_sums(ACT_RELU6, area, x, y, d, m, sum, product);
        }
        float scale[V], offset[V], slope[V];
        for (int l = 0; l < V; l++) {
            const double dgamma = product[l] * inv[l];
            scale[l] = g->gamma[b * V + l] * inv[l];
            offset[l] = g->batch_statistics ? (float)(scale[l] * sum[l] / count) : 0;
            slope[l] = g->batch_statistics ? (float)(scale[l] * dgamma / count * inv[l]) : 0;
            if (g->diff_gamma != NULL) {
                g->diff_gamma[b * V + l] = (float)dgamma;
                g->diff_beta[b * V + l] = (float)sum[l];
            }
        }
        for (int n = s.n - 1; g->diff_src.at != NULL && n >= 0; n--) {
            const size_t at = b * area * V;
            const float *x = g->src.at + n * g->src.image + at, *d = g->diff.at + n * g->diff.image + at;
            float *o = g->diff_src.at + n * g->diff_src.image + at;
            if (g->add)
                bn_gradient_apply(true, g->batch_statistics, area, x, d, m, scale, offset, slope, o);
            else
                bn_gradient_apply(false, g->batch_statistics, area, x, d, m, scale, offset, slope, o);
        }
    }
}

// x^-beta; GoogLeNet's 3/4 by square roots, which vectorise.
static inline float lrn_power(float x, float beta) { return beta == 0.75f ? 1 / sqrtf(x * sqrtf(x)) : powf(x, -beta); }

// Sums of `size` neighbours of each lane of block b: near holds the blocks b - 1, b, b + 1 (zeros past the ends).
static inline void lrn_window(const float *near, int size, float *sum)
{
    for (int l = 0; l < V; l++)
        sum[l] = 0;
    for (int j = 0; j < size; j++) {
        const float *x = near + V - size / 2 + j;
        LANE_LOOP
            sum[l] += x[l];
    }
}

// near = values of pixel p in the blocks around b, squared where `squares`.
static inline void lrn_gather(const float *image, size_t area, int cb, int b, size_t p, bool squares, float *near)
{
    for (int k = 0; k < 3; k++) {
        const int block = b + k - 1;
        const float *x = image + (block * area + p) * V;
        const bool inside = block >= 0 && block < cb;
        for (int l = 0; l < V; l++)
            near[k * V + l] = !inside ? 0 : squares ? x[l] * x[l] : x[l];
    }
}

// y = x * s^-beta,  s = k + alpha / size * sum over the window of x^2
static void lrn_forward(struct map_shape s, struct lrn_shape a, const float *src, float *dst)
{
    const size_t area = (size_t)s.h * s.w;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.n * s.cb; task++) {
        const int n = task / s.cb, b = task % s.cb;
        const float *image = src + (size_t)n * s.cb * area * V;
        for (size_t p = 0; p < area; p++) {
            float near[3 * V], sum[V];
            const float *x = src + (task * area + p) * V;
            float *y = dst + (task * area + p) * V;
            lrn_gather(image, area, s.cb, b, p, true, near);
            lrn_window(near, a.size, sum);
            LANE_LOOP
                y[l] = x[l] * lrn_power(a.k + a.scale * sum[l], a.beta);
        }
    }
}

// dx = g s^-beta - 2 beta alpha / size * x * sum over the window of r,  r = g x s^-(beta + 1), g the gradient of y
static void lrn_backward(struct map_shape s, struct lrn_shape a, const float *src, float *diff, float *ratio)
{
    const size_t area = (size_t)s.h * s.w;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.n * s.cb; task++) {
        const int n = task / s.cb, b = task % s.cb;
        const float *image = src + (size_t)n * s.cb * area * V;
        for (size_t p = 0; p < area; p++) {
            float near[3 * V], sum[V];
            const size_t at = (task * area + p) * V;
            lrn_gather(image, area, s.cb, b, p, true, near);
            lrn_window(near, a.size, sum);
            LANE_LOOP
            {
                const float base = a.k + a.scale * sum[l], scaled = diff[at + l] * lrn_power(base, a.beta);
                diff[at + l] = scaled;
                ratio[at + l] = scaled * src[at + l] / base;
            }
        }
    }
    const float factor = 2 * a.beta * a.scale;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.n * s.cb; task++) {
        const int n = task / s.cb, b = task % s.cb;
        const float *image = ratio + (size_t)n * s.cb * area * V;
        for (size_t p = 0; p < area; p++) {
            float near[3 * V], sum[V];
            const size_t at = (task * area + p) * V;
            lrn_gather(image, area, s.cb, b, p, false, near);
            lrn_window(near, a.size, sum);
            LANE_LOOP
                diff[at + l] -= factor * src[at + l] * sum[l];
        }
    }
}

// The mask is recomputed from its key in the backward pass: nothing is stored.
static void dropout(const float *src, float *dst, size_t size, float rate, uint64_t seed, uint64_t step, uint64_t layer)
{
    const float keep = 1 / (1 - rate);
    const uint64_t key = rng_hash(RNG_DROPOUT, seed, step, layer);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < size; i++)
        dst[i] = rng_unit(rng_hash(key, i, 0, 0)) < rate ? 0 : src[i] * keep;
}

// Element addresses of conv_own.
static inline size_t map_at(int n, int c, int y, int x, int channels, int h, int w, bool plain)
{
    const size_t blocks = (size_t)(channels + V - 1) / V;
    return plain ? (((size_t)n * channels + c) * h + y) * w + x
                 : (((n * blocks + c / V) * h + y) * w + x) * V + c % V;
}
static inline size_t wei_at(const struct dnn_conv_shape *s, int o, int i, int y, int x)
{
    const size_t area = (size_t)s->kh * s->kw, p = (size_t)y * s->kw + x, per = s->ic / s->groups;
    switch (s->layout) {
    case LAYOUT_OIHW_BLOCK:
        return (((o / V) * ((per + V - 1) / V) + i / V) * area + p) * V * V + (size_t)(i % V) * V + o % V;
    case LAYOUT_OHWI_BLOCK:
        return ((o / V * area + p) * per + i) * V + o % V;
    case LAYOUT_GOIHW_DEPTHWISE:
        return (o / V * area + p) * V + o % V;
    default:
        return (o * per + i) * area + p;
    }
}

// One row of a depthwise weight gradient: sum[kx] += diff_dst[x] * src[x * stride - left + kx], over the row.
// K is constant where it is inlined, so the sums stay in registers.
static inline __attribute__((always_inline)) void depthwise_row(const int K, const float *src, const float *diff,
                                                                int iw, int ow, int stride, int left, float *sum)
{
    int inner = (left + stride - 1) / stride, outer = (iw - K + left) / stride + 1; // columns that need no clipping
    outer = iw - K + left < 0 ? 0 : outer > ow ? ow : outer;
    inner = inner > outer ? outer : inner;
    for (int x = 0; x < ow; x++) {
        if (x == inner && inner < outer)
            x = outer;
        if (x >= ow)
            break;
        for (int k = 0; k < K; k++) {
            const int ix = x * stride - left + k;
            if (ix >= 0 && ix < iw)
                LANE_LOOP
                    sum[k * V + l] += diff[(size_t)x * V + l] * src[(size_t)ix * V + l];
        }
    }
    float part[7 * V] = {0};
    for (int x = inner; x < outer; x++) {
        const float *s = src + ((size_t)x * stride - left) * V, *d = diff + (size_t)x * V;
#pragma GCC unroll 7
        for (int k = 0; k < K; k++)
            LANE_LOOP
                part[k * V + l] += d[l] * s[k * V + l];
    }
    for (int i = 0; i < K * V; i++)
        sum[i] += part[i];
}

static bool depthwise_weights(const struct dnn_conv_shape *s, const float *src, float *wei, float *bias,
                              const float *diff_dst)
{
    const int cb = (s->ic + V - 1) / V;
    if (s->layout != LAYOUT_GOIHW_DEPTHWISE || (s->kw != 3 && s->kw != 5 && s->kw != 7))
        return false;
#pragma omp parallel for schedule(dynamic)
    for (int b = 0; b < cb; b++)
        for (int ky = 0; ky < s->kh; ky++) {
            float *out = wei + ((size_t)b * s->kh + ky) * s->kw * V;
            double total[7 * V] = {0}, bias_sum[V] = {0};
            for (int n = 0; n < s->n; n++) {
                const float *x = src + ((size_t)n * cb + b) * s->ih * s->iw * V;
                const float *d = diff_dst + ((size_t)n * cb + b) * s->oh * s->ow * V;
                float sum[7 * V] = {0};
                for (int y = 0; y < s->oh; y++) {
                    const int iy = y * s->stride_h - s->top + ky;
                    const float *row = x + (ptrdiff_t)iy * s->iw * V, *diff = d + (size_t)y * s->ow * V;
                    if (s->bias && ky == 0)
                        for (int i = 0; i < s->ow * V; i++)
                            bias_sum[i % V] += diff[i];
                    if (iy < 0 || iy >= s->ih)
                        continue;
                    if (s->kw == 3)
                        depthwise_row(3, row, diff, s->iw, s->ow, s->stride_w, s->left, sum);
                    else if (s->kw == 5)
                        depthwise_row(5, row, diff, s->iw, s->ow, s->stride_w, s->left, sum);
                    else
                        depthwise_row(7, row, diff, s->iw, s->ow, s->stride_w, s->left, sum);
                }
                for (int i = 0; i < s->kw * V; i++)
                    total[i] += sum[i];
            }
            for (int i = 0; i < s->kw * V; i++)
                out[i] = (float)total[i];
            if (s->bias && ky == 0)
                for (int l = 0; l < V && b * V + l < s->oc; l++)
                    bias[b * V + l] = (float)bias_sum[l];
        }
    return true;
}

static void conv_own(const struct dnn_conv_shape *s, enum dnn_pass pass, float *src, float *wei, float *bias,
                       float *dst)
{
    const int per_in = s->ic / s->groups, per_out = s->oc / s->groups;
    if (pass == DNN_WEIGHTS && depthwise_weights(s, src, wei, bias, dst))
        return;
    // One task owns what it writes: an output channel (forward, weights) or an input channel (data).
    const int tasks = pass == DNN_DATA ? s->ic : s->oc;
    if (pass == DNN_FORWARD) // channel tails stay zero
        memset(dst, 0, map_at(s->n, 0, 0, 0, s->oc, s->oh, s->ow, false) * sizeof *dst);
    if (pass == DNN_DATA)
        memset(src, 0, map_at(s->n, 0, 0, 0, s->ic, s->ih, s->iw, s->plain_src) * sizeof *src);
#pragma omp parallel for schedule(dynamic)
    for (int task = 0; task < tasks; task++) {
        const int group = task / (pass == DNN_DATA ? per_in : per_out);
        const int o0 = pass == DNN_DATA ? group * per_out : task, o1 = pass == DNN_DATA ? o0 + per_out : task + 1;
        const int i0 = pass == DNN_DATA ? task : group * per_in, i1 = pass == DNN_DATA ? task + 1 : i0 + per_in;
        for (int o = o0; o < o1; o++) {
            double bias_sum = 0;
            if (pass == DNN_WEIGHTS)
                for (int i = i0; i < i1; i++)
                    for (int k = 0; k < s->kh * s->kw; k++)
                        wei[wei_at(s, o, i - i0, k / s->kw, k % s->kw)] = 0;
            for (int n = 0; n < s->n; n++)
                for (int oy = 0; oy < s->oh; oy++)
                    for (int ox = 0; ox < s->ow; ox++) {
                        float *d = dst + map_at(n, o, oy, ox, s->oc, s->oh, s->ow, false);
                        double sum = pass == DNN_FORWARD && s->bias ? bias[o] : 0;
                        bias_sum += *d;
                        for (int ky = 0; ky < s->kh; ky++)
                            for (int kx = 0; kx < s->kw; kx++) {
                                const int y = oy * s->stride_h - s->top + ky, x = ox * s->stride_w - s->left + kx;
                                if (y < 0 || y >= s->ih || x < 0 || x >= s->iw)
                                    continue;
                                for (int i = i0; i < i1; i++) {
                                    float *a = src + map_at(n, i, y, x, s->ic, s->ih, s->iw, s->plain_src);
                                    float *k = wei + wei_at(s, o, i - group * per_in, ky, kx);
                                    if (pass == DNN_FORWARD)
                                        sum += (double)*a * *k;
                                    else if (pass == DNN_DATA)
                                        *a += *d * *k;
                                    else
                                        *k += *a * *d;
                                }
                            }
                        if (pass == DNN_FORWARD)
                            *d = act_value((float)sum, s->act);
                    }
            if (pass == DNN_WEIGHTS && s->bias)
                bias[o] = (float)bias_sum;
        }
    }
}

extern const struct products FOR_SET(products);
extern const struct winograd_kernels FOR_SET(winograd);
extern const struct pool_kernels FOR_SET(pools);
extern const struct bf16_kernels FOR_SET(bf16);
extern const struct bf16_pool_kernels FOR_SET(bf16_pools);
extern const struct bf16_depthwise_kernels FOR_SET(bf16_depthwise);
extern const struct dense_kernels FOR_SET(dense);

const struct kernel_table FOR_SET(kernels) = {
    .isa = ISA_NAME, .lanes = V, .act_forward = act_forward, .act_backward = act_backward, .add = add,
    .bn_statistics = bn_statistics, .bn_apply = bn_apply, .bn_backward = bn_backward,
    .lrn_forward = lrn_forward, .lrn_backward = lrn_backward,
    .dropout = dropout, .conv_own = conv_own,
    .winograd = &FOR_SET(winograd), .products = &FOR_SET(products), .pools = &FOR_SET(pools),
    .bf16 = &FOR_SET(bf16), .bf16_pools = &FOR_SET(bf16_pools),
    .bf16_depthwise = &FOR_SET(bf16_depthwise), .dense = &FOR_SET(dense),
};
