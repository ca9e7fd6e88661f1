// api/run_runs.c: `graft runs`, `graft runs rm`, `graft watch`.

#include "api/run.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/crops.h"
#include "report/runs.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static graft_status run_tell(const struct run_data *d)
{
    static const char *const states[] = {
        [RUN_FINISHED] = "finished", [RUN_RUNNING] = "running", [RUN_STOPPED] = "stopped"};
    const char *network = json_string_value(json_object_get(d->start, "network"));
    json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:f, s:f}", "state", states[run_state_of(d)], "network",
                          network != NULL ? network : "", "epochs", d->n_epochs, "of",
                          (int)strtol(run_option(d, "epochs"), NULL, 10), "seconds", run_seconds(d), "begun", d->begun);
    if (o == NULL)
        return fail_memory("the result");
    if (d->folds > 0) {
        json_object_set_new(o, "folds", json_integer(d->folds));
        json_object_set_new(o, "folds_done", json_integer(d->folds_done));
    }
    if (json_object_set_new(o, "run", json_string(d->folder)) != 0)
        json_object_set_new(o, "run", json_string("(a name that is not UTF-8)"));
    if (d->best >= 0 && d->epochs[d->best].validated) {
        json_object_set_new(o, "best_epoch", json_integer(d->epochs[d->best].epoch));
        json_object_set_new(o, "val_log_loss", json_real(d->epochs[d->best].log_loss));
        json_object_set_new(o, "val_top1", json_real(d->epochs[d->best].top1));
    }
    result_take(o);
    return GRAFT_OK;
}

static graft_status remove_runs(const graft_options *o)
{
    if (o->n_inputs < 2)
        return fail(GRAFT_BAD_OPTION, "which run? graft runs rm RUN...");
    for (size_t i = 1; i < o->n_inputs; i++) {
        const char *folder = o->inputs[i];
        if (!run_folder_is(folder) && !run_folds_is(folder))
            return fail(GRAFT_BAD_FILE, "'%s' is not a run", folder);
        char *question = mem_format("Remove the run '%s' and its model (%.1f MB) for good?", folder,
                                    (double)run_bytes(folder) / 1e6);
        if (question == NULL)
            return fail_memory("a question");
        const bool agreed = option_set(o, "yes") || hooks_confirm(question);
        mem_free(question);
        if (!agreed) {
            log_info("'%s' stays", folder);
            continue;
        }
        TRY(run_remove(folder));
        log_info("'%s' is removed", folder);
    }
    return GRAFT_OK;
}

graft_status run_runs(const graft_options *o)
{
    static const char *const orders[] = {[BY_DATE] = "date",         [BY_NAME] = "name", [BY_TOP1] = "top1",
                                         [BY_LOG_LOSS] = "log-loss", [BY_TIME] = "time", NULL};
    int order;
    struct run_list list;
    if (o->n_inputs > 0 && strcmp(o->inputs[0], "rm") == 0)
        return remove_runs(o);
    TRY(option_choice(o, "sort", orders, &order));
    if (o->n_inputs > 1)
        return fail(GRAFT_BAD_OPTION, "one folder of runs at a time: graft runs [DIR]");
    const char *folder = o->n_inputs > 0 ? o->inputs[0] : "runs";
    if (!file_exists(folder))
        return fail(GRAFT_BAD_FILE,
                    "there is no folder '%s'; `graft train` makes runs, or name their folder: graft runs DIR", folder);
    TRY(run_list_read(folder, &list));
    run_list_sort(&list, (enum run_order)order);
    graft_status status = GRAFT_OK;
    for (size_t i = 0; status == GRAFT_OK && i < list.n; i++)
        status = run_tell(&list.items[i]);
    if (status == GRAFT_OK && list.n == 0)
        log_info("no run in '%s'", folder);
    run_list_free(&list);
    return status;
}

struct watch {
    const char *folder;
    int epochs_told;
    uint64_t size; // of events.jsonl when it was read
    bool ended;
};

static graft_status epoch_tell(struct watch *w, const struct run_data *d, int i)
{
    const struct epoch_row *e = &d->epochs[i];
    bool better = true;
    for (int k = 0; k < i; k++)
        better &= !(d->epochs[k].log_loss <= e->log_loss);
    json_t *o = json_pack("{s:i, s:i, s:f, s:f, s:f, s:f, s:b}", "epoch", e->epoch, "epochs",
                          (int)strtol(run_option(d, "epochs"), NULL, 10), "train_loss",
                          isfinite(e->train_loss) ? e->train_loss : 0, "lr", isfinite(e->rate) ? e->rate : 0, "img_s",
                          isfinite(e->images_per_second) ? e->images_per_second : 0, "seconds",
                          isfinite(e->seconds) ? e->seconds : 0, "best", better || !e->validated);
    if (o != NULL && e->validated) {
        json_object_set_new(o, "val_loss", json_real(e->val_loss));
        json_object_set_new(o, "val_log_loss", json_real(e->log_loss));
        json_object_set_new(o, "val_top1", json_real(e->top1));
        json_object_set_new(o, "val_top5", json_real(e->top5));
    }
    const char *fold = run_option(d, "fold");
    if (o != NULL && fold[0] != '\0')
        json_object_set_new(o, "fold", json_integer(strtol(fold, NULL, 10)));
    w->epochs_told = e->epoch;
    result_take(o);
    return GRAFT_OK;
}

