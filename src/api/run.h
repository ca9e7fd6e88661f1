// api/run.h: private to api/: what the commands share.
#pragma once

#include "api/options.h"
#include "data/data.h"
#include "infer/model.h"
#include "train/train.h"

void result_take(json_t *take_object); // to the result hook
graft_status networks_check(const graft_options *o); // every input is a network's name
extern const char *const resize_rules[]; // by enum resize_rule, NULL-ended
extern const char *const decode_rules[]; // by dataset.shrink
graft_status run_bench_loader(const graft_options *o);
graft_status heads_option(const graft_options *o, enum predicting *out);
void freeze_option(const graft_options *o, struct model_request *r);
// What --recipe says of options that were not given, as options_merge takes it; and the recipe that all options make.
graft_status recipe_presets(const graft_options *o, json_t **out);
graft_status recipe_options(const graft_options *o, int epochs, struct recipe *out);
// A model to use as it is: a file, or a zoo name from the caches.
graft_status model_open_ready(const graft_options *o, const char *name, long size, struct model *out);
// -d (or, for `data`, the inputs after the action), --group, and --classes or the model's (NULL: none).
graft_status data_open(const graft_options *o, int num_classes, const struct model *m, struct dataset *out);
// --cache, --cache-dir, --cache-gb: the cache of a data set that is complete.
graft_status cache_option(const graft_options *o, const struct augment *a, struct dataset *d);
