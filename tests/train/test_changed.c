// tests/train/test_changed.c: a run taken up again after somebody changed what it stands on: its data, its options, the
// files in its folder.  Refused, or told and gone on with.

#include "toy.h"
#include "tiny.h"
#include "data/sources.h"
#include "train/twins.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The best model is gone or another: said loudly, and the next epoch's stands in.
static void test_best_model_is_lost(void **state)
{
    (void)state;
    struct tiny t = tiny_of("bestless");
    t.epochs = 1;
    tiny_expect(&t, GRAFT_OK);
    assert_int_equal(unlink("bestless/model.safetensors"), 0);
    t.epochs = 2;
    tiny_expect(&t, GRAFT_OK);
    char *log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "warning: bestless/model.safetensors is not the model of epoch 1"));
    free(log);
    assert_true(file_exists("bestless/model.safetensors"));
}

// What the best model says of itself may change, as `val --calibrate` does it: it stays the best.  Another model of the
// same epoch is not it.
static void test_best_model_says_otherwise(void **state)
{
    (void)state;
    uint64_t tensors, after;
    struct tiny t = tiny_of("retold");
    t.epochs = 1;
    tiny_expect(&t, GRAFT_OK);
    assert_int_equal(model_hash("retold/model.safetensors", &tensors), GRAFT_OK);
    assert_int_equal(model_retell("retold/model.safetensors", "{\"epoch\": 1, \"temperature\": 2.5}"), GRAFT_OK);
    assert_int_equal(model_hash("retold/model.safetensors", &after), GRAFT_OK);
    assert_int_equal(tensors, after);
    t.epochs = 2;
    tiny_expect(&t, GRAFT_OK);
    char *log = text_of_file("tiny.log");
    assert_null(strstr(log, "is not the model"));
    free(log);
    FILE *file = fopen("retold/model.safetensors", "r+b");
    assert_non_null(file);
    assert_true(fseek(file, -1, SEEK_END) == 0 && fputc(0x55, file) == 0x55 && fclose(file) == 0);
    t.epochs = 3;
    tiny_expect(&t, GRAFT_OK);
    log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "is not the model of epoch"));
    free(log);
}

// ---- through graft.h

#define BASE "data", "set", "weights", "none", "val", "0.4", "batch", "5", "lr", "0.02", "threads", "1"

static char *bytes_differ(const char *a, const char *b)
{
    uint64_t x, y;
    assert_int_equal(file_hash(a, &x, NULL, 0), GRAFT_OK);
    assert_int_equal(file_hash(b, &y, NULL, 0), GRAFT_OK);
    return x == y ? NULL : "differ";
}

static void expect_changed(const char *text, const char *const *arguments)
{
    struct seen seen = {0};
    if (toy_run("train", &seen, arguments) != GRAFT_BAD_FILE || strstr(graft_message(), text) == NULL ||
        strstr(graft_message(), "--force") == NULL)
        fail_msg("expected a refusal with '%s': %s", text, graft_message());
}
#define CHANGED(text, ...) expect_changed(text, (const char *const[]){__VA_ARGS__, NULL})

// The epoch's seconds count those before a stop, and so do its parts.
static double backward_before(const char *checkpoint)
{
    static const char mark[] = "epoch_times\\\":[";
    struct file_map map;
    double wait, forward, backward = -1;
    assert_int_equal(file_map_open(checkpoint, &map), GRAFT_OK);
    const char *at = memmem(map.data.ptr, map.data.size, mark, sizeof mark - 1);
    assert_non_null(at);
    assert_int_equal(sscanf(at + sizeof mark - 1, "%lf,%lf,%lf", &wait, &forward, &backward), 3);
    file_map_close(&map);
    return backward;
}

static double backward_of(const char *events, int epoch)
{
    char mark[64], *text = text_of_file(events);
    snprintf(mark, sizeof mark, "{\"event\":\"epoch\",\"epoch\":%d,", epoch);
    const char *row = strstr(text, mark), *at = row != NULL ? strstr(row, "\"backward_seconds\":") : NULL;
    assert_non_null(at);
    const double seconds = strtod(strchr(at, ':') + 1, NULL);
    free(text);
    return seconds;
}

