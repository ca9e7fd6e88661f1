// tests/exec/test_views.c: what a plan saves of memory and passes costs no bit: concatenations made in place, adds that
// a BatchNorm does, activations that are made again for the way back.

#include "bench.h"
#include "nets.h"
#include "sets.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

// Blocks one after another: sums of a BatchNorm and of the sum before, with and without an activation, and of two
// BatchNorms.
static void make_blocks(struct graph *g)
{
    graph_init(g, 3, 9, 9);
    int v = graph_relu(g, graph_bn(g, graph_conv(g, 0, "stem", conv_pad(32, 3, 1, 1, 1, false)), "stem_bn", BN));
    for (int i = 0; i < 5; i++) {
        char name[5][16];
        for (int k = 0; k < 5; k++)
            snprintf(name[k], sizeof name[k], "%c%d", 'a' + k, i);
        int x = graph_relu(g, graph_bn(g, graph_conv(g, v, name[0], conv_pad(32, 3, 1, 1, 1, false)), name[1], BN));
        x = graph_bn(g, graph_conv(g, x, name[2], conv_pad(32, 1, 1, 0, 1, false)), name[3], BN);
        v = graph_add(g, x, i == 3 ? graph_bn(g, v, name[4], BN) : v);
        v = i == 1 ? v : graph_relu(g, v);
    }
    net_finish(g, graph_global_avgpool(g, v));
}

// What is made again has the bits of what is kept, and takes less memory.
static void check_recompute(void (*make)(struct graph *g), bool less)
{
    struct bench b = {0};
    struct plan *kept;
    double **gradient, loss[2];
    make(&b.g);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    const struct plan_options options = {.batch = BATCH, .mode = PLAN_TRAIN, .poison = true, .keep_all = true};
    assert_int_equal(plan_build(&b.g, &b.p, b.arena, &options, &kept), GRAFT_OK);
    assert_int_equal(arena_reserve(b.arena), GRAFT_OK);
    assert_true(plan_step_count(b.plan) > plan_step_count(kept));
    assert_true(!less || plan_bytes(b.plan) < plan_bytes(kept));
    const struct run run = {
        .input = b.input, .targets = b.targets, .seed = 7, .step = 3, .ready = bench_keep_gradient, .user = &b};
    assert_int_equal(plan_run(kept, &run, &loss[0]), GRAFT_OK);
    gradient = b.gradient;
    b.gradient = calloc((size_t)b.p.count, sizeof *b.gradient);
    assert_int_equal(plan_run(b.plan, &run, &loss[1]), GRAFT_OK);
    assert_true(loss[0] == loss[1]);
    for (int i = 0; i < b.p.count; i++) {
        size_t n;
        assert_true(shape_count(b.p.entries[i].shape, &n) && (gradient[i] == NULL) == (b.gradient[i] == NULL));
        if (gradient[i] != NULL)
            assert_memory_equal(gradient[i], b.gradient[i], n * sizeof(double));
        free(gradient[i]);
    }
    free(gradient);
    plan_free(kept);
    bench_fini(&b);
}

// A dense block: every layer reads all before it and adds to it; a transition.
static void make_dense_block(struct graph *g)
{
    graph_init(g, 3, 24, 23);
    int v = graph_relu(g, graph_bn(g, graph_conv(g, 0, "stem", conv_pad(32, 3, 1, 1, 1, false)), "stem_bn", BN));
    v = graph_maxpool(g, v, pool_ceil(g, v, 3, 2, 1, false));
    for (int i = 0; i < 2; i++) {
        char name[4][16];
        for (int k = 0; k < 4; k++)
            snprintf(name[k], sizeof name[k], "%c%d", 'a' + k, i);
        int x = graph_relu(g, graph_bn(g, v, name[0], BN));
        x = graph_relu(g, graph_bn(g, graph_conv(g, x, name[1], conv_pad(32, 1, 1, 0, 1, false)), name[2], BN));
        v = graph_concat(g, (int[]){v, graph_conv(g, x, name[3], conv_pad(32, 3, 1, 1, 1, false))}, 2);
    }
    v = graph_conv(g, graph_relu(g, graph_bn(g, v, "end_bn", BN)), "end", conv_pad(24, 1, 1, 0, 1, false));
    net_finish(g, graph_global_avgpool(g, v));
}

// What stays a copy: (1) the library's convolution, (2) a part that has its place elsewhere, (3) the same once more,
// (4) one that others read as a whole buffer, (5, 6) channels that fill no blocks and what comes after them.
static void make_copies(struct graph *g)
{
    graph_init(g, 3, 6, 5);
    const int stem = net_branch(g, 0, "stem", 32), a = net_branch(g, stem, "a", 16);
    const int pool = graph_maxpool(g, stem, pool_ceil(g, stem, 3, 1, 1, false));
    const int library = graph_relu(g, graph_conv(g, stem, "b", conv_pad(16, 1, 1, 0, 1, true)));
    const int read = net_branch(g, stem, "c", 16), scaled = graph_relu(g, graph_scale(g, stem, "scale"));
    const int side = graph_conv(g, read, "d", conv_pad(16, 1, 1, 0, 1, true));
    int v = graph_concat(g, (int[]){a, pool, library, read, scaled, graph_add(g, side, a)}, 6);
    v = graph_concat(g, (int[]){v, a, a}, 3);
    v = graph_relu6(g, graph_conv(g, v, "e", conv_pad(16, 1, 1, 0, 1, true)));
    v = graph_concat(g, (int[]){net_branch(g, v, "f", 20), net_branch(g, v, "g", 16)}, 2);
    net_finish(g, graph_global_avgpool(g, graph_relu(g, v)));
}

