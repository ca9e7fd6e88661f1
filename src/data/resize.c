// data/resize.c: Pillow's anti-aliased separable resize in fixed point, row by row as a decoder makes them.
// A destination pixel i covers source centre (i + 0.5) s, s = source / destination; the filter is stretched by max(s,
// 1).  Weights are rounded to 22 bits, sums to 8 bits after each of the two passes, columns first, as Pillow does.
// Of the source one row is kept, and of the rows resized across as many as one row of the result is made of.

#include "data/resize.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

static double bilinear(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

static double bicubic(double x) // a = -0.5
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static int32_t floor_of(double x) // as floor(), which may be a call
{
    const int32_t whole = (int32_t)x;
    return whole - (whole > x);
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
    t->first = mem_zero((size_t)n + WEIGHT_PIXELS, sizeof(int)); // the last are computed together with some more
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
            t->weight[(size_t)i * t->most + k] = floor_of(exact[k] / sum * (1 << RESIZE_BITS) + 0.5);
        t->first[i] = begin;
        t->count[i] = end - begin;
    }
    mem_free(exact);
    return GRAFT_OK;
}

// A row is read as soon as it is written; into an aligned one libjpeg-turbo would write past the caches.
enum { UNALIGNED = 1 };

struct resizer {
    const struct pixel_kernels *kernels;
    struct taps across, down;
    void *weights; // of `across`, as the kernel wants them
    int quads;
    int w, h, row, out_row; // of the result; rows that came; rows that are made
    int keep;               // rows of the ring
    size_t stride;          // of the ring
    uint8_t *source, *ring, *rgb;
    const uint8_t **rows; // of the ring, in order
};

void resizer_free(struct resizer *r)
{
    if (r == NULL)
        return;
    taps_free(&r->across);
    taps_free(&r->down);
    mem_free(r->weights);
    mem_free(r->source);
    mem_free(r->ring);
    mem_free(r->rgb);
    mem_free(r->rows);
    mem_free(r);
}

graft_status resizer_new(int src_w, int src_h, struct box box, enum filter filter, struct resizer **out)
{
    struct resizer *r = mem_zero(1, sizeof *r);
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (r == NULL)
        return fail_memory("a resize");
    r->kernels = pixels_best();
    r->w = box.w;
    r->h = box.h;
    TRY_GOTO(taps_make(src_w, box.full_w, box.left, box.w, filter, &r->across));
    TRY_GOTO(taps_make(src_h, box.full_h, box.top, box.h, filter, &r->down));
    r->keep = r->down.most;
    for (int x = 0; x < box.w; x++)
        r->quads = r->across.count[x] > 4 * r->quads ? (r->across.count[x] + 3) / 4 : r->quads;
    r->stride = ((size_t)box.w + 7) / 8 * 32;
    r->weights = mem_zero(((size_t)box.w + WEIGHT_PIXELS) * (size_t)r->quads, WEIGHT_BYTES);
    r->source = mem_zero((size_t)src_w + 4 * (size_t)r->quads + UNALIGNED, 4); // the last weights may be padded
    r->ring = mem_zero((size_t)r->keep, r->stride);
    r->rgb = mem_alloc((size_t)box.w * box.h * 3 + PIXEL_SLACK);
    r->rows = mem_alloc((size_t)r->keep * sizeof *r->rows);
    if (r->weights == NULL || r->source == NULL || r->ring == NULL || r->rgb == NULL || r->rows == NULL)
        TRY_GOTO(fail_memory("a resized picture"));
    r->kernels->arrange(r->across.weight, r->across.most, r->across.count, box.w, r->quads, r->weights);
done:
    if (status != GRAFT_OK)
        resizer_free(r);
    else
        *out = r;
    return status;
}

uint8_t *resizer_row(struct resizer *r) { return r->source + 4 * UNALIGNED; }

void resizer_push(struct resizer *r)
{
    const int row = r->row++;
    const struct taps *down = &r->down;
    if (r->out_row == r->h || row < down->first[r->out_row])
        return;
    r->kernels->across(resizer_row(r), r->across.first, r->weights, r->quads, r->w,
                       r->ring + (size_t)(row % r->keep) * r->stride);
    for (; r->out_row < r->h && down->first[r->out_row] + down->count[r->out_row] == row + 1; r->out_row++) {
        const int y = r->out_row;
        for (int k = 0; k < down->count[y]; k++)
            r->rows[k] = r->ring + (size_t)((down->first[y] + k) % r->keep) * r->stride;
        r->kernels->down(r->rows, down->weight + y * down->most, down->count[y], r->w,
                         r->rgb + (size_t)y * r->w * 3);
    }
}

void resizer_take(struct resizer *r, struct picture *out)
{
    ASSERT(r->out_row == r->h);
    *out = (struct picture){r->rgb, r->w, r->h};
    r->rgb = NULL;
}

// At its own size and whole places a picture stays what it is, by both filters.
static graft_status cut(const struct picture *src, struct box box, struct picture *out)
{
    *out = (struct picture){mem_alloc((size_t)box.w * box.h * 3 + PIXEL_SLACK), box.w, box.h};
    if (out->rgb == NULL)
        return fail_memory("a part of a picture");
    for (int y = 0; y < box.h; y++)
        memcpy(out->rgb + (size_t)y * box.w * 3,
               src->rgb + (((size_t)box.top + (size_t)y) * src->w + (size_t)box.left) * 3, (size_t)box.w * 3);
    return GRAFT_OK;
}

graft_status resize_box(const struct picture *src, struct box box, enum filter filter, struct picture *out)
{
    struct resizer *r;
    *out = (struct picture){0};
    if (box.full_w == src->w && box.full_h == src->h && box.left == floor(box.left) && box.top == floor(box.top))
        return cut(src, box, out);
    TRY(resizer_new(src->w, src->h, box, filter, &r));
    for (int y = 0; y < src->h && r->out_row < r->h; y++) {
        if (y >= r->down.first[r->out_row])
            r->kernels->widen(src->rgb + (size_t)y * src->w * 3, src->w, resizer_row(r));
        resizer_push(r);
    }
    resizer_take(r, out);
    resizer_free(r);
    return GRAFT_OK;
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

void fill_of(const struct input_spec *spec, uint8_t fill[3])
{
    for (int c = 0; c < 3; c++) {
        const float mean = spec->mean[spec->bgr ? 2 - c : c];
        fill[c] = mean < 0 ? 0 : mean > 255 ? 255 : (uint8_t)lround(mean);
    }
}

void pixels_normalise(const uint8_t *rgb, size_t first, size_t n, const struct input_spec *spec, float *dst)
{
    const size_t area = (size_t)spec->size * spec->size;
    float mean[3], scale[3], *plane[3];
    for (int c = 0; c < 3; c++) {
        const int to = spec->bgr ? 2 - c : c;
        mean[c] = spec->mean[to];
        scale[c] = spec->scale[to];
        plane[c] = dst + (size_t)to * area + first;
    }
    pixels_best()->normalise(rgb, n, mean, scale, plane);
}
