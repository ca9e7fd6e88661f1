// exec/bf16_depthwise.c: depthwise convolutions of maps as exec/bf16.c has them, channels last, in all three passes;
// the weights and the sums are fp32.  Compiled once per instruction set, see exec/simd.h.  Channels are taken W at a
// time; along a row OUTPUTS places at once, so that what is read serves all of them.  A task is a row of the map that
// is written, or (by weights) a slab of rows, cut the same for any number of threads.

#include "exec/half.h"
#include <string.h>

enum { OUTPUTS = 4, SIDE_MOST = 7, TAPS_MOST = SIDE_MOST * SIDE_MOST };
#define UNROLL _Pragma("GCC unroll 16")

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int most(int a, int b) { return a > b ? a : b; }

// A row of sums: y[ox] = sum over ky, kx of x[oy stride - top + ky][ox stride - left + kx] * w[ky][kx].
struct line {
    const uint16_t *src; // the image read, at the channels of the line
    int h, w, channels, count; // of it; `count` channels from here on
    int y, left, stride;     // the row of its first tap; what lies left of the first place
    int kh, kw, ow;
    const vec *taps;         // [kh][kw]
};

INLINE vec line_load(const struct line *l, int y, int x)
{
    return some_load(l->src + ((size_t)y * l->w + x) * l->channels, l->count);
}

// One place, whose window may stand out of the map.
INLINE vec line_place(const struct line *l, int ox, vec sum)
{
    const int x = ox * l->stride - l->left;
    for (int ky = most(0, -l->y); ky < least(l->kh, l->h - l->y); ky++)
        for (int kx = most(0, -x); kx < least(l->kw, l->w - x); kx++)
            sum += line_load(l, l->y + ky, x + kx) * l->taps[ky * l->kw + kx];
    return sum;
}

// OUTPUTS places whose windows lie in the map from left to right.
INLINE void line_places(const int kw, const int stride, const struct line *l, int ox, vec *sum)
{
    const int x = ox * stride - l->left;
    for (int ky = most(0, -l->y); ky < least(l->kh, l->h - l->y); ky++)
        UNROLL for (int j = 0; j < (OUTPUTS - 1) * stride + kw; j++) {
            const vec read = line_load(l, l->y + ky, x + j);
            UNROLL for (int o = 0; o < OUTPUTS; o++)
                if (j - o * stride >= 0 && j - o * stride < kw)
                    sum[o] += read * l->taps[ky * kw + j - o * stride];
        }
}

INLINE void line_write(const int kw, const int stride, const struct line *l, vec bias, enum dnn_act act, uint16_t *dst)
{
    const int inner = (l->left + stride - 1) / stride; // the first place whose window begins in the map
    for (int ox = 0; ox < l->ow;) {
        vec sum[OUTPUTS];
        const int end = (ox + OUTPUTS - 1) * stride - l->left + kw;
        const int some = ox >= inner && ox + OUTPUTS <= l->ow && end <= l->w ? OUTPUTS : 1;
        UNROLL for (int o = 0; o < OUTPUTS; o++)
            sum[o] = bias;
        if (some == OUTPUTS)
            line_places(kw, stride, l, ox, sum);
        else
            sum[0] = line_place(l, ox, bias);
        for (int o = 0; o < some; o++, ox++)
            some_store(dst + (size_t)ox * l->channels, activated(sum[o], act), l->count);
    }
}

static void line_run(const struct line *l, vec bias, enum dnn_act act, uint16_t *dst)
{
    if (l->kw == 3 && l->stride == 1)
        line_write(3, 1, l, bias, act, dst);
    else if (l->kw == 3 && l->stride == 2)
        line_write(3, 2, l, bias, act, dst);
    else if (l->kw == 5 && l->stride == 1)
        line_write(5, 1, l, bias, act, dst);
    else if (l->kw == 5 && l->stride == 2)
        line_write(5, 2, l, bias, act, dst);
    else
        for (int ox = 0; ox < l->ow; ox++)
            some_store(dst + (size_t)ox * l->channels, activated(line_place(l, ox, bias), act), l->count);
}

