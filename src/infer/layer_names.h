// infer/layer_names.h: names of layers as people give them: groups of layers, and what to say of a name nobody knows.
#pragma once

#include "base/status.h"
#include "graph/graph.h"

// "blocks.3" of "blocks.3.0.conv_dw", "layer1.0" of "layer1.0.conv1", else the whole name.
size_t layer_group_length(const char *name);
// "--OPTION: no layer 'NAME' in NETWORK; did you mean ...": the nearest layers or groups of layers; or, where NAME is a
// group, that one layer is needed.
graft_status fail_layer(const struct graph *g, const char *network, const char *option, const char *name,
                        size_t length);
