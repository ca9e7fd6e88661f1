// data/source_arrays.c: IDX pairs (MNIST's format, .gz too) and .npz pairs (x, y).
// IDX: u32 big-endian 0x0000TTRR (type, rank), rank u32 sizes, data.  NPY: "\x93NUMPY", version, header length, a Python
// dict {'descr', 'fortran_order', 'shape'}, data.

#include "data/sources.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const struct { const char *stem; enum part part; } idx_parts[] = {{"train", PART_TRAIN}, {"t10k", PART_TEST}};

static char *idx_path(const char *folder, const char *stem, const char *kind, int rank)
{
    for (int gz = 0; gz < 2; gz++) {
        char *path = mem_format("%s/%s-%s-idx%d-ubyte%s", folder, stem, kind, rank, gz ? ".gz" : "");
        if (path == NULL || file_exists(path))
            return path;
        mem_free(path);
    }
    return NULL;
}

bool idx_recognises(const char *folder)
{
    char *path = idx_path(folder, "train", "images", 3);
    mem_free(path);
    return path != NULL;
}

// The whole file, inflated when it is compressed (zlib reads plain files as they are).
static graft_status idx_read(const char *path, int rank, uint32_t *dim, uint8_t **out)
{
    gzFile file = gzopen(path, "rb");
    uint8_t head[16];
    const size_t head_size = 4 + 4 * (size_t)rank;
    size_t size = 1;
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (file == NULL)
        return fail(GRAFT_BAD_FILE, "cannot open '%s'", path);
    if (gzread(file, head, (unsigned)head_size) != (int)head_size || head[0] != 0 || head[1] != 0 || head[2] != 8 ||
        head[3] != rank)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is not an IDX file of unsigned bytes with %d dimensions", path, rank));
    for (int i = 0; i < rank; i++) {
        const uint8_t *p = head + 4 + 4 * i;
        dim[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        if (dim[i] == 0 || !mul_size(size, dim[i], &size) || size > 1u << 30)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' states impossible sizes", path));
    }
    *out = mem_alloc(size);
    if (*out == NULL)
        TRY_GOTO(fail_memory(path));
    if (gzread(file, *out, (unsigned)size) != (int)size)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is truncated or damaged: %zu bytes of data expected", path, size));
done:
    gzclose(file);
    if (status != GRAFT_OK) {
        mem_free(*out);
        *out = NULL;
    }
    return status;
}

static graft_status idx_part(const char *folder, const char *stem, enum part part, struct dataset *d)
{
    uint32_t dim[3], n_labels;
    uint8_t *pictures = NULL, *labels = NULL;
    char *picture_path = idx_path(folder, stem, "images", 3), *label_path = idx_path(folder, stem, "labels", 1);
    graft_status status = GRAFT_OK;
    if (picture_path == NULL)
        goto done; // a part may be missing
    if (label_path == NULL)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' has no label file beside it", picture_path));
    TRY_GOTO(idx_read(picture_path, 3, dim, &pictures));
    TRY_GOTO(idx_read(label_path, 1, &n_labels, &labels));
    if (n_labels != dim[0])
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' has %u pictures, its label file %u labels", picture_path, dim[0], n_labels));
    if (d->array_h != 0 && (d->array_h != (int)dim[1] || d->array_w != (int)dim[2]))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' has pictures of another size than the training part", picture_path));
    d->array_c = 1;
    d->array_h = (int)dim[1];
    d->array_w = (int)dim[2];
    const uint8_t *at = pictures;
    TRY_GOTO(dataset_own(d, pictures));
    pictures = NULL;
    for (uint32_t i = 0; i < dim[0]; i++, at += (size_t)dim[1] * dim[2]) {
        char name[512];
        snprintf(name, sizeof name, "%s#%u", path_name(picture_path), i);
        while (labels[i] >= d->n_classes) {
            char text[8];
            snprintf(text, sizeof text, "%d", d->n_classes);
            TRY_GOTO(class_add(d, text));
        }
        TRY_GOTO(sample_add(d, name, labels[i], part, at));
    }
done:
    mem_free(picture_path);
    mem_free(label_path);
    mem_free(pictures);
    mem_free(labels);
    return status;
}

graft_status source_idx(const char *folder, struct dataset *d)
{
    for (size_t i = 0; i < COUNT_OF(idx_parts); i++)
        TRY(idx_part(folder, idx_parts[i].stem, idx_parts[i].part, d));
    return GRAFT_OK;
}

struct array {
    char type;      // 'f', 'i', 'u'
    int item, rank; // bytes
    size_t dim[4], count;
    const uint8_t *data;
};

static graft_status npy_parse(bytes file, const char *name, struct array *a)
{
    struct reader r = reader_of(file);
    const bytes magic = read_bytes(&r, 6);
    if (magic.size != 6 || memcmp(magic.ptr, "\x93NUMPY", 6) != 0)
        return fail(GRAFT_BAD_FILE, "%s: not a .npy array", name);
    const uint8_t major = read_u8(&r);
    read_u8(&r);
    const size_t length = major == 1 ? read_u16(&r) : read_u32(&r);
    char head[1024];
    const bytes text = read_bytes(&r, length);
    if (r.failed || text.size >= sizeof head)
        return fail(GRAFT_BAD_FILE, "%s: damaged .npy header", name);
    memcpy(head, text.ptr, text.size);
    head[text.size] = '\0';
    const char *descr = strstr(head, "'descr': '"), *shape = strstr(head, "'shape': (");
    if (descr == NULL || shape == NULL || strstr(head, "'fortran_order': False") == NULL ||
        sscanf(descr + 10, "%*[<|=]%c%d", &a->type, &a->item) != 2 || a->item < 1 || a->item > 8)
        return fail(GRAFT_BAD_FILE, "%s: expected a little-endian C-order array of numbers; its header is %s", name, head);
    a->rank = 0;
    a->count = 1;
    for (char *at = (char *)shape + 10; *at != ')' && *at != '\0';) {
        char *end;
        const unsigned long long n = strtoull(at, &end, 10);
        if (end == at || a->rank == 4 || !mul_size(a->count, n, &a->count))
            return fail(GRAFT_BAD_FILE, "%s: bad shape in its header", name);
        a->dim[a->rank++] = n;
        for (at = end; *at == ',' || *at == ' '; at++)
            ;
    }
    size_t size;
    if (!mul_size(a->count, (size_t)a->item, &size) || size != reader_left(&r))
        return fail(GRAFT_BAD_FILE, "%s: its header states %zu elements, the data are %zu bytes", name, a->count, reader_left(&r));
    a->data = r.data.ptr + r.at;
    return GRAFT_OK;
}

static int64_t integer_at(const struct array *a, size_t i)
{
    int64_t value = 0;
    memcpy(&value, a->data + i * (size_t)a->item, (size_t)a->item);
    const int unused = 64 - 8 * a->item;
    return a->type == 'i' ? value << unused >> unused : value;
}

static graft_status npz_member(struct zip_archive *zip, const char *path, const char *name, struct array *a, void **owned)
{
    for (size_t i = 0; i < zip_count(zip); i++)
        if (strcmp(zip_name(zip, i), name) == 0) {
            bytes data;
            TRY(zip_member(zip, i, (size_t)8 << 30, &data, owned));
            const graft_status status = npy_parse(data, name, a);
            return status == GRAFT_OK ? status : fail_prefix(status, "%s", path);
        }
    return fail(GRAFT_BAD_FILE, "%s: no array '%s'; x (pictures n,h,w,c) and y (labels) are expected", path, name);
}

static graft_status npz_samples(const char *path, const struct array *x, const struct array *y, struct dataset *d)
{
    if (x->rank != 4 || y->count != x->dim[0] || (y->type != 'i' && y->type != 'u') || x->dim[1] > 65500 ||
        x->dim[2] > 65500 || x->dim[3] > 4096 || x->dim[1] * x->dim[2] * x->dim[3] == 0)
        return fail(GRAFT_BAD_FILE, "%s: x must be (n, h, w, c) and y integers (n)", path);
    d->array_float = x->type == 'f' && x->item == 4;
    if (!d->array_float && !(x->type == 'u' && x->item == 1 && (x->dim[3] == 1 || x->dim[3] == 3)))
        return fail(GRAFT_BAD_FILE, "%s: x must be uint8 pictures (1 or 3 channels) or float32", path);
    d->array_h = (int)x->dim[1];
    d->array_w = (int)x->dim[2];
    d->array_c = (int)x->dim[3];
    const size_t item = x->dim[1] * x->dim[2] * x->dim[3] * (size_t)x->item;
    for (size_t i = 0; i < x->dim[0]; i++) {
        const int64_t label = integer_at(y, i);
        char name[512];
        if (label < 0 || label > 65535)
            return fail(GRAFT_BAD_FILE, "%s: label %lld of element %zu is out of range", path, (long long)label, i);
        while (label >= d->n_classes) {
            char text[16];
            snprintf(text, sizeof text, "%d", d->n_classes);
            TRY(class_add(d, text));
        }
        snprintf(name, sizeof name, "%s#%zu", path_name(path), i);
        TRY(sample_add(d, name, (int)label, PART_TRAIN, x->data + i * item));
    }
    return GRAFT_OK;
}

graft_status source_npz(const char *path, struct dataset *d)
{
    struct file_map map;
    struct zip_archive *zip = NULL;
    struct array x, y;
    void *x_block = NULL, *y_block = NULL;
    TRY(file_map_open(path, &map));
    graft_status status = zip_open_bytes(map.data, path, &zip);
    if (status == GRAFT_OK)
        status = npz_member(zip, path, "x.npy", &x, &x_block);
    if (status == GRAFT_OK)
        status = npz_member(zip, path, "y.npy", &y, &y_block);
    if (status == GRAFT_OK)
        status = npz_samples(path, &x, &y, d);
    mem_free(y_block);
    if (x_block != NULL && status == GRAFT_OK)
        status = dataset_own(d, x_block);
    else
        mem_free(x_block);
    zip_archive_free(zip);
    file_map_close(&map);
    return status;
}

graft_status array_open(const char *path, struct file_map *map, struct dataset *out)
{
    struct array a;
    *out = (struct dataset){0};
    TRY(file_map_open(path, map));
    TRY(npy_parse(map->data, path, &a));
    if (a.rank != 4 || a.type != 'f' || a.item != 4 || a.dim[1] != a.dim[2] || a.dim[1] < 1 || a.dim[1] > 4096 || a.dim[3] != 3)
        return fail(GRAFT_BAD_FILE, "%s: float32 (n, size, size, 3), preprocessed, is expected", path);
    out->array_float = true;
    out->array_h = (int)a.dim[1];
    out->array_w = (int)a.dim[2];
    out->array_c = 3;
    for (size_t i = 0; i < a.dim[0]; i++) {
        char name[512];
        snprintf(name, sizeof name, "%s#%zu", path_name(path), i);
        TRY(sample_add(out, name, -1, PART_NONE, a.data + i * a.dim[1] * a.dim[2] * 12));
    }
    return out->count > 0 ? GRAFT_OK : fail(GRAFT_BAD_FILE, "%s: the array is empty", path);
}
