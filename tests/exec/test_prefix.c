// tests/exec/test_prefix.c: the frozen part of a network: nothing of it is stored for the way back, and as a plan of
// its own it gives the bits of the whole.

#include "bench.h"
#include "nets.h"
#include "sets.h"
#include "base/memory.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_frozen_prefix(void **state)
{
    (void)state;
    size_t whole = 0;
    for (int rows = 0; rows <= 3; rows += 3) {
        struct bench b = {0};
        make_depthwise(&b.g);
        assert_int_equal(graph_freeze(&b.g, rows, BN_TRAIN), GRAFT_OK);
        bench_init(&b, PLAN_TRAIN, BN_TRAIN);
        assert_true(bench_gradient_error(&b, BN_TRAIN) < 1e-3);
        if (rows == 0)
            whole = plan_bytes(b.plan);
        else
            assert_true(plan_bytes(b.plan) < whole); // nothing stored for the frozen part
        bench_fini(&b);
    }
}

// The frozen part as a plan of its own, and the rest: gradients as of the whole; from kept ends to the bit as from
// pictures; a picture's ends the same alone and beside others; no step for what is frozen in the rest.
static void check_prefix(void (*make)(struct graph *g), int rows, int ends)
{
    struct bench b = {0};
    struct plan *prefix, *alone;
    float logits[BATCH * CLASSES], *kept[MAX_ENDS];
    make(&b.g);
    assert_int_equal(graph_freeze(&b.g, rows, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    const int steps = plan_step_count(b.plan);
    plan_free(b.plan);
    struct plan_options options = {.batch = BATCH, .mode = PLAN_TRAIN, .poison = true};
    assert_int_equal(plan_prefix_build(&b.g, &b.p, b.arena, &options, &prefix), GRAFT_OK);
    assert_non_null(prefix);
    assert_int_equal(plan_ends(prefix), ends);
    options.prefix = prefix;
    assert_int_equal(plan_build(&b.g, &b.p, b.arena, &options, &b.plan), GRAFT_OK);
    assert_int_equal(plan_step_count(prefix) + plan_step_count(b.plan), steps);
    options.batch = 1;
    assert_int_equal(plan_build(&b.g, &b.p, b.arena, &options, &alone), GRAFT_OK);
    assert_int_equal(arena_reserve(b.arena), GRAFT_OK);
    const double error = bench_gradient_error(&b, BN_TRAIN);
    if (!(error < 1e-3))
        fail_msg("gradient error %g behind %d rows", error, rows);

    struct run run = {.input = b.input, .targets = b.targets, .seed = 7, .step = 3};
    double whole, from_kept;
    const uint64_t before = mem_calls();
    assert_int_equal(plan_run(b.plan, &run, &whole), GRAFT_OK);
    assert_int_equal(mem_calls(), before);
    memcpy(logits, plan_logits(b.plan), sizeof logits);
    for (int k = 0; k < ends; k++) {
        const size_t size = BATCH * plan_end_floats(prefix, k) * sizeof(float);
        kept[k] = malloc(size);
        memcpy(kept[k], plan_end(prefix, k), size);
        memset(plan_end(prefix, k), 0xff, size);
    }
    const size_t item = (size_t)b.g.values[0].c * b.g.values[0].h * b.g.values[0].w;
    run.input = b.input + (BATCH - 1) * item; // the last picture alone: the prefix fills its batch up
    assert_int_equal(plan_run(alone, &run, &from_kept), GRAFT_OK);
    for (int k = 0; k < ends; k++) {
        const size_t floats = plan_end_floats(prefix, k);
        assert_memory_equal(plan_end(prefix, k), kept[k] + (BATCH - 1) * floats, floats * sizeof(float));
        memcpy(plan_end(prefix, k), kept[k], BATCH * floats * sizeof(float));
        free(kept[k]);
    }
    run.input = NULL;
    assert_int_equal(plan_run(b.plan, &run, &from_kept), GRAFT_OK);
    assert_true(whole == from_kept);
    assert_memory_equal(logits, plan_logits(b.plan), sizeof logits);
    plan_free(alone);
    plan_free(prefix);
    bench_fini(&b);
}

static void make_random(struct graph *g) // what is drawn anew every time is no prefix's, though nothing in it trains
{
    graph_init(g, 3, 6, 6);
    int v = graph_relu(g, graph_conv(g, 0, "a", conv_pad(16, 3, 1, 1, 1, true)));
    net_finish(g, graph_dropout(g, graph_global_avgpool(g, v), 0.5f));
}

static void test_prefix(void **state)
{
    (void)state;
    check_prefix(make_depthwise, 1, 1); // read twice: by the branch and by the add
    check_prefix(make_depthwise, 3, 2); // ends within the branch
    check_prefix(make_winograd, 3, 1);
    check_prefix(make_random, 1, 1);
    check_prefix(make_branches, 3, 3); // within concats
    struct graph g;
    struct params p;
    struct arena *arena;
    struct plan *prefix;
    make_depthwise(&g);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(params_init(&p, &g), GRAFT_OK);
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(plan_prefix_build(&g, &p, arena, &(struct plan_options){.batch = 1}, &prefix), GRAFT_OK);
    assert_null(prefix); // nothing is frozen
    arena_free(arena);
    params_fini(&p);
    graph_fini(&g);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frozen_prefix), cmocka_unit_test(test_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return on_every_set(group); }
