// train/train.c: the life of a run: its folder, its epochs (epoch.c), the best of them, its end.
// In: a model, a data set with its split, options.  Out: the run folder.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/trained.h"
#include "train/twins.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static graft_status lists_make(struct trainer *t)
{
    const struct dataset *d = t->data;
    const size_t classes = (size_t)t->model->n_classes;
    t->order = mem_alloc((dataset_order_most(d) + 1) * sizeof *t->order);
    t->val = mem_alloc((d->count + 1) * sizeof *t->val);
    t->skipped = mem_zero(d->count + 1, sizeof *t->skipped);
    if (t->order == NULL || t->val == NULL || t->skipped == NULL)
        return fail_memory("the order of pictures");
    TRY(dataset_order(d, 0, 1, t->order, &t->n)); // as many in every epoch
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_VAL)
            t->val[t->n_val++] = (uint32_t)i;
    if (t->n == 0)
        return fail(GRAFT_BAD_FILE, "no picture is left to train on");
    t->targets = mem_alloc((size_t)t->options->batch * classes * sizeof *t->targets);
    t->val_index = mem_alloc((t->n_val + 1) * sizeof *t->val_index);
    t->val_labels = mem_alloc((t->n_val + 1) * sizeof *t->val_labels);
    t->val_probabilities = mem_alloc((t->n_val + 1) * classes * sizeof *t->val_probabilities);
    if (t->targets == NULL || t->val_index == NULL || t->val_labels == NULL || t->val_probabilities == NULL)
        return fail_memory("predictions");
    return GRAFT_OK;
}

static void grown(struct trainer *t, bool ended)
{
    const double tells = now_seconds();
    if (t->options->grown != NULL)
        t->options->grown(t->options->user, t->folder.path, ended);
    t->profile.told += now_seconds() - tells; // of the next epoch
}

static void result_tell(const struct trainer *t, const struct epoch_result *r, bool better)
{
    char json[512];
    int at = snprintf(json, sizeof json,
                      "{\"epoch\":%d,\"epochs\":%d,\"train_loss\":%.9g,\"lr\":%.9g,\"img_s\":%.2f,"
                      "\"seconds\":%.3f,\"best\":%s",
                      r->epoch, t->options->epochs, r->train_loss, r->rate, r->images_per_second, r->seconds,
                      better ? "true" : "false");
    if (r->val.n > 0)
        at += snprintf(json + at, sizeof json - (size_t)at,
                       ",\"val_loss\":%.9g,\"val_log_loss\":%.9g,\"val_top1\":%.9g,"
                       "\"val_top5\":%.9g",
                       r->val_loss, r->val.log_loss, r->val.top1, r->val.top5);
    if (t->options->fold != NULL)
        at += snprintf(json + at, sizeof json - (size_t)at, ",\"fold\":%ld", strtol(t->options->fold, NULL, 10));
    snprintf(json + at, sizeof json - (size_t)at, "}");
    hooks_result(json);
}

static double monitored(const struct trainer *t, const struct epoch_result *r)
{
    const double values[] = {[MONITOR_LOG_LOSS] = r->val.log_loss,
                             [MONITOR_LOSS] = r->val_loss,
                             [MONITOR_TOP1] = r->val.top1,
                             [MONITOR_TOP5] = r->val.top5,
                             [MONITOR_TRAIN_LOSS] = r->train_loss};
    return values[t->options->recipe.monitor];
}

static bool rises(enum monitor m) { return m == MONITOR_TOP1 || m == MONITOR_TOP5; }

// Without validation there is nothing to tell by, and the last epoch is the best.
static bool is_better(const struct trainer *t, double value)
{
    const enum monitor m = t->options->recipe.monitor;
    if (isnan(t->best.value) || (t->n_val == 0 && m != MONITOR_TRAIN_LOSS))
        return true;
    return rises(m) ? value > t->best.value : value < t->best.value;
}

// Validation of the weights, or of their average where one is kept; what came of it is written, and the best is saved.
static graft_status epoch_measure(struct trainer *t, double begin, struct epoch_result *r, bool *better)
{
    TRY(epoch_validate(t, r));
    r->seconds = now_seconds() - begin;
    r->elapsed = t->elapsed + now_seconds() - t->begin;
    if (t->histograms.folder != NULL)
        TRY(histograms_end_epoch(&t->histograms));
    TRY(profile_epoch(&t->profile, &r->times));
    r->data = t->profile.run;
    TRY(run_folder_epoch(&t->folder, r));
    const double value = monitored(t, r);
    *better = is_better(t, value);
    if (!*better)
        return GRAFT_OK;
    t->best = (struct best){value, r->epoch, 0};
    return t->options->save ? best_save(t, r) : GRAFT_OK;
}

