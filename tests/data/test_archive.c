// data/test_archive.c: tar and zip archives as data sets; cut at every byte, with every bit turned.
// In: golden/data/archives/, made by tools/ref/make_archives.py: the same four pictures in every file.

#include "data/fixture.h"
#include "base/memory.h"
#include "data/archive.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const archives[] = {"archives/stored.zip", "archives/deflated.zip", "archives/zip64.zip",
                                       "archives/gnu.tar", "archives/pax.tar"};

static graft_status open_set(const char *path, struct dataset *d)
{
    return dataset_open(&(struct data_options){.paths = &path, .n_paths = 1}, d);
}

static const struct input_spec spec = {16, 16, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
enum { ITEM = 3 * 16 * 16 };

static void reads(void **state)
{
    (void)state;
    float expected[2][ITEM], got[ITEM];
    for (int k = 0; k < 2; k++) {
        struct picture p;
        assert_int_equal(picture_read(golden(k == 0 ? "base.jpg" : "grey.jpg"), false, &p), GRAFT_OK);
        assert_int_equal(picture_prepare(&p, &spec, expected[k]), GRAFT_OK);
        picture_free(&p);
    }
    for (size_t i = 0; i < COUNT_OF(archives); i++) {
        struct dataset d;
        const char *const path = golden(archives[i]);
        if (open_set(path, &d) != GRAFT_OK)
            fail_msg("%s", graft_message());
        assert_int_equal(d.count, 4);
        assert_int_equal(d.n_classes, 2);
        assert_string_equal(d.classes[1], "dogs");
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(d.samples[k].label, k / 2);
            assert_int_equal(d.samples[k].part, PART_TRAIN);
            assert_int_equal(strncmp(d.samples[k].path, golden(archives[i]), strlen(golden(archives[i]))), 0);
            if (sample_load(&d, k, &spec, NULL, got) != GRAFT_OK)
                fail_msg("%s", graft_message());
            assert_memory_equal(got, expected[k % 2], sizeof got);
        }
        assert_non_null(strstr(d.samples[3].path, "a_rather_long_name_a_rather_long_name_"));
        assert_int_equal(strlen(strrchr(d.samples[3].path, '/')), 1 + 12 * 19 + 4);
        dataset_free(&d);
        const char *const paths[] = {golden(archives[i])};
        assert_int_equal(inputs_open(paths, 1, &d), GRAFT_OK);
        assert_int_equal(d.count, 4);
        assert_int_equal(d.samples[0].label, -1);
        assert_int_equal(sample_load(&d, 2, &spec, NULL, got), GRAFT_OK);
        dataset_free(&d);
    }
}

// Whatever is made of it, it is an error or four pictures; reading stays inside the bytes (the sanitizer's part).
static bool opened(const char *path)
{
    struct archive *a;
    size_t n;
    bool whole = true;
    if (archive_open(path, &a) != GRAFT_OK) {
        assert_non_null(strstr(graft_message(), path));
        return false;
    }
    const struct member *m = archive_members(a, &n);
    for (size_t i = 0; i < n; i++) {
        struct file_map map;
        if (member_read(&m[i], m[i].name, 1 << 20, &map) != GRAFT_OK)
            whole = false;
        else
            file_map_close(&map);
    }
    archive_free(a);
    return whole && n >= 4;
}

// In memory: thousands of files on a disk take minutes.
static void refill(int fd, const void *data, size_t size)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, data, size, 0), size);
}

