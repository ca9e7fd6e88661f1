// train/layers.h: layers by name for training: how fast each learns, and from which epoch on.
#pragma once

#include "infer/model.h"
#include "optim/optim.h"

// The rates' factors.  `factors`: "features.0-9=0.1,head=10" or NULL, where NAME stands for every layer whose name
// begins so, NAME.A-B for those numbered A to B, "head" for the classifier; the last that fits counts.  `decay`: each
// group of layers learns by this factor slower than the next towards the head; 1: none.  A group is a block
// ("blocks.3", "layer1.0") or a layer outside of one.
graft_status layer_rates(struct optimizer *o, const struct model *m, const char *factors, double decay);

enum { MAX_PHASES = 16 };
struct phase { int epoch, rows; }; // from that epoch on so many rows are frozen
// "2:blocks.5,4:all": from epoch 2 on blocks.5 and what follows it trains.  phases[0] is the present freezing.
graft_status phases_of(const struct model *m, const char *text, struct phase phases[MAX_PHASES], int *n);
// Makes room: what will train in any phase is laid out as trainable.
graft_status phases_prepare(struct model *m, const struct phase *phases, int n, enum bn_mode bn);