// The rest of the epoch at the position: training, validation, the best model, the checkpoint.
static graft_status epoch_run(struct trainer *t)
{
    const struct recipe *recipe = &t->options->recipe;
    struct epoch_result r = {.epoch = t->at.epochs + 1};
    const double begin = now_seconds() - t->at.seconds;
    bool better = false;
    const bool whole = t->at.steps == 0;
    TRY(phase_enter(t, r.epoch));
    graft_status status = epoch_train(t, &r);
    if (status == GRAFT_OK) {
        average_swap(&t->average, &t->model->params);
        status = epoch_measure(t, begin, &r, &better);
        average_swap(&t->average, &t->model->params);
    }
    if (status == GRAFT_CANCELLED)
        return trainer_stop(t, &r);
    TRY(status);
    if (recipe->schedule.kind == SCHEDULE_PLATEAU)
        plateau_epoch(&recipe->schedule, &t->plateau, monitored(t, &r), rises(recipe->monitor));
    t->waited = better ? 0 : t->waited + 1;
    t->stopped = recipe->patience > 0 && t->waited >= recipe->patience && r.epoch < t->options->epochs;
    t->at = (struct position){.epochs = r.epoch, .run_steps = t->at.run_steps};
    if (!t->twins_told && (whole || trainer_done(t))) {
        const struct train_resume *resume = t->options->resume;
        TRY(twins_report(&t->folder, t->data, resume != NULL && resume->checkpoint != NULL));
        t->twins_told = true;
    }
    if (t->options->save && checkpoint_due(t, r.epoch))
        TRY(checkpoint_save(t, &r));
    result_tell(t, &r, better);
    grown(t, false);
    if (t->stopped)
        log_info("stopped early: no better %s in %d epoch%s; the best was epoch %d", monitor_names[recipe->monitor],
                 t->waited, t->waited == 1 ? "" : "s", t->best.epoch);
    return GRAFT_OK;
}

static graft_status run_start(struct trainer *t)
{
    char start[512];
    TRY(run_folder_start(&t->folder, t->data, t->options));
    snprintf(start, sizeof start,
             "{\"event\":\"start\",\"network\":\"%s\",\"train\":%zu,\"val\":%zu,\"classes\":%d,"
             "\"time\":%.3f,\"graft\":\"%s\",\"isa\":\"%s\",\"threads\":%d}",
             t->model->network->name, t->n, t->n_val, t->model->n_classes, now_date(), GRAFT_VERSION, exec_isa(),
             exec_threads());
    return run_folder_event(&t->folder, start);
}

// What the report needs beyond the epochs.
static graft_status leave_report(struct trainer *t)
{
    if (!t->options->save)
        return GRAFT_OK;
    char *path = path_join(t->folder.path, "model.safetensors");
    if (path == NULL)
        return fail_memory("a path");
    media_end(&t->media, path);
    mem_free(path);
    return profile_write(&t->profile, t->folder.path);
}

static graft_status run_end(struct trainer *t)
{
    char end[384];
    const double waited = data_wait_share(&t->profile.run), cores = data_core_share(&t->profile.run);
    TRY(leave_report(t));
    const double seconds = t->elapsed + now_seconds() - t->begin;
    snprintf(end, sizeof end, "{\"event\":\"end\",\"seconds\":%.3f,\"skipped\":%zu,\"rss_mb\":%.1f,\"time\":%.3f,"
             "\"data_wait_share\":%.4f,\"data_core_share\":%.4f}",
             seconds, t->n_skipped, mem_resident_peak() / 1048576.0, now_date(), waited, cores);
    TRY(run_folder_event(&t->folder, end));
    grown(t, true);
    log_info("%.1f %% of the training time was waiting for pictures; reading them took %.0f %% of the cores",
             waited * 100, cores * 100);
    log_info("done in %.0f s, peak memory %.0f MB, %zu picture%s left out; the run is in %s", seconds,
             mem_resident_peak() / 1048576.0, t->n_skipped, t->n_skipped == 1 ? "" : "s", t->folder.path);
    return GRAFT_OK;
}

// The most that a run has on the disk at once: two checkpoints with a third being written, the best model with the
// next.
static void space_check(struct trainer *t)
{
    struct slot slots[MAX_SLOTS];
    const struct params *p = &t->model->params;
    double floats = (double)p->size * (3 + 2);
    for (int i = trainer_slots(t, slots); i-- > 0;)
        floats += 3 * (double)(slots[i].whole ? p->size : p->group_begin[PARAM_TRAINABLE + 1]);
    const double needed = floats * sizeof(float), left = (double)file_space(t->folder.path);
    if (t->options->save && needed > left)
        log_warning("the run may take %.0f MB on the disk and %.0f MB are left", needed / 1e6, left / 1e6);
}

