// data/split.c: which pictures are held out: by fraction or count, by group, in folds; by file: split_file.c.
// Stratified: every class's share is as near to the whole's as whole pictures, or whole groups, allow.  All draws are
// keyed by (seed, the group's name or the sample's place), so that neither depends on the order in which groups appear.

#include "data/sources.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct drawn {
    int label;
    uint64_t key;
    size_t index;
};

static int compare(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

static int by_label_and_key(const void *left, const void *right)
{
    const struct drawn *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    return a->key != b->key ? compare(a->key, b->key) : compare(a->index, b->index);
}

static int by_key(const void *left, const void *right)
{
    const struct drawn *a = left, *b = right;
    if (a->key != b->key)
        return compare(a->key, b->key);
    return a->label != b->label ? (a->label < b->label ? -1 : 1) : compare(a->index, b->index);
}

// Samples that cannot be told apart: a group's, or one without a group.
struct unit {
    size_t begin, end; // in `drawn`
    double weight;     // of its pictures, each by how rare its class is
};
struct strata {
    const struct dataset *data;
    struct drawn *drawn; // of labelled training samples
    size_t n;
    struct unit *units; // grouped data alone
    size_t n_units;
    double *total;      // by class: how many
};

static void strata_free(struct strata *s)
{
    mem_free(s->drawn);
    mem_free(s->units);
    mem_free(s->total);
}

static bool any_group(const struct dataset *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].group > 0)
            return true;
    return false;
}

static uint64_t key_of(const struct dataset *d, size_t index, uint64_t seed)
{
    const int group = d->samples[index].group;
    if (group == 0)
        return rng_hash(RNG_SPLIT, seed, index, 0);
    const char *name = d->groups[group - 1];
    return rng_hash(RNG_SPLIT, seed, hash_of((bytes){(const uint8_t *)name, strlen(name)}), 1);
}

static graft_status strata_make(const struct dataset *d, uint64_t seed, struct strata *s)
{
    const bool grouped = any_group(d);
    *s = (struct strata){.data = d};
    s->drawn = mem_alloc((d->count + 1) * sizeof *s->drawn);
    s->units = mem_alloc((grouped ? d->count + 1 : 1) * sizeof *s->units);
    s->total = mem_zero((size_t)d->n_classes + 1, sizeof *s->total);
    if (s->drawn == NULL || s->units == NULL || s->total == NULL) {
        strata_free(s);
        return fail_memory("the split");
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_TRAIN && d->samples[i].label >= 0) {
            s->drawn[s->n++] = (struct drawn){d->samples[i].label, key_of(d, i, seed), i};
            s->total[d->samples[i].label]++;
        }
    qsort(s->drawn, s->n, sizeof *s->drawn, grouped ? by_key : by_label_and_key);
    for (size_t begin = 0, end; grouped && begin < s->n; begin = end) {
        struct unit *u = &s->units[s->n_units++];
        *u = (struct unit){.begin = begin};
        for (end = begin; end < s->n && s->drawn[end].key == s->drawn[begin].key; end++)
            u->weight += 1 / s->total[s->drawn[end].label];
        u->end = end;
    }
    return GRAFT_OK;
}

// Of every class, as equally as the numbers allow, those with the smallest keys; `drawn` is sorted by class.
static long take_stratified(struct dataset *d, const struct strata *s, double fraction, long count)
{
    long taken = 0;
    for (size_t begin = 0, end; begin < s->n; begin = end) {
        for (end = begin; end < s->n && s->drawn[end].label == s->drawn[begin].label;)
            end++;
        // a count: what it should have reached after this class, less what it has
        const long size = (long)(end - begin);
        long take = count >= 0 ? (long)((double)count * end / s->n + 0.5) - taken : lround(fraction * size);
        take = take > size - 1 ? size - 1 : take; // a class too small to split stays in training
        for (long k = 0; k < take; k++)
            d->samples[s->drawn[begin + (size_t)k].index].part = PART_VAL;
        taken += take > 0 ? take : 0;
    }
    return taken;
}

// A unit's next class from *at on, and how many pictures of it.
static size_t run_of(const struct strata *s, const struct unit *u, size_t *at, int *label)
{
    const size_t begin = *at;
    *label = s->drawn[begin].label;
    while (*at < u->end && s->drawn[*at].label == *label)
        (*at)++;
    return *at - begin;
}

