// zoo/lists.h: lists of the tensors of a file, without the file: read, changed, looked into.
// In: golden/zoo/NETWORK.txt, made by tools/ref/make_zoo.py: a tensor's name and dimensions a line.
#pragma once

#include "graph/graph.h"
#include "tensor/tensor.h"

// Tensors of a list, without values: `data` is one shared block of zeros, or NULL.
void list_read(const char *network, const void *data, struct tensor_set *set);
void list_rename(struct tensor_set *set, size_t at, const char *name);
size_t list_find(const struct tensor_set *set, const char *name); // fails the test when it is not there
void list_drop(struct tensor_set *set, size_t at, size_t count);
float list_value(const struct tensor_set *set, const char *name, size_t at);
// Every tensor of the set is a parameter of the graph with its shape, and every parameter is there: once each.
void list_covers(const struct graph *g, const struct tensor_set *set);
