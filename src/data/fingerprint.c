// data/fingerprint.c: near duplicates by a perceptual hash, confirmed by a small grey picture.
// The picture's grey is averaged in 32x32 cells; the hash has a bit for each of the 8x8 lowest frequencies of its
// cosine transform: whether it is above their median.  Two pictures are alike when at most 10 bits differ and their
// 16x16 greys correlate by 0.9 or more.  Measured on 25 photographs: recompressed (quality 30), resized to a third,
// squashed, blurred, made grey, 15 % brighter ones are found; another part of the same scene (0.70) and the other eye
// of a stereo pair (0.86) are not. Up to BRUTE samples every pair of hashes is compared; beyond, those that share one
// of four 16-bit bands.

#include "data/fingerprint.h"
#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 32, LOW = 8, MOST_BITS = 10, BRUTE = 50000 };
static const double least_correlation = 0.9;
static const double least_deviation = 3; // of the cells: below it is a flat picture

// Mean grey of each cell; a picture smaller than the cells repeats its pixels.
static void cells_of(const struct picture *p, double *cell)
{
    for (int cy = 0; cy < CELLS; cy++) {
        const int y0 = (int)((int64_t)cy * p->h / CELLS), y1 = (int)((int64_t)(cy + 1) * p->h / CELLS);
        for (int cx = 0; cx < CELLS; cx++) {
            const int x0 = (int)((int64_t)cx * p->w / CELLS), x1 = (int)((int64_t)(cx + 1) * p->w / CELLS);
            const int h = y1 > y0 ? y1 - y0 : 1, w = x1 > x0 ? x1 - x0 : 1;
            uint64_t sum = 0;
            for (int y = y0; y < y0 + h; y++) {
                const uint8_t *row = p->rgb + ((size_t)y * p->w + x0) * 3;
                uint32_t of_row = 0;
                for (int x = 0; x < w; x++)
                    of_row += 77u * row[3 * x] + 150u * row[3 * x + 1] + 29u * row[3 * x + 2];
                sum += of_row;
            }
            cell[cy * CELLS + cx] = (double)sum / (256.0 * w * h);
        }
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint64_t hash_bits(const double *cell)
{
    double cosine[LOW][CELLS], half[LOW][CELLS], low[LOW * LOW], sorted[LOW * LOW];
    uint64_t hash = 0;
    for (int k = 0; k < LOW; k++)
        for (int i = 0; i < CELLS; i++)
            cosine[k][i] = cos(M_PI * (2 * i + 1) * k / (2.0 * CELLS));
    for (int k = 0; k < LOW; k++)
        for (int x = 0; x < CELLS; x++) {
            half[k][x] = 0;
            for (int y = 0; y < CELLS; y++)
                half[k][x] += cosine[k][y] * cell[y * CELLS + x];
        }
    for (int k = 0; k < LOW; k++)
        for (int m = 0; m < LOW; m++) {
            low[k * LOW + m] = 0;
            for (int x = 0; x < CELLS; x++)
                low[k * LOW + m] += half[k][x] * cosine[m][x];
        }
    memcpy(sorted, low, sizeof low);
    qsort(sorted + 1, LOW * LOW - 1, sizeof *sorted, ascending); // without the mean
    const double median = sorted[LOW * LOW / 2];
    for (int i = 0; i < LOW * LOW; i++)
        hash |= (uint64_t)(low[i] > median) << i;
    return hash;
}

void fingerprint_take(const struct picture *p, struct fingerprint *out)
{
    double cell[CELLS * CELLS], sum = 0, squares = 0;
    cells_of(p, cell);
    for (int i = 0; i < CELLS * CELLS; i++) {
        sum += cell[i];
        squares += cell[i] * cell[i];
    }
    const double mean = sum / (CELLS * CELLS);
    for (int y = 0; y < FINGERPRINT_SIDE; y++)
        for (int x = 0; x < FINGERPRINT_SIDE; x++) {
            const double *at = cell + 2 * y * CELLS + 2 * x;
            out->grey[y * FINGERPRINT_SIDE + x] = (uint8_t)lrint((at[0] + at[1] + at[CELLS] + at[CELLS + 1]) / 4);
        }
    out->hash = hash_bits(cell);
    out->state = squares / (CELLS * CELLS) - mean * mean < least_deviation * least_deviation ? FINGERPRINT_FLAT
                                                                                             : FINGERPRINT_GOOD;
}

static double correlation(const uint8_t *a, const uint8_t *b)
{
    enum { N = FINGERPRINT_SIDE * FINGERPRINT_SIDE };
    int64_t sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
    for (int i = 0; i < N; i++) {
        sa += a[i];
        sb += b[i];
        saa += a[i] * a[i];
        sbb += b[i] * b[i];
        sab += a[i] * b[i];
    }
    const double va = (double)(N * saa - sa * sa), vb = (double)(N * sbb - sb * sb);
    return va > 0 && vb > 0 ? (double)(N * sab - sa * sb) / sqrt(va * vb) : 0;
}

bool fingerprint_alike(const struct fingerprint *a, const struct fingerprint *b)
{
    return a->state == FINGERPRINT_GOOD && b->state == FINGERPRINT_GOOD &&
           __builtin_popcountll(a->hash ^ b->hash) <= MOST_BITS && correlation(a->grey, b->grey) >= least_correlation;
}

struct keyed {
    uint64_t key;
    uint32_t index;
};

static int by_key(const void *left, const void *right)
{
    const struct keyed *a = left, *b = right;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : a->index < b->index ? -1 : a->index > b->index;
}

static uint32_t root_of(uint32_t *root, uint32_t i)
{
    while (root[i] != i)
        i = root[i] = root[root[i]];
    return i;
}

static void unite(uint32_t *root, uint32_t a, uint32_t b)
{
    a = root_of(root, a);
    b = root_of(root, b);
    if (a < b)
        root[b] = a;
    else
        root[a] = b;
}

static void compare(const struct fingerprint *prints, uint32_t *root, uint32_t a, uint32_t b)
{
    if (__builtin_popcountll(prints[a].hash ^ prints[b].hash) <= MOST_BITS && root_of(root, a) != root_of(root, b) &&
        fingerprint_alike(&prints[a], &prints[b]))
        unite(root, a, b);
}

// `list`: room for n.
static void find_alike(const struct fingerprint *prints, uint32_t *root, size_t n, struct keyed *list)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) // of exact duplicates one is enough
        if (prints[i].state == FINGERPRINT_GOOD && root[i] == i)
            list[count++] = (struct keyed){prints[i].hash, (uint32_t)i};
    if (count <= BRUTE) {
        for (size_t a = 0; a < count; a++)
            for (size_t b = a + 1; b < count; b++)
                if (__builtin_popcountll(list[a].key ^ list[b].key) <= MOST_BITS)
                    compare(prints, root, list[a].index, list[b].index);
        return;
    }
    for (int band = 0; band < 4; band++) {
        for (size_t i = 0; i < count; i++)
            list[i].key = prints[list[i].index].hash >> 16 * band & 0xffff;
        qsort(list, count, sizeof *list, by_key);
        for (size_t begin = 0, end; begin < count; begin = end) {
            for (end = begin + 1; end < count && list[end].key == list[begin].key; end++)
                ;
            for (size_t a = begin; a < end; a++)
                for (size_t b = a + 1; b < end; b++)
                    compare(prints, root, list[a].index, list[b].index);
        }
    }
}

