// exec/bf16.c: maps as the library's bf16 kernels have them, rounded to the nearest even, channels last: on their way
// to and from fp32 in channel blocks, and what is done with them between convolutions, in fp32 arithmetic.
// Compiled once per instruction set, see exec/simd.h.  A task is some pixels, cut the same for
// any number of threads.

#include "exec/half.h"
#include <string.h>

enum { PIXELS = 32 }; // of a task: what it gathers from all channel blocks stays in the first cache

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
            const int left = channels - b * V;
            for (size_t p = begin; p < end; p++)
                for (int part = 0; part < PARTS; part++)
                    some_store(y + p * channels + part * W, vec_load(x + p * V + part * W), left - part * W);
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
            const int left = channels - b * V;
            for (size_t p = begin; p < end; p++)
                for (int part = 0; part < PARTS; part++) {
                    const size_t to = at + p * V + part * W;
                    vec value = some_load(x + p * channels + part * W, left - part * W);
                    if (mask != NULL) {
                        const vec made = vec_load(mask + to);
                        value = vec_choose((made > 0) & (made < limit), value, vec_zero());
                    }
                    vec_store(dst + to, value);
                }
        }
    }
}

static void add(const uint16_t *a, const uint16_t *b, uint16_t *dst, size_t size, enum dnn_act act)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < size; i += W) {
        const int count = size - i < W ? (int)(size - i) : W;
        some_store(dst + i, activated(some_load(a + i, count) + some_load(b + i, count), act), count);
    }
}

static void act_backward(const uint16_t *dst, uint16_t *diff, size_t size, enum dnn_act act)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < size; i += W) {
        const int count = size - i < W ? (int)(size - i) : W;
        some_store(diff + i, masked(some_load(dst + i, count), some_load(diff + i, count), act), count);
    }
}

// Pixels summed in float before the sum goes into double, as in kernels.c; channels whose sums are in hand at once.
enum { FOLD = 32, CHUNK = 256 };
struct sums { _Alignas(64) float a[CHUNK], b[CHUNK]; };

static void fold_sums(struct sums *part, int count, double *a, double *b)
{
    for (int i = 0; i < count; i++) {
        a[i] += part->a[i];
        b[i] += part->b[i];
    }
    memset(part, 0, sizeof *part);
}

// partial: of each slab the sums a, then b, of all channels.
static void partial_add(const double *partial, int channels, int c, double *a, double *b)
{
    *a = *b = 0;
    for (int slab = 0; slab < BF16_SLABS; slab++) {
        *a += partial[(size_t)slab * 2 * channels + c];
        *b += partial[((size_t)slab * 2 + 1) * channels + c];
    }
}

static void bn_statistics(struct bf16_map s, const uint16_t *src, double *partial, float *mean, float *variance)
{
#pragma omp parallel for schedule(static)
    for (int slab = 0; slab < BF16_SLABS; slab++) {
        const size_t begin = s.pixels * slab / BF16_SLABS, end = s.pixels * (slab + 1) / BF16_SLABS;
        double *sum = partial + (size_t)slab * 2 * s.channels, *square = sum + s.channels;
        memset(sum, 0, 2 * sizeof *sum * s.channels);
        for (int c = 0; c < s.channels; c += CHUNK) {
            const int count = s.channels - c < CHUNK ? s.channels - c : CHUNK;
            struct sums part = {0}, first = {0}; // sums are shifted by the first pixel: large means lose nothing
            for (int i = 0; i < count; i += W)
                vec_store(first.a + i, some_load(src + c + i, count - i));
            for (size_t p = begin; p < end; p++) {
                for (int i = 0; i < count; i += W) {
                    const vec d = some_load(src + p * s.channels + c + i, count - i) - vec_load(first.a + i);
                    vec_store(part.a + i, vec_load(part.a + i) + d);
                    vec_store(part.b + i, vec_load(part.b + i) + d * d);
                }
                if ((p - begin) % FOLD == FOLD - 1 || p + 1 == end)
                    fold_sums(&part, count, sum + c, square + c);
            }
        }
    }
    for (int c = 0; c < s.channels; c++) {
        double sum, square;
        partial_add(partial, s.channels, c, &sum, &square);
        const double shifted = sum / (double)s.pixels, var = square / (double)s.pixels - shifted * shifted;
        mean[c] = (float)(widened((vec_half){src[c]})[0] + shifted);
        variance[c] = var > 0 ? (float)var : 0;
    }
}

