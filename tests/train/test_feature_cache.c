// tests/train/test_feature_cache.c: runs from kept features end with the bits of runs that keep none: when they make
// them, find them, find them damaged, share them, are stopped, or have no room for them; and nothing is kept of
// pictures that change.

#include "toy.h"
#include "tiny.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/encode.h"
#include "train/feature_store.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EPOCHS = 3, PICTURES = 20, ROW = 16 + 8 * 4, HEAD = 40 }; // the end: 8 channels, or 16 lanes of them

static struct tiny cached(const char *folder, const char *features)
{
    return (struct tiny){.folder = folder, .epochs = EPOCHS, .freeze = 1, .features = features};
}

static void expect_reference(const char *folder, const char *features)
{
    struct tiny t = cached(folder, features);
    tiny_clear(folder);
    tiny_expect(&t, GRAFT_OK);
    tiny_compare(folder, "reference");
}

static char *features_file(const char *folder) // the only one
{
    char command[128], *path = malloc(300);
    snprintf(command, sizeof command, "ls %s/*.features", folder);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_non_null(fgets(path, 300, list));
    path[strcspn(path, "\n")] = '\0';
    char more[8];
    assert_null(fgets(more, sizeof more, list));
    pclose(list);
    return path;
}

static long size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 0x10, f), c ^ 0x10);
    assert_int_equal(fclose(f), 0);
}

static bool logged(const char *text)
{
    char *log = text_of_file("tiny.log");
    const bool found = strstr(log, text) != NULL;
    free(log);
    return found;
}

static int setup(void **state)
{
    if (toy_setup(state) != 0)
        return -1;
    toy_set("tinyset", PICTURES, 8);
    struct tiny t = cached("reference", NULL);
    tiny_expect(&t, GRAFT_OK);
    return 0;
}

static void test_made_and_found(void **state)
{
    (void)state;
    tiny_clear("kept");
    expect_reference("made", "kept");
    char *path = features_file("kept");
    const long size = size_of(path);
    assert_int_equal((size - HEAD) % PICTURES, 0); // a row a picture, of both parts
    assert_true((size - HEAD) / PICTURES >= ROW);
    assert_false(logged("20 rows there"));
    expect_reference("found", "kept");
    assert_true(logged("20 rows there"));
    assert_int_equal(size_of(path), size);
    expect_reference("off", "off");
    free(path);
}

static void test_damage(void **state)
{
    (void)state;
    tiny_clear("kept");
    expect_reference("made", "kept");
    char *path = features_file("kept");
    const long size = size_of(path);
    const long places[] = {HEAD + ROW / 2 + 8, size / 2, size - 1}; // floats of a row
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        flip(path, places[i]);
        expect_reference("damaged", "kept");
        assert_true(logged("is damaged"));
        expect_reference("again", "kept"); // the row was made anew
        assert_false(logged("is damaged"));
    }
    for (long at = 0; at < HEAD; at += 5) { // the head: the file is made anew
        flip(path, at);
        expect_reference("damaged", "kept");
        assert_true(logged("made anew"));
        assert_int_equal(size_of(path), size);
    }
    for (long cut = 0; cut < size; cut += 1 + size / 7) { // as a crash or a full disk leaves it
        assert_int_equal(truncate(path, cut), 0);
        expect_reference("cut", "kept");
        assert_int_equal(size_of(path), size);
    }
    free(path);
}

static void test_shared(void **state)
{
    (void)state;
    static const char *const folders[] = {"first", "second", "third"};
    tiny_clear("kept");
    int processes[3];
    for (int i = 0; i < 3; i++) {
        struct tiny t = cached(folders[i], "kept");
        processes[i] = tiny_start(&t);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tiny_wait(processes[i]), GRAFT_OK);
        tiny_compare(folders[i], "reference");
    }
    char *path = features_file("kept");
    assert_int_equal((size_of(path) - HEAD) % PICTURES, 0);
    free(path);
}

