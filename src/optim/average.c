// optim/average.c: exponential and equal averages of the weights, elementwise on the parameter block's own layout.

#include "optim/average.h"
#include "base/memory.h"
#include <string.h>

graft_status average_init(struct average *a, const struct params *p, double keep)
{
    *a = (struct average){.whole = keep == 0, .keep = keep};
    a->values = mem_aligned((p->size + 16) * sizeof *a->values);
    if (a->values == NULL)
        return fail_memory("the average of the weights");
    memset(a->values, 0, p->size * sizeof *a->values);
    return GRAFT_OK;
}

void average_fini(struct average *a)
{
    mem_free(a->values);
    *a = (struct average){0};
}

// The trainable group, and for SWA the running statistics: what lies between is frozen.
static void each_range(const struct average *a, const struct params *p,
                       void (*act)(float *a, float *w, size_t n, float share), float share)
{
    act(a->values, p->block, p->group_begin[PARAM_TRAINABLE + 1], share);
    const size_t begin = p->group_begin[PARAM_RUNNING];
    if (a->whole)
        act(a->values + begin, p->block + begin, p->group_begin[PARAM_RUNNING + 1] - begin, share);
}

static void move(float *a, float *w, size_t n, float share)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        a[i] += share * (w[i] - a[i]);
}

static void copy(float *a, float *w, size_t n, float share)
{
    (void)share;
    memcpy(a, w, n * sizeof *a);
}

static void exchange(float *a, float *w, size_t n, float share)
{
    (void)share;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++) {
        const float kept = a[i];
        a[i] = w[i];
        w[i] = kept;
    }
}

void average_add(struct average *a, const struct params *p)
{
    const double share = a->keep > 0 ? 1 - a->keep : 1.0 / (double)(a->n + 1);
    each_range(a, p, a->n == 0 ? copy : move, (float)share);
    a->n++;
}

void average_swap(struct average *a, struct params *p)
{
    if (a->n == 0)
        return;
    each_range(a, p, exchange, 0);
    p->version++;
    a->swapped = !a->swapped;
}
