// data/resize.h: private to data/: resizing a part of a picture, and the network's input from 8-bit pixels.
#pragma once

#include "data/data.h"
#include "data/pixels.h"

// A part of a resized picture: pixels left..left + w of `full_w` across, top..top + h of `full_h` down.  All but w and
// h may be fractions of pixels.
struct box {
    double full_w, full_h, left, top;
    int w, h;
};
// What the rule takes of a w x h picture; negative corners, and ends past the full sides, are padding.
struct box box_of(const struct input_spec *spec, int w, int h);
// Inside only.
graft_status resize_box(const struct picture *src, struct box box, enum filter filter, struct picture *out);
// The same from rows: src_h times, write src_w pixels r g b x to resizer_row, then push.  Then take the result, once.
struct resizer;
graft_status resizer_new(int src_w, int src_h, struct box box, enum filter filter, struct resizer **out);
uint8_t *resizer_row(struct resizer *r);
void resizer_push(struct resizer *r);
void resizer_take(struct resizer *r, struct picture *out);
void resizer_free(struct resizer *r); // NULL is fine
// Sides before the picture was shrunk while decoding.
static inline int picture_full_w(const struct picture *p) { return p->full_w > 0 ? p->full_w : p->w; }
static inline int picture_full_h(const struct picture *p) { return p->full_h > 0 ? p->full_h : p->h; }
void fill_of(const struct input_spec *spec, uint8_t fill[3]); // the mean colour, r g b
// Pixels first..first + n of the network's input: dst (3, size, size).
void pixels_normalise(const uint8_t *rgb, size_t first, size_t n, const struct input_spec *spec, float *dst);
