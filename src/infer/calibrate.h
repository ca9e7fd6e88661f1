// infer/calibrate.h: temperature scaling: p^(1 / T), normalised again; T above 1 makes a model less sure of itself.
// The order of the classes never changes.
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { CALIBRATION_LEAST = 50 }; // pictures: a temperature fitted on fewer would be mostly chance
// The T from 0.05 to 20 of the lowest log-loss; 0 where there is none: fewer pictures, or every one right (then any
// lower T would be lower still).
double temperature_fit(const float *probabilities, const int *labels, size_t n, int classes);
void temperature_apply(double temperature, float *probabilities, size_t n, int classes);
