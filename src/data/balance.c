// data/balance.c: what an epoch is made of: fixed copies, oversampled classes, weights, and the order.
// Copies and repeats are samples of their own behind the others, with the picture of an earlier one; sample_number
// gives each its own place in the hash that augmentation draws from.

#include "base/csv.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/pseudo.h"
#include "data/sources.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static graft_status repeat(struct dataset *d, size_t index, int copy, int round)
{
    struct sample again = d->samples[index];
    TRY(sample_add(d, again.path, again.label, again.part, again.data));
    char *path = d->samples[d->count - 1].path;
    d->samples[d->count - 1] = again;
    d->samples[d->count - 1].path = path;
    if (again.copy == 0 && again.round == 0)
        d->samples[d->count - 1].origin = (uint32_t)index;
    d->samples[d->count - 1].copy = copy;
    d->samples[d->count - 1].round = round;
    return GRAFT_OK;
}

uint64_t sample_number(const struct dataset *d, size_t index)
{
    const struct sample *s = &d->samples[index];
    return s->copy > 0 || s->round > 0 ? s->origin | (uint64_t)s->copy << 32 | (uint64_t)s->round << 40 : index;
}

graft_status dataset_copies(struct dataset *d, int copies)
{
    const size_t n = d->count;
    for (int k = 1; k <= copies; k++) // the k-th of all: more copies do not change the first ones
        for (size_t i = 0; i < n; i++)
            if (d->samples[i].part == PART_TRAIN)
                TRY(repeat(d, i, k, 0));
    return GRAFT_OK;
}

graft_status dataset_balance(struct dataset *d)
{
    const size_t n = d->count;
    size_t *size = mem_zero((size_t)d->n_classes + 1, sizeof *size), most = 0;
    graft_status status = GRAFT_OK;
    if (size == NULL)
        return fail_memory("the classes' sizes");
    for (size_t i = 0; i < n; i++)
        if (d->samples[i].part == PART_TRAIN) {
            const size_t in_class = ++size[d->samples[i].label];
            most = in_class > most ? in_class : most;
        }
    for (size_t i = 0; i < n; i++)
        if (d->samples[i].part == PART_TRAIN)
            for (size_t round = 1; round * size[d->samples[i].label] < most; round++)
                TRY_GOTO(repeat(d, i, d->samples[i].copy, (int)round));
    d->balanced = most;
done:
    mem_free(size);
    return status;
}

struct drawn {
    int label;
    uint64_t key;
    uint32_t index;
};

static int by_label_and_key(const void *left, const void *right)
{
    const struct drawn *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : a->index < b->index ? -1 : a->index > b->index;
}

// Of every class's last round, which not all of them fit into, those that this epoch's keys choose.
static graft_status balanced_order(const struct dataset *d, uint64_t seed, uint64_t epoch, uint32_t *order, size_t *n)
{
    struct drawn *drawn = mem_alloc((d->count + 1) * sizeof *drawn);
    size_t all = 0;
    if (drawn == NULL)
        return fail_memory("the order of pictures");
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_TRAIN) {
            const uint64_t key = rng_hash(RNG_BALANCE, seed, epoch, i) >> 16 | (uint64_t)d->samples[i].round << 48;
            drawn[all++] = (struct drawn){d->samples[i].label, key, (uint32_t)i};
        }
    qsort(drawn, all, sizeof *drawn, by_label_and_key);
    *n = 0;
    for (size_t i = 0, in_class = 0; i < all; i++) {
        in_class = i > 0 && drawn[i].label == drawn[i - 1].label ? in_class + 1 : 0;
        if (in_class < d->balanced)
            order[(*n)++] = drawn[i].index;
    }
    mem_free(drawn);
    return GRAFT_OK;
}

graft_status dataset_order(const struct dataset *d, uint64_t seed, uint64_t epoch, uint32_t *order, size_t *n)
{
    *n = 0;
    if (d->balanced > 0)
        TRY(balanced_order(d, seed, epoch, order, n));
    else
        for (size_t i = 0; i < d->count; i++)
            if (d->samples[i].part == PART_TRAIN)
                order[(*n)++] = (uint32_t)i;
    rng_shuffle(order, (uint32_t)*n, RNG_SHUFFLE, seed, epoch);
    return d->pseudo_share > 0 ? pseudo_mix(d, seed, epoch, order, n) : GRAFT_OK;
}

size_t dataset_order_most(const struct dataset *d) { return pseudo_length(d, d->count); }

// n / (classes * n of the class), which is 1 for all when they are alike.
static graft_status weights_balanced(struct dataset *d)
{
    size_t n = 0, classes = 0;
    size_t *size = mem_zero((size_t)d->n_classes + 1, sizeof *size);
    if (size == NULL)
        return fail_memory("the classes' weights");
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_TRAIN) {
            size[d->samples[i].label]++;
            n++;
        }
    for (int c = 0; c < d->n_classes; c++)
        classes += size[c] > 0;
    for (int c = 0; c < d->n_classes; c++)
        d->weights[c] = size[c] > 0 ? (float)((double)n / ((double)classes * (double)size[c])) : 1;
    mem_free(size);
    return GRAFT_OK;
}

static graft_status weight_read(const struct csv *c, int name, int weight, struct dataset *d)
{
    char *end;
    const int label = c->n > name ? class_index(d, c->field[name]) : -1;
    const char *text = c->n > weight ? c->field[weight] : "";
    const double value = strtod(text, &end);
    if (label < 0)
        return fail(GRAFT_BAD_FILE, "%s:%d: no class '%s' in the data", c->path, c->line,
                    c->n > name ? c->field[name] : "");
    if (end == text || *end != '\0' || !(value >= 0 && value <= 1e6))
        return fail(GRAFT_BAD_FILE, "%s:%d: weight '%s' of class '%s'; a number from 0 to 1e6 is expected", c->path,
                    c->line, text, c->field[name]);
    if (d->weights[label] >= 0)
        return fail(GRAFT_BAD_FILE, "%s:%d: class '%s' a second time", c->path, c->line, c->field[name]);
    d->weights[label] = (float)value;
    return GRAFT_OK;
}

static graft_status weights_read(struct dataset *d, const char *path)
{
    static const char *const names[] = {"class", "label", NULL}, *const weights[] = {"weight", NULL};
    struct csv c;
    bool more;
    graft_status status = GRAFT_OK;
    TRY(csv_open(path, &c));
    TRY_GOTO(csv_next(&c, &more));
    const int name = csv_column(&c, names), weight = csv_column(&c, weights);
    if (!more || name < 0 || weight < 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s:1: the columns class and weight are expected", path));
    for (int k = 0; k < d->n_classes; k++)
        d->weights[k] = -1;
    for (;;) {
        TRY_GOTO(csv_next(&c, &more));
        if (!more)
            break;
        TRY_GOTO(weight_read(&c, name, weight, d));
    }
    for (int k = 0; k < d->n_classes; k++)
        if (d->weights[k] < 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s: no weight for class '%s'", path, d->classes[k]));
done:
    csv_close(&c);
    return status;
}

graft_status dataset_weights(struct dataset *d, const char *rule)
{
    mem_free(d->weights);
    d->weights = mem_alloc((size_t)d->n_classes * sizeof *d->weights);
    if (d->weights == NULL)
        return fail_memory("the classes' weights");
    return strcmp(rule, "balanced") == 0 ? weights_balanced(d) : weights_read(d, rule);
}
