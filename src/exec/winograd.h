// exec/winograd.h: convolutions of stride 1 by Winograd's F(m,r), all three passes, with a fraction of the direct way's
// products: 3x3 by F(4x4,3x3), a quarter; 5x5 by F(2x2,5x5), 9/25; 1x7 and 7x1 by F(4,7), 5/14; 1x3 and 3x1 by F(4,3),
// a half.  winograd.c describes a pass and its blocking; winograd_kernels.c and winograd_transforms.c run it, compiled
// once per instruction set.  Maps and weights lie as everywhere: (n, C/v, h*w, v) and [O/v][I/v][kh*kw][v i][v o].
//
// A tile is mh x mw of the destination; it needs a patch of (mh + kh - 1) x (mw + kw - 1) of the source.  Of each, with
// a point for every element of the patch:
//   V [point][source channel]      = B' d B         transformed source
//   U [point][source][destination] = G w G'         transformed weights (by data: rotated, transposed)
//   M [point][destination]         = V U            a matrix product a point, over all tiles
//   y                              = A' M A         and bias, activation, or the mask of a gradient
// By weights: Q = A e A' of the gradient e, dU[point] += V' Q over all tiles, dW = G' dU G.
#pragma once

#include "exec/dnn.h"
#include <stddef.h>

#define WINO_EACH_FORM(form) /* kh, kw, mh, mw */                                                                      \
    form(3, 3, 4, 4) form(5, 5, 2, 2) form(1, 7, 1, 4) form(7, 1, 4, 1) form(1, 3, 1, 4) form(3, 1, 4, 1)
#define WINO_FORM_NAME(kh, kw, mh, mw) WINO_##kh##x##kw,
enum wino_form { WINO_EACH_FORM(WINO_FORM_NAME) WINO_FORMS };

struct winograd {
    enum dnn_pass pass;
    enum wino_form form;
    int kh, kw, mh, mw, points;
    int lanes, n, c, k;          // images; blocks of `lanes` channels of the map read (c) and the map written (k)
    int h, w, top, left;         // the map read, and how far the first patch stands out of it
    int oh, ow;                  // the map in tiles: written, or (by weights) the gradient read
    size_t read_image, tile_image; // floats from one image to the next of those two maps; as described, of whole maps
    int tile_rows, tile_columns, tiles; // of an image, of an image, of all
    int block;                   // tiles at once
    int chunk;                   // forward, by data: panels of two k blocks at once; by weights: k blocks
    int parts;                   // of a point's products, so that all threads have work
    int slots;                   // 0: all threads share a block; else threads that own one each, chunk is all
    int segments;                // of the tiles, by weights with slots: each has a dU of its own
    bool bias, stream;           // stream: the destination is written past the caches
    enum dnn_act act;            // forward: of the destination; by data: whose mask the gradient gets
    size_t v_point, u_point, q_point, m_point, m_panel; // floats between two points of V, U (dU), Q, M; two panels of M
    size_t v_floats, m_floats, u_floats, q_floats; // whole; V, M and Q of one slot, dU of one segment
    size_t bias_floats;          // by weights: sums of the gradient, a strip of tiles each
};

enum { WINO_STRIP = 32 }; // tiles a task of a transform

// A kernel there is a form for, stride 1, no groups, blocked maps.
bool winograd_applies(const struct dnn_conv_shape *shape);
// How many times faster than the direct sums it is, estimated.
double winograd_gain(const struct dnn_conv_shape *shape, int lanes);
// `act`: of the destination (forward), of the mask (by data).  `rows`: tiles of the register tile, see kernel_table.
struct winograd winograd_describe(const struct dnn_conv_shape *shape, enum dnn_pass pass, enum dnn_act act, int lanes,
                                  int rows, int threads);
// Cuts the pass otherwise than winograd_describe chose.
void winograd_cut(struct winograd *w, int block, int chunk, int slots);
size_t winograd_scratch(const struct winograd *w); // floats

// What a pass reads and writes.  forward: source, weights, bias -> destination.  by data: source = gradient of the
// convolution's output, destination = that of its input; mask = the input itself (or NULL), an activation's output.
// by weights: source, gradient -> weights, bias (or NULL).  scratch: winograd_scratch floats, 64-byte aligned.
struct winograd_maps {
    const float *source, *gradient, *mask;
    float *weights, *bias, *destination, *scratch;
};
struct winograd_kernels {
    void (*convolve)(const struct winograd *w, const struct winograd_maps *maps); // forward, by data
    void (*gradient)(const struct winograd *w, const struct winograd_maps *maps); // by weights
};
