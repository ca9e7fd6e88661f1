// tests/exec/test_choice.c: which way a convolution goes: the record decides, the environment and a run's kept choices
// come before it, evaluation never asks it, and a bad record stops nothing.

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "exec/kernels.h"
#include "exec/plan.h"
#include "scratch.h"
#include "sets.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { BATCH = 2, CHANNELS = 128, SIDE = 8, CLASSES = 5 }; // neither way is clearly faster
static char folder[64], record[96];

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(temporary_make(folder, sizeof folder), 0);
    setenv("XDG_CACHE_HOME", folder, 1);
    snprintf(record, sizeof record, "%s/graft/kernels.json", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(temporary_remove(folder), 0);
    unsetenv("XDG_CACHE_HOME");
    return 0;
}

// What the passes of `layer` go by in a new plan, as "WDW" for Winograd forward and by weights and direct by data.
static char *ways(struct plan_options o, const char *layer)
{
    static char text[4];
    struct graph g;
    struct params params;
    struct arena *arena;
    struct plan *plan;
    graph_init(&g, 3, SIDE, SIDE);
    int v = graph_relu(&g, graph_conv(&g, 0, "stem", conv_pad(CHANNELS, 1, 1, 0, 1, true)));
    v = graph_relu(&g, graph_conv(&g, v, "block.a", conv_pad(CHANNELS, 3, 1, 1, 1, true)));
    v = graph_relu(&g, graph_conv(&g, v, "block.b", conv_pad(CHANNELS, 3, 1, 1, 1, true)));
    assert_int_equal(graph_finish(&g, graph_dense(&g, graph_global_avgpool(&g, v), "head", CLASSES, true)), GRAFT_OK);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(params_init(&params, &g), GRAFT_OK);
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    o.batch = o.batch == 0 ? BATCH : o.batch;
    const graft_status status = plan_build(&g, &params, arena, &o, &plan);
    strcpy(text, status == GRAFT_OK ? "   " : "bad");
    for (int i = 0; status == GRAFT_OK && i < plan_step_count(plan); i++) {
        const struct plan_step s = plan_step_at(plan, i);
        static const char *const passes[] = {"forward", "data", "weights"};
        for (int k = 0; k < 3; k++)
            if (strcmp(s.layer, layer) == 0 && strcmp(s.op, "conv") == 0 && strcmp(s.pass, passes[k]) == 0)
                text[k] = strcmp(s.algorithm, "winograd") == 0 ? 'W' : 'D';
    }
    plan_free(plan);
    arena_free(arena);
    params_fini(&params);
    graph_fini(&g);
    return text;
}

static const struct plan_options train = {.mode = PLAN_TRAIN}, timed = {.mode = PLAN_TRAIN, .time = true};

// The record with every time of one way set.
static void record_set(const char *way, double nanoseconds)
{
    json_t *all, *shapes, *times;
    const char *machine, *shape;
    assert_int_equal(json_read_file(record, &all), GRAFT_OK);
    json_object_foreach(all, machine, shapes) json_object_foreach(shapes, shape, times)
        json_object_set_new(times, way, json_real(nanoseconds));
    assert_int_equal(json_write_file(record, all), GRAFT_OK);
    json_decref(all);
}

static void test_record(void **state)
{
    (void)state;
    const bool wide = exec_lanes() == 16;
    const char *const estimate = wide ? "DDD" : "WWW";
    assert_string_equal(ways(train, "block.a"), estimate);
    assert_false(file_exists(record)); // nothing may be timed, nothing was
    ways(timed, "block.a");
    assert_true(file_exists(record));
    json_t *all;
    assert_int_equal(json_read_file(record, &all), GRAFT_OK);
    assert_int_equal(json_object_size(json_object_iter_value(json_object_iter(all))), 3); // two layers, one shape
    json_decref(all);
    record_set("winograd", 1);
    assert_string_equal(ways(train, "block.a"), "WWW");
    assert_string_equal(ways(timed, "block.b"), "WWW");
    record_set("winograd", 1e12);
    assert_string_equal(ways(train, "block.a"), "DDD");
    record_set("library", 1e12); // equal: the row that stands first
    assert_string_equal(ways(train, "block.a"), "WWW");
    struct plan_options other = train;
    other.batch = BATCH + 1; // another shape: not known
    record_set("winograd", 1e13);
    const char before[2][4] = {"DDD", "WWW"};
    assert_string_equal(ways(other, "block.a"), before[!wide]);
}

