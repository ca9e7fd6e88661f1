// data/resize.c: Pillow's anti-aliased separable resize in fixed point, cropping, and the network's input.
// A destination pixel i covers source centre (i + 0.5) s, s = source / destination; the filter is stretched by max(s,
// 1). Weights are rounded to 22 bits, sums to 8 bits after each of the two passes, columns first, as Pillow does.

#include "data/data.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

enum { PRECISION = 22 };

static double bilinear(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static double bicubic(double x) // a = -0.5
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

struct taps {
    int *first, *count; // per destination pixel
    int32_t *weight;    // (destination, most)
    int most;
};

// What is wanted of a resized picture: pixels left..left + w of `full_w` across, top..top + h of `full_h` down.
struct box {
    int full_w, full_h, left, top, w, h;
};

static void taps_free(struct taps *t)
{
    mem_free(t->first);
    mem_free(t->count);
    mem_free(t->weight);
}

// Pixels from..from + n of `src` pixels resized to `dst`.
static graft_status taps_make(int src, int dst, int from, int n, enum filter filter, struct taps *t)
{
    const double scale = (double)src / dst, stretch = scale > 1 ? scale : 1;
    const double support = (filter == FILTER_BICUBIC ? 2 : 1) * stretch;
    *t = (struct taps){.most = (int)ceil(support) * 2 + 1};
    t->first = mem_alloc((size_t)n * sizeof(int));
    t->count = mem_alloc((size_t)n * sizeof(int));
    t->weight = mem_zero((size_t)n * (size_t)t->most, sizeof *t->weight);
    double *exact = mem_alloc((size_t)t->most * sizeof *exact);
    if (t->first == NULL || t->count == NULL || t->weight == NULL || exact == NULL) {
        taps_free(t);
        *t = (struct taps){0};
        mem_free(exact);
        return fail_memory("a resize");
    }
    for (int i = 0; i < n; i++) {
        const double centre = (from + i + 0.5) * scale;
        int begin = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        begin = begin < 0 ? 0 : begin;
        end = end > src ? src : end;
        double sum = 0;
        for (int k = begin; k < end; k++) {
            const double x = (k - centre + 0.5) / stretch;
            sum += exact[k - begin] = filter == FILTER_BICUBIC ? bicubic(x) : bilinear(x);
        }
        for (int k = 0; k < end - begin; k++)
            t->weight[(size_t)i * t->most + k] = (int32_t)floor(exact[k] / sum * (1 << PRECISION) + 0.5);
        t->first[i] = begin;
        t->count[i] = end - begin;
    }
    mem_free(exact);
    return GRAFT_OK;
}

static inline uint8_t clip(int32_t sum)
{
    sum >>= PRECISION;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

static void columns(const uint8_t *src, int sw, int h, uint8_t *dst, int dw, const struct taps *t)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < dw; x++) {
            const uint8_t *p = src + ((size_t)y * sw + t->first[x]) * 3;
            const int32_t *w = t->weight + x * t->most;
            int32_t r = 1 << (PRECISION - 1), g = r, b = r;
            for (int k = 0; k < t->count[x]; k++) {
                r += p[3 * k] * w[k];
                g += p[3 * k + 1] * w[k];
                b += p[3 * k + 2] * w[k];
            }
            uint8_t *q = dst + ((size_t)y * dw + x) * 3;
            q[0] = clip(r);
            q[1] = clip(g);
            q[2] = clip(b);
        }
}

static graft_status rows(const uint8_t *src, int w, uint8_t *dst, int dh, const struct taps *t)
{
    int32_t *sum = mem_alloc((size_t)w * 3 * sizeof *sum);
    if (sum == NULL)
        return fail_memory("a resize");
    for (int y = 0; y < dh; y++) {
        for (int i = 0; i < w * 3; i++)
            sum[i] = 1 << (PRECISION - 1);
        for (int k = 0; k < t->count[y]; k++) {
            const uint8_t *p = src + (size_t)(t->first[y] + k) * w * 3;
            const int32_t weight = t->weight[y * t->most + k];
            for (int i = 0; i < w * 3; i++)
                sum[i] += p[i] * weight;
        }
        for (int i = 0; i < w * 3; i++)
            dst[(size_t)y * w * 3 + i] = clip(sum[i]);
    }
    mem_free(sum);
    return GRAFT_OK;
}

