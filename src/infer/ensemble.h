// infer/ensemble.h: several models that predict as one: a folder that `predict` and `val` take like a model.
// ensemble.json: {"graft.ensemble": 1, "rule": "arithmetic" | "geometric" | "stack", "classes": [name], "members":
// [{"name", "weight", "files": [name of a model in the folder]}], "stack": [[number]] (classes rows of members *
// classes + 1)}. A member of several files (the models of a fold run) is their mean, geometric under that rule, else
// arithmetic.
#pragma once

#include "infer/scores.h"

enum ensemble_rule { ENSEMBLE_ARITHMETIC, ENSEMBLE_GEOMETRIC, ENSEMBLE_STACK };
struct ensemble_member {
    char *name, **files; // paths
    int n_files;
    double weight;
};
struct ensemble {
    enum ensemble_rule rule;
    char **classes;
    int n_classes;
    struct ensemble_member *members;
    int n_members;
    double *stack; // fit.h's
};
#define ENSEMBLE_FILE "ensemble.json"
bool ensemble_is(const char *path); // a folder with ensemble.json, or that file
graft_status ensemble_read(const char *path, struct ensemble *out);
void ensemble_free(struct ensemble *e); // a zeroed one is fine
// Refuses (GRAFT_BAD_OPTION) models that lie in `folder` where ensemble_write would put another.
graft_status ensemble_check(const struct ensemble *e, const char *folder);
// The models go into `folder` (as links where the disk allows, else as copies), with those that look for their boxes
// (crops.h), the description last.  What stops it leaves the ensemble that was there, or none, and all models that the
// new one is made of.
graft_status ensemble_write(const struct ensemble *e, const char *folder);
graft_status model_file_classes(const char *file, char ***out, int *n); // of a graft model; heap: names and the list
graft_status ensemble_crops(const struct ensemble *e, bool *out); // whether any of its models was trained on crops
void names_release(char **names, int n);

// Opens a member's model as the options have it, and says in which views it looks.
typedef graft_status (*member_open)(void *user, const char *file, struct model *out, struct tta *tta);
// As scores_make of one model; the members' classes are matched by name.
graft_status ensemble_scores(const struct ensemble *e, const struct dataset *d, const uint32_t *order, size_t n,
                             const struct scoring *how, member_open open, void *user, struct scores *out);
// How the members' probabilities make one: of those `rows` of p[member] and out, all (any, classes).
graft_status ensemble_combine(const struct ensemble *e, const float *const *p, const uint32_t *rows, size_t n,
                              float *out);
