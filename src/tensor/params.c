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

void param_from_canonical(const struct params *params, int entry, const float *src)
{
    const struct param_entry *e = &params->entries[entry];
    float *dst = params->block + e->offset;
    size_t n_o, n_i, area;
    extents(e, &n_o, &n_i, &area);
    memset(dst, 0, e->size * sizeof *dst);
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < n_o; o++)
        for (size_t i = 0; i < n_i; i++)
            for (size_t p = 0; p < area; p++)
                dst[address(e, params->lanes, o, i, p, n_i, area)] = src[(o * n_i + i) * area + p];
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
    size_t n_o, n_i, area;
    extents(e, &n_o, &n_i, &area);
    ASSERT(first + count <= n_o);
#pragma omp parallel for schedule(static)
    for (size_t o = first; o < first + count; o++)
        for (size_t i = 0; i < n_i; i++)
            for (size_t p = 0; p < area; p++)
                dst[((o - first) * n_i + i) * area + p] = src[address(e, params->lanes, o, i, p, n_i, area)];
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
