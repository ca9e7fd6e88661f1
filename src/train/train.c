// train/train.c: epochs of SGD steps, validation after each, the best model kept.
// In: a model, a data set with its split, options.  Out: the run folder.
// All plans (batch, last partial batch, validation) are built before the first step and share one arena.

#include "train/train.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "infer/predict.h"
#include "optim/optim.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"
#include "train/twins.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct trainer {
    struct model *model;
    const struct dataset *data;
    const struct train_options *options;
    struct run_folder folder;
    struct sgd sgd;
    struct arena *arena;
    struct plan *full, *partial, *validation;
    uint32_t *order, *val;
    size_t n, n_val;
    float *targets;               // (batch, classes)
    uint32_t *val_index;          // predictions in order of arrival
    float *val_probabilities;
    int *val_labels;
    size_t n_predicted;
    double val_loss_sum;
    bool *skipped;                // by sample: named once
    size_t n_skipped;
    struct position at;
    double begin;
};

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

// What a run takes beyond what it has already: the arena, momentum, and the batches that the queue holds ready.
static size_t bytes_needed(const struct trainer *t, size_t arena, int batch)
{
    enum { BATCHES_HELD = 4 };
    const struct params *p = &t->model->params;
    const struct value *in = &t->model->graph.values[0];
    const size_t momentum = (p->group_begin[PARAM_TRAINABLE + 1] - p->group_begin[PARAM_TRAINABLE]) * sizeof(float);
    return arena + momentum + (size_t)batch * BATCHES_HELD * in->c * in->h * in->w * sizeof(float);
}

// Largest batch below `batch` whose plan fits into `available` bytes; 0: none.  Plans are only measured.
static graft_status batch_fitting(struct trainer *t, size_t available, int batch, int *out)
{
    int fits = 0, too_large = batch;
    while (too_large - fits > 1) {
        const int middle = fits + (too_large - fits) / 2;
        const struct plan_options o = {.batch = middle, .mode = PLAN_TRAIN, .bn = t->options->bn};
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

static graft_status plans_make(struct trainer *t, int batch)
{
    struct model *m = t->model;
    struct plan_options o = {.batch = batch, .mode = PLAN_TRAIN, .bn = t->options->bn};
    TRY(arena_new(&t->arena));
    TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->full));
    TRY(memory_check(t, batch));
    o.batch = (int)(t->n % (size_t)batch);
    if (o.batch > 0)
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->partial));
    o.batch = batch;
    o.mode = PLAN_INFER;
    if (t->n_val > 0)
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->validation));
    return arena_reserve(t->arena);
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

// A batch from which bad pictures fell out has a size of its own; its plan is made for it and released.
static graft_status step_run(struct trainer *t, const struct augmentation *how, struct batch *b, uint64_t step, double *loss)
{
    struct model *m = t->model;
    struct plan *plan = b->n == plan_batch(t->full) ? t->full : NULL;
    if (plan == NULL && t->partial != NULL && b->n == plan_batch(t->partial))
        plan = t->partial;
    struct plan *own = NULL;
    if (plan == NULL) {
        const struct plan_options o = {.batch = b->n, .mode = PLAN_TRAIN, .bn = t->options->bn};
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &own));
        plan = own;
        const graft_status reserved = arena_reserve(t->arena);
        if (reserved != GRAFT_OK) {
            plan_free(own);
            return reserved;
        }
    }
    batch_targets(t->data, m->n_classes, 0, b, t->targets);
    batch_mix(how, m->input.size, m->n_classes, b, t->targets);
    struct sgd_target target = {&t->sgd, &m->params};
    const struct run run = {.input = b->input, .targets = t->targets, .seed = t->options->seed, .step = step,
                            .ready = sgd_apply, .user = &target};
    const graft_status status = plan_run(plan, &run, loss);
    sgd_step_done(&t->sgd);
    plan_free(own);
    return status;
}

static graft_status diverged(const struct trainer *t, int epoch, long step)
{
    return fail(GRAFT_FAILED, "the loss is not a number at epoch %d, step %ld; %s.  Try a smaller rate, such as --lr %g", epoch,
                step, epoch > 1 && t->options->save ? "the last good model is kept" : "no model was saved yet",
                t->options->rate / 10);
}