static void damaged(void **state)
{
    (void)state;
    const int fd = memfd_create("damaged", 0);
    assert_true(fd >= 0);
    for (size_t i = 0; i < COUNT_OF(archives); i++) {
        struct file_map map = map_of(archives[i]);
        const bool tar = strstr(archives[i], ".tar") != NULL;
        uint8_t *copy = mem_alloc(map.data.size);
        char path[128];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        memcpy(copy, map.data.ptr, map.data.size);
        const size_t step = map.data.size / 3000 + 1;
        for (size_t size = 0; size < map.data.size; size += size < 700 || size + 700 > map.data.size ? 1 : step) {
            refill(fd, map.data.ptr, size);
            if (opened(path) && (!tar || size + 10240 + 512 < map.data.size)) // a tar's end is padding
                fail_msg("%s: whole from %zu of %zu bytes", archives[i], size, map.data.size);
        }
        for (size_t at = 0; at < map.data.size; at += step) {
            copy[at] ^= (uint8_t)(1 << at % 8);
            refill(fd, copy, map.data.size);
            opened(path);
            copy[at] ^= (uint8_t)(1 << at % 8);
        }
        mem_free(copy);
        file_map_close(&map);
    }
    close(fd);
    static const char *const bad[] = {"", "PK", "PK\3\4", "x"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(opened(put("bad.zip", bad[i], strlen(bad[i]))));
    struct dataset d;
    assert_int_equal(open_set(put("bad.tar.gz", "x", 1), &d), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "gunzip"));
}

// A member's checksum, a size that is a lie, an archive that is cut while it is open.
static void lies(void **state)
{
    (void)state;
    struct file_map map = map_of("archives/stored.zip");
    uint8_t *copy = mem_alloc(map.data.size);
    struct dataset d;
    float got[ITEM];
    memcpy(copy, map.data.ptr, map.data.size);
    uint8_t *data = memmem(copy, map.data.size, "\xff\xd8\xff", 3);
    data[300] ^= 1;
    const char *const path = mem_text(put("lies.zip", copy, map.data.size));
    assert_int_equal(open_set(path, &d), GRAFT_OK);
    assert_int_equal(sample_load(&d, 0, &spec, NULL, got), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "lies.zip/pets/cats/1.jpg is damaged in its archive"));
    assert_int_equal(sample_load(&d, 1, &spec, NULL, got), GRAFT_OK);
    assert_int_equal(truncate(path, 2000), 0);
    assert_int_equal(sample_load(&d, 3, &spec, NULL, got), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "truncated"));
    dataset_free(&d);
    data[300] ^= 1;
    uint8_t *entry = memmem(copy, map.data.size, "PK\1\2", 4); // the folder's entry, then __MACOSX's, then 1.jpg's
    for (int i = 0; i < 2; i++)
        entry = memmem(entry + 4, map.data.size - (size_t)(entry + 4 - copy), "PK\1\2", 4);
    memcpy(entry + 24, "\xfe\xff\xff\xff", 4); // 4 GB
    put("lies.zip", copy, map.data.size);
    assert_int_equal(open_set(path, &d), GRAFT_OK);
    assert_int_equal(sample_load(&d, 0, &spec, NULL, got), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "too large"));
    dataset_free(&d);
    memcpy(entry + 24, "\x00\x00\x00\x08", 4); // 128 MB, deflated from hundreds of bytes
    entry[10] = 8;
    put("lies.zip", copy, map.data.size);
    assert_int_equal(open_set(path, &d), GRAFT_OK);
    assert_int_equal(sample_load(&d, 0, &spec, NULL, got), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "impossible size"));
    dataset_free(&d);
    mem_free((void *)path);
    mem_free(copy);
    file_map_close(&map);
}

static void *load_all(void *argument)
{
    const struct dataset *d = argument;
    static _Thread_local float got[ITEM];
    for (int i = 0; i < 200; i++)
        assert_int_equal(sample_load(d, (size_t)i % 4, &spec, NULL, got), GRAFT_OK);
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    struct dataset d;
    pthread_t thread[4];
    assert_int_equal(open_set(golden("archives/deflated.zip"), &d), GRAFT_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, load_all, &d), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads), cmocka_unit_test(damaged), cmocka_unit_test(lies),
                                       cmocka_unit_test(threads)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
