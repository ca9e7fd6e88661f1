// weights/windows.h: an adaptive average pool as pools that other frameworks have.  Room-private.
#pragma once

#include "graph/graph.h"

// Window `i` of `out` over an axis of `in`: [*begin, *end).
void adaptive_window(int in, int out, int i, int *begin, int *end);
// Whether all windows are as long and as far apart, which makes it a plain pool of that window and stride.
bool adaptive_even(int in, int out, int *window, int *stride);
