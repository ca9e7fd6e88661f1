// exec/bf16.c: maps on their way to and from the library's bf16 kernels: rounded to the nearest even, channels last.
// Compiled once per instruction set, see exec/simd.h.  A task is some pixels of one image.

#include "exec/kernels.h"
#include "exec/simd.h"
#include <math.h>

enum { PIXELS = 32 }; // of a task: what it gathers from all channel blocks stays in the first cache

typedef uint32_t vec_bits __attribute__((vector_size(REGISTER), may_alias));
typedef uint16_t vec_half __attribute__((vector_size(REGISTER / 2), may_alias, aligned(2)));

INLINE vec_half rounded(vec x)
{
    const vec_bits bits = (vec_bits)x, up = bits + 0x7fff + ((bits >> 16) & 1);
    const vec_bits nan = bits | 0x400000; // stays one when its low half is gone
    const vec_mask is_nan = x != x;
    return __builtin_convertvector(((nan & (vec_bits)is_nan) | (up & ~(vec_bits)is_nan)) >> 16, vec_half);
}
INLINE vec widened(vec_half x) { return (vec)(__builtin_convertvector(x, vec_bits) << 16); }

static void narrow(struct map_shape s, int channels, const float *src, uint16_t *dst)
{
    const size_t area = (size_t)s.h * s.w, chunks = (area + PIXELS - 1) / PIXELS;
#pragma omp parallel for schedule(static)
    for (size_t task = 0; task < s.n * chunks; task++) {
        const size_t n = task / chunks, begin = task % chunks * PIXELS;
        const size_t end = begin + PIXELS < area ? begin + PIXELS : area;
        for (int b = 0; b < s.cb; b++) {
            const float *x = src + (n * s.cb + b) * area * V;
            uint16_t *y = dst + n * area * channels + b * V;
            const int lanes = channels - b * V < V ? channels - b * V : V;
            for (size_t p = begin; p < end; p++)
                for (int part = 0; part < PARTS; part++) {
                    const vec_half half = rounded(vec_load(x + p * V + part * W));
                    if (lanes == V)
                        *(vec_half *)(y + p * channels + part * W) = half;
                    else
                        for (int l = 0; l < W && part * W + l < lanes; l++)
                            y[p * channels + part * W + l] = half[l];
                }
        }
    }
}

// Of a plain map (n, channels, h*w), the pictures: few channels.
static void narrow_plain(struct map_shape s, int channels, const float *src, uint16_t *dst)
{
    const size_t area = (size_t)s.h * s.w, chunks = (area + W - 1) / W;
#pragma omp parallel for schedule(static)
    for (size_t task = 0; task < s.n * chunks; task++) {
        const size_t n = task / chunks, begin = task % chunks * W;
        const int count = area - begin < W ? (int)(area - begin) : W;
        for (int c = 0; c < channels; c++) {
            const float *x = src + (n * channels + c) * area + begin;
            uint16_t *y = dst + (n * area + begin) * channels + c;
            vec value = vec_zero();
            for (int i = 0; i < count; i++)
                value[i] = x[i];
            const vec_half half = rounded(value);
            for (int i = 0; i < count; i++)
                y[i * channels] = half[i];
        }
    }
}

static void widen(struct map_shape s, int channels, const uint16_t *src, const float *mask, enum dnn_act act,
                  float *dst)
{
    const size_t area = (size_t)s.h * s.w, chunks = (area + PIXELS - 1) / PIXELS;
    const vec limit = vec_spread(act == ACT_RELU6 ? 6 : INFINITY);
#pragma omp parallel for schedule(static)
    for (size_t task = 0; task < s.n * chunks; task++) {
        const size_t n = task / chunks, begin = task % chunks * PIXELS;
        const size_t end = begin + PIXELS < area ? begin + PIXELS : area;
        for (int b = 0; b < s.cb; b++) {
            const size_t at = (n * s.cb + b) * area * V;
            const uint16_t *x = src + n * area * channels + b * V;
            const int lanes = channels - b * V < V ? channels - b * V : V;
            for (size_t p = begin; p < end; p++)
                for (int part = 0; part < PARTS; part++) {
                    const size_t to = at + p * V + part * W;
                    vec_half half = {0};
                    if (lanes == V)
                        half = *(const vec_half *)(x + p * channels + part * W);
                    else
                        for (int l = 0; l < W && part * W + l < lanes; l++)
                            half[l] = x[p * channels + part * W + l];
                    vec value = widened(half);
                    if (mask != NULL) {
                        const vec made = vec_load(mask + to);
                        value = vec_choose((made > 0) & (made < limit), value, vec_zero());
                    }
                    vec_store(dst + to, value);
                }
        }
    }
}

const struct bf16_kernels FOR_SET(bf16) = {narrow, narrow_plain, widen};
