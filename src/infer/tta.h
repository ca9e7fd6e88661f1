// infer/tta.h: test-time augmentation: a picture predicted as it is and in changed views, whose softmaxes are averaged.
#pragma once

#include "data/augment.h"
#include "infer/blend.h"
#include "infer/model.h"

enum { TTA_VIEWS = 8, TTA_MOST = 256 };
struct tta {
    int views; // the picture as it is counts as one; 1: nothing changes
    struct augment augment;
    enum mean mean;
};
// Grammar:  text = views | parts | views "," parts;  parts as of data/augment.h.  Without views there are TTA_VIEWS;
// without parts, those that the model was trained with or, where it was trained with none, "rotate=5,shift=0.05": a
// flip may make another class of a picture, so it is made only where training or the user says so.
graft_status tta_parse(const char *text, const struct model *m, struct tta *out);