static void test_stopped(void **state)
{
    (void)state;
    for (int steps = 1; steps <= 9; steps += 4) {
        tiny_clear("kept");
        tiny_clear("stopped");
        struct tiny t = cached("stopped", "kept");
        t.stop_after = steps;
        tiny_expect(&t, GRAFT_CANCELLED);
        t.stop_after = 0;
        t.features = steps == 5 ? "off" : "kept"; // going on may do without
        tiny_expect(&t, GRAFT_OK);
        tiny_compare("stopped", "reference");
    }
}

static struct file_table kept_table;
static int features_fd, rows_left;

static int open_watched(const char *path, int flags, mode_t mode)
{
    const int fd = kept_table.open(path, flags, mode);
    if (strstr(path, ".features") != NULL)
        features_fd = fd;
    return fd;
}

static int close_watched(int fd)
{
    features_fd = fd == features_fd ? -1 : features_fd;
    return kept_table.close(fd);
}

static ssize_t write_full(int fd, const void *data, size_t size)
{
    if (fd != features_fd || rows_left-- > 0)
        return kept_table.write(fd, data, size);
    errno = ENOSPC;
    return -1;
}

static void fill_disk(void *user)
{
    features_fd = -1;
    rows_left = *(int *)user;
    kept_table = file_ops;
    file_ops.open = open_watched;
    file_ops.close = close_watched;
    file_ops.write = write_full;
}

// A disk that is full costs the features, not the run.
static void test_full_disk(void **state)
{
    (void)state;
    for (int rows = 0; rows <= 8; rows += 4) {
        tiny_clear("kept");
        tiny_clear("full");
        struct tiny t = cached("full", "kept");
        t.before = fill_disk;
        t.user = &rows;
        tiny_expect(&t, GRAFT_OK);
        assert_true(logged("kept: "));
        tiny_compare("full", "reference");
    }
    tiny_clear("blocked");
    FILE *f = fopen("blocked", "w"); // no folder
    assert_non_null(f);
    fclose(f);
    expect_reference("made", "blocked");
}

// Rows by what is asked for; of damaged ones none; a folder's oldest files go when there are too many bytes.
static void test_store(void **state)
{
    (void)state;
    struct feature_store *a, *b;
    float x[3] = {1, 2, 3}, y[4] = {4, 5, 6, 7}, u[3], v[4];
    const struct feature_part in[] = {{x, 3}, {y, 4}}, out[] = {{u, 3}, {v, 4}};
    tiny_clear("store");
    assert_int_equal(feature_store_open("store", 5, 7, false, &a), GRAFT_OK);
    assert_int_equal(feature_store_open("store", 5, 7, false, &b), GRAFT_OK);
    assert_false(feature_store_get(a, 9, out, 2));
    for (uint64_t k = 1; k <= 5000; k++) { // the table grows; rows of both
        x[0] = (float)k;
        assert_int_equal(feature_store_put(k % 2 == 0 ? a : b, k, in, 2), GRAFT_OK);
    }
    assert_int_equal(feature_store_put(a, 4999, in, 2), GRAFT_OK); // b's: learnt of, not written again
    assert_int_equal(size_of(feature_store_path(a)), HEAD + 5000 * (long)feature_row_bytes(7, false));
    for (uint64_t k = 1; k <= 4999; k++) {
        assert_true(feature_store_get(a, k, out, 2));
        assert_true(u[0] == (float)k && u[2] == 3 && v[3] == 7);
    }
    assert_int_equal(feature_store_count(a), 5000);
    feature_store_close(a);
    feature_store_close(b);
    assert_int_equal(feature_store_open("store", 6, 1, false, &a), GRAFT_OK);
    feature_store_close(a);
    assert_int_equal(feature_store_open("store", 7, 1, false, &a), GRAFT_OK);
    feature_store_close(a);
    const struct timeval old[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimes("store/0000000000000005.features", old), 0);
    feature_folder_trim("store", 7, 1 << 20, true);
    assert_int_equal(files_named("store", ".features"), 3);
    assert_int_equal(feature_folder_trim("store", 7, HEAD, false), HEAD + 5000 * (long)feature_row_bytes(7, false));
    assert_int_equal(files_named("store", ".features"), 3);
    feature_folder_trim("store", 7, HEAD, true);
    assert_int_equal(files_named("store", ".features"), 2); // the largest was the oldest; one's own does not count
    feature_folder_trim("store", 7, 0, true);
    assert_int_equal(files_named("store", ".features"), 1); // but for the one that is wanted
}

