// report/tensorboard.h: a run folder as TensorBoard event files in its tb/: scalars in train/ and validation/ under the
// same names (so that TensorBoard lays them over each other, as Keras's), hyperparameters and pictures in tb/ itself.
// They are made from the run folder alone, so a run that went on from a checkpoint writes them anew, without what was
// undone.
#pragma once

#include "base/status.h"
#include <stdbool.h>

struct tensorboard;
// Takes away the event files of before and begins new ones.
graft_status tensorboard_new(const char *folder, struct tensorboard **out);
// Appends what the run folder has more than last time.  `ended`: also how the run ended, and its pictures.
graft_status tensorboard_follow(struct tensorboard *t, bool ended);
void tensorboard_free(struct tensorboard *t);
