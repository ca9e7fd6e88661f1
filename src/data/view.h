// data/view.h: private to data/: from an upright picture to the network's input.
#pragma once

#include "data/drawn.h"
#include "data/resize.h"

// What becomes of one picture.
struct view {
    const struct input_spec *spec;
    struct drawn drawn;
    struct box box; // what is resized
    int left, top;  // not warped: where it goes
    bool warped, blank; // blank: of the picture nothing is seen
    enum border border;
    struct affine from; // result -> what was resized
};
// Of a picture of which only the size is looked at (w, h and, where it was shrunk while decoding, full_w and full_h);
// `how` NULL: as in evaluation.
void view_of(const struct input_spec *spec, const struct augmentation *how, uint64_t sample, const struct picture *src,
             struct view *v);
// How many pixels of the whole w x h picture will be used.
void view_wanted(const struct input_spec *spec, const struct augmentation *how, uint64_t sample, int w, int h,
                 double *across, double *down);
graft_status view_finish(const struct view *v, struct picture *take_resized, float *dst);
