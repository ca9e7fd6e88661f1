// train/train.c: epochs of steps, validation after each, the best model kept.
// In: a model, a data set with its split, options.  Out: the run folder.
// All plans (batch, last partial batch, validation) are built before the first step and share one arena.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "infer/calibrate.h"
#include "infer/predict.h"
#include "train/trained.h"
#include "train/twins.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static graft_status lists_make(struct trainer *t)
{
    const struct dataset *d = t->data;
    const size_t classes = (size_t)t->model->n_classes;
    t->order = mem_alloc((d->count + 1) * sizeof *t->order);
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

// What a run takes beyond what it has already: the arena, the optimizer's state, the average of the weights, and the
// batches that the queue holds ready.
static size_t bytes_needed(const struct trainer *t, size_t arena, int batch)
{
    enum { BATCHES_HELD = 4 };
    const struct params *p = &t->model->params;
    const struct value *in = &t->model->graph.values[0];
    const struct recipe *recipe = &t->options->recipe;
    const size_t trainable = (p->group_begin[PARAM_TRAINABLE + 1] - p->group_begin[PARAM_TRAINABLE]) * sizeof(float);
    const size_t average = recipe->ema > 0 || recipe->swa > 0 ? p->size * sizeof(float) : 0;
    return arena + trainable * optimizer_blocks(&recipe->optim) + average +
           (size_t)batch * BATCHES_HELD * in->c * in->h * in->w * sizeof(float);
}

static struct plan_options train_plan(const struct trainer *t, int batch)
{
    return (struct plan_options){.batch = batch, .mode = PLAN_TRAIN, .bn = t->options->bn, .exact = t->options->exact};
}

// Largest batch below `batch` whose plan fits into `available` bytes; 0: none.  Plans are only measured.
static graft_status batch_fitting(struct trainer *t, size_t available, int batch, int *out)
{
    int fits = 0, too_large = batch;
    while (too_large - fits > 1) {
        const int middle = fits + (too_large - fits) / 2;
        const struct plan_options o = train_plan(t, middle);
        struct arena *arena;
        struct plan *plan;
        TRY(arena_new(&arena));
        const graft_status status = plan_build(&t->model->graph, &t->model->params, arena, &o, &plan);
        const bool fine = status == GRAFT_OK && bytes_needed(t, plan_bytes(plan), middle) <= available;
        plan_free(plan);
        arena_free(arena);
        TRY(status);
        *(fine ? &fits : &too_large) = middle;
    }
    *out = fits;
    return GRAFT_OK;
}

// Refuses before the first step what would be killed in it.
static graft_status memory_check(struct trainer *t, int batch)
{
    const size_t available = mem_available(), needed = bytes_needed(t, plan_bytes(t->full), batch);
    int fits;
    if (needed <= available)
        return GRAFT_OK;
    TRY(batch_fitting(t, available, batch, &fits));
    char advice[96] = "no batch fits: use a smaller --imgsz, or freeze more layers";
    if (fits > 0)
        snprintf(advice, sizeof advice, "--batch %d would fit", fits);
    return fail(GRAFT_NO_RESOURCE, "a batch of %d needs %.0f MB more memory and %.0f MB are available; %s", batch,
                (double)needed / 1e6, (double)available / 1e6, advice);
}

static void plans_free(struct trainer *t)
{
    plan_free(t->full);
    plan_free(t->partial);
    plan_free(t->validation);
    t->full = t->partial = t->validation = NULL;
}

// For the present phase's freezing.
static graft_status plans_build(struct trainer *t, int batch)
{
    struct model *m = t->model;
    struct plan_options o = train_plan(t, batch);
    o.time = true;
    o.choices = t->choices;
    TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->full));
    o.batch = (int)(t->n % (size_t)batch);
    if (o.batch > 0)
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->partial));
    o.batch = batch;
    o.mode = PLAN_INFER;
    o.losses = true;
    if (t->n_val > 0)
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->validation));
    return arena_reserve(t->arena);
}

