// infer/mistakes.c: mistakes sorted by confidence, confused pairs by number.

#include "infer/mistakes.h"
#include "base/memory.h"
#include "infer/metrics.h"
#include <stdlib.h>

static int by_confidence(const void *left, const void *right)
{
    const struct mistake *a = left, *b = right;
    if (a->confidence != b->confidence)
        return a->confidence < b->confidence ? 1 : -1;
    return (a->row > b->row) - (a->row < b->row);
}

static int by_classes(const void *left, const void *right)
{
    const struct confused_pair *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    return (a->predicted > b->predicted) - (a->predicted < b->predicted);
}

static int by_number(const void *left, const void *right)
{
    const struct confused_pair *a = left, *b = right;
    if (a->n != b->n)
        return a->n < b->n ? 1 : -1;
    return by_classes(a, b);
}

graft_status mistakes_find(const float *probabilities, const int *labels, size_t n, int classes, struct mistake **out,
                           size_t *count)
{
    size_t capacity = 0;
    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        const float *p = probabilities + i * (size_t)classes;
        const int best = best_class(p, classes);
        if (best == labels[i])
            continue;
        if (!mem_grow(out, &capacity, *count + 1, sizeof **out)) {
            mem_free(*out);
            *out = NULL;
            return fail_memory("the mistakes");
        }
        (*out)[(*count)++] = (struct mistake){i, labels[i], best, p[best]};
    }
    if (*count > 0)
        qsort(*out, *count, sizeof **out, by_confidence);
    return GRAFT_OK;
}

graft_status pairs_find(const struct mistake *mistakes, size_t n, struct confused_pair **out, size_t *count)
{
    struct confused_pair *pairs = n > 0 ? mem_alloc(n * sizeof *pairs) : NULL;
    *out = pairs;
    *count = 0;
    if (n == 0)
        return GRAFT_OK;
    if (pairs == NULL)
        return fail_memory("the confused pairs");
    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct confused_pair){mistakes[i].label, mistakes[i].predicted, 1};
    qsort(pairs, n, sizeof *pairs, by_classes);
    for (size_t i = 0; i < n; i++)
        if (*count > 0 && by_classes(&pairs[*count - 1], &pairs[i]) == 0)
            pairs[*count - 1].n++;
        else
            pairs[(*count)++] = pairs[i];
    qsort(pairs, *count, sizeof *pairs, by_number);
    return GRAFT_OK;
}
