// data/dataset.c: opening a data set by what its path is, and splitting it.

#include "data/sources.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

graft_status sample_add(struct dataset *d, const char *path, int label, enum part part, const void *data)
{
    char *copy = mem_text(path);
    if (copy == NULL || !mem_grow(&d->samples, &d->capacity, d->count + 1, sizeof *d->samples)) {
        mem_free(copy);
        return fail_memory("the list of pictures");
    }
    d->samples[d->count++] = (struct sample){copy, label, part, 0, data};
    d->has_val |= part == PART_VAL;
    d->has_test |= part == PART_TEST;
    return GRAFT_OK;
}

graft_status dataset_own(struct dataset *d, void *take_block)
{
    if (!mem_grow(&d->owned, &d->owned_capacity, d->n_owned + 1, sizeof *d->owned)) {
        mem_free(take_block);
        return fail_memory("a data set");
    }
    d->owned[d->n_owned++] = take_block;
    return GRAFT_OK;
}

graft_status dataset_own_map(struct dataset *d, struct file_map *take_map)
{
    if (!mem_grow(&d->maps, &d->map_capacity, d->n_maps + 1, sizeof *d->maps)) {
        file_map_close(take_map);
        return fail_memory("a data set");
    }
    d->maps[d->n_maps++] = *take_map;
    *take_map = (struct file_map){0};
    return GRAFT_OK;
}

int class_index(const struct dataset *d, const char *name)
{
    for (int i = 0; i < d->n_classes; i++)
        if (strcmp(d->classes[i], name) == 0)
            return i;
    return -1;
}

graft_status class_add(struct dataset *d, const char *name)
{
    char **grown = mem_resize(d->classes, (size_t)d->n_classes + 1, sizeof *grown);
    if (grown == NULL)
        return fail_memory("class names");
    d->classes = grown;
    grown[d->n_classes] = mem_text(name);
    if (grown[d->n_classes] == NULL)
        return fail_memory("class names");
    d->n_classes++;
    return GRAFT_OK;
}

void dataset_free(struct dataset *d)
{
    for (size_t i = 0; i < d->count; i++)
        mem_free(d->samples[i].path);
    for (int i = 0; i < d->n_classes; i++)
        mem_free(d->classes[i]);
    for (size_t i = 0; i < d->n_owned; i++)
        mem_free(d->owned[i]);
    for (size_t i = 0; i < d->n_maps; i++)
        file_map_close(&d->maps[i]);
    mem_free(d->samples);
    mem_free(d->classes);
    mem_free(d->owned);
    mem_free(d->maps);
    *d = (struct dataset){0};
}

// Array data name their classes 0..N-1; a model's class names then stand for the same numbers.
static graft_status classes_check(const struct data_options *options, struct dataset *d)
{
    while (d->n_classes < options->num_classes) {
        char name[16];
        snprintf(name, sizeof name, "%d", d->n_classes);
        TRY(class_add(d, name));
    }
    if (d->count == 0)
        return fail(GRAFT_BAD_FILE, "%s: no picture in it", options->path);
    if (d->n_classes < 2 && options->num_classes == 0)
        return fail(GRAFT_BAD_FILE, "%s: only one class, '%s'; a folder per class is expected, at least two (or say "
                    "--num-classes)", options->path, d->n_classes > 0 ? d->classes[0] : "");
    if (options->num_classes > 0 && d->n_classes > options->num_classes)
        return fail(GRAFT_BAD_FILE, "%s: %d classes, more than --num-classes %d", options->path, d->n_classes,
                    options->num_classes);
    if (options->classes == NULL)
        return GRAFT_OK;
    for (int i = 0; i < d->n_classes; i++) // renumber by name
        if (i >= options->n_classes || strcmp(d->classes[i], options->classes[i]) != 0) {
            int *map = mem_alloc((size_t)d->n_classes * sizeof *map);
            if (map == NULL)
                return fail_memory("class names");
            for (int k = 0; k < d->n_classes; k++) {
                map[k] = -1;
                for (int m = 0; m < options->n_classes; m++)
                    if (strcmp(d->classes[k], options->classes[m]) == 0)
                        map[k] = m;
                if (map[k] < 0) {
                    mem_free(map);
                    return fail(GRAFT_BAD_FILE, "%s: class '%s' is not among the model's %d classes ('%s', ...)",
                                options->path, d->classes[k], options->n_classes, options->classes[0]);
                }
            }
            for (size_t s = 0; s < d->count; s++)
                if (d->samples[s].label >= 0)
                    d->samples[s].label = map[d->samples[s].label];
            mem_free(map);
            break;
        }
    for (int i = 0; i < d->n_classes; i++)
        mem_free(d->classes[i]);
    d->n_classes = 0;
    for (int i = 0; i < options->n_classes; i++)
        TRY(class_add(d, options->classes[i]));
    return GRAFT_OK;
}

