// api/entrants.c: see api/entrants.h.

#include "api/entrants.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/ensemble.h"
#include "infer/svm.h"
#include "train/folds.h"
#include "train/held_out.h"
#include <stdio.h>
#include <string.h>

void entrant_fini(struct entrant *m)
{
    names_release(m->files, m->n_files);
    table_free(&m->oof);
    mem_free(m->row);
    mem_free(m->folder);
}

static graft_status file_add(struct entrant *e, char *take_path)
{
    char **longer = take_path != NULL ? mem_resize(e->files, (size_t)e->n_files + 1, sizeof *longer) : NULL;
    if (longer == NULL) {
        mem_free(take_path);
        return fail_memory("the members");
    }
    e->files = longer;
    e->files[e->n_files++] = take_path;
    return GRAFT_OK;
}

static graft_status predictions_read(struct entrant *e, char *take_path, bool needed)
{
    graft_status status = take_path != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK && (needed || file_exists(take_path)))
        status = table_read(take_path, &e->oof);
    mem_free(take_path);
    return status;
}

static graft_status fold_run_add(struct entrant *e)
{
    for (int f = 0;; f++) {
        char *path = mem_format("%s/fold-%d/model.safetensors", e->input, f);
        if (path != NULL && !file_exists(path)) {
            mem_free(path);
            break;
        }
        TRY(file_add(e, path));
    }
    char *path = path_join(e->input, FOLDS_PREDICTIONS);
    if (path != NULL && !file_exists(path)) {
        mem_free(path);
        return fail(GRAFT_BAD_FILE, "the folds in '%s' are not complete; `graft train --resume %s` goes on", e->input,
                    e->input);
    }
    if ((e->folder = mem_text(e->input)) == NULL) {
        mem_free(path);
        return fail_memory("a path");
    }
    return predictions_read(e, path, true);
}

// Of a support vector machine what it said of pictures that it had not seen.  The model file in its folder is the
// network below it, whose own head is none of its business.
static graft_status machine_add(struct entrant *e)
{
    const char *name = path_name(e->input);
    char *path = strcmp(name, "svm.json") == 0
                     ? mem_format("%.*s" FOLDS_PREDICTIONS, (int)(name - e->input), e->input)
                     : path_join(e->input, FOLDS_PREDICTIONS);
    return predictions_read(e, path, true);
}

// The folder of a run: its model and what it said of the pictures that it held out.
static graft_status run_add(struct entrant *e, const char *folder)
{
    if ((e->folder = mem_text(folder)) == NULL)
        return fail_memory("a path");
    TRY(file_add(e, path_join(folder, "model.safetensors")));
    return predictions_read(e, path_join(folder, "val_predictions.csv"), false);
}

