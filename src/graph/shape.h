// graph/shape.h: private to graph/: shape inference, sticky failures.
#pragma once

#include "graph/graph.h"

void graph_break(struct graph *g, graft_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void shape_node(struct graph *g, const struct node *node, struct value *out); // by operation; failures stick
