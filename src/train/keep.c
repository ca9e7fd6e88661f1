// train/keep.c: what a run leaves on the disk while it goes: checkpoints and the best model.

#include "train/trainer.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/trained.h"
#include <stdio.h>
#include <string.h>

static const double CHECKPOINT_APART = 1; // seconds of work that a kill may cost
enum { HELD_MOST = 1 << 22 };             // floats of a model that waits in memory, beyond what was foreseen

graft_status diverged(const struct trainer *t, const char *loss, int epoch, long step)
{
    return fail(GRAFT_FAILED,
                "%s is not a number at epoch %d, step %ld; %s.  Try a smaller rate, such as --lr %g", loss, epoch, step,
                t->best.epoch > 0 && t->options->save ? "the last good model is kept" : "no model was saved yet",
                t->options->recipe.schedule.rate / 10);
}

graft_status checkpoint_event(struct trainer *t)
{
    char event[128];
    snprintf(event, sizeof event, "{\"event\":\"checkpoint\",\"epochs\":%d,\"steps\":%ld}", t->at.epochs, t->at.steps);
    return run_folder_event(&t->folder, event);
}

static graft_status best_write(struct trainer *t, const struct epoch_result *r, const uint32_t *index,
                               const int *labels, const float *probabilities)
{
    char *trained = trained_text(t->trained, r), *path = path_join(t->folder.path, "model.safetensors");
    graft_status status =
        path != NULL && trained != NULL ? model_save(t->model, path, trained) : fail_memory("the model's metadata");
    if (status == GRAFT_OK)
        status = model_hash(path, &t->best.model);
    mem_free(path);
    mem_free(trained);
    TRY(status);
    return run_folder_best(&t->folder, t->model, t->data, r, index, labels, probabilities);
}

// False: there is no memory for it.
static bool best_hold(struct trainer *t, const struct epoch_result *r)
{
    const size_t n = t->n_val, classes = (size_t)t->model->n_classes, floats = t->model->params.size;
    struct held *h = &t->held;
    if (h->block == NULL)
        h->block = mem_alloc(floats * sizeof *h->block);
    if (h->index == NULL)
        h->index = mem_alloc((n + 1) * sizeof *h->index);
    if (h->labels == NULL)
        h->labels = mem_alloc((n + 1) * sizeof *h->labels);
    if (h->probabilities == NULL)
        h->probabilities = mem_alloc((n + 1) * classes * sizeof *h->probabilities);
    h->any = h->block != NULL && h->index != NULL && h->labels != NULL && h->probabilities != NULL;
    if (!h->any)
        return false;
    h->result = *r;
    memcpy(h->block, t->model->params.block, floats * sizeof *h->block);
    memcpy(h->index, t->val_index, n * sizeof *h->index);
    memcpy(h->labels, t->val_labels, n * sizeof *h->labels);
    memcpy(h->probabilities, t->val_probabilities, n * classes * sizeof *h->probabilities);
    return true;
}

static graft_status held_write(struct trainer *t)
{
    struct held *h = &t->held;
    float *own = t->model->params.block;
    if (!h->any)
        return GRAFT_OK;
    h->any = false;
    t->model->params.block = h->block;
    const graft_status status = best_write(t, &h->result, h->index, h->labels, h->probabilities);
    t->model->params.block = own;
    return status;
}

void held_fini(struct trainer *t)
{
    struct held *h = &t->held;
    char *message = h->any ? mem_text(graft_message()) : NULL; // why the run failed
    if (message != NULL && held_write(t) != GRAFT_OK)
        log_warning("the best model is not on the disk: %s", graft_message());
    if (message != NULL)
        fail(GRAFT_FAILED, "%s", message);
    mem_free(message);
    mem_free(h->block);
    mem_free(h->index);
    mem_free(h->labels);
    mem_free(h->probabilities);
}

bool checkpoint_due(const struct trainer *t, int epochs)
{
    return t->stopped || epochs >= t->options->epochs || now_seconds() - t->checkpoint_at >= CHECKPOINT_APART;
}

graft_status best_save(struct trainer *t, const struct epoch_result *r)
{
    const bool small = t->model->params.size <= HELD_MOST && t->options->memory == 0;
    const bool waits = small && !checkpoint_due(t, r->epoch) && best_hold(t, r);
    t->held.any = waits;
    if (!waits)
        TRY(best_write(t, r, t->val_index, t->val_labels, t->val_probabilities));
    const double tells = now_seconds();
    media_best(&t->media, t->val_index, t->val_labels, t->val_probabilities, t->n_predicted);
    t->profile.told += now_seconds() - tells;
    return GRAFT_OK;
}

// What does not fit the disk, or fails on its way there, is tried once more: the first attempt's scratch file is gone.
graft_status checkpoint_save(struct trainer *t, const struct epoch_result *r)
{
    struct slot slots[MAX_SLOTS];
    const int n_slots = trainer_slots(t, slots);
    json_t *state = NULL;
    TRY(held_write(t)); // the checkpoint says which model is the best
    if (!floats_finite(t->model->params.block, t->model->params.size))
        return diverged(t, "the loss", t->at.epochs + (t->at.steps > 0), t->at.steps);
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

// Asked to stop: the state at the last whole step is kept, whether that was in training or in validation.
graft_status trainer_stop(struct trainer *t, const struct epoch_result *r)
{
    if (!t->options->save)
        return fail(GRAFT_CANCELLED, "stopped in epoch %d after %ld step%s; nothing is kept (--no-save)", r->epoch,
                    t->at.steps, t->at.steps == 1 ? "" : "s");
    TRY(checkpoint_save(t, r));
    return fail(GRAFT_CANCELLED,
                "stopped in epoch %d after %ld step%s; the state is in %s/last.ckpt.safetensors, go on with "
                "`graft train --resume %s`",
                r->epoch, t->at.steps, t->at.steps == 1 ? "" : "s", t->folder.path, t->folder.path);
}
