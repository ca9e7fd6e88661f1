// optim/average.h: averages of the weights over a run: exponential (EMA), or equal over epochs (SWA).
#pragma once

#include "tensor/params.h"

struct average {
    float *values; // laid out as the parameter block; NULL: no average is kept
    bool whole;    // with the running statistics (SWA); else of what trains alone, as in both frameworks' EMA
    double keep;   // EMA: the old average's share; 0: equal shares
    uint64_t n;    // averaged so far
    bool swapped;
};
graft_status average_init(struct average *a, const struct params *p, double keep);
void average_fini(struct average *a);
// a = keep a + (1 - keep) w, or a += (w - a) / (n + 1); the first is a copy.
void average_add(struct average *a, const struct params *p);
// Exchanges the weights with the average, to measure and save it; once more brings them back.  Nothing before the
// first.
void average_swap(struct average *a, struct params *p);
