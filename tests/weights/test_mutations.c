// weights/test_mutations.c: Keras files cut at every byte, with bits turned all over, numbers at their extremes, and
// the structures of HDF5 bent into loops and lies, through the real path: the helper opens them, the parent checks what
// it says.  Each is read or refused by name, in bounded time and memory, and nothing is left behind.
// A part of the mutations; GRAFT_SECONDS=N: drawn ones for N seconds; GRAFT_LONG=1: every cut, a bit of every byte.
// In: golden/weights/, see weights/test_weights.c.

#include "fixture.h"
#include "scratch.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "weights/readers.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WHOLE = 3 }; // of each kind of file one, the first of these, of which GRAFT_LONG=1 damages every byte
static const char *const files[] = {"keras1_fixed.h5",    "keras3.weights.h5",          "keras3.keras",
                                    "keras2_variable.h5", "keras3_bfloat16.weights.h5", "keras0.h5"};

// ---- one damaged file

static struct {
    long tried, read, refused, died;
    double slowest;
    char slowest_what[128];
} told;

static void put(const char *path, const uint8_t *data, size_t size) // without waiting for the disk
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

// Every value that a tensor claims can be read.
static void touch(const struct tensor_set *set, size_t size, const char *what)
{
    for (size_t i = 0; i < set->count; i++) {
        size_t count;
        assert_true(shape_count(set->items[i].shape, &count));
        if (count > size)
            fail_msg("%s: tensor '%s' has %zu values in a file of %zu bytes", what, set->items[i].name, count, size);
        float *values = mem_zero(count + 1, sizeof *values);
        if (set->items[i].dtype != DTYPE_U8)
            assert_int_equal(tensor_to_f32(&set->items[i], values), GRAFT_OK);
        mem_free(values);
    }
}

static graft_status try_file(const char *path, const uint8_t *data, size_t size, const char *what)
{
    struct tensor_set set = {0};
    put(path, data, size);
    const double begun = now_seconds();
    const graft_status status = weights_read(path, &set);
    const double took = now_seconds() - begun;
    if (status == GRAFT_OK)
        touch(&set, size, what);
    else if (status != GRAFT_BAD_FILE || strstr(graft_message(), path) == NULL || set.items != NULL)
        fail_msg("%s: status %d: %s", what, (int)status, graft_message());
    told.tried++;
    told.read += status == GRAFT_OK;
    told.refused += status != GRAFT_OK;
    told.died += status != GRAFT_OK && strstr(graft_message(), "died") != NULL;
    if (took > told.slowest) {
        told.slowest = took;
        snprintf(told.slowest_what, sizeof told.slowest_what, "%s", what);
    }
    tensor_set_free(&set);
    return status;
}

// ---- mutations by number

enum { CUT, TURN, EXTREME, N_WAYS };
static const uint64_t extremes[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
static const int widths[] = {1, 2, 4, 8};

static long mutations_of(int way, size_t size)
{
    return way == CUT    ? (long)size
           : way == TURN ? 8 * (long)size
                         : (long)(size / 2 * COUNT_OF(extremes) * COUNT_OF(widths)); // fields lie at even offsets
}

static void mutate(const char *name, const struct file_map *map, int way, long number, uint8_t *copy)
{
    char what[128];
    size_t size = map->data.size, at = (size_t)number;
    memcpy(copy, map->data.ptr, size);
    if (way == CUT) {
        size = (size_t)number;
        snprintf(what, sizeof what, "%s cut to %zu bytes", name, size);
    } else if (way == TURN) {
        at = (size_t)number / 8;
        copy[at] ^= (uint8_t)(1 << number % 8);
        snprintf(what, sizeof what, "%s with bit %ld of byte %zu turned", name, number % 8, at);
    } else {
        const uint64_t value = extremes[number % (long)COUNT_OF(extremes)];
        const int width = widths[number / (long)COUNT_OF(extremes) % (long)COUNT_OF(widths)];
        at = (size_t)number / COUNT_OF(extremes) / COUNT_OF(widths) * 2;
        for (int i = 0; i < width && at + (size_t)i < size; i++)
            copy[at + (size_t)i] = (uint8_t)(value >> 8 * i);
        snprintf(what, sizeof what, "%s with %d bytes of %llx at %zu", name, width, (unsigned long long)value, at);
    }
    const graft_status status = try_file("mutated.h5", copy, size, what);
    if (way == CUT && status == GRAFT_OK)
        fail_msg("%s: read", what);
}

static int open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

// The whole lot leaves the parent as it was: no descriptor, no child, no memory; no child was larger than its limit.
struct before { int fds; uint64_t peak; };
static struct before begin(void)
{
    memset(&told, 0, sizeof told);
    return (struct before){open_files(), mem_resident_peak()};
}
static void check_bounds(const struct before *before)
{
    struct rusage children;
    print_message("%ld mutations: %ld read, %ld refused, of these %ld by a helper that died; %.2f s at most: %s\n",
                  told.tried, told.read, told.refused, told.died, told.slowest, told.slowest_what);
    assert_int_equal(open_files(), before->fds);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // none is left
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &children), 0);
    if (getenv("GRAFT_SANITIZED") == NULL) {
        assert_true(mem_resident_peak() - before->peak < (uint64_t)64 << 20);
        assert_true(children.ru_maxrss < 64 << 10); // KiB: files of 20 KB, refused before anything is made of them
        assert_true(told.slowest < h5_helper_seconds + 5); // hundredths; a loop takes what the helper is allowed
    }
}