// The last phase trains most, so it is the one that must fit; the arena is as large as that from the start.
static graft_status plans_make(struct trainer *t, int batch)
{
    struct model *m = t->model;
    const struct plan_options o = train_plan(t, batch);
    TRY(arena_new(&t->arena));
    TRY(phases_of(m, t->options->recipe.unfreeze, t->phases, &t->n_phases));
    TRY(phases_prepare(m, t->phases, t->n_phases, t->options->bn));
    if (t->n_phases > 1)
        TRY(graph_freeze(&m->graph, t->phases[t->n_phases - 1].rows, t->options->bn));
    TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->full));
    TRY(memory_check(t, batch));
    plans_free(t);
    if (t->n_phases > 1)
        TRY(graph_freeze(&m->graph, t->phases[0].rows, t->options->bn));
    return plans_build(t, batch);
}

// Before an epoch: what --unfreeze-epoch lets train from now on.
static graft_status phase_enter(struct trainer *t, int epoch)
{
    int phase = 0;
    while (phase + 1 < t->n_phases && t->phases[phase + 1].epoch <= epoch)
        phase++;
    if (phase == t->phase)
        return GRAFT_OK;
    const int batch = plan_batch(t->full);
    TRY(profile_settle(&t->profile));
    t->phase = phase;
    TRY(graph_freeze(&t->model->graph, t->phases[phase].rows, t->options->bn));
    plans_free(t);
    TRY(plans_build(t, batch));
    log_info("epoch %d: %zu of %zu parameters train now", epoch, graph_parameters(&t->model->graph, true),
             graph_parameters(&t->model->graph, false));
    return GRAFT_OK;
}

static graft_status skip(struct trainer *t, uint32_t index, const char *reason)
{
    const char *path = t->data->samples[index].path;
    if (t->options->fail_on_bad)
        return fail(GRAFT_BAD_FILE, "%s (--on-bad skip leaves such pictures out)", reason);
    if (t->skipped[index])
        return GRAFT_OK;
    t->skipped[index] = true;
    t->n_skipped++;
    log_warning("left out: %s", reason);
    return run_folder_skip(&t->folder, path, reason);
}

// The plan of an epoch's last batch.  Pictures that were left out have made it smaller; then it is built anew.
static graft_status partial_make(struct trainer *t, int batch)
{
    if (t->partial != NULL && plan_batch(t->partial) == batch)
        return GRAFT_OK;
    struct plan_options o = train_plan(t, batch);
    o.time = true;
    o.choices = t->choices;
    TRY(profile_settle(&t->profile));
    plan_free(t->partial);
    TRY(plan_build(&t->model->graph, &t->model->params, t->arena, &o, &t->partial));
    return arena_reserve(t->arena);
}

// As many as a whole epoch has; pictures that are left out make an epoch shorter, not the schedule.
static long updates_an_epoch(const struct trainer *t)
{
    const size_t batch = (size_t)plan_batch(t->full), accumulate = (size_t)t->options->recipe.optim.accumulate;
    return (long)(((t->n + batch - 1) / batch + accumulate - 1) / accumulate);
}

// After optimizer_end or optimizer_flush, if the weights changed.
static void update_done(struct trainer *t, uint64_t updates_before)
{
    if (t->optimizer.updates == updates_before)
        return;
    t->at.updates++;
    if (t->average.values != NULL && t->options->recipe.ema > 0)
        average_add(&t->average, &t->model->params);
}

static graft_status step_run(struct trainer *t, const struct augmentation *how, struct batch *b, double *loss)
{
    struct plan *plan = t->full;
    if (b->n != plan_batch(plan)) {
        TRY(partial_make(t, b->n));
        plan = t->partial;
    }
    batch_targets(t->data, t->model->n_classes, t->options->recipe.label_smoothing, b, t->targets);
    batch_mix(how, t->model->input.size, t->model->n_classes, b, t->targets);
    double momentum;
    const struct moment moment = {t->at.updates, updates_an_epoch(t), t->at.epochs, t->optimizer.updates};
    schedule_at(&t->options->recipe.schedule, &t->plateau, &moment, &t->at.rate, &momentum);
    optimizer_begin(&t->optimizer, t->at.rate, momentum, b->n);
    const struct run run = {.input = b->input, .targets = t->targets, .seed = t->options->seed, .step = t->at.run_steps,
                            .ready = optimizer_gradient, .user = &t->optimizer,
                            .seconds = profile_begin(&t->profile, plan)};
    struct run watched = run; // at an epoch's first step
    struct histograms *h = &t->histograms;
    if (h->folder != NULL && t->at.steps == 0) {
        h->epoch = t->at.epochs + 1;
        h->ready = run.ready;
        h->user = run.user;
        watched.ready = histograms_gradient;
        watched.user = h;
    }
    TRY(plan_run(plan, &watched, loss));
    profile_end(&t->profile, plan);
    const uint64_t before = t->optimizer.updates;
    optimizer_end(&t->optimizer);
    update_done(t, before);
    return GRAFT_OK;
}

