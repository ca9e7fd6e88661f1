// infer/predict.h: evaluation-mode prediction over samples of a data set.
#pragma once

#include "data/data.h"
#include "infer/model.h"

struct prediction {
    const float *probabilities;       // (classes): of the heads that predict
    const float *logits;              // (classes): of the main head
    const float *output[MAX_OUTPUTS]; // (classes): logits by output of the graph; NULL: it does not run
};
// A row of what `plan` just made; probabilities: (batch, classes), by plan_probabilities.
struct prediction prediction_at(const struct model *m, const struct plan *plan, const float *probabilities, int row);
// The input of a plan of `batch` pictures of `item` floats each: a smaller one filled up with its own last picture, in
// `padded`.
const float *batch_filled(const struct batch *b, int batch, size_t item, float *padded);
// What came of a sample: `p` NULL: it could not be read, `error` says why.
typedef graft_status (*predicted)(void *user, uint32_t index, const struct prediction *p, const char *error);
// Runs `plan` (PLAN_INFER, reserved) over the samples in `order`.  The last batch is filled up with its own last
// picture.
graft_status predict_samples(const struct model *m, struct plan *plan, const struct dataset *d, const uint32_t *order,
                             size_t n, int workers, const char *stage, predicted take, void *user);
// The same over changed pictures (data/data.h); `how` NULL: as they are.
graft_status predict_changed(const struct model *m, struct plan *plan, const struct dataset *d, const uint32_t *order,
                             size_t n, const struct augmentation *how, int workers, const char *stage, predicted take,
                             void *user);
