// data/warp.h: private to data/: affine maps, and the one resampling that all geometric changes share.
#pragma once

#include "data/augment.h"
#include "data/data.h"

// Where a point of the result comes from: source x = m[0] x + m[1] y + m[2], y = m[3] x + m[4] y + m[5].  Points are
// continuous: the centre of pixel i is i + 0.5.
struct affine {
    double m[6];
};
struct affine affine_identity(void);
struct affine affine_after(struct affine first, struct affine second); // of what `second` does to the result of `first`
// torchvision's affine: the picture is scaled, sheared (degrees), rotated (degrees, clockwise) about the point (x, y),
// then moved by (right, down) pixels.
struct change {
    double degrees, right, down, scale, shear_x, shear_y;
};
struct affine affine_of(struct change c, double x, double y);

// Bilinear.  `dst` has its size and memory; around the source lies `fill`, its edge, or its mirror image.  Both have
// PIXEL_SLACK bytes past their end.
void warp(const struct picture *src, struct affine from, enum border border, const uint8_t fill[3],
          struct picture *dst);
// Its row y, w pixels.
void warp_row(const struct picture *src, struct affine from, enum border border, const uint8_t fill[3], int y, int w,
              uint8_t *rgb);