static graft_status diverged(const struct trainer *t, int epoch, long step)
{
    return fail(GRAFT_FAILED,
                "the loss is not a number at epoch %d, step %ld; %s.  Try a smaller rate, such as --lr %g", epoch, step,
                t->best.epoch > 0 && t->options->save ? "the last good model is kept" : "no model was saved yet",
                t->options->recipe.schedule.rate / 10);
}

static bool finite_parameters(const struct trainer *t)
{
    for (size_t i = 0; i < t->model->params.size; i++)
        if (!isfinite(t->model->params.block[i]))
            return false;
    return true;
}

static graft_status checkpoint_event(struct trainer *t)
{
    char event[128];
    snprintf(event, sizeof event, "{\"event\":\"checkpoint\",\"epochs\":%d,\"steps\":%ld}", t->at.epochs, t->at.steps);
    return run_folder_event(&t->folder, event);
}

// What does not fit the disk, or fails on its way there, is tried once more: the first attempt's scratch file is gone.
static graft_status checkpoint_save(struct trainer *t, const struct epoch_result *r)
{
    struct slot slots[MAX_SLOTS];
    const int n_slots = trainer_slots(t, slots);
    json_t *state = NULL;
    if (!finite_parameters(t))
        return diverged(t, t->at.epochs + (t->at.steps > 0), t->at.steps);
    char *trained = trained_text(t->trained, r);
    graft_status status = trained != NULL ? trainer_state(t, &state) : fail_memory("the model's metadata");
    if (status == GRAFT_OK)
        status = checkpoint_write(&t->checkpoints, t->model, slots, n_slots, state, trained);
    if (status == GRAFT_NO_RESOURCE && state != NULL) {
        log_warning("%s; trying once more", graft_message());
        status = checkpoint_write(&t->checkpoints, t->model, slots, n_slots, state, trained);
    }
    json_decref(state);
    mem_free(trained);
    TRY(status);
    t->checkpoint_at = now_seconds();
    return checkpoint_event(t);
}

// The best epoch's model and figures.
static graft_status best_save(struct trainer *t, const struct epoch_result *r)
{
    char *trained = trained_text(t->trained, r), *path = path_join(t->folder.path, "model.safetensors");
    graft_status status =
        path != NULL && trained != NULL ? model_save(t->model, path, trained) : fail_memory("the model's metadata");
    if (status == GRAFT_OK)
        status = file_hash(path, &t->best.model, NULL, 0);
    mem_free(path);
    mem_free(trained);
    TRY(status);
    TRY(run_folder_best(&t->folder, t->model, t->data, r, t->val_index, t->val_labels, t->val_probabilities));
    media_best(&t->media, t->val_index, t->val_labels, t->val_probabilities, t->n_predicted);
    return GRAFT_OK;
}

static double per_second(size_t n, double seconds) { return seconds > 0 ? (double)n / seconds : 0; }

// Of the whole run: the pictures that are left, each at the rate measured last; until a validation has been timed, a
// validation picture counts as a third of a training one (forward is about a third of a step).
static double seconds_left(const struct trainer *t)
{
    const double epochs = t->options->epochs - t->at.epochs;
    const double train = epochs * (double)t->n - (double)t->at.seen, val = epochs * (double)t->n_val;
    const double val_rate = t->val_rate > 0 ? t->val_rate : 3 * t->train_rate;
    return t->train_rate > 0 ? train / t->train_rate + val / val_rate : -1;
}

