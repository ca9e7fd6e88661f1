// infer/metrics.h: what predictions are worth.
#pragma once

#include <stddef.h>

struct metrics {
    double log_loss, top1, top5;
    size_t n;
};
// probabilities (n, classes), labels (n).  log_loss as scikit-learn's for float32: clipped to [eps, 1 - eps], eps =
// 1.19e-7, rows renormalised, mean of -log p.  Ties in the ranking count against us.
struct metrics metrics_of(const float *probabilities, const int *labels, size_t n, int classes);
int best_class(const float *probabilities, int classes);
