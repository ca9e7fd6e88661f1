// train/range_test.h: the learning rate range test: the rate grows at every step until the loss does, too.
#pragma once

#include "train/train.h"

struct range_options {
    struct recipe recipe; // optimizer, label smoothing, factors of layers; its rate and schedule are not used
    double lowest, highest;
    int steps, batch, workers;
    uint64_t seed;
    enum bn_mode bn;
    bool exact;
    struct augment augment;
};
struct range_result {
    double *rates, *losses, *smoothed; // by step; heap, `rates` owns them all
    int n;
    double top;    // a plot need not show more: half above what the loss was before the suggested step
    int suggested; // a step: the middle of the longest valley; -1: the loss never falls
};
// Rates from lowest to highest at equal ratios, a step each; ends early once the smoothed loss is no number or over
// four times its least.  The model's weights are changed: it is to be thrown away.
graft_status range_test(struct model *m, const struct dataset *d, const struct range_options *options,
                        struct range_result *out);
void range_result_fini(struct range_result *r);
// Half way along the longest falling subsequence of the losses, or -1 where none falls: fastai's "valley".
int range_valley(const double *losses, int n);
