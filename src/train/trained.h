// train/trained.h: what a model file says of how it came about ("graft.trained" in its metadata).
// Grammar: {"weights": name of the file that training began from or "none", "sha256": of it, "options": {name: value;
// of paths the last part only}, "epoch", "train_loss", and with validation "val_log_loss",
// "val_top1"}.
#pragma once

#include "train/run_folder.h"

// The part that stays the same through a run: takes the weight file's SHA-256.  A model read from a checkpoint goes on
// with what its run began from.  `args`: JSON of the options in force.
graft_status trained_begin(const struct model *m, const char *args, json_t **out);
// With an epoch's figures, as JSON text, heap; NULL: no memory.
char *trained_text(const json_t *begun, const struct epoch_result *r);
