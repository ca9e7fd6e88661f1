// train/checkpoint.h: the state of a run, so that nothing but the present step is lost when it stops.
#pragma once

#include "infer/model.h"
#include "optim/optim.h"

struct position {
    int epochs;  // finished
    long steps;  // batches of the next epoch that are done
    uint64_t run_steps; // steps since the start: dropout's key
    uint64_t seed;      // with it and the position, every random number follows
};
graft_status checkpoint_write(const char *path, const struct model *m, const struct sgd *sgd, const struct position *at,
                              const char *trained);
