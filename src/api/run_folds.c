// api/run_folds.c: `graft train --folds K`: one run after the other, each in a folder of its own below the fold run's.
// Whatever of it is stopped goes on with --resume of the fold run's folder: folds that have ended stay as they are, the
// one that was under way is resumed, the others are begun.

#include "api/follow.h"
#include "api/run.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint.h"
#include "train/folds.h"
#include "train/run_folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool folds_wanted(const graft_options *o)
{
    return strcmp(option_text(o, "folds"), "0") != 0 && option_text(o, "fold") == NULL;
}

graft_status folds_check(const graft_options *o, int *folds, int *fold)
{
    long k, one = -1;
    TRY(option_long(o, "folds", 0, FOLDS_MOST, &k));
    if (k == 1)
        return fail(GRAFT_BAD_OPTION, "--folds 1: one fold would leave nothing to train on; 2 to %d are expected",
                    FOLDS_MOST);
    if (k == 0 && (option_text(o, "fold") != NULL || option_text(o, "folds-run") != NULL))
        return fail(GRAFT_BAD_OPTION, "--fold and --folds-run go with --folds K");
    if (k > 0 && (option_text(o, "val") != NULL || option_text(o, "split") != NULL))
        return fail(GRAFT_BAD_OPTION, "--folds says which pictures are held out, so --%s has no place",
                    option_text(o, "val") != NULL ? "val" : "split");
    if (option_text(o, "fold") != NULL)
        TRY(option_long(o, "fold", 0, k - 1, &one));
    *folds = (int)k;
    *fold = (int)one;
    return GRAFT_OK;
}

// "0,2" into which[folds]; without the option all.
static graft_status which_folds(const graft_options *o, int folds, bool which[FOLDS_MOST])
{
    const char *text = option_text(o, "folds-run");
    for (int f = 0; f < folds; f++)
        which[f] = text == NULL;
    for (const char *at = text; at != NULL && *at != '\0';) {
        char *end;
        const long f = strtol(at, &end, 10);
        if (end == at || (*end != ',' && *end != '\0') || f < 0 || f >= folds)
            return fail(GRAFT_BAD_OPTION, "--folds-run %s: numbers from 0 to %d with commas between are expected", text,
                        folds - 1);
        which[f] = true;
        at = end + (*end == ',');
    }
    return GRAFT_OK;
}

// The options of one fold's run: those of the whole, but for what is not of a fold.
static graft_status fold_options(const graft_options *o, const char *folder, int f, bool anew, graft_options **out)
{
    const char *const not_ours[] = {"output", "folds-run", "resume", anew ? "force" : NULL, NULL};
    char number[16];
    graft_options *one = NULL;
    char *path = mem_format("%s/fold-%d", folder, f);
    graft_status status = path != NULL ? options_copy(o, not_ours, &one) : fail_memory("the options of a fold");
    snprintf(number, sizeof number, "%d", f);
    if (status == GRAFT_OK)
        status = graft_options_set(one, "fold", number);
    if (status == GRAFT_OK && anew)
        status = graft_options_set(one, "output", path);
    mem_free(path);
    if (status == GRAFT_OK)
        *out = one;
    else
        graft_options_free(one);
    return status;
}

// One way to go on: the whole, in place of what the fold's own run says.
static graft_status fold_failed(graft_status status, const char *folder, int f, const char *path)
{
    char *said = mem_text(graft_message()), *own = mem_format("--resume %s`", path);
    char *at = said != NULL && own != NULL ? strstr(said, own) : NULL;
    if (at != NULL)
        fail(status, "fold %d: %.*s--resume %s`%s", f, (int)(at - said), said, folder, at + strlen(own));
    else
        fail_prefix(status, "fold %d (the folds go on with `graft train --resume %s`)", f, folder);
    mem_free(said);
    mem_free(own);
    return status;
}

