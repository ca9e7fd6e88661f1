// weights/keras_layers.h: a network as Keras layers, for the writers of Keras's files.  Room-private.
#pragma once

#include "base/json.h"
#include "weights/weights.h"

enum { LAYER_INPUTS = 16 };
struct keras_layer {
    char *name;             // unique: Keras's own where the network has one, else the canonical one with underscores
    const char *class_name; // "Conv2D"
    json_t *config;
    int in[LAYER_INPUTS], n_in;      // layers
    int param[MAX_PARAMS], n_params; // the graph's, in the order of the layer's weights
    int node;                        // of the graph; -1: only a padding, a flattening, ...
};
struct keras_model {
    struct keras_layer *layers; // in the order of Keras's model.layers
    int count, output;
    size_t capacity;
};
// Fails for what no standard layer of Keras does: LRN, and paddings of pools that neither "same" nor zeros express.
graft_status keras_layers_make(const struct exported *e, struct keras_model *out);
void keras_layers_fini(struct keras_model *m);
// A weight as Keras has it: its shape, and what it is called.
struct shape keras_shape(const struct graph *g, int param);
const char *keras_weight(const struct graph *g, int param);
