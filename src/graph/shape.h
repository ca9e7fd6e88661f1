// graph/shape.h: shape inference, one function an operation.  Room-private.
#pragma once

#include "graph/graph.h"

// In: a node with its attributes and inputs.  Out: c, h, w, flat of its output.  Fails on what does not fit.
#define OP(id, text, n_min, n_max)                                                                                     \
    graft_status shape_##id(const struct graph *g, const struct node *node, struct value *out);
#include "graph/ops.def"
#undef OP
