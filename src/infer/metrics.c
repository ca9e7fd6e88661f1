// infer/metrics.c: log-loss, accuracies, confusion, calibration.

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
            const double clipped = isnan(p[c]) ? NAN : fmin(fmax(p[c], FLT_EPSILON), 1 - FLT_EPSILON);
            sum += clipped;
            if (c == labels[i])
                own = clipped;
            else
                above += p[c] >= p[labels[i]];
        }
        const bool number = !isnan(sum); // nothing is above what is none
        m.log_loss -= log(own / sum);
        m.top1 += number && above < 1;
        m.top5 += number && above < 5;
    }
    if (n > 0) {
        m.log_loss /= (double)n;
        m.top1 /= (double)n;
        m.top5 /= (double)n;
    }
    return m;
}

void confusion_of(const float *probabilities, const int *labels, size_t n, int classes, size_t *count)
{
    for (size_t i = 0; i < n; i++)
        count[(size_t)labels[i] * (size_t)classes + (size_t)best_class(probabilities + i * (size_t)classes, classes)]++;
}

struct class_metrics class_metrics_of(const size_t *count, int classes, int which)
{
    size_t own = 0, predicted = 0;
    const size_t k = (size_t)classes, c = (size_t)which;
    for (size_t other = 0; other < k; other++) {
        own += count[c * k + other];
        predicted += count[other * k + c];
    }
    const double right = (double)count[c * k + c];
    struct class_metrics m = {.n = own};
    m.precision = predicted > 0 ? right / (double)predicted : 0;
    m.recall = own > 0 ? right / (double)own : 0;
    m.f1 = right > 0 ? 2 * m.precision * m.recall / (m.precision + m.recall) : 0;
    return m;
}

void calibration_bins_of(const float *probabilities, const int *labels, size_t n, int classes,
                         struct calibration_bin bins[CALIBRATION_BINS])
{
    for (int b = 0; b < CALIBRATION_BINS; b++)
        bins[b] = (struct calibration_bin){0};
    for (size_t i = 0; i < n; i++) {
        const float *p = probabilities + i * (size_t)classes;
        const int best = best_class(p, classes);
        if (!isfinite(p[best])) // of no bin
            continue;
        int bin = (int)(p[best] * CALIBRATION_BINS);
        bin = bin < 0 ? 0 : bin >= CALIBRATION_BINS ? CALIBRATION_BINS - 1 : bin;
        bins[bin].n++;
        bins[bin].right += best == labels[i];
        bins[bin].confidence += p[best];
    }
}

double calibration_error(const float *probabilities, const int *labels, size_t n, int classes)
{
    struct calibration_bin bins[CALIBRATION_BINS];
    double sum = 0;
    calibration_bins_of(probabilities, labels, n, classes, bins);
    for (int b = 0; b < CALIBRATION_BINS; b++)
        sum += fabs(bins[b].confidence - (double)bins[b].right);
    return n > 0 ? sum / (double)n : 0;
}

double brier_score(const float *probabilities, const int *labels, size_t n, int classes)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < classes; c++) {
            const double gap = (double)probabilities[i * (size_t)classes + (size_t)c] - (c == labels[i]);
            sum += gap * gap;
        }
    return n > 0 ? sum / (double)n : 0;
}