static graft_status step_report(struct trainer *t, const struct epoch_result *r, long steps, double loss)
{
    const struct train_options *o = t->options;
    hooks_progress(&(graft_progress){.stage = "train", .epoch = r->epoch, .epochs = o->epochs, .step = t->at.steps,
                                     .steps = steps, .loss = t->at.loss_sum / (double)t->at.trained,
                                     .images_per_second = t->train_rate, .seconds_left = seconds_left(t)});
    if (!o->log_steps)
        return GRAFT_OK;
    char json[256];
    snprintf(json, sizeof json,
             "{\"event\":\"step\",\"epoch\":%d,\"step\":%ld,\"loss\":%.9g,\"lr\":%.9g,\"img_s\":%.2f}", r->epoch,
             t->at.steps, loss, t->at.rate, t->train_rate);
    return run_folder_event(&t->folder, json);
}

// From the position in the epoch to its end.
static graft_status epoch_train(struct trainer *t, int epoch, struct epoch_result *r)
{
    const struct train_options *o = t->options;
    struct queue *queue = NULL;
    graft_status status = GRAFT_OK;
    const int batch = plan_batch(t->full), last = (int)((t->n - t->n_skipped) % (size_t)batch);
    const long steps = (long)((t->n - t->n_skipped + (size_t)batch - 1) / (size_t)batch);
    struct position *at = &t->at;
    size_t n;
    TRY(dataset_order(t->data, o->seed, (uint64_t)epoch, t->order, &n));
    ASSERT(n == t->n);
    const struct augmentation how = {&o->augment, o->seed, (uint64_t)epoch, o->fixed};
    if (last > 0)
        TRY(partial_make(t, last));
    const double begin = now_seconds() - at->seconds;
    const size_t seen_before = at->seen;
    const double seconds_before = at->seconds;
    TRY_GOTO(queue_new(t->data, &t->model->input, &how, t->order + at->seen, t->n - at->seen, batch, o->workers,
                       &queue));
    for (;;) {
        struct batch b;
        bool end;
        double loss;
        const double waits = now_seconds();
        TRY_GOTO(queue_next(queue, &b, &end));
        t->profile.wait += now_seconds() - waits;
        if (end)
            break;
        for (int i = 0; i < b.n_failed; i++)
            TRY_GOTO(skip(t, b.failed[i].index, b.failed[i].message));
        at->seen += (size_t)(b.n + b.n_failed);
        if (b.n == 0)
            continue;
        if (at->run_steps == 0)
            media_batch(&t->media, &b);
        TRY_GOTO(step_run(t, &how, &b, &loss));
        at->run_steps++;
        at->steps++;
        if (!isfinite(loss))
            TRY_GOTO(diverged(t, epoch, at->steps));
        at->loss_sum += loss * b.n;
        at->trained += (size_t)b.n;
        at->seconds = now_seconds() - begin;
        t->train_rate = per_second(at->seen - seen_before, at->seconds - seconds_before);
        TRY_GOTO(step_report(t, r, steps, loss));
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped at epoch %d, step %ld", epoch, at->steps));
        if (o->save && o->checkpoint_seconds > 0 && now_seconds() - t->checkpoint_at >= o->checkpoint_seconds)
            TRY_GOTO(checkpoint_save(t, r));
    }
    if (!at->closed) { // a sum that the epoch's end cuts short, and the epoch's share in an average
        const uint64_t before = t->optimizer.updates;
        optimizer_flush(&t->optimizer);
        update_done(t, before);
        if (o->recipe.swa > 0 && epoch >= o->recipe.swa)
            average_add(&t->average, &t->model->params);
        at->closed = true;
    }
    if (!finite_parameters(t)) // the last step's update has no loss after it to show what it did
        TRY_GOTO(diverged(t, epoch, at->steps));
    if (at->trained == 0)
        TRY_GOTO(
            fail(GRAFT_BAD_FILE, "none of the %zu training pictures can be read; the first reasons are above", t->n));
    r->train_loss = at->loss_sum / (double)at->trained;
    r->rate = at->rate;
done:
    queue_free(queue);
    return status;
}

