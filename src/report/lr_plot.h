// report/lr_plot.h: the learning rate range test as an SVG file.
#pragma once

#include "base/status.h"

// Losses by rate, each step's and smoothed, with the suggested step marked (-1: none), losses up to `top`; n > 0.
graft_status lr_plot_write(const char *path, const double *rates, const double *losses, const double *smoothed, int n,
                           int suggested, double top);