static graft_status epoch_train(struct trainer *t, int epoch, struct epoch_result *r)
{
    const struct train_options *o = t->options;
    struct queue *queue;
    graft_status status = GRAFT_OK;
    const double begin = now_seconds();
    double sum = 0;
    size_t seen = 0, trained = 0;
    long in_epoch = 0;
    const long steps = (long)((t->n + (size_t)plan_batch(t->full) - 1) / (size_t)plan_batch(t->full));
    size_t n;
    TRY(dataset_order(t->data, o->seed, (uint64_t)epoch, t->order, &n));
    ASSERT(n == t->n);
    const struct augmentation how = {&o->augment, o->seed, (uint64_t)epoch, o->fixed};
    TRY(queue_new(t->data, &t->model->input, augment_any(&o->augment) ? &how : NULL, t->order, n, plan_batch(t->full), o->workers, &queue));
    for (;;) {
        struct batch b;
        bool end;
        double loss;
        TRY_GOTO(queue_next(queue, &b, &end));
        if (end)
            break;
        for (int i = 0; i < b.n_failed; i++)
            TRY_GOTO(skip(t, b.failed[i].index, b.failed[i].message));
        seen += (size_t)(b.n + b.n_failed);
        in_epoch++;
        if (b.n == 0)
            continue;
        r->rate = sgd_rate(&t->sgd);
        TRY_GOTO(step_run(t, &how, &b, t->at.run_steps, &loss));
        t->at.run_steps++;
        if (!isfinite(loss))
            TRY_GOTO(diverged(t, epoch, in_epoch));
        t->at.steps = in_epoch;
        sum += loss * b.n;
        trained += (size_t)b.n;
        const double spent = now_seconds() - begin, rate = (double)seen / spent;
        const double all = (double)(t->n + t->n_val / 3) * o->epochs; // a validation picture costs about a third
        hooks_progress(&(graft_progress){.stage = "train", .epoch = epoch, .epochs = o->epochs, .step = in_epoch,
                                         .steps = steps, .loss = sum / (double)trained, .images_per_second = rate,
                                         .seconds_left = (all - (double)(epoch - 1) * (all / o->epochs) - (double)seen) / rate});
        if (o->log_steps) {
            char json[256];
            snprintf(json, sizeof json,
                     "{\"event\":\"step\",\"epoch\":%d,\"step\":%ld,\"loss\":%.9g,\"lr\":%.9g,\"img_s\":%.2f}", epoch, in_epoch,
                     loss, r->rate, rate);
            TRY_GOTO(run_folder_event(&t->folder, json));
        }
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped at epoch %d, step %ld", epoch, in_epoch));
    }
    // The last step's update has no loss after it to show what it did.
    for (size_t i = 0; i < t->model->params.size; i++)
        if (!isfinite(t->model->params.block[i]))
            TRY_GOTO(diverged(t, epoch, in_epoch));
    if (trained == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "none of the %zu training pictures can be read; the first reasons are above", t->n));
    r->train_loss = sum / (double)trained;
done:
    queue_free(queue);
    return status;
}

static graft_status take_prediction(void *user, uint32_t index, const float *logits, const float *probabilities,
                                    const char *error)
{
    struct trainer *t = user;
    const int classes = t->model->n_classes, label = t->data->samples[index].label;
    if (probabilities == NULL)
        return skip(t, index, error);
    double top = logits[0], sum = 0;
    for (int c = 1; c < classes; c++)
        top = fmax(top, logits[c]);
    for (int c = 0; c < classes; c++)
        sum += exp(logits[c] - top);
    t->val_loss_sum += log(sum) + top - logits[label];
    memcpy(t->val_probabilities + t->n_predicted * (size_t)classes, probabilities, (size_t)classes * sizeof *probabilities);
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
    TRY(predict_samples(t->model, t->validation, t->data, t->val, t->n_val, t->options->workers, "val", take_prediction, t));
    if (t->n_predicted == 0)
        return fail(GRAFT_BAD_FILE, "none of the %zu validation pictures can be read", t->n_val);
    r->val = metrics_of(t->val_probabilities, t->val_labels, t->n_predicted, t->model->n_classes);
    r->val_loss = t->val_loss_sum / (double)t->n_predicted;
    return GRAFT_OK;
}

// The best epoch's model, or the checkpoint.
static graft_status save(struct trainer *t, bool checkpoint, const struct epoch_result *r)
{
    char trained[512], event[128];
    snprintf(trained, sizeof trained, "{\"epoch\":%d,\"train_loss\":%.6g,\"val_log_loss\":%.6g,\"val_top1\":%.6g}", r->epoch,
             r->train_loss, r->val.log_loss, r->val.top1);
    char *path = path_join(t->folder.path, checkpoint ? "last.ckpt.safetensors" : "model.safetensors");
    graft_status status = path == NULL ? fail_memory("a path")
                          : checkpoint ? checkpoint_write(path, t->model, &t->sgd, &t->at, trained)
                                       : model_save(t->model, path, trained);
    mem_free(path);
    if (status != GRAFT_OK || !checkpoint)
        return status;
    snprintf(event, sizeof event, "{\"event\":\"checkpoint\",\"epochs\":%d,\"steps\":%ld}", t->at.epochs, t->at.steps);
    return run_folder_event(&t->folder, event);
}

// Asked to stop: the state at the last whole step is kept, whether that was in training or in validation.
static graft_status stop(struct trainer *t, const struct epoch_result *r)
{
    if (!t->options->save)
        return GRAFT_CANCELLED;
    TRY(save(t, true, r));
    return fail(GRAFT_CANCELLED, "stopped in epoch %d after %ld steps; the state is in %s/last.ckpt.safetensors", r->epoch,
                t->at.steps, t->folder.path);
}

