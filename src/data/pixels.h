// data/pixels.h: private to data/: the inner loops over pixels, once for every kind of processor; all give the same
// bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { RESIZE_BITS = 22 }; // of a resize's weights: 1 is 1 << 22
enum { WARP_POSITION = 16, WARP_WEIGHT = 11 }; // bits after the point: of a place in the source, of a weight
enum { PIXEL_SLACK = 32 }; // bytes past a row that may be read, or written before what belongs there is
enum { WEIGHT_BYTES = 64, WEIGHT_PIXELS = 4 }; // what `arrange` takes for four weights of a pixel; pixels at a time

// A part of a row of a warp, all of whose pixels come from inside: from (ix, iy) to (ix + 1, iy + 1).
struct warp_span {
    const uint8_t *src; // RGB, and PIXEL_SLACK bytes that may be read
    int w, h;
    int64_t sx, sy, dx, dy; // in 1 / 2^16 of a pixel
    int n;
};
struct pixel_kernels {
    const char *name;
    // RGB to RGBX.
    void (*widen)(const uint8_t *rgb, int n, uint8_t *rgbx);
    // The weights of a row as `across` wants them: pixel i has count[i] from weight[i * most] on.  `out` is zero, of
    // WEIGHT_BYTES * quads a pixel, n rounded up to WEIGHT_PIXELS.
    void (*arrange)(const int32_t *weight, int most, const int *count, int n, int quads, void *out);
    // A row resized: of n pixels the i-th is the sum over 4 * quads pixels of src from first[i] on, times their
    // weights. RGBX to RGBX.  n is rounded up to WEIGHT_PIXELS.
    void (*across)(const uint8_t *src, const int *first, const void *weights, int quads, int n, uint8_t *dst);
    // The sum over rows times weights; n pixels, rounded up to 8; RGBX to RGB.
    void (*down)(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb);
    // Bilinear; up to PIXEL_SLACK bytes more may be overwritten.
    void (*warp)(const struct warp_span *s, uint8_t *rgb);
    // (value - mean) * scale of every channel, into its plane.
    void (*normalise)(const uint8_t *rgb, size_t n, const float mean[3], const float scale[3], float *const plane[3]);
};
const struct pixel_kernels *pixels_best(void);     // of this processor
const struct pixel_kernels *pixels_set(int place); // best first; the last is plain C, after it comes NULL