static void test_mutations(void **state)
{
    (void)state;
    enum { PART = 500 };
    const char *seconds = getenv("GRAFT_SECONDS");
    struct file_map map[COUNT_OF(files)];
    uint8_t *copy = NULL;
    size_t largest = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        assert_int_equal(file_read(golden(files[i]), 1 << 20, &map[i]), GRAFT_OK);
        largest = map[i].data.size > largest ? map[i].data.size : largest;
    }
    copy = malloc(largest);
    assert_int_equal(try_file("mutated.h5", map[0].data.ptr, map[0].data.size, "whole"), GRAFT_OK);
    const struct before before = begin();
    if (getenv("GRAFT_LONG") != NULL)
        for (size_t i = 0; i < WHOLE; i++)
            for (size_t at = 0; at < map[i].data.size; at++) {
                mutate(files[i], &map[i], CUT, (long)at, copy);
                mutate(files[i], &map[i], TURN, (long)(8 * at + at % 8), copy);
            }
    const double end = now_seconds() + (seconds != NULL ? atof(seconds) : 0);
    for (uint64_t k = 0; k < PART || now_seconds() < end; k++) {
        const size_t i = k % COUNT_OF(files);
        const int way = (int)(k / COUNT_OF(files) % N_WAYS);
        const uint64_t drawn = rng_hash(RNG_TEST, k, seconds != NULL ? 1 : 2, 0);
        mutate(files[i], &map[i], way, (long)(drawn % (uint64_t)mutations_of(way, map[i].data.size)), copy);
    }
    check_bounds(&before);
    for (size_t i = 0; i < COUNT_OF(files); i++)
        file_map_close(&map[i]);
    free(copy);
}

// ---- structures: addresses that lead back, counts and lengths that lie

