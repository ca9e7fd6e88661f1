// infer/table.c: reading predictions, distrustfully: they may come from anywhere; and writing them.

#include "infer/table.h"
#include "base/csv.h"
#include "base/memory.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATHS, LABELS, FOLDS, ROWS }; // capacities

void table_free(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        mem_free(t->path[i]);
    for (int c = 0; c < t->n_classes; c++)
        mem_free(t->classes[c]);
    name_index_free(&t->index);
    mem_free(t->path);
    mem_free(t->label);
    mem_free(t->fold);
    mem_free(t->p);
    mem_free(t->classes);
    mem_free(t->file);
    *t = (struct table){0};
}

int table_find(const struct table *t, const char *path) { return name_index_find(&t->index, t->path, path); }

struct columns { int path, label, fold, answer, first, end, all; }; // -1: none; first, end: of the classes

static bool take_name(const char *name, const char *wanted, int place, int *column)
{
    if (*column >= 0 || strcmp(name, wanted) != 0)
        return false;
    *column = place;
    return true;
}

// What stands before the classes or after them; `index`: a column without a name is pandas' row number.
static bool take_column(const struct csv *c, int place, bool index, struct columns *at)
{
    const char *name = c->field[place];
    return (index && name[0] == '\0') || take_name(name, "path", place, &at->path) ||
           take_name(name, "label", place, &at->label) || take_name(name, "fold", place, &at->fold);
}

static void columns_find(const struct csv *c, struct columns *at)
{
    static const char *const paths[] = {"path", NULL};
    const bool index = csv_column(c, paths) > 0;
    *at = (struct columns){-1, -1, -1, -1, 0, c->n, c->n};
    at->end -= take_name(c->field[c->n - 1], "answer", c->n - 1, &at->answer); // of predict --reject
    while (at->end - at->first > 1 && take_column(c, at->first, index, at))
        at->first++;
    while (at->end - at->first > 1 && take_column(c, at->end - 1, false, at))
        at->end--;
    if (at->path < 0)
        at->path = at->first++;
    while (at->end - at->first > 1 && take_column(c, at->first, index, at))
        at->first++;
}

static graft_status header_read(struct csv *c, struct table *t, struct columns *at)
{
    bool more;
    TRY(csv_next(c, &more));
    if (!more || c->n < 2)
        return fail(GRAFT_BAD_FILE, "%s:1: a header of path and the classes' names is expected", c->path);
    columns_find(c, at);
    t->classes = mem_zero((size_t)c->n, sizeof *t->classes);
    if (t->classes == NULL)
        return fail_memory("class names");
    for (int i = at->first; i < at->end; i++) {
        for (int k = 0; k < t->n_classes; k++)
            if (strcmp(t->classes[k], c->field[i]) == 0)
                return fail(GRAFT_BAD_FILE, "%s:1: the class '%s' has two columns", c->path, c->field[i]);
        t->classes[t->n_classes] = mem_text(c->field[i]);
        if (t->classes[t->n_classes] == NULL)
            return fail_memory("class names");
        t->n_classes++;
    }
    return GRAFT_OK;
}

static graft_status label_read(const struct csv *c, const struct table *t, const char *text, int *out)
{
    char *end;
    for (*out = 0; *out < t->n_classes; ++*out)
        if (strcmp(t->classes[*out], text) == 0)
            return GRAFT_OK;
    const long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number >= t->n_classes)
        return fail(GRAFT_BAD_FILE, "%s:%d: the label '%s' is none of its %d classes", c->path, c->line, text,
                    t->n_classes);
    *out = (int)number;
    return GRAFT_OK;
}

// A whole number, which pandas writes as 2.0 where some rows had none.
static graft_status fold_read(const struct csv *c, const char *text, int *out)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(fabs(value) <= INT_MAX) || value != floor(value))
        return fail(GRAFT_BAD_FILE, "%s:%d: the fold '%s' is no whole number", c->path, c->line, text);
    *out = (int)value;
    return GRAFT_OK;
}

static graft_status probabilities_read(const struct csv *c, const struct table *t, const struct columns *at, float *p)
{
    const char *path = c->field[at->path];
    double sum = 0;
    for (int k = 0; k < t->n_classes; k++) {
        char *end;
        const char *text = c->field[at->first + k];
        const double value = strtod(text, &end);
        if (end == text || *end != '\0' || !(value >= 0 && value <= 1.001))
            return fail(GRAFT_BAD_FILE, "%s:%d: '%s' of '%s' is no probability: '%s'", c->path, c->line, t->classes[k],
                        path, text);
        p[k] = (float)value;
        sum += value;
    }
    if (fabs(sum - 1) > 1e-3)
        return fail(GRAFT_BAD_FILE, "%s:%d: the probabilities of '%s' add up to %.6g, not to 1", c->path, c->line, path,
                    sum);
    return GRAFT_OK;
}

