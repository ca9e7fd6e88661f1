// train/epoch.c: the steps of an epoch and the validation after it.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/calibrate.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

graft_status trainer_skip(struct trainer *t, uint32_t index, const char *reason)
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

// As many as a whole epoch has; pictures that are left out make an epoch shorter, not the schedule.
static long updates_an_epoch(const struct trainer *t)
{
    const size_t batch = (size_t)plan_batch(t->full), accumulate = (size_t)t->accumulate;
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

static graft_status step_run(struct trainer *t, const struct augmentation *how, struct batch *b, double *loss,
                             int *hits)
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
    const struct run run = {.input = b->input,
                            .targets = t->targets,
                            .seed = t->options->seed,
                            .step = t->at.run_steps,
                            .ready = optimizer_gradient,
                            .user = &t->optimizer,
                            .seconds = profile_begin(&t->profile, plan),
                            .prefix_seconds =
                                t->prefix != NULL && b->input != NULL ? profile_begin(&t->profile, t->prefix) : NULL};
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
    if (run.prefix_seconds != NULL)
        profile_end(&t->profile, t->prefix);
    *hits = plan_hits(plan);
    const uint64_t before = t->optimizer.updates;
    optimizer_end(&t->optimizer);
    update_done(t, before);
    return GRAFT_OK;
}

static double per_second(size_t n, double seconds) { return seconds > 0 ? (double)n / seconds : 0; }

// Of the whole run: the pictures that are left, those of this phase at the rate measured last, those of later phases,
// which train more and may have no kept features, as estimated.  Until a validation has been timed, a validation
// picture counts as a third of a training one (forward is about a third of a step).
static double seconds_left(const struct trainer *t)
{
    const double epochs = phase_epochs(t), later = later_epochs(t);
    const double train = epochs * (double)t->n - (double)t->at.seen, val = epochs * (double)t->n_val;
    const double val_rate = t->val_rate > 0 ? t->val_rate : 3 * t->train_rate;
    if (t->train_rate <= 0 || (later > 0 && t->later <= 0))
        return -1;
    return train / t->train_rate + val / val_rate +
           later * t->later * ((double)t->n + VALIDATION_SHARE * (double)t->n_val);
}

static graft_status step_report(struct trainer *t, const struct epoch_result *r, long steps, double loss, double wait)
{
    const struct train_options *o = t->options;
    const double now = now_seconds(), trained = (double)t->at.trained;
    graft_status status = GRAFT_OK;
    if (now >= t->resident_at + 1) {
        t->resident = (double)mem_resident();
        t->resident_at = now;
    }
    hooks_progress(&(graft_progress){.stage = "train", .epoch = r->epoch, .epochs = o->epochs, .step = t->at.steps,
                                     .steps = steps, .loss = t->at.loss_sum / trained,
                                     .images_per_second = t->train_rate, .seconds_left = seconds_left(t),
                                     .accuracy = (double)t->at.hits / trained, .memory = t->resident,
                                     .wait = wait});
    if (o->log_steps) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"event\":\"step\",\"epoch\":%d,\"step\":%ld,\"loss\":%.9g,\"lr\":%.9g,\"img_s\":%.2f}", r->epoch,
                 t->at.steps, loss, t->at.rate, t->train_rate);
        status = run_folder_event(&t->folder, json);
    }
    t->profile.told += now_seconds() - now;
    return status;
}

// A picture may be the reason, so the step's are named.
static void batch_tell(const struct trainer *t, const struct batch *b)
{
    enum { NAMED = 4 };
    char names[1024] = "";
    for (int i = 0; i < b->n && i < NAMED; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%.200s", i > 0 ? ", " : "",
                 t->data->samples[b->index[i]].path);
    log_warning("the step's %d pictures: %s%s", b->n, names, b->n > NAMED ? ", ..." : "");
}

// From a position in an epoch to its end.
struct pass {
    struct augmentation how;
    bool kept;             // features are
    long steps;            // of the whole epoch
    double begin;          // when it would have begun, had it not been stopped
    size_t seen_before;    // of the epoch, by an earlier process
    double seconds_before;
};

// The batch's step, told and perhaps kept; what of it cannot be read is left out.
static graft_status batch_learn(struct trainer *t, const struct pass *p, struct batch *b, struct epoch_result *r)
{
    const struct train_options *o = t->options;
    struct position *at = &t->at;
    double loss;
    int hits;
    for (int i = 0; b->failed != NULL && i < b->n_failed; i++) // known already where features are kept
        TRY(trainer_skip(t, b->failed[i].index, b->failed[i].message));
    at->seen += (size_t)(b->n + b->n_failed);
    if (b->n == 0)
        return GRAFT_OK;
    const double tells = now_seconds();
    if (at->run_steps == 0 && !p->kept)
        media_batch(&t->media, b);
    t->profile.told += now_seconds() - tells;
    TRY(step_run(t, &p->how, b, &loss, &hits));
    at->run_steps++;
    at->steps++;
    if (!isfinite(loss)) {
        batch_tell(t, b);
        return diverged(t, "the loss", r->epoch, at->steps);
    }
    at->loss_sum += loss * b->n;
    at->trained += (size_t)b->n;
    at->hits += (size_t)hits;
    at->seconds = now_seconds() - p->begin;
    t->train_rate = per_second(at->seen - p->seen_before, at->seconds - p->seconds_before);
    const double spent = at->seconds - p->seconds_before;
    TRY(step_report(t, r, p->steps, loss, spent > 0 ? t->profile.waiting / spent : 0));
    if (hooks_cancelled())
        return fail(GRAFT_CANCELLED, "stopped at epoch %d, step %ld", r->epoch, at->steps);
    if (o->save && o->checkpoint_seconds > 0 && now_seconds() - t->checkpoint_at >= o->checkpoint_seconds)
        return checkpoint_save(t, r);
    return GRAFT_OK;
}

