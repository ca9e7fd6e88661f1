// api/subject.h: private to api/: what `predict`, `val` and `pseudo` take for a model.
#pragma once

#include "api/run.h"
#include "infer/ensemble.h"
#include "infer/svm.h"

// A model; an ensemble, or a fold run as one; or a support vector machine on the features of `network`.  Of all but the
// first `model` has the classes and nothing else.
struct subject {
    struct model model, network;
    struct ensemble ensemble;
    struct svm svm;
    char *file; // of the model; NULL: there are others
};
// `name`: a model or weight file, the folder of a run, of a fold run, of an ensemble or a machine, or a zoo name.
graft_status subject_open(const graft_options *o, const char *name, long size, struct subject *s);
char *model_file(const char *name); // that a name stands for: of a run's folder, the best epoch's; heap
char *model_finder(const char *name); // of the model that it stands for: infer/crops.h
// BAD_OPTION, saying what can be done, where a subject is of several models or a machine, which has no temperature that
// `option` could use or set.
graft_status subject_calibrates(const struct subject *s, const char *name, const char *option);
// BAD_OPTION where a name is of several models or a machine, and `command` looks into one network with its own head.
graft_status one_network_check(const char *name, const char *command);
void subject_close(struct subject *s); // a zeroed one is fine
// Each picture to `take`: as it comes, or after its last view and member.
// With --crop cam every model's own boxes are looked for first.
graft_status predict_all(const graft_options *o, struct subject *subject, struct dataset *d, const uint32_t *order,
                         size_t n, const char *stage, predicted take, void *user);
