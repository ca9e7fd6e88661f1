// infer/metrics.c: log-loss and accuracies.

#include "infer/metrics.h"
#include <float.h>
#include <math.h>

int best_class(const float *p, int classes)
{
    int best = 0;
    for (int c = 1; c < classes; c++)
        if (p[c] > p[best])
            best = c;
    return best;
}

struct metrics metrics_of(const float *probabilities, const int *labels, size_t n, int classes)
{
    struct metrics m = {.n = n};
    for (size_t i = 0; i < n; i++) {
        const float *p = probabilities + i * (size_t)classes;
        double sum = 0, own = 0;
        int above = 0;
        for (int c = 0; c < classes; c++) {
            const double clipped = fmin(fmax(p[c], FLT_EPSILON), 1 - FLT_EPSILON);
            sum += clipped;
            if (c == labels[i])
                own = clipped;
            else
                above += p[c] >= p[labels[i]];
        }
        m.log_loss -= log(own / sum);
        m.top1 += above < 1;
        m.top5 += above < 5;
    }
    if (n > 0) {
        m.log_loss /= (double)n;
        m.top1 /= (double)n;
        m.top5 /= (double)n;
    }
    return m;
}
