// report/run_data.h: what a run folder says, read back.  Every file but events.jsonl may be missing: a run that died,
// or one without validation, is reported as far as it got.
#pragma once

#include "base/json.h"

enum time_part { TIME_WAIT, TIME_FORWARD, TIME_BACKWARD, TIME_UPDATE, TIME_VALIDATION, TIME_TOLD, TIME_PARTS };
struct epoch_row {
    int epoch;
    bool validated;
    double train_loss, val_loss, log_loss, top1, top5, rate, images_per_second, seconds;
    double time;             // when it ended, since 1970; NAN: unknown
    double part[TIME_PARTS]; // seconds; NAN: not measured
};
struct step_row {
    double at; // in epochs: 1.5 is the middle of the second
    int epoch, step;
    double loss, rate;
};
struct skip_row {
    char *path, *reason;
};
struct media_row {    // a picture in media/: a validation picture, or one of the first batch
    char *path;       // of the data; names the row of the predictions
    char *file, *cam; // JPEGs in media/; NULL: none
    int label;        // -1: none
    int predicted;    // whose evidence `cam` shows; -1: none
    bool training;
};
struct layer_row {
    char *name;
    double forward, backward, update;
}; // seconds
struct run_data {
    char *folder;
    const char *name;           // the folder's last part
    json_t *args, *start, *end; // args.json; the events; NULL: none
    char **classes;
    int n_classes;
    struct epoch_row *epochs;
    int n_epochs, best; // index of the best epoch; -1: none
    struct step_row *steps;
    size_t n_steps;
    struct skip_row *skipped;
    size_t n_skipped, n_skipped_training;
    char **skipped_paths; // of `skipped`, sorted
    size_t (*balance)[3]; // by class: pictures to train on, validate, test; without those skipped
    char **paths;         // of the best epoch's validation, as are the next three
    int *labels;
    float *probabilities; // (n, classes)
    size_t n;
    struct media_row *media;
    size_t n_media;
    struct layer_row *layers;
    size_t n_layers;
    int bad_lines; // of events.jsonl that say nothing
    double begun;  // seconds since 1970; 0: unknown
    int folds, folds_done; // a fold run: epochs holds one row, the means over the folds that have ended; else 0
    size_t epoch_capacity, step_capacity, skip_capacity, media_capacity, layer_capacity, label_capacity, path_capacity,
        probability_capacity;
};
graft_status run_data_read(const char *folder, struct run_data *out);
void run_data_free(struct run_data *d);
bool run_folder_is(const char *folder); // it holds an events.jsonl
// An option of the run as text; "" where it has none.
const char *run_option(const struct run_data *d, const char *name);
bool run_folds_is(const char *folder); // a fold run: it holds folds.csv
// Of a fold run: its options, the first fold's start, the figures of results.json.
graft_status run_folds_read(const char *folder, struct run_data *out);
// Events.jsonl alone: the epochs, steps and the first and last events; enough for a table of runs.
graft_status run_events_read(const char *folder, struct run_data *out);
