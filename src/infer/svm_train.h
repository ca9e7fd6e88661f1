// infer/svm_train.h: private to infer/: between svm.c and liblinear, whose names (struct model) meet ours in no file.
#pragma once

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// As svm_train in infer/svm.h.
graft_status liblinear_train(const float *x, const int *labels, const uint32_t *row, size_t n, int width, int classes,
                             double c, double tolerance, bool warm, double *w);
