// data/boxes.h: the part of each picture that is looked at, from a file.
#pragma once

#include "data/data.h"

// Grammar:  header: path,left,top,width,height[,...];  a row a picture, its path relative to the file, the box as parts
// of the upright picture: 0,0,1,1 is the whole.  Rows are matched to the samples by the files they name.
// GRAFT_BAD_FILE where a picture that takes part has none, naming it, or several that differ, or a box is not inside
// the picture.
graft_status boxes_read(struct dataset *d, const char *file);
// Fails where a list cannot name the samples: arrays (GRAFT_BAD_OPTION), pictures in archives.
graft_status boxes_possible(const struct dataset *d);
graft_status picture_box(const struct picture *src, const float *box, struct picture *out); // at least a pixel
// Where the evaluation's input comes from in a w x h picture: at offset + scale * x, both as parts of the sides.
void input_region(const struct input_spec *spec, int w, int h, double offset[2], double scale[2]);
