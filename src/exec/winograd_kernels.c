// exec/winograd_kernels.c: the transforms and drivers of exec/winograd.h, compiled once per instruction set.
// Every element of V, U, M, Q and dU has one owner and its sum one order, so results never depend on the thread count.

#include "exec/kernels.h"
#include "exec/products.h"
#include "exec/simd.h"
#include "exec/winograd_matrices.h"
#include <math.h>
#include <omp.h>
#include <string.h>

extern const struct products FOR_SET(products);
static const struct products *const products = &FOR_SET(products);

enum { PANEL = 2 * V };      // destination channels of a register tile
enum { STRIP = WINO_STRIP };
enum { SOURCE_STEP = 256 / V }; // source blocks summed before the sum goes to memory: a panel of U stays in L1
enum { TILE_STEP = 192 };    // tiles summed before the sum goes to memory, by weights: a panel of Q stays in L1
#define UNROLL _Pragma("GCC unroll 6")

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
static inline int strips_of(int count) { return (count + STRIP - 1) / STRIP; }
static inline int blocks_of_tiles(const struct winograd *w) { return (w->tiles + w->block - 1) / w->block; }

// V of one tile and register: the patch at `src`, its rows `row` floats apart, to points `point` floats apart.
INLINE void source_tile(const float *src, const size_t row, float *out, size_t point)
{
    vec half[WINO_PATCH * WINO_PATCH], line[WINO_PATCH];
    UNROLL for (int i = 0; i < WINO_PATCH; i++)
        wino_data((const vec *)(src + i * row), PARTS, half + i * WINO_PATCH, 1);
    UNROLL for (int j = 0; j < WINO_PATCH; j++) {
        wino_data(half + j, WINO_PATCH, line, 1);
        UNROLL for (int i = 0; i < WINO_PATCH; i++)
            vec_store(out + (i * WINO_PATCH + j) * point, line[i]);
    }
}

// Q of one tile and register.
INLINE void gradient_tile(const float *src, const size_t row, float *out, size_t point)
{
    vec half[WINO_TILE * WINO_PATCH], line[WINO_PATCH];
    UNROLL for (int i = 0; i < WINO_TILE; i++)
        wino_gradient((const vec *)(src + i * row), PARTS, half + i * WINO_PATCH, 1);
    UNROLL for (int j = 0; j < WINO_PATCH; j++) {
        wino_gradient(half + j, WINO_PATCH, line, 1);
        UNROLL for (int i = 0; i < WINO_PATCH; i++)
            vec_store(out + (i * WINO_PATCH + j) * point, line[i]);
    }
}

// U of one source channel and register of destination channels; `step` between the nine weights.
INLINE void filter_tile(const float *wei, const int step, float *out, size_t point)
{
    vec half[3 * WINO_PATCH], line[WINO_PATCH];
    UNROLL for (int i = 0; i < 3; i++)
        wino_filter((const vec *)wei + 3 * i * step, step, half + i * WINO_PATCH, 1);
    UNROLL for (int j = 0; j < WINO_PATCH; j++) {
        wino_filter(half + j, WINO_PATCH, line, 1);
        UNROLL for (int i = 0; i < WINO_PATCH; i++)
            vec_store(out + (i * WINO_PATCH + j) * point, line[i]);
    }
}

// y of one tile and register from its points.
INLINE void output_tile(const float *m, size_t point, vec *out)
{
    vec half[WINO_TILE * WINO_PATCH], column[WINO_PATCH];
    UNROLL for (int j = 0; j < WINO_PATCH; j++) {
        UNROLL for (int i = 0; i < WINO_PATCH; i++)
            column[i] = vec_load(m + (i * WINO_PATCH + j) * point);
        wino_output(column, 1, half + j, WINO_PATCH);
    }
    UNROLL for (int i = 0; i < WINO_TILE; i++)
        wino_output(half + i * WINO_PATCH, 1, out + i * WINO_TILE, 1);
}

