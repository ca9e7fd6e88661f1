// tests/exec/bench.h: a small network with drawn parameters, pictures and soft labels, planned and compared with the
// reference; what the tests of exec stand on.
#pragma once

#include "exec/plan.h"
#include "reference.h"

enum { BATCH = 3, CLASSES = 5 };

struct bench {
    struct graph g; // made and frozen before bench_init
    struct params p;
    struct arena *arena;
    struct plan *plan;
    float *input, *targets;
    double **gradient; // canonical, by entry; NULL until ready
    bool losses;       // of the plan
    bool plant;        // the planted error: one gradient is 3 % too large
};
void bench_init(struct bench *b, enum plan_mode mode, enum bn_mode bn);
void bench_fini(struct bench *b);
void bench_parameters(struct bench *b); // draws them again: running statistics as they were
void bench_keep_gradient(void *bench, struct gradient g); // a run's `ready`: into b->gradient

// Largest relative error over entries of <gradient, d> against the reference's central difference, d random.
double bench_gradient_error(struct bench *b, enum bn_mode bn);

// One prediction by both, of a network that was made; bench_fini and reference_fini end them.
void bench_predict(struct bench *b, struct reference *r);

// Runs `make` through training (every BatchNorm mode) and prediction, against the reference.
void bench_check(void (*make)(struct graph *g));
