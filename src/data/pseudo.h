// data/pseudo.h: pictures whose labels a model gave: the file of them, and mixing them into training.
#pragma once

#include "data/data.h"

#define PSEUDO_HEADER "path,label"
enum { PSEUDO_UNIT = 1000000 }; // of dataset.pseudo_share
struct pseudo {
    const char *file;
    double share;     // of every stretch of an epoch, below 1
    int folds, fold;  // of the run; 0: it has none
};
// Grammar:  header: path,label[,fold][,group][,class...];  a row a picture, its path relative to the file.  With
// classes the row's probabilities are its target.  With folds a row counts only where its fold is the one that is
// validated: it was labelled by the model that never saw that fold.
// Appends the rows to a data set that is split, as PART_PSEUDO.  Left out, with a word, are those whose group is
// validated.  GRAFT_BAD_FILE, naming them, where a picture is one that is validated (in a run with folds: by any of
// them), by path or by content; labels that are no classes; folds that are not those of the run.
graft_status pseudo_add(struct dataset *d, const struct pseudo *p);
// Epochs of `n` labelled pictures are longer by the share of others.  pseudo_mix spreads them evenly over an order;
// every one is seen equally often, whatever the epochs' length.
size_t pseudo_length(const struct dataset *d, size_t n);
graft_status pseudo_mix(const struct dataset *d, uint64_t seed, uint64_t epoch, uint32_t *order, size_t *n);
