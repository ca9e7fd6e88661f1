// tests/train/test_faults.c: a disk that fills up and pictures that change while a run is under way.

#include "toy.h"
#include "api/follow.h"
#include "base/json.h"
#include "weights/weights.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long writes_left;
static struct file_table kept;

static ssize_t full_write(int fd, const void *data, size_t size)
{
    if (writes_left-- > 0)
        return kept.write(fd, data, size);
    errno = ENOSPC;
    return -1;
}

static graft_status train(struct seen *seen, const char *output)
{
    return RUN("train", seen, "data", "set", "weights", "none", "val", "0.4", "batch", "5", "dropout", "0", "lr",
               "0.02", "threads", "1", "epochs", "2", "output", output);
}

static bool opens(const char *path)
{
    struct tensor_set set = {0};
    const bool fine = weights_read(path, &set) == GRAFT_OK;
    tensor_set_free(&set);
    return fine;
}

// The disk is full from some write on, for good.  Whatever was whole before stays whole, nothing half-written is left.
// Long enough for the first epoch's model and checkpoint to be written with it, on any machine.
static void linger(int steps)
{
    if (steps == 1)
        usleep(1100000);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct seen seen = {.on_step = linger};
    kept = file_ops;
    file_ops.write = full_write;
    writes_left = 1L << 40;
    assert_int_equal(train(&seen, "whole"), GRAFT_OK);
    const long all = (1L << 40) - writes_left;
    // Before anything; at the start; in each file of both epochs.
    for (int part = 0; part < 8; part++) {
        char name[32], model[64];
        snprintf(name, sizeof name, "full%d", part);
        snprintf(model, sizeof model, "%s/model.safetensors", name);
        writes_left = all * part / 8;
        seen.steps = 0;
        assert_int_equal(train(&seen, name), GRAFT_NO_RESOURCE);
        assert_non_null(strstr(graft_message(), "No space left"));
        assert_int_equal(files_named(name, ".tmp-"), 0);
        assert_true(part < 5 || opens(model)); // the first epoch's
        assert_true(!file_exists(model) || opens(model));
    }
    file_ops = kept;
}

static void copy(const char *from, const char *to)
{
    struct file_map map;
    char path[512];
    snprintf(path, sizeof path, GRAFT_SOURCE "/tests/golden/data/%s", from);
    assert_int_equal(file_map_open(path, &map), GRAFT_OK);
    assert_int_equal(file_write_all(to, map.data.ptr, map.data.size), GRAFT_OK);
    file_map_close(&map);
}

