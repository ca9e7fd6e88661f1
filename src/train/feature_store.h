// train/feature_store.h: one file of features: for each picture of a kind a row of floats, by a 64-bit key of the
// picture. Several processes may read and add at once.  Every row has a checksum, looked at whenever it is read; a row
// or a file that is damaged counts as not there.
#pragma once

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct feature_part { float *values; size_t floats; }; // a row lies in several places
struct feature_store;
// FOLDER/KEY.features, made where it is not there; a row has `floats`, rounded to bf16 on their way in with `bf16`.
graft_status feature_store_open(const char *folder, uint64_t key, size_t floats, bool bf16, struct feature_store **out);
void feature_store_close(struct feature_store *s); // NULL is fine
const char *feature_store_path(const struct feature_store *s);
size_t feature_store_count(const struct feature_store *s);
size_t feature_row_bytes(size_t floats, bool bf16); // what a row takes in the file
bool feature_store_has(const struct feature_store *s, uint64_t picture);
// Into the parts; false: there is no sound row of it (from then on feature_store_has says so too).
bool feature_store_get(struct feature_store *s, uint64_t picture, const struct feature_part *parts, int n_parts);
graft_status feature_store_put(struct feature_store *s, uint64_t picture, const struct feature_part *parts,
                               int n_parts);
// Removes the folder's oldest files of features, other than KEY's, until those that are left, other than KEY's, take no
// more than `most` bytes together.  Returns the bytes that are gone; without `remove`, that would be.
uint64_t feature_folder_trim(const char *folder, uint64_t key, uint64_t most, bool remove);