graft_status clusters_find(const struct fingerprint *prints, const uint64_t *content, size_t n, struct clusters *out)
{
    struct keyed *list = mem_alloc((n + 1) * sizeof *list);
    *out = (struct clusters){mem_alloc((n + 1) * sizeof *out->root), mem_zero(n + 1, sizeof *out->exact)};
    if (list == NULL || out->root == NULL || out->exact == NULL) {
        mem_free(list);
        clusters_free(out);
        return fail_memory("the search for duplicates");
    }
    size_t known = 0;
    for (size_t i = 0; i < n; i++) {
        out->root[i] = (uint32_t)i;
        if (content != NULL && content[i] != 0)
            list[known++] = (struct keyed){content[i], (uint32_t)i};
    }
    qsort(list, known, sizeof *list, by_key);
    for (size_t i = 1; i < known; i++)
        if (list[i].key == list[i - 1].key)
            unite(out->root, list[i].index, list[i - 1].index);
    for (size_t i = 0; i < n; i++)
        root_of(out->root, (uint32_t)i); // shortens paths: now each exact duplicate points at its first
    find_alike(prints, out->root, n, list);
    for (size_t i = 0; i < n; i++)
        out->root[i] = root_of(out->root, (uint32_t)i);
    for (size_t i = 0; i < n && content != NULL; i++)
        out->exact[i] = content[i] != 0 && content[i] == content[out->root[i]];
    mem_free(list);
    return GRAFT_OK;
}

