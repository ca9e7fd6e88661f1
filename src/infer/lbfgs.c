// infer/lbfgs.c: limited-memory BFGS with a backtracking line search.
//   d = -H g by the two-loop recursion over the last pairs s = x' - x, y = g' - g;  x' = x + t d, t halved until
//   f(x') <= f(x) + 1e-4 t g d.  A pair whose curvature s y is not positive is left out.
// Source: Nocedal and Wright, Numerical Optimization, algorithms 3.1, 7.4 and 7.5.

#include "infer/lbfgs.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

enum { PAIRS = 12 };
struct memory_of_steps {
    size_t n;
    double *s, *y, rho[PAIRS]; // (PAIRS, n), a ring
    int count, next;
};

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void direction(const struct memory_of_steps *m, const double *gradient, double *d)
{
    double alpha[PAIRS];
    for (size_t i = 0; i < m->n; i++)
        d[i] = -gradient[i];
    for (int back = 1; back <= m->count; back++) {
        const size_t k = (size_t)((m->next - back + PAIRS) % PAIRS);
        const double *s = m->s + k * m->n, *y = m->y + k * m->n;
        alpha[k] = m->rho[k] * dot(s, d, m->n);
        for (size_t i = 0; i < m->n; i++)
            d[i] -= alpha[k] * y[i];
    }
    if (m->count > 0) {
        const size_t k = (size_t)((m->next - 1 + PAIRS) % PAIRS);
        const double *y = m->y + k * m->n, scale = 1 / (m->rho[k] * dot(y, y, m->n));
        for (size_t i = 0; i < m->n; i++)
            d[i] *= scale;
    }
    for (int back = m->count; back >= 1; back--) {
        const size_t k = (size_t)((m->next - back + PAIRS) % PAIRS);
        const double *s = m->s + k * m->n, *y = m->y + k * m->n, beta = m->rho[k] * dot(y, d, m->n);
        for (size_t i = 0; i < m->n; i++)
            d[i] += (alpha[k] - beta) * s[i];
    }
}

static void remember(struct memory_of_steps *m, const double *x, const double *x_new, const double *g,
                     const double *g_new)
{
    double *s = m->s + (size_t)m->next * m->n, *y = m->y + (size_t)m->next * m->n;
    for (size_t i = 0; i < m->n; i++) {
        s[i] = x_new[i] - x[i];
        y[i] = g_new[i] - g[i];
    }
    const double curvature = dot(s, y, m->n);
    if (!(curvature > 1e-300))
        return;
    m->rho[m->next] = 1 / curvature;
    m->next = (m->next + 1) % PAIRS;
    m->count += m->count < PAIRS;
}

static double largest(const double *g, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(g[i]));
    return most;
}

graft_status lbfgs_minimise(smooth f, void *user, double *x, size_t n, double tolerance, int rounds)
{
    double *block = mem_alloc((2 * PAIRS + 4) * n * sizeof *block);
    if (block == NULL)
        return fail_memory("a fit");
    struct memory_of_steps m = {.n = n, .s = block, .y = block + PAIRS * n};
    double *g = m.y + PAIRS * n, *d = g + n, *x_new = d + n, *g_new = x_new + n;
    double value = f(user, x, g);
    for (int round = 0; round < rounds && largest(g, n) > tolerance; round++) {
        direction(&m, g, d);
        double slope = dot(g, d, n), step = m.count > 0 ? 1 : 1 / fmax(1, sqrt(dot(g, g, n))), found = NAN;
        if (!(slope < 0)) { // rounding has spoilt the memory
            m.count = 0;
            continue;
        }
        for (int halving = 0; halving < 60; halving++, step /= 2) {
            for (size_t i = 0; i < n; i++)
                x_new[i] = x[i] + step * d[i];
            found = f(user, x_new, g_new);
            if (found <= value + 1e-4 * step * slope)
                break;
        }
        if (!(found < value))
            break;
        remember(&m, x, x_new, g, g_new);
        memcpy(x, x_new, n * sizeof *x);
        memcpy(g, g_new, n * sizeof *g);
        value = found;
    }
    mem_free(block);
    return GRAFT_OK;
}
