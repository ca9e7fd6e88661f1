// infer/knn.c: distances by blocked products of the rows with each other, |a - b|^2 = |a|^2 + |b|^2 - 2 a b in float;
// the best of those are measured again in double, since the difference of large numbers is worth little where rows are
// nearly the same, as frames of a film are.

#include "infer/knn.h"
#include "base/log.h"
#include "base/memory.h"
#include "exec/plan.h"
#include <math.h>
#include <string.h>

enum { ROWS = 32, COLUMNS = 256, SPARE = 16 }; // a block; candidates beyond k
enum { BLOCKS = 8 }; // a thread, between two questions whether to stop
struct candidate { float d; uint32_t index; };

static int before(const struct candidate *a, const struct candidate *b)
{
    return a->d < b->d || (a->d == b->d && a->index < b->index);
}

// Into a list sorted by distance that holds at most `most`.
static void keep(struct candidate *list, int *n, int most, struct candidate c)
{
    if (*n == most && !before(&c, &list[most - 1]))
        return;
    int at = *n < most ? (*n)++ : most - 1;
    for (; at > 0 && before(&c, &list[at - 1]); at--)
        list[at] = list[at - 1];
    list[at] = c;
}

static float dot(const float *a, const float *b, int n)
{
    float lane[8] = {0};
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        lane[0] += a[i] * b[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static float exact(const float *a, const float *b, int n, int cosine)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += cosine ? (double)a[i] * b[i] : ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return (float)(cosine ? fmax(0, 1 - sum) : sqrt(sum));
}

static void rows_search(const float *x, const float *norm, size_t n, int width, size_t first, size_t last, int most,
                        struct candidate *list, int *count)
{
    for (size_t r = first; r < last; r++)
        count[r - first] = 0;
    for (size_t c = 0; c < n; c += COLUMNS) {
        const size_t end = c + COLUMNS < n ? c + COLUMNS : n;
        for (size_t r = first; r < last; r++)
            for (size_t j = c; j < end; j++)
                if (j != r) {
                    const float d = norm[r] + norm[j] - 2 * dot(x + r * (size_t)width, x + j * (size_t)width, width);
                    keep(list + (r - first) * (size_t)most, &count[r - first], most,
                         (struct candidate){d, (uint32_t)j});
                }
    }
}

// Of one block's rows.  False: no memory.
static bool block_search(const float *x, const float *norm, size_t n, int width, size_t first, int k, int cosine,
                         uint32_t *index, float *distance)
{
    const size_t last = first + ROWS < n ? first + ROWS : n;
    const int most = (size_t)(k + SPARE) < n - 1 ? k + SPARE : (int)(n - 1);
    struct candidate *list = mem_alloc((size_t)ROWS * (size_t)most * sizeof *list);
    int count[ROWS];
    if (list == NULL)
        return false;
    rows_search(x, norm, n, width, first, last, most, list, count);
    for (size_t r = first; r < last; r++) {
        struct candidate *own = list + (r - first) * (size_t)most;
        int kept = 0;
        for (int i = 0; i < count[r - first]; i++) { // sorted again by the exact distance: the place ahead is free
            const uint32_t other = own[i].index;
            const struct candidate c = {exact(x + r * (size_t)width, x + other * (size_t)width, width, cosine), other};
            keep(own, &kept, most, c);
        }
        for (int i = 0; i < k; i++) {
            index[r * (size_t)k + (size_t)i] = own[i].index;
            distance[r * (size_t)k + (size_t)i] = own[i].d;
        }
    }
    mem_free(list);
    return true;
}

// The caller's hook is asked between shares of the blocks, since it must be called on the caller's thread.
static graft_status search(const float *x, const float *norm, size_t n, int width, int k, int cosine, uint32_t *index,
                           float *distance)
{
    const long blocks = (long)((n + ROWS - 1) / ROWS), share = (long)BLOCKS * exec_threads();
    for (long begin = 0; begin < blocks; begin += share) {
        const long end = begin + share < blocks ? begin + share : blocks;
        bool failed = false;
#pragma omp parallel for schedule(dynamic) reduction(|| : failed)
        for (long b = begin; b < end; b++)
            failed = failed || !block_search(x, norm, n, width, (size_t)b * ROWS, k, cosine, index, distance);
        if (failed)
            return fail_memory("the neighbours");
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "stopped while looking for neighbours");
    }
    return GRAFT_OK;
}

graft_status knn_find(const float *x, size_t n, int width, int k, int cosine, uint32_t *index, float *distance)
{
    float *rows = mem_alloc(n * (size_t)width * sizeof *rows), *norm = mem_alloc(n * sizeof *norm);
    graft_status status = rows != NULL && norm != NULL ? GRAFT_OK : fail_memory("the neighbours");
    for (size_t i = 0; status == GRAFT_OK && i < n; i++) {
        float *to = rows + i * (size_t)width;
        double sum = 0;
        memcpy(to, x + i * (size_t)width, (size_t)width * sizeof *to);
        for (int c = 0; c < width; c++)
            sum += (double)to[c] * to[c];
        for (int c = 0; c < width && cosine && sum > 0; c++)
            to[c] = (float)(to[c] / sqrt(sum));
        norm[i] = cosine ? 1 : (float)sum;
    }
    if (status == GRAFT_OK)
        status = search(rows, norm, n, width, k, cosine, index, distance);
    mem_free(rows);
    mem_free(norm);
    return status;
}
