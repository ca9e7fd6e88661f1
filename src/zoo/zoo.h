// zoo/zoo.h: the networks graft knows, one row a variant: graph, preprocessing, names in foreign files, published
// weights.
#pragma once

#include "graph/graph.h"

enum resize_rule {
    RESIZE_CROP,
    RESIZE_SQUASH,
    RESIZE_PAD
}; // shorter side to `resize` then centre crop; stretch; letterbox
enum filter { FILTER_BILINEAR, FILTER_BICUBIC };
struct input_spec {
    int size;            // side entering the network
    int resize;          // RESIZE_CROP: shorter side before the crop
    enum resize_rule rule;
    enum filter filter;
    float mean[3], scale[3]; // (x - mean) * scale per channel of the network's order, x in 0..255
    bool bgr;
    bool crop;           // of every picture a box is seen alone (data/boxes.h)
    bool icc;            // colours by the pictures' own profiles, converted to sRGB
};

enum file_layout {
    FILE_TORCH,  // convolution (out, in, kh, kw), dense (out, in) with columns in c, h, w order: the canonical one
    FILE_KERAS,  // (kh, kw, in, out); depthwise (kh, kw, channels, 1); dense (in, out), rows in h, w, c order
    FILE_THEANO, // (out, in, kh, kw) turned by 180 degrees, dense (in, out), rows in c, h, w order
};
struct network;
// How one writer's files name a network's layers and lay out its tensors.  Reading, --freeze and writing all go by
// this. FILE_TORCH names a tensor LAYER.weight, LAYER.bias, ...; Keras's are told by their place in the layer (kernel,
// bias; gamma, beta, mean, variance), in the order of the node's parameters: readers hand them out as
// "LAYER//ANYTHING".
struct dialect {
    const char *title; // "timm", "keras.applications"; NULL ends a list
    enum file_layout layout;
    // Writes the writer's name of a node's layer, false: it has none.  Nodes without parameters (pools, activations)
    // may have names too, for --freeze and for writing.  NULL: the canonical prefix.
    bool (*layer)(const struct network *net, const struct graph *g, int node, char *out, size_t size);
};
// A classifier beside the main one.
struct aux_head {
    const char *name;    // canonical prefix of its dense layer; NULL ends the list
    float weight;        // of its loss unless --aux-weights says otherwise
    float framework;     // of its loss where the network was first trained: what `bench` measures
    bool predicts;       // its softmax goes into the prediction's mean
};
struct network {
    const char *name;    // "vgg16", "vgg16.keras", "efficientnet_lite0"; after an @ the width: "mobilenet_v2@0.5"
    const char *title, *publisher, *license;
    const char *differs; // from the variant with the same tensors, in a few words; NULL: there is none
    double top1, top5;   // published, percent; 0: no figure with a source
    int classes;         // of the published weights
    struct input_spec input;
    float dropout;       // default rate
    const char *head;    // canonical prefix of the last dense layer: "classifier.6"
    const struct aux_head *aux; // in the graph's order; NULL: none
    const char *const *files; // file names of the published weights, NULL-ended (for the caches)
    const struct dialect *dialects; // ended by a title of NULL; canonical names are always understood besides
    const void *family;  // what the family's file reads: its own description of the row
    // The same network with that share of its channels, 0.05 to 2; NULL: widths are no part of it, or no memory is
    // left.
    const struct network *(*widened)(const struct network *net, double width);
    graft_status (*build)(const struct network *net, struct graph *g, int size, int classes, float dropout);
};
bool network_heads(const struct network *net, const char *name); // `name` is a tensor of one of the classifiers
int network_aux_count(const struct network *net);
int zoo_count(void);
const struct network *zoo_at(int index);
const struct network *zoo_find(const char *name);      // in any width; NULL: none
const char *zoo_nearest(const char *name);             // the closest known name
bool zoo_variants(const struct network *a, const struct network *b); // the same up to the first dot or @

enum kernels { KERNELS_TOLD, KERNELS_TF, KERNELS_TH }; // as the file tells; as they are; turned by 180 degrees (Theano)
struct match_request {
    const struct network *hint; // what the person said; any of its variants will do.  NULL: any network
    bool exact;                 // the file's own metadata say so: no other is considered
    const char *path;           // of the file: its name tells variants with equal tensors apart; may be NULL
    enum kernels kernels;       // of a Keras file that is none of graft's
};
// Canonical names for a weight file: decides the variant by the tensors in it, renames `set` in place so that
// it holds canonical names and shapes.  Fails naming what the file looks like and what is missing or has no place.
graft_status zoo_match(struct tensor_set *set, const struct match_request *request, const struct network **out);

// Rows of `g` up to and including the layer `name`, canonical, partial ("blocks.2") or the framework's ("block2_pool",
// which stands for the rows before it); -1: none.  "head" is the caller's.
int zoo_row_named(const struct network *net, const struct graph *g, const char *name);

// The canonical prefix of a node with parameters ("layer1.0.bn1"), false: it has none.
bool node_prefix(const struct graph *g, int node, char *out, size_t size);
bool dialect_layer(const struct dialect *dialect, const struct network *net, const struct graph *g, int node, char *out,
                   size_t size);
// A parameter's shape in files of that layout, and its values from and to them.  `turn`: kernels are turned by 180
// degrees there.  Both hold shape_count floats and do not overlap.
struct shape file_shape(enum file_layout layout, const struct graph *g, int param);
struct file_order file_order_of(enum file_layout layout, bool turn, const struct graph *g, int param);
enum file_way { FROM_FILE, TO_FILE };
void file_relay(enum file_layout layout, bool turn, enum file_way way, const struct graph *g, int param,
                const float *src, float *dst);

const char *const *imagenet_names(int classes);        // in class order, of 1,000 or 1,001; NULL: of no other number
void input_scaled(struct input_spec *spec, int size);  // another input size, keeping the crop fraction
