// train/held_out.h: which pictures a run was trained on and which it held out, from what its folder says.
#pragma once

#include "data/data.h"

// Of a run (split.csv) or a fold run (folds.csv, where each fold holds out its own, so all are held out): samples
// without labels, PART_TRAIN and PART_VAL, of files as they are found from here; without any where the folder says
// nothing of them.
graft_status held_out_read(const char *folder, struct dataset *out);