// A file of so many bytes that takes none.
static void hollow(const char *path, off_t size, long when)
{
    const struct timeval times[2] = {{when, 0}, {when, 0}};
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(truncate(path, size), 0);
    assert_int_equal(utimes(path, times), 0);
}

static bool disk_full;
int statvfs(const char *restrict path, struct statvfs *restrict out) // in the place of the system's
{
    (void)path;
    *out = (struct statvfs){.f_frsize = 4096, .f_bavail = disk_full ? 0 : 1 << 30};
    return 0;
}

static void disk_fill(void *user)
{
    (void)user;
    disk_full = true;
}

// A run that has no room for its own removes nobody else's; one that gets room by it removes the oldest.
static void test_room(void **state)
{
    (void)state;
    static const off_t most = (off_t)20 << 30;
    struct tiny t = cached("roomless", "kept");
    tiny_clear("kept");
    assert_int_equal(file_make_folder("kept"), GRAFT_OK);
    hollow("kept/older.features", 1500, 1000); // half of it is less than any row's kind needs
    hollow("kept/newer.features", most - 2000, 2000);
    t.before = disk_fill;
    tiny_expect(&t, GRAFT_OK);
    assert_true(logged("not kept: they would take"));
    assert_true(file_exists("kept/older.features") && file_exists("kept/newer.features"));
    tiny_compare("roomless", "reference");
    expect_reference("room", "kept");
    assert_false(file_exists("kept/older.features"));
    assert_true(file_exists("kept/newer.features"));
    tiny_clear("kept");
    assert_int_equal(file_make_folder("kept"), GRAFT_OK);
    hollow("kept/older.features", most, 1000); // whose removal makes the room
    tiny_clear("roomless");
    tiny_expect(&t, GRAFT_OK);
    assert_false(file_exists("kept/older.features"));
    assert_true(logged("are kept in kept"));
}

// Half the bytes: each number the nearest bf16, of two as near the even one, as torch's .bfloat16() has them.
static void test_bf16_store(void **state)
{
    (void)state;
    struct feature_store *s;
    const float in[] = {1, 1.00390625f, 1.01171875f, -1.00390637f, 3e38f, 1e-30f, INFINITY, 0};
    const float rounded[] = {1, 1, 1.015625f, -1.0078125f, 3.00405527e38f, 9.98402083e-31f, INFINITY, 0};
    float x[9], out[9];
    memcpy(x, in, sizeof in);
    x[8] = NAN;
    const struct feature_part from[] = {{x, 4}, {x + 4, 5}}, to[] = {{out, 2}, {out + 2, 7}};
    tiny_clear("store");
    assert_int_equal(feature_store_open("store", 5, 9, true, &s), GRAFT_OK);
    assert_int_equal(feature_store_put(s, 3, from, 2), GRAFT_OK);
    assert_int_equal(size_of(feature_store_path(s)), HEAD + 16 + 9 * 2);
    assert_true(feature_store_get(s, 3, to, 2));
    for (size_t i = 0; i < COUNT_OF(in); i++)
        assert_true(fabsf(out[i] - rounded[i]) <= 1e-6f * fabsf(rounded[i]) || out[i] == rounded[i]);
    assert_true(isnan(out[8]));
    feature_store_close(s);
    assert_int_equal(feature_store_open("store", 5, 9, false, &s), GRAFT_OK); // of the other kind: none of ours
    assert_int_equal(feature_store_count(s), 0);
    feature_store_close(s);
}

