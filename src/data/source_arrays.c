// data/source_arrays.c: IDX pairs (MNIST's format, .gz too), .npz pairs (x, y), x.npy with y.npy.
// IDX: u32 big-endian 0x0000TTRR (type, rank), rank u32 sizes, data.  NPY: "\x93NUMPY", version, header length, a
// Python dict {'descr', 'fortran_order', 'shape'}, data.

#include "data/sources.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const struct { const char *stem; enum part part; } idx_parts[] = {{"train", PART_TRAIN}, {"t10k", PART_TEST}};

// *out: heap, NULL when there is no such file.
static graft_status idx_path(const char *folder, const char *stem, const char *kind, int rank, char **out)
{
    for (int gz = 0; gz < 2; gz++) {
        *out = mem_format("%s/%s-%s-idx%d-ubyte%s", folder, stem, kind, rank, gz ? ".gz" : "");
        if (*out == NULL)
            return fail_memory("a path");
        if (file_exists(*out))
            return GRAFT_OK;
        mem_free(*out);
    }
    *out = NULL;
    return GRAFT_OK;
}

graft_status idx_recognises(const char *folder, bool *out)
{
    char *path;
    TRY(idx_path(folder, idx_parts[0].stem, "images", 3, &path));
    *out = path != NULL;
    mem_free(path);
    return GRAFT_OK;
}

// Inflates or copies the next `size` bytes; false when they are not there.
static bool idx_take(z_stream *z, bool packed, void *out, size_t size)
{
    if (!packed) {
        if (z->avail_in < size)
            return false;
        memcpy(out, z->next_in, size);
        z->next_in += size;
        z->avail_in -= (uInt)size;
        return true;
    }
    z->next_out = out;
    z->avail_out = (uInt)size;
    const int result = inflate(z, Z_SYNC_FLUSH);
    return (result == Z_OK || result == Z_STREAM_END) && z->avail_out == 0;
}

