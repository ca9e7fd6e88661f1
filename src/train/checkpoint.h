// train/checkpoint.h: the state of a run on disk, so that nothing but the present step is lost when it stops.
#pragma once

#include "infer/model.h"

// Values beside the weights, laid out as the parameter block: of the trainable group alone, or (`whole`) of all groups.
enum { MAX_SLOTS = 8 };
struct slot {
    const char *name; // of its tensors: "optimizer.NAME.PARAMETER"
    float *values;
    bool whole;
};
struct checkpoints {
    const char *folder;
    bool last_good; // last.ckpt.safetensors verifies, so it may become the one before
};
// Writes, reads back and verifies, then lets it take the place of the last one, which becomes the one before.  After
// any failure, and after a kill at any moment, the newest that is whole is found again.
graft_status checkpoint_write(struct checkpoints *c, const struct model *m, const struct slot *slots, int n_slots,
                              const json_t *state, const char *trained);
bool checkpoint_any(const char *folder); // whether a run got as far as its first one
// The newest that verifies; a warning names each that does not.  *path (heap) is NULL when there is none at all;
// GRAFT_BAD_FILE when there are some and none is whole.
graft_status checkpoint_find(struct checkpoints *c, char **path);
// Fills the model's parameters and the slots; a slot that the file lacks is an error unless `lenient` (a warning,
// zeros).
graft_status checkpoint_read(const char *path, struct model *m, const struct slot *slots, int n_slots, bool lenient,
                             json_t **state);
