// infer/knn.h: the nearest neighbours of every row among the others, exactly.
#pragma once

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

// x: (n, width).  index, distance: (n, k), the nearest first, of equals the lower index; a row is no neighbour of
// itself. Euclidean distances; `cosine`: 1 - cos, rows of nothing but 0 being 1 from everything.  k < n.  Memory: the
// rows once more and (n, k + 16) candidates.
graft_status knn_find(const float *x, size_t n, int width, int k, int cosine, uint32_t *index, float *distance);