// The taps of W channels from `c` on, which lie [C/V][kh][kw][V].
static void taps_load(const struct dnn_conv_shape *s, const float *wei, int c, bool turned, vec *taps)
{
    const int area = s->kh * s->kw;
    for (int p = 0; p < area; p++)
        taps[turned ? area - 1 - p : p] = vec_load(wei + ((size_t)(c / V) * area + p) * V + c % V);
}

static void forward(const struct dnn_conv_shape *s, const uint16_t *src, const float *wei, const float *bias,
                    uint16_t *dst)
{
    const int channels = s->ic;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s->n * s->oh; task++)
        for (int c = 0; c < channels; c += W) {
            vec taps[TAPS_MOST];
            taps_load(s, wei, c, false, taps);
            const struct line l = {src + (size_t)(task / s->oh) * s->ih * s->iw * channels + c, s->ih, s->iw, channels,
                                   channels - c, task % s->oh * s->stride_h - s->top, s->left, s->stride_w, s->kh,
                                   s->kw, s->ow, taps};
            line_run(&l, bias != NULL ? vec_load(bias + c) : vec_zero(), s->act,
                     dst + (size_t)task * s->ow * channels + c);
        }
}

// With strides: of one place of the source what it has given to the windows over it.
static vec place_gather(const struct dnn_conv_shape *s, const uint16_t *diff, int count, int y, int x, const vec *taps)
{
    vec sum = vec_zero();
    for (int ky = (y + s->top) % s->stride_h; ky < s->kh && ky <= y + s->top; ky += s->stride_h)
        for (int kx = (x + s->left) % s->stride_w; kx < s->kw && kx <= x + s->left; kx += s->stride_w) {
            const int oy = (y + s->top - ky) / s->stride_h, ox = (x + s->left - kx) / s->stride_w;
            if (oy < s->oh && ox < s->ow)
                sum += some_load(diff + ((size_t)oy * s->ow + ox) * s->ic, count) * taps[ky * s->kw + kx];
        }
    return sum;
}

static void data(const struct dnn_conv_shape *s, const uint16_t *diff_dst, const float *wei, uint16_t *diff_src)
{
    const int channels = s->ic;
    const bool strides = s->stride_h != 1 || s->stride_w != 1;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s->n * s->ih; task++)
        for (int c = 0; c < channels; c += W) {
            vec taps[TAPS_MOST];
            taps_load(s, wei, c, !strides, taps);
            const uint16_t *const diff = diff_dst + (size_t)(task / s->ih) * s->oh * s->ow * channels + c;
            uint16_t *const out = diff_src + (size_t)task * s->iw * channels + c;
            const int y = task % s->ih;
            // without strides a convolution of the gradient with the turned taps
            const struct line l = {diff, s->oh, s->ow, channels, channels - c, y - (s->kh - 1 - s->top),
                                   s->kw - 1 - s->left, 1, s->kh, s->kw, s->iw, taps};
            if (!strides)
                line_run(&l, vec_zero(), ACT_NONE, out);
            for (int x = 0; strides && x < s->iw; x++)
                some_store(out + (size_t)x * channels, place_gather(s, diff, channels - c, y, x, taps), channels - c);
        }
}

