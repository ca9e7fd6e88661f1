// weights/every_op.h: a small network that holds every operation in each of the forms writers must tell apart.
#pragma once

#include "weights/weights.h"

enum { EVERY_SIZE = 13, EVERY_CLASSES = 5, EVERY_BATCH = 2 };
struct every_op {
    struct graph graph;
    struct params params;
    struct network network;
    char **classes;
    float *input; // (EVERY_BATCH, 3, EVERY_SIZE, EVERY_SIZE)
};
void every_op_init(struct every_op *e, bool lrn); // Keras has no LRN layer
void every_op_draw(struct every_op *e); // parameters of e->graph
void every_op_fini(struct every_op *e);
struct exported every_op_exported(const struct every_op *e);
// graft's own logits, (EVERY_BATCH, EVERY_CLASSES).
void every_op_run(struct every_op *e, float *logits);
