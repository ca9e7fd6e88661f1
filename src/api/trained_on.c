// api/trained_on.c: see api/trained_on.h.  Files are compared as files, by what they hold (data/overlap.h); elements of
// arrays by the stamps that the run kept, or by name where it kept none.

#include "api/trained_on.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/overlap.h"
#include "infer/ensemble.h"
#include "infer/svm.h"
#include "train/folds.h"
#include "train/held_out.h"
#include <stdlib.h>
#include <string.h>

static char *folder_of(const char *model)
{
    const size_t folder = (size_t)(path_name(model) - model);
    if (!path_has_suffix(model, ".safetensors") && !path_has_suffix(model, "svm.json"))
        return mem_text(model);
    return folder > 0 ? mem_format("%.*s", (int)(folder > 1 ? folder - 1 : 1), model) : mem_text(".");
}

graft_status runs_behind(const char *model, graft_status (*visit)(void *, const char *), void *user)
{
    struct ensemble e = {0};
    if (ensemble_is(model)) {
        graft_status status = ensemble_read(model, &e);
        for (int m = 0; status == GRAFT_OK && m < e.n_members; m++)
            status = runs_behind(e.members[m].name, visit, user);
        ensemble_free(&e);
        return status;
    }
    char *folder = folder_of(model);
    const graft_status status = folder != NULL ? visit(user, folder) : fail_memory("a path");
    mem_free(folder);
    return status;
}

struct asking {
    const struct dataset *d;
    const uint32_t *order;
    size_t n;
    const char *figure;
};
struct element { // of an array
    uint64_t stamp;
    const char *path;
};

static int by_stamp_and_path(const void *left, const void *right)
{
    const struct element *a = left, *b = right;
    return a->stamp != b->stamp ? (a->stamp < b->stamp ? -1 : 1) : strcmp(a->path, b->path);
}

static int by_stamp(const void *left, const void *right)
{
    const struct element *a = left, *b = right;
    return a->stamp != b->stamp ? (a->stamp < b->stamp ? -1 : 1) : a->stamp != 0 ? 0 : strcmp(a->path, b->path);
}

// Elements of arrays that the run knows, by their bytes, or by name where it has no stamp.
static graft_status elements_count(const struct asking *a, const struct dataset *theirs, const uint64_t *stamps,
                                   const uint32_t *index, size_t n, size_t *found)
{
    struct element *known = mem_alloc((n + 1) * sizeof *known);
    if (known == NULL)
        return fail_memory("the pictures in common");
    for (size_t i = 0; i < n; i++)
        known[i] = (struct element){stamps[index[i]], theirs->samples[index[i]].path};
    qsort(known, n, sizeof *known, by_stamp_and_path);
    for (size_t i = 0; i < a->n; i++) {
        const struct sample *s = &a->d->samples[a->order[i]];
        if (s->data == NULL)
            continue;
        const struct element one = {sample_stamp(a->d, a->order[i]), s->path}, named = {0, s->path};
        *found += bsearch(&one, known, n, sizeof *known, by_stamp) != NULL ||
                  bsearch(&named, known, n, sizeof *known, by_stamp) != NULL;
    }
    mem_free(known);
    return GRAFT_OK;
}

static void fold_run_tell(const struct asking *a, const char *folder, size_t found)
{
    json_t *results = NULL;
    char *path = path_join(folder, "results.json");
    const bool read = path != NULL && file_exists(path) && json_read_file(path, &results) == GRAFT_OK;
    const json_t *score = json_object_get(results, "oof_log_loss");
    if (read && score != NULL)
        log_warning("%zu of the %zu pictures were trained on by the fold run in '%s', each by all its models but one, "
                    "so %s flatters; out of fold its log-loss is %.4f (%s)",
                    found, a->n, folder, a->figure, json_number_value(score), path);
    else
        log_warning("%zu of the %zu pictures were trained on by the fold run in '%s', each by all its models but one, "
                    "so %s flatters; its out-of-fold score will not, once all folds have ended",
                    found, a->n, folder, a->figure);
    json_decref(results);
    mem_free(path);
}

static graft_status run_ask(void *user, const char *folder)
{
    const struct asking *a = user;
    struct dataset theirs = {0};
    struct common *common = NULL;
    uint64_t *stamps = NULL;
    uint32_t *index = NULL;
    size_t n = 0, found = 0;
    const bool folds = folds_folder_is(folder), machine = svm_is(folder);
    graft_status status = held_out_read(folder, &theirs, &stamps);
    if (status == GRAFT_BAD_FILE) { // a list of somebody else's is no reason not to predict
        log_warning("nobody can tell what the run in '%s' was trained on: %s", folder, graft_message());
        return GRAFT_OK;
    }
    TRY(status);
    index = mem_alloc((theirs.count + 1) * sizeof *index);
    if (index == NULL)
        TRY_GOTO(fail_memory("the pictures of the run"));
    for (size_t i = 0; i < theirs.count; i++)
        if (folds || machine || theirs.samples[i].part == PART_TRAIN)
            index[n++] = (uint32_t)i;
    if (n == 0)
        goto done;
    TRY_GOTO(overlap_find((struct listed){a->d, a->order, a->n}, (struct listed){&theirs, index, n}, &common, &found));
    TRY_GOTO(elements_count(a, &theirs, stamps, index, n, &found));
    if (found == 0)
        goto done;
    if (folds)
        fold_run_tell(a, folder, found);
    else
        log_warning("%zu of the %zu pictures were trained on by the %s in '%s', so %s flatters; %s", found, a->n,
                    machine ? "machine" : "run", folder, a->figure,
                    machine ? "its oof_predictions.csv has what it says of pictures that it had not seen"
                            : "its val_predictions.csv has what it says of pictures that it held out");
done:
    dataset_free(&theirs);
    mem_free(common);
    mem_free(stamps);
    mem_free(index);
    return status;
}

graft_status trained_on_tell(const char *model, const struct dataset *d, const uint32_t *order, size_t n,
                             const char *figure)
{
    struct asking a = {d, order, n, figure};
    return runs_behind(model, run_ask, &a);
}
