// infer/metrics.h: what predictions are worth.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct metrics {
    double log_loss, top1, top5;
    size_t n;
};
// probabilities (n, classes), labels (n).  log_loss as scikit-learn's for float32: clipped to [eps, 1 - eps], eps =
// 1.19e-7, rows renormalised, mean of -log p.  Ties in the ranking count against us.  A row with what is no number is
// never a hit, and makes log_loss none.
struct metrics metrics_of(const float *probabilities, const int *labels, size_t n, int classes);
int best_class(const float *probabilities, int classes);
// count (classes, classes), rows labels, columns predictions; zeroed by the caller.
void confusion_of(const float *probabilities, const int *labels, size_t n, int classes, size_t *count);
struct class_metrics {
    size_t n;                     // pictures of the class
    double precision, recall, f1; // 0 where undefined, as scikit-learn's zero_division=0
};
struct class_metrics class_metrics_of(const size_t *count, int classes, int which);
// How probabilities compare with being right: pictures by their top probability, 15 bins of equal width.
enum { CALIBRATION_BINS = 15 };
struct calibration_bin {
    size_t n, right;
    double confidence; // sum of the top probabilities
};
void calibration_bins_of(const float *probabilities, const int *labels, size_t n, int classes,
                         struct calibration_bin bins[CALIBRATION_BINS]);
// Expected calibration error: the gap between the top probability and being right, over those bins.
double calibration_error(const float *probabilities, const int *labels, size_t n, int classes);
// Mean over pictures of the squared distance between probabilities and the one-hot label, summed over classes: 0 to 2.
double brier_score(const float *probabilities, const int *labels, size_t n, int classes);