// dW of one source channel and register of destination channels; `point` floats between points of dU, `step` registers
// between the nine weights.
INLINE void filter_gradient_tile(const float *sum, size_t point, float *wei, const int step)
{
    vec half[3 * WINO_PATCH], column[WINO_PATCH], line[3];
    UNROLL for (int j = 0; j < WINO_PATCH; j++) {
        UNROLL for (int i = 0; i < WINO_PATCH; i++)
            column[i] = vec_load(sum + (i * WINO_PATCH + j) * point);
        wino_filter_gradient(column, 1, half + j, WINO_PATCH);
    }
    UNROLL for (int i = 0; i < 3; i++) {
        wino_filter_gradient(half + i * WINO_PATCH, 1, line, 1);
        UNROLL for (int j = 0; j < 3; j++)
            vec_store(wei + (3 * i + j) * step * W, line[j]);
    }
}

// A `side` x `side` window of a map at (y, x), which may stand out of it, with zeros there.
static void window_copy(const float *map, int h, int w, int y, int x, int side, float *out)
{
    memset(out, 0, (size_t)side * side * V * sizeof *out);
    const int x0 = x < 0 ? -x : 0, x1 = least(side, w - x);
    for (int i = 0; i < side; i++)
        if (y + i >= 0 && y + i < h && x1 > x0)
            memcpy(out + (i * side + x0) * V, map + ((size_t)(y + i) * w + x + x0) * V,
                   (size_t)(x1 - x0) * V * sizeof *out);
}

// V of `count` tiles from `first` of one source block; v: of the block's tile 0.
static void source_transform(const struct winograd *w, const float *src, int block, int first, int count, float *v)
{
    struct tile t = tile_at(w, first);
    for (int k = 0; k < count; k++, tile_next(w, &t)) {
        const float *map = src + t.n * w->read_image + (size_t)block * w->h * w->w * V;
        const int y = t.y * WINO_TILE - w->top, x = t.x * WINO_TILE - w->left;
        _Alignas(64) float border[WINO_PATCH * WINO_PATCH * V];
        const float *patch = border;
        size_t row = WINO_PATCH * V;
        if (y >= 0 && x >= 0 && y + WINO_PATCH <= w->h && x + WINO_PATCH <= w->w) {
            patch = map + ((size_t)y * w->w + x) * V;
            row = (size_t)w->w * V;
        } else
            window_copy(map, w->h, w->w, y, x, WINO_PATCH, border);
        for (int part = 0; part < PARTS; part++)
            source_tile(patch + part * W, row, v + (size_t)k * V + part * W, w->v_point);
    }
}

// Q of `count` tiles from `first` of one block of the gradient; bias: their sum, V floats.
static void gradient_transform(const struct winograd *w, const float *gradient, int block, int first, int count,
                               float *q, float *bias)
{
    struct tile t = tile_at(w, first);
    vec sum[PARTS] = {0};
    for (int k = 0; k < count; k++, tile_next(w, &t)) {
        const float *map = gradient + t.n * w->tile_image + (size_t)block * w->oh * w->ow * V;
        const int y = t.y * WINO_TILE, x = t.x * WINO_TILE;
        _Alignas(64) float border[WINO_TILE * WINO_TILE * V];
        const float *tile = border;
        size_t row = WINO_TILE * V;
        if (y + WINO_TILE <= w->oh && x + WINO_TILE <= w->ow) {
            tile = map + ((size_t)y * w->ow + x) * V;
            row = (size_t)w->ow * V;
        } else
            window_copy(map, w->oh, w->ow, y, x, WINO_TILE, border);
        for (int part = 0; part < PARTS; part++) {
            gradient_tile(tile + part * W, row, q + (size_t)k * V + part * W, w->q_point);
            for (int i = 0; i < WINO_TILE; i++)
                for (int j = 0; j < WINO_TILE; j++)
                    sum[part] += vec_load(tile + i * row + j * V + part * W);
        }
    }
    for (int part = 0; part < PARTS; part++)
        vec_store(bias + part * W, sum[part]);
}

