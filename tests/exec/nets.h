// tests/exec/nets.h: small networks that several tests of exec run, each a knot of what goes wrong.
#pragma once

#include "graph/graph.h"

extern const struct bn_attr BN;
int net_branch(struct graph *g, int src, const char *name, int oc); // 1x1 convolution, BatchNorm, ReLU
void net_finish(struct graph *g, int value);                        // a head of CLASSES

void make_conv(struct graph *g);
void make_depthwise(struct graph *g);
void make_scale(struct graph *g);
void make_winograd(struct graph *g);
void make_heads(struct graph *g);
void make_branches(struct graph *g);
