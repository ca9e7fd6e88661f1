// infer/calibrate.c: the temperature by Newton's method on b = 1 / T, kept within a bracket.
//   loss(b) = mean of log sum_c exp(b z_c) - b z_label,  z = log p;   loss' = mean of E[z] - z_label;   loss'' = mean
//   of Var[z]
// The loss is convex in b, so the bracket closes on its one minimum.
// Source: Guo et al. 2017.

#include "infer/calibrate.h"
#include "infer/metrics.h"
#include <float.h>
#include <math.h>

static double log_of(float p) { return log(p < FLT_TRUE_MIN ? FLT_TRUE_MIN : p); } // a probability that underflowed

// First and second derivative of the loss at `b`.
static void slopes(const float *probabilities, const int *labels, size_t n, int classes, double b, double out[2])
{
    out[0] = out[1] = 0;
    for (size_t i = 0; i < n; i++) {
        const float *p = probabilities + i * (size_t)classes;
        const double top = log_of(p[best_class(p, classes)]);
        double sum = 0, first = 0, second = 0;
        for (int c = 0; c < classes; c++) {
            const double z = log_of(p[c]), weight = exp(b * (z - top));
            sum += weight;
            first += weight * z;
            second += weight * z * z;
        }
        out[0] += (first / sum - log_of(p[labels[i]])) / (double)n;
        out[1] += (second / sum - first / sum * (first / sum)) / (double)n;
    }
}

double temperature_fit(const float *probabilities, const int *labels, size_t n, int classes)
{
    double low = 1 / 20.0, high = 20, b = 1, slope[2];
    bool mistaken = false;
    for (size_t i = 0; i < n; i++)
        mistaken |= best_class(probabilities + i * (size_t)classes, classes) != labels[i];
    if (n < CALIBRATION_LEAST || !mistaken)
        return 0;
    for (int round = 0; round < 60 && high - low > 1e-9; round++) {
        slopes(probabilities, labels, n, classes, b, slope);
        *(slope[0] > 0 ? &high : &low) = b;
        const double step = slope[1] > 0 ? slope[0] / slope[1] : INFINITY;
        if (fabs(step) < 1e-10)
            break;
        b -= step;
        if (!(b > low && b < high)) // as when the loss is nearly straight here
            b = (low + high) / 2;
    }
    return 1 / b;
}

void temperature_apply(double temperature, float *probabilities, size_t n, int classes)
{
    for (size_t i = 0; i < n; i++) {
        float *p = probabilities + i * (size_t)classes;
        const double top = log_of(p[best_class(p, classes)]);
        double sum = 0;
        for (int c = 0; c < classes; c++)
            sum += exp((log_of(p[c]) - top) / temperature);
        for (int c = 0; c < classes; c++)
            p[c] = (float)(exp((log_of(p[c]) - top) / temperature) / sum);
    }
}
