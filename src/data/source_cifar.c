// data/source_cifar.c: CIFAR-10 and CIFAR-100 in their binary form.
// Record: the label (CIFAR-100: the coarse one, then the fine one, which counts), then 3072 bytes of 32x32 (c, h, w).
// Files:  data_batch_1..5.bin and test_batch.bin, names in batches.meta.txt; or train.bin and test.bin, names in
//         fine_label_names.txt.

#include "data/sources.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE };

static const char *const ten[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                  "data_batch_5.bin", "test_batch.bin"};
static const char *const hundred[] = {"train.bin", "test.bin"};

graft_status cifar_recognises(const char *folder, bool *out)
{
    bool train, test;
    TRY(folder_has(folder, ten[0], out));
    TRY(folder_has(folder, hundred[0], &train));
    TRY(folder_has(folder, hundred[1], &test));
    *out |= train && test;
    return GRAFT_OK;
}

// Empty when there is no such file.
static graft_status member_open(const char *folder, const char *name, char **path, struct file_map *out)
{
    *out = (struct file_map){0};
    *path = path_join(folder, name);
    if (*path == NULL)
        return fail_memory("a path");
    return file_exists(*path) ? file_map_open(*path, out) : GRAFT_OK;
}

// A name a line; without the file the classes are their numbers.
static graft_status names_read(const char *folder, const char *name, int classes, struct dataset *d)
{
    struct file_map map;
    char *path;
    size_t at = 0;
    graft_status status = member_open(folder, name, &path, &map);
    mem_free(path);
    while (status == GRAFT_OK && d->n_classes < classes) {
        char text[64];
        size_t n = 0;
        for (; at < map.data.size && map.data.ptr[at] != '\n'; at++)
            if (map.data.ptr[at] != '\r' && n + 1 < sizeof text)
                text[n++] = (char)map.data.ptr[at];
        at++;
        text[n] = '\0';
        d->numbered |= n == 0;
        if (n == 0)
            snprintf(text, sizeof text, "%d", d->n_classes);
        status = class_add(d, text);
    }
    file_map_close(&map);
    return status;
}

static graft_status records_add(const char *path, bytes data, int labels, enum part part, struct dataset *d)
{
    const size_t record = (size_t)labels + PIXELS;
    if (data.size == 0 || data.size % record != 0)
        return fail(GRAFT_BAD_FILE, "'%s' is not whole: %zu bytes are not a number of %zu-byte records", path,
                    data.size, record);
    for (size_t i = 0; i < data.size / record; i++) {
        const uint8_t *at = data.ptr + i * record;
        const int label = at[labels - 1];
        char name[512];
        if (label >= d->n_classes)
            return fail(GRAFT_BAD_FILE, "'%s': record %zu has label %d; 0..%d are expected", path, i, label,
                        d->n_classes - 1);
        snprintf(name, sizeof name, "%s#%zu", path_name(path), i);
        TRY(sample_add(d, name, label, part, at + labels));
    }
    return GRAFT_OK;
}

// A part may be missing.
static graft_status file_add(const char *folder, const char *name, int labels, enum part part, struct dataset *d)
{
    struct file_map map;
    char *path;
    graft_status status = member_open(folder, name, &path, &map);
    const bytes data = map.data;
    if (status == GRAFT_OK && data.ptr != NULL) {
        status = dataset_own_map(d, &map);
        if (status == GRAFT_OK)
            status = records_add(path, data, labels, part, d);
    }
    mem_free(path);
    return status;
}

graft_status source_cifar(const char *folder, struct dataset *d)
{
    bool is_ten;
    TRY(folder_has(folder, ten[0], &is_ten));
    const char *const *files = is_ten ? ten : hundred;
    const size_t n = is_ten ? COUNT_OF(ten) : COUNT_OF(hundred);
    TRY(dataset_shape(d, folder, (struct array_shape){3, SIDE, SIDE, false, true}));
    TRY(names_read(folder, is_ten ? "batches.meta.txt" : "fine_label_names.txt", is_ten ? 10 : 100, d));
    for (size_t i = 0; i < n; i++)
        TRY(file_add(folder, files[i], is_ten ? 1 : 2, i + 1 < n ? PART_TRAIN : PART_TEST, d));
    return GRAFT_OK;
}