// What a row of the gradient adds to the sums of all taps.
INLINE void row_sum(const int kw, const int stride, const struct line *l, const uint16_t *diff, vec *sum)
{
    const int inner = (l->left + stride - 1) / stride, last = l->w - kw + l->left;
    const int outer = least(l->ow, last < 0 ? 0 : last / stride + 1); // windows before it end in the map
    for (int ky = most(0, -l->y); ky < least(l->kh, l->h - l->y); ky++) {
        vec part[SIDE_MOST];
        UNROLL for (int kx = 0; kx < kw; kx++)
            part[kx] = vec_zero();
        for (int ox = 0; ox < l->ow; ox++) {
            const vec d = some_load(diff + (size_t)ox * l->channels, l->count);
            const int x = ox * stride - l->left;
            if (ox >= inner && ox < outer)
                UNROLL for (int kx = 0; kx < kw; kx++)
                    part[kx] += d * line_load(l, l->y + ky, x + kx);
            else
                for (int kx = most(0, -x); kx < least(kw, l->w - x); kx++)
                    part[kx] += d * line_load(l, l->y + ky, x + kx);
        }
        UNROLL for (int kx = 0; kx < kw; kx++)
            sum[ky * kw + kx] += part[kx];
    }
}

// Sums of a slab's rows, of W channels: of an image in float, of images in double.  `total`: [taps + 1][padded], the
// last that of the gradient itself.
static void slab_sum(const struct dnn_conv_shape *s, const uint16_t *src, const uint16_t *diff_dst, int begin, int end,
                     int c, int padded, double *total)
{
    const int area = s->kh * s->kw, channels = s->ic, count = channels - c;
    vec sum[TAPS_MOST + 1] = {0};
    for (int row = begin; row < end; row++) {
        const struct line l = {src + (size_t)(row / s->oh) * s->ih * s->iw * channels + c, s->ih, s->iw, channels,
                               count, row % s->oh * s->stride_h - s->top, s->left, s->stride_w, s->kh, s->kw, s->ow,
                               NULL};
        const uint16_t *const diff = diff_dst + (size_t)row * s->ow * channels + c;
        if (s->kw == 3 && s->stride_w == 1)
            row_sum(3, 1, &l, diff, sum);
        else if (s->kw == 3 && s->stride_w == 2)
            row_sum(3, 2, &l, diff, sum);
        else if (s->kw == 5)
            row_sum(5, s->stride_w, &l, diff, sum);
        else
            row_sum(s->kw, s->stride_w, &l, diff, sum);
        for (int ox = 0; s->bias && ox < s->ow; ox++)
            sum[area] += some_load(diff + (size_t)ox * channels, count);
        if (row + 1 != end && (row + 1) % s->oh != 0)
            continue;
        for (int p = 0; p <= area; p++)
            for (int i = 0; i < W; i++)
                total[(size_t)p * padded + c + i] += sum[p][i];
        memset(sum, 0, sizeof sum);
    }
}

static void weights(const struct dnn_conv_shape *s, const uint16_t *src, const uint16_t *diff_dst, double *partial,
                    float *wei, float *bias)
{
    const int area = s->kh * s->kw, padded = (s->ic + V - 1) / V * V, rows = s->n * s->oh;
    const size_t whole = (size_t)(area + 1) * padded; // of a slab
    memset(partial, 0, BF16_SLABS * whole * sizeof *partial);
#pragma omp parallel for schedule(dynamic)
    for (int slab = 0; slab < BF16_SLABS; slab++)
        for (int c = 0; c < s->ic; c += W)
            slab_sum(s, src, diff_dst, rows * slab / BF16_SLABS, rows * (slab + 1) / BF16_SLABS, c, padded,
                     partial + slab * whole);
    for (int p = 0; p <= area; p++)
        for (int c = 0; c < padded; c++) {
            double sum = 0; // zero in the tail, where nothing was added
            for (int slab = 0; slab < BF16_SLABS; slab++)
                sum += partial[slab * whole + (size_t)p * padded + c];
            if (p < area)
                wei[((size_t)(c / V) * area + p) * V + c % V] = (float)sum;
            else if (s->bias)
                bias[c] = (float)sum;
        }
}

const struct bf16_depthwise_kernels FOR_SET(bf16_depthwise) = {
    .side_most = SIDE_MOST, .forward = forward, .data = data, .weights = weights};
