// train/held_out.h: which pictures a run was trained on and which it held out, from what its folder says.
#pragma once

#include "data/data.h"

// Of a run (split.csv), a fold run (folds.csv, where each fold holds out its own, so all are held out) or a support
// vector machine (oof_predictions.csv, likewise): samples without labels, PART_TRAIN and PART_VAL, of files as they are
// found from here; without any where the folder says nothing of them.  *stamps (heap; or NULL): sample_stamp of each as
// it was then; 0: not known.
graft_status held_out_read(const char *folder, struct dataset *out, uint64_t **stamps);