static graft_status row_read(struct csv *c, struct table *t, const struct columns *at)
{
    const size_t k = (size_t)t->n_classes;
    if (c->n != at->all)
        return fail(GRAFT_BAD_FILE, "%s:%d: %d fields, the header has %d", c->path, c->line, c->n, at->all);
    const char *path = c->field[at->path];
    if (table_find(t, path) >= 0)
        return fail(GRAFT_BAD_FILE, "%s:%d: '%s' is in it a second time", c->path, c->line, path);
    if (!mem_grow(&t->path, &t->capacity[PATHS], t->n + 1, sizeof *t->path) ||
        !mem_grow(&t->p, &t->capacity[ROWS], (t->n + 1) * k, sizeof *t->p) ||
        (at->label >= 0 && !mem_grow(&t->label, &t->capacity[LABELS], t->n + 1, sizeof *t->label)) ||
        (at->fold >= 0 && !mem_grow(&t->fold, &t->capacity[FOLDS], t->n + 1, sizeof *t->fold)))
        return fail_memory("predictions");
    if (at->label >= 0)
        TRY(label_read(c, t, c->field[at->label], &t->label[t->n]));
    if (at->fold >= 0)
        TRY(fold_read(c, c->field[at->fold], &t->fold[t->n]));
    TRY(probabilities_read(c, t, at, t->p + t->n * k));
    t->path[t->n] = mem_text(path);
    if (t->path[t->n] == NULL || !name_index_put(&t->index, t->path, t->n)) {
        mem_free(t->path[t->n]);
        return fail_memory("predictions");
    }
    t->n++;
    return GRAFT_OK;
}

graft_status table_read(const char *file, struct table *out)
{
    struct csv c;
    struct columns at;
    graft_status status = GRAFT_OK;
    *out = (struct table){.file = mem_text(file)};
    if (out->file == NULL)
        return fail_memory("predictions");
    status = csv_open(file, &c);
    if (status != GRAFT_OK) {
        table_free(out);
        return status;
    }
    TRY_GOTO(header_read(&c, out, &at));
    for (;;) {
        bool more;
        TRY_GOTO(csv_next(&c, &more));
        if (!more)
            break;
        TRY_GOTO(row_read(&c, out, &at));
    }
    if (out->n == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s: there is no prediction in it", file));
done:
    csv_close(&c);
    if (status != GRAFT_OK)
        table_free(out);
    return status;
}

void table_put_head(struct text *t, bool label, bool fold, char *const *classes, int n)
{
    text_put(t, "path%s%s", label ? ",label" : "", fold ? ",fold" : "");
    for (int c = 0; c < n; c++) {
        text_put(t, ",");
        text_put_field(t, classes[c]);
    }
}

// Short where that is the number, else whole: what is sorted by it again comes in the same order.
static void put_number(struct text *t, float x)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.7g", (double)x);
    if (strtof(digits, NULL) != x)
        snprintf(digits, sizeof digits, "%.9g", (double)x);
    text_put(t, ",%s", digits);
}

void table_put_row(struct text *t, const char *path, const char *label, int fold, const float *p, int n)
{
    text_put_field(t, path);
    if (label != NULL) {
        text_put(t, ",");
        text_put_field(t, label);
    }
    if (fold != NO_FOLD)
        text_put(t, ",%d", fold);
    for (int c = 0; c < n; c++)
        put_number(t, p[c]);
}

static int place_of(const char *name, char *const *classes, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(classes[i], name) == 0)
            return i;
    return -1;
}

graft_status classes_compare(char *const *a, int n, char *const *b, int m, const char *what, const char *whose)
{
    char list[512] = "";
    for (int i = 0; i < n + m; i++) {
        const char *name = i < n ? a[i] : b[i - n];
        const bool known = i < n ? place_of(name, b, m) >= 0 : place_of(name, a, n) >= 0;
        if (!known && strlen(list) < 400)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s'%.60s' only in %s",
                     list[0] != '\0' ? ", " : "", name, i < n ? what : whose);
    }
    if (list[0] == '\0')
        return GRAFT_OK;
    return fail(GRAFT_BAD_FILE, "%s has other classes than %s: %s", what, whose, list);
}

graft_status table_order(struct table *t, char *const *classes, int n, const char *whose)
{
    TRY(classes_compare(t->classes, t->n_classes, classes, n, t->file, whose));
    int *to = mem_alloc((size_t)n * sizeof *to);
    float *row = mem_alloc((size_t)n * sizeof *row);
    char **names = mem_alloc((size_t)n * sizeof *names);
    if (to == NULL || row == NULL || names == NULL) {
        mem_free(to);
        mem_free(row);
        mem_free(names);
        return fail_memory("the order of classes");
    }
    for (int c = 0; c < n; c++)
        to[c] = place_of(t->classes[c], classes, n);
    for (size_t i = 0; i < t->n; i++) {
        float *p = t->p + i * (size_t)n;
        for (int c = 0; c < n; c++)
            row[to[c]] = p[c];
        memcpy(p, row, (size_t)n * sizeof *row);
        if (t->label != NULL)
            t->label[i] = to[t->label[i]];
    }
    for (int c = 0; c < n; c++)
        names[to[c]] = t->classes[c];
    memcpy(t->classes, names, (size_t)n * sizeof *names);
    mem_free(to);
    mem_free(row);
    mem_free(names);
    return GRAFT_OK;
}