// A sum that the epoch's end cuts short, and the epoch's share in an average.
static void epoch_close(struct trainer *t, int epoch)
{
    const int swa = t->options->recipe.swa;
    const uint64_t before = t->optimizer.updates;
    if (t->at.closed)
        return;
    optimizer_flush(&t->optimizer);
    update_done(t, before);
    if (swa > 0 && epoch >= swa)
        average_add(&t->average, &t->model->params);
    t->at.closed = true;
}

graft_status epoch_train(struct trainer *t, struct epoch_result *r)
{
    const struct train_options *o = t->options;
    struct queue *queue = NULL;
    graft_status status = GRAFT_OK;
    const size_t batch = (size_t)plan_batch(t->full);
    struct position *at = &t->at;
    size_t n, there = 0; // of the epoch's pictures, which may repeat; left out was perhaps one of the validation's
    TRY(dataset_order(t->data, o->seed, (uint64_t)r->epoch, t->order, &n));
    ASSERT(n == t->n);
    for (size_t i = 0; i < n; i++)
        there += !t->skipped[t->order[i]];
    const int last = (int)(there % batch);
    struct pass pass = {.how = {&o->augment, o->seed, (uint64_t)r->epoch, o->fixed || feature_cache_may(t)},
                        .steps = (long)((there + batch - 1) / batch)};
    if (last > 0)
        TRY(partial_make(t, last));
    const double makes = now_seconds();
    TRY(feature_cache_ready(t, &pass.how));
    const double made = now_seconds();
    pass.kept = t->features.store != NULL;
    pass.begin = made - at->seconds;
    pass.seen_before = at->seen;
    pass.seconds_before = at->seconds;
    t->profile.waiting = 0;
    if (!pass.kept)
        TRY_GOTO(queue_new(t->data, &t->model->input, &pass.how, t->order + at->seen, t->n - at->seen, (int)batch,
                           o->workers, &queue));
    for (;;) {
        struct batch b;
        bool end;
        const double waits = now_seconds();
        TRY_GOTO(pass.kept ? feature_cache_batch(t, &pass.how, &b, &end) : queue_next(queue, &b, &end));
        t->profile.waiting += now_seconds() - waits;
        if (end)
            break;
        TRY_GOTO(batch_learn(t, &pass, &b, r));
    }
    epoch_close(t, r->epoch);
    // The last step's update has no loss after it to show what it did.
    if (!floats_finite(t->model->params.block, t->model->params.size))
        TRY_GOTO(diverged(t, "the loss", r->epoch, at->steps));
    if (at->trained == 0)
        TRY_GOTO(
            fail(GRAFT_BAD_FILE, "none of the %zu training pictures can be read; the first reasons are above", t->n));
    r->train_loss = at->loss_sum / (double)at->trained;
    r->rate = at->rate;
    r->images_per_second = // features that had to be made first included
        per_second(at->seen - pass.seen_before, at->seconds - pass.seconds_before + made - makes);
done:
    profile_data(&t->profile, t->profile.waiting, queue != NULL ? queue_work_seconds(queue) : 0,
                 now_seconds() - pass.begin - pass.seconds_before);
    t->profile.waiting = 0;
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

graft_status take_prediction(void *user, uint32_t index, const struct prediction *p, const char *error)
{
    struct trainer *t = user;
    const int classes = t->model->n_classes, label = t->data->samples[index].label;
    if (p == NULL)
        return trainer_skip(t, index, error);
    const bool number = isfinite(t->val_loss_sum);
    for (int k = 0; k < t->model->graph.n_outputs; k++) // the loss that training minimises
        if (t->model->graph.outputs[k].weight > 0)
            t->val_loss_sum += t->model->graph.outputs[k].weight * cross_entropy(p->output[k], classes, label);
    if (number && !isfinite(t->val_loss_sum)) // a picture may be the reason, so the first is named
        log_warning("the network's outputs for '%s' are no numbers", t->data->samples[index].path);
    memcpy(t->val_probabilities + t->n_predicted * (size_t)classes, p->probabilities, (size_t)classes * sizeof(float));
    t->val_labels[t->n_predicted] = label;
    t->val_index[t->n_predicted++] = index;
    return GRAFT_OK;
}

graft_status epoch_validate(struct trainer *t, struct epoch_result *r)
{
    if (t->n_val == 0)
        return GRAFT_OK;
    t->n_predicted = 0;
    t->val_loss_sum = 0;
    const double begin = now_seconds();
    if (t->features.store != NULL)
        TRY(feature_cache_validate(t));
    else
        TRY(predict_samples(t->model, t->validation, t->data, t->val, t->n_val, t->options->workers, "val",
                            take_prediction, t));
    t->profile.validation = now_seconds() - begin;
    t->val_rate = per_second(t->n_val, t->profile.validation);
    if (t->n_predicted == 0)
        return fail(GRAFT_BAD_FILE, "none of the %zu validation pictures can be read", t->n_val);
    r->val = metrics_of(t->val_probabilities, t->val_labels, t->n_predicted, t->model->n_classes);
    r->val_loss = t->val_loss_sum / (double)t->n_predicted;
    if (!isfinite(r->val_loss) || !isfinite(r->val.log_loss)) // as after a last step that no loss of training follows
        return diverged(t, "the validation loss", r->epoch, t->at.steps);
    r->temperature = temperature_fit(t->val_probabilities, t->val_labels, t->n_predicted, t->model->n_classes);
    return GRAFT_OK;
}
