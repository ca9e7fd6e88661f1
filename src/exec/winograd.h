// exec/winograd.h: 3x3 convolutions of stride 1 by Winograd's F(4x4,3x3), all three passes; a quarter of the products
// of the direct way.  winograd.c describes a pass and its blocking; winograd_kernels.c, compiled once per instruction
// set, runs it.  Maps and weights lie as everywhere in exec/: (n, C/v, h*w, v) and [O/v][I/v][9][v i][v o].
//
// A tile is 4x4 of the destination; it needs 6x6 of the source.  Of each, with its 36 points:
//   V [point][source channel]      = B' d B         transformed source
//   U [point][source][destination] = G w G'         transformed weights (by data: rotated, transposed)
//   M [point][destination]         = V U            36 matrix products over all tiles
//   y                              = A' M A         and bias, activation, or the mask of a gradient
// By weights: Q = A e A' of the gradient e, dU[point] += V' Q over all tiles, dW = G' dU G.
#pragma once

#include "exec/dnn.h"
#include <stddef.h>

struct winograd {
    enum dnn_pass pass;
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

enum { WINO_TILE = 4, WINO_PATCH = 6, WINO_POINTS = WINO_PATCH * WINO_PATCH };
enum { WINO_STRIP = 32 }; // tiles a task of a transform

// 3x3, stride 1, no groups, blocked maps.
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
