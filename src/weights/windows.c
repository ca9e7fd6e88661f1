// weights/windows.c: the windows of an adaptive pool.
// Equation:  window i of n over an axis of length h: [floor(i h / n), ceil((i + 1) h / n)), as PyTorch has it.

#include "weights/windows.h"

void adaptive_window(int in, int out, int i, int *begin, int *end)
{
    *begin = (int)((int64_t)i * in / out);
    *end = (int)(((int64_t)(i + 1) * in + out - 1) / out);
}

bool adaptive_even(int in, int out, int *window, int *stride)
{
    int begin, end, next = 0;
    adaptive_window(in, out, 0, &begin, &end);
    *window = end;
    *stride = in;
    if (out > 1)
        adaptive_window(in, out, 1, stride, &end);
    for (int i = 0; i < out; i++, next += *stride) {
        adaptive_window(in, out, i, &begin, &end);
        if (begin != next || end - begin != *window)
            return false;
    }
    return *stride > 0; // 0: the same window twice, an axis shorter than its output
}