// U of one source block and one panel (`width` blocks of destination channels).  u: of the panel.
static void weights_transform(const struct winograd *w, const float *wei, int block, int panel, int width, float *u)
{
    float turned[9 * V * V]; // by data: rotated and transposed
    for (int b = 0; b < width; b++) {
        const int k = 2 * panel + b;
        const float *from = wei + ((size_t)k * w->c + block) * 9 * V * V; // [9][v source][v destination]
        if (w->pass == DNN_DATA) {
            const float *forward = wei + ((size_t)block * w->k + k) * 9 * V * V; // [9][v destination][v source]
            for (int p = 0; p < 9; p++)
                for (int i = 0; i < V; i++)
                    for (int o = 0; o < V; o++)
                        turned[((8 - p) * V + i) * V + o] = forward[(p * V + o) * V + i];
            from = turned;
        }
        for (int i = 0; i < V; i++)
            for (int part = 0; part < PARTS; part++)
                filter_tile(from + i * V + part * W, V * PARTS,
                            u + ((size_t)block * V + i) * width * V + b * V + part * W, w->u_point);
    }
}

// M of one point and panel for the `count` tiles of a block.
static void panel_product(const struct winograd *w, const float *v, const float *u, int count, int width, float *m)
{
    const size_t block = (size_t)w->block * V;
    const int strips = (count + products->rows - 1) / products->rows;
    for (int c = 0; c < w->c; c += SOURCE_STEP)
        for (int s = 0; s < strips; s++) {
            const int first = (int)((long)count * s / strips), rows = (int)((long)count * (s + 1) / strips) - first;
            products->tiles[rows][width - 1](v + c * block + (size_t)first * V, block, u + (size_t)c * V * width * V,
                                             least(SOURCE_STEP, w->c - c), m + (size_t)first * PANEL, PANEL, c > 0);
        }
}

