// infer/blend.h: several predictions of the same pictures made one.
#pragma once

#include "base/status.h"
#include <stddef.h>

enum mean { MEAN_ARITHMETIC, MEAN_GEOMETRIC };
extern const char *const mean_names[]; // by enum mean, NULL-ended
// Of rows of probabilities, weighted: sum w p / sum w, or exp(sum w log p / sum w) normalised again; a p of 0 counts as
// the least float there is.
struct blend {
    enum mean rule;
    size_t n;
    int classes;
    double *sum; // (n, classes)
};
graft_status blend_init(struct blend *b, enum mean rule, size_t n, int classes);
void blend_add(struct blend *b, size_t row, const float *p, double weight); // p: (classes)
void blend_end(const struct blend *b, size_t row, double weights, float *p); // weights: the sum over the row
void blend_fini(struct blend *b); // a zeroed one is fine