void clusters_free(struct clusters *c)
{
    mem_free(c->root);
    mem_free(c->exact);
    *c = (struct clusters){0};
}

// Every picture held out against those to train on that share a band with it, or against all while that is cheap.
graft_status twins_find(const struct dataset *d, struct twins **out, size_t *n)
{
    struct keyed *trained = mem_alloc((d->count + 1) * sizeof *trained);
    uint32_t *found = mem_alloc((d->count + 1) * sizeof *found), *held = mem_alloc((d->count + 1) * sizeof *held);
    size_t n_trained = 0, n_held = 0, capacity = 0;
    graft_status status = GRAFT_OK;
    *out = NULL;
    *n = 0;
    if (trained == NULL || found == NULL || held == NULL)
        TRY_GOTO(fail_memory("the search for duplicates"));
    for (size_t i = 0; i < d->count && d->prints != NULL; i++) {
        const enum part part = d->samples[i].part;
        found[i] = UINT32_MAX;
        if (d->prints[i].state != FINGERPRINT_GOOD)
            continue;
        if (part == PART_TRAIN || part == PART_PSEUDO)
            trained[n_trained++] = (struct keyed){0, (uint32_t)i};
        else if (part == PART_VAL || part == PART_TEST)
            held[n_held++] = (uint32_t)i;
    }
    const bool brute = (double)n_trained * (double)n_held <= (double)BRUTE * BRUTE;
    for (int band = 0; band < (brute ? 1 : 4); band++) {
        for (size_t i = 0; i < n_trained; i++)
            trained[i].key = brute ? 0 : d->prints[trained[i].index].hash >> 16 * band & 0xffff;
        qsort(trained, n_trained, sizeof *trained, by_key);
        for (size_t k = 0; k < n_held; k++) {
            const struct fingerprint *own = &d->prints[held[k]];
            const uint64_t key = brute ? 0 : own->hash >> 16 * band & 0xffff;
            size_t low = 0, high = n_trained; // the first of that key
            while (low < high) {
                const size_t middle = low + (high - low) / 2;
                *(trained[middle].key < key ? &low : &high) = trained[middle].key < key ? middle + 1 : middle;
            }
            for (; low < n_trained && trained[low].key == key && found[held[k]] == UINT32_MAX; low++)
                if (fingerprint_alike(own, &d->prints[trained[low].index]))
                    found[held[k]] = trained[low].index;
        }
    }
    for (size_t k = 0; k < n_held; k++)
        if (found[held[k]] != UINT32_MAX) {
            if (!mem_grow(out, &capacity, *n + 1, sizeof **out))
                TRY_GOTO(fail_memory("the search for duplicates"));
            (*out)[(*n)++] = (struct twins){held[k], found[held[k]]};
        }
done:
    mem_free(trained);
    mem_free(found);
    mem_free(held);
    if (status != GRAFT_OK) {
        mem_free(*out);
        *out = NULL;
    }
    return status;
}

graft_status dataset_prints_keep(struct dataset *d)
{
    if (d->prints == NULL && d->array_h == 0)
        d->prints = mem_zero(d->count + 1, sizeof *d->prints);
    return d->prints != NULL || d->array_h > 0 ? GRAFT_OK : fail_memory("the pictures' fingerprints");
}