// -log softmax(logits)[label]
static double cross_entropy(const float *logits, int classes, int label)
{
    double top = logits[0], sum = 0;
    for (int c = 1; c < classes; c++)
        top = fmax(top, logits[c]);
    for (int c = 0; c < classes; c++)
        sum += exp(logits[c] - top);
    return log(sum) + top - logits[label];
}

static graft_status take_prediction(void *user, uint32_t index, const struct prediction *p, const char *error)
{
    struct trainer *t = user;
    const int classes = t->model->n_classes, label = t->data->samples[index].label;
    if (p == NULL)
        return skip(t, index, error);
    for (int k = 0; k < t->model->graph.n_outputs; k++) // the loss that training minimises
        if (t->model->graph.outputs[k].weight > 0)
            t->val_loss_sum += t->model->graph.outputs[k].weight * cross_entropy(p->output[k], classes, label);
    memcpy(t->val_probabilities + t->n_predicted * (size_t)classes, p->probabilities, (size_t)classes * sizeof(float));
    t->val_labels[t->n_predicted] = label;
    t->val_index[t->n_predicted++] = index;
    return GRAFT_OK;
}

static graft_status epoch_validate(struct trainer *t, struct epoch_result *r)
{
    if (t->n_val == 0)
        return GRAFT_OK;
    t->n_predicted = 0;
    t->val_loss_sum = 0;
    const double begin = now_seconds();
    TRY(predict_samples(t->model, t->validation, t->data, t->val, t->n_val, t->options->workers, "val", take_prediction,
                        t));
    t->profile.validation = now_seconds() - begin;
    t->val_rate = per_second(t->n_val, t->profile.validation);
    if (t->n_predicted == 0)
        return fail(GRAFT_BAD_FILE, "none of the %zu validation pictures can be read", t->n_val);
    r->val = metrics_of(t->val_probabilities, t->val_labels, t->n_predicted, t->model->n_classes);
    r->val_loss = t->val_loss_sum / (double)t->n_predicted;
    r->temperature = temperature_fit(t->val_probabilities, t->val_labels, t->n_predicted, t->model->n_classes);
    return GRAFT_OK;
}

// Asked to stop: the state at the last whole step is kept, whether that was in training or in validation.
static graft_status stop(struct trainer *t, const struct epoch_result *r)
{
    if (!t->options->save)
        return fail(GRAFT_CANCELLED, "stopped in epoch %d after %ld steps; nothing is kept (--no-save)", r->epoch,
                    t->at.steps);
    TRY(checkpoint_save(t, r));
    return fail(GRAFT_CANCELLED,
                "stopped in epoch %d after %ld steps; the state is in %s/last.ckpt.safetensors, go on with "
                "`graft train --resume %s`",
                r->epoch, t->at.steps, t->folder.path, t->folder.path);
}

static void summary(const struct trainer *t)
{
    const struct model *m = t->model;
    if (m->graph.n_outputs > 1) {
        char text[256] = "";
        for (int k = 0; k < m->graph.n_outputs - 1; k++)
            snprintf(text + strlen(text), sizeof text - strlen(text), " + %g %s", (double)m->graph.outputs[k].weight,
                     m->network->aux[k].name);
        log_info("loss: %s%s; %s predicts", m->network->head, text,
                 m->graph.outputs[0].predicts ? "the mean of the heads' softmaxes" : "the main head");
    }
    log_info("data: %zu pictures to train on, %zu to validate, %d classes", t->n, t->n_val, m->n_classes);
    log_info("network: %s at %dx%d, %zu of %zu parameters train; %s, %d threads, %s", m->network->name, m->input.size,
             m->input.size, graph_parameters(&m->graph, true), graph_parameters(&m->graph, false), exec_isa(),
             exec_threads(), exec_library());
    if (augment_any(&t->options->augment)) {
        char parts[512];
        augment_text(&t->options->augment, parts, sizeof parts);
        log_info("augmentation: %s%s", parts, t->options->fixed ? ", of the copies, the same in every epoch" : "");
    }
    recipe_tell(&t->options->recipe, plan_batch(t->full), t->options->epochs);
    log_info("memory: %.0f MB planned for activations and gradients, %.0f MB for weights, optimizer and averages",
             plan_bytes(t->full) / 1e6,
             ((double)m->params.size * (t->average.values != NULL ? 2 : 1) +
              (double)m->params.group_begin[1] * (double)optimizer_blocks(&t->options->recipe.optim)) * 4 / 1e6);
}

