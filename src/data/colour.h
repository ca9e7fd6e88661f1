// data/colour.h: private to data/: changes of colour and sharpness, torchvision's definitions on 8-bit pictures.
#pragma once

#include "data/data.h"

enum colour {
    COLOUR_BRIGHTNESS,   // factor; 1 leaves the picture as it is, as in the next three
    COLOUR_CONTRAST,
    COLOUR_SATURATION,
    COLOUR_SHARPNESS,
    COLOUR_HUE,          // turns of the colour circle, -0.5..0.5
    COLOUR_GREY,
    COLOUR_BLUR,         // sigma in pixels
    COLOUR_POSTERIZE,    // bits kept
    COLOUR_SOLARIZE,     // values from here on are inverted
    COLOUR_AUTOCONTRAST,
    COLOUR_EQUALIZE
};
// In place.
graft_status colour_apply(struct picture *p, enum colour op, double value);