static uint64_t number(const uint8_t *at, int width)
{
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void bend(const char *name, uint8_t *copy, size_t size, size_t at, int width, const char *field)
{
    const size_t itself = at & ~(size_t)7;
    const uint64_t values[] = {0, 1, itself, size - 1, size, 96, UINT32_MAX, INT64_MAX, UINT64_MAX};
    uint8_t kept[8];
    char what[128];
    if (at + (size_t)width > size)
        return;
    memcpy(kept, copy + at, (size_t)width);
    const bool all = getenv("GRAFT_LONG") != NULL;
    for (size_t i = all ? 0 : at / 2 % 4; i < COUNT_OF(values); i += all ? 1 : 4) {
        for (int k = 0; k < width; k++)
            copy[at + (size_t)k] = (uint8_t)(values[i] >> 8 * k);
        snprintf(what, sizeof what, "%s: %s at %zu is %llx", name, field, at, (unsigned long long)values[i]);
        try_file("bent.h5", copy, size, what);
    }
    memcpy(copy + at, kept, (size_t)width);
}

// What follows each kind of block's signature.
static const struct { const char *signature; int at, width; const char *field; } fields[] = {
    {"TREE", 5, 1, "a tree's level"}, {"TREE", 6, 2, "a tree's entries"}, {"TREE", 16, 8, "a tree's neighbour"},
    {"TREE", 24, 8, "a tree's key"}, {"TREE", 32, 8, "a tree's child"},
    {"SNOD", 6, 2, "a node's links"}, {"SNOD", 8, 8, "a link's name"}, {"SNOD", 16, 8, "a link's object"},
    {"SNOD", 24, 4, "a link's kind"}, {"SNOD", 32, 8, "a link's tree"}, {"SNOD", 40, 8, "a link's heap"},
    {"HEAP", 8, 8, "a heap's length"}, {"HEAP", 16, 8, "a heap's free list"}, {"HEAP", 24, 8, "a heap's place"},
    {"GCOL", 8, 8, "a collection's length"}, {"GCOL", 16, 2, "an object's number"},
    {"GCOL", 24, 8, "an object's length"},
};

// The messages of the header at `at` (version 1): its count and length, each message's, and what addresses and
// dimensions they hold.
static void bend_header(const char *name, uint8_t *copy, size_t size, size_t at)
{
    if (at + 16 > size || copy[at] != 1)
        return;
    bend(name, copy, size, at + 2, 2, "a header's messages");
    bend(name, copy, size, at + 8, 4, "a header's length");
    const size_t end = at + 16 + (size_t)number(copy + at + 8, 4);
    for (size_t m = at + 16; m + 16 <= end && end <= size; m += 8 + (size_t)number(copy + m + 2, 2)) {
        static const struct { int type, at, width; const char *field; } parts[] = {
            {1, 1, 1, "a shape's rank"}, {1, 8, 8, "a dimension"}, {3, 0, 1, "a type's class"},
            {3, 4, 4, "a type's size"},
            {8, 1, 1, "a layout's class"}, {8, 2, 8, "a layout's address"}, {8, 10, 8, "a layout's length"},
            {12, 2, 2, "a name's length"}, {12, 4, 2, "an attribute's type's length"},
            {12, 6, 2, "an attribute's shape's length"}, {16, 0, 8, "a continuation's address"},
            {16, 8, 8, "a continuation's length"}, {17, 0, 8, "a group's tree"}, {17, 8, 8, "a group's heap"}};
        bend(name, copy, size, m, 2, "a message's kind");
        bend(name, copy, size, m + 2, 2, "a message's length");
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            if (number(copy + m, 2) == (uint64_t)parts[i].type)
                bend(name, copy, size, m + 8 + (size_t)parts[i].at, parts[i].width, parts[i].field);
    }
}

static void test_structures(void **state)
{
    (void)state;
    const struct before before = begin();
    const size_t n = getenv("GRAFT_LONG") != NULL ? WHOLE : 1;
    for (size_t f = 0; f < n; f++) {
        struct file_map map;
        assert_int_equal(file_read(golden(files[f]), 1 << 20, &map), GRAFT_OK);
        const size_t size = map.data.size;
        uint8_t *copy = malloc(size);
        memcpy(copy, map.data.ptr, size);
        bend_header(files[f], copy, size, (size_t)number(copy + 64, 8)); // the root's
        for (size_t at = 0; at + 4 <= size; at++) {
            for (size_t i = 0; i < COUNT_OF(fields); i++)
                if (memcmp(copy + at, fields[i].signature, 4) == 0)
                    bend(files[f], copy, size, at + (size_t)fields[i].at, fields[i].width, fields[i].field);
            for (uint64_t k = 0; memcmp(copy + at, "SNOD", 4) == 0 && k < number(copy + at + 6, 2); k++)
                bend_header(files[f], copy, size, (size_t)number(copy + at + 16 + 40 * k, 8));
        }
        assert_int_equal(try_file("bent.h5", copy, size, "straight again"), GRAFT_OK);
        free(copy);
        file_map_close(&map);
    }
    check_bounds(&before);
}

// Files made for it, with checksums that are right.
static void test_made(void **state)
{
    (void)state;
    static const char *const read[] = {"dense.h5", "heap_id0.h5", "shape_none.h5"}; // nothing in the way of the weights
    struct dirent *entry;
    const struct before before = begin();
    DIR *dir = opendir(golden("hostile"));
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        struct file_map map;
        char name[280];
        bool readable = false;
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "hostile/%s", entry->d_name);
        for (size_t i = 0; i < COUNT_OF(read); i++)
            readable |= strcmp(entry->d_name, read[i]) == 0;
        assert_int_equal(file_read(golden(name), 1 << 20, &map), GRAFT_OK);
        const graft_status status = try_file("made.h5", map.data.ptr, map.data.size, name);
        if (status != (readable ? GRAFT_OK : GRAFT_BAD_FILE))
            fail_msg("%s: status %d: %s", name, (int)status, graft_message());
        file_map_close(&map);
    }
    closedir(dir);
    assert_true(told.tried > 20);
    check_bounds(&before);
}

// A heap of texts in whose free space the library never comes to an end: its processor time does.
static void test_endless(void **state)
{
    (void)state;
    struct file_map map;
    assert_int_equal(file_read(golden("keras3.weights.h5"), 1 << 20, &map), GRAFT_OK);
    uint8_t *copy = malloc(map.data.size), *heap;
    memcpy(copy, map.data.ptr, map.data.size);
    heap = memmem(copy, map.data.size, "GCOL", 4);
    assert_non_null(heap);
    memcpy(heap + 122, "\xff\xff\xff\x7f\0\0\0\0", 8);
    const double begun = now_seconds();
    assert_int_equal(try_file("endless.h5", copy, map.data.size, "endless"), GRAFT_BAD_FILE);
    const bool ended = now_seconds() - begun < 2; // the library may have learned to
    if (!ended && strstr(graft_message(), "used up the processor time") == NULL &&
        strstr(graft_message(), "did not finish") == NULL) // on a machine so busy that it gets no processor
        fail_msg("%s", graft_message());
    free(copy);
    file_map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutations), cmocka_unit_test(test_structures),
                                       cmocka_unit_test(test_made), cmocka_unit_test(test_endless)};
    return cmocka_run_group_tests_name("mutations", tests, scratch_enter, scratch_leave);
}