static void grown(const struct trainer *t, bool ended)
{
    if (t->options->grown != NULL)
        t->options->grown(t->options->user, t->folder.path, ended);
}

static void result_tell(const struct trainer *t, const struct epoch_result *r, bool better)
{
    char json[512];
    int at = snprintf(json, sizeof json, "{\"epoch\":%d,\"epochs\":%d,\"train_loss\":%.9g,\"seconds\":%.3f,\"best\":%s",
                      r->epoch, t->options->epochs, r->train_loss, r->seconds, better ? "true" : "false");
    if (r->val.n > 0)
        at += snprintf(json + at, sizeof json - (size_t)at,
                       ",\"val_loss\":%.9g,\"val_log_loss\":%.9g,\"val_top1\":%.9g,"
                       "\"val_top5\":%.9g",
                       r->val_loss, r->val.log_loss, r->val.top1, r->val.top5);
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
    TRY(phase_enter(t, r.epoch));
    graft_status status = epoch_train(t, r.epoch, &r);
    if (status == GRAFT_OK) {
        average_swap(&t->average, &t->model->params);
        status = epoch_measure(t, begin, &r, &better);
        average_swap(&t->average, &t->model->params);
    }
    if (status == GRAFT_CANCELLED)
        return stop(t, &r);
    TRY(status);
    if (!t->twins_told)
        TRY(twins_report(&t->folder, t->data));
    t->twins_told = true;
    if (recipe->schedule.kind == SCHEDULE_PLATEAU)
        plateau_epoch(&recipe->schedule, &t->plateau, monitored(t, &r), rises(recipe->monitor));
    t->waited = better ? 0 : t->waited + 1;
    t->stopped = recipe->patience > 0 && t->waited >= recipe->patience && r.epoch < t->options->epochs;
    t->at = (struct position){.epochs = r.epoch, .run_steps = t->at.run_steps};
    if (t->options->save)
        TRY(checkpoint_save(t, &r));
    result_tell(t, &r, better);
    grown(t, false);
    if (t->stopped)
        log_info("stopped early: no better %s in %d epochs; the best was epoch %d", monitor_names[recipe->monitor],
                 t->waited, t->best.epoch);
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
    char end[256];
    TRY(leave_report(t));
    const double seconds = t->elapsed + now_seconds() - t->begin;
    snprintf(end, sizeof end, "{\"event\":\"end\",\"seconds\":%.3f,\"skipped\":%zu,\"rss_mb\":%.1f,\"time\":%.3f}",
             seconds, t->n_skipped, mem_resident_peak() / 1048576.0, now_date());
    TRY(run_folder_event(&t->folder, end));
    grown(t, true);
    log_info("done in %.0f s, peak memory %.0f MB, %zu pictures left out; the run is in %s", seconds,
             mem_resident_peak() / 1048576.0, t->n_skipped, t->folder.path);
    return GRAFT_OK;
}

// The most that a run has on the disk at once: two checkpoints with a third being written, the best model with the next.
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
    json_t *made = json_incref(t->choices);
    const graft_status restored = trainer_restore(t);
    const bool others = !json_equal(made, t->choices);
    json_decref(made);
    TRY(restored);
    *finished = trainer_done(t) && run_folder_ended(&t->folder);
    if (others && !*finished) { // by the run's own choices
        const int batch = plan_batch(t->full);
        plans_free(t);
        TRY(plans_build(t, batch));
    }
    if (*finished)
        log_info("the run in '%s' is finished after %d epochs%s; more --epochs go on", t->folder.path, t->at.epochs,
                 t->stopped ? " (stopped early)" : "");
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
    TRY(optimizer_init(&t->optimizer, &recipe->optim, &m->params));
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
    TRY_GOTO(plans_make(&t, batch));
    TRY_GOTO(learner_make(&t));
    if (options->save)
        TRY_GOTO(trained_begin(m, options->args, &t.trained));
    TRY_GOTO(folder_take(&t, &finished));
    if (finished)
        goto done;
    summary(&t);
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
