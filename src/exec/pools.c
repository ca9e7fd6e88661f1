// exec/pools.c: max, average and adaptive average pooling.  Compiled once per instruction set, see exec/simd.h.
// A task is one (image, channel block), so results never depend on the thread count.

#include "exec/kernels.h"
#include "exec/simd.h"
#include <math.h>
#include <string.h>

#define LANE_LOOP _Pragma("omp simd") for (int l = 0; l < V; l++)
#define UNROLL _Pragma("GCC unroll 9")

// The window of output (oy, ox) clipped to the map.
struct window { int y0, y1, x0, x1; };
static inline struct window window_at(const struct pool_shape *s, int oy, int ox)
{
    const int y = oy * s->stride_h - s->top, x = ox * s->stride_w - s->left;
    return (struct window){y < 0 ? 0 : y, y + s->kh < s->src.h ? y + s->kh : s->src.h, x < 0 ? 0 : x,
                           x + s->kw < s->src.w ? x + s->kw : s->src.w};
}

// The largest of the window's elements [y0, y1) x [x0, x1) and its place; src: the window's corner, which may lie
// outside the map.  Of equals the first; a NaN wins, so that it does not vanish.  The bounds are constant where a whole
// window is inlined.
INLINE void window_max(const float *src, const size_t row, const int kw, const int y0, const int y1, const int x0,
                       const int x1, float *dst, uint8_t *index)
{
    for (int part = 0; part < PARTS; part++) {
        vec best = vec_spread(-INFINITY);
        vec_mask where = (vec_mask){0} + (y0 * kw + x0);
        UNROLL for (int y = y0; y < y1; y++)
            UNROLL for (int x = x0; x < x1; x++) {
                const vec value = vec_load(src + y * row + x * V + part * W);
                const vec_mask better = (value > best) | (value != value);
                best = vec_choose(better, value, best);
                where = (where & ~better) | (((vec_mask){0} + (y * kw + x)) & better);
            }
        vec_store(dst + part * W, best);
        if (index != NULL)
            *(vec_bytes *)(index + part * W) = __builtin_convertvector(where, vec_bytes);
    }
}

static void max_forward(struct pool_shape s, struct map src, struct map dst, uint8_t *index)
{
    const size_t in = (size_t)s.src.h * s.src.w * V, out = (size_t)s.oh * s.ow * V, row = (size_t)s.src.w * V;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.src.n * s.src.cb; task++)
        for (int oy = 0; oy < s.oh; oy++)
            for (int ox = 0; ox < s.ow; ox++) {
                const struct window w = window_at(&s, oy, ox);
                const int top = oy * s.stride_h - s.top, left = ox * s.stride_w - s.left;
                const bool whole = w.y1 - w.y0 == s.kh && w.x1 - w.x0 == s.kw;
                const float *corner =
                    block_at(src, task, s.src.cb, in) + (ptrdiff_t)top * (ptrdiff_t)row + (ptrdiff_t)left * V;
                const size_t at = ((size_t)oy * s.ow + ox) * V;
                float *const to = block_at(dst, task, s.src.cb, out) + at;
                uint8_t *const place = index != NULL ? index + task * out + at : NULL;
                if (whole && s.kh == 2 && s.kw == 2)
                    window_max(corner, row, 2, 0, 2, 0, 2, to, place);
                else if (whole && s.kh == 3 && s.kw == 3)
                    window_max(corner, row, 3, 0, 3, 0, 3, to, place);
                else
                    window_max(corner, row, s.kw, w.y0 - top, w.y1 - top, w.x0 - left, w.x1 - left, to, place);
            }
}

// Gives the gradient of one output to the element it came from, zero to the others; `add`: on top of what they have.
INLINE void window_give(vec diff, vec_mask where, const size_t row, const int kw, const int y0, const int y1,
                        const int x0, const int x1, const bool add, float *diff_src)
{
    UNROLL for (int y = y0; y < y1; y++)
        UNROLL for (int x = x0; x < x1; x++) {
            float *at = diff_src + y * row + x * V;
            vec given = vec_choose(where == y * kw + x, diff, vec_zero());
            if (add)
                given += vec_load(at);
            vec_store(at, given);
        }
}

