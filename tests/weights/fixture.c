// weights/fixture.c: the golden files, a scratch file, and what is asked of every reader.

#include "fixture.h"
#include "base/memory.h"
#include "base/zip.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef GRAFT_SOURCE
#define GRAFT_SOURCE "."
#endif

const char *golden(const char *name)
{
    static char path[4][4096];
    static int next;
    const char *folder = getenv("GRAFT_GOLDEN");
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/weights/%s", folder ? folder : GRAFT_SOURCE "/tests/golden", name);
    return out;
}

const char *scratch(const char *name)
{
    static char path[4096];
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/graft-test-%d-%s", folder ? folder : "/tmp", (int)getpid(), name);
    return path;
}

void check_ramp(const struct tensor_set *set, const char *name, enum dtype dtype, struct shape shape,
                       float first)
{
    const struct named_tensor *tensor = tensor_find(set, name);
    size_t count;
    if (!tensor)
        fail_msg("tensor '%s' is missing", name);
    assert_int_equal(tensor->dtype, dtype);
    assert_true(shape_equal(tensor->shape, shape));
    assert_true(shape_count(shape, &count));
    float *values = mem_zero(count + 1, sizeof *values);
    assert_int_equal(tensor_to_f32(tensor, values), GRAFT_OK);
    for (size_t i = 0; i < count; i++)
        if (values[i] != first + (float)i / 8)
            fail_msg("%s[%zu] is %g, expected %g", name, i, values[i], first + (float)i / 8);
    mem_free(values);
}

void read_ok(const char *name, struct tensor_set *set)
{
    if (weights_read(golden(name), set) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

void check_refused(graft_status status, const struct tensor_set *set, const char *words)
{
    assert_int_not_equal(status, GRAFT_OK);
    assert_null(set->items);
    if (!strstr(graft_message(), words))
        fail_msg("message '%s' does not say '%s'", graft_message(), words);
}

void bytes_refused(const void *data, size_t size, const char *words)
{
    struct tensor_set set;
    void *copy = malloc(size ? size : 1); // exact size: the sanitizer sees a read past the end
    memcpy(copy, data, size);
    check_refused(weights_read_bytes((bytes){copy, size}, "hostile", &set), &set, words);
    free(copy);
}

void replay(const char *name, size_t least, int (*target)(const uint8_t *data, size_t size))
{
    char path[4096];
    struct file_map map;
    struct zip_archive *zip;
    snprintf(path, sizeof path, GRAFT_SOURCE "/tests/fuzz/%s", name);
    assert_int_equal(file_map_open(path, &map), GRAFT_OK);
    assert_int_equal(zip_open_bytes(map.data, "corpus", &zip), GRAFT_OK);
    assert_true(zip_count(zip) > least);
    for (size_t i = 0; i < zip_count(zip); i++) {
        bytes data;
        void *owned;
        assert_int_equal(zip_member(zip, i, 1 << 16, &data, &owned), GRAFT_OK);
        target(data.ptr, data.size);
        mem_free(owned);
    }
    zip_archive_free(zip);
    file_map_close(&map);
}
