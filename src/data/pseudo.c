// data/pseudo.c: see data/pseudo.h.

#include "data/pseudo.h"
#include "base/csv.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/overlap.h"
#include "data/sources.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 5 }; // groups in a message

struct reading {
    struct csv csv;
    struct dataset *d;
    const struct pseudo *p;
    int fold, group, first; // columns; -1: none.  first: of the classes
    int *class_at;          // by class: its column; NULL: the file has no classes
    bool *validated, *named; // by group of the data, before the file's were added; one allocation
    int n_groups;
    size_t begin;           // of our samples
    size_t rows, others;    // of other folds
    int folds;              // as many as the file has
    size_t excluded;
    char names[256];        // of groups left out
    int n_names;
};

static graft_status classes_read(struct reading *r)
{
    const struct csv *c = &r->csv;
    struct dataset *d = r->d;
    if (c->n == r->first)
        return GRAFT_OK;
    r->class_at = mem_alloc((size_t)d->n_classes * sizeof *r->class_at);
    if (r->class_at == NULL)
        return fail_memory("the classes of pseudo-labels");
    for (int k = 0; k < d->n_classes; k++)
        r->class_at[k] = -1;
    for (int i = r->first; i < c->n; i++) {
        const int k = class_index(d, c->field[i]);
        if (k < 0 || r->class_at[k] >= 0)
            return fail(GRAFT_BAD_FILE, "%s:1: '%s' is %s", c->path, c->field[i],
                        k < 0 ? "no class of the data" : "there a second time");
        r->class_at[k] = i;
    }
    for (int k = 0; k < d->n_classes; k++)
        if (r->class_at[k] < 0)
            return fail(GRAFT_BAD_FILE, "%s:1: the class '%s' has no column of probabilities", c->path, d->classes[k]);
    return GRAFT_OK;
}

static graft_status header_read(struct reading *r)
{
    struct csv *c = &r->csv;
    bool more;
    TRY(csv_next(c, &more));
    if (!more || c->n < 2 || strcmp(c->field[0], "path") != 0 || strcmp(c->field[1], "label") != 0)
        return fail(GRAFT_BAD_FILE, "%s:1: a file of `graft pseudo` is expected: " PSEUDO_HEADER "[,fold][,group]"
                    "[,class...]", c->path);
    r->first = 2;
    r->fold = c->n > r->first && strcmp(c->field[r->first], "fold") == 0 ? r->first++ : -1;
    r->group = c->n > r->first && strcmp(c->field[r->first], "group") == 0 ? r->first++ : -1;
    if (r->fold >= 0 && r->p->folds == 0)
        return fail(GRAFT_BAD_FILE,
                    "%s: its labels are by fold, each from the model that never saw that fold's pictures; train with "
                    "--folds of the same number, or label by all models: `graft ensemble RUN -o E`, `graft pseudo E`",
                    c->path);
    if (r->fold < 0 && r->p->folds > 0)
        log_warning("%s: its labels are not by fold: where what made them was trained on pictures that a fold "
                    "validates, its score flatters; `graft pseudo` of a run with the same folds makes them by fold",
                    c->path);
    return classes_read(r);
}

static graft_status soft_read(struct reading *r, struct sample *s)
{
    const struct csv *c = &r->csv;
    const int k = r->d->n_classes;
    double sum = 0;
    float *soft = mem_alloc((size_t)k * sizeof *soft);
    if (soft == NULL)
        return fail_memory("pseudo-labels");
    for (int i = 0; i < k; i++) {
        char *end;
        const char *text = c->field[r->class_at[i]];
        const double value = strtod(text, &end);
        if (end == text || *end != '\0' || !(value >= 0 && value <= 1.001)) {
            mem_free(soft);
            return fail(GRAFT_BAD_FILE, "%s:%d: '%s' of '%s' is no probability: '%s'", c->path, c->line,
                        r->d->classes[i], c->field[0], text);
        }
        soft[i] = (float)value;
        sum += value;
    }
    if (fabs(sum - 1) > 1e-3) {
        mem_free(soft);
        return fail(GRAFT_BAD_FILE, "%s:%d: the probabilities of '%s' add up to %.6g, not to 1", c->path, c->line,
                    c->field[0], sum);
    }
    s->soft = soft;
    return dataset_own(r->d, soft);
}