static void test_from_outside(void **state)
{
    (void)state;
    struct seen whole = {0}, first = {.stop_after = 7}, second = {0};
    assert_int_equal(RUN("train", &whole, BASE, "epochs", "3", "output", "whole"), GRAFT_OK);
    assert_int_equal(RUN("train", &first, BASE, "epochs", "3", "output", "parted"), GRAFT_CANCELLED);
    assert_non_null(strstr(graft_message(), "graft train --resume parted"));
    const double before_stop = backward_before("parted/last.ckpt.safetensors");
    assert_int_equal(RUN("train", &second, BASE, "epochs", "3", "output", "parted"), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "--resume parted"));
    static const char *const others[][2] = {
        {"folds.csv", "--resume kept"}, {"svm.json", "-o"}, {"ensemble.json", "-o"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) { // what other commands have made stays
        char path[64];
        tiny_clear("kept");
        assert_int_equal(file_make_folder("kept"), GRAFT_OK);
        snprintf(path, sizeof path, "kept/%s", others[i][0]);
        assert_int_equal(file_write_all(path, "{}", 2), GRAFT_OK);
        assert_int_equal(RUN("train", &second, BASE, "epochs", "1", "output", "kept"), GRAFT_BAD_OPTION);
        assert_non_null(strstr(graft_message(), others[i][0]));
        assert_non_null(strstr(graft_message(), others[i][1]));
        assert_int_equal(RUN("train", &second, "data", "set", "weights", "none", "folds", "2", "output", "kept"),
                         GRAFT_BAD_OPTION);
        assert_false(file_exists("kept/args.json"));
    }

    CHANGED("--lr 0.03 (was 0.02)", "resume", "parted", "lr", "0.03");
    CHANGED("--model vgg16 (was not set)", "resume", "parted", "model", "vgg16");
    CHANGED("--dropout 0.1 (was not set)", "resume", "parted", "dropout", "0.1");
    CHANGED("--bn stats (was train)", "resume", "parted", "bn", "stats");
    CHANGED("--data given otherwise", "resume", "parted", "data", "set", "data", "set");
    toy_set("set", TOY_N - 2, TOY_SIDE);
    CHANGED("are gone (x.npy#38, ...)", "resume", "parted");
    toy_set("set", TOY_N, TOY_SIDE + 1);
    CHANGED("x.npy#0: content or date, ...)", "resume", "parted");
    toy_set("set", TOY_N, TOY_SIDE);
    CHANGED("of the classes 1 is new (2)", "resume", "parted", "num-classes", "3");
    CHANGED("A run cannot go on with other classes", "resume", "parted", "num-classes", "3", "force", "");
    assert_int_equal(RUN("train", &second, "resume", "parted", "model", "vgg16", "force", ""), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "efficientnet_lite0"));
    assert_int_equal(RUN("train", &second, "resume", "parted", "output", "x"), GRAFT_BAD_OPTION);
    assert_int_equal(RUN("train", &second, BASE, "force", ""), GRAFT_BAD_OPTION);
    assert_int_equal(RUN("train", &second, "resume", "set"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "not the folder of a run"));
    assert_int_equal(RUN("train", &second, "resume", "nowhere"), GRAFT_BAD_FILE);

    second = (struct seen){0};
    assert_int_equal(RUN("train", &second, "resume", "parted", "lr", "2e-2", "workers", "1"),
                     GRAFT_OK); // the same rate
    assert_int_equal(whole.steps, first.steps + second.steps);
    assert_true(before_stop > 0 && backward_of("parted/events.jsonl", 2) > before_stop);
    assert_null(bytes_differ("whole/model.safetensors", "parted/model.safetensors"));
    assert_null(bytes_differ("whole/val_predictions.csv", "parted/val_predictions.csv"));
    second = (struct seen){0};
    assert_int_equal(RUN("train", &second, "resume", "parted"), GRAFT_OK);
    assert_int_equal(second.steps, 0);
    assert_non_null(strstr(second.log, "finished after 3 epochs"));
    // Forced: another rate takes effect, and what was best stays.
    assert_int_equal(RUN("train", &second, "resume", "parted", "epochs", "4", "lr", "0.001", "force", ""), GRAFT_OK);
    assert_non_null(strstr(second.warnings, "--lr 0.001 (was 2e-2)"));
    char *args = text_of_file("parted/args.json");
    assert_non_null(strstr(args, "\"lr\":\"0.001\""));
    assert_non_null(strstr(args, "\"epochs\":\"4\""));
    free(args);
    // Forced, with a picture gone and one come: who was held out stays so, and the new one is trained on.
    char *before = text_of_file("parted/split.csv");
    toy_set("set", TOY_N - 1, TOY_SIDE);
    CHANGED("of the pictures 1 is gone (x.npy#39).", "resume", "parted", "epochs", "5");
    assert_int_equal(RUN("train", &second, "resume", "parted", "epochs", "5", "force", ""), GRAFT_OK);
    char *gone = text_of_file("parted/split.csv");
    assert_int_equal(strncmp(before, gone, strlen(gone)), 0);
    toy_set("set", TOY_N, TOY_SIDE);
    assert_int_equal(RUN("train", &second, "resume", "parted", "epochs", "6", "force", ""), GRAFT_OK);
    assert_non_null(strstr(second.warnings, "of the new pictures 1 are trained on, 0 validated, 0 left aside"));
    char *back = text_of_file("parted/split.csv");
    assert_int_equal(strncmp(back, gone, strlen(gone)), 0);
    assert_non_null(strstr(back + strlen(gone), ",train,"));
    free(before);
    free(gone);
    free(back);
}

