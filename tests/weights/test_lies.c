// weights/test_lies.c: archives whose parts contradict each other, and HDF5 files that point at other files: refused or
// read right, in bounded time and memory, and no other file is opened, which inotify tells.
// In: golden/weights/, see weights/test_weights.c.

#include "base/file.h"
#include "base/memory.h"
#include "scratch.h"
#include "weights/readers.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct file_map golden(const char *name)
{
    char path[4096];
    struct file_map map;
    const char *base = getenv("GRAFT_GOLDEN");
    snprintf(path, sizeof path, "%s/weights/%s", base != NULL ? base : GRAFT_SOURCE "/tests/golden", name);
    assert_int_equal(file_read(path, 1 << 20, &map), GRAFT_OK);
    return map;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// ---- archives

static uint8_t *copy_of(const struct file_map *map)
{
    uint8_t *copy = mem_alloc(map->data.size);
    memcpy(copy, map->data.ptr, map->data.size);
    return copy;
}

// The directory's entry of a member.
static uint8_t *entry_of(uint8_t *data, size_t size, const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 0; i + 46 + length <= size; i++)
        if (memcmp(data + i, "PK\1\2", 4) == 0 && data[i + 28] == length && memcmp(data + i + 46, name, length) == 0)
            return data + i;
    fail_msg("no member '%s'", name);
    return NULL;
}

