// train/train.h: the fine-tuning loop over a run folder, from the start or from where it stopped.
#pragma once

#include "data/data.h"
#include "infer/model.h"
#include "optim/schedule.h"

// A run folder taken up again.
struct train_resume {
    char *folder;
    json_t *args;      // what args.json holds
    int lock;          // the folder is ours while this is open
    char *checkpoint;  // the newest that verifies; NULL: the run had not got that far, and starts again
    bool last_good;    // it is the last one, not the one before
    bool data_changed; // and --force said to go on
    bool split_anew;   // other pictures are to be held out than the run's own
    struct split_kept kept; // where its split.csv was taken for the split: matched > 0
};
// Takes the folder, reads args.json, finds the checkpoint.  GRAFT_BAD_FILE when it is not a run, is in use, or has
// checkpoints and none is whole.
graft_status train_resume_open(const char *folder, struct train_resume *out);
// The parts as the run has them (data.h: dataset_split_keep) where it has a checkpoint and a split.csv; resume->kept
// says so.
graft_status train_resume_split(struct train_resume *r, struct dataset *d, long limit);
// Compares the data with those of the run; `changes` are the caller's own findings ("" for none).  GRAFT_BAD_FILE lists
// what changed, unless `force`.
graft_status train_resume_check(struct train_resume *r, const struct dataset *d, const char *changes, bool force);
void train_resume_close(struct train_resume *r);

enum monitor { MONITOR_LOG_LOSS, MONITOR_LOSS, MONITOR_TOP1, MONITOR_TOP5, MONITOR_TRAIN_LOSS };
extern const char *const monitor_names[]; // by enum monitor, NULL-ended

// How the weights learn.
struct recipe {
    const char *name;
    struct optim_options optim;
    struct schedule_options schedule;
    double label_smoothing;   // targets (1 - s) t + s / classes
    double ema;               // the average's share that an update keeps; 0: none
    int swa;                  // from this epoch on the epochs' weights are averaged; 0: never
    const char *lr_mult;      // layers.h, or NULL
    double layer_decay;       // 1: none
    const char *unfreeze;     // layers.h, or NULL
    enum monitor monitor;     // what makes an epoch the best
    int patience;             // epochs without a better one before the run stops; 0: never
};
struct train_options {
    const char *folder; // created; refused when it holds a checkpoint; NULL: runs/train, runs/train2, ...
    const char *args;   // JSON of the options, written as args.json
    const char *fold;   // of a fold's run: its number, or NULL
    int batch, epochs, workers;
    uint64_t memory; // bytes that the process may take; 0: what there is
    struct recipe recipe;
    uint64_t seed;
    enum bn_mode bn;
    struct augment augment;
    bool fixed; // of copies only (--copies)
    const char *features; // of the frozen part: "auto", "off" or the folder that keeps them; NULL: off
    double checkpoint_seconds; // within an epoch; 0: at epochs only
    bool fail_on_bad, log_steps, save, exact, histograms;
    bool bf16; // as in plan_options
    struct train_resume *resume; // NULL: a new run.  With a checkpoint its weights replace the model's
    bool force;
    // The run folder is there; another epoch is in it; the run has ended.  NULL: nobody asks.
    void (*grown)(void *user, const char *folder, bool ended);
    void *user;
};
graft_status train_run(struct model *m, const struct dataset *d, const struct train_options *options);
