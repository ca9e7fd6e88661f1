// train/train.h: the fine-tuning loop over a run folder.
#pragma once

#include "data/data.h"
#include "infer/model.h"

struct train_options {
    const char *folder; // created; refused when it holds a checkpoint
    const char *args;   // JSON of the options, written as args.json
    int batch, epochs, workers;
    float rate, momentum, decay;
    uint64_t seed;
    enum bn_mode bn;
    struct augment augment;
    bool fixed; // of copies only (--copies)
    bool fail_on_bad, log_steps, save;
};
graft_status train_run(struct model *m, const struct dataset *d, const struct train_options *options);