// Writes rows x columns of a tile: with the bias and the activation, which keeps what is within its limits; or,
// `masked`, what belongs to elements of the mask within the limits.
INLINE void output_store(const struct winograd *w, const struct winograd_maps *maps, const bool masked,
                         const bool stream, const vec *out, const int rows, const int columns, size_t at, vec bias)
{
    const vec low = vec_spread(w->act == ACT_NONE ? -INFINITY : 0),
              high = vec_spread(w->act == ACT_RELU6 ? 6 : INFINITY);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const size_t to = at + ((size_t)i * w->ow + j) * V;
            vec o = out[i * WINO_TILE + j];
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

// The destination of `count` tiles from `first` of one panel.
INLINE void output_tiles(const struct winograd *w, const struct winograd_maps *maps, const bool masked, int panel,
                         int width, int first, int count, const float *m)
{
    struct tile t = tile_at(w, first);
    for (int k = 0; k < count; k++, tile_next(w, &t), m += PANEL)
        for (int b = 0; b < width; b++) {
            const int y = t.y * WINO_TILE, x = t.x * WINO_TILE;
            const int rows = least(WINO_TILE, w->oh - y), columns = least(WINO_TILE, w->ow - x);
            const size_t at = t.n * w->tile_image + (((size_t)(2 * panel + b) * w->oh + y) * w->ow + x) * V;
            for (int part = 0; part < PARTS; part++) {
                vec out[WINO_TILE * WINO_TILE];
                output_tile(m + b * V + part * W, w->m_point, out);
                const vec bias = w->bias ? vec_load(maps->bias + (2 * panel + b) * V + part * W) : vec_zero();
                if (rows < WINO_TILE || columns < WINO_TILE)
                    output_store(w, maps, masked, false, out, rows, columns, at + part * W, bias);
                else if (w->stream)
                    output_store(w, maps, masked, true, out, WINO_TILE, WINO_TILE, at + part * W, bias);
                else
                    output_store(w, maps, masked, false, out, WINO_TILE, WINO_TILE, at + part * W, bias);
            }
        }
}

static void output_transform(const struct winograd *w, const struct winograd_maps *maps, int panel, int width,
                             int first, int count, const float *m)
{
    if (maps->mask != NULL)
        output_tiles(w, maps, true, panel, width, first, count, m);
    else
        output_tiles(w, maps, false, panel, width, first, count, m);
    vec_fence();
}

static inline int panels_of(const struct winograd *w) { return (w->k + 1) / 2; }
static inline int width_of(const struct winograd *w, int panel) { return 2 * panel + 1 < w->k ? 2 : 1; }
static inline float *panel_u(const struct winograd *w, float *u, int panel)
{
    return u + (size_t)panel * w->c * V * PANEL;
}

// All threads share a block of tiles: V of the block, then for every chunk of panels U, M, and the destination.
static void convolve_shared(const struct winograd *w, const struct winograd_maps *maps)
{
    float *const v = maps->scratch, *const m = v + w->v_floats, *const u = m + w->m_floats;
    const int panels = panels_of(w);
    const bool whole = w->chunk >= panels;
#pragma omp parallel
    for (int first = 0; first < w->tiles; first += w->block) {
        const int count = least(w->block, w->tiles - first), strips = strips_of(count);
#pragma omp for schedule(static) nowait
        for (int task = 0; task < w->c * strips; task++) {
            const int block = task / strips, at = task % strips * STRIP;
            source_transform(w, maps->source, block, first + at, least(STRIP, count - at),
                             v + ((size_t)block * w->block + at) * V);
        }
        for (int begin = 0; begin < panels; begin += w->chunk) {
            const int some = least(w->chunk, panels - begin), parts = least(some, w->parts);
            if (first == 0 || !whole) {
#pragma omp for schedule(static) nowait
                for (int task = 0; task < some * w->c; task++)
                    weights_transform(w, maps->weights, task % w->c, begin + task / w->c,
                                      width_of(w, begin + task / w->c), panel_u(w, u, task / w->c));
            }
#pragma omp barrier
#pragma omp for schedule(dynamic)
            for (int task = 0; task < WINO_POINTS * parts; task++) {
                const int point = task / parts, part = task % parts;
                for (int p = some * part / parts; p < some * (part + 1) / parts; p++)
                    panel_product(w, v + point * w->v_point, panel_u(w, u, p) + point * w->u_point, count,
                                  width_of(w, begin + p), m + (size_t)p * w->m_panel + point * w->m_point);
            }
#pragma omp for schedule(static) nowait
            for (int task = 0; task < some * strips; task++) {
                const int p = task / strips, at = task % strips * STRIP;
                output_transform(w, maps, begin + p, width_of(w, begin + p), first + at, least(STRIP, count - at),
                                 m + (size_t)p * w->m_panel + at * PANEL);
            }
        }
    }
}

// Every thread owns a block of tiles, small enough that its V and a panel's M stay in the thread's own cache; U is
// whole.
static void convolve_apart(const struct winograd *w, const struct winograd_maps *maps)
{
    float *const u = maps->scratch + (size_t)w->slots * (w->v_floats + w->m_floats);
    const int panels = panels_of(w), blocks = blocks_of_tiles(w);
#pragma omp parallel num_threads(w->slots)
    {
        float *const v = maps->scratch + (size_t)omp_get_thread_num() * (w->v_floats + w->m_floats), *const m =
                                                                                                         v +
                                                                                                         w->v_floats;
#pragma omp for schedule(static)
        for (int task = 0; task < panels * w->c; task++)
            weights_transform(w, maps->weights, task % w->c, task / w->c, width_of(w, task / w->c),
                              panel_u(w, u, task / w->c));
#pragma omp for schedule(dynamic)
        for (int b = 0; b < blocks; b++) {
            const int first = b * w->block, count = least(w->block, w->tiles - first);
            for (int block = 0; block < w->c; block++)
                source_transform(w, maps->source, block, first, count, v + (size_t)block * w->block * V);
            for (int p = 0; p < panels; p++) {
                for (int point = 0; point < WINO_POINTS; point++)
                    panel_product(w, v + point * w->v_point, panel_u(w, u, p) + point * w->u_point, count,
                                  width_of(w, p), m + point * w->m_point);
                output_transform(w, maps, p, width_of(w, p), first, count, m);
            }
        }
    }
}

static void winograd_convolve(const struct winograd *w, const struct winograd_maps *maps)
{
    if (w->slots > 0)
        convolve_apart(w, maps);
    else
        convolve_shared(w, maps);
}

// Groups of a chunk's destination blocks, three to a register tile; four are two and two.
static inline int group_width(int left) { return left == 4 ? 2 : least(left, 3); }

// Adds V' Q of a block of tiles to dU of one point, source blocks [c0, c1).
static void gradient_sum(const struct winograd *w, const float *v, const float *q, int some, int c0, int c1, int count,
                         float *sum, bool add)
{
    const size_t block = (size_t)w->block * V;
    const int rows = products->gradient_rows;
    for (int t = 0; t < count; t += TILE_STEP)
        for (int k = 0, width; k < some; k += width) {
            width = group_width(some - k);
            for (int c = c0; c < c1; c++)
                for (int r = 0; r < V; r += rows)
                    products->gradient[width - 1](v + c * block + (size_t)t * V + r, q + k * block + (size_t)t * V,
                                                  block, least(TILE_STEP, count - t),
                                                  sum + ((size_t)k * w->c * V + (size_t)(c * V + r) * width) * V,
                                                  add || t > 0);
        }
}

// dW of one source block and one destination block k of a chunk that begins at block `begin`.
static void filter_gradient(const struct winograd *w, const float *sum, int block, int begin, int some, int k,
                            float *wei)
{
    int first = 0, width;
    while (width = group_width(some - first), first + width <= k)
        first += width;
    float *out = wei + ((size_t)(begin + k) * w->c + block) * 9 * V * V;
    const int rows = products->gradient_rows;
    for (int i = 0; i < V; i++) {
        const float *from = sum + ((size_t)first * w->c * V + (size_t)(block * V + i / rows * rows) * width) * V +
                            (i % rows * width + k - first) * V;
        for (int part = 0; part < PARTS; part++)
            filter_gradient_tile(from + part * W, w->u_point, out + i * V + part * W, V * PARTS);
    }
}

// The gradient of a block's bias: the sums of its strips, block by block.
static void bias_sum(const struct winograd *w, const float *strips, float *bias)
{
    double sum[V] = {0};
    const int most = strips_of(w->block);
    for (int first = 0; first < w->tiles; first += w->block, strips += (size_t)most * V)
        for (int s = 0; s < strips_of(least(w->block, w->tiles - first)); s++)
            for (int l = 0; l < V; l++)
                sum[l] += strips[s * V + l];
    for (int l = 0; l < V; l++)
        bias[l] = (float)sum[l];
}

// dW and the bias's gradient of destination blocks [begin, begin + some), from dU and the strips' sums; of a team of
// threads.
static void gradient_end(const struct winograd *w, const struct winograd_maps *maps, int begin, int some,
                         const float *sum, const float *bias)
{
    const size_t strips = (size_t)blocks_of_tiles(w) * strips_of(w->block);
#pragma omp for schedule(static)
    for (int task = 0; task < some * (w->c + 1); task++) {
        const int k = task / (w->c + 1), block = task % (w->c + 1);
        if (block < w->c)
            filter_gradient(w, sum, block, begin, some, k, maps->weights);
        else if (maps->bias != NULL)
            bias_sum(w, bias + k * strips * V, maps->bias + (begin + k) * V);
    }
}

// By weights, all threads share a block of tiles, and dU of a chunk of destination blocks.
static void gradient_shared(const struct winograd *w, const struct winograd_maps *maps)
{
    float *const v = maps->scratch, *const q = v + w->v_floats, *const sum = q + w->q_floats,
                 *const bias = sum + w->u_floats;
    const int strips_most = strips_of(w->block), blocks = blocks_of_tiles(w);
#pragma omp parallel
    for (int begin = 0; begin < w->k; begin += w->chunk) {
        const int some = least(w->chunk, w->k - begin), parts = least(w->c, w->parts);
        for (int b = 0; b < blocks; b++) {
            const int first = b * w->block, count = least(w->block, w->tiles - first), strips = strips_of(count);
            if (begin == 0 || blocks > 1) {
#pragma omp for schedule(static) nowait
                for (int task = 0; task < w->c * strips; task++) {
                    const int block = task / strips, at = task % strips * STRIP;
                    source_transform(w, maps->source, block, first + at, least(STRIP, count - at),
                                     v + ((size_t)block * w->block + at) * V);
                }
            }
#pragma omp for schedule(static)
            for (int task = 0; task < some * strips; task++) {
                const int k = task / strips, strip = task % strips, at = strip * STRIP;
                gradient_transform(w, maps->gradient, begin + k, first + at, least(STRIP, count - at),
                                   q + ((size_t)k * w->block + at) * V,
                                   bias + (((size_t)k * blocks + b) * strips_most + strip) * V);
            }
#pragma omp for schedule(dynamic)
            for (int task = 0; task < WINO_POINTS * parts; task++) {
                const int point = task / parts, part = task % parts;
                gradient_sum(w, v + point * w->v_point, q + point * w->q_point, some, w->c * part / parts,
                             w->c * (part + 1) / parts, count, sum + point * w->u_point, b > 0);
            }
        }
        gradient_end(w, maps, begin, some, sum, bias);
    }
}

// By weights, every thread works through a segment of the blocks of tiles for itself, with a dU of the segment's own;
// the segments' dU are added in order.  How many there are does not depend on the threads, so neither does the result.
static void gradient_apart(const struct winograd *w, const struct winograd_maps *maps)
{
    const size_t slot = w->v_floats + w->q_floats;
    float *const sums = maps->scratch + w->slots * slot, *const bias = sums + w->segments * w->u_floats;
    const int strips_most = strips_of(w->block), blocks = blocks_of_tiles(w);
#pragma omp parallel num_threads(w->slots)
    {
        float *const v = maps->scratch + (size_t)omp_get_thread_num() * slot, *const q = v + w->v_floats;
#pragma omp for schedule(dynamic)
        for (int s = 0; s < w->segments; s++) {
            const int begin = blocks * s / w->segments, end = blocks * (s + 1) / w->segments;
            float *const sum = sums + s * w->u_floats;
            for (int b = begin; b < end; b++) {
                const int first = b * w->block, count = least(w->block, w->tiles - first);
                for (int block = 0; block < w->c; block++)
                    source_transform(w, maps->source, block, first, count, v + (size_t)block * w->block * V);
                for (int k = 0; k < w->k; k++)
                    for (int strip = 0; strip < strips_of(count); strip++)
                        gradient_transform(w, maps->gradient, k, first + strip * STRIP,
                                           least(STRIP, count - strip * STRIP),
                                           q + ((size_t)k * w->block + strip * STRIP) * V,
                                           bias + (((size_t)k * blocks + b) * strips_most + strip) * V);
                for (int point = 0; point < WINO_POINTS; point++)
                    gradient_sum(w, v + point * w->v_point, q + point * w->q_point, w->k, 0, w->c, count,
                                 sum + point * w->u_point, b > begin);
            }
        }
        const size_t used = (size_t)w->c * w->k * V * V;
#pragma omp for schedule(static)
        for (int point = 0; point < WINO_POINTS; point++)
            for (int s = 1; s < w->segments; s++)
                for (size_t i = 0; i < used; i += W) {
                    float *const at = sums + point * w->u_point + i;
                    vec_store(at, vec_load(at) + vec_load(at + s * w->u_floats));
                }
        gradient_end(w, maps, 0, w->k, sums, bias);
    }
}

static void winograd_gradient(const struct winograd *w, const struct winograd_maps *maps)
{
    if (w->slots > 0)
        gradient_apart(w, maps);
    else
        gradient_shared(w, maps);
}

const struct winograd_kernels FOR_SET(winograd) = {winograd_convolve, winograd_gradient};
