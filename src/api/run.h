// api/run.h: private to api/: what the commands share.
#pragma once

#include "api/options.h"
#include "data/data.h"
#include "infer/layer_features.h"
#include "infer/model.h"
#include "infer/tta.h"
#include "train/train.h"

// An option's file, before the work whose result goes into it: it can be written, and is of a kind that is (`kinds`:
// ".npy .csv"; NULL: any).  Nothing where the option is not given.
graft_status output_check(const graft_options *o, const char *name, const char *kinds);
void result_take(json_t *take_object); // to the result hook
graft_status networks_check(const graft_options *o); // every input is a network's name
extern const char *const resize_rules[]; // by enum resize_rule, NULL-ended
extern const char *const decode_rules[]; // by dataset.shrink
graft_status run_bench_loader(const graft_options *o);
graft_status precision_option(const graft_options *o, bool *bf16); // --precision; BAD_OPTION where it cannot be
graft_status heads_option(const graft_options *o, enum predicting *out);
graft_status kernels_option(const graft_options *o, enum kernels *out);
void freeze_option(const graft_options *o, struct model_request *r);
const char *network_option(const graft_options *o); // NULL: the weight file tells
graft_status aux_option(const graft_options *o, float weights[MAX_OUTPUTS], struct model_request *r);
graft_status array_input(const struct dataset *d, const graft_options *o, struct input_spec *out); // float arrays
extern const char *const bn_modes[]; // by enum bn_mode, NULL-ended
// What --recipe says of options that were not given, as options_merge takes it; and the recipe that all options make.
graft_status recipe_presets(const graft_options *o, json_t **out);
// What train's options are where they are not given, the recipe being that of `args`; an option_defaults (report.h).
graft_status train_defaults(const json_t *args, json_t **out);
graft_status learner_options(const graft_options *o, struct recipe *out); // how a step learns, whatever the schedule
graft_status recipe_options(const graft_options *o, int epochs, struct recipe *out);
// A model to use as it is: a file, or a zoo name from the caches.
graft_status model_open_ready(const graft_options *o, const char *name, long size, struct model *out);
// --tta and --tta-mean; `views` stays 1 where they were not given.
graft_status tta_option(const graft_options *o, const struct model *m, const struct dataset *d, struct tta *out);
// -d (or, for `data`, the inputs after the action), --group, and --classes or the model's (NULL: none).
graft_status data_open(const graft_options *o, int num_classes, const struct model *m, struct dataset *out);
// --cache, --cache-dir, --cache-gb: the cache of a data set that is complete.
graft_status cache_option(const graft_options *o, const struct augment *a, struct dataset *d);
// --crop FILE: the boxes of the pictures that take part.  --crop cam: crop_cam; those of samples about to be predicted,
// by the model of whole pictures beside `model`.
bool crop_cam(const graft_options *o);
graft_status crop_option(const graft_options *o, struct dataset *d);
graft_status crop_look(const graft_options *o, const char *model, struct dataset *d, const uint32_t *order, size_t n);
graft_status crop_of_picture(const graft_options *o, const char *model, const char *picture, float *out); // either; (4)
// The file of `graft crops`.  o: its options; NULL: none given.  *bad: pictures that cannot be read, which stay whole.
graft_status crops_write(const graft_options *o, const char *model, const struct dataset *d, const uint32_t *order,
                         size_t n, const char *file, size_t *bad);
// `train --crop cam` (run_cam.c): a new run; its model of whole pictures; with that the boxes of the data.
#define CAM_BOXES "boxes.csv"
graft_status crop_alone(const graft_options *o); // fails where an option has no place beside --crop
graft_status cam_anew(const graft_options *o);
graft_status cam_whole(const graft_options *o, const char *folder);
graft_status cam_boxes(const char *folder, struct dataset *d);
struct crop_rule;
graft_status crop_rule_option(const graft_options *o, struct crop_rule *out); // --threshold, --margin, --least
// The file of pseudo-labels that a model gives the pictures of -d.
graft_status pseudo_label(const graft_options *o, const char *model, const char *file);
graft_status pseudo_rounds(const graft_options *o, long rounds);
// --pseudo and --pseudo-share, into a data set that is split; `folds` 0: into none.
graft_status pseudo_option(const graft_options *o, int folds, int fold, struct dataset *d);
graft_status output_folder(const graft_options *o, char **out); // -o, or the next of runs/: made; heap
// A run of its options, all of them in force; and one taken up again, `given` over the options it has.
graft_status train_once(const graft_options *o);
graft_status train_again(const graft_options *given, const char *folder);
// What may differ from a run's own options without being a change of it.
extern const char *const train_free_options[];
graft_status tell_directory(graft_status status, const json_t *args);
// `train --folds K`: a run of every fold, and what they say together.
bool folds_wanted(const graft_options *o);
graft_status folds_check(const graft_options *o, int *folds, int *fold); // 0 folds, fold -1: not given
graft_status folds_anew(const graft_options *o);
graft_status folds_again(const graft_options *given, const char *folder);
graft_status features_option(const graft_options *o,
                             struct feature_request *out); // --layer, --batch, --workers, --exact
// The labelled samples of a part ("all": of every part), all of them where `unlabelled`; heap.
graft_status part_order(const struct dataset *d, const char *part, bool unlabelled, uint32_t **out, size_t *n);
