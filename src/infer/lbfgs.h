// infer/lbfgs.h: the minimum of a smooth function of many variables, for small models fitted on predictions or
// features.
#pragma once

#include "base/status.h"
#include <stddef.h>

// The value at x (n), and its gradient.
typedef double (*smooth)(void *user, const double *x, double *gradient);
// From x to the minimum, until no component of the gradient is above `tolerance`, or no step makes it less.
graft_status lbfgs_minimise(smooth f, void *user, double *x, size_t n, double tolerance, int rounds);
