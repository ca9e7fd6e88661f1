// zoo/families.h: private to zoo/: what the families' files give to zoo.c, and what several of them share.
#pragma once

#include "base/status.h"
#include "zoo/zoo.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY(name)                                                                                                   \
    extern const struct network name##_networks[];                                                                     \
    extern const int name##_count;
#include "zoo/families.def"
#undef FAMILY
// Closes a family's file: the number of its rows.
#define FAMILY_COUNT(name) const int name##_count = (int)COUNT_OF(name##_networks)

// Nodes with parameters in the order of Keras's model.layers; `order` holds n_nodes.
graft_status keras_order(const struct graph *g, int *order, int *count);
// The name Keras gives a layer that has none, by its class and how many of it came before: "conv2d", "conv2d_1",
// "batch_normalization", ...; false for nodes without parameters.
bool numbered_layer(const struct graph *g, int node, char *out, size_t size);

// Preprocessing as the publishers describe it; `.size`, `.resize`, `.rule` and `.filter` are the row's.
#define INPUT_TORCH .mean = {123.675f, 116.28f, 103.53f}, .scale = {1 / 58.395f, 1 / 57.12f, 1 / 57.375f}
#define INPUT_CAFFE .mean = {103.939f, 116.779f, 123.68f}, .scale = {1, 1, 1}, .bgr = true
#define INPUT_TF .mean = {127.5f, 127.5f, 127.5f}, .scale = {1 / 127.5f, 1 / 127.5f, 1 / 127.5f}

#define FILES(...) ((const char *const[]){__VA_ARGS__, NULL})
