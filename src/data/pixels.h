// data/pixels.h: private to data/: the inner loops over pixels, once for every kind of processor; all give the same
// bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { RESIZE_BITS = 22 }; // of a resize's weights: 1 is 1 << 22
enum { WARP_POSITION = 16, WARP_WEIGHT = 11 }; // bits after the point: of a place in the source, of a weight
enum { PIXEL_SLACK = 16 }; // bytes past a row that may be read, or written before what belongs there is

// A row of a warp: goes on while what a pixel needs, (ix, iy) to (ix + 2, iy + 1), lies inside, up to n pixels.
struct warp_span {
    const uint8_t *src; // RGB
    int w, h;
    int64_t sx, sy, dx, dy; // in 1 / 2^16 of a pixel
    int n;
};
struct pixel_kernels {
    const char *name;
    // RGB to RGBX.
    void (*widen)(const uint8_t *rgb, int n, uint8_t *rgbx);
    // A row resized: of n pixels the i-th is the sum over 4 * quads pixels of src from first[i] on, times their
    // weights. RGBX to RGBX.  n is rounded up to 2.  weight: see weight_set.
    void (*across)(const uint8_t *src, const int *first, const int16_t *weight, int quads, int n, uint8_t *dst);
    // The sum over rows times weights; n pixels, rounded up to 4; RGBX to RGB.
    void (*down)(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb);
    // Bilinear; writes the pixels it returns, and a byte.
    int (*warp)(const struct warp_span *s, uint8_t *rgb);
    // (value - mean) * scale of every channel, into its plane.
    void (*normalise)(const uint8_t *rgb, size_t n, const float mean[3], const float scale[3], float *const plane[3]);
};
// Puts the k-th weight of a pixel among its 32 * quads numbers.  A weight of 22 bits is cut in two of 11, so that
// products of 16 bits do: of four pixels first the upper halves, then the lower ones, each once a channel: r0 r1 g0 g1
// b0 b1 x0 x1 r2 r3 ...
void weight_set(int16_t *weights, int k, int32_t weight);
extern const struct pixel_kernels pixels_plain;
const struct pixel_kernels *pixels_best(void); // of this processor
