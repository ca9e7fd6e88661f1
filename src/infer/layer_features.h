// infer/layer_features.h: what a layer inside a network says of pictures: the input of other learners, and of
// neighbours.
#pragma once

#include "data/data.h"
#include "infer/model.h"

struct layer_features {
    size_t n;     // samples of the data set
    int width;
    float *x;     // (n, width), by sample
    char **error; // by sample: why it could not be read; NULL: it could
    size_t bad;
};
struct feature_request {
    const char *layer; // as `models NET --layers` names it; NULL: what enters the classifier
    int batch, workers;
    bool exact;
};
// A layer's output after its BatchNorm and activation; of a map, the mean over its places.
graft_status layer_features_make(struct model *m, const struct dataset *d, const uint32_t *order, size_t n,
                           const struct feature_request *how, struct layer_features *out);
void layer_features_fini(struct layer_features *f); // a zeroed one is fine
// Rows of `order` by the name's ending: .npy (float32, beside it NAME.csv with a row's picture, label and group), .csv
// (path,label,f0,...), .libsvm or .svm (label number, index:value; indices from 1).
graft_status layer_features_write(const struct layer_features *f, const struct dataset *d, const uint32_t *order,
                                  size_t n, const char *path);
