// train/histograms.c: histograms of 30 bins of equal width, a line of JSON each.

#include "train/histograms.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

enum { BINS = 30 };

static void line_put(struct histograms *h, const char *kind, const char *name, const float *x, size_t n)
{
    double least = INFINITY, most = -INFINITY, sum = 0, squares = 0;
    size_t counts[BINS] = {0}, num = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            continue;
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
        sum += x[i];
        squares += (double)x[i] * x[i];
        num++;
    }
    if (num == 0)
        return;
    const double width = (most - least) / BINS;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) {
            const int bin = width > 0 ? (int)((x[i] - least) / width) : 0;
            counts[bin < BINS ? bin : BINS - 1]++;
        }
    text_put(&h->lines, "{\"epoch\":%d,\"kind\":\"%s\",\"name\":\"%s\",\"min\":%.9g,\"max\":%.9g,\"num\":%zu,",
             h->epoch, kind, name, least, most, num);
    text_put(&h->lines, "\"sum\":%.9g,\"sum_squares\":%.9g,\"limits\":[", sum, squares);
    for (int i = 0; i < BINS; i++)
        text_put(&h->lines, "%s%.9g", i > 0 ? "," : "", i + 1 < BINS ? least + width * (i + 1) : most);
    text_put(&h->lines, "],\"counts\":[");
    for (int i = 0; i < BINS; i++)
        text_put(&h->lines, "%s%zu", i > 0 ? "," : "", counts[i]);
    text_put(&h->lines, "]}\n");
}

// `values` lies as the entry does, from its own beginning.
static void entry_put(struct histograms *h, const char *kind, int entry, float *values)
{
    struct param_entry alone = h->params->entries[entry];
    struct params view = *h->params;
    size_t n;
    ASSERT(shape_count(alone.shape, &n));
    float *canonical = mem_alloc((n + 1) * sizeof *canonical); // without the padding, which is no value
    if (canonical == NULL) {
        h->lines.broken = true;
        return;
    }
    alone.offset = 0;
    view.entries = &alone;
    view.count = 1;
    view.block = values;
    param_to_canonical(&view, 0, canonical);
    line_put(h, kind, alone.name, canonical, n);
    mem_free(canonical);
}

graft_status histograms_begin(struct histograms *h, int epochs)
{
    struct file_map map;
    struct text kept = {0};
    graft_status status = GRAFT_OK;
    char *path = path_join(h->folder, "histograms.jsonl");
    if (path == NULL)
        return fail_memory("a path");
    text_put(&kept, "%s", "");
    if (file_exists(path)) {
        TRY_GOTO(file_map_open(path, &map));
        for (size_t at = 0; epochs > 0 && at < map.data.size;) {
            const uint8_t *end = memchr(map.data.ptr + at, '\n', map.data.size - at);
            const size_t size = end != NULL ? (size_t)(end - map.data.ptr) - at + 1 : 0;
            json_t *o = NULL;
            if (size == 0 || json_parse((bytes){map.data.ptr + at, size}, path, &o) != GRAFT_OK)
                break; // torn
            if (json_integer_value(json_object_get(o, "epoch")) <= epochs)
                text_put_bytes(&kept, map.data.ptr + at, size);
            json_decref(o);
            at += size;
        }
        file_map_close(&map);
    }
    TRY_GOTO(text_status(&kept));
    TRY_GOTO(file_write_all(path, kept.data, kept.size));
done:
    text_fini(&kept);
    mem_free(path);
    return status;
}

// Gathers a gradient that comes in parts.
static void part_put(struct histograms *h, struct gradient g)
{
    const size_t size = h->params->entries[g.entry].size;
    if (g.first == 0)
        h->whole = mem_alloc(size * sizeof *h->whole);
    if (h->whole == NULL) {
        h->lines.broken = true;
        return;
    }
    memcpy(h->whole + g.first, g.values, g.n * sizeof *h->whole);
    if (g.first + g.n < size)
        return;
    entry_put(h, "gradients", g.entry, h->whole);
    mem_free(h->whole);
    h->whole = NULL;
}

void histograms_gradient(void *histograms, struct gradient g)
{
    struct histograms *h = histograms;
    if (g.n == h->params->entries[g.entry].size)
        entry_put(h, "gradients", g.entry, g.values);
    else
        part_put(h, g);
    h->ready(h->user, g);
}

graft_status histograms_end_epoch(struct histograms *h)
{
    for (int i = 0; i < h->params->count; i++)
        entry_put(h, "weights", i, h->params->block + h->params->entries[i].offset);
    char *path = path_join(h->folder, "histograms.jsonl");
    graft_status status = path != NULL ? text_status(&h->lines) : fail_memory("a path");
    if (status == GRAFT_OK)
        status = file_append(path, h->lines.data, h->lines.size);
    mem_free(path);
    text_fini(&h->lines);
    return status;
}

void histograms_fini(struct histograms *h)
{
    text_fini(&h->lines);
    mem_free(h->whole);
    *h = (struct histograms){0};
}
