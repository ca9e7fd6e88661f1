// exec/products.h: the two matrix products of Winograd's passes, as register tiles.  Compiled once per instruction set.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// c[r][0..width) (+)= sum over blocks b, lanes i of a[b * a_block + r * V + i] * w[(b * V + i) * width + 0..width), for
// r < rows: `rows` tiles by two blocks of destination channels (width = 2 V) or one (width = V), over source channels.
typedef void (*tile_product)(const float *a, size_t a_block, const float *w, int blocks, float *c, size_t c_row,
                             bool add);

// c[i][0..k_blocks * V) (+)= sum over t < tiles of a[t * V + i] * b[k * b_block + t * V + lane], for i < rows:
// a register tile of the gradient of the weights, `rows` source channels by up to three blocks of destination channels.
typedef void (*gradient_product)(const float *a, const float *b, size_t b_block, int tiles, float *c, bool add);

struct products {
    int rows;                        // most rows of a tile_product
    int gradient_rows;               // of a gradient_product: divides V
    const tile_product (*tiles)[2];  // [rows][blocks of destination channels - 1], rows from 1
    gradient_product gradient[3];    // [blocks of destination channels - 1]
    double (*multiply)(
        long rounds); // nothing but multiply-adds in registers; gives how many operations: the peak's measure
};
