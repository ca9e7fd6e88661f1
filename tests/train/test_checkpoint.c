// tests/train/test_checkpoint.c: checkpoints with a bit turned, cut, or with sectors that never reached the disk: found
// out, and the one before is used, which is said.  GRAFT_LONG=1: at many more places.

#include "toy.h"
#include "tiny.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1 << at % 8, file), byte ^ 1 << at % 8);
    assert_int_equal(fclose(file), 0);
}

static void copy_run(const char *from, const char *to)
{
    char command[256];
    tiny_clear(to);
    snprintf(command, sizeof command, "cp -r '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

// A flipped bit or a cut anywhere in the last checkpoint: the one before is used, which is said, and the end is the
// same.
static void test_damaged_checkpoint(void **state)
{
    (void)state;
    struct tiny t = tiny_of("half");
    uint64_t size;
    t.stop_after = 7;
    tiny_expect(&t, GRAFT_CANCELLED);
    assert_int_equal(file_size("half/last.ckpt.safetensors", &size), GRAFT_OK);
    const int tries = tiny_long() ? 400 : 12;
    for (int i = 0; i < tries; i++) {
        struct tiny again = tiny_of("damaged");
        const long at = (long)(size - 1) * i / (tries - 1);
        copy_run("half", "damaged");
        if (i % 2 == 0)
            flip("damaged/last.ckpt.safetensors", at);
        else
            assert_int_equal(truncate("damaged/last.ckpt.safetensors", at), 0);
        tiny_expect(&again, GRAFT_OK);
        char *log = text_of_file("tiny.log");
        assert_non_null(strstr(log, "warning: a checkpoint is damaged: damaged/last.ckpt.safetensors"));
        assert_non_null(strstr(log, "damaged/previous.ckpt.safetensors"));
        free(log);
        tiny_compare("damaged", "reference");
    }
    // The last is missing (a kill between two renames with an old kernel's cache lost), both are damaged.
    struct tiny again = tiny_of("damaged");
    copy_run("half", "damaged");
    assert_int_equal(unlink("damaged/last.ckpt.safetensors"), 0);
    tiny_expect(&again, GRAFT_OK);
    tiny_compare("damaged", "reference");
    copy_run("half", "damaged");
    flip("damaged/last.ckpt.safetensors", 3000);
    flip("damaged/previous.ckpt.safetensors", 3000);
    tiny_expect(&again, GRAFT_BAD_FILE);
    char *log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "no checkpoint in 'damaged' is whole"));
    free(log);
}

// A damaged last one must not push a whole one out: two steps later both are whole again.
static void test_damage_is_not_rotated(void **state)
{
    (void)state;
    struct tiny t = tiny_of("rotated");
    copy_run("half", "rotated");
    flip("rotated/last.ckpt.safetensors", 2000);
    t.stop_after = 1;
    tiny_expect(&t, GRAFT_CANCELLED);
    flip("rotated/last.ckpt.safetensors", 2000); // the one before is from before the damage
    t.stop_after = 0;
    tiny_expect(&t, GRAFT_OK);
    tiny_compare("rotated", "reference");
}

// ---- torn sectors

enum { SECTOR = 512 };
static char told[4096];

static void on_log(void *user, graft_level level, const char *text)
{
    (void)user;
    if (level == GRAFT_WARNING)
        snprintf(told + strlen(told), sizeof told - strlen(told), "%s\n", text);
}

static void put(const char *path, const uint8_t *data, size_t size) // without waiting for the disk
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

// The last checkpoint with these bytes is found out by name, and the one before is found.
static void check_fallback(const uint8_t *data, size_t size, size_t sector)
{
    struct checkpoints c = {.folder = "torn"};
    char *path;
    put("torn/last.ckpt.safetensors", data, size);
    told[0] = '\0';
    assert_int_equal(checkpoint_find(&c, &path), GRAFT_OK);
    if (strcmp(path, "torn/previous.ckpt.safetensors") != 0)
        fail_msg("sector %zu is torn, and %s is taken", sector, path);
    assert_false(c.last_good);
    assert_non_null(strstr(told, "a checkpoint is damaged: torn/last.ckpt.safetensors"));
    assert_non_null(strstr(told, "going on from the newest whole one, torn/previous.ckpt.safetensors"));
    mem_free(path);
}

static struct file_map read_whole(const char *path)
{
    struct file_map map;
    assert_int_equal(file_read(path, 1 << 20, &map), GRAFT_OK);
    return map;
}

// Each sector in turn, then all from one on, then all but one, holds zeros, or what the file held that stood here
// before: a disk writes sectors in any order, and the power may fail between any two.
static void test_torn_sectors(void **state)
{
    (void)state;
    copy_run("half", "torn");
    struct file_map last = read_whole("torn/last.ckpt.safetensors"),
                    before = read_whole("torn/previous.ckpt.safetensors");
    const size_t size = last.data.size, sectors = (size + SECTOR - 1) / SECTOR;
    uint8_t *torn = malloc(size), *old = calloc(size, 1);
    size_t tried = 0;
    const graft_hooks hooks = {.log = on_log};
    assert_true(sectors >= 8);
    hooks_set(&hooks);
    for (int from_before = 0; from_before < 2; from_before++) {
        if (from_before)
            memcpy(old, before.data.ptr, before.data.size < size ? before.data.size : size);
        for (int how = 0; how < 3; how++)
            for (size_t s = 0; s < sectors; s++) {
                const size_t at = s * SECTOR, length = size - at < SECTOR ? size - at : SECTOR;
                memcpy(torn, how == 2 ? old : last.data.ptr, size);
                if (how == 2)
                    memcpy(torn + at, last.data.ptr + at, length);
                else
                    memcpy(torn + at, old + at, how == 0 ? length : size - at);
                if (memcmp(torn, last.data.ptr, size) == 0 ||
                    (before.data.size == size && memcmp(torn, before.data.ptr, size) == 0))
                    continue; // the same bytes, or a whole file
                check_fallback(torn, size, s);
                tried++;
            }
    }
    assert_true(tried > 5 * sectors);
    print_message("%zu sectors, %zu torn files\n", sectors, tried);
    hooks_set(NULL);
    // To the end from such a one.
    struct tiny t = tiny_of("torn");
    memcpy(torn, last.data.ptr, size);
    memset(torn + size / 2 / SECTOR * SECTOR, 0, SECTOR);
    put("torn/last.ckpt.safetensors", torn, size);
    tiny_expect(&t, GRAFT_OK);
    tiny_compare("torn", "reference");
    free(torn);
    free(old);
    file_map_close(&last);
    file_map_close(&before);
}

static int setup(void **state) { return toy_setup(state) != 0 ? -1 : tiny_reference(); }

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_damaged_checkpoint), // leaves half/ for the others
                                       cmocka_unit_test(test_damage_is_not_rotated),
                                       cmocka_unit_test(test_torn_sectors)};
    return cmocka_run_group_tests_name("checkpoint", tests, setup, toy_teardown);
}
