// exec/winograd_transforms.c: see exec/winograd_transforms.h.  A form is a line of exec/winograd_matrices.h down the
// columns and one along the rows; each function is compiled for every form, whose sizes are then constants.

#include "exec/winograd_transforms.h"
#include "exec/simd.h"
#include "exec/winograd_matrices.h"
#include <math.h>
#include <string.h>

enum { PANEL = 2 * V };      // destination channels of a register tile
#define UNROLL _Pragma("GCC unroll 10")
// What functions of a form begin with: its lines down (y) and across (x).
enum { TAP = V * PARTS }; // registers between two taps of a filter
#define FORM const struct wino_line *const ly, const struct wino_line *const lx

struct tile { int n, y, x; }; // image; row and column of tiles

static struct tile tile_at(const struct winograd *w, int index)
{
    const int image = w->tile_rows * w->tile_columns, in_image = index % image;
    return (struct tile){index / image, in_image / w->tile_columns, in_image % w->tile_columns};
}
static inline void tile_next(const struct winograd *w, struct tile *t)
{
    if (++t->x < w->tile_columns)
        return;
    t->x = 0;
    if (++t->y < w->tile_rows)
        return;
    t->y = 0;
    t->n++;
}
static inline int least(int a, int b) { return a < b ? a : b; }

// V of one tile and register: the patch at `src`, its rows `row` floats apart, to points `point` floats apart.
INLINE void source_tile(FORM, const float *src, const size_t row, float *out, size_t point)
{
    vec half[WINO_POINTS_MOST], line[WINO_LINE_MOST];
    UNROLL for (int i = 0; i < ly->points; i++)
        wino_data(lx, (const vec *)(src + i * row), PARTS, half + i * lx->points, 1);
    UNROLL for (int j = 0; j < lx->points; j++) {
        wino_data(ly, half + j, lx->points, line, 1);
        UNROLL for (int i = 0; i < ly->points; i++)
            vec_store(out + (i * lx->points + j) * point, line[i]);
    }
}

// Q of one tile and register.
INLINE void gradient_tile(FORM, const float *src, const size_t row, float *out, size_t point)
{
    vec half[WINO_OUT_MOST * WINO_LINE_MOST], line[WINO_LINE_MOST];
    UNROLL for (int i = 0; i < ly->out; i++)
        wino_gradient(lx, (const vec *)(src + i * row), PARTS, half + i * lx->points, 1);
    UNROLL for (int j = 0; j < lx->points; j++) {
        wino_gradient(ly, half + j, lx->points, line, 1);
        UNROLL for (int i = 0; i < ly->points; i++)
            vec_store(out + (i * lx->points + j) * point, line[i]);
    }
}

// U of one source channel and register of destination channels.
INLINE void filter_tile(FORM, const float *wei, float *out, size_t point)
{
    vec half[WINO_TAPS_MOST * WINO_LINE_MOST], line[WINO_LINE_MOST];
    UNROLL for (int i = 0; i < ly->taps; i++)
        wino_filter(lx, (const vec *)wei + i * lx->taps * TAP, TAP, half + i * lx->points, 1);
    UNROLL for (int j = 0; j < lx->points; j++) {
        wino_filter(ly, half + j, lx->points, line, 1);
        UNROLL for (int i = 0; i < ly->points; i++)
            vec_store(out + (i * lx->points + j) * point, line[i]);
    }
}

// y of one tile and register from its points.
INLINE void output_tile(FORM, const float *m, size_t point, vec *out)
{
    vec half[WINO_OUT_MOST * WINO_LINE_MOST], column[WINO_LINE_MOST];
    UNROLL for (int j = 0; j < lx->points; j++) {
        UNROLL for (int i = 0; i < ly->points; i++)
            column[i] = vec_load(m + (i * lx->points + j) * point);
        wino_output(ly, column, 1, half + j, lx->points);
    }
    UNROLL for (int i = 0; i < ly->out; i++)
        wino_output(lx, half + i * lx->points, 1, out + i * lx->out, 1);
}

// dW of one source channel and register of destination channels; `point` floats between points of dU.
INLINE void filter_gradient_tile(FORM, const float *sum, size_t point, float *wei)
{
    vec half[WINO_TAPS_MOST * WINO_LINE_MOST], column[WINO_LINE_MOST], line[WINO_TAPS_MOST];
    UNROLL for (int j = 0; j < lx->points; j++) {
        UNROLL for (int i = 0; i < ly->points; i++)
            column[i] = vec_load(sum + (i * lx->points + j) * point);
        wino_filter_gradient(ly, column, 1, half + j, lx->points);
    }
    UNROLL for (int i = 0; i < ly->taps; i++) {
        wino_filter_gradient(lx, half + i * lx->points, 1, line, 1);
        UNROLL for (int j = 0; j < lx->taps; j++)
            vec_store(wei + (i * lx->taps + j) * TAP * W, line[j]);
    }
}