// Near duplicates that the run had found stay in the list though this process has loaded none of them.
static void test_pairs_stay(void **state)
{
    (void)state;
    static const struct { const char *path; enum part part; } rows[] = {
        {"a/1", PART_VAL}, {"a/2", PART_TRAIN}, {"a/3", PART_VAL}, {"a/4", PART_TRAIN}};
    static const char had[] = "held_out,trained\na/3,a/4\na/gone,a/2\na/2,a/4\na/1,a/2\n"; // a/2 is held out no more
    struct dataset d = {0};
    int label;
    assert_int_equal(class_find(&d, "a", &label), GRAFT_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(sample_add(&d, rows[i].path, label, rows[i].part, NULL), GRAFT_OK);
    assert_int_equal(file_make_folder("pairs"), GRAFT_OK);
    assert_int_equal(file_write_all("pairs/near_duplicates.csv", had, strlen(had)), GRAFT_OK);
    const struct run_folder f = {.path = "pairs", .save = true};
    assert_int_equal(twins_report(&f, &d, true), GRAFT_OK);
    char *list = text_of_file("pairs/near_duplicates.csv");
    assert_string_equal(list, "held_out,trained\na/1,a/2\na/3,a/4\n");
    free(list);
    dataset_free(&d);
}

// Of a run that ended the checkpoints were removed: its model and results are not replaced unless somebody says so.
static void test_checkpoint_removed(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(RUN("train", &seen, BASE, "epochs", "1", "output", "lost"), GRAFT_OK);
    assert_int_equal(remove("lost/last.ckpt.safetensors"), 0);
    remove("lost/prev.ckpt.safetensors");
    char *had = text_of_file("lost/results.csv");
    assert_int_equal(RUN("train", &seen, "resume", "lost", "epochs", "2"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "last.ckpt.safetensors, is gone"));
    assert_int_equal(RUN("train", &seen, BASE, "epochs", "1", "output", "lost"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "graft train --resume lost --force"));
    char *still = text_of_file("lost/results.csv");
    assert_string_equal(still, had);
    free(still);
    assert_int_equal(RUN("train", &seen, "resume", "lost", "epochs", "2", "force", ""), GRAFT_OK);
    assert_non_null(strstr(seen.warnings, "the run begins again"));
    free(had);
}

static int setup(void **state) { return toy_setup(state) != 0 ? -1 : tiny_reference(); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_model_is_lost), cmocka_unit_test(test_best_model_says_otherwise),
        cmocka_unit_test(test_from_outside), cmocka_unit_test(test_checkpoint_removed),
        cmocka_unit_test(test_pairs_stay)};
    cmocka_set_test_filter(getenv("GRAFT_ONLY")); // NULL: all
    return cmocka_run_group_tests_name("changed", tests, setup, toy_teardown);
}
