// tensor/params.h: every parameter and running statistic of a network in one 64-byte aligned block, with named views.
// Three contiguous groups: trainable | frozen | running statistics; within a group, the graph's order.
// The kernels fix each entry's layout; canonical (PyTorch) order exists only while loading and saving.
#pragma once

#include "tensor/tensor.h"

enum param_layout {
    LAYOUT_PLAIN,      // canonical order: bias, BatchNorm vectors (padded to the lane count with zeros)
    LAYOUT_OIHW_BLOCK, // [O/v][I/v][h][w][v i][v o]: convolution
    LAYOUT_OHWI_BLOCK, // [O/v][h][w][I][v o]: first convolution (plain nchw source)
    LAYOUT_GOIHW_DEPTHWISE, // [C/v][h][w][v]: depthwise
    LAYOUT_GROUPED,    // canonical OIHW: other groups (plain kernels)
    LAYOUT_DENSE,      // [O][I as the source lies: C/v, h, w, v]: dense; canonical is (O, C*h*w)
};
enum param_group { PARAM_TRAINABLE, PARAM_FROZEN, PARAM_RUNNING };

struct param_entry {
    const char *name;    // canonical: torchvision's or timm's
    struct shape shape;  // canonical
    enum param_layout layout;
    enum param_group group;
    int c, h, w;         // LAYOUT_DENSE: the source's map; else unused
    size_t offset, size; // floats in the block, padding included
};
struct params {
    int lanes;           // v: 8 or 16
    struct param_entry *entries;
    int count;
    float *block;
    size_t size;         // floats
    size_t group_begin[4]; // floats: group g is [g, g + 1)
    uint64_t version;    // increments with every change
    uint64_t steps;      // how many of them were training's, which leaves alone what is frozen
};
// A gradient of an entry's floats [first, first + n), in its own layout.  Most come whole; those of large dense layers
// in parts, one after the other, from the first.
struct gradient { int entry; size_t first, n; float *values; };
size_t param_entry_size(const struct param_entry *entry, int lanes); // floats, padding included
void param_from_canonical(const struct params *p, int entry, const float *src); // fills padding with zeros
void param_from_file(const struct params *p, int entry, const float *src, const struct file_order *order); // likewise
void param_to_canonical(const struct params *p, int entry, float *dst);
// The same in pieces: the canonical tensor as `rows` (along its first dimension) of `size` floats.
void param_rows(const struct params *p, int entry, size_t *rows, size_t *size);
void param_rows_to_canonical(const struct params *p, int entry, size_t first, size_t count, float *dst);
void params_fini(struct params *p);
int params_find(const struct params *p, const char *name); // -1: none
