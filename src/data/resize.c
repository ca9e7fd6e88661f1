// data/resize.c: Pillow's anti-aliased separable resize in fixed point, cropping, and the network's input.
// A destination pixel i covers source centre (i + 0.5) s, s = source / destination; the filter is stretched by max(s,
// 1). Weights are rounded to 22 bits, sums to 8 bits after each of the two passes, columns first, as Pillow does.

#include "data/resize.h"
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

static void taps_free(struct taps *t)
{
    mem_free(t->first);
    mem_free(t->count);
    mem_free(t->weight);
}

// Pixels from..from + n of `src` pixels resized to `dst`.
static graft_status taps_make(int src, double dst, double from, int n, enum filter filter, struct taps *t)
{
    const double scale = src / dst, stretch = scale > 1 ? scale : 1;
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
graft_status resize_box(const struct picture *src, struct box box, enum filter filter, struct picture *out)
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

struct box box_of(const struct input_spec *spec, int w, int h)
{
    const int size = spec->size;
    const bool wide = w > h;
    int full_w = size, full_h = size;
    if (spec->rule == RESIZE_CROP) { // shorter side to `resize`, the longer cut down to whole pixels
        full_w = wide ? at_least_one((int64_t)spec->resize * w / h) : spec->resize;
        full_h = wide ? spec->resize : at_least_one((int64_t)spec->resize * h / w);
    } else if (spec->rule == RESIZE_PAD) {
        full_w = wide ? size : at_least_one(lround((double)size * w / h));
        full_h = wide ? at_least_one(lround((double)size * h / w)) : size;
    }
    // Half to even, as Python rounds.
    return (struct box){full_w, full_h, nearbyint((full_w - size) / 2.0), nearbyint((full_h - size) / 2.0), size, size};
}

graft_status resize_padded(const struct picture *src, struct box box, enum filter filter, const uint8_t fill[3],
                           struct picture *out)
{
    const int left = box.left < 0 ? (int)-box.left : 0, top = box.top < 0 ? (int)-box.top : 0; // of what is resized
    const double right = floor(box.full_w - box.left + 0.5), bottom = floor(box.full_h - box.top + 0.5);
    struct box inner = box;
    inner.left += left;
    inner.top += top;
    inner.w = (int)fmin(right, box.w) - left;
    inner.h = (int)fmin(bottom, box.h) - top;
    struct picture p;
    TRY(resize_box(src, inner, filter, &p));
    if (inner.w == box.w && inner.h == box.h) {
        *out = p;
        return GRAFT_OK;
    }
    *out = (struct picture){mem_alloc((size_t)box.w * box.h * 3), box.w, box.h};
    if (out->rgb == NULL) {
        picture_free(&p);
        return fail_memory("a padded picture");
    }
    for (size_t i = 0; i < (size_t)box.w * box.h; i++)
        memcpy(out->rgb + 3 * i, fill, 3);
    for (int y = 0; y < p.h; y++)
        memcpy(out->rgb + ((size_t)(y + top) * box.w + left) * 3, p.rgb + (size_t)y * p.w * 3, (size_t)p.w * 3);
    picture_free(&p);
    return GRAFT_OK;
}

void fill_of(const struct input_spec *spec, uint8_t fill[3])
{
    for (int c = 0; c < 3; c++) {
        const float mean = spec->mean[spec->bgr ? 2 - c : c];
        fill[c] = mean < 0 ? 0 : mean > 255 ? 255 : (uint8_t)lround(mean);
    }
}

void picture_normalise(const struct picture *p, const struct input_spec *spec, float *dst)
{
    const size_t area = (size_t)p->w * p->h;
    for (int c = 0; c < 3; c++) {
        const uint8_t *src = p->rgb + (spec->bgr ? 2 - c : c);
        for (size_t i = 0; i < area; i++)
            dst[c * area + i] = (src[3 * i] - spec->mean[c]) * spec->scale[c];
    }
}

graft_status picture_prepare(const struct picture *src, const struct input_spec *spec, float *dst)
{
    struct picture p;
    uint8_t fill[3];
    fill_of(spec, fill);
    TRY(resize_padded(src, box_of(spec, picture_full_w(src), picture_full_h(src)), spec->filter, fill, &p));
    picture_normalise(&p, spec, dst);
    picture_free(&p);
    return GRAFT_OK;
}
