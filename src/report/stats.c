// report/stats.c: Wilson's interval, the bootstrap of a mean, the sign test.
// Source: Wilson 1927; Efron 1979 (percentile method); the sign test is the binomial test at one half.

#include "report/stats.h"
#include "base/memory.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>

struct interval wilson_interval(size_t right, size_t n)
{
    const double z = 1.959963984540054;
    if (n == 0)
        return (struct interval){0, 1};
    const double p = (double)right / (double)n, k = z * z / (double)n;
    const double middle = (p + k / 2) / (1 + k);
    const double half = z / (1 + k) * sqrt(p * (1 - p) / (double)n + k / (4 * (double)n));
    return (struct interval){fmax(0, middle - half), fmin(1, middle + half)};
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct interval bootstrap_interval(const double *values, size_t n, uint64_t seed)
{
    enum { RESAMPLES = 1000 };
    double *mean = n > 0 ? mem_zero(RESAMPLES, sizeof *mean) : NULL;
    if (mean == NULL)
        return (struct interval){NAN, NAN};
    for (size_t r = 0; r < RESAMPLES; r++) {
        for (size_t i = 0; i < n; i++)
            mean[r] += values[(rng_hash(RNG_BOOTSTRAP, seed, r, i) >> 32) * n >> 32]; // n is below 2^32
        mean[r] /= (double)n;
    }
    qsort(mean, RESAMPLES, sizeof *mean, ascending);
    const struct interval found = {mean[RESAMPLES / 40], mean[RESAMPLES - 1 - RESAMPLES / 40]};
    mem_free(mean);
    return found;
}

double sign_test(size_t a, size_t b)
{
    const size_t n = a + b, less = a < b ? a : b;
    double sum = 0;
    for (size_t k = 0; k <= less; k++) // each term by its logarithm: n choose k overflows
        sum += exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) - (double)n * M_LN2);
    return fmin(1, 2 * sum);
}
