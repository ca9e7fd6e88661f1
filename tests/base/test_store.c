// base/test_store.c: the store: what was put comes back, damage does not, the bound holds, processes share a folder.

#include "base/file.h"
#include "base/memory.h"
#include "base/store.h"
#include "scratch.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOB = 1000 };
static char folder[80];

static int make(void **state)
{
    (void)state;
    return temporary_make(folder, sizeof folder);
}

static int clear(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'/*", folder);
    return system(command);
}

static int end(void **state)
{
    (void)state;
    return temporary_remove(folder);
}

static struct store *opened(uint64_t most)
{
    struct store *s;
    if (store_open(folder, most, &s) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return s;
}

static struct store_key key(uint64_t n) { return (struct store_key){n, n * 7}; }

static void fill(uint8_t *blob, uint64_t n)
{
    for (size_t i = 0; i < BLOB; i++)
        blob[i] = (uint8_t)(n + i * (n + 1));
}

static void put(struct store *s, uint64_t n)
{
    uint8_t blob[BLOB];
    fill(blob, n);
    store_put(s, key(n), blob, 900, blob + 900, BLOB - 900);
}

static bool here(struct store *s, uint64_t n) // and right
{
    uint8_t expected[BLOB];
    bytes blob;
    fill(expected, n);
    if (!store_get(s, key(n), &blob))
        return false;
    assert_int_equal(blob.size, BLOB);
    assert_memory_equal(blob.ptr, expected, BLOB);
    mem_free((void *)blob.ptr);
    return true;
}

// The only blob's path, or how many there are.
static int blobs(char *path, size_t size)
{
    DIR *dir = opendir(folder);
    int n = 0;
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.') {
            assert_null(strstr(e->d_name, ".tmp"));
            if (path != NULL)
                snprintf(path, size, "%s/%s", folder, e->d_name);
            n++;
        }
    closedir(dir);
    return n;
}

static void comes_back(void **state)
{
    (void)state;
    struct store *s = opened(1 << 20);
    assert_false(here(s, 1));
    for (uint64_t n = 0; n < 20; n++)
        put(s, n);
    put(s, 3); // once more
    for (uint64_t n = 0; n < 20; n++)
        assert_true(here(s, n));
    assert_false(here(s, 20));
    store_close(s);
    s = opened(1 << 20);
    assert_true(here(s, 19));
    assert_int_equal(blobs(NULL, 0), 20);
    store_close(s);
}

// Any byte wrong, any byte missing, something else of that name: not there, and removed.
static void damage(void **state)
{
    (void)state;
    struct store *s = opened(1 << 20);
    char path[400];
    struct file_map map;
    put(s, 5);
    assert_int_equal(blobs(path, sizeof path), 1);
    assert_int_equal(file_read(path, 1 << 20, &map), GRAFT_OK);
    uint8_t *copy = mem_alloc(map.data.size + 1);
    for (size_t at = 0; at <= 2 * map.data.size; at++) {
        const bool cut = at >= map.data.size; // the last: a byte too many
        memcpy(copy, map.data.ptr, map.data.size);
        if (!cut)
            copy[at] ^= 0x10;
        const size_t size = !cut ? map.data.size : at == 2 * map.data.size ? map.data.size + 1 : at - map.data.size;
        assert_int_equal(file_write_all(path, copy, size), GRAFT_OK);
        if (here(s, 5))
            fail_msg("damaged at %zu and taken", at);
        assert_false(file_exists(path));
    }
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(here(s, 5));
    put(s, 5); // cannot be kept, which is no failure
    rmdir(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(here(s, 5)); // and no hang
    mem_free(copy);
    file_map_close(&map);
    store_close(s);
}

static void age(int hours)
{
    char command[160];
    snprintf(command, sizeof command, "touch -d '%d hours ago' '%s'/*", hours, folder);
    assert_int_equal(system(command), 0);
}

// Beyond the bound what was not used since the opening goes, the oldest first; what is in use stays, and nothing is
// added.
static void bound(void **state)
{
    (void)state;
    struct store *s = opened(40 * BLOB);
    for (uint64_t n = 0; n < 10; n++)
        put(s, n);
    age(5);
    for (uint64_t n = 10; n < 20; n++)
        put(s, n);
    store_close(s);
    age(2); // all alike
    sleep(1); // times of use are compared by the second
    s = opened(25 * BLOB);
    for (uint64_t n = 0; n < 5; n++)
        assert_true(here(s, n)); // in use
    for (uint64_t n = 20; n < 100; n++)
        put(s, n);
    int kept = 0;
    for (uint64_t n = 0; n < 100; n++)
        kept += here(s, n);
    for (uint64_t n = 0; n < 5; n++)
        assert_true(here(s, n));
    assert_true(kept >= 15 && kept <= 25); // a blob is a little larger than BLOB
    assert_int_equal(blobs(NULL, 0), kept);
    store_close(s);
    s = opened(3 * BLOB); // a smaller bound at the next opening
    assert_true(blobs(NULL, 0) <= kept);
    store_close(s);
}

static void shared(void **state)
{
    (void)state;
    enum { PROCESSES = 4, KEYS = 60, ROUNDS = 400 };
    for (int p = 0; p < PROCESSES; p++)
        if (fork() == 0) {
            struct store *s = opened(40 * BLOB); // not all of them fit
            unsigned seed = (unsigned)p;
            for (int i = 0; i < ROUNDS; i++) {
                const uint64_t n = (uint64_t)rand_r(&seed) % KEYS;
                if (!here(s, n)) // a wrong one ends this process with a failure
                    put(s, n);
            }
            store_close(s);
            _exit(0);
        }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        wait(&status);
        assert_int_equal(status, 0);
    }
    const int n = blobs(NULL, 0);
    assert_true(n > 10 && n <= 40 * (16 + PROCESSES) / 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(comes_back, clear), cmocka_unit_test_teardown(damage, clear),
        cmocka_unit_test_teardown(bound, clear), cmocka_unit_test_teardown(shared, clear)};
    return cmocka_run_group_tests(tests, make, end);
}