static void bn_apply(struct bf16_map s, const uint16_t *src, const float *scale, const float *shift, uint16_t *dst,
                     enum dnn_act act)
{
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < s.pixels; p++)
        for (int c = 0; c < s.channels; c += W) {
            const size_t at = p * s.channels + c;
            const vec x = some_load(src + at, s.channels - c);
            some_store(dst + at, activated(x * vec_load(scale + c) + vec_load(shift + c), act), s.channels - c);
        }
}

// The mathematics is that of kernels.c.
static void bn_backward(struct bf16_map s, const uint16_t *src, const uint16_t *dst, uint16_t *diff, const float *mean,
                        const float *inverse, const float *gamma, enum dnn_act act, bool batch_statistics,
                        bool need_src, double *partial, float *diff_gamma, float *diff_beta)
{
#pragma omp parallel for schedule(static)
    for (int slab = 0; slab < BF16_SLABS; slab++) {
        const size_t begin = s.pixels * slab / BF16_SLABS, end = s.pixels * (slab + 1) / BF16_SLABS;
        double *sum = partial + (size_t)slab * 2 * s.channels, *product = sum + s.channels;
        memset(sum, 0, 2 * sizeof *sum * s.channels);
        for (int c = 0; c < s.channels; c += CHUNK) {
            const int count = s.channels - c < CHUNK ? s.channels - c : CHUNK;
            struct sums part = {0};
            for (size_t p = begin; p < end; p++) {
                for (int i = 0; i < count; i += W) {
                    const size_t at = p * s.channels + c + i;
                    vec g = some_load(diff + at, count - i);
                    if (act != ACT_NONE) {
                        g = masked(some_load(dst + at, count - i), g, act);
                        some_store(diff + at, g, count - i);
                    }
                    const vec x = some_load(src + at, count - i) - vec_load(mean + c + i);
                    vec_store(part.a + i, vec_load(part.a + i) + g);
                    vec_store(part.b + i, vec_load(part.b + i) + g * x);
                }
                if ((p - begin) % FOLD == FOLD - 1 || p + 1 == end)
                    fold_sums(&part, count, sum + c, product + c);
            }
        }
    }
    float *scale = (float *)partial, *offset = scale + s.padded, *slope = offset + s.padded; // each behind its sums
    const double count = (double)s.pixels;
    double *const total = partial + (size_t)BF16_SLABS * 2 * s.channels; // a second row: sums, then products
    for (int c = 0; c < s.channels; c++)
        partial_add(partial, s.channels, c, &total[c], &total[s.channels + c]);
    memset(scale, 0, 3 * sizeof *scale * s.padded);
    for (int c = 0; c < s.channels; c++) {
        const double sum = total[c], dgamma = total[s.channels + c] * inverse[c];
        scale[c] = gamma[c] * inverse[c];
        offset[c] = batch_statistics ? (float)(scale[c] * sum / count) : 0;
        slope[c] = batch_statistics ? (float)(scale[c] * dgamma / count * inverse[c]) : 0;
        if (diff_gamma != NULL) {
            diff_gamma[c] = (float)dgamma;
            diff_beta[c] = (float)sum;
        }
    }
    if (!need_src)
        return;
#pragma omp parallel for schedule(static)
    for (size_t p = 0; p < s.pixels; p++)
        for (int c = 0; c < s.channels; c += W) {
            const size_t at = p * s.channels + c;
            vec g = some_load(diff + at, s.channels - c) * vec_load(scale + c);
            if (batch_statistics)
                g -= vec_load(offset + c) +
                     vec_load(slope + c) * (some_load(src + at, s.channels - c) - vec_load(mean + c));
            some_store(diff + at, g, s.channels - c);
        }
}

const struct bf16_kernels FOR_SET(bf16) = {
    .narrow = narrow, .narrow_plain = narrow_plain, .widen = widen, .add = add, .act_backward = act_backward,
    .bn_statistics = bn_statistics, .bn_apply = bn_apply, .bn_backward = bn_backward};