// A row of this fold, or of a file without folds.  *ours: it counts.
static graft_status fold_read(struct reading *r, bool *ours)
{
    const struct csv *c = &r->csv;
    char *end;
    *ours = true;
    if (r->fold < 0)
        return GRAFT_OK;
    const long fold = strtol(c->field[r->fold], &end, 10);
    if (end == c->field[r->fold] || *end != '\0' || fold < 0 || fold >= r->p->folds)
        return fail(GRAFT_BAD_FILE, "%s:%d: fold '%s', the run has %d folds: 0 to %d", c->path, c->line,
                    c->field[r->fold], r->p->folds, r->p->folds - 1);
    r->folds = fold >= r->folds ? (int)fold + 1 : r->folds;
    *ours = fold == r->p->fold;
    return GRAFT_OK;
}

// *out: the row's group is validated.
static graft_status group_read(struct reading *r, int *group, bool *out)
{
    *out = false;
    *group = 0;
    if (r->group < 0)
        return GRAFT_OK;
    TRY(group_find(r->d, r->csv.field[r->group], group));
    if (*group == 0 || *group > r->n_groups || !r->validated[*group - 1])
        return GRAFT_OK;
    *out = true;
    r->excluded++;
    if (!r->named[*group - 1] && r->n_names < NAMED)
        snprintf(r->names + strlen(r->names), sizeof r->names - strlen(r->names), "%s'%.40s'",
                 r->n_names++ > 0 ? ", " : "", r->d->groups[*group - 1]);
    r->named[*group - 1] = true;
    return GRAFT_OK;
}

static graft_status row_read(struct reading *r)
{
    const struct csv *c = &r->csv;
    const int width = r->class_at != NULL ? r->first + r->d->n_classes : r->first;
    bool ours, validated;
    int group;
    if (c->n < width || c->field[0][0] == '\0')
        return fail(GRAFT_BAD_FILE, "%s:%d: a path and %d further fields are expected", c->path, c->line, width - 1);
    TRY(fold_read(r, &ours));
    r->rows++;
    r->others += !ours;
    if (!ours)
        return GRAFT_OK;
    const int label = class_index(r->d, c->field[1]);
    if (label < 0)
        return fail(GRAFT_BAD_FILE, "%s:%d: the label '%s' of '%s' is no class of the data", c->path, c->line,
                    c->field[1], c->field[0]);
    TRY(group_read(r, &group, &validated));
    if (validated)
        return GRAFT_OK;
    const char *slash = strrchr(c->path, '/');
    const int folder = slash != NULL && c->field[0][0] != '/' ? (int)(slash - c->path + 1) : 0;
    char *path = mem_format("%.*s%s", folder, c->path, c->field[0]);
    const graft_status status = path != NULL ? sample_add(r->d, path, label, PART_PSEUDO, NULL)
                                             : fail_memory("a path");
    mem_free(path);
    TRY(status);
    struct sample *s = &r->d->samples[r->d->count - 1];
    s->group = group;
    return r->class_at != NULL ? soft_read(r, s) : GRAFT_OK;
}

static graft_status groups_mark(struct reading *r)
{
    const struct dataset *d = r->d;
    r->n_groups = d->n_groups;
    r->validated = mem_zero(2 * (size_t)d->n_groups + 1, sizeof *r->validated);
    if (r->validated == NULL)
        return fail_memory("the groups");
    r->named = r->validated + d->n_groups;
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_VAL && d->samples[i].group > 0)
            r->validated[d->samples[i].group - 1] = true;
    return GRAFT_OK;
}

static graft_status rows_read(struct reading *r)
{
    TRY(groups_mark(r));
    TRY(header_read(r));
    for (;;) {
        bool more;
        TRY(csv_next(&r->csv, &more));
        if (!more)
            break;
        TRY(row_read(r));
    }
    if (r->fold >= 0 && r->folds != r->p->folds)
        return fail(GRAFT_BAD_FILE, "%s: labels of %d folds, the run has %d: which pictures a fold validates differs",
                    r->csv.path, r->folds, r->p->folds);
    return GRAFT_OK;
}

