// api/run.h: private to api/: what the commands share.
#pragma once

#include "api/options.h"
#include "data/data.h"
#include "infer/model.h"

extern const char *const resize_rules[]; // by enum resize_rule, NULL-ended
void freeze_option(const graft_options *o, struct model_request *r);
// A model to use as it is: a file, or a zoo name from the caches.
graft_status model_open_ready(const graft_options *o, const char *name, long size, struct model *out);
// -d (or, for `data`, the inputs after the action), --group, and --classes or the model's (NULL: none).
graft_status data_open(const graft_options *o, int num_classes, const struct model *m, struct dataset *out);
