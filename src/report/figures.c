// report/figures.c: a run's figures from its predictions.

#include "base/memory.h"
#include "infer/calibrate.h"
#include "report/page.h"
#include <float.h>
#include <math.h>
#include <string.h>

void figures_free(struct figures *f)
{
    mem_free(f->losses);
    mem_free(f->classes);
    mem_free(f->mistakes);
    mem_free(f->pairs);
    *f = (struct figures){0};
}

static void classes_fill(const struct run_data *d, struct figures *f)
{
    int with_pictures = 0;
    for (size_t i = 0; i < d->n; i++) {
        const int best = best_class(d->probabilities + i * (size_t)d->n_classes, d->n_classes);
        f->classes[d->labels[i]].own++;
        f->classes[best].predicted++;
        f->classes[best].right += best == d->labels[i];
    }
    for (int c = 0; c < d->n_classes; c++) {
        struct class_row *row = &f->classes[c];
        row->precision = row->predicted > 0 ? (double)row->right / (double)row->predicted : 0;
        row->recall = row->own > 0 ? (double)row->right / (double)row->own : 0;
        row->f1 = row->right > 0 ? 2 * row->precision * row->recall / (row->precision + row->recall) : 0;
        f->macro_f1 += row->f1;
        with_pictures += row->own > 0;
    }
    f->macro_f1 /= with_pictures > 0 ? with_pictures : 1;
}

// After temperature scaling.
static graft_status calm_fill(const struct run_data *d, struct figures *f)
{
    f->temperature = temperature_fit(d->probabilities, d->labels, d->n, d->n_classes);
    if (f->temperature == 0)
        return GRAFT_OK;
    const size_t size = d->n * (size_t)d->n_classes * sizeof(float);
    float *copy = mem_alloc(size);
    if (copy == NULL)
        return fail_memory("the calibrated probabilities");
    memcpy(copy, d->probabilities, size);
    temperature_apply(f->temperature, copy, d->n, d->n_classes);
    f->calm_ece = calibration_error(copy, d->labels, d->n, d->n_classes);
    f->calm_loss = metrics_of(copy, d->labels, d->n, d->n_classes).log_loss;
    mem_free(copy);
    return GRAFT_OK;
}

graft_status figures_make(const struct run_data *d, struct figures *f)
{
    const int k = d->n_classes;
    double *squares = NULL;
    graft_status status = GRAFT_OK;
    *f = (struct figures){.n = d->n};
    if (d->n == 0)
        return GRAFT_OK;
    f->losses = mem_alloc(d->n * sizeof *f->losses);
    f->classes = mem_zero((size_t)k, sizeof *f->classes);
    squares = mem_alloc(d->n * sizeof *squares);
    if (f->losses == NULL || f->classes == NULL || squares == NULL)
        TRY_GOTO(fail_memory("the report's figures"));
    for (size_t i = 0; i < d->n; i++) {
        const float *p = d->probabilities + i * (size_t)k;
        const struct metrics one = metrics_of(p, &d->labels[i], 1, k);
        f->losses[i] = one.log_loss;
        f->right1 += one.top1 > 0;
        f->right5 += one.top5 > 0;
        squares[i] = brier_score(p, &d->labels[i], 1, k);
    }
    f->m = metrics_of(d->probabilities, d->labels, d->n, k);
    f->ece = calibration_error(d->probabilities, d->labels, d->n, k);
    f->brier = brier_score(d->probabilities, d->labels, d->n, k);
    f->top1 = wilson_interval(f->right1, d->n);
    f->top5 = wilson_interval(f->right5, d->n);
    f->loss = bootstrap_interval(f->losses, d->n, 1);
    f->brier_range = bootstrap_interval(squares, d->n, 1);
    calibration_bins_of(d->probabilities, d->labels, d->n, k, f->bins);
    classes_fill(d, f);
    TRY_GOTO(calm_fill(d, f));
    TRY_GOTO(mistakes_find(d->probabilities, d->labels, d->n, k, &f->mistakes, &f->n_mistakes));
    TRY_GOTO(pairs_find(f->mistakes, f->n_mistakes, &f->pairs, &f->n_pairs));
done:
    mem_free(squares);
    if (status != GRAFT_OK)
        figures_free(f);
    return status;
}