// What is new in events.jsonl; a run that went back to a checkpoint tells its epochs again from there.
static graft_status events_tell(struct watch *w)
{
    struct run_data d;
    uint64_t size = 0;
    char *path = path_join(w->folder, "events.jsonl");
    const bool same = path != NULL && file_exists(path) && file_size(path, &size) == GRAFT_OK && size == w->size;
    mem_free(path);
    if (same)
        return GRAFT_OK;
    w->size = size;
    graft_status status = run_events_read(w->folder, &d);
    if (status != GRAFT_OK)
        return status;
    w->ended = d.end != NULL;
    if (d.n_epochs > 0 && d.epochs[d.n_epochs - 1].epoch < w->epochs_told)
        w->epochs_told = d.epochs[d.n_epochs - 1].epoch;
    for (int i = 0; status == GRAFT_OK && i < d.n_epochs; i++)
        if (d.epochs[i].epoch > w->epochs_told)
            status = epoch_tell(w, &d, i);
    run_data_free(&d);
    return status;
}

// Where the run is within its epoch, as it wrote it down within the last second.
static void progress_tell(const struct watch *w)
{
    char *path = path_join(w->folder, "progress.json");
    json_t *o = NULL;
    if (path != NULL && file_exists(path) && json_read_file(path, &o) == GRAFT_OK) {
        const char *stage = json_string_value(json_object_get(o, "stage"));
        hooks_progress(
            &(graft_progress){.stage = stage != NULL ? stage : "train",
                              .epoch = (int)json_integer_value(json_object_get(o, "epoch")),
                              .epochs = (int)json_integer_value(json_object_get(o, "epochs")),
                              .step = json_integer_value(json_object_get(o, "step")),
                              .steps = json_integer_value(json_object_get(o, "steps")),
                              .loss = json_number_value(json_object_get(o, "loss")),
                              .images_per_second = json_number_value(json_object_get(o, "images_per_second")),
                              .seconds_left = json_number_value(json_object_get(o, "seconds_left")),
                              .accuracy = json_number_value(json_object_get(o, "accuracy")),
                              .wait = json_number_value(json_object_get(o, "wait")),
                              .memory = json_number_value(json_object_get(o, "memory"))});
    }
    json_decref(o);
    mem_free(path);
}

// Of `train --crop cam`: until the boxes are there, the run on whole pictures goes on, or has ended.
static graft_status whole_tell(struct watch *whole, const char *boxes, bool *goes_on)
{
    const bool before = !file_exists(boxes), ended = whole->ended;
    char *events = path_join(whole->folder, "events.jsonl");
    graft_status status = events != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK && file_exists(events) && (before || (whole->size > 0 && !ended)))
        status = events_tell(whole);
    *goes_on = before && whole->size > 0 && !whole->ended;
    if (!ended && whole->ended)
        log_info("the run on whole pictures is finished; boxes, and a run on them, come next");
    mem_free(events);
    return status;
}

static graft_status watch(struct watch *w, struct watch *whole, const char *boxes)
{
    enum { PATIENCE = 4 }; // looks without a process before the run counts as dead: it may just have ended
    int lonely = 0;
    for (;;) {
        bool first;
        const bool alone = file_holder(w->folder) == 0;
        TRY(whole_tell(whole, boxes, &first));
        TRY(events_tell(w));
        if (w->ended) {
            log_info("the run in '%s' is finished", w->folder);
            return GRAFT_OK;
        }
        lonely = alone ? lonely + 1 : 0;
        if (lonely == PATIENCE)
            return fail(GRAFT_FAILED, "the run in '%s' is not running: it was stopped or died in epoch %d%s", w->folder,
                        (first ? whole : w)->epochs_told + 1, first ? " on whole pictures" : "");
        if (!alone)
            progress_tell(first ? whole : w);
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "no longer watching '%s'; the run itself goes on", w->folder);
        nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    }
}

graft_status run_watch(const graft_options *o)
{
    struct watch w = {0}, whole = {0};
    if (o->n_inputs != 1)
        return fail(GRAFT_BAD_OPTION, "which run? graft watch RUN");
    w.folder = o->inputs[0];
    char *folder = path_join(w.folder, WHOLE_FOLDER), *boxes = path_join(w.folder, CAM_BOXES);
    whole.folder = folder;
    const graft_status status = folder != NULL && boxes != NULL ? watch(&w, &whole, boxes) : fail_memory("a path");
    mem_free(folder);
    mem_free(boxes);
    return status;
}
