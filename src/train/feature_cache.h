// train/feature_cache.h: what the frozen part of the network makes of each picture, kept on disk (--cache-features), so
// that the epochs after the first, and later runs, only compute the rest.
#pragma once

#include "data/data.h"
#include "train/feature_store.h"

struct trainer;
struct batch;
struct feature_cache {
    struct feature_store *store; // NULL: nothing is kept
    bool asked;                  // whether to keep them was decided, for the present phase
    uint64_t *keys;              // by sample; 0: not known yet
    uint32_t *list, *index;      // samples to make; those of a batch
};
// Whether they could be: frozen layers see the same pictures in every epoch.  Then pictures are decoded whole, kept or
// not, so that a run's numbers do not depend on what could be kept.
bool feature_cache_may(const struct trainer *t);
// Before an epoch's pictures are read: decides, says why not, and makes what is not there of them.
graft_status feature_cache_ready(struct trainer *t, const struct augmentation *how);
// The next batch out of the order from the position on: its ends are in place, it has no input.  As the queue would
// give it.
graft_status feature_cache_batch(struct trainer *t, const struct augmentation *how, struct batch *out, bool *end);
// Validation from what is kept.
graft_status feature_cache_validate(struct trainer *t);
void feature_cache_fini(struct feature_cache *f);