// A run in bf16 keeps bf16: what was found there gives the bits that making it gave.
static void test_bf16_run(void **state)
{
    (void)state;
    if (!exec_bf16()) {
        print_message("SKIPPED: the processor has no AVX-512 BF16, so features kept in bf16 are not tested\n");
        skip();
    }
    tiny_clear("half");
    for (int k = 0; k < 2; k++) {
        struct tiny t = cached(k == 0 ? "half-made" : "half-found", "half");
        t.bf16 = true;
        tiny_clear(t.folder);
        tiny_expect(&t, GRAFT_OK);
    }
    assert_true(logged("20 rows there"));
    char *path = features_file("half");
    const long row = (size_of(path) - HEAD) / PICTURES - 16;
    assert_true(row == 8 * 2 || row == 16 * 2);
    tiny_compare("half-found", "half-made");
    free(path);
}

// From outside: frozen layers, copies that stay, pictures that do not.
static void test_command(void **state)
{
    (void)state;
#define BASE \
    "data", "tinyset", "model", "mobilenet_v2@0.35", "weights", "none", "imgsz", "32", "val", "0.25", "batch", "5", \
        "epochs", "2", "threads", "1", "seed", "3"
    struct seen seen = {0};
    tiny_clear("outside");
    assert_int_equal(RUN("train", &seen, BASE, "freeze", "none", "cache-features", "outside", "output", "all"),
                     GRAFT_OK);
    assert_false(file_exists("outside")); // nothing is frozen
    assert_int_equal(RUN("train", &seen, BASE, "freeze", "head", "cache-features", "outside", "output", "head"),
                     GRAFT_OK);
    assert_int_equal(files_named("outside", ".features"), 1);
    assert_int_equal(RUN("train", &seen, BASE, "freeze", "features.7", "cache-features", "outside", "output", "part"),
                     GRAFT_OK);
    assert_int_equal(RUN("train", &seen, BASE, "freeze", "features.7", "cache-features", "off", "output", "part_off"),
                     GRAFT_OK);
    assert_int_equal(files_named("outside", ".features"), 2); // another part, another file
    char *kept = text_of_file("part/val_predictions.csv"), *none = text_of_file("part_off/val_predictions.csv");
    assert_string_equal(kept, none);
    free(kept);
    free(none);
}

// Pictures, since arrays of floats are never changed.
static void test_augmented(void **state)
{
    (void)state;
    struct seen seen = {0};
    tiny_clear("outside");
#define PETS \
    "data", "pets", "model", "mobilenet_v2@0.35", "weights", "none", "imgsz", "32", "val", "0.25", "batch", "5", \
        "epochs", "2", "threads", "1", "seed", "3", "freeze", "head"
    for (int i = 0; i < 12; i++) {
        char path[64];
        snprintf(path, sizeof path, "pets/%s", i % 2 == 0 ? "cat" : "dog");
        assert_int_equal(file_make_folder(path), GRAFT_OK);
        snprintf(path, sizeof path, "pets/%s/%d.bmp", i % 2 == 0 ? "cat" : "dog", i);
        uint8_t bmp[54 + 24 * 24 * 3] = {'B', 'M'};
        const uint32_t fields[][2] = {{2, sizeof bmp}, {10, 54}, {14, 40}, {18, 24}, {22, 24}, {26, 1 | 24 << 16}};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
            memcpy(bmp + fields[k][0], &fields[k][1], 4);
        for (size_t k = 54; k < sizeof bmp; k++)
            bmp[k] = (uint8_t)(k * 7 + (size_t)i * 31);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bmp, 1, sizeof bmp, f), sizeof bmp);
        fclose(f);
    }
    assert_int_equal(RUN("train", &seen, PETS, "augment", "flip=h", "cache-features", "outside", "output", "moving"),
                     GRAFT_OK);
    assert_false(file_exists("outside"));
    assert_non_null(strstr(seen.log, "augmented anew"));
    assert_int_equal(RUN("train", &seen, PETS, "copies", "2", "cache-features", "outside", "output", "copies"),
                     GRAFT_OK);
    assert_int_equal(RUN("train", &seen, PETS, "copies", "2", "cache-features", "off", "output", "copies_off"),
                     GRAFT_OK);
    assert_int_equal(files_named("outside", ".features"), 1);
    char *kept = text_of_file("copies/val_predictions.csv"), *none = text_of_file("copies_off/val_predictions.csv");
    assert_string_equal(kept, none);
    free(kept);
    free(none);
}

