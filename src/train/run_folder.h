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
    double images_per_second; // in training, waits included
    struct metrics val; // n = 0: no validation
    struct epoch_times times;
    struct data_shares data; // of the run so far
    double temperature; // fitted on the validation pictures; 0: none
};
enum { LOG_EVENTS, LOG_RESULTS, LOG_SKIPPED, N_LOGS }; // events.jsonl, results.csv, skipped.csv: they grow
struct run_folder {
    char *path;
    int lock;
    bool save; // else events.jsonl alone is written
};
// Refuses (GRAFT_BAD_OPTION) a folder with what other commands have made: folds, a support vector machine, an ensemble;
// but for `own`, the file that tells one of them (NULL: none).
graft_status run_folder_check(const char *folder, const char *own);
// Makes and takes the folder; refuses one in use, with a checkpoint or what others have made.  run_folder_adopt: of a
// run that goes on.
graft_status run_folder_open(struct run_folder *f, const struct train_options *options);
// Whether a run is there that had checkpoints and has none any more, so that it could only begin again; the failure.
bool run_folder_lost(const char *folder);
graft_status run_folder_lost_fail(const char *folder);
void run_folder_sweep(const char *folder);        // removes what killed writers have left in it
graft_status run_folder_taken(const char *folder); // the failure that it holds a run already
graft_status run_folder_next(char **out); // makes the first of runs/train, runs/train2, ... that is not there; heap
graft_status run_folder_adopt(struct run_folder *f, const struct train_options *options);
void run_folder_close(struct run_folder *f); // a zeroed one is fine
graft_status run_folder_start(const struct run_folder *f, const struct dataset *d, const struct train_options *options);
// args.json, classes.txt, split.csv.
graft_status run_folder_describe(const struct run_folder *f, const struct dataset *d, const char *args);
char *run_folder_split(const struct dataset *d); // split.csv: path,label,split,stamp (heap; NULL: no memory)
graft_status run_folder_flush(const struct run_folder *f, uint64_t size[N_LOGS]); // to the disk; how long they are
graft_status run_folder_trim(const struct run_folder *f, const uint64_t size[N_LOGS]);
bool run_folder_ended(const struct run_folder *f); // events.jsonl ends with the event "end"
graft_status run_folder_event(const struct run_folder *f, const char *json);
graft_status run_folder_epoch(const struct run_folder *f, const struct epoch_result *r); // events, results.csv
graft_status run_folder_skip(const struct run_folder *f, const char *path, const char *reason);
// The best epoch's: results.json and, with validation, val_predictions.csv, per_class.csv, confusion_matrix.csv.
graft_status run_folder_best(const struct run_folder *f, const struct model *m, const struct dataset *d,
                             const struct epoch_result *r, const uint32_t *index, const int *labels,
                             const float *probabilities);
