// data/sources.h: private to data/: one function a kind of source; each appends samples and classes.
#pragma once

#include "data/data.h"

graft_status sample_add(struct dataset *d, const char *path, int label, enum part part, const void *data);
graft_status dataset_own(struct dataset *d, void *take_block);
graft_status dataset_own_map(struct dataset *d, struct file_map *take_map); // zeroes the caller's
graft_status source_folder(const struct data_options *options, struct dataset *d);
graft_status folder_has(const char *folder, const char *name, bool *out); // a file or folder of that name
graft_status idx_recognises(const char *folder, bool *out);
graft_status source_idx(const char *folder, struct dataset *d);
graft_status cifar_recognises(const char *folder, bool *out);
graft_status source_cifar(const char *folder, struct dataset *d);
graft_status npy_recognises(const char *folder, bool *out); // x.npy and y.npy
graft_status source_npy(const char *folder, struct dataset *d);
graft_status source_npz(const char *path, struct dataset *d);
graft_status csv_list(const char *path, struct dataset *d); // appends what it names, unlabelled
graft_status source_csv(const struct data_options *options, struct dataset *d);
int class_index(const struct dataset *d, const char *name); // -1: none
graft_status class_add(struct dataset *d, const char *name);