static void same_texts(const char *one, const char *other)
{
    char *a = text_of_file(one), *b = text_of_file(other);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

// What one fold validates on the others train on: a picture is computed once, to the bits that come without a cache.
// The JPEGs are large enough for training to shrink them while decoding, which must not happen here.
static void test_folds(void **state)
{
    (void)state;
    enum { JPEGS = 12, WIDTH = 256, HEIGHT = 192 };
    struct seen seen = {0};
    tiny_clear("outside");
    for (int i = 0; i < JPEGS; i++) {
        char path[64];
        struct picture p = {.w = WIDTH, .h = HEIGHT, .rgb = malloc(WIDTH * HEIGHT * 3)};
        bytes jpeg;
        assert_non_null(p.rgb);
        for (size_t k = 0; k < WIDTH * HEIGHT * 3; k++) // fine stripes: shrunk, they are another picture
            p.rgb[k] = (uint8_t)(k % 3 == (size_t)i % 2 ? 200 : k / 3 * (size_t)(3 + i) % 251);
        assert_int_equal(picture_to_jpeg(&p, 90, &jpeg), GRAFT_OK);
        free(p.rgb);
        snprintf(path, sizeof path, "stripes/%s", i % 2 == 0 ? "cat" : "dog");
        assert_int_equal(file_make_folder(path), GRAFT_OK);
        snprintf(path, sizeof path, "stripes/%s/%d.jpg", i % 2 == 0 ? "cat" : "dog", i);
        assert_int_equal(file_write_all(path, jpeg.ptr, jpeg.size), GRAFT_OK);
        mem_free((void *)jpeg.ptr);
    }
#define STRIPES \
    "data", "stripes", "model", "mobilenet_v2@0.35", "weights", "none", "imgsz", "32", "batch", "5", "epochs", "2", \
        "threads", "1", "seed", "3", "freeze", "features.2", "folds", "3"
    assert_int_equal(RUN("train", &seen, STRIPES, "cache-features", "outside", "output", "folds"), GRAFT_OK);
    char *path = features_file("outside");
    const long size = size_of(path);
    assert_int_equal((size - HEAD) % JPEGS, 0); // a row a picture
    free(path);
    assert_non_null(strstr(seen.log, " 0 rows there"));
    assert_non_null(strstr(seen.log, " 12 rows there"));
    assert_int_equal(RUN("train", &seen, STRIPES, "cache-features", "off", "output", "folds_off"), GRAFT_OK);
    same_texts("folds/oof_predictions.csv", "folds_off/oof_predictions.csv");
    assert_int_equal(RUN("train", &seen, STRIPES, "cache-features", "off", "decode", "exact", "output", "exact"),
                     GRAFT_OK);
    same_texts("folds/oof_predictions.csv", "exact/oof_predictions.csv");
    tiny_clear("outside");
    assert_int_equal(RUN("train", &seen, STRIPES, "copies", "2", "cache-features", "outside", "output", "copied"),
                     GRAFT_OK);
    path = features_file("outside");
    assert_int_equal(size_of(path) - HEAD, (size - HEAD) * 3); // originals and two copies of each, whatever the folds
    free(path);
    assert_int_equal(RUN("train", &seen, STRIPES, "copies", "2", "cache-features", "off", "output", "copied_off"),
                     GRAFT_OK);
    same_texts("copied/oof_predictions.csv", "copied_off/oof_predictions.csv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store), cmocka_unit_test(test_room), cmocka_unit_test(test_bf16_store),
        cmocka_unit_test(test_bf16_run),
        cmocka_unit_test(test_made_and_found), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_shared), cmocka_unit_test(test_stopped), cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_command), cmocka_unit_test(test_augmented),
        cmocka_unit_test(test_folds)};
    return cmocka_run_group_tests(tests, setup, toy_teardown);
}
