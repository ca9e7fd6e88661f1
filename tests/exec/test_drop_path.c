// tests/exec/test_drop_path.c: a picture's residual branch is there, scaled up, or not at all; so are its gradients.

#include "exec/plan.h" // before cmocka.h, which has a macro fail()
#include "graph/graph.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 6, CHANNELS = 5, CLASSES = 3, MOST = 12000, STEPS = 200 };
#define RATE 0.3f

// The branch is the addition's second side (`swapped`: its first).
static void net_make(struct graph *g, bool swapped)
{
    graph_init(g, 3, SIDE, SIDE);
    const int a = graph_conv(g, 0, "a", conv_pad(CHANNELS, 3, 1, 1, 1, true));
    const int b = graph_conv(g, a, "b", conv_pad(CHANNELS, 3, 1, 1, 1, false));
    const int sum = swapped ? graph_add(g, b, a) : graph_add(g, a, b);
    assert_int_equal(graph_finish(g, graph_dense(g, graph_global_avgpool(g, sum), "head", CLASSES, true)), GRAFT_OK);
}

static float *gradients;
static const struct params *current;
static void keep(void *user, struct gradient g)
{
    (void)user;
    memcpy(gradients + current->entries[g.entry].offset + g.first, g.values, g.n * sizeof *g.values);
}

// Loss and gradients of one picture at a step; the branch's weights times `scale` before.
static double run_one(const struct graph *g, float scale, uint64_t step, float *gradient)
{
    struct params p;
    struct arena *arena;
    struct plan *plan;
    double loss;
    float input[3 * SIDE * SIDE], targets[CLASSES] = {0, 1, 0};
    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        input[i] = sinf((float)i * 1.7f);
    assert_int_equal(params_init(&p, g), GRAFT_OK);
    for (int i = 0; i < p.count; i++) {
        float values[MOST];
        size_t count;
        assert_true(shape_count(p.entries[i].shape, &count) && count <= MOST);
        for (size_t k = 0; k < count; k++)
            values[k] =
                0.3f * cosf((float)(k * 7 + strlen(p.entries[i].name))) * (p.entries[i].name[0] == 'b' ? scale : 1);
        param_from_canonical(&p, i, values);
    }
    assert_true(p.size <= MOST);
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(
        plan_build(g, &p, arena, &(struct plan_options){.batch = 1, .mode = PLAN_TRAIN, .exact = true}, &plan),
        GRAFT_OK);
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    gradients = gradient;
    current = &p;
    memset(gradient, 0, MOST * sizeof *gradient);
    assert_int_equal(plan_run(plan,
                              &(struct run){.input = input, .targets = targets, .seed = 3, .step = step, .ready = keep},
                              &loss),
                     GRAFT_OK);
    for (int i = 0; i < p.count; i++) // as if the scale were outside of the weights
        for (size_t k = 0; p.entries[i].name[0] == 'b' && k < p.entries[i].size; k++)
            gradient[p.entries[i].offset + k] *= scale;
    plan_free(plan);
    arena_free(arena);
    params_fini(&p);
    return loss;
}

static double distance(const float *a, const float *b)
{
    double most = 0;
    for (int i = 0; i < MOST; i++)
        most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

static void check(bool swapped)
{
    static float kept[MOST], gone[MOST], found[MOST];
    struct graph plain, g;
    int dropped = 0;
    net_make(&plain, swapped);
    net_make(&g, swapped);
    assert_int_equal(graph_drop_path(&g, RATE), GRAFT_OK);
    assert_int_equal(g.n_nodes, plain.n_nodes + 1);
    const double with = run_one(&plain, 1 / (1 - RATE), 0, kept), without = run_one(&plain, 0, 0, gone);
    assert_true(fabs(with - without) > 1e-3);
    for (uint64_t step = 0; step < STEPS; step++) {
        const double loss = run_one(&g, 1, step, found);
        const bool there = fabs(loss - with) < fabs(loss - without);
        dropped += !there;
        // the same sums but for the place of one factor
        if (fabs(loss - (there ? with : without)) > 1e-5 || distance(found, there ? kept : gone) > 1e-5)
            fail_msg("step %d: loss %g, with the branch %g, without %g; gradients differ by %g", (int)step, loss, with,
                     without, distance(found, there ? kept : gone));
    }
    // four standard deviations of a binomial count
    assert_true(fabs(dropped - RATE * STEPS) < 4 * sqrt(STEPS * RATE * (1 - RATE)));
    graph_fini(&plain);
    graph_fini(&g);
}

static void test_branch_is_second(void **state) { (void)state; check(false); }
static void test_branch_is_first(void **state) { (void)state; check(true); }

static void test_no_branches(void **state)
{
    (void)state;
    struct graph g;
    graph_init(&g, 3, SIDE, SIDE);
    assert_int_equal(graph_finish(&g, graph_dense(&g, graph_global_avgpool(&g, 0), "head", CLASSES, true)), GRAFT_OK);
    assert_int_equal(graph_drop_path(&g, RATE), GRAFT_BAD_OPTION);
    graph_fini(&g);
}

// A batch's pictures are drawn each for itself, and rates rise towards the last block.
static void test_rates_rise(void **state)
{
    (void)state;
    struct graph g;
    graph_init(&g, 3, SIDE, SIDE);
    int v = graph_conv(&g, 0, "a", conv_pad(CHANNELS, 3, 1, 1, 1, true));
    static const char *const names[] = {"b", "c", "d"};
    for (int i = 0; i < 3; i++)
        v = graph_relu(&g, graph_add(&g, graph_conv(&g, v, names[i], conv_pad(CHANNELS, 3, 1, 1, 1, false)), v));
    assert_int_equal(graph_finish(&g, graph_dense(&g, graph_global_avgpool(&g, v), "head", CLASSES, true)), GRAFT_OK);
    assert_int_equal(graph_drop_path(&g, RATE), GRAFT_OK);
    int found = 0;
    for (int i = 0; i < g.n_nodes; i++) {
        const struct node *node = &g.nodes[i];
        assert_int_equal(g.values[node->out].producer, i);
        for (int k = 0; k < node->n_params; k++)
            assert_int_equal(g.params[node->param[k]].node, i);
        if (node->op != OP_DROPOUT)
            continue;
        assert_true(node->attr.dropout.whole && node->for_loss);
        assert_true(fabsf(node->attr.dropout.rate - RATE * (float)++found / 3) < 1e-6f);
        assert_int_equal(g.nodes[g.values[node->in[0]].producer].op, OP_CONV); // of the branch
        assert_int_equal(g.nodes[i + 1].op, OP_ADD);
    }
    assert_int_equal(found, 3);
    graph_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_branch_is_second), cmocka_unit_test(test_branch_is_first),
                                       cmocka_unit_test(test_no_branches), cmocka_unit_test(test_rates_rise)};
    return cmocka_run_group_tests_name("drop_path", tests, NULL, NULL);
}