graft_status folder_has(const char *folder, const char *name, bool *out)
{
    char *path = path_join(folder, name);
    if (path == NULL)
        return fail_memory("a path");
    *out = file_exists(path);
    mem_free(path);
    return GRAFT_OK;
}

static graft_status folder_open(const struct data_options *options, struct dataset *d)
{
    static const struct {
        graft_status (*recognises)(const char *folder, bool *out);
        graft_status (*open)(const char *folder, struct dataset *d);
    } kinds[] = {{idx_recognises, source_idx}, {cifar_recognises, source_cifar}, {npy_recognises, source_npy}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        bool found;
        TRY(kinds[i].recognises(options->path, &found));
        if (found)
            return kinds[i].open(options->path, d);
    }
    return source_folder(options, d);
}

graft_status dataset_open(const struct data_options *options, struct dataset *out)
{
    struct stat st;
    graft_status status;
    *out = (struct dataset){0};
    if (stat(options->path, &st) != 0)
        return fail(GRAFT_BAD_FILE, "data '%s': %s", options->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        status = folder_open(options, out);
    else if (path_has_suffix(options->path, ".npz"))
        status = source_npz(options->path, out);
    else if (path_has_suffix(options->path, ".csv"))
        status = source_csv(options, out);
    else
        status = fail(GRAFT_BAD_FILE,
                      "data '%s': expected a folder per class, a folder of IDX, CIFAR or .npy files, a .csv or an .npz",
                      options->path);
    if (status == GRAFT_OK)
        status = classes_check(options, out);
    if (status != GRAFT_OK)
        dataset_free(out);
    return status;
}

struct drawn {
    int label;
    uint64_t key;
    size_t index;
};

static int by_label_and_key(const void *left, const void *right)
{
    const struct drawn *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

// Of every class, as equally as the numbers allow, those with the smallest keys; `drawn` is sorted by class.
static long take_stratified(struct dataset *d, const struct drawn *drawn, size_t n, double fraction, long count)
{
    long taken = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin; end < n && drawn[end].label == drawn[begin].label;)
            end++;
        const long size =
            (long)(end - begin); // a count: what it should have reached after this class, less what it has
        long take = count >= 0 ? (long)((double)count * end / n + 0.5) - taken : lround(fraction * size);
        take = take > size - 1 ? size - 1 : take; // a class too small to split stays in training
        for (long k = 0; k < take; k++)
            d->samples[drawn[begin + (size_t)k].index].part = PART_VAL;
        taken += take > 0 ? take : 0;
    }
    return taken;
}

// Whole groups in the order of their keys, while that brings the number nearer to `target`; never all of them.
static long take_groups(struct dataset *d, const struct drawn *drawn, size_t n, long target)
{
    long taken = 0;
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin; end < n && drawn[end].key == drawn[begin].key;)
            end++;
        const long size = (long)(end - begin);
        if (end == n || taken + size - target > target - taken)
            break;
        for (size_t k = begin; k < end; k++)
            d->samples[drawn[k].index].part = PART_VAL;
        taken += size;
    }
    return taken;
}

