// tensor/params.c: between canonical order and the kernels' layouts.  The element (o, i, y, x) of a canonical tensor
// has one address in each layout; both directions walk the canonical order.

#include "tensor/params.h"
#include "base/memory.h"
#include <string.h>

static size_t blocks(size_t count, int lanes) { return (count + (size_t)lanes - 1) / (size_t)lanes; }

// Canonical as (o, i, area): OIHW, or a dense (units, c * h * w).
static void extents(const struct param_entry *e, size_t *o, size_t *i, size_t *area)
{
    *o = (size_t)e->shape.dim[0];
    *i = e->layout == LAYOUT_DENSE ? (size_t)e->c : e->shape.rank > 1 ? (size_t)e->shape.dim[1] : 1;
    *area = e->layout == LAYOUT_DENSE ? (size_t)e->h * (size_t)e->w : 1;
    for (int d = 2; d < e->shape.rank; d++)
        *area *= (size_t)e->shape.dim[d];
}

size_t param_entry_size(const struct param_entry *e, int lanes)
{
    size_t o, i, area, count;
    const size_t v = (size_t)lanes;
    extents(e, &o, &i, &area);
    switch (e->layout) {
    case LAYOUT_OIHW_BLOCK:
        return blocks(o, lanes) * blocks(i, lanes) * area * v * v;
    case LAYOUT_OHWI_BLOCK:
        return blocks(o, lanes) * area * i * v;
    case LAYOUT_GOIHW_DEPTHWISE:
        return blocks(o, lanes) * area * v;
    case LAYOUT_DENSE:
        return o * blocks(i, lanes) * v * area;
    default:
        ASSERT(shape_count(e->shape, &count));
        return blocks(count, lanes) * v;
    }
}

static size_t address(const struct param_entry *e, int lanes, size_t o, size_t i, size_t p, size_t n_i, size_t area)
{
    const size_t v = (size_t)lanes;
    switch (e->layout) {
    case LAYOUT_OIHW_BLOCK:
        return ((o / v * blocks(n_i, lanes) + i / v) * area + p) * v * v + i % v * v + o % v;
    case LAYOUT_OHWI_BLOCK:
        return ((o / v * area + p) * n_i + i) * v + o % v;
    case LAYOUT_GOIHW_DEPTHWISE:
        return (o / v * area + p) * v + o % v;
    case LAYOUT_DENSE:
        return ((o * blocks(n_i, lanes) + i / v) * area + p) * v + i % v;
    default:
        return (o * n_i + i) * area + p;
    }
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// Lanes of a block: `n` numbers `step` apart, then zeros.
static void lanes_put(float *dst, const float *src, size_t step, size_t n, size_t lanes)
{
    if (n == lanes && step == 1)
        memcpy(dst, src, lanes * sizeof *dst);
    else
        for (size_t l = 0; l < lanes; l++)
            dst[l] = l < n ? src[l * step] : 0;
}

// Blocks of outputs: the convolutions' layouts.
static void fill_outputs(const struct params *params, const struct param_entry *e, const float *src,
                         const struct file_order *s)
{
    const size_t v = (size_t)params->lanes;
    const size_t padded = e->layout == LAYOUT_OIHW_BLOCK ? blocks(s->in, params->lanes) * v : s->in;
    float *dst = params->block + e->offset;
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < s->out; o += v)
        for (size_t i = 0; i < padded; i++)
            for (size_t p = 0; p < s->places; p++) {
                const size_t there = s->turned ? s->places - 1 - p : p;
                const size_t n = i < s->in ? smaller(v, s->out - o) : 0;
                lanes_put(dst + address(e, params->lanes, o, i, p, s->in, s->places),
                          src + o * s->step_o + (n > 0 ? i * s->step_i : 0) + there * s->step_p, s->step_o, n, v);
            }
}

