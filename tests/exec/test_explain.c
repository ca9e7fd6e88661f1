// tests/exec/test_explain.c: PLAN_EXPLAIN beside the naive double reference: the kept map, and its gradient by central
// differences through a head that adds a bias a channel to the map.

#include "reference.h"
#include "base/rng.h"
#include "exec/kernels.h"
#include "exec/plan.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 2, CLASSES = 5, CHANNELS = 20, H = 5, W = 7, AREA = H * W };

static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

// A map of 20 channels, 5 by 7, which is value `*map`; then a head.
static void head(struct graph *g, int v, bool wide)
{
    if (wide) { // VGG's kind: the gradient is no constant of the map
        v = graph_maxpool(g, v, pool_ceil(g, v, 2, 2, 0, false));
        v = graph_dropout(g, graph_relu(g, graph_dense(g, v, "fc1", 11, true)), 0.5f);
    } else
        v = graph_dropout(g, graph_global_avgpool(g, v), 0.5f);
    assert_int_equal(graph_finish(g, graph_dense(g, v, "fc", CLASSES, true)), GRAFT_OK);
}

static void make_network(struct graph *g, bool wide, int *map)
{
    graph_init(g, 3, H, W);
    int v = graph_conv(g, 0, "conv", conv_pad(CHANNELS, 3, 1, 1, 1, false));
    *map = graph_relu(g, graph_bn(g, v, "bn", (struct bn_attr){.epsilon = 1e-3f, .momentum = 0.1f}));
    head(g, *map, wide);
}

static void fill(struct params *p, const struct graph *g)
{
    assert_int_equal(params_init(p, g), GRAFT_OK);
    for (int i = 0; i < p->count; i++) {
        const char *name = p->entries[i].name;
        size_t n;
        assert_true(shape_count(p->entries[i].shape, &n));
        float *values = malloc(n * sizeof *values);
        uint64_t key = 0; // by name: the same in both graphs
        for (const char *c = name; *c != '\0'; c++)
            key = key * 31 + (uint8_t)*c;
        for (size_t k = 0; k < n; k++)
            values[k] = strstr(name, "running_var") != NULL ? 1 + 0.5f * draw(key, k)
                        : strcmp(name, "shift.weight") == 0 ? 1
                        : strcmp(name, "shift.bias") == 0   ? 0
                                                            : 0.5f * draw(key, k);
        param_from_canonical(p, i, values);
        free(values);
    }
}

// Logit `target` of picture `n`, the map having `h` more in one channel.
static double logit(struct reference *r, const float *map, int entry, int channel, double h, int n, int target)
{
    r->param[entry][channel] += h;
    reference_forward(r, map);
    r->param[entry][channel] -= h;
    return r->value[r->graph->output][n * CLASSES + target];
}

static void check(bool wide)
{
    struct graph g = {0}, rest = {0};
    struct params p = {0}, q = {0};
    struct arena *arena;
    struct plan *plan;
    struct reference r, whole;
    int map;
    static float input[BATCH * 3 * AREA], targets[BATCH * CLASSES], kept[BATCH * CHANNELS * AREA],
        gradient[BATCH * CHANNELS * AREA];
    make_network(&g, wide, &map);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK); // all would train; nothing of it may show
    fill(&p, &g);
    graph_init(&rest, CHANNELS, H, W);
    head(&rest, graph_scale(&rest, 0, "shift"), wide);
    fill(&q, &rest);
    for (size_t i = 0; i < COUNT_OF(input); i++)
        input[i] = 2 * draw(1, i);
    float *before = malloc(p.size * sizeof *before);
    memcpy(before, p.block, p.size * sizeof *before);
    const uint64_t version = p.version;
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    const struct plan_options o = {.batch = BATCH, .mode = PLAN_EXPLAIN, .bn = BN_STATS, .keep = map, .poison = true};
    if (plan_build(&g, &p, arena, &o, &plan) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    reference_init(&whole, &g, &p, BATCH);
    reference_init(&r, &rest, &q, BATCH);
    const int shift = params_find(&q, "shift.bias");
    for (int n = 0; n < BATCH; n++)
        for (int target = 0; target < CLASSES; target += 3) {
            memset(targets, 0, sizeof targets);
            targets[n * CLASSES + target] = 1;
            assert_int_equal(plan_run(plan, &(struct run){.input = input, .targets = targets}, NULL), GRAFT_OK);
            plan_kept(plan, false, kept);
            plan_kept(plan, true, gradient);
            reference_forward(&whole, input);
            for (size_t i = 0; i < COUNT_OF(kept); i++)
                assert_true(fabs(kept[i] - whole.value[map][i]) < 1e-5); // float rounding of values below 10
            for (int k = 0; k < BATCH * CLASSES; k++)
                assert_true(fabs(plan_logits(plan)[k] - whole.value[g.output][k]) < 1e-4);
            for (int c = 0; c < CHANNELS; c++) {
                // a step that no rectifier or maximum of this head changes its mind over; the head is linear within it
                const double h = 1e-7;
                const double slope =
                    (logit(&r, kept, shift, c, h, n, target) - logit(&r, kept, shift, c, -h, n, target)) / (2 * h);
                double sum = 0;
                for (int i = 0; i < AREA; i++)
                    sum += gradient[(n * CHANNELS + c) * AREA + i];
                assert_true(fabs(sum - slope) < 1e-5 * (1 + fabs(slope)));
                for (int i = 0; i < AREA; i++) // the other picture's logit does not depend on this map
                    assert_true(gradient[((1 - n) * CHANNELS + c) * AREA + i] == 0);
            }
        }
    assert_memory_equal(before, p.block, p.size * sizeof *before); // running statistics, too
    assert_int_equal(p.version, version);
    free(before);
    reference_fini(&r);
    reference_fini(&whole);
    plan_free(plan);
    arena_free(arena);
    params_fini(&p);
    params_fini(&q);
    graph_fini(&g);
    graph_fini(&rest);
}

static void test_average_head(void **state)
{
    (void)state;
    check(false);
}

static void test_dense_head(void **state)
{
    (void)state;
    check(true);
}

// A value inside a fused cell is nowhere to be read.
static void test_fused_value(void **state)
{
    (void)state;
    struct graph g = {0};
    struct params p = {0};
    struct arena *arena;
    struct plan *plan;
    int map;
    make_network(&g, false, &map);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    fill(&p, &g);
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    const struct plan_options o = {.batch = 1, .mode = PLAN_EXPLAIN, .bn = BN_STATS, .keep = map - 1};
    assert_int_equal(plan_build(&g, &p, arena, &o, &plan), GRAFT_FAILED);
    arena_free(arena);
    params_fini(&p);
    graph_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_average_head), cmocka_unit_test(test_dense_head),
                                       cmocka_unit_test(test_fused_value)};
    static const char *const sets[] = {NULL, "AVX2", "plain C"};
    int failed = 0;
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        if (exec_kernels_force(sets[i]))
            failed += cmocka_run_group_tests_name("explain", tests, NULL, NULL);
    return failed;
}
