// infer/fit.c: weights by expectation maximisation, by greedy selection; stacking by logistic regression.
//   EM for the shares of a mixture:  w_m <- mean over pictures of w_m p_m / sum_k w_k p_k,  p the label's probability.
//   The log-loss is convex in w, and every round lowers it.
// Sources: Caruana et al. 2004 (selection); Wolpert 1992 (stacking).

#include "infer/fit.h"
#include "base/memory.h"
#include "infer/lbfgs.h"
#include <float.h>
#include <math.h>
#include <string.h>

static double clipped(double p) { return fmin(fmax(p, FLT_EPSILON), 1 - FLT_EPSILON); } // as metrics_of has it

// The label's probability by model and row: (models, n), heap; NULL: no memory.
static double *own_probabilities(const struct opinions *o)
{
    double *own = mem_alloc((o->n + 1) * (size_t)o->models * sizeof *own);
    for (int m = 0; own != NULL && m < o->models; m++)
        for (size_t i = 0; i < o->n; i++)
            own[(size_t)m * o->n + i] = o->p[m][(size_t)o->row[i] * (size_t)o->classes + (size_t)o->labels[o->row[i]]];
    return own;
}

graft_status fit_weights(const struct opinions *o, double *w)
{
    enum { ROUNDS = 20000 };
    double *own = own_probabilities(o), *next = mem_alloc((size_t)o->models * sizeof *next);
    if (own == NULL || next == NULL) {
        mem_free(own);
        mem_free(next);
        return fail_memory("the weights");
    }
    for (int m = 0; m < o->models; m++)
        w[m] = 1.0 / o->models;
    for (int round = 0; round < ROUNDS; round++) {
        double moved = 0;
        memset(next, 0, (size_t)o->models * sizeof *next);
        for (size_t i = 0; i < o->n; i++) {
            double sum = 0;
            for (int m = 0; m < o->models; m++)
                sum += w[m] * fmax(own[(size_t)m * o->n + i], FLT_MIN);
            for (int m = 0; m < o->models; m++)
                next[m] += w[m] * fmax(own[(size_t)m * o->n + i], FLT_MIN) / sum;
        }
        for (int m = 0; m < o->models; m++) {
            moved = fmax(moved, fabs(next[m] / (double)o->n - w[m]));
            w[m] = next[m] / (double)o->n;
        }
        if (moved < 1e-9)
            break;
    }
    mem_free(own);
    mem_free(next);
    return GRAFT_OK;
}

graft_status fit_greedy(const struct opinions *o, int rounds, double *w)
{
    double *own = own_probabilities(o), *sum = mem_zero(o->n + 1, sizeof *sum), best = INFINITY;
    double *count = mem_zero((size_t)o->models, sizeof *count);
    if (own == NULL || sum == NULL || count == NULL) {
        mem_free(own);
        mem_free(sum);
        mem_free(count);
        return fail_memory("the weights");
    }
    for (int round = 1; round <= rounds; round++) {
        int chosen = 0;
        double least = INFINITY;
        for (int m = 0; m < o->models; m++) {
            double loss = 0;
            for (size_t i = 0; i < o->n; i++)
                loss -= log(clipped((sum[i] + own[(size_t)m * o->n + i]) / round));
            if (loss < least) {
                least = loss;
                chosen = m;
            }
        }
        for (size_t i = 0; i < o->n; i++)
            sum[i] += own[(size_t)chosen * o->n + i];
        count[chosen]++;
        if (least < best - 1e-12 * (double)o->n) {
            best = least;
            for (int m = 0; m < o->models; m++)
                w[m] = count[m] / round;
        }
    }
    mem_free(own);
    mem_free(sum);
    mem_free(count);
    return GRAFT_OK;
}

// ---- stacking

static void features_of(const float *const *p, int models, int classes, double *x) // log p of all, then 1
{
    for (int m = 0; m < models; m++)
        for (int c = 0; c < classes; c++)
            x[m * classes + c] = log(fmax(p[m][c], FLT_EPSILON));
    x[models * classes] = 1;
}

// Softmax of W x.
static void softmax_of(const double *w, const double *x, int classes, int width, double *p)
{
    double top = -INFINITY, sum = 0;
    for (int c = 0; c < classes; c++) {
        p[c] = 0;
        for (int k = 0; k < width; k++)
            p[c] += w[c * width + k] * x[k];
        top = fmax(top, p[c]);
    }
    for (int c = 0; c < classes; c++)
        sum += p[c] = exp(p[c] - top);
    for (int c = 0; c < classes; c++)
        p[c] /= sum;
}

struct stacking {
    const struct opinions *opinions;
    double c, *x; // (n, width)
    double *p;    // (classes)
    int width;
};

static double stack_loss(void *user, const double *w, double *gradient)
{
    const struct stacking *s = user;
    const struct opinions *o = s->opinions;
    double loss = 0;
    for (int c = 0; c < o->classes; c++)
        for (int k = 0; k < s->width; k++) {
            const double penalised = k < s->width - 1 ? w[c * s->width + k] : 0;
            loss += penalised * penalised / 2;
            gradient[c * s->width + k] = penalised;
        }
    for (size_t i = 0; i < o->n; i++) {
        const double *x = s->x + i * (size_t)s->width;
        const int label = o->labels[o->row[i]];
        softmax_of(w, x, o->classes, s->width, s->p);
        loss -= s->c * log(fmax(s->p[label], DBL_MIN));
        for (int c = 0; c < o->classes; c++)
            for (int k = 0; k < s->width; k++)
                gradient[c * s->width + k] += s->c * (s->p[c] - (c == label)) * x[k];
    }
    return loss;
}

graft_status fit_stack(const struct opinions *o, double c, double *stack)
{
    const int width = o->models * o->classes + 1;
    struct stacking s = {.opinions = o, .c = c, .width = width};
    const float **row = mem_alloc((size_t)o->models * sizeof *row);
    graft_status status = GRAFT_OK;
    s.x = mem_alloc((o->n + 1) * (size_t)width * sizeof *s.x);
    s.p = mem_alloc((size_t)o->classes * sizeof *s.p);
    if (s.x == NULL || s.p == NULL || row == NULL)
        TRY_GOTO(fail_memory("stacking"));
    for (size_t i = 0; i < o->n; i++) {
        for (int m = 0; m < o->models; m++)
            row[m] = o->p[m] + (size_t)o->row[i] * (size_t)o->classes;
        features_of(row, o->models, o->classes, s.x + i * (size_t)width);
    }
    memset(stack, 0, (size_t)o->classes * (size_t)width * sizeof *stack);
    TRY_GOTO(lbfgs_minimise(stack_loss, &s, stack, (size_t)o->classes * (size_t)width, 1e-7 * c * (double)o->n, 5000));
done:
    mem_free(s.x);
    mem_free(s.p);
    mem_free(row);
    return status;
}

void stack_apply(const double *stack, const float *const *p, int models, int classes, float *out)
{
    const int width = models * classes + 1;
    double top = -INFINITY, sum = 0;
    for (int c = 0; c < classes; c++) {
        const double *w = stack + (size_t)c * (size_t)width;
        double logit = w[width - 1];
        for (int m = 0; m < models; m++)
            for (int k = 0; k < classes; k++)
                logit += w[m * classes + k] * log(fmax(p[m][k], FLT_EPSILON));
        out[c] = (float)logit;
        top = fmax(top, out[c]);
    }
    for (int c = 0; c < classes; c++)
        sum += exp(out[c] - top);
    for (int c = 0; c < classes; c++)
        out[c] = (float)(exp(out[c] - top) / sum);
}
