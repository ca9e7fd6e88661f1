// exec/winograd_transforms.h: from maps and weights to points and back, for each form of Winograd's convolution.
// exec/winograd_transforms.c is compiled once per instruction set.
#pragma once

#include "exec/winograd.h"

struct winograd_transforms {
    // V of `count` tiles from `first` of one source block; v: of the block's tile 0.
    void (*source)(const struct winograd *w, const float *src, int block, int first, int count, float *v);
    // Q of `count` tiles from `first` of one block of the gradient; bias: their sum, V floats.
    void (*gradient)(const struct winograd *w, const float *gradient, int block, int first, int count, float *q,
                     float *bias);
    // U of one source block and one panel (`width` blocks of destination channels).  u: of the panel.
    void (*weights)(const struct winograd *w, const float *wei, int block, int panel, int width, float *u);
    // The destination of `count` tiles from `first` of one panel.
    void (*output)(const struct winograd *w, const struct winograd_maps *maps, int panel, int width, int first,
                   int count, const float *m);
    // dW of one source channel and one block of destination channels, from dU.
    void (*filter_gradient)(const float *sum, size_t point, float *wei);
};
