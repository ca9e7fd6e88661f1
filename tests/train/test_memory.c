// tests/train/test_memory.c: what a run says that it will take, against what the kernel counts; --memory, and that a
// batch in parts is the same as smaller batches whose gradients are summed.

#include "toy.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE = 96, PICTURES = 24 };
#define SHARE 0.8 // of what a run takes, allowed to another: most of the rest is the program and the weights

struct taken {
    int code;
    double said, peak; // MB
    char log[8192], message[512];
};

// In a process of its own, whose peak is the run's.
static struct taken run_of(const char *const *arguments)
{
    struct taken taken = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        struct seen seen = {0};
        taken.code = toy_run("train", &seen, arguments);
        snprintf(taken.message, sizeof taken.message, "%s", graft_message());
        snprintf(taken.log, sizeof taken.log, "%s", seen.log);
        const char *line = strstr(seen.log, "memory: about ");
        taken.said = line != NULL ? strtod(line + strlen("memory: about "), NULL) : 0;
        taken.peak = (double)mem_resident_peak() / 1e6;
        _exit(write(ends[1], &taken, sizeof taken) == (ssize_t)sizeof taken ? 0 : 1);
    }
    close(ends[1]);
    size_t got = 0;
    for (ssize_t n; got < sizeof taken && (n = read(ends[0], (char *)&taken + got, sizeof taken - got)) > 0;)
        got += (size_t)n;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(got, sizeof taken);
    return taken;
}
#define TAKEN(...) run_of((const char *const[]){__VA_ARGS__, NULL})
#define BASE "data", "pictures", "weights", "none", "val", "0.25", "epochs", "2", "threads", "2", "dropout", "0"

static int setup(void **state)
{
    if (toy_setup(state) != 0)
        return -1;
    toy_set("pictures", PICTURES, SIDE);
    return 0;
}

// Within 5 %, whatever trains and however it learns.
static void test_prediction(void **state)
{
    (void)state;
    static const char *const runs[][6] = {{"mobilenet_v2", "none", "16", "sgd"},
                                          {"efficientnet_lite0", "none", "9", "adam"},
                                          {"resnet50", "none", "4", "sgd"},
                                          {"resnet50", "head", "16", "sgd"},
                                          {"densenet121", "features.denseblock3", "8", "sgd"}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        const struct taken t = TAKEN(BASE, "model", runs[i][0], "freeze", runs[i][1], "batch", runs[i][2], "optimizer",
                                     runs[i][3], "cache-features", "off", "no-save", "");
        if (t.code != GRAFT_OK)
            fail_msg("%s: %s", runs[i][0], t.message);
        print_message("%s, %s frozen: %.0f MB said, %.0f MB taken\n", runs[i][0], runs[i][1], t.said, t.peak);
        assert_true(t.said > 0.95 * t.peak && t.said < 1.05 * t.peak);
    }
}

// Of the phase that trains most, though the first one takes a third of it.
static void test_prediction_phases(void **state)
{
    (void)state;
    const struct taken t = TAKEN(BASE, "model", "mobilenet_v2", "freeze", "head", "unfreeze-epoch", "2:all", "batch",
                                 "16", "cache-features", "features", "no-save", "");
    if (t.code != GRAFT_OK)
        fail_msg("%s", t.message);
    print_message("two phases: %.0f MB said, %.0f MB taken\n", t.said, t.peak);
    assert_true(t.said > 0.93 * t.peak && t.said < 1.07 * t.peak); // kernels are chosen when the phase begins
}

static void test_limit(void **state)
{
    (void)state;
    const struct taken whole = TAKEN(BASE, "model", "mobilenet_v2", "batch", "18", "output", "whole");
    assert_int_equal(whole.code, GRAFT_OK);
    char limit[32];
    snprintf(limit, sizeof limit, "%.0fM", SHARE * whole.peak * 1e6 / 1048576);
    const struct taken parts = TAKEN(BASE, "model", "mobilenet_v2", "batch", "18", "memory", limit, "output", "parts");
    if (parts.code != GRAFT_OK)
        fail_msg("%s", parts.message);
    const char *said = strstr(parts.log, "a batch of 18 goes through in ");
    assert_non_null(said);
    assert_non_null(strstr(said, "BatchNorm's statistics are those of a part"));
    print_message("%.0f MB whole; limited to %.0f: %.0f\n", whole.peak, SHARE * whole.peak, parts.peak);
    assert_true(parts.peak < SHARE * 1.05 * whole.peak);
    char accumulate[16], batch[16];
    const int n = atoi(said + strlen("a batch of 18 goes through in "));
    assert_true(n > 1 && 18 % n == 0);
    char asked[48];
    snprintf(asked, sizeof asked, "; batch 18 in %d parts, 2 epochs", n);
    assert_non_null(strstr(parts.log, asked)); // the recipe is what was asked for
    assert_non_null(strstr(whole.log, "; batch 18, 2 epochs"));
    snprintf(accumulate, sizeof accumulate, "%d", n);
    snprintf(batch, sizeof batch, "%d", 18 / n);
    assert_int_equal(
        TAKEN(BASE, "model", "mobilenet_v2", "batch", batch, "accumulate", accumulate, "output", "same").code,
        GRAFT_OK);
    char *a = text_of_file("parts/val_predictions.csv"), *b = text_of_file("same/val_predictions.csv");
    assert_string_equal(a, b);
    free(a);
    free(b);
    const struct taken none = TAKEN(BASE, "model", "mobilenet_v2", "batch", "18", "memory", "20M", "output", "none");
    assert_int_equal(none.code, GRAFT_NO_RESOURCE);
    assert_non_null(strstr(none.message, "is too little: the run takes "));
    assert_int_equal(TAKEN(BASE, "memory", "2", "output", "none").code, GRAFT_BAD_OPTION);
    assert_int_equal(TAKEN(BASE, "memory", "2Q", "output", "none").code, GRAFT_BAD_OPTION);
}

int main(void)
{
    if (getenv("GRAFT_SANITIZED") != NULL) // the sanitizers' own memory is counted too
        return 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_prediction), cmocka_unit_test(test_prediction_phases),
                                       cmocka_unit_test(test_limit)};
    return cmocka_run_group_tests(tests, setup, toy_teardown);
}