static void summary(const struct trainer *t)
{
    char augment[512];
    augment_text(&t->options->augment, augment, sizeof augment);
    const struct model *m = t->model;
    log_info("data: %zu pictures to train on, %zu to validate, %d classes", t->n, t->n_val, m->n_classes);
    log_info("network: %s at %dx%d, %zu of %zu parameters train; %s, %d threads, %s", m->network->name, m->input.size,
             m->input.size, graph_parameters(&m->graph, true), graph_parameters(&m->graph, false), exec_isa(), exec_threads(),
             exec_library());
    log_info("augmentation: %s", augment);
    log_info("recipe: guide, SGD lr %g, momentum %g (Nesterov), decay %g, batch %d, %d epochs; memory: %.0f MB planned for "
             "activations and gradients, %.0f MB for weights and momentum", t->options->rate, t->options->momentum,
             t->options->decay, plan_batch(t->full), t->options->epochs, plan_bytes(t->full) / 1e6,
             ((double)m->params.size + (double)m->params.group_begin[1]) * 4 / 1e6);
}

static graft_status epochs_run(struct trainer *t)
{
    double best = INFINITY;
    for (int epoch = 1; epoch <= t->options->epochs; epoch++) {
        struct epoch_result r = {.epoch = epoch};
        const double begin = now_seconds();
        graft_status status = epoch_train(t, epoch, &r);
        if (status == GRAFT_OK)
            status = epoch_validate(t, &r);
        if (status == GRAFT_CANCELLED)
            return stop(t, &r);
        TRY(status);
        if (epoch == 1)
            TRY(twins_report(&t->folder, t->data));
        t->at.epochs = epoch;
        t->at.steps = 0;
        r.seconds = now_seconds() - begin;
        r.elapsed = now_seconds() - t->begin;
        TRY(run_folder_epoch(&t->folder, &r));
        const bool better = t->n_val == 0 || r.val.log_loss < best;
        if (better) {
            best = r.val.log_loss;
            if (t->options->save) {
                TRY(save(t, false, &r));
                TRY(run_folder_best(&t->folder, t->model, t->data, &r, t->val_index, t->val_labels, t->val_probabilities));
            }
        }
        if (t->options->save)
            TRY(save(t, true, &r));
        char json[512];
        int at = snprintf(json, sizeof json, "{\"epoch\":%d,\"epochs\":%d,\"train_loss\":%.9g,\"seconds\":%.3f,\"best\":%s", epoch,
                          t->options->epochs, r.train_loss, r.seconds, better ? "true" : "false");
        if (r.val.n > 0)
            at += snprintf(json + at, sizeof json - (size_t)at, ",\"val_loss\":%.9g,\"val_log_loss\":%.9g,\"val_top1\":%.9g,"
                           "\"val_top5\":%.9g", r.val_loss, r.val.log_loss, r.val.top1, r.val.top5);
        snprintf(json + at, sizeof json - (size_t)at, "}");
        hooks_result(json);
    }
    return GRAFT_OK;
}

graft_status train_run(struct model *m, const struct dataset *d, const struct train_options *options)
{
    struct trainer t = {.model = m, .data = d, .options = options, .at.seed = options->seed, .begin = now_seconds()};
    graft_status status = GRAFT_OK;
    int batch = options->batch;
    TRY_GOTO(lists_make(&t));
    if ((size_t)batch > t.n) {
        log_warning("a batch of %d is larger than the %zu training pictures; the batch is %zu", batch, t.n, t.n);
        batch = (int)t.n;
    }
    TRY_GOTO(plans_make(&t, batch));
    t.sgd = (struct sgd){.rate = options->rate, .momentum = options->momentum, .decay = options->decay, .nesterov = true};
    TRY_GOTO(sgd_init(&t.sgd, &m->params));
    TRY_GOTO(run_folder_start(&t.folder, m, d, options));
    summary(&t);
    char start[256];
    snprintf(start, sizeof start, "{\"event\":\"start\",\"network\":\"%s\",\"train\":%zu,\"val\":%zu,\"classes\":%d}",
             m->network->name, t.n, t.n_val, m->n_classes);
    TRY_GOTO(run_folder_event(&t.folder, start));
    TRY_GOTO(epochs_run(&t));
    char end[256];
    snprintf(end, sizeof end, "{\"event\":\"end\",\"seconds\":%.3f,\"skipped\":%zu,\"rss_mb\":%.1f}", now_seconds() - t.begin,
             t.n_skipped, mem_resident_peak() / 1048576.0);
    TRY_GOTO(run_folder_event(&t.folder, end));
    log_info("done in %.0f s, peak memory %.0f MB, %zu pictures left out; the run is in %s", now_seconds() - t.begin,
             mem_resident_peak() / 1048576.0, t.n_skipped, t.folder.path);
done:
    sgd_fini(&t.sgd);
    plan_free(t.full);
    plan_free(t.partial);
    plan_free(t.validation);
    arena_free(t.arena);
    mem_free(t.order);
    mem_free(t.val);
    mem_free(t.targets);
    mem_free(t.val_index);
    mem_free(t.val_labels);
    mem_free(t.val_probabilities);
    mem_free(t.skipped);
    return status;
}
