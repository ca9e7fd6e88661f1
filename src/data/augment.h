// data/augment.h: random changes of training pictures: what may be drawn, and the text that says so.
// "flip=h,rotate=10,shift=0.1": parts in any order; a preset's name stands for its parts; a later part replaces an
// earlier one of its name.
#pragma once

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>

enum augment_part {
    AUGMENT_FLIP,     // a: FLIP_H, FLIP_V, both, each with probability 1/2
    AUGMENT_ROTATE,   // a: degrees to either side
    AUGMENT_SHIFT,    // a: part of the side, to either side, across and down
    AUGMENT_SCALE,    // a..b: 1.2 magnifies
    AUGMENT_SHEAR,    // a: degrees to either side
    AUGMENT_CROP,     // a..b: part of the area, of an aspect between 3/4 and 4/3
    AUGMENT_BORDER,   // a: enum border
    AUGMENT_COLOR,    // a: brightness, contrast, saturation times 1 - a .. 1 + a
    AUGMENT_HUE,      // a: turns of the colour circle to either side
    AUGMENT_GREY,     // a: probability
    AUGMENT_BLUR,     // a: probability, b: largest sigma in pixels
    AUGMENT_ERASE,    // a: probability of a blank rectangle
    AUGMENT_RANDAUGMENT, // a: operations a picture, b: magnitude 0..30
    AUGMENT_TRIVIAL,  // one operation of any magnitude (TrivialAugmentWide)
    AUGMENT_MIXUP,    // a: alpha of the Beta distribution
    AUGMENT_CUTMIX,
    AUGMENT_PARTS
};
enum { FLIP_H = 1, FLIP_V = 2 };
enum border { BORDER_MEAN, BORDER_BLACK, BORDER_EDGE, BORDER_REFLECT }; // what lies around a picture

struct augment {
    bool on[AUGMENT_PARTS];
    double a[AUGMENT_PARTS], b[AUGMENT_PARTS];
};
// Fails naming the part, what is expected, and the nearest name for one that does not exist.
graft_status augment_parse(const char *text, struct augment *out);
// The parts in force, as augment_parse reads them; "none" without any.
void augment_text(const struct augment *a, char *out, size_t size);
bool augment_any(const struct augment *a);