static graft_status fold_train(const graft_options *o, const char *folder, int f, int folds)
{
    graft_options *one = NULL;
    char *path = mem_format("%s/fold-%d", folder, f), *args = mem_format("%s/fold-%d/args.json", folder, f);
    graft_status status = GRAFT_OK;
    if (path == NULL || args == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (fold_ended(folder, f, option_text(o, "epochs"))) {
        log_info("fold %d of %d has ended", f, folds);
        run_folder_sweep(path);
        follower_catch_up(path);
        goto done;
    }
    log_info("fold %d of %d, in %s", f, folds, path);
    const bool anew = !file_exists(args);
    TRY_GOTO(fold_options(o, folder, f, anew, &one));
    TRY_GOTO(anew ? train_once(one) : train_again(one, path));
done:
    if (status != GRAFT_OK && path != NULL)
        fold_failed(status, folder, f, path);
    graft_options_free(one);
    mem_free(path);
    mem_free(args);
    return status;
}

static void summary_tell(const char *folder, int missing)
{
    json_t *r = NULL;
    char *path = path_join(folder, "results.json");
    if (path == NULL || json_read_file(path, &r) != GRAFT_OK) {
        mem_free(path);
        return;
    }
    json_object_set_new(r, "run", json_string(folder));
    const size_t done = json_array_size(json_object_get(r, "done"));
    const double loss = json_number_value(json_object_get(r, "val_log_loss")),
                 top1 = json_number_value(json_object_get(r, "val_top1"));
    if (done > 1)
        log_info("%zu folds: log-loss %.4f +- %.4f, top-1 %.4f +- %.4f", done, loss,
                 json_number_value(json_object_get(r, "val_log_loss_std")), top1,
                 json_number_value(json_object_get(r, "val_top1_std")));
    else
        log_info("1 fold: log-loss %.4f, top-1 %.4f", loss, top1);
    if (missing == 0)
        log_info("out of fold, over all %lld pictures: log-loss %.4f, top-1 %.4f; %s/%s has the predictions",
                 (long long)json_integer_value(json_object_get(r, "n")),
                 json_number_value(json_object_get(r, "oof_log_loss")),
                 json_number_value(json_object_get(r, "oof_top1")), folder, FOLDS_PREDICTIONS);
    else
        log_info("%d fold%s missing; `graft train --resume %s` adds %s", missing, missing == 1 ? " is" : "s are",
                 folder, missing == 1 ? "it" : "them");
    result_take(r);
    mem_free(path);
}

// What is wrong with pseudo-labels is told before any fold has begun.
static graft_status pseudo_check(const graft_options *o, long num_classes, long limit, int folds)
{
    struct dataset d = {0};
    int *fold = NULL;
    graft_status status = GRAFT_OK;
    if (option_text(o, "pseudo") == NULL)
        return GRAFT_OK;
    TRY_GOTO(data_open(o, (int)num_classes, NULL, &d));
    TRY_GOTO(folds_of_data(&d, folds, limit, &fold));
    TRY_GOTO(pseudo_option(o, folds, 0, &d));
done:
    dataset_free(&d);
    mem_free(fold);
    return status;
}

// The data once, for the list of folds; a run reads them for itself.
struct listed {
    struct dataset data;
    int *fold; // by sample
    char *args;
};

static void listed_free(struct listed *l)
{
    dataset_free(&l->data);
    mem_free(l->fold);
    mem_free(l->args);
    *l = (struct listed){0};
}

static graft_status listed_make(const graft_options *o, int folds, struct listed *l)
{
    long num_classes, limit;
    TRY(option_long(o, "num-classes", 0, 100000, &num_classes));
    TRY(option_long(o, "train-limit", 0, 1L << 40, &limit));
    TRY(pseudo_check(o, num_classes, limit, folds));
    TRY(data_open(o, (int)num_classes, NULL, &l->data));
    TRY(folds_of_data(&l->data, folds, limit, &l->fold));
    return (l->args = options_json(o)) != NULL ? GRAFT_OK : fail_memory("the options");
}

static graft_status folds_train(const graft_options *o, const char *folder)
{
    bool which[FOLDS_MOST];
    int folds, none, missing = 0, lock = -1;
    struct listed list = {0};
    graft_status status = GRAFT_OK;
    TRY(folds_check(o, &folds, &none));
    TRY(which_folds(o, folds, which));
    if (option_text(o, "data") == NULL)
        return fail(GRAFT_BAD_OPTION, "which pictures? say -d DATA");
    TRY_GOTO(listed_make(o, folds, &list)); // what is refused leaves no folder behind
    TRY_GOTO(file_lock(folder, &lock));
    file_sweep(folder);
    TRY_GOTO(folds_describe(folder, &list.data, list.fold, list.args, option_set(o, "force")));
    listed_free(&list);
    for (int f = 0; f < folds; f++) {
        if (!which[f])
            continue;
        TRY_GOTO(fold_train(o, folder, f, folds));
        TRY_GOTO(folds_collect(folder, folds, &missing));
    }
    summary_tell(folder, missing);
done:
    listed_free(&list);
    file_unlock(lock);
    return status;
}

graft_status folds_anew(const graft_options *o)
{
    const char *named = option_text(o, "output");
    const bool ours = named == NULL || !file_exists(named);
    char *folder = NULL, *list = NULL;
    graft_status status = GRAFT_OK;
    if (option_set(o, "no-save"))
        return fail(GRAFT_BAD_OPTION, "--folds keeps its models, so --no-save has no place");
    TRY(output_folder(o, &folder));
    if ((list = path_join(folder, FOLDS_FILE)) == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (file_exists(list) || checkpoint_any(folder))
        TRY_GOTO(run_folder_taken(folder));
    TRY_GOTO(run_folder_check(folder, NULL));
    TRY_GOTO(folds_train(o, folder));
done:
    if (status != GRAFT_OK && ours)
        rmdir(folder); // an empty one: it was refused before anything was begun
    mem_free(folder);
    mem_free(list);
    return status;
}

graft_status folds_again(const graft_options *given, const char *folder)
{
    json_t *args = NULL;
    graft_options *merged = NULL;
    char changes[1024], *path = path_join(folder, "args.json");
    graft_status status = GRAFT_OK;
    if (path == NULL)
        return fail_memory("a path");
    TRY_GOTO(json_read_file(path, &args));
    json_object_del(args, "folds-run"); // of that call
    TRY_GOTO(options_merge(given, args, train_free_options, changes, sizeof changes, &merged));
    TRY_GOTO(options_go_with(given, merged, args));
    if (changes[0] != '\0' && !option_set(given, "force"))
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "the folds in '%s' were made with something else: %s.  Add --force to go on all the same", folder,
                      changes));
    TRY_GOTO(tell_directory(folds_train(merged, folder), args));
done:
    graft_options_free(merged);
    json_decref(args);
    mem_free(path);
    return status;
}
