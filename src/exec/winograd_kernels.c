// exec/winograd_kernels.c: the drivers of exec/winograd.h, compiled once per instruction set.
// Every element of V, U, M, Q and dU has one owner and its sum one order, so results never depend on the thread count.

#include "exec/kernels.h"
#include "exec/products.h"
#include "exec/simd.h"
#include "exec/winograd_transforms.h"
#include <omp.h>

extern const struct products FOR_SET(products);
static const struct products *const products = &FOR_SET(products);
extern const struct winograd_transforms FOR_SET(winograd_transforms)[WINO_FORMS];
static const struct winograd_transforms *transforms_of(const struct winograd *w)
{
    return &FOR_SET(winograd_transforms)[w->form];
}

enum { PANEL = 2 * V };      // destination channels of a register tile
enum { STRIP = WINO_STRIP };
enum { SOURCE_STEP = 256 / V }; // source blocks summed before the sum goes to memory: a panel of U stays in L1
enum { TILE_STEP = 192 };    // tiles summed before the sum goes to memory, by weights: a panel of Q stays in L1

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int strips_of(int count) { return (count + STRIP - 1) / STRIP; }
static inline int blocks_of_tiles(const struct winograd *w) { return (w->tiles + w->block - 1) / w->block; }

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

static inline int panels_of(const struct winograd *w) { return (w->k + 1) / 2; }
static inline int width_of(const struct winograd *w, int panel) { return 2 * panel + 1 < w->k ? 2 : 1; }
static inline float *panel_u(const struct winograd *w, float *u, int panel)
{
    return u + (size_t)panel * w->c * V * PANEL;
}

// All threads share a block of tiles: V of the block, then for every chunk of panels U, M, and the destination.
static void convolve_shared(const struct winograd *w, const struct winograd_maps *maps)
{
    const struct winograd_transforms *const transforms = transforms_of(w);
    float *const v = maps->scratch, *const m = v + w->v_floats, *const u = m + w->m_floats;
    const int panels = panels_of(w);
    const bool whole = w->chunk >= panels;
#pragma omp parallel
    for (int first = 0; first < w->tiles; first += w->block) {
        const int count = least(w->block, w->tiles - first), strips = strips_of(count);
#pragma omp for schedule(static) nowait
        for (int task = 0; task < w->c * strips; task++) {
            const int block = task / strips, at = task % strips * STRIP;
            transforms->source(w, maps->source, block, first + at, least(STRIP, count - at),
                             v + ((size_t)block * w->block + at) * V);
        }
        for (int begin = 0; begin < panels; begin += w->chunk) {
            const int some = least(w->chunk, panels - begin), parts = least(some, w->parts);
            if (first == 0 || !whole) {
#pragma omp for schedule(static) nowait
                for (int task = 0; task < some * w->c; task++)
                    transforms->weights(w, maps->weights, task % w->c, begin + task / w->c,
                                      width_of(w, begin + task / w->c), panel_u(w, u, task / w->c));
            }
#pragma omp barrier
#pragma omp for schedule(dynamic)
            for (int task = 0; task < w->points * parts; task++) {
                const int point = task / parts, part = task % parts;
                for (int p = some * part / parts; p < some * (part + 1) / parts; p++)
                    panel_product(w, v + point * w->v_point, panel_u(w, u, p) + point * w->u_point, count,
                                  width_of(w, begin + p), m + (size_t)p * w->m_panel + point * w->m_point);
            }
#pragma omp for schedule(static) nowait
            for (int task = 0; task < some * strips; task++) {
                const int p = task / strips, at = task % strips * STRIP;
                transforms->output(w, maps, begin + p, width_of(w, begin + p), first + at, least(STRIP, count - at),
                                 m + (size_t)p * w->m_panel + at * PANEL);
            }
        }
    }
}

// Every thread owns a block of tiles, small enough that its V and a panel's M stay in the thread's own cache; U is
// whole.
static void convolve_apart(const struct winograd *w, const struct winograd_maps *maps)
{
    const struct winograd_transforms *const transforms = transforms_of(w);
    float *const u = maps->scratch + (size_t)w->slots * (w->v_floats + w->m_floats);
    const int panels = panels_of(w), blocks = blocks_of_tiles(w);
#pragma omp parallel num_threads(w->slots)
    {
        float *const v = maps->scratch + (size_t)omp_get_thread_num() * (w->v_floats + w->m_floats), *const m =
                                                                                                         v +
                                                                                                         w->v_floats;
#pragma omp for schedule(static)
        for (int task = 0; task < panels * w->c; task++)
            transforms->weights(w, maps->weights, task % w->c, task / w->c, width_of(w, task / w->c),
                              panel_u(w, u, task / w->c));
#pragma omp for schedule(dynamic)
        for (int b = 0; b < blocks; b++) {
            const int first = b * w->block, count = least(w->block, w->tiles - first);
            for (int block = 0; block < w->c; block++)
                transforms->source(w, maps->source, block, first, count, v + (size_t)block * w->block * V);
            for (int p = 0; p < panels; p++) {
                for (int point = 0; point < w->points; point++)
                    panel_product(w, v + point * w->v_point, panel_u(w, u, p) + point * w->u_point, count,
                                  width_of(w, p), m + point * w->m_point);
                transforms->output(w, maps, p, width_of(w, p), first, count, m);
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
    float *out = wei + ((size_t)(begin + k) * w->c + block) * w->kh * w->kw * V * V;
    const int rows = products->gradient_rows;
    for (int i = 0; i < V; i++) {
        const float *from = sum + ((size_t)first * w->c * V + (size_t)(block * V + i / rows * rows) * width) * V +
                            (i % rows * width + k - first) * V;
        transforms_of(w)->filter_gradient(from, w->u_point, out + i * V);
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
    const struct winograd_transforms *const transforms = transforms_of(w);
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
                    transforms->source(w, maps->source, block, first + at, least(STRIP, count - at),
                                     v + ((size_t)block * w->block + at) * V);
                }
            }
#pragma omp for schedule(static)
            for (int task = 0; task < some * strips; task++) {
                const int k = task / strips, strip = task % strips, at = strip * STRIP;
                transforms->gradient(w, maps->gradient, begin + k, first + at, least(STRIP, count - at),
                                   q + ((size_t)k * w->block + at) * V,
                                   bias + (((size_t)k * blocks + b) * strips_most + strip) * V);
            }
#pragma omp for schedule(dynamic)
            for (int task = 0; task < w->points * parts; task++) {
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
    const struct winograd_transforms *const transforms = transforms_of(w);
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
                    transforms->source(w, maps->source, block, first, count, v + (size_t)block * w->block * V);
                for (int k = 0; k < w->k; k++)
                    for (int strip = 0; strip < strips_of(count); strip++)
                        transforms->gradient(w, maps->gradient, k, first + strip * STRIP,
                                           least(STRIP, count - strip * STRIP),
                                           q + ((size_t)k * w->block + strip * STRIP) * V,
                                           bias + (((size_t)k * blocks + b) * strips_most + strip) * V);
                for (int point = 0; point < w->points; point++)
                    gradient_sum(w, v + point * w->v_point, q + point * w->q_point, w->k, 0, w->c, count,
                                 sum + point * w->u_point, b > begin);
            }
        }
        const size_t used = (size_t)w->c * w->k * V * V;
#pragma omp for schedule(static)
        for (int point = 0; point < w->points; point++)
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