static graft_status idx_parse(z_stream *z, bool packed, const char *path, int rank, uint32_t *dim, uint8_t **out)
{
    uint8_t head[16], extra;
    size_t size = 1;
    *out = NULL;
    if (!idx_take(z, packed, head, 4 + 4 * (size_t)rank) || head[0] != 0 || head[1] != 0 || head[2] != 8 ||
        head[3] != rank)
        return fail(GRAFT_BAD_FILE, "'%s' is not an IDX file of unsigned bytes with %d dimensions", path, rank);
    for (int i = 0; i < rank; i++) {
        const uint8_t *p = head + 4 + 4 * i;
        dim[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        // deflate packs 1032 to 1 at best, so that a small file cannot make us allocate much
        if (dim[i] == 0 || !mul_size(size, dim[i], &size) || size > 1u << 30 || size / 1040 > (size_t)z->avail_in + 64)
            return fail(GRAFT_BAD_FILE, "'%s' states impossible sizes", path);
    }
    *out = mem_alloc(size);
    if (*out == NULL)
        return fail_memory(path);
    const bool whole = idx_take(z, packed, *out, size);
    z->next_out = &extra; // the end must follow, with its checksum
    z->avail_out = 1;
    if (whole && (packed ? inflate(z, Z_FINISH) == Z_STREAM_END && z->avail_out == 1 : z->avail_in == 0))
        return GRAFT_OK;
    mem_free(*out);
    *out = NULL;
    return fail(GRAFT_BAD_FILE, "'%s' is truncated or damaged: %zu bytes of data expected", path, size);
}

// The whole file, inflated when it is compressed.
static graft_status idx_read(const char *path, int rank, uint32_t *dim, uint8_t **out)
{
    struct file_map map;
    TRY(file_map_open(path, &map));
    const bool packed = map.data.size > 2 && map.data.ptr[0] == 0x1f && map.data.ptr[1] == 0x8b;
    z_stream z = {.next_in = (Bytef *)map.data.ptr,
                  .avail_in = map.data.size < 1u << 31 ? (uInt)map.data.size : 1u << 31};
    graft_status status;
    if (packed && inflateInit2(&z, 15 + 16) != Z_OK)
        status = fail_memory(path);
    else {
        status = idx_parse(&z, packed, path, rank, dim, out);
        if (packed)
            inflateEnd(&z);
    }
    file_map_close(&map);
    return status;
}

static graft_status idx_part(const char *folder, const char *stem, enum part part, struct dataset *d)
{
    uint32_t dim[3], n_labels;
    uint8_t *pictures = NULL, *labels = NULL;
    char *picture_path = NULL, *label_path = NULL;
    graft_status status = GRAFT_OK;
    TRY_GOTO(idx_path(folder, stem, "images", 3, &picture_path));
    TRY_GOTO(idx_path(folder, stem, "labels", 1, &label_path));
    if (picture_path == NULL)
        goto done; // a part may be missing
    if (label_path == NULL)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' has no label file beside it", picture_path));
    TRY_GOTO(idx_read(picture_path, 3, dim, &pictures));
    TRY_GOTO(idx_read(label_path, 1, &n_labels, &labels));
    if (n_labels != dim[0])
        TRY_GOTO(
            fail(GRAFT_BAD_FILE, "'%s' has %u pictures, its label file %u labels", picture_path, dim[0], n_labels));
    TRY_GOTO(dataset_shape(d, picture_path, (struct array_shape){1, (int)dim[1], (int)dim[2], false, false}));
    const uint8_t *at = pictures;
    pictures = NULL; // taken by the next line, even if it fails
    TRY_GOTO(dataset_own(d, (void *)at));
    for (uint32_t i = 0; i < dim[0]; i++, at += (size_t)dim[1] * dim[2]) {
        char name[512];
        snprintf(name, sizeof name, "%s#%u", path_name(picture_path), i);
        TRY_GOTO(classes_number(d, labels[i] + 1));
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
    d->numbered = true;
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
        return fail(GRAFT_BAD_FILE, "%s: expected a little-endian C-order array of numbers; its header is %s", name,
                    head);
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
        return fail(GRAFT_BAD_FILE, "%s: its header states %zu elements, the data are %zu bytes", name, a->count,
                    reader_left(&r));
    a->data = r.data.ptr + r.at;
    return GRAFT_OK;
}

graft_status npy_head_write(struct file_writer *w, size_t n, int width)
{
    char head[128];
    const int text = snprintf(head + 10, sizeof head - 10,
                              "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %d), }", n, width);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10); // version 1.0, a header of 118 bytes
    memset(head + 10 + text, ' ', sizeof head - 10 - (size_t)text);
    head[sizeof head - 1] = '\n';
    return file_writer_put(w, head, sizeof head);
}

static int64_t integer_at(const struct array *a, size_t i)
{
    uint64_t value = 0;
    memcpy(&value, a->data + i * (size_t)a->item, (size_t)a->item);
    const int unused = 64 - 8 * a->item;
    return a->type == 'i' ? (int64_t)(value << unused) >> unused : (int64_t)value;
}

static graft_status npz_member(struct zip_archive *zip, const char *path, const char *name, struct array *a,
                               void **owned)
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
    const bool real = x->type == 'f' && x->item == 4;
    if (!real && !(x->type == 'u' && x->item == 1 && (x->dim[3] == 1 || x->dim[3] == 3)))
        return fail(GRAFT_BAD_FILE, "%s: x must be uint8 pictures (1 or 3 channels) or float32", path);
    if (real && (x->dim[3] != 3 || x->dim[1] != x->dim[2]))
        return fail(GRAFT_BAD_FILE, "%s: float32 x must be preprocessed squares (n, size, size, 3)", path);
    TRY(dataset_shape(d, path, (struct array_shape){(int)x->dim[3], (int)x->dim[1], (int)x->dim[2], real, false}));
    d->numbered = true;
    const size_t item = x->dim[1] * x->dim[2] * x->dim[3] * (size_t)x->item;
    for (size_t i = 0; i < x->dim[0]; i++) {
        const int64_t label = integer_at(y, i);
        char name[512];
        if (label < 0 || label > 65535)
            return fail(GRAFT_BAD_FILE, "%s: label %lld of element %zu is out of range", path, (long long)label, i);
        TRY(classes_number(d, (int)label + 1));
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
    zip_archive_free(zip);
    if (status != GRAFT_OK)
        mem_free(x_block);
    else if (x_block != NULL)
        status = dataset_own(d, x_block);
    else
        return dataset_own_map(d, &map); // a stored member: the samples borrow the file itself
    file_map_close(&map);
    return status;
}

graft_status npy_recognises(const char *folder, bool *out)
{
    bool x, y;
    TRY(folder_has(folder, "x.npy", &x));
    TRY(folder_has(folder, "y.npy", &y));
    *out = x && y;
    return GRAFT_OK;
}

graft_status source_npy(const char *folder, struct dataset *d)
{
    char *x_path = path_join(folder, "x.npy"), *y_path = path_join(folder, "y.npy");
    struct file_map x_map = {0}, y_map = {0};
    struct array x, y;
    graft_status status = GRAFT_OK;
    if (x_path == NULL || y_path == NULL)
        TRY_GOTO(fail_memory("a path"));
    TRY_GOTO(file_map_open(x_path, &x_map));
    TRY_GOTO(file_map_open(y_path, &y_map));
    TRY_GOTO(npy_parse(x_map.data, x_path, &x));
    TRY_GOTO(npy_parse(y_map.data, y_path, &y));
    TRY_GOTO(npz_samples(x_path, &x, &y, d));
    TRY_GOTO(dataset_own_map(d, &x_map));
done:
    file_map_close(&x_map);
    file_map_close(&y_map);
    mem_free(x_path);
    mem_free(y_path);
    return status;
}

graft_status array_open(const char *path, struct file_map *map, struct dataset *out)
{
    struct array a;
    *out = (struct dataset){0};
    TRY(file_map_open(path, map));
    TRY(npy_parse(map->data, path, &a));
    if (a.rank != 4 || a.type != 'f' || a.item != 4 || a.dim[1] != a.dim[2] || a.dim[1] < 1 || a.dim[1] > 4096 ||
        a.dim[3] != 3)
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
