// data/pixels_vnni.h: private to data/pixels.c: what struct pixel_kernels has of these names.
#pragma once

#include "data/pixels.h"

enum { VNNI_ROWS = 8 }; // the most that vnni_down adds up
void vnni_arrange(const int32_t *weight, int most, const int *count, int n, int quads, void *out);
void vnni_across(const uint8_t *src, const int *first, const void *weights, int quads, int n, uint8_t *dst);
void vnni_down(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb);