static void put_number(uint8_t *at, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void refused(const uint8_t *data, size_t size, const char *what)
{
    struct tensor_set set;
    if (weights_read_bytes((bytes){data, size}, "lie", &set) != GRAFT_BAD_FILE)
        fail_msg("%s: not refused", what);
    assert_null(set.items);
}

// Two members in the same bytes, by the directory or by both of its entries' sizes; a name twice.
static void test_overlap_and_duplicates(void **state)
{
    (void)state;
    struct file_map map = golden("zip.pth");
    const size_t size = map.data.size;
    uint8_t *copy = copy_of(&map), *one = entry_of(copy, size, "zip/data/3"), *two = entry_of(copy, size, "zip/data/4");
    memcpy(two + 42, one + 42, 4); // 3 and 4 have 12 bytes each
    refused(copy, size, "two entries for one place");
    memcpy(two + 16, one + 16, 4); // with the checksum of what is there
    refused(copy, size, "two entries for one place and checksum");
    mem_free(copy);
    copy = copy_of(&map);
    one = entry_of(copy, size, "zip/data/0");
    put_number(one + 20, 1856 - 1302 + 432, 4); // over the next member
    put_number(one + 24, 1856 - 1302 + 432, 4);
    refused(copy, size, "a member that reaches over the next");
    mem_free(copy);
    copy = copy_of(&map);
    for (size_t i = 0; i + 10 <= size; i++) // 4 becomes a second 3, in the directory and in its own head
        if (memcmp(copy + i, "zip/data/4", 10) == 0)
            copy[i + 9] = '3';
    refused(copy, size, "a name twice");
    mem_free(copy);
    file_map_close(&map);
}

// Nothing is unpacked to a file, whatever members are called.
static void test_names_that_climb(void **state)
{
    (void)state;
    struct file_map map = golden("zip.pth");
    uint8_t *copy = copy_of(&map);
    assert_int_equal(file_make_folder("below"), GRAFT_OK);
    assert_int_equal(chdir("below"), 0);
    for (size_t i = 0; i + 4 <= map.data.size; i++)
        if (memcmp(copy + i, "zip/", 4) == 0)
            memcpy(copy + i, "../x", 4); // "../xdata.pkl"
    refused(copy, map.data.size, "no folder");
    for (size_t i = 0; i + 4 <= map.data.size; i++)
        if (memcmp(copy + i, "../x", 4) == 0)
            memcpy(copy + i, "/../", 4); // "/../data.pkl"
    struct tensor_set set;
    if (weights_read_bytes((bytes){copy, map.data.size}, "climbs", &set) == GRAFT_OK)
        assert_int_equal(set.count, 9);
    tensor_set_free(&set);
    assert_int_equal(chdir(".."), 0);
    assert_int_equal(access("data.pkl", F_OK), -1);
    assert_int_equal(access("data", F_OK), -1);
    assert_int_equal(access("xdata.pkl", F_OK), -1);
    mem_free(copy);
    file_map_close(&map);
}

// The records of ZIP64 at their extremes; sizes in the directory beyond the file and beyond 32 bits.
static void test_zip64(void **state)
{
    (void)state;
    static const uint64_t lies[] = {0, 1, UINT32_MAX, (uint64_t)1 << 62, UINT64_MAX - 21, UINT64_MAX};
    static const int fields[] = {4, 24, 32, 40, 48}; // of the record: its size, entries, entries, size, offset
    struct file_map map = golden("zip.pth");
    const size_t size = map.data.size;
    const uint8_t *record = memmem(map.data.ptr, size, "PK\6\6", 4), *locator = memmem(map.data.ptr, size, "PK\6\7", 4);
    assert_true(record != NULL && locator != NULL);
    const double begun = seconds();
    const uint64_t before = mem_resident_peak();
    for (size_t i = 0; i < COUNT_OF(lies); i++)
        for (size_t k = 0; k <= COUNT_OF(fields); k++) {
            struct tensor_set set;
            uint8_t *copy = copy_of(&map);
            put_number(k < COUNT_OF(fields) ? copy + (record - map.data.ptr) + fields[k]
                                            : copy + (locator - map.data.ptr) + 8,
                       lies[i], 8);
            if (weights_read_bytes((bytes){copy, size}, "zip64", &set) == GRAFT_OK)
                assert_int_equal(set.count, 9); // what it lies about was not needed
            tensor_set_free(&set);
            mem_free(copy);
        }
    uint8_t *copy = copy_of(&map);
    for (int at = 20; at <= 42; at += at == 24 ? 18 : 4) { // sizes and place, without the field that would hold them
        uint8_t *entry = entry_of(copy, size, "zip/data/0");
        put_number(entry + at, UINT32_MAX, 4);
        refused(copy, size, "32 bits that say: see elsewhere");
    }
    mem_free(copy);
    copy = copy_of(&map);
    put_number(entry_of(copy, size, "zip/data/0") + 24, 0x7fffffff, 4); // 2 GB, deflated from 432 bytes
    put_number(entry_of(copy, size, "zip/data/0") + 10, 8, 2);
    refused(copy, size, "a bomb");
    mem_free(copy);
    if (getenv("GRAFT_SANITIZED") == NULL) {
        assert_true(seconds() - begun < 5); // hundredths
        assert_true(mem_resident_peak() - before < (uint64_t)64 << 20);
    }
    file_map_close(&map);
}

// ---- HDF5

static int watch(const char *name)
{
    const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(fd >= 0 && inotify_add_watch(fd, name, IN_OPEN) >= 0);
    return fd;
}

static bool was_opened(int fd)
{
    char events[1024];
    const ssize_t got = read(fd, events, sizeof events);
    assert_true(got > 0 || errno == EAGAIN);
    return got > 0;
}

static void test_no_other_file(void **state)
{
    (void)state;
    static const char *const files[] = {"bad_external_link.h5", "bad_external_data.h5", "bad_virtual.h5",
                                        "bad_soft_link.h5"};
    static const char *const targets[] = {"elsewhere.h5", "elsewhere.bin"}; // what they point at, beside them
    struct file_map whole = golden("keras1_fixed.h5"), back;
    for (int k = 0; k < 2; k++) {
        assert_int_equal(file_write_all(targets[k], whole.data.ptr, whole.data.size), GRAFT_OK);
        const int fd = watch(targets[k]);
        for (size_t i = 0; i < COUNT_OF(files); i++) {
            struct file_map map = golden(files[i]);
            struct tensor_set set;
            assert_int_equal(file_write_all("points.h5", map.data.ptr, map.data.size), GRAFT_OK);
            assert_int_equal(weights_read("points.h5", &set), GRAFT_BAD_FILE);
            if (was_opened(fd))
                fail_msg("%s: '%s' was opened", files[i], targets[k]);
            file_map_close(&map);
        }
        assert_int_equal(file_read(targets[k], 1 << 20, &back), GRAFT_OK);
        assert_true(was_opened(fd)); // it would have told
        file_map_close(&back);
        close(fd);
    }
    file_map_close(&whole);
}

// Each within the file, together beyond it; and one that was never written.
static void test_shape_bombs(void **state)
{
    (void)state;
#define LINE(name) "{\"name\":\"" name "\",\"dtype\":\"F32\",\"shape\":[256],\"offset\":0,\"size\":1024}\n"
    static const char listing[] = "{\"keras_version\":\"2\",\"kind\":\"h5 (weights)\"}\n" LINE("a") LINE("b")
        LINE("c") "{\"end\":3}\n";
    static const float zeros[512]; // two fit
    struct tensor_set set = {0};
    bool ended = false;
    assert_int_equal(h5_listing_read((bytes){(const uint8_t *)listing, sizeof listing - 1},
                                     (bytes){(const uint8_t *)zeros, sizeof zeros}, &ended, &set),
                     GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "overlaps others"));
    tensor_set_free(&set);
    struct file_map map = golden("bad_bomb.h5");
    assert_int_equal(file_write_all("bomb.h5", map.data.ptr, map.data.size), GRAFT_OK);
    assert_int_equal(weights_read("bomb.h5", &set), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "has no data in the file"));
    file_map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overlap_and_duplicates),
                                       cmocka_unit_test(test_names_that_climb), cmocka_unit_test(test_zip64),
                                       cmocka_unit_test(test_no_other_file), cmocka_unit_test(test_shape_bombs)};
    return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
