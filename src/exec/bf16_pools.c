// exec/bf16_pools.c: max pooling of maps as exec/bf16.c has them, channels last.  Compiled once per instruction set,
// see exec/simd.h.  A task is a row of the map that is written, so results never depend on the thread count.

#include "exec/half.h"

INLINE vec_mask bytes_load(const uint8_t *p, int count)
{
    vec_bytes bytes = {0};
    if (count >= W)
        __builtin_memcpy(&bytes, p, sizeof bytes);
    for (int l = 0; l < count && count < W; l++)
        bytes[l] = p[l];
    return __builtin_convertvector(bytes, vec_mask);
}
INLINE void bytes_store(uint8_t *p, vec_mask x, int count)
{
    const vec_bytes bytes = __builtin_convertvector(x, vec_bytes);
    if (count >= W)
        __builtin_memcpy(p, &bytes, sizeof bytes);
    for (int l = 0; l < count && count < W; l++)
        p[l] = bytes[l];
}

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int most(int a, int b) { return a > b ? a : b; }

// Of equals the first; a NaN wins, so that it does not vanish: as in pools.c.
static void max_forward(struct pool_shape s, int channels, const uint16_t *src, uint16_t *dst, uint8_t *index)
{
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.src.n * s.oh; task++) {
        const int y = task % s.oh * s.stride_h - s.top, y0 = most(y, 0), y1 = least(y + s.kh, s.src.h);
        const uint16_t *const image = src + (size_t)(task / s.oh) * s.src.h * s.src.w * channels;
        for (int ox = 0; ox < s.ow; ox++) {
            const int x = ox * s.stride_w - s.left, x0 = most(x, 0), x1 = least(x + s.kw, s.src.w);
            const size_t to = ((size_t)task * s.ow + ox) * channels;
            for (int c = 0; c < channels; c += W) {
                vec best = vec_spread(-INFINITY);
                vec_mask where = (vec_mask){0} + ((y0 - y) * s.kw + x0 - x);
                for (int i = y0; i < y1; i++)
                    for (int j = x0; j < x1; j++) {
                        const vec value = some_load(image + ((size_t)i * s.src.w + j) * channels + c, channels - c);
                        const vec_mask better = (value > best) | (value != value);
                        best = vec_choose(better, value, best);
                        where = (where & ~better) | (((vec_mask){0} + ((i - y) * s.kw + j - x)) & better);
                    }
                some_store(dst + to + c, best, channels - c);
                if (index != NULL)
                    bytes_store(index + to + c, where, channels - c);
            }
        }
    }
}

// The windows [*first, *end) along one axis that hold place `at`.
static inline void windows_over(int at, int pad, int size, int stride, int count, int *first, int *end)
{
    *first = most(0, (at + pad - size + stride) / stride);
    *end = least(count, (at + pad) / stride + 1);
}

// Every element of the source gathers from the windows over it, so that it is rounded once.
static void max_backward(struct pool_shape s, int channels, const uint16_t *diff_dst, const uint8_t *index,
                         const uint16_t *mask, enum dnn_act act, uint16_t *diff_src)
{
#pragma omp parallel for schedule(static)
    for (int task = 0; task < s.src.n * s.src.h; task++) {
        const int y = task % s.src.h;
        const size_t image = (size_t)(task / s.src.h) * s.oh * s.ow * channels;
        int y0, y1, x0, x1;
        windows_over(y, s.top, s.kh, s.stride_h, s.oh, &y0, &y1);
        for (int x = 0; x < s.src.w; x++) {
            windows_over(x, s.left, s.kw, s.stride_w, s.ow, &x0, &x1);
            for (int c = 0; c < channels; c += W) {
                vec sum = vec_zero();
                for (int oy = y0; oy < y1; oy++)
                    for (int ox = x0; ox < x1; ox++) {
                        const size_t at = image + ((size_t)oy * s.ow + ox) * channels + c;
                        const int place = (y - oy * s.stride_h + s.top) * s.kw + x - ox * s.stride_w + s.left;
                        const vec_mask here = bytes_load(index + at, channels - c) == (vec_mask){0} + place;
                        vec diff = some_load(diff_dst + at, channels - c);
                        if (mask != NULL)
                            diff = masked(some_load(mask + at, channels - c), diff, act);
                        sum += vec_choose(here, diff, vec_zero());
                    }
                some_store(diff_src + ((size_t)task * s.src.w + x) * channels + c, sum, channels - c);
            }
        }
    }
}

const struct bf16_pool_kernels FOR_SET(bf16_pools) = {.max_forward = max_forward, .max_backward = max_backward};