// How far a set is from its share: over classes the sum of (part of the class - share)^2, and as much weight again on
// the whole.  This is the change when the unit joins (sign 1) or leaves (-1); `count` is the set's, by class, `taken`
// in all.
static double change(const struct strata *s, const struct unit *u, double sign, const double *count, double taken,
                     double share)
{
    const double whole = taken / (double)s->n - share, part = sign * (double)(u->end - u->begin) / (double)s->n;
    double sum = s->data->n_classes * part * (2 * whole + part);
    int label;
    for (size_t at = u->begin; at < u->end;) {
        const double x = sign * (double)run_of(s, u, &at, &label) / s->total[label];
        sum += x * (2 * (count[label] / s->total[label] - share) + x);
    }
    return sum;
}

static void move(const struct strata *s, const struct unit *u, double sign, double *count, double *taken)
{
    int label;
    for (size_t at = u->begin; at < u->end;) {
        const double n = (double)run_of(s, u, &at, &label);
        count[label] += sign * n;
    }
    *taken += sign * (double)(u->end - u->begin);
}

// Whole groups, asked in the order of their keys to join, then again to join or leave, each doing so when that brings
// the set nearer to its share; never all of them.
static graft_status take_groups(struct dataset *d, const struct strata *s, double share, long *out)
{
    enum { PASSES = 4 };
    double *count = mem_zero((size_t)d->n_classes, sizeof *count), taken = 0;
    bool *in = mem_zero(s->n_units + 1, sizeof *in);
    size_t n = 0;
    const graft_status status = count != NULL && in != NULL ? GRAFT_OK : fail_memory("the split");
    for (int pass = 0; pass < PASSES && status == GRAFT_OK; pass++)
        for (size_t i = 0; i < s->n_units; i++) {
            const double sign = in[i] ? -1 : 1;
            if ((!in[i] && n + 1 >= s->n_units) || (in[i] && n <= 1) ||
                change(s, &s->units[i], sign, count, taken, share) >= -1e-12)
                continue;
            move(s, &s->units[i], sign, count, &taken);
            in[i] = !in[i];
            n += in[i] ? 1 : (size_t)-1;
        }
    for (size_t i = 0; i < s->n_units && status == GRAFT_OK; i++)
        for (size_t k = s->units[i].begin; in[i] && k < s->units[i].end; k++)
            d->samples[s->drawn[k].index].part = PART_VAL;
    mem_free(count);
    mem_free(in);
    *out = (long)taken;
    return status;
}

static graft_status split_training(struct dataset *d, double fraction, long count, uint64_t seed)
{
    struct strata s;
    long taken = 0;
    TRY(strata_make(d, seed, &s));
    const bool grouped = s.n_units > 0;
    graft_status status = GRAFT_OK;
    if (grouped)
        status = take_groups(d, &s, count >= 0 ? (double)count / (double)s.n : fraction, &taken);
    else
        taken = take_stratified(d, &s, fraction, count);
    strata_free(&s);
    d->has_val |= taken > 0;
    if (status == GRAFT_OK && taken == 0)
        log_warning("%s are too small to hold any picture out; there is no validation",
                    grouped ? "the groups" : "the classes");
    return status;
}

// The first of the format's own test part.
static graft_status take_tests(struct dataset *d, const char *val, size_t left)
{
    size_t tests = 0;
    for (size_t i = 0; i < d->count; i++)
        tests += d->samples[i].part == PART_TEST;
    if (left > tests)
        return fail(GRAFT_BAD_OPTION, "--val %s: the test part has %zu pictures", val, tests);
    for (size_t i = 0; i < d->count && left > 0; i++)
        if (d->samples[i].part == PART_TEST) {
            d->samples[i].part = PART_VAL;
            left--;
        }
    d->has_val = true;
    return GRAFT_OK;
}

static graft_status hold_out(struct dataset *d, const char *val, uint64_t seed)
{
    char *end;
    const double number = strtod(val, &end);
    const bool count = strchr(val, '.') == NULL;
    size_t total = 0;
    if (end == val || *end != '\0' || val[strspn(val, ".0123456789")] != '\0' || number > 1e9 ||
        (!count && number >= 1))
        return fail(GRAFT_BAD_OPTION, "--val %s: expected a fraction such as 0.2, a count such as 100, or 0", val);
    for (size_t i = 0; i < d->count; i++) {
        total += d->samples[i].part == PART_TRAIN;
        if (number == 0 && d->samples[i].part == PART_VAL)
            d->samples[i].part = PART_NONE;
    }
    if (number == 0) {
        d->has_val = false;
        return GRAFT_OK;
    }
    if (d->has_val)
        return GRAFT_OK; // the data's own
    if (count && d->has_test && d->array_h > 0)
        return take_tests(d, val, (size_t)number);
    if (count && (size_t)number >= total)
        return fail(GRAFT_BAD_OPTION, "--val %s: there are only %zu pictures to train on", val, total);
    return split_training(d, number, count ? (long)number : -1, seed);
}

