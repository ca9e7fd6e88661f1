// zoo/zoo.h: the networks graft knows, one row a variant: graph, weight-name maps, preprocessing, where weights live.
#pragma once

#include "graph/graph.h"

enum resize_rule { RESIZE_CROP, RESIZE_SQUASH, RESIZE_PAD }; // shorter side to `resize` then centre crop; stretch; letterbox
enum filter { FILTER_BILINEAR, FILTER_BICUBIC };
struct input_spec {
    int size;            // side entering the network
    int resize;          // RESIZE_CROP: shorter side before the crop
    enum resize_rule rule;
    enum filter filter;
    float mean[3], scale[3]; // (x - mean) * scale per channel of the network's order, x in 0..255
    bool bgr;
};
struct network {
    const char *name;    // "vgg16", "vgg16.keras", "efficientnet_lite0"
    const char *title, *publisher, *license;
    double top1, top5;   // published, percent
    int classes;         // of the published weights
    struct input_spec input;
    float dropout;       // default rate
    const char *head;    // canonical prefix of the last dense layer: "classifier.6"
    const char *const *files; // file names of the published weights, NULL-ended (for the caches)
    bool (*rename)(const char *name, char *out, size_t size); // a file's own name -> canonical; NULL: canonical only
    bool keras;          // under its own names: kernels (kh, kw, in, out), dense (in, out) with rows in h, w, c order
    graft_status (*build)(const struct network *net, struct graph *g, int size, int classes, float dropout);
};
int zoo_count(void);
const struct network *zoo_at(int index);
const struct network *zoo_find(const char *name);      // NULL: none
const char *zoo_nearest(const char *name);             // the closest known name
// Canonical names for a weight file: decides the variant by the tensors in it (`hint` may be NULL: any network), renames
// and re-lays `set` in place so that it holds canonical names and shapes.  Fails naming what the file looks like.
graft_status zoo_match(struct tensor_set *set, const struct network *hint, const struct network **out);
// Rows of `g` up to and including the layer `name`, canonical, partial ("blocks.2") or the framework's ("block2_pool",
// which stands for the rows before it); -1: none.  "head" is the caller's.
int zoo_row_named(const struct network *net, const struct graph *g, const char *name);
const char *const *imagenet_names(void);               // 1,000 names, class order
void input_scaled(struct input_spec *spec, int size);  // another input size, keeping the crop fraction
