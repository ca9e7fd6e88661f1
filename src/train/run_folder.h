// train/run_folder.h: the files a run leaves, each complete after every epoch.
#pragma once

#include "data/data.h"
#include "infer/metrics.h"
#include "infer/model.h"
#include "train/profile.h"
#include "train/train.h"

struct epoch_result {
    int epoch;
    double train_loss, val_loss, rate, seconds, elapsed; // elapsed: since the run began
    struct metrics val; // n = 0: no validation
    struct epoch_times times;
    double temperature; // fitted on the validation pictures; 0: none
};
struct run_folder {
    const char *path;
    bool save; // else events.jsonl alone is written
};
graft_status run_folder_start(struct run_folder *f, const struct model *m, const struct dataset *d,
                              const struct train_options *options);
graft_status run_folder_event(const struct run_folder *f, const char *json);
graft_status run_folder_epoch(const struct run_folder *f, const struct epoch_result *r); // events, results.csv
graft_status run_folder_skip(const struct run_folder *f, const char *path, const char *reason);
// The best epoch's: results.json and, with validation, val_predictions.csv, per_class.csv, confusion_matrix.csv.
graft_status run_folder_best(const struct run_folder *f, const struct model *m, const struct dataset *d,
                             const struct epoch_result *r, const uint32_t *index, const int *labels,
                             const float *probabilities);
