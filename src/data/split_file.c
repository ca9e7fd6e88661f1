// data/split_file.c: a split that is written down: --split FILE, and the parts that a run taken up again keeps.
// In: a run's split.csv.  Lines and samples are matched by their whole paths or, where no path is the same, by the last
// folder and the name.

#include "data/sources.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct line {
    char *path, *label; // one block
    enum part part;
    int number;
};
struct named {
    const char *path, *tail;
    size_t index;
};
struct lines {
    struct line *items;
    size_t n, capacity;
    struct named *lines, *samples; // of `items` and of the data set, sorted
    bool *known;                   // by sample: a line names it; NULL: nobody asks, and another label is an error
    size_t vals, vals_found;       // lines that are validated; those of them that the data still have
};

static const char *tail_of(const char *path) // from the last folder on
{
    const char *slash = strrchr(path, '/');
    while (slash != NULL && slash > path && slash[-1] != '/')
        slash--;
    return slash != NULL ? slash : path;
}

static int by_index(const struct named *a, const struct named *b)
{
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_path(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    const int order = strcmp(a->path, b->path);
    return order != 0 ? order : by_index(a, b);
}

static int by_tail(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    const int order = strcmp(a->tail, b->tail);
    return order != 0 ? order : by_index(a, b);
}

static graft_status lines_read(const char *path, struct lines *l)
{
    static const char *const paths[] = {"path", NULL}, *const labels[] = {"label", NULL},
                             *const splits[] = {"split", NULL};
    struct csv c;
    bool more;
    graft_status status = GRAFT_OK;
    TRY(csv_open(path, &c));
    TRY_GOTO(csv_next(&c, &more));
    const int file = csv_column(&c, paths), label = csv_column(&c, labels), split = csv_column(&c, splits);
    if (!more || file < 0 || label < 0 || split < 0)
        TRY_GOTO(
            fail(GRAFT_BAD_FILE, "%s:1: a run's split.csv is expected, with the columns path, label and split", path));
    for (;;) {
        TRY_GOTO(csv_next(&c, &more));
        if (!more)
            break;
        enum part part;
        if (c.n <= file || c.n <= label || c.n <= split || c.field[split][0] == '\0')
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s:%d: a path, a label and a split are expected", path, c.line));
        if (strcmp(c.field[split], "pseudo") == 0) // no picture of the data
            continue;
        TRY_GOTO(part_of(&c, c.field[split], &part));
        char *text = mem_format("%s%c%s", c.field[file], '\0', c.field[label]);
        if (text == NULL || !mem_grow(&l->items, &l->capacity, l->n + 1, sizeof *l->items)) {
            mem_free(text);
            TRY_GOTO(fail_memory("the split"));
        }
        l->items[l->n++] = (struct line){text, text + strlen(text) + 1, part, c.line};
    }
done:
    csv_close(&c);
    return status;
}

// Joins both sorted lists; the same name several times pairs off in order.  *matched: how many.
static graft_status lines_apply(struct lines *l, const char *path, struct dataset *d, bool tails, size_t *matched)
{
    *matched = 0;
    for (size_t a = 0, b = 0; a < l->n && b < d->count;) {
        const struct named *x = &l->lines[a], *y = &l->samples[b];
        const int order = tails ? strcmp(x->tail, y->tail) : strcmp(x->path, y->path);
        if (order == 0) {
            const struct line *line = &l->items[x->index];
            struct sample *s = &d->samples[y->index];
            const char *label = s->label >= 0 ? d->classes[s->label] : "";
            if (l->known == NULL && strcmp(line->label, label) != 0)
                return fail(GRAFT_BAD_FILE, "%s:%d: '%s' has the label '%s', in the data it is '%s'", path,
                            line->number, line->path, line->label, label);
            s->part = line->part;
            if (l->known != NULL)
                l->known[y->index] = true;
            l->vals_found += line->part == PART_VAL;
            (*matched)++;
        }
        a += order <= 0;
        b += order >= 0;
    }
    return GRAFT_OK;
}

static graft_status lines_match(struct lines *l, const char *path, struct dataset *d, size_t *matched)
{
    *matched = 0;
    l->lines = mem_alloc((l->n + 1) * sizeof *l->lines);
    l->samples = mem_alloc((d->count + 1) * sizeof *l->samples);
    if (l->lines == NULL || l->samples == NULL)
        return fail_memory("the split");
    for (size_t i = 0; i < l->n; i++)
        l->lines[i] = (struct named){l->items[i].path, tail_of(l->items[i].path), i};
    for (size_t i = 0; i < d->count; i++) {
        l->samples[i] = (struct named){d->samples[i].path, tail_of(d->samples[i].path), i};
    }
    for (int tails = 0; tails < 2 && *matched == 0; tails++) {
        qsort(l->lines, l->n, sizeof *l->lines, tails ? by_tail : by_path);
        qsort(l->samples, d->count, sizeof *l->samples, tails ? by_tail : by_path);
        TRY(lines_apply(l, path, d, tails, matched));
    }
    return GRAFT_OK;
}

static graft_status lines_tell(const struct lines *l, const char *path, const struct dataset *d, size_t matched)
{
    if (matched == 0)
        return fail(GRAFT_BAD_FILE, "%s: none of its %zu pictures is among the data's %zu", path, l->n, d->count);
    if (matched < l->n)
        log_warning("%s: %zu of its %zu pictures are not among the data any more", path, l->n - matched, l->n);
    if (matched < d->count)
        log_warning("%zu of %zu pictures are not named in %s and stay unused", d->count - matched, d->count, path);
    return GRAFT_OK;
}

static void lines_free(struct lines *l)
{
    for (size_t i = 0; i < l->n; i++)
        mem_free(l->items[i].path);
    mem_free(l->items);
    mem_free(l->lines);
    mem_free(l->samples);
    mem_free(l->known);
}

static void parts_note(struct dataset *d)
{
    d->has_val = d->has_test = false;
    for (size_t i = 0; i < d->count; i++) {
        d->has_val |= d->samples[i].part == PART_VAL;
        d->has_test |= d->samples[i].part == PART_TEST;
    }
}

graft_status dataset_split_read(struct dataset *d, const char *path)
{
    struct lines l = {0};
    size_t matched = 0;
    graft_status status = lines_read(path, &l);
    for (size_t i = 0; i < d->count && status == GRAFT_OK; i++)
        d->samples[i].part = PART_NONE;
    if (status == GRAFT_OK)
        status = lines_match(&l, path, d, &matched);
    if (status == GRAFT_OK)
        status = lines_tell(&l, path, d, matched);
    lines_free(&l);
    parts_note(d);
    return status;
}

// Pictures that no line names: with their group where the run has it, else where the data have them, else in training.
static graft_status place_new(struct dataset *d, const struct lines *l, long limit, struct split_kept *out)
{
    enum part *of_group = mem_alloc(((size_t)d->n_groups + 1) * sizeof *of_group);
    long trained = 0;
    if (of_group == NULL)
        return fail_memory("the groups");
    for (int g = 0; g <= d->n_groups; g++)
        of_group[g] = PART_NONE;
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        if (l->known[i] && s->group > 0 && part_used(s->part))
            of_group[s->group] = s->part;
        trained += l->known[i] && s->part == PART_TRAIN;
    }
    for (size_t i = 0; i < d->count; i++) {
        struct sample *s = &d->samples[i];
        if (l->known[i])
            continue;
        if (s->group > 0 && of_group[s->group] != PART_NONE)
            s->part = of_group[s->group];
        else if (s->part == PART_VAL && l->vals == 0) // the run validates nothing
            s->part = PART_NONE;
        if (s->part == PART_TRAIN && limit > 0 && trained >= limit)
            s->part = PART_NONE;
        trained += s->part == PART_TRAIN;
        out->n_new[s->part]++;
    }
    mem_free(of_group);
    return GRAFT_OK;
}

graft_status dataset_split_keep(struct dataset *d, const char *path, long limit, struct split_kept *out)
{
    struct lines l = {0};
    *out = (struct split_kept){0};
    graft_status status = lines_read(path, &l);
    if (status == GRAFT_OK && (l.known = mem_zero(d->count + 1, sizeof *l.known)) == NULL)
        status = fail_memory("the split");
    for (size_t i = 0; i < l.n; i++)
        l.vals += l.items[i].part == PART_VAL;
    if (status == GRAFT_OK)
        status = lines_match(&l, path, d, &out->matched);
    if (status == GRAFT_OK && out->matched > 0)
        status = place_new(d, &l, limit, out);
    if (status == GRAFT_OK && out->matched > 0)
        parts_note(d);
    out->val_gone = l.vals - l.vals_found;
    lines_free(&l);
    return status;
}
