// train/changes.c: compares the split that a run was made with to the present one, by name.

#include "train/changes.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row { const char *at; size_t name, size; }; // the name with its quotes, if it has any
struct rows { struct row *items; size_t count, capacity; };

static size_t field_size(const char *at, size_t size)
{
    bool quoted = false;
    size_t i = 0;
    for (; i < size && (quoted || at[i] != ','); i++)
        quoted ^= at[i] == '"';
    return i;
}

static size_t row_size(const char *at, size_t size) // a quoted name may hold a new line
{
    bool quoted = false;
    size_t i = 0;
    for (; i < size && (quoted || at[i] != '\n'); i++)
        quoted ^= at[i] == '"';
    return i;
}

static int by_name(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    const size_t least = x->name < y->name ? x->name : y->name;
    const int order = memcmp(x->at, y->at, least);
    return order != 0 ? order : (x->name > y->name) - (x->name < y->name);
}

static graft_status rows_of(bytes text, struct rows *out)
{
    const char *at = (const char *)text.ptr;
    for (size_t left = text.size; left > 0;) {
        const size_t size = row_size(at, left), whole = size + (size < left);
        if (!mem_grow(&out->items, &out->capacity, out->count + 1, sizeof *out->items))
            return fail_memory("the comparison of the data");
        out->items[out->count++] = (struct row){at, field_size(at, size), size};
        at += whole;
        left -= whole;
    }
    if (out->count > 0)
        qsort(out->items, out->count, sizeof *out->items, by_name);
    return GRAFT_OK;
}

// Which field after the name differs first.
static int field_changed(const struct row *a, const struct row *b)
{
    size_t i = a->name, k = b->name;
    for (int field = 0;; field++) {
        i += i < a->size;
        k += k < b->size;
        const size_t x = field_size(a->at + i, a->size - i), y = field_size(b->at + k, b->size - k);
        if (x != y || memcmp(a->at + i, b->at + k, x) != 0)
            return field;
        i += x;
        k += y;
        if (i >= a->size && k >= b->size)
            return -1;
    }
}

enum { GONE, NEW, OTHER, N_KINDS };
struct finding { size_t count; const struct row *first; int field; };

static void compare(const struct rows *a, const struct rows *b, struct finding out[N_KINDS])
{
    size_t i = 0, k = 0;
    while (i < a->count || k < b->count) {
        const int order = i == a->count ? 1 : k == b->count ? -1 : by_name(&a->items[i], &b->items[k]);
        const struct row *row = order > 0 ? &b->items[k] : &a->items[i];
        const int field = order == 0 ? field_changed(&a->items[i], &b->items[k]) : -1;
        if (order != 0 || field >= 0) {
            struct finding *f = &out[order < 0 ? GONE : order > 0 ? NEW : OTHER];
            if (f->count++ == 0)
                *f = (struct finding){1, row, field};
        }
        i += order <= 0;
        k += order >= 0;
    }
}

static const char *field_name(const char *fields, int field, int *length)
{
    while (field-- > 0 && strchr(fields, ',') != NULL)
        fields = strchr(fields, ',') + 1;
    *length = (int)strcspn(fields, ",");
    return fields;
}

graft_status changes_of_rows(bytes before, bytes after, const char *fields, char **out)
{
    static const char *const words[N_KINDS] = {"gone", "new", "other"};
    struct rows a = {0}, b = {0};
    struct finding found[N_KINDS] = {0};
    char text[2048] = "";
    graft_status status = GRAFT_OK;
    *out = NULL;
    TRY_GOTO(rows_of(before, &a));
    TRY_GOTO(rows_of(after, &b));
    compare(&a, &b, found);
    for (int kind = 0; kind < N_KINDS; kind++) {
        const struct finding *f = &found[kind];
        const size_t used = strlen(text);
        if (f->count == 0)
            continue;
        int length = 0;
        const char *field = kind == OTHER ? field_name(fields, f->field, &length) : "";
        snprintf(text + used, sizeof text - used, "%s%zu %s %s (%.*s%s%.*s%s)", used > 0 ? ", " : "", f->count,
                 f->count == 1 ? "is" : "are", words[kind], (int)(f->first->name < 300 ? f->first->name : 300),
                 f->first->at, kind == OTHER ? ": " : "", length, field, f->count > 1 ? ", ..." : "");
    }
    *out = mem_text(text);
    if (*out == NULL)
        status = fail_memory("the comparison of the data");
done:
    mem_free(a.items);
    mem_free(b.items);
    return status;
}