// Windows that do not overlap and cover the map are written once; else rows are cleared just before their first window.
static void max_backward(struct pool_shape s, struct map diff_dst, const uint8_t *index, struct map mask,
                         enum dnn_act act, struct map diff_src)
{
    const size_t in = (size_t)s.src.h * s.src.w * V, out = (size_t)s.oh * s.ow * V, row = (size_t)s.src.w * V;
    const vec low = vec_zero(), high = vec_spread(act == ACT_RELU6 ? 6 : INFINITY);
    const bool tiled = s.kh == 2 && s.kw == 2 && s.stride_h == 2 && s.stride_w == 2 && s.top == 0 && s.left == 0 &&
                       s.src.h == 2 * s.oh && s.src.w == 2 * s.ow;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.src.n * s.src.cb; task++) {
        float *const map = block_at(diff_src, task, s.src.cb, in);
        const float *const given = block_at(diff_dst, task, s.src.cb, out);
        const float *const pooled = mask.at != NULL ? block_at(mask, task, s.src.cb, out) : NULL;
        int cleared = 0; // rows
        for (int oy = 0; oy < s.oh; oy++) {
            const int top = oy * s.stride_h - s.top;
            if (!tiled) {
                const int end = oy + 1 == s.oh || top + s.kh > s.src.h ? s.src.h : top + s.kh;
                if (end > cleared)
                    memset(map + cleared * row, 0, (size_t)(end - cleared) * row * sizeof *map);
                cleared = end > cleared ? end : cleared;
            }
            for (int ox = 0; ox < s.ow; ox++) {
                const size_t at = ((size_t)oy * s.ow + ox) * V;
                const struct window w = window_at(&s, oy, ox);
                const int left = ox * s.stride_w - s.left;
                const bool whole = w.y1 - w.y0 == s.kh && w.x1 - w.x0 == s.kw;
                for (int part = 0; part < PARTS; part++) {
                    vec diff = vec_load(given + at + part * W);
                    if (pooled != NULL) {
                        const vec m = vec_load(pooled + at + part * W);
                        diff = vec_choose((m > low) & (m < high), diff, vec_zero());
                    }
                    const vec_mask where =
                        __builtin_convertvector(*(const vec_bytes *)(index + task * out + at + part * W), vec_mask);
                    float *corner = map + (ptrdiff_t)top * (ptrdiff_t)row + (ptrdiff_t)left * V + part * W;
                    if (tiled)
                        window_give(diff, where, row, 2, 0, 2, 0, 2, false, corner);
                    else if (whole && s.kh == 3 && s.kw == 3)
                        window_give(diff, where, row, 3, 0, 3, 0, 3, true, corner);
                    else
                        window_give(diff, where, row, s.kw, w.y0 - top, w.y1 - top, w.x0 - left, w.x1 - left, true,
                                    corner);
                }
            }
        }
    }
}

// dst = factor * sum of the window, over a map `width` wide; and the way back, which adds.
static inline void window_sum(const float *src, int width, struct window w, float factor, float *dst)
{
    float sum[V] = {0};
    for (int y = w.y0; y < w.y1; y++)
        for (int x = w.x0; x < w.x1; x++)
            LANE_LOOP
                sum[l] += src[((size_t)y * width + x) * V + l];
    for (int l = 0; l < V; l++)
        dst[l] = sum[l] * factor;
}

static inline void window_spread(const float *diff_dst, int width, struct window w, float factor, float *diff_src)
{
    for (int y = w.y0; y < w.y1; y++)
        for (int x = w.x0; x < w.x1; x++)
            LANE_LOOP
                diff_src[((size_t)y * width + x) * V + l] += diff_dst[l] * factor;
}

