// train/trainer.h: private to train/: the state of a run, shared by the files here that make it up.
#pragma once

#include "optim/average.h"
#include "infer/predict.h"
#include "train/checkpoint.h"
#include "train/feature_cache.h"
#include "train/layers.h"
#include "train/histograms.h"
#include "train/media.h"
#include "train/run_folder.h"

struct position {
    int epochs;           // finished
    long steps;           // batches of the next epoch that are done
    size_t seen, trained; // its pictures: taken from the order; learnt from
    double loss_sum;      // over `trained`
    size_t hits;          // of them: predicted as the target has it
    long updates;         // of the weights in it
    double rate;          // of its last step
    bool closed;          // all its pictures are done, the last update too
    double seconds;       // that it took so far
    uint64_t run_steps;   // steps since the start: dropout's key
};
struct best {
    double value;   // of what is monitored; NAN: none yet
    int epoch;
    uint64_t model; // model_hash of its model.safetensors
};
struct held { // the best epoch's model and predictions, until the next checkpoint writes them
    bool any;
    float *block;
    struct epoch_result result;
    uint32_t *index;
    int *labels;
    float *probabilities;
};
struct trainer {
    struct model *model;
    const struct dataset *data;
    const struct train_options *options;
    bool twins_told; // once in a process: the first whole epoch has seen all pictures
    struct run_folder folder;
    struct checkpoints checkpoints;
    double checkpoint_at;         // when the newest was written
    struct optimizer optimizer;
    struct average average;       // what is measured and saved in place of the weights, where it is kept
    struct plateau plateau;
    struct phase phases[MAX_PHASES];
    int n_phases, phase;          // phase: the plans are for its freezing
    int accumulate;               // batches an update; more than asked for where --memory cuts batches into parts
    double all_flops;             // of a step of the last phase
    double later;                 // seconds a picture that a step of the last phase takes, as estimated; 0: not known
    double most_bytes, most_plan; // of the process in the last phase, and of its plan's activations and gradients
    struct arena *arena;
    struct plan *prefix;          // of what is frozen; NULL: nothing.  The others are then of the rest
    struct plan *full, *partial, *validation;
    struct feature_cache features;     // of the pictures, from the prefix
    json_t *choices;              // of the plans, kept in checkpoints: a run goes on with the kernels it began with
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
    struct best best;
    struct held held;
    int waited;                   // epochs since the best
    bool stopped;                 // early
    json_t *trained;              // what model files will say of this run, but for an epoch's figures
    double begin, elapsed;        // of this process; of those before it, in seconds
    double resident, resident_at; // bytes of this process, and when they were read
    double train_rate, val_rate;  // pictures a second, as measured last; 0: not yet
    struct media media;
    struct profile profile;
    struct histograms histograms;
};
static inline bool trainer_done(const struct trainer *t) { return t->stopped || t->at.epochs >= t->options->epochs; }
void recipe_tell(const struct trainer *t); // recipe.c: in the log
// plans.c.  plans_prepare: the phases and the batch, the last phase fitting the memory; plans_make: the plans for the
// position, in its phase; phase_enter: before an epoch, what --unfreeze-epoch lets train from now on; partial_make: the
// plan of a last batch of `batch` pictures.
graft_status plans_prepare(struct trainer *t, int *batch);
graft_status plans_make(struct trainer *t, int batch);
void plans_free(struct trainer *t);
graft_status phase_enter(struct trainer *t, int epoch);
graft_status phase_plans(struct trainer *t, int phase); // the plans, for its freezing
graft_status partial_make(struct trainer *t, int batch);
// memory.c.  memory_check: refuses before the first step what would be killed in it; *batch is made smaller, and
// t->accumulate larger, for --memory.
struct plan_options train_plan(const struct trainer *t, int batch);
graft_status memory_check(struct trainer *t, int *batch);
void memory_tell(const struct trainer *t);
// epoch.c.  GRAFT_CANCELLED when asked to stop, at the last whole step.
graft_status epoch_train(struct trainer *t, struct epoch_result *r); // from the position to the epoch's end
graft_status epoch_validate(struct trainer *t, struct epoch_result *r);
graft_status trainer_skip(struct trainer *t, uint32_t index, const char *reason); // a picture that cannot be read
graft_status take_prediction(void *trainer, uint32_t index, const struct prediction *p, const char *error);
// keep.c
graft_status diverged(const struct trainer *t, const char *loss, int epoch, long step); // the failure
graft_status checkpoint_event(struct trainer *t);
graft_status checkpoint_save(struct trainer *t, const struct epoch_result *r);
// After so many epochs: whether it is time, so that epochs of a moment are not outlasted by what they leave.
bool checkpoint_due(const struct trainer *t, int epochs);
// The best epoch's model and figures: on the disk now, or with the next checkpoint where none is due.
graft_status best_save(struct trainer *t, const struct epoch_result *r);
void held_fini(struct trainer *t); // what a failed run still holds is written
graft_status trainer_stop(struct trainer *t, const struct epoch_result *r); // asked to: a checkpoint, and how to go on
// Epochs that are left of the present phase; of those after it.
static inline int phase_epochs(const struct trainer *t)
{
    const int end = t->phase + 1 < t->n_phases ? t->phases[t->phase + 1].epoch - 1 : t->options->epochs;
    return (end < t->options->epochs ? end : t->options->epochs) - t->at.epochs;
}
static inline int later_epochs(const struct trainer *t) { return t->options->epochs - t->at.epochs - phase_epochs(t); }
// estimate.c.  *seconds: of what is left of the run, all phases; negative: too short to tell.  Sets t->later.
#define VALIDATION_SHARE 0.33 // of a training step of all layers: forward alone
graft_status run_estimate(struct trainer *t, double *seconds);
double plan_flops(const struct plan *plan); // of one run
graft_status summary_tell(struct trainer *t); // summary.c: before the first step
int trainer_slots(struct trainer *t, struct slot slots[MAX_SLOTS]);
// The state as the checkpoint's metadata holds it, and back.  trainer_restore reads the checkpoint, trims the logs to
// it and says where the run goes on.
graft_status trainer_state(struct trainer *t, json_t **out);
graft_status trainer_restore(struct trainer *t);