graft_status entrant_open(struct entrant *e)
{
    char *list = path_join(e->input, FOLDS_FILE), *model = path_join(e->input, "model.safetensors"),
         *folder = mem_text(e->input);
    graft_status status = GRAFT_OK;
    if (list == NULL || model == NULL || folder == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (ensemble_is(e->input))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is an ensemble itself; name its members", e->input));
    if (svm_is(e->input))
        status = machine_add(e);
    else if (file_exists(list))
        status = fold_run_add(e);
    else if (file_exists(model))
        status = run_add(e, e->input);
    else if (path_has_suffix(e->input, ".csv"))
        status = table_read(e->input, &e->oof);
    else if (strcmp(path_name(e->input), "model.safetensors") == 0 && path_name(e->input) != e->input) {
        folder[path_name(e->input) - e->input - 1] = '\0';
        status = run_add(e, folder);
    } else
        status = file_add(e, mem_text(e->input));
done:
    mem_free(list);
    mem_free(model);
    mem_free(folder);
    return status;
}

// ---- the same pictures under the same names

struct known { // what a run says that its pictures were
    struct dataset pictures;
    uint64_t *stamps;
    char **names;
    struct name_index index;
};

static void known_free(struct known *k)
{
    dataset_free(&k->pictures);
    name_index_free(&k->index);
    mem_free(k->stamps);
    mem_free(k->names);
}

static graft_status known_read(const char *folder, struct known *k)
{
    TRY(held_out_read(folder, &k->pictures, &k->stamps));
    if ((k->names = mem_alloc((k->pictures.count + 1) * sizeof *k->names)) == NULL)
        return fail_memory("the pictures");
    for (size_t i = 0; i < k->pictures.count; i++) {
        k->names[i] = k->pictures.samples[i].path;
        if (name_index_find(&k->index, k->names, k->names[i]) < 0 && !name_index_put(&k->index, k->names, i))
            return fail_memory("the pictures");
    }
    return GRAFT_OK;
}

enum { NAMED = 5 }; // pictures in a message

static void picture_name(char *list, size_t size, size_t n, const char *path)
{
    const size_t used = strlen(list);
    if (n < NAMED)
        snprintf(list + used, size - used, "%s%.100s", n > 0 ? ", " : "", path);
    else if (n == NAMED)
        snprintf(list + used, size - used, ", ...");
}

static graft_status stamps_compare(const struct entrant *a, const struct known *x, const struct entrant *b,
                                   const struct known *y)
{
    char list[800] = "";
    size_t n = 0;
    for (size_t i = 0; i < x->pictures.count; i++) {
        const int at = name_index_find(&y->index, y->names, x->names[i]);
        if (at >= 0 && x->stamps[i] != 0 && y->stamps[at] != 0 && x->stamps[i] != y->stamps[at])
            picture_name(list, sizeof list, n++, x->names[i]);
    }
    if (n == 0)
        return GRAFT_OK;
    return fail(GRAFT_BAD_FILE,
                "'%s' and '%s' are of different data: %zu pictures have the same names and another content or date: "
                "%s.  Train one of them again; or, if they are the same pictures, name the CSVs of their predictions "
                "instead of the folders",
                a->input, b->input, n, list);
}

// The pictures that are in other folds of the one than of the other.
static size_t folds_differ(const struct table *a, const struct table *b, char *list, size_t size)
{
    size_t n = 0;
    list[0] = '\0';
    for (size_t i = 0; i < a->n; i++) {
        const int at = table_find(b, a->path[i]);
        if (at >= 0 && a->fold[i] != b->fold[at])
            picture_name(list, size, n++, a->path[i]);
    }
    return n;
}

// A CSV's folds beside a fold run's: a picture that the CSV's model was trained on would be scored.
static graft_status folds_compare(const struct entrant *run, const struct entrant *csv)
{
    char list[800];
    const size_t n = folds_differ(&run->oof, &csv->oof, list, sizeof list);
    if (n == 0)
        return GRAFT_OK;
    return fail(GRAFT_BAD_FILE,
                "%zu pictures are in other folds in %s than in '%s': %s.  The folds of all members must be the same, "
                "or the CSV be without a column fold",
                n, csv->oof.file, run->input, list);
}

// Fold runs know what their models never saw, whatever the others' folds are; but groups that only one of them keeps
// together make the other's score, and the weight that is fitted by it, too good.
static void runs_compare(const struct entrant *a, const struct entrant *b)
{
    char list[800];
    const size_t n = folds_differ(&a->oof, &b->oof, list, sizeof list);
    if (n > 0)
        log_warning("%zu pictures are in other folds in '%s' than in '%s': %s; if one of them keeps groups together "
                    "and the other does not, what the other scores flatters",
                    n, b->input, a->input, list);
}

graft_status entrants_compare(const struct entrant *members, int count)
{
    struct known *known = mem_zero((size_t)count, sizeof *known);
    graft_status status = known != NULL ? GRAFT_OK : fail_memory("the pictures");
    for (int i = 0; i < count && status == GRAFT_OK; i++) {
        const struct entrant *e = &members[i];
        if (e->folder != NULL)
            status = known_read(e->folder, &known[i]);
        for (int k = 0; k < i && status == GRAFT_OK && e->folder != NULL; k++)
            if (members[k].folder != NULL)
                status = stamps_compare(&members[k], &known[k], e, &known[i]);
        for (int k = 0; k < i && status == GRAFT_OK && e->folder != NULL && e->oof.fold != NULL; k++)
            if (members[k].folder != NULL && members[k].oof.fold != NULL)
                runs_compare(&members[k], e);
        for (int k = 0; k < count && status == GRAFT_OK && e->n_files == 0 && e->oof.fold != NULL; k++)
            if (members[k].folder != NULL && members[k].oof.fold != NULL)
                status = folds_compare(&members[k], e);
    }
    for (int i = 0; known != NULL && i < count; i++)
        known_free(&known[i]);
    mem_free(known);
    return status;
}
