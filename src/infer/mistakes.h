// infer/mistakes.h: what a model gets wrong: pictures, and pairs of classes.
#pragma once

#include "base/status.h"

struct mistake {
    size_t row; // of the predictions
    int label, predicted;
    float confidence;
};
struct confused_pair {
    int label, predicted;
    size_t n;
};
// The pictures whose likeliest class is wrong, the most confident first.  *out is heap, NULL where there is none.
graft_status mistakes_find(const float *probabilities, const int *labels, size_t n, int classes, struct mistake **out,
                           size_t *count);
// Which class they are taken for, the most frequent pair first; equals in the order of their classes.  Heap, too.
graft_status pairs_find(const struct mistake *mistakes, size_t n, struct confused_pair **out, size_t *count);
