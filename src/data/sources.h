// data/sources.h: private to data/: one function a kind of source; each appends samples and classes.
#pragma once

#include "base/csv.h"
#include "data/data.h"

graft_status sample_add(struct dataset *d, const char *path, int label, enum part part, const void *data);
graft_status dataset_own(struct dataset *d, void *take_block);
graft_status dataset_own_map(struct dataset *d, struct file_map *take_map); // zeroes the caller's
graft_status folder_has(const char *folder, const char *name, bool *out); // a file or folder of that name
struct array_shape {
    int c, h, w;
    bool real, planar; // float32; (c, h, w)
};
graft_status dataset_shape(struct dataset *d, const char *path, struct array_shape shape); // refuses a second one

graft_status source_folder(const char *path, struct dataset *d);
graft_status source_inputs(const char *path, struct dataset *d); // a file, or a folder and all below it, unlabelled
graft_status source_archive(const char *path, bool labelled, struct dataset *d); // .tar, .zip
graft_status source_csv(const char *path, const char *group, bool labelled, struct dataset *d);
graft_status part_of(const struct csv *c, const char *text, enum part *part); // of a column "split"
static inline bool part_used(enum part part) { return part == PART_TRAIN || part == PART_VAL || part == PART_TEST; }
graft_status drivers_recognises(const char *folder, bool *out); // State Farm's list
graft_status source_drivers(const char *folder, struct dataset *d);
graft_status idx_recognises(const char *folder, bool *out);
graft_status source_idx(const char *folder, struct dataset *d);
graft_status cifar_recognises(const char *folder, bool *out);
graft_status source_cifar(const char *folder, struct dataset *d);
graft_status npy_recognises(const char *folder, bool *out); // x.npy and y.npy
graft_status source_npy(const char *folder, struct dataset *d);
graft_status source_npz(const char *path, struct dataset *d);

int class_index(const struct dataset *d, const char *name); // -1: none
graft_status class_add(struct dataset *d, const char *name);
graft_status class_find(struct dataset *d, const char *name, int *label); // adds a new one
graft_status classes_number(struct dataset *d, int n);                    // "0", "1", ... up to n classes
graft_status group_find(struct dataset *d, const char *name, int *group); // adds a new one; empty: 0, none
graft_status classes_sort(struct dataset *d);                             // bytewise
// After all sources: the data are of use, and their classes those that the options name.
graft_status classes_check(const struct data_options *options, struct dataset *d);