// A window of `rows` x `columns` of a map at (y, x), which may stand out of it, with zeros there.
static void window_copy(const float *map, int h, int w, int y, int x, const int rows, const int columns,
                        float *out)
{
    memset(out, 0, (size_t)rows * columns * V * sizeof *out);
    const int x0 = x < 0 ? -x : 0, x1 = least(columns, w - x);
    for (int i = 0; i < rows; i++)
        if (y + i >= 0 && y + i < h && x1 > x0)
            memcpy(out + (i * columns + x0) * V, map + ((size_t)(y + i) * w + x + x0) * V,
                   (size_t)(x1 - x0) * V * sizeof *out);
}

INLINE void source_form(FORM, const struct winograd *w, const float *src, int block, int first, int count, float *v)
{
    struct tile t = tile_at(w, first);
    for (int k = 0; k < count; k++, tile_next(w, &t)) {
        const float *map = src + t.n * w->read_image + (size_t)block * w->h * w->w * V;
        const int y = t.y * ly->out - w->top, x = t.x * lx->out - w->left;
        _Alignas(64) float border[WINO_POINTS_MOST * V];
        const float *patch = border;
        size_t row = (size_t)lx->points * V;
        if (y >= 0 && x >= 0 && y + ly->points <= w->h && x + lx->points <= w->w) {
            patch = map + ((size_t)y * w->w + x) * V;
            row = (size_t)w->w * V;
        } else
            window_copy(map, w->h, w->w, y, x, ly->points, lx->points, border);
        for (int part = 0; part < PARTS; part++)
            source_tile(ly, lx, patch + part * W, row, v + (size_t)k * V + part * W, w->v_point);
    }
}

INLINE void gradient_form(FORM, const struct winograd *w, const float *gradient, int block, int first, int count,
                          float *q, float *bias)
{
    struct tile t = tile_at(w, first);
    vec sum[PARTS] = {0};
    for (int k = 0; k < count; k++, tile_next(w, &t)) {
        const float *map = gradient + t.n * w->tile_image + (size_t)block * w->oh * w->ow * V;
        const int y = t.y * ly->out, x = t.x * lx->out;
        _Alignas(64) float border[WINO_OUT_MOST * WINO_OUT_MOST * V];
        const float *tile = border;
        size_t row = (size_t)lx->out * V;
        if (y + ly->out <= w->oh && x + lx->out <= w->ow) {
            tile = map + ((size_t)y * w->ow + x) * V;
            row = (size_t)w->ow * V;
        } else
            window_copy(map, w->oh, w->ow, y, x, ly->out, lx->out, border);
        for (int part = 0; part < PARTS; part++) {
            gradient_tile(ly, lx, tile + part * W, row, q + (size_t)k * V + part * W, w->q_point);
            for (int i = 0; i < ly->out; i++)
                for (int j = 0; j < lx->out; j++)
                    sum[part] += vec_load(tile + i * row + j * V + part * W);
        }
    }
    for (int part = 0; part < PARTS; part++)
        vec_store(bias + part * W, sum[part]);
}

INLINE void weights_form(FORM, const struct winograd *w, const float *wei, int block, int panel, int width, float *u)
{
    enum { TAPS_MOST = 25 };
    const int taps = ly->taps * lx->taps;
    float turned[TAPS_MOST * V * V]; // by data: rotated and transposed
    for (int b = 0; b < width; b++) {
        const int k = 2 * panel + b;
        const float *from = wei + ((size_t)k * w->c + block) * taps * V * V; // [taps][v source][v destination]
        if (w->pass == DNN_DATA) {
            const float *forward = wei + ((size_t)block * w->k + k) * taps * V * V; // [taps][v destination][v source]
            for (int p = 0; p < taps; p++)
                for (int i = 0; i < V; i++)
                    for (int o = 0; o < V; o++)
                        turned[((taps - 1 - p) * V + i) * V + o] = forward[(p * V + o) * V + i];
            from = turned;
        }
        for (int i = 0; i < V; i++)
            for (int part = 0; part < PARTS; part++)
                filter_tile(ly, lx, from + i * V + part * W,
                            u + ((size_t)block * V + i) * width * V + b * V + part * W, w->u_point);
    }
}

