// infer/submission.c: matching a sample's rows with pictures and its columns with classes; writing it filled in.

#include "infer/submission.h"
#include "base/csv.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "infer/metrics.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// Names for a message: the first few, and how many there are.
struct listing { char text[512]; size_t n; };

static void list_add(struct listing *l, const char *name)
{
    enum { SHOWN = 5 };
    const size_t used = strlen(l->text);
    if (l->n < SHOWN)
        snprintf(l->text + used, sizeof l->text - used, "%s'%.80s'", l->n > 0 ? ", " : "", name);
    else if (l->n == SHOWN)
        snprintf(l->text + used, sizeof l->text - used, ", ...");
    l->n++;
}

void submission_fini(struct submission *s)
{
    for (int i = 0; i < s->n_columns; i++)
        mem_free(s->header[i]);
    for (size_t i = 0; i < s->n; i++)
        mem_free(s->id[i]);
    mem_free(s->header);
    mem_free(s->id);
    mem_free(s->class_of);
    mem_free(s->row_of);
    mem_free(s->p);
    mem_free(s->filled);
    mem_free(s->file);
    *s = (struct submission){0};
}

// ---- columns

static graft_status header_take(struct submission *s, const struct csv *c)
{
    for (int i = 0; i < c->n; i++) {
        if (!mem_grow(&s->header, &s->header_capacity, (size_t)i + 1, sizeof *s->header) ||
            (s->header[i] = mem_text(c->field[i])) == NULL)
            return fail_memory("the sample's header");
        s->n_columns++;
    }
    return GRAFT_OK;
}

static int class_named(const struct submission *s, const char *name)
{
    for (int c = 0; c < s->n_classes; c++)
        if (strcmp(s->classes[c], name) == 0)
            return c;
    return -1;
}

static graft_status columns_match(struct submission *s)
{
    struct listing unknown = {0}, missing = {0}, twice = {0};
    if (s->n_columns == 2 && class_named(s, s->header[1]) < 0)
        return GRAFT_OK;
    s->class_of = mem_alloc((size_t)s->n_columns * sizeof *s->class_of);
    bool *seen = mem_zero((size_t)s->n_classes + 1, sizeof *seen);
    if (s->class_of == NULL || seen == NULL) {
        mem_free(seen);
        return fail_memory("the sample's columns");
    }
    for (int i = 1; i < s->n_columns; i++) {
        const int c = s->class_of[i] = class_named(s, s->header[i]);
        if (c < 0)
            list_add(&unknown, s->header[i]);
        else if (seen[c])
            list_add(&twice, s->header[i]);
        else
            seen[c] = true;
    }
    for (int c = 0; c < s->n_classes; c++)
        if (!seen[c])
            list_add(&missing, s->classes[c]);
    mem_free(seen);
    if (unknown.n > 0)
        return fail(GRAFT_BAD_FILE,
                    "%s: %zu of its columns are no class of the model: %s (the first, '%s', is taken for the "
                    "pictures' names)",
                    s->file, unknown.n, unknown.text, s->header[0]);
    if (twice.n > 0)
        return fail(GRAFT_BAD_FILE, "%s: columns are there twice: %s", s->file, twice.text);
    if (missing.n > 0)
        return fail(GRAFT_BAD_FILE, "%s: %zu of the model's classes have no column: %s", s->file, missing.n,
                    missing.text);
    return GRAFT_OK;
}

// ---- rows

static graft_status rows_read(struct submission *s, struct csv *c, struct name_index *ids)
{
    struct listing twice = {0};
    for (bool more = true;;) {
        TRY(csv_next(c, &more));
        if (!more)
            break;
        if (name_index_find(ids, s->id, c->field[0]) >= 0) {
            list_add(&twice, c->field[0]);
            continue;
        }
        if (!mem_grow(&s->id, &s->id_capacity, s->n + 1, sizeof *s->id) ||
            (s->id[s->n] = mem_text(c->field[0])) == NULL)
            return fail_memory("the sample's rows");
        s->n++;
        if (!name_index_put(ids, s->id, s->n - 1))
            return fail_memory("the sample's rows");
    }
    if (twice.n > 0)
        return fail(GRAFT_BAD_FILE, "%s: %zu row%s a name again: %s", s->file, twice.n,
                    twice.n == 1 ? " has" : "s have", twice.text);
    return s->n > 0 ? GRAFT_OK : fail(GRAFT_BAD_FILE, "%s: there is no row in it", s->file);
}

