// data/boxes.c: see data/boxes.h.

#include "data/boxes.h"
#include "base/csv.h"
#include "base/memory.h"
#include "data/sources.h"
#include "data/view.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMED = 5 };

struct boxed {
    dev_t device;
    ino_t node;
    float *box;
    int line;
};
struct boxes {
    struct boxed *items;
    size_t n, capacity;
};

static int by_file(const void *left, const void *right)
{
    const struct boxed *a = left, *b = right;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return a->node < b->node ? -1 : a->node > b->node;
}

static graft_status box_parse(const struct csv *c, float *box)
{
    for (int i = 0; i < 4; i++) {
        char *end;
        const char *text = c->field[i + 1];
        const double value = strtod(text, &end);
        if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
            return fail(GRAFT_BAD_FILE, "%s:%d: '%s' is no part of the picture, 0 to 1", c->path, c->line, text);
        box[i] = (float)value;
    }
    for (int i = 0; i < 2; i++)
        if (!(box[i + 2] > 0) || box[i] + box[i + 2] > 1 + 1e-5f)
            return fail(GRAFT_BAD_FILE, "%s:%d: the box of '%s' is empty or reaches beyond the picture", c->path,
                        c->line, c->field[0]);
    return GRAFT_OK;
}

// Of a file that is not there (any more) the row says nothing.
static graft_status row_add(const struct csv *c, struct boxes *b, struct dataset *owner)
{
    const char *slash = strrchr(c->path, '/');
    const int folder = slash != NULL && c->field[0][0] != '/' ? (int)(slash - c->path + 1) : 0;
    struct stat st;
    float *box;
    if (c->n < 5)
        return fail(GRAFT_BAD_FILE, "%s:%d: a path and four numbers are expected", c->path, c->line);
    char *path = mem_format("%.*s%s", folder, c->path, c->field[0]);
    if (path == NULL)
        return fail_memory("a path");
    const bool there = stat(path, &st) == 0;
    mem_free(path);
    if ((box = mem_alloc(4 * sizeof *box)) == NULL)
        return fail_memory("the boxes");
    TRY(dataset_own(owner, box));
    TRY(box_parse(c, box));
    if (!there)
        return GRAFT_OK;
    if (!mem_grow(&b->items, &b->capacity, b->n + 1, sizeof *b->items))
        return fail_memory("the boxes");
    b->items[b->n++] = (struct boxed){st.st_dev, st.st_ino, box, c->line};
    return GRAFT_OK;
}

static graft_status rows_read(const char *file, struct boxes *b, struct dataset *owner)
{
    static const char *const columns[] = {"path", "left", "top", "width", "height"};
    struct csv c;
    bool more;
    graft_status status = GRAFT_OK;
    TRY(csv_open(file, &c));
    TRY_GOTO(csv_next(&c, &more));
    for (int i = 0; i < (int)COUNT_OF(columns); i++)
        if (!more || c.n <= i || strcmp(c.field[i], columns[i]) != 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s:1: a file of `graft crops` is expected: path,left,top,width,height",
                          file));
    for (;;) {
        TRY_GOTO(csv_next(&c, &more));
        if (!more)
            break;
        TRY_GOTO(row_add(&c, b, owner));
    }
    if (b->n > 0)
        qsort(b->items, b->n, sizeof *b->items, by_file);
    for (size_t i = 1; i < b->n; i++)
        if (by_file(&b->items[i - 1], &b->items[i]) == 0 &&
            memcmp(b->items[i - 1].box, b->items[i].box, 4 * sizeof(float)) != 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s: lines %d and %d are boxes of the same picture, and differ", file,
                          b->items[i - 1].line, b->items[i].line));
done:
    csv_close(&c);
    return status;
}

static const float *box_find(const struct boxes *b, const char *path)
{
    struct stat st;
    if (b->n == 0 || stat(path, &st) != 0)
        return NULL;
    const struct boxed key = {.device = st.st_dev, .node = st.st_ino};
    const struct boxed *found = bsearch(&key, b->items, b->n, sizeof *b->items, by_file);
    return found != NULL ? found->box : NULL;
}

graft_status boxes_possible(const struct dataset *d)
{
    if (d->array_h > 0)
        return fail(GRAFT_BAD_OPTION, "boxes are of picture files, not of arrays, which go without --crop");
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].member != NULL)
            return fail(GRAFT_BAD_FILE, "%s is in an archive, which a list of boxes cannot name; unpack it",
                        d->samples[i].path);
    return GRAFT_OK;
}

graft_status boxes_read(struct dataset *d, const char *file)
{
    struct boxes b = {0};
    char list[1024] = "";
    size_t missing = 0;
    graft_status status = GRAFT_OK;
    TRY(boxes_possible(d));
    TRY_GOTO(rows_read(file, &b, d));
    for (size_t i = 0; i < d->count; i++) {
        struct sample *s = &d->samples[i];
        if (s->part == PART_NONE && s->label >= 0)
            continue;
        s->box = box_find(&b, s->path);
        if (s->box == NULL && missing++ < NAMED)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s'%.150s'", missing > 1 ? ", " : "", s->path);
    }
    if (missing > 0)
        status = fail(GRAFT_BAD_FILE, "%s: %zu of %zu pictures have no box: %s%s; `graft crops` makes them", file,
                      missing, d->count, list, missing > NAMED ? ", ..." : "");
done:
    mem_free(b.items);
    return status;
}

// The pixels of a side that a part of it covers.
static void side_of(float begin, float part, int n, int *first, int *count)
{
    const int low = (int)floor((double)begin * n + 0.5), high = (int)floor(((double)begin + part) * n + 0.5);
    *first = low < n - 1 ? low : n - 1;
    *count = high > n ? n - *first : high > *first ? high - *first : 1;
}

graft_status picture_box(const struct picture *src, const float *box, struct picture *out)
{
    int left, top, w, h;
    side_of(box[0], box[2], src->w, &left, &w);
    side_of(box[1], box[3], src->h, &top, &h);
    *out = (struct picture){mem_alloc((size_t)w * (size_t)h * 3 + PIXEL_SLACK), w, h};
    if (out->rgb == NULL)
        return fail_memory("a picture");
    for (int y = 0; y < h; y++)
        memcpy(out->rgb + (size_t)y * (size_t)w * 3,
               src->rgb + ((size_t)(top + y) * (size_t)src->w + (size_t)left) * 3, (size_t)w * 3);
    return GRAFT_OK;
}

void input_region(const struct input_spec *spec, int w, int h, double offset[2], double scale[2])
{
    struct view v;
    view_of(spec, NULL, 0, &(struct picture){.w = w, .h = h}, &v);
    offset[0] = (v.box.left - v.left) / v.box.full_w;
    offset[1] = (v.box.top - v.top) / v.box.full_h;
    scale[0] = spec->size / v.box.full_w;
    scale[1] = spec->size / v.box.full_h;
}