static graft_status split_training(struct dataset *d, double fraction, long count, uint64_t seed)
{
    struct drawn *drawn = mem_alloc((d->count + 1) * sizeof *drawn);
    size_t n = 0;
    bool grouped = false;
    if (drawn == NULL)
        return fail_memory("the split");
    for (size_t i = 0; i < d->count; i++)
        grouped |= d->samples[i].group != 0;
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        if (s->part == PART_TRAIN && s->label >= 0)
            drawn[n++] = (struct drawn){grouped ? 0 : s->label, rng_hash(RNG_SPLIT, seed, s->group != 0 ? s->group : i,
                                                                         s->group != 0), i};
    }
    qsort(drawn, n, sizeof *drawn, by_label_and_key);
    const long taken = grouped ? take_groups(d, drawn, n, count >= 0 ? count : lround(fraction * n))
                               : take_stratified(d, drawn, n, fraction, count);
    mem_free(drawn);
    d->has_val |= taken > 0;
    if (taken == 0)
        log_warning("%s are too small to hold any picture out; there is no validation",
                    grouped ? "the groups" : "the classes");
    return GRAFT_OK;
}

graft_status dataset_split(struct dataset *d, const char *val, long limit, uint64_t seed)
{
    if (val == NULL)
        val = d->has_val ? "keep" : "0.2";
    const bool keep = strcmp(val, "keep") == 0;
    char *end;
    const double number = strtod(val, &end);
    if (!keep && (end == val || *end != '\0' || val[strspn(val, ".0123456789")] != '\0' || number > 1e9 ||
                  (strchr(val, '.') != NULL && number >= 1)))
        return fail(GRAFT_BAD_OPTION, "--val %s: expected a fraction such as 0.2, a count such as 100, or 0", val);
    if (!keep && !d->has_val && number > 0) {
        const bool count = strchr(val, '.') == NULL;
        size_t total = 0, tests = 0;
        for (size_t i = 0; i < d->count; i++) {
            total += d->samples[i].part == PART_TRAIN;
            tests += d->samples[i].part == PART_TEST;
        }
        if (count && d->has_test && d->array_h > 0) {
            if ((size_t)number > tests)
                return fail(GRAFT_BAD_OPTION, "--val %s: the test part has %zu pictures", val, tests);
            size_t left = (size_t)number;
            for (size_t i = 0; i < d->count && left > 0; i++)
                if (d->samples[i].part == PART_TEST) {
                    d->samples[i].part = PART_VAL;
                    left--;
                }
            d->has_val = true;
        } else if (count && (size_t)number >= total)
            return fail(GRAFT_BAD_OPTION, "--val %s: there are only %zu pictures to train on", val, total);
        else
            TRY(split_training(d, number, count ? (long)number : -1, seed));
    } else if (!keep && number == 0) {
        for (size_t i = 0; i < d->count; i++)
            if (d->samples[i].part == PART_VAL)
                d->samples[i].part = PART_NONE;
        d->has_val = false;
    }
    long kept = 0;
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_TRAIN && limit > 0 && kept++ >= limit)
            d->samples[i].part = PART_NONE;
    return GRAFT_OK;
}

graft_status sample_load(const struct dataset *d, size_t index, const struct input_spec *spec,
                         const struct augmentation *how, float *dst)
{
    const struct sample *s = &d->samples[index];
    struct picture p;
    graft_status status;
    const size_t area = (size_t)d->array_h * d->array_w;
    if (s->data == NULL) {
        TRY(picture_read(s->path, &p));
    } else if (d->array_float) {
        for (int c = 0; c < d->array_c; c++)
            for (size_t i = 0; i < area; i++)
                memcpy(&dst[c * area + i], (const char *)s->data + (i * d->array_c + c) * sizeof *dst, sizeof *dst);
        return GRAFT_OK;
    } else {
        p = (struct picture){mem_alloc(area * 3), d->array_w, d->array_h};
        if (p.rgb == NULL)
            return fail_memory("a picture");
        const uint8_t *src = s->data;
        for (size_t i = 0; i < area; i++)
            for (int c = 0; c < 3; c++)
                p.rgb[3 * i + c] = d->array_c == 1   ? src[i]
                                   : d->array_planar ? src[c * area + i]
                                                     : src[i * d->array_c + c];
    }
    status = how != NULL ? picture_augment(&p, spec, how, index, dst) : picture_prepare(&p, spec, dst);
    picture_free(&p);
    return status;
}
