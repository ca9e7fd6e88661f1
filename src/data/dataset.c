// data/dataset.c: opening data sets by what their paths are, and loading a sample.

#include "data/sources.h"
#include "data/archive.h"
#include "data/boxes.h"
#include "data/decode.h"
#include "data/fingerprint.h"
#include "data/picture_cache.h"
#include "data/view.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mapping.h"
#include "base/memory.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

graft_status sample_add(struct dataset *d, const char *path, int label, enum part part, const void *data)
{
    char *copy = mem_text(path);
    if (copy == NULL || !mem_grow(&d->samples, &d->capacity, d->count + 1, sizeof *d->samples)) {
        mem_free(copy);
        return fail_memory("the list of pictures");
    }
    d->samples[d->count++] = (struct sample){.path = copy, .label = label, .part = part, .data = data};
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

void dataset_free(struct dataset *d)
{
    for (size_t i = 0; i < d->count; i++)
        mem_free(d->samples[i].path);
    for (int i = 0; i < d->n_classes; i++)
        mem_free(d->classes[i]);
    for (int i = 0; i < d->n_groups; i++)
        mem_free(d->groups[i]);
    name_index_free(&d->class_names);
    name_index_free(&d->group_names);
    for (size_t i = 0; i < d->n_owned; i++)
        mem_free(d->owned[i]);
    for (size_t i = 0; i < d->n_maps; i++)
        file_map_close(&d->maps[i]);
    mem_free(d->samples);
    mem_free(d->classes);
    mem_free(d->groups);
    mem_free(d->prints);
    mem_free(d->weights);
    picture_cache_close(d->cache);
    mem_free(d->owned);
    for (size_t i = 0; i < d->n_archives; i++)
        archive_free(d->archives[i]);
    mem_free(d->maps);
    mem_free(d->archives);
    *d = (struct dataset){0};
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

graft_status dataset_shape(struct dataset *d, const char *path, struct array_shape shape)
{
    const bool same = d->array_c == shape.c && d->array_h == shape.h && d->array_w == shape.w &&
                      d->array_float == shape.real && d->array_planar == shape.planar;
    if (d->count > 0 && !same)
        return fail(GRAFT_BAD_FILE,
                    "%s: arrays of %dx%d with %d channels; what comes before is of another kind or shape", path,
                    shape.w, shape.h, shape.c);
    d->array_c = shape.c;
    d->array_h = shape.h;
    d->array_w = shape.w;
    d->array_float = shape.real;
    d->array_planar = shape.planar;
    return GRAFT_OK;
}

static graft_status folder_open(const char *path, struct dataset *d)
{
    static const struct {
        graft_status (*recognises)(const char *folder, bool *out);
        graft_status (*open)(const char *folder, struct dataset *d);
    } kinds[] = {{idx_recognises, source_idx}, {cifar_recognises, source_cifar}, {npy_recognises, source_npy},
                 {drivers_recognises, source_drivers}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        bool found;
        TRY(kinds[i].recognises(path, &found));
        if (found)
            return kinds[i].open(path, d);
    }
    return source_folder(path, d);
}

static graft_status source_open(const char *path, const struct data_options *options, struct dataset *d)
{
    struct stat st;
    const bool arrays = d->array_h > 0;
    const size_t before = d->count;
    const char *group = options->group != NULL && strcmp(options->group, "none") == 0 ? "" : options->group;
    if (stat(path, &st) != 0)
        return fail(GRAFT_BAD_FILE, "data '%s': %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        TRY(folder_open(path, d));
    else if (path_has_suffix(path, ".npz"))
        TRY(source_npz(path, d));
    else if (path_has_suffix(path, ".csv"))
        TRY(source_csv(path, group, true, d));
    else if (archive_recognises(path))
        TRY(source_archive(path, true, d));
    else if (path_has_suffix(path, ".tar.gz") || path_has_suffix(path, ".tgz"))
        return fail(GRAFT_BAD_FILE, "data '%s' is packed as a whole, so a picture cannot be read alone; gunzip it",
                    path);
    else
        return fail(GRAFT_BAD_FILE,
                    "data '%s': expected a folder per class, a .tar or .zip of one, a folder of IDX, CIFAR or "
                    ".npy files, a .csv or an .npz",
                    path);
    if (arrays && d->count > before && d->samples[before].data == NULL)
        return fail(GRAFT_BAD_FILE, "'%s' holds picture files, '%s' arrays; they cannot be one data set", path,
                    options->paths[0]);
    return GRAFT_OK;
}

graft_status dataset_open(const struct data_options *options, struct dataset *out)
{
    graft_status status = GRAFT_OK;
    *out = (struct dataset){0};
    for (int i = 0; i < options->n_paths; i++)
        TRY_GOTO(source_open(options->paths[i], options, out));
    if (out->array_h == 0)
        TRY_GOTO(classes_sort(out));
    if (options->group != NULL && strcmp(options->group, "none") != 0 && !out->grouped)
        TRY_GOTO(fail(GRAFT_BAD_OPTION, "--group %s: '%s' has no such column; groups are a column of a CSV",
                      options->group, options->paths[0]));
    TRY_GOTO(classes_check(options, out));
done:
    if (status != GRAFT_OK)
        dataset_free(out);
    return status;
}

static graft_status inputs_add_grouped(const char *path, const char *group, struct dataset *out)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return source_inputs(path, out);
    if (path_has_suffix(path, ".csv"))
        return source_csv(path, group, false, out);
    return archive_recognises(path) ? source_archive(path, false, out) : source_inputs(path, out);
}

graft_status inputs_add(const char *path, struct dataset *out) { return inputs_add_grouped(path, "", out); }

graft_status inputs_open(const char *const *paths, size_t n, struct dataset *out)
{
    return inputs_open_grouped(paths, n, "none", out);
}

graft_status inputs_open_grouped(const char *const *paths, size_t n, const char *group, struct dataset *out)
{
    graft_status status = GRAFT_OK;
    const bool none = group != NULL && strcmp(group, "none") == 0;
    *out = (struct dataset){0};
    for (size_t i = 0; i < n; i++)
        TRY_GOTO(inputs_add_grouped(paths[i], none ? "" : group, out));
    if (group != NULL && !none && !out->grouped)
        TRY_GOTO(fail(GRAFT_BAD_OPTION, "--group %s: '%s' has no such column; groups are a column of a CSV", group,
                      paths[0]));
    if (out->count == 0)
        status = fail(GRAFT_BAD_FILE, "no pictures in '%s'", paths[0]);
done:
    if (status != GRAFT_OK)
        dataset_free(out);
    return status;
}

static graft_status array_whole(const struct dataset *d, size_t index)
{
    const struct sample *s = &d->samples[index];
    return mapping_was_cut(s->data) ? fail(GRAFT_BAD_FILE, "%s: the file shrank while it was read", s->path) : GRAFT_OK;
}

static graft_status array_picture(const struct dataset *d, const uint8_t *src, struct picture *out)
{
    const size_t area = (size_t)d->array_h * d->array_w;
    *out = (struct picture){.rgb = mem_alloc(area * 3), .w = d->array_w, .h = d->array_h};
    if (out->rgb == NULL)
        return fail_memory("a picture");
    for (size_t i = 0; i < area; i++)
        for (int c = 0; c < 3; c++)
            out->rgb[3 * i + c] = d->array_c == 1   ? src[i]
                                  : d->array_planar ? src[c * area + i]
                                                    : src[i * d->array_c + c];
    return GRAFT_OK;
}

uint64_t sample_stamp(const struct dataset *d, size_t index)
{
    const struct sample *s = &d->samples[index];
    struct stat st;
    if (s->data != NULL) {
        const size_t size = (size_t)d->array_c * d->array_h * d->array_w * (d->array_float ? sizeof(float) : 1);
        return hash_of((bytes){s->data, size});
    }
    if (s->member != NULL) {
        const uint64_t facts[] = {s->member->size, s->member->packed, s->member->crc};
        return hash_of((bytes){(const uint8_t *)facts, sizeof facts});
    }
    if (stat(s->path, &st) != 0)
        return 0;
    const int64_t facts[] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    return hash_of((bytes){(const uint8_t *)facts, sizeof facts});
}

graft_status sample_open(const struct dataset *d, size_t index, struct file_map *out)
{
    const struct sample *s = &d->samples[index];
    return s->member != NULL ? member_read(s->member, s->path, MAX_FILE, out) : file_read(s->path, MAX_FILE, out);
}

static graft_status sample_decode(const struct dataset *d, size_t index, const struct decode_job *job,
                                  struct picture *out)
{
    const struct sample *s = &d->samples[index];
    struct file_map map;
    ASSERT(!d->array_float);
    *out = (struct picture){0};
    if (s->data != NULL) {
        TRY(array_picture(d, s->data, out));
        const graft_status status = array_whole(d, index);
        if (status != GRAFT_OK)
            picture_free(out);
        return status;
    }
    TRY(sample_open(d, index, &map));
    const graft_status status = picture_decode_as(map.data, s->path, job, out);
    file_map_close(&map);
    return status;
}

graft_status sample_picture(const struct dataset *d, size_t index, struct picture *out)
{
    return sample_decode(d, index, &(struct decode_job){0}, out);
}

// What of a picture a sample needs, and what becomes of it.
struct need {
    const struct input_spec *spec;
    const struct augmentation *how; // NULL: nothing changes
    uint64_t sample;
    double shrink;
    struct view view;
    struct resizer *resizer; // of a picture that came row by row
};

static void tell_wanted(void *user, int w, int h, double *across, double *down)
{
    const struct need *n = user;
    view_wanted(n->spec, n->how, n->sample, w, h, across, down);
    *across *= n->shrink;
    *down *= n->shrink;
}

static graft_status stream_begin(void *user, const struct picture *size, struct resizer **out)
{
    struct need *n = user;
    view_of(n->spec, n->how, n->sample, size, &n->view);
    TRY(resizer_new(size->w, size->h, n->view.box, n->spec->filter, &n->resizer));
    *out = n->resizer;
    return GRAFT_OK;
}

// Of a whole picture its box, as if that were the picture.
static graft_status boxed_load(const struct dataset *d, size_t index, const struct input_spec *spec,
                               const struct augmentation *how, float *dst)
{
    struct picture whole, p;
    TRY(sample_decode(d, index, &(struct decode_job){.icc = spec->icc}, &whole));
    if (d->prints != NULL && d->prints[index].state == FINGERPRINT_NONE)
        fingerprint_take(&whole, &d->prints[index]);
    graft_status status = picture_box(&whole, d->samples[index].box, &p);
    picture_free(&whole);
    TRY(status);
    status = how != NULL ? picture_augment(&p, spec, how, sample_number(d, index), dst)
                         : picture_prepare(&p, spec, dst);
    picture_free(&p);
    return status;
}

graft_status sample_load(const struct dataset *d, size_t index, const struct input_spec *spec,
                         const struct augmentation *how, float *dst)
{
    const size_t area = (size_t)d->array_h * d->array_w;
    if (d->array_float) {
        const char *src = d->samples[index].data;
        for (int c = 0; c < d->array_c; c++)
            for (size_t i = 0; i < area; i++)
                memcpy(&dst[c * area + i], src + (i * d->array_c + c) * sizeof *dst, sizeof *dst);
        for (size_t i = 0; i < d->array_c * area; i++)
            if (!isfinite(dst[i]))
                return fail(GRAFT_BAD_FILE, "'%s' holds a value that is no number: row %zu, column %zu, channel %zu",
                            d->samples[index].path, i % area / d->array_w, i % area % d->array_w, i / area);
        return array_whole(d, index);
    }
    const bool plain = how == NULL || !augment_any(how->augment) || (how->fixed && d->samples[index].copy == 0);
    struct augmentation own = plain ? (struct augmentation){0} : *how;
    if (own.fixed)
        own.epoch = 0; // epochs count from 1
    struct need need = {spec, plain ? NULL : &own, sample_number(d, index), d->shrink};
    const bool whole = how == NULL || how->fixed || d->shrink == 0;
    if (spec->crop && d->samples[index].box != NULL)
        return boxed_load(d, index, spec, plain ? NULL : &own, dst);
    const bool printed = d->prints == NULL || d->prints[index].state != FINGERPRINT_NONE;
    const struct decode_job job = {.icc = spec->icc, .wanted = whole ? NULL : tell_wanted,
                                   .stream = printed ? stream_begin : NULL, .user = &need};
    struct picture p, resized;
    bool kept = false;
    graft_status status = GRAFT_OK;
    if (d->cache != NULL && d->samples[index].data == NULL)
        TRY_GOTO(picture_cache_get(d->cache, d, index, spec, plain, &p, &kept));
    else
        TRY_GOTO(sample_decode(d, index, &job, &p));
    if (p.rgb == NULL) {
        resizer_take(need.resizer, &resized);
    } else {
        if (!printed)
            fingerprint_take(&p, &d->prints[index]);
        view_of(spec, need.how, need.sample, &p, &need.view);
        status = resize_box(&p, need.view.box, spec->filter, &resized);
        if (!kept)
            picture_free(&p);
    }
    if (status == GRAFT_OK)
        status = view_finish(&need.view, &resized, dst);
done:
    resizer_free(need.resizer);
    return status;
}