// Blocks of inputs: the dense layout.  Where the outputs lie side by side in the file (VGG's fc1 has 103 million
// numbers, each of its inputs a row of 16 KiB), pieces of 64 of them are read into a tile, so that each cache line is
// read once.
static void fill_inputs(const struct params *params, const struct param_entry *e, const float *src,
                        const struct file_order *s)
{
    enum { TILE = 64, MOST_LANES = 16 };
    const size_t v = (size_t)params->lanes, tiles = (s->out + TILE - 1) / TILE,
                 in_blocks = blocks(s->in, params->lanes);
    float *dst = params->block + e->offset;
    ASSERT(v <= MOST_LANES);
#pragma omp parallel for schedule(static)
    for (size_t job = 0; job < tiles * in_blocks; job++) {
        const size_t i = job / tiles * v, o = job % tiles * TILE, rows = smaller(TILE, s->out - o),
                     n = smaller(v, s->in - i);
        for (size_t p = 0; p < s->places; p++) {
            const float *from = src + o * s->step_o + i * s->step_i + (s->turned ? s->places - 1 - p : p) * s->step_p;
            float tile[MOST_LANES][TILE];
            for (size_t l = 0; l < n && s->step_o == 1; l++)
                memcpy(tile[l], from + l * s->step_i, rows * sizeof(float));
            for (size_t r = 0; r < rows; r++)
                lanes_put(dst + address(e, params->lanes, o + r, i, p, s->in, s->places),
                          s->step_o == 1 ? &tile[0][r] : from + r * s->step_o, s->step_o == 1 ? TILE : s->step_i, n, v);
        }
    }
}

void param_from_file(const struct params *params, int entry, const float *src, const struct file_order *order)
{
    const struct param_entry *e = &params->entries[entry];
    float *dst = params->block + e->offset;
    struct file_order s = *order;
    size_t out, in, places, count;
    extents(e, &out, &in, &places);
    if (s.places == 0)
        s = (struct file_order){out, in, places, in * places, places, 1, false};
    ASSERT(s.out == out && s.in == in && s.places == places);
    switch (e->layout) {
    case LAYOUT_OIHW_BLOCK:
    case LAYOUT_OHWI_BLOCK:
    case LAYOUT_GOIHW_DEPTHWISE:
        fill_outputs(params, e, src, &s);
        return;
    case LAYOUT_DENSE:
        fill_inputs(params, e, src, &s);
        return;
    default:
        count = out * in * places;
        for (size_t i = 0; i < e->size; i++) {
            const size_t p = i % places, row = i / places;
            dst[i] = i < count
                         ? src[row / in * s.step_o + row % in * s.step_i + (s.turned ? places - 1 - p : p) * s.step_p]
                         : 0;
        }
    }
}

void param_from_canonical(const struct params *params, int entry, const float *src)
{
    param_from_file(params, entry, src, &(struct file_order){0});
}

void param_to_canonical(const struct params *params, int entry, float *dst)
{
    size_t rows, size;
    param_rows(params, entry, &rows, &size);
    param_rows_to_canonical(params, entry, 0, rows, dst);
}

void param_rows(const struct params *params, int entry, size_t *rows, size_t *size)
{
    size_t n_i, area;
    extents(&params->entries[entry], rows, &n_i, &area);
    *size = n_i * area;
}

void param_rows_to_canonical(const struct params *params, int entry, size_t first, size_t count, float *dst)
{
    const struct param_entry *e = &params->entries[entry];
    const float *src = params->block + e->offset;
    const size_t v = (size_t)params->lanes;
    size_t n_o, n_i, area;
    extents(e, &n_o, &n_i, &area);
    ASSERT(first + count <= n_o);
    const size_t step_i = n_i > 1 ? address(e, params->lanes, 0, 1, 0, n_i, area) : 0, // within a block of inputs
        step_p = area > 1 ? address(e, params->lanes, 0, 0, 1, n_i, area) : 0;
#pragma omp parallel for schedule(static)
    for (size_t o = first; o < first + count; o++)
        for (size_t block = 0; block < n_i; block += v) {
            const float *from = src + address(e, params->lanes, o, block, 0, n_i, area);
            float *to = dst + ((o - first) * n_i + block) * area;
            const size_t n = smaller(v, n_i - block);
            for (size_t i = 0; i < n; i++)
                for (size_t p = 0; p < area; p++)
                    to[i * area + p] = from[i * step_i + p * step_p];
        }
}

void params_fini(struct params *p)
{
    mem_free(p->entries);
    mem_free(p->block);
    *p = (struct params){0};
}

int params_find(const struct params *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->entries[i].name, name) == 0)
            return i;
    return -1;
}
