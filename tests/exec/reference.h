// tests/exec/reference.h: every operation by definition, in double, over a whole graph; what exec is checked against.
#pragma once

#include "graph/graph.h"
#include "tensor/params.h"

struct reference {
    const struct graph *graph;
    int batch;
    bool training, batch_statistics; // dropout active; BatchNorm of training nodes on batch statistics
    uint64_t seed, step;
    double **param; // canonical, by entry
    double **value; // (n, c, h, w), by value
};
void reference_init(struct reference *r, const struct graph *g, const struct params *p, int batch);
void reference_fini(struct reference *r);
void reference_forward(struct reference *r, const float *input);
double reference_loss(struct reference *r, const float *input, const float *targets);