static int steps_of(const struct plan *p, const char *op, const char *pass)
{
    int n = 0;
    for (int i = 0; i < plan_step_count(p); i++)
        n += strcmp(plan_step_at(p, i).op, op) == 0 && strcmp(plan_step_at(p, i).pass, pass) == 0;
    return n;
}

// A BatchNorm that an add alone reads adds for itself, and its way back serves both sides: no step of the add's own.
static void test_residual_adds(void **state)
{
    (void)state;
    void (*const made[])(struct graph *g) = {make_blocks, make_depthwise};
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        struct bench b = {0};
        made[i](&b.g);
        assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
        bench_init(&b, PLAN_TRAIN, BN_TRAIN);
        assert_int_equal(steps_of(b.plan, "add", "forward"), 0);
        assert_int_equal(steps_of(b.plan, "add", "backward"), 0);
        bench_fini(&b);
    }
}

// In place and by copies: the same bits, forward and backward, also of a value that an explanation reads; and how many
// copies are left.
static void check_views(void (*make)(struct graph *g), bool exact, int copies, int keep)
{
    struct bench b = {0};
    float logits[2][BATCH * CLASSES];
    double **gradient[2], loss[2];
    make(&b.g);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    free(b.gradient); // each plan gets its own
    const struct value *kept = &b.g.values[keep];
    const size_t floats = (size_t)BATCH * kept->c * kept->h * kept->w;
    float *map[2][2];
    for (int k = 0; k < 2; k++) { // 0: in place
        struct plan *p, *infer, *explain;
        struct plan_options o = {
            .batch = BATCH, .mode = PLAN_TRAIN, .poison = true, .exact = exact, .copies = k == 1};
        assert_int_equal(plan_build(&b.g, &b.p, b.arena, &o, &p), GRAFT_OK);
        o.mode = PLAN_INFER;
        assert_int_equal(plan_build(&b.g, &b.p, b.arena, &o, &infer), GRAFT_OK);
        o.mode = PLAN_EXPLAIN;
        o.keep = keep;
        assert_int_equal(plan_build(&b.g, &b.p, b.arena, &o, &explain), GRAFT_OK);
        assert_int_equal(arena_reserve(b.arena), GRAFT_OK);
        if (k == 0)
            assert_int_equal(steps_of(p, "concat", "forward"), copies);
        const struct run run = {
            .input = b.input, .targets = b.targets, .seed = 7, .step = 3, .ready = bench_keep_gradient, .user = &b};
        b.gradient = calloc((size_t)b.p.count, sizeof *b.gradient);
        assert_int_equal(plan_run(p, &run, &loss[k]), GRAFT_OK);
        gradient[k] = b.gradient;
        assert_int_equal(plan_run(infer, &(struct run){.input = b.input}, NULL), GRAFT_OK);
        memcpy(logits[k], plan_logits(infer), sizeof logits[k]);
        assert_int_equal(plan_run(explain, &(struct run){.input = b.input, .targets = b.targets}, NULL), GRAFT_OK);
        for (int i = 0; i < 2; i++) {
            map[k][i] = malloc(floats * sizeof(float));
            plan_kept(explain, i == 1, map[k][i]);
        }
        plan_free(p);
        plan_free(infer);
        plan_free(explain);
        if (k == 0) // the running statistics have moved on
            bench_parameters(&b);
    }
    assert_true(loss[0] == loss[1]);
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    for (int i = 0; i < 2; i++)
        assert_memory_equal(map[0][i], map[1][i], floats * sizeof(float));
    for (int i = 0; i < b.p.count; i++) {
        size_t n;
        assert_true(shape_count(b.p.entries[i].shape, &n) && (gradient[0][i] == NULL) == (gradient[1][i] == NULL));
        if (gradient[0][i] != NULL)
            assert_memory_equal(gradient[0][i], gradient[1][i], n * sizeof(double));
    }
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < b.p.count; i++)
            free(gradient[k][i]);
        free(gradient[k]);
        free(map[k][0]);
        free(map[k][1]);
    }
    b.gradient = calloc((size_t)b.p.count, sizeof *b.gradient);
    bench_fini(&b);
}

static int value_out_of(void (*make)(struct graph *g), enum op op, int which) // the which-th of an operation
{
    struct graph g;
    int value = -1;
    make(&g);
    for (int i = 0; i < g.n_nodes && value < 0; i++)
        if (g.nodes[i].op == op && which-- == 0)
            value = g.nodes[i].out;
    graph_fini(&g);
    return value;
}

static void test_views(void **state)
{
    (void)state;
    bench_check(make_dense_block);
    bench_check(make_branches);
    bench_check(make_copies);
    check_views(make_dense_block, false, 0, value_out_of(make_dense_block, OP_CONCAT, 1));
    check_views(make_dense_block, true, 2, value_out_of(make_dense_block, OP_MAXPOOL, 0)); // the library's convolutions
    check_views(make_branches, false, 0, value_out_of(make_branches, OP_RELU, 1));
    check_views(make_copies, false, 6, value_out_of(make_copies, OP_MAXPOOL, 0));
    check_recompute(make_dense_block, true);
    check_recompute(make_branches, true);
    check_recompute(make_copies, true);
}

static void test_recompute(void **state)
{
    (void)state;
    bench_check(make_blocks);
    check_recompute(make_blocks, true);
    check_recompute(make_conv, false);
    check_recompute(make_depthwise, true);
    check_recompute(make_winograd, false);
    check_recompute(make_scale, false);
    check_recompute(make_heads, false);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recompute), cmocka_unit_test(test_views), cmocka_unit_test(test_residual_adds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return on_every_set(group); }
