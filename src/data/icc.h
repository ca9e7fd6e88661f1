// data/icc.h: private to data/: colours by an embedded profile, converted to sRGB.
#pragma once

#include "data/data.h"

struct icc;
// Of 3 channels (RGB) or 4 (CMYK as Adobe stores it: inverted).  NULL: nothing to convert: no profile, sRGB already,
// one that is damaged or for other channels, no memory, or a build without lcms2.
struct icc *icc_open(bytes profile, int channels);
void icc_convert(const struct icc *c, const uint8_t *src, uint8_t *rgb, size_t pixels); // in place is fine for RGB
void icc_close(struct icc *c);