static void test_exact_and_evaluation_ask_nobody(void **state)
{
    (void)state;
    ways(timed, "block.a");
    record_set("winograd", 1);
    const struct plan_options exact = {.mode = PLAN_TRAIN, .exact = true, .time = true};
    assert_string_equal(ways(exact, "block.a"), "DDD");
    struct plan_options infer = {.mode = PLAN_INFER, .time = true};
    char first[4];
    strcpy(first, ways(infer, "block.a"));
    record_set("winograd", 1e12);
    for (int batch = 1; batch <= 64; batch *= 4) {
        infer.batch = batch;
        assert_string_equal(ways(infer, "block.a"), first);
    }
}

static void test_environment(void **state)
{
    (void)state;
    static const struct { const char *plan, *a, *b; } rows[] = {
        {"=winograd", "WWW", "WWW"},
        {"=library", "DDD", "DDD"},
        {"=library,block.a=winograd", "WWW", "DDD"},
        {"=library,block=winograd,block.b:data=library", "WWW", "WDW"},
        {"=winograd,:weights=library", "WWD", "WWD"},
        {"block=library,stem=winograd", "DDD", "DDD"}, // which has nothing to choose
        {"nowhere=library", "bad", "bad"},
        {"block.a=fast", "bad", "bad"},
        {"block.a", "bad", "bad"},
        {"block.a:backward=library", "bad", "bad"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        setenv("GRAFT_PLAN", rows[i].plan, 1);
        assert_string_equal(ways(train, "block.a"), rows[i].a);
        assert_string_equal(ways(train, "block.b"), rows[i].b);
    }
    unsetenv("GRAFT_PLAN");
}

// A run repeats what it decided, whatever the record says by then.
static void test_kept_choices(void **state)
{
    (void)state;
    struct plan_options o = timed;
    o.choices = json_object();
    char first[4];
    strcpy(first, ways(o, "block.a"));
    assert_int_equal(json_object_size(o.choices), 6);
    record_set(first[0] == 'W' ? "winograd" : "library", 1e12);
    assert_int_equal(ways(o, "block.a")[0], first[0]);
    assert_int_not_equal(ways(timed, "block.a")[0], first[0]);
    assert_int_equal(json_object_size(o.choices), 6);
    json_decref(o.choices);
}

static void test_bad_records_stop_nothing(void **state)
{
    (void)state;
    ways(timed, "block.a");
    for (int i = 0; i < 3; i++) {
        static const char *const texts[] = {"", "[1]", "{\"x\": {\"y\": 1}}"};
        assert_int_equal(file_write_all(record, texts[i], strlen(texts[i])), GRAFT_OK);
        assert_string_not_equal(ways(timed, "block.a"), "bad");
        json_t *all;
        assert_int_equal(json_read_file(record, &all), GRAFT_OK); // and it is whole again
        json_decref(all);
    }
    assert_int_equal(unlink(record), 0);
    assert_int_equal(mkdir(record, 0777), 0); // cannot be written
    assert_string_not_equal(ways(timed, "block.a"), "bad");
    setenv("XDG_CACHE_HOME", "relative", 1);
    char *home = strdup(getenv("HOME") != NULL ? getenv("HOME") : "/");
    unsetenv("HOME");
    assert_string_not_equal(ways(timed, "block.a"), "bad"); // no folder for caches at all
    setenv("HOME", home, 1);
    free(home);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exact_and_evaluation_ask_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_kept_choices, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_records_stop_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return on_every_set(group); }