static void damage(int steps)
{
    if (steps != 4) // three steps an epoch: each was read once
        return;
    FILE *file = fopen("pets/a/1.png", "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 600, SEEK_SET), 0);
    const int byte = fgetc(file);
    assert_int_equal(fseek(file, 600, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 4, file), byte ^ 4);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(truncate("pets/b/2.png", 700), 0);
    assert_int_equal(unlink("pets/b/3.png"), 0);
}

// One picture has a bit flipped (PNG has checksums), one is cut, one vanishes: each named once with its reason.
static void pets_make(void)
{
    for (int i = 0; i < 8; i++) {
        char path[64];
        snprintf(path, sizeof path, "pets/%c/%d.png", "ab"[i % 2], i);
        assert_int_equal(file_make_folder("pets/a"), GRAFT_OK);
        assert_int_equal(file_make_folder("pets/b"), GRAFT_OK);
        copy(i % 2 == 0 ? "alpha.png" : "rgb.png", path);
    }
}

static void vanish(int steps)
{
    if (steps == 7) // the third epoch's first
        unlink("pets/b/3.png");
}

// Epochs of a moment leave their best model with the next checkpoint, and a run that fails before that does so too.
static void test_failure_leaves_best(void **state)
{
    (void)state;
    struct seen seen = {.on_step = vanish};
    pets_make();
    assert_int_equal(RUN("train", &seen, "data", "pets", "weights", "none", "imgsz", "32", "val", "0.25", "batch", "2",
                         "epochs", "9", "threads", "1", "on-bad", "fail", "output", "vanished"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "pets/b/3.png"));
    assert_true(seen.results >= 1 && seen.results < 9);
    assert_true(opens("vanished/model.safetensors"));
    char *results = text_of_file("vanished/results.json"), *predictions = text_of_file("vanished/val_predictions.csv");
    assert_non_null(strstr(results, "\"best_epoch\": "));
    assert_non_null(strstr(results, "\"n\": 2"));
    free(results);
    free(predictions);
}

static void test_pictures_change(void **state)
{
    (void)state;
    struct seen seen = {.on_step = damage};
    pets_make();
    copy("rgb.png", "pets/a/1.png");
    copy("rgb.png", "pets/b/2.png");
    assert_int_equal(RUN("train", &seen, "data", "pets", "weights", "none", "imgsz", "32", "val", "0", "batch", "3",
                         "epochs", "3", "threads", "1", "output", "changed"), GRAFT_OK);
    assert_int_equal(seen.results, 3);
    char *skipped = text_of_file("changed/skipped.csv");
    int lines = 0;
    for (const char *at = skipped; *at != '\0'; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 4); // with the header
    assert_non_null(strstr(skipped, "pets/a/1.png,"));
    assert_non_null(strstr(skipped, "pets/b/2.png,"));
    assert_non_null(strstr(skipped, "pets/b/3.png,"));
    free(skipped);
    assert_true(opens("changed/model.safetensors"));
}

// Whoever reads progress.json finds a whole object, whatever the numbers are.
static void test_progress_is_whole(void **state)
{
    (void)state;
    struct follower f;
    json_t *o;
    assert_int_equal(file_make_folder("followed"), GRAFT_OK);
    follower_begin(&f);
    follower_grown(&f, "followed", false);
    hooks_progress(&(graft_progress){.stage = "train", .step = 3, .loss = 0.5, .images_per_second = 1234.5});
    FILE *reader = fopen("followed/progress.json", "r");
    assert_non_null(reader);
    f.progress_next = 0; // a second later
    hooks_progress(&(graft_progress){.stage = "train", .step = 4, .loss = NAN, .seconds_left = INFINITY,
                                     .accuracy = 0.25, .memory = 12345678901});
    o = json_loadf(reader, 0, NULL); // what it has begun to read stays
    fclose(reader);
    assert_int_equal(json_integer_value(json_object_get(o, "step")), 3);
    assert_true(json_number_value(json_object_get(o, "loss")) == 0.5);
    assert_true(json_number_value(json_object_get(o, "images_per_second")) == 1234.5);
    json_decref(o);
    if (json_read_file("followed/progress.json", &o) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(json_integer_value(json_object_get(o, "step")), 4);
    assert_true(json_is_null(json_object_get(o, "loss")) && json_is_null(json_object_get(o, "seconds_left")));
    assert_true(json_number_value(json_object_get(o, "accuracy")) == 0.25);
    assert_true(json_number_value(json_object_get(o, "memory")) == 12345678901);
    json_decref(o);
    assert_int_equal(files_named("followed", "progress"), 1);
    follower_end(&f);
    assert_int_equal(files_named("followed", "progress"), 0);
}

// Validation pictures that are left out make no epoch shorter, however many they are.
static void test_unreadable_validation(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(file_make_folder("odd/train/a"), GRAFT_OK);
    assert_int_equal(file_make_folder("odd/train/b"), GRAFT_OK);
    assert_int_equal(file_make_folder("odd/val/a"), GRAFT_OK);
    assert_int_equal(file_make_folder("odd/val/b"), GRAFT_OK);
    for (int i = 0; i < 12; i++) {
        char path[64];
        snprintf(path, sizeof path, "odd/%s/%c/%d.png", i < 4 ? "train" : "val", "ab"[i % 2], i);
        if (i < 6)
            copy(i % 2 == 0 ? "alpha.png" : "rgb.png", path);
        else
            assert_int_equal(file_write_all(path, "nothing", 7), GRAFT_OK);
    }
    assert_int_equal(RUN("train", &seen, "data", "odd", "weights", "none", "imgsz", "32", "batch", "3", "epochs", "2",
                         "threads", "1", "output", "odder"), GRAFT_OK);
    assert_int_equal(seen.steps, 4);
    assert_int_equal(seen.steps_told, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_disk), cmocka_unit_test(test_failure_leaves_best),
                                       cmocka_unit_test(test_pictures_change),
                                       cmocka_unit_test(test_progress_is_whole),
                                       cmocka_unit_test(test_unreadable_validation)};
    return cmocka_run_group_tests_name("faults", tests, toy_setup, toy_teardown);
}