// The row that asks for a picture, by its path, its name or that without the extension; -1: none.
static int row_for(const struct submission *s, const struct name_index *ids, const char *path)
{
    char stem[256];
    const char *name = path_name(path), *dot = strrchr(name, '.');
    int row = name_index_find(ids, s->id, path);
    if (row < 0)
        row = name_index_find(ids, s->id, name);
    if (row < 0 && dot != NULL && (size_t)(dot - name) < sizeof stem) {
        snprintf(stem, sizeof stem, "%.*s", (int)(dot - name), name);
        row = name_index_find(ids, s->id, stem);
    }
    return row;
}

static graft_status rows_match(struct submission *s, const struct name_index *ids, const struct dataset *d)
{
    struct listing missing = {0}, twice = {0}, extra = {0};
    uint32_t *taken = mem_zero(s->n, sizeof *taken); // index + 1
    s->row_of = mem_alloc((d->count + 1) * sizeof *s->row_of);
    if (taken == NULL || s->row_of == NULL) {
        mem_free(taken);
        return fail_memory("the sample's rows");
    }
    for (size_t i = 0; i < d->count; i++) {
        const int row = s->row_of[i] = row_for(s, ids, d->samples[i].path);
        if (row < 0)
            list_add(&extra, d->samples[i].path);
        else if (taken[row] > 0)
            list_add(&twice, s->id[row]);
        else
            taken[row] = (uint32_t)i + 1;
    }
    for (size_t r = 0; r < s->n; r++)
        if (taken[r] == 0)
            list_add(&missing, s->id[r]);
    mem_free(taken);
    if (missing.n > 0)
        return fail(GRAFT_BAD_FILE, "%s: for %zu of its %zu rows there is no picture: %s", s->file, missing.n, s->n,
                    missing.text);
    if (twice.n > 0)
        return fail(GRAFT_BAD_FILE, "%s: several pictures fit a row: %s", s->file, twice.text);
    if (extra.n > 0)
        log_warning("%s: no row asks for %zu of the pictures: %s", s->file, extra.n, extra.text);
    return GRAFT_OK;
}

graft_status submission_open(const char *file, char *const *classes, int n_classes, const struct dataset *d,
                             struct submission *out)
{
    struct csv c = {0};
    struct name_index ids = {0};
    bool more;
    graft_status status = GRAFT_OK;
    *out = (struct submission){.file = mem_text(file), .classes = classes, .n_classes = n_classes};
    if (out->file == NULL)
        return fail_memory("the sample");
    TRY_GOTO(csv_open(file, &c));
    TRY_GOTO(csv_next(&c, &more));
    if (!more || c.n < 2)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s:1: a header such as img,c0,c1 is expected", file));
    TRY_GOTO(header_take(out, &c));
    TRY_GOTO(columns_match(out));
    TRY_GOTO(rows_read(out, &c, &ids));
    TRY_GOTO(rows_match(out, &ids, d));
    out->p = mem_zero(out->n * (size_t)n_classes, sizeof *out->p);
    out->filled = mem_zero(out->n, sizeof *out->filled);
    if (out->p == NULL || out->filled == NULL)
        status = fail_memory("the submission");
done:
    csv_close(&c);
    name_index_free(&ids);
    if (status != GRAFT_OK)
        submission_fini(out);
    return status;
}

void submission_put(struct submission *s, uint32_t index, const float *p)
{
    const int row = s->row_of[index];
    if (row < 0)
        return;
    memcpy(s->p + (size_t)row * (size_t)s->n_classes, p, (size_t)s->n_classes * sizeof *p);
    s->filled[row] = true;
}

graft_status submission_write(const struct submission *s, const char *path, double clip)
{
    struct listing missing = {0};
    struct text t = {0};
    for (size_t r = 0; r < s->n; r++)
        if (!s->filled[r])
            list_add(&missing, s->id[r]);
    if (missing.n > 0)
        return fail(GRAFT_BAD_FILE,
                    "'%s' was not written: %zu of the %zu pictures that %s asks for could not be read: %s", path,
                    missing.n, s->n, s->file, missing.text);
    for (int i = 0; i < s->n_columns; i++) {
        text_put(&t, i > 0 ? "," : "");
        text_put_field(&t, s->header[i]);
    }
    text_put(&t, "\n");
    for (size_t r = 0; r < s->n; r++) {
        const float *p = s->p + r * (size_t)s->n_classes;
        text_put_field(&t, s->id[r]);
        for (int i = 1; i < s->n_columns && s->class_of != NULL; i++)
            text_put(&t, ",%.7g", fmin(fmax(p[s->class_of[i]], clip), 1 - clip));
        if (s->class_of == NULL) {
            text_put(&t, ",");
            text_put_field(&t, s->classes[best_class(p, s->n_classes)]);
        }
        text_put(&t, "\n");
    }
    return text_write(&t, path);
}