// Writes rows x columns of a tile: with the bias and the activation, which keeps what is within its limits; or,
// `masked`, what belongs to elements of the mask within the limits.
INLINE void output_store(const struct wino_line *const lx, const struct winograd *w, const struct winograd_maps *maps,
                         const bool masked, const bool stream, const vec *out, const int rows, const int columns,
                         size_t at, vec bias)
{
    const vec low = vec_spread(w->act == ACT_NONE ? -INFINITY : 0),
              high = vec_spread(w->act == ACT_RELU6 ? 6 : INFINITY);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const size_t to = at + ((size_t)i * w->ow + j) * V;
            vec o = out[i * lx->out + j];
            if (masked) {
                const vec m = vec_load(maps->mask + to);
                o = vec_choose((m > low) & (m < high), o, vec_zero());
            } else {
                o += bias;
                o = vec_choose(o < low, low, o);
                o = vec_choose(o > high, high, o);
            }
            if (stream)
                vec_stream(maps->destination + to, o);
            else
                vec_store(maps->destination + to, o);
        }
}

INLINE void output_tiles(FORM, const struct winograd *w, const struct winograd_maps *maps, const bool masked, int panel,
                         int width, int first, int count, const float *m)
{
    struct tile t = tile_at(w, first);
    for (int k = 0; k < count; k++, tile_next(w, &t), m += PANEL)
        for (int b = 0; b < width; b++) {
            const int y = t.y * ly->out, x = t.x * lx->out;
            const int rows = least(ly->out, w->oh - y), columns = least(lx->out, w->ow - x);
            const size_t at = t.n * w->tile_image + (((size_t)(2 * panel + b) * w->oh + y) * w->ow + x) * V;
            for (int part = 0; part < PARTS; part++) {
                vec out[WINO_OUT_MOST * WINO_OUT_MOST];
                output_tile(ly, lx, m + b * V + part * W, w->m_point, out);
                const vec bias = w->bias ? vec_load(maps->bias + (2 * panel + b) * V + part * W) : vec_zero();
                if (rows < ly->out || columns < lx->out)
                    output_store(lx, w, maps, masked, false, out, rows, columns, at + part * W, bias);
                else if (w->stream)
                    output_store(lx, w, maps, masked, true, out, ly->out, lx->out, at + part * W, bias);
                else
                    output_store(lx, w, maps, masked, false, out, ly->out, lx->out, at + part * W, bias);
            }
        }
}

INLINE void output_form(FORM, const struct winograd *w, const struct winograd_maps *maps, int panel, int width,
                        int first, int count, const float *m)
{
    if (maps->mask != NULL)
        output_tiles(ly, lx, w, maps, true, panel, width, first, count, m);
    else
        output_tiles(ly, lx, w, maps, false, panel, width, first, count, m);
    vec_fence();
}

INLINE void filter_gradient_form(FORM, const float *sum, size_t point, float *wei)
{
    for (int part = 0; part < PARTS; part++)
        filter_gradient_tile(ly, lx, sum + part * W, point, wei + part * W);
}

#define LINES(kh, kw, mh, mw) &wino_line_##kh##_##mh, &wino_line_##kw##_##mw
#define TRANSFORMS(kh, kw, mh, mw)                                                                                     \
    static void source_##kh##x##kw(const struct winograd *w, const float *src, int block, int first, int count,        \
                                   float *v)                                                                           \
    {                                                                                                                  \
        source_form(LINES(kh, kw, mh, mw), w, src, block, first, count, v);                                            \
    }                                                                                                                  \
    static void gradient_##kh##x##kw(const struct winograd *w, const float *gradient, int block, int first, int count, \
                                     float *q, float *bias)                                                            \
    {                                                                                                                  \
        gradient_form(LINES(kh, kw, mh, mw), w, gradient, block, first, count, q, bias);                               \
    }                                                                                                                  \
    static void weights_##kh##x##kw(const struct winograd *w, const float *wei, int block, int panel, int width,       \
                                    float *u)                                                                          \
    {                                                                                                                  \
        weights_form(LINES(kh, kw, mh, mw), w, wei, block, panel, width, u);                                           \
    }                                                                                                                  \
    static void output_##kh##x##kw(const struct winograd *w, const struct winograd_maps *maps, int panel, int width,   \
                                   int first, int count, const float *m)                                               \
    {                                                                                                                  \
        output_form(LINES(kh, kw, mh, mw), w, maps, panel, width, first, count, m);                                    \
    }                                                                                                                  \
    static void filter_gradient_##kh##x##kw(const float *sum, size_t point, float *wei)                                \
    {                                                                                                                  \
        filter_gradient_form(LINES(kh, kw, mh, mw), sum, point, wei);                                                  \
    }
WINO_EACH_FORM(TRANSFORMS)

#define NAMES(kh, kw, mh, mw)                                                                                          \
    [WINO_##kh##x##kw] = {source_##kh##x##kw, gradient_##kh##x##kw, weights_##kh##x##kw, output_##kh##x##kw,           \
                          filter_gradient_##kh##x##kw},
const struct winograd_transforms FOR_SET(winograd_transforms)[WINO_FORMS] = {WINO_EACH_FORM(NAMES)};
