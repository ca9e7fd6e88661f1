// infer/fit.h: how to weigh several models, found on predictions of pictures that none of them was trained on.
#pragma once

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct opinions {
    const float *const *p; // by model: (rows, classes)
    int models, classes;
    const int *labels;     // by row
    const uint32_t *row;   // the rows to fit on
    size_t n;
};
// The weights, at least 0 and 1 together, of the arithmetic mean with the lowest log-loss.  weights: (models)
graft_status fit_weights(const struct opinions *o, double *weights);
// Greedy selection with replacement: the model whose addition to those chosen makes the mean best, `rounds` times; the
// best of the rounds counts.
graft_status fit_greedy(const struct opinions *o, int rounds, double *weights);
// Multinomial logistic regression on log p of all models: C * sum of losses + |W|^2 / 2, the intercepts free.
// stack: (classes, models * classes + 1), the intercept last.
graft_status fit_stack(const struct opinions *o, double c, double *stack);
void stack_apply(const double *stack, const float *const *p, int models, int classes, float *out); // p: rows (classes)