graft_status dataset_split(struct dataset *d, const char *val, long limit, uint64_t seed)
{
    long kept = 0;
    if (val == NULL ? !d->has_val : strcmp(val, "keep") != 0)
        TRY(hold_out(d, val != NULL ? val : "0.2", seed));
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_TRAIN && limit > 0 && kept++ >= limit)
            d->samples[i].part = PART_NONE;
    return GRAFT_OK;
}

static int by_weight(const void *left, const void *right) // the heaviest first: they are the hardest to place
{
    const struct unit *a = left, *b = right;
    return a->weight != b->weight ? (a->weight > b->weight ? -1 : 1) : compare(a->begin, b->begin);
}

// Each unit to the fold that it brings nearest to its share.
static graft_status fold_groups(struct strata *s, int k, int *fold)
{
    const size_t classes = (size_t)s->data->n_classes;
    double *count = mem_zero((size_t)k * classes, sizeof *count), *taken = mem_zero((size_t)k, sizeof *taken);
    const graft_status status = count != NULL && taken != NULL ? GRAFT_OK : fail_memory("the folds");
    qsort(s->units, s->n_units, sizeof *s->units, by_weight);
    for (size_t i = 0; i < s->n_units && status == GRAFT_OK; i++) {
        const struct unit *u = &s->units[i];
        int best = 0;
        double least = INFINITY;
        for (int f = 0; f < k; f++) {
            const double cost = change(s, u, 1, count + (size_t)f * classes, taken[f], 1.0 / k);
            if (cost < least - 1e-12) {
                least = cost;
                best = f;
            }
        }
        move(s, u, 1, count + (size_t)best * classes, &taken[best]);
        for (size_t at = u->begin; at < u->end; at++)
            fold[s->drawn[at].index] = best;
    }
    mem_free(count);
    mem_free(taken);
    return status;
}

graft_status dataset_folds(const struct dataset *d, int k, uint64_t seed, int *fold)
{
    struct strata s;
    graft_status status = GRAFT_OK;
    TRY(strata_make(d, seed, &s));
    for (size_t i = 0; i < d->count; i++)
        fold[i] = -1;
    const size_t units = s.n_units > 0 ? s.n_units : s.n;
    if (k < 2 || (size_t)k > units)
        status = fail(GRAFT_BAD_OPTION, "%d folds: at least 2 are needed, and at most as many as there are %s, %zu", k,
                      s.n_units > 0 ? "groups" : "training pictures", units);
    else if (s.n_units > 0)
        status = fold_groups(&s, k, fold);
    else
        for (size_t i = 0; i < s.n; i++) // sorted by class: dealing them out goes on from one class to the next
            fold[s.drawn[i].index] = (int)(i % (size_t)k);
    strata_free(&s);
    return status;
}

void dataset_fold_use(struct dataset *d, const int *fold, int held_out)
{
    for (size_t i = 0; i < d->count; i++)
        if (fold[i] >= 0)
            d->samples[i].part = fold[i] == held_out ? PART_VAL : PART_TRAIN;
    d->has_val = true;
}

graft_status dataset_groups_check(const struct dataset *d)
{
    static const char *const names[] = {"train", "val", "test"};
    size_t (*count)[3] = mem_zero((size_t)d->n_groups + 1, sizeof *count); // by group and part
    char list[512] = "";
    int bad = 0;
    if (count == NULL)
        return fail_memory("the groups");
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].group > 0 && part_used(d->samples[i].part))
            count[d->samples[i].group - 1][d->samples[i].part]++;
    for (int g = 0; g < d->n_groups; g++) {
        const int parts = (count[g][0] > 0) + (count[g][1] > 0) + (count[g][2] > 0);
        if (parts < 2 || bad++ >= 3)
            continue;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s'%.60s' (", bad > 1 ? ", " : "", d->groups[g]);
        for (int p = 0, shown = 0; p < 3; p++)
            if (count[g][p] > 0)
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%zu %s", shown++ > 0 ? ", " : "",
                         count[g][p], names[p]);
        snprintf(list + strlen(list), sizeof list - strlen(list), ")");
    }
    mem_free(count);
    if (bad == 0)
        return GRAFT_OK;
    return fail(GRAFT_BAD_FILE,
                "%d groups have pictures in two parts, so what is measured would be remembered, not learned: "
                "%s%s.  Split by group (--val 0.2 without a column split), or say --group none",
                bad, list, bad > 3 ? ", ..." : "");
}
