// report/stats.h: intervals around figures measured on few pictures, and how well probabilities are calibrated.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct interval {
    double low, high;
}; // 95 %
// Wilson's score interval of a share: `right` of `n`.
struct interval wilson_interval(size_t right, size_t n);
// Percentile bootstrap of the mean of `values`: 1,000 resamples, keyed by `seed`, so the same run gives the same
// report. {NAN, NAN} when memory is out or n is 0.
struct interval bootstrap_interval(const double *values, size_t n, uint64_t seed);
// Two-sided exact sign test: the chance of a split at least as uneven as a : b if both were equally likely.
double sign_test(size_t a, size_t b);