// Only the rows and columns that the box needs are computed.
static graft_status resize_box(const struct picture *src, struct box box, enum filter filter, struct picture *out)
{
    struct taps across = {0}, down = {0};
    graft_status status = GRAFT_OK;
    uint8_t *middle = NULL;
    *out = (struct picture){mem_alloc((size_t)box.w * box.h * 3), box.w, box.h};
    if (out->rgb == NULL)
        TRY_GOTO(fail_memory("a resized picture"));
    TRY_GOTO(taps_make(src->w, box.full_w, box.left, box.w, filter, &across));
    TRY_GOTO(taps_make(src->h, box.full_h, box.top, box.h, filter, &down));
    const int first = down.first[0], n = down.first[box.h - 1] + down.count[box.h - 1] - first;
    for (int y = 0; y < box.h; y++)
        down.first[y] -= first;
    middle = mem_alloc((size_t)box.w * n * 3);
    if (middle == NULL)
        TRY_GOTO(fail_memory("a resized picture"));
    columns(src->rgb + (size_t)first * src->w * 3, src->w, n, middle, box.w, &across);
    TRY_GOTO(rows(middle, box.w, out->rgb, box.h, &down));
done:
    taps_free(&across);
    taps_free(&down);
    mem_free(middle);
    if (status != GRAFT_OK)
        picture_free(out);
    return status;
}

graft_status picture_resize(const struct picture *src, int w, int h, enum filter filter, struct picture *out)
{
    return resize_box(src, (struct box){w, h, 0, 0, w, h}, filter, out);
}

static int at_least_one(int64_t side) { return side < 1 ? 1 : (int)side; }

graft_status picture_prepare(const struct picture *src, const struct input_spec *spec, float *dst)
{
    const int size = spec->size;
    const bool wide = src->w > src->h;
    int w = size, h = size;
    if (spec->rule == RESIZE_CROP) { // shorter side to `resize`, the longer cut down to whole pixels
        w = wide ? at_least_one((int64_t)spec->resize * src->w / src->h) : spec->resize;
        h = wide ? spec->resize : at_least_one((int64_t)spec->resize * src->h / src->w);
    } else if (spec->rule == RESIZE_PAD) {
        w = wide ? size : at_least_one(lround((double)size * src->w / src->h));
        h = wide ? at_least_one(lround((double)size * src->h / src->w)) : size;
    }
    // The network's corner in the resized picture; negative: padding.  Half to even, as Python rounds.
    const int left = (int)nearbyint((w - size) / 2.0), top = (int)nearbyint((h - size) / 2.0);
    const struct box box = {w, h, left > 0 ? left : 0, top > 0 ? top : 0, w < size ? w : size, h < size ? h : size};
    const int pad_left = left < 0 ? -left : 0, pad_top = top < 0 ? -top : 0;
    struct picture p;
    TRY(resize_box(src, box, spec->filter, &p));
    for (int c = 0; c < 3; c++) {
        const int from = spec->bgr ? 2 - c : c;
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++) {
                const int sx = x - pad_left, sy = y - pad_top;
                const bool inside = sx >= 0 && sx < p.w && sy >= 0 && sy < p.h;
                const float value =
                    inside ? p.rgb[((size_t)sy * p.w + sx) * 3 + from] : spec->mean[c]; // pads with the mean
                dst[((size_t)c * size + y) * size + x] = (value - spec->mean[c]) * spec->scale[c];
            }
    }
    picture_free(&p);
    return GRAFT_OK;
}
