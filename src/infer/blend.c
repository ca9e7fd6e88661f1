// infer/blend.c: weighted arithmetic and geometric means of predictions, summed in double.

#include "infer/blend.h"
#include "base/memory.h"
#include <float.h>
#include <math.h>

const char *const mean_names[] = {[MEAN_ARITHMETIC] = "arithmetic", [MEAN_GEOMETRIC] = "geometric", NULL};

graft_status blend_init(struct blend *b, enum mean rule, size_t n, int classes)
{
    *b = (struct blend){rule, n, classes, mem_zero(n * (size_t)classes + 1, sizeof *b->sum)};
    return b->sum != NULL ? GRAFT_OK : fail_memory("a mean of predictions");
}

void blend_fini(struct blend *b)
{
    mem_free(b->sum);
    *b = (struct blend){0};
}

void blend_add(struct blend *b, size_t row, const float *p, double weight)
{
    double *sum = b->sum + row * (size_t)b->classes;
    if (weight == 0)
        return;
    for (int c = 0; c < b->classes; c++)
        sum[c] += weight * (b->rule == MEAN_GEOMETRIC ? log(p[c] < FLT_TRUE_MIN ? FLT_TRUE_MIN : p[c]) : p[c]);
}

void blend_end(const struct blend *b, size_t row, double weights, float *p)
{
    const double *sum = b->sum + row * (size_t)b->classes;
    double top = -INFINITY, total = 0;
    if (b->rule == MEAN_ARITHMETIC) {
        for (int c = 0; c < b->classes; c++)
            p[c] = (float)(sum[c] / weights);
        return;
    }
    for (int c = 0; c < b->classes; c++)
        top = fmax(top, sum[c] / weights);
    for (int c = 0; c < b->classes; c++)
        total += exp(sum[c] / weights - top);
    for (int c = 0; c < b->classes; c++)
        p[c] = (float)(exp(sum[c] / weights - top) / total);
}