// 1 / elements of the window; counted padding reaches to the padded border, not past it (ceil mode), as in PyTorch.
static inline float average_factor(const struct pool_shape *s, int oy, int ox, struct window w)
{
    if (!s->count_padding)
        return 1.0f / ((w.y1 - w.y0) * (w.x1 - w.x0));
    const int y = oy * s->stride_h - s->top, x = ox * s->stride_w - s->left;
    const int y1 = y + s->kh < s->src.h + s->bottom ? y + s->kh : s->src.h + s->bottom;
    const int x1 = x + s->kw < s->src.w + s->right ? x + s->kw : s->src.w + s->right;
    return 1.0f / ((y1 - y) * (x1 - x));
}

static void average_forward(struct pool_shape s, struct map src, struct map dst)
{
    const size_t in = (size_t)s.src.h * s.src.w * V, out = (size_t)s.oh * s.ow * V;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.src.n * s.src.cb; task++)
        for (int o = 0; o < s.oh * s.ow; o++) {
            const struct window w = window_at(&s, o / s.ow, o % s.ow);
            const float factor = average_factor(&s, o / s.ow, o % s.ow, w);
            window_sum(block_at(src, task, s.src.cb, in), s.src.w, w, factor,
                       block_at(dst, task, s.src.cb, out) + (size_t)o * V);
        }
}

static void average_backward(struct pool_shape s, struct map diff_dst, struct map diff_src)
{
    const size_t in = (size_t)s.src.h * s.src.w * V, out = (size_t)s.oh * s.ow * V;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.src.n * s.src.cb; task++) {
        float *d = block_at(diff_src, task, s.src.cb, in);
        memset(d, 0, in * sizeof *d);
        for (int o = 0; o < s.oh * s.ow; o++) {
            const struct window w = window_at(&s, o / s.ow, o % s.ow);
            const float factor = average_factor(&s, o / s.ow, o % s.ow, w);
            window_spread(block_at(diff_dst, task, s.src.cb, out) + (size_t)o * V, s.src.w, w, factor, d);
        }
    }
}

// PyTorch's adaptive windows: output i of o covers [floor(i n / o), ceil((i + 1) n / o)).
static inline struct window adaptive_window(struct map_shape s, int oh, int ow, int o)
{
    const int y = o / ow, x = o % ow;
    return (struct window){y * s.h / oh, ((y + 1) * s.h + oh - 1) / oh, x * s.w / ow, ((x + 1) * s.w + ow - 1) / ow};
}

static void adaptive_forward(struct map_shape s, int oh, int ow, struct map src, struct map dst)
{
    const size_t in = (size_t)s.h * s.w * V, out = (size_t)oh * ow * V;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.n * s.cb; task++)
        for (int o = 0; o < oh * ow; o++) {
            const struct window w = adaptive_window(s, oh, ow, o);
            const float factor = 1.0f / ((w.y1 - w.y0) * (w.x1 - w.x0));
            window_sum(block_at(src, task, s.cb, in), s.w, w, factor,
                       block_at(dst, task, s.cb, out) + (size_t)o * V);
        }
}

static void adaptive_backward(struct map_shape s, int oh, int ow, struct map diff_dst, struct map diff_src)
{
    const size_t in = (size_t)s.h * s.w * V, out = (size_t)oh * ow * V;
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.n * s.cb; task++) {
        float *d = block_at(diff_src, task, s.cb, in);
        memset(d, 0, in * sizeof *d);
        for (int o = 0; o < oh * ow; o++) {
            const struct window w = adaptive_window(s, oh, ow, o);
            const float factor = 1.0f / ((w.y1 - w.y0) * (w.x1 - w.x0));
            window_spread(block_at(diff_dst, task, s.cb, out) + (size_t)o * V, s.w, w, factor, d);
        }
    }
}

const struct pool_kernels FOR_SET(pools) = {
    .max_forward = max_forward, .max_backward = max_backward, .average_forward = average_forward,
    .average_backward = average_backward, .adaptive_forward = adaptive_forward, .adaptive_backward = adaptive_backward,
};
