// infer/crops.h: the box around what a prediction rests on.
#pragma once

#include "base/status.h"

#define WHOLE_FOLDER "whole" // beside a model of `train --crop cam`: the run whose model looks for its boxes
// That model of the model `file`, be it there or not; an ensemble keeps those of its members there under their names.
char *crop_finder(const char *file); // heap, NULL: no memory

struct crop_rule {
    double threshold; // of the largest heat: a cell with at least that belongs to it
    double margin;    // on each side, as a part of the box's
    double least;     // side of a box, as a part of the input's
};
// heat (h, w), 0 to 1, of the network's input.  Of the cells of at least the threshold those that hang together with
// the hottest (by their sides), the square around them with its margin, moved inside the input: box (4), left, top,
// width, height as parts of it.  The whole input where nothing is hot.
graft_status crop_of_heat(const float *heat, int h, int w, const struct crop_rule *rule, double *box);
// That box as parts of the picture, of which the input shows what begins at `offset` and is `scale` wide
// (data/boxes.h).
void crop_to_picture(const double *box, const double offset[2], const double scale[2], float *out);
