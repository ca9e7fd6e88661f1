// data/drawn.h: private to data/: what is drawn for one sample.
#pragma once

#include "data/augment.h"
#include "data/colour.h"
#include "data/warp.h"

enum { MAX_COLOURS = 24 };
struct drawn {
    bool crop; // x, y, w, h in source pixels
    int crop_x, crop_y, crop_w, crop_h;
    struct affine from; // result -> upright picture of the network's size
    int n_colours;
    struct { enum colour op; double value; } colours[MAX_COLOURS];
    int erase_x, erase_y, erase_w, erase_h; // width 0: none
};
// For a picture of w x h pixels, to be changed at size x size.
void augment_draw(const struct augment *a, uint64_t key, int w, int h, int size, struct drawn *out);
