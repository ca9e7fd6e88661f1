// data/canvas.h: private to data/: drawing into an 8-bit picture.  Colours are 0xrrggbb; what lies outside is cut off.
#pragma once

#include "data/data.h"

enum { TEXT_HEIGHT = 9, TEXT_WIDTH = 6 }; // of a letter at scale 1, the gap after it included
graft_status canvas_new(int w, int h, uint32_t colour, struct picture *out);
void canvas_fill(struct picture *c, int x, int y, int w, int h, uint32_t colour);
void canvas_put(struct picture *c, const struct picture *p, int x, int y, int scale); // whole multiples
void canvas_text(struct picture *c, const char *text, int x, int y, int most, int scale, uint32_t colour);
int canvas_text_width(const char *text, int scale);
