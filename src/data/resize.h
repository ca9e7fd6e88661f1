// data/resize.h: private to data/: resizing a part of a picture, and the network's input from 8-bit pixels.
#pragma once

#include "data/data.h"

// A part of a resized picture: pixels left..left + w of `full_w` across, top..top + h of `full_h` down.  All but w and h
// may be fractions of pixels.
struct box {
    double full_w, full_h, left, top;
    int w, h;
};
// What the rule takes of a w x h picture; negative corners, and ends past the full sides, are padding.
struct box box_of(const struct input_spec *spec, int w, int h);
graft_status resize_box(const struct picture *src, struct box box, enum filter filter, struct picture *out); // inside only
graft_status resize_padded(const struct picture *src, struct box box, enum filter filter, const uint8_t fill[3],
                           struct picture *out);
void fill_of(const struct input_spec *spec, uint8_t fill[3]); // the mean colour, r g b
void picture_normalise(const struct picture *p, const struct input_spec *spec, float *dst); // dst (3, h, w)
