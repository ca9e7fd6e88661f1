// infer/scores.h: probabilities of many pictures, kept: for what cannot be told picture by picture as it comes.
#pragma once

#include "infer/predict.h"
#include "infer/tta.h"

struct scores {
    size_t n;     // samples of the data set
    int classes;
    float *p;     // (n, classes), by sample
    char **error; // by sample: why it could not be read; NULL: it could
    size_t bad;
};
struct scoring {
    int batch, workers;
    bool exact;
    const struct tta *tta; // NULL: the pictures as they are
    const char *stage;     // of the progress
    bool bf16;             // as in plan_options
};
// Of the samples in `order`; those that are not in it have neither probabilities nor an error.  The views are the same
// for every picture, so that a picture's result does not depend on those beside it.
graft_status scores_make(struct model *m, const struct dataset *d, const uint32_t *order, size_t n,
                         const struct scoring *how, struct scores *out);
graft_status scores_init(struct scores *s, size_t n, int classes);
void scores_fini(struct scores *s); // a zeroed one is fine