// The folder, new or of a run that goes on.  *finished: there is nothing left to do.
static graft_status folder_take(struct trainer *t, bool *finished)
{
    const struct train_options *o = t->options;
    *finished = false;
    TRY(o->resume != NULL ? run_folder_adopt(&t->folder, o) : run_folder_open(&t->folder, o));
    t->checkpoints.folder = t->folder.path;
    space_check(t);
    if (o->resume == NULL || o->resume->checkpoint == NULL)
        return run_start(t);
    t->checkpoints.last_good = o->resume->last_good;
    TRY(trainer_restore(t));
    *finished = trainer_done(t) && run_folder_ended(&t->folder);
    if (*finished)
        log_info("the run in '%s' is finished after %d epoch%s%s; more --epochs go on", t->folder.path, t->at.epochs,
                 t->at.epochs == 1 ? "" : "s", t->stopped ? " (stopped early)" : "");
    return *finished ? GRAFT_OK : checkpoint_event(t);
}

static graft_status learner_make(struct trainer *t)
{
    const struct recipe *recipe = &t->options->recipe;
    struct model *m = t->model;
    if (t->n_val == 0 && recipe->monitor != MONITOR_TRAIN_LOSS &&
        (recipe->patience > 0 || recipe->schedule.kind == SCHEDULE_PLATEAU))
        return fail(GRAFT_BAD_OPTION,
                    "there are no validation pictures to watch %s on; say --monitor train_loss, or hold some "
                    "out with --val",
                    monitor_names[recipe->monitor]);
    if (recipe->monitor == MONITOR_TOP5 && m->n_classes <= 5)
        return fail(GRAFT_BAD_OPTION, "--monitor val_top5: of %d classes the best five are always right; say val_top1",
                    m->n_classes);
    struct optim_options optim = recipe->optim;
    optim.accumulate = t->accumulate;
    TRY(optimizer_init(&t->optimizer, &optim, &m->params));
    TRY(layer_rates(&t->optimizer, m, recipe->lr_mult, recipe->layer_decay));
    if (recipe->ema > 0 || recipe->swa > 0)
        TRY(average_init(&t->average, &m->params, recipe->ema));
    plateau_begin(&recipe->schedule, &t->plateau);
    return GRAFT_OK;
}

graft_status train_run(struct model *m, const struct dataset *d, const struct train_options *options)
{
    struct trainer t = {.model = m, .data = d, .options = options, .best.value = NAN, .begin = now_seconds(),
                        .checkpoint_at = now_seconds(), .folder.lock = -1};
    graft_status status = GRAFT_OK;
    const bool goes_on = options->resume != NULL && options->resume->checkpoint != NULL;
    int batch = options->batch;
    bool finished;
    t.choices = json_object();
    if (t.choices == NULL)
        TRY_GOTO(fail_memory("the plan's choices"));
    TRY_GOTO(lists_make(&t));
    if ((size_t)batch > t.n) {
        log_warning("a batch of %d is larger than the %zu training pictures; the batch is %zu", batch, t.n, t.n);
        batch = (int)t.n;
    }
    const size_t batches = (t.n + (size_t)batch - 1) / (size_t)batch;
    if ((size_t)options->recipe.optim.accumulate > batches)
        log_warning("--accumulate %d: an epoch has only %zu batches, so there is one update an epoch, of all of them",
                    options->recipe.optim.accumulate, batches);
    TRY_GOTO(plans_prepare(&t, &batch));
    if (!goes_on) // before there is a folder
        TRY_GOTO(plans_make(&t, batch));
    TRY_GOTO(learner_make(&t));
    if (options->save)
        TRY_GOTO(trained_begin(m, options->args, &t.trained));
    TRY_GOTO(folder_take(&t, &finished));
    if (finished)
        goto done;
    if (goes_on) // in the phase that it has come to, by its own choices
        TRY_GOTO(plans_make(&t, batch));
    TRY_GOTO(summary_tell(&t));
    t.media = (struct media){.folder = options->save ? t.folder.path : NULL, .model = m, .data = d, .arena = t.arena,
                             .next = now_seconds() + MEDIA_FIRST};
    if (options->histograms && options->save) {
        t.histograms = (struct histograms){.folder = t.folder.path, .params = &m->params};
        TRY_GOTO(histograms_begin(&t.histograms, t.at.epochs));
    }
    grown(&t, false);
    while (!trainer_done(&t))
        TRY_GOTO(epoch_run(&t));
    TRY_GOTO(run_end(&t));
done:
    held_fini(&t);
    if (status == GRAFT_NO_RESOURCE && t.folder.path != NULL && checkpoint_any(t.folder.path))
        fail(status, "%s.  Once that is put right, go on with `graft train --resume %s`", graft_message(),
             t.folder.path);
    media_fini(&t.media);
    profile_fini(&t.profile);
    histograms_fini(&t.histograms);
    run_folder_close(&t.folder);
    optimizer_fini(&t.optimizer);
    average_fini(&t.average);
    plans_free(&t);
    arena_free(t.arena);
    json_decref(t.trained);
    json_decref(t.choices);
    mem_free(t.order);
    mem_free(t.val);
    mem_free(t.targets);
    mem_free(t.val_index);
    mem_free(t.val_labels);
    mem_free(t.val_probabilities);
    mem_free(t.skipped);
    return status;
}