// What is validated may not be learnt, under whatever label.
static graft_status overlap_check(const struct reading *r)
{
    const struct dataset *d = r->d;
    struct common *common = NULL;
    struct overlap_names held_out = {0};
    size_t n_ours = 0, n_theirs = 0, n = 0, trained = 0;
    uint32_t *ours = mem_alloc((d->count + 1) * sizeof *ours), *theirs = mem_alloc((d->count + 1) * sizeof *theirs);
    graft_status status = GRAFT_OK;
    if (ours == NULL || theirs == NULL)
        TRY_GOTO(fail_memory("the pictures in common"));
    for (size_t i = 0; i < d->count; i++) {
        if (i >= r->begin)
            ours[n_ours++] = (uint32_t)i;
        else if ((d->samples[i].part == PART_VAL || d->samples[i].part == PART_TRAIN) && d->samples[i].copy == 0 &&
                 d->samples[i].round == 0)
            theirs[n_theirs++] = (uint32_t)i;
    }
    TRY_GOTO(overlap_find((struct listed){d, ours, n_ours}, (struct listed){d, theirs, n_theirs}, &common, &n));
    for (size_t i = 0; i < n; i++) {
        if (d->samples[common[i].b].part == PART_TRAIN && r->p->folds == 0)
            trained++;
        else
            overlap_name(&held_out, &common[i], d, d);
    }
    if (held_out.n > 0)
        status = fail(GRAFT_BAD_FILE, "%s: %zu of its pictures are validated by this run%s: %s; leave them out",
                      r->csv.path, held_out.n, r->p->folds > 0 ? ", each by the fold that holds it out" : "",
                      held_out.text);
    else if (trained > 0)
        log_warning("%s: %zu of its pictures are labelled training pictures of this run too", r->csv.path, trained);
done:
    mem_free(ours);
    mem_free(theirs);
    mem_free(common);
    return status;
}

static graft_status told(const struct reading *r)
{
    const size_t n = r->d->count - r->begin;
    if (r->excluded > 0)
        log_info("%s: %zu pictures are left out because their groups are validated: %s%s", r->csv.path, r->excluded,
                 r->names, r->n_names == NAMED ? ", ..." : "");
    if (n == 0)
        return fail(GRAFT_BAD_FILE, "%s: no picture is left to train on, of %zu rows (%zu of other folds)", r->csv.path,
                    r->rows, r->others);
    log_info("pseudo-labels: %zu pictures with %s labels from %s, %.4g of every batch", n,
             r->class_at != NULL ? "soft" : "hard", r->csv.path, r->p->share);
    return GRAFT_OK;
}

graft_status pseudo_add(struct dataset *d, const struct pseudo *p)
{
    struct reading r = {.d = d, .p = p, .begin = d->count};
    graft_status status = GRAFT_OK;
    if (d->array_float)
        return fail(GRAFT_BAD_OPTION, "--pseudo adds picture files, which do not go together with preprocessed arrays");
    TRY(csv_open(p->file, &r.csv));
    TRY_GOTO(rows_read(&r));
    TRY_GOTO(overlap_check(&r));
    TRY_GOTO(told(&r));
    d->pseudo_share = (uint32_t)lround(p->share * PSEUDO_UNIT);
done:
    csv_close(&r.csv);
    mem_free(r.class_at);
    mem_free(r.validated);
    return status;
}

// ---- an epoch

// How many of the first n places are theirs.
static size_t places(const struct dataset *d, size_t n) { return n * d->pseudo_share / PSEUDO_UNIT; }

size_t pseudo_length(const struct dataset *d, size_t n)
{
    size_t length = n;
    while (length - places(d, length) < n)
        length++;
    return length;
}

graft_status pseudo_mix(const struct dataset *d, uint64_t seed, uint64_t epoch, uint32_t *order, size_t *n)
{
    const size_t length = pseudo_length(d, *n), ours = length - *n;
    size_t all = 0, labelled = *n;
    uint32_t *list = mem_alloc((d->count + 1) * sizeof *list), *shuffled = mem_alloc((d->count + 1) * sizeof *list);
    if (list == NULL || shuffled == NULL) {
        mem_free(list);
        mem_free(shuffled);
        return fail_memory("the order of pictures");
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_PSEUDO)
            list[all++] = (uint32_t)i;
    for (size_t i = length; i-- > 0;) // from the end on, so that none is overwritten before it moved
        order[i] = places(d, i + 1) > places(d, i) ? UINT32_MAX : order[--labelled];
    uint64_t at = (epoch > 0 ? epoch - 1 : 0) * ours, pass = UINT64_MAX; // in all epochs' draws, one pass after another
    for (size_t i = 0; i < length && all > 0; i++) {
        if (order[i] != UINT32_MAX)
            continue;
        if (at / all != pass) {
            pass = at / all;
            memcpy(shuffled, list, all * sizeof *list);
            rng_shuffle(shuffled, (uint32_t)all, RNG_PSEUDO, seed, pass);
        }
        order[i] = shuffled[at++ % all];
    }
    mem_free(list);
    mem_free(shuffled);
    *n = length;
    return GRAFT_OK;
}
