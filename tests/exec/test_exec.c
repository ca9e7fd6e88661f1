// tests/exec/test_exec.c: forward and gradients of every operation against the naive double reference, over odd shapes;
// several heads; no allocation in a step; dead buffers poisoned; a planted wrong gradient is caught.

#include "bench.h"
#include "nets.h"
#include "sets.h"
#include "base/memory.h"
#include "exec/kernels.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void make_groups(struct graph *g) // groups that are neither 1 nor depthwise; depthwise with a channel multiplier
{
    graph_init(g, 3, 7, 7);
    int v = graph_conv(g, 0, "a", conv_pad(12, 3, 1, 1, 1, true));
    v = graph_relu(g, v);
    v = graph_conv(g, v, "b", conv_pad(18, 3, 1, 1, 3, true));
    v = graph_bn(g, v, "bn", BN);
    v = graph_conv(g, v, "c", conv_pad(36, 3, 2, 1, 18, false));
    net_finish(g, graph_global_avgpool(g, v));
}

static void
make_pools(struct graph *g) // max and average, padding counted and not, ceil mode, adaptive, flatten to dense
{
    graph_init(g, 3, 17, 15);
    int v = graph_conv(g, 0, "a", conv_pad(18, 3, 1, 1, 1, true));
    v = graph_maxpool(g, v, pool_ceil(g, v, 3, 2, 0, true));
    struct pool_attr average = pool_ceil(g, v, 3, 1, 1, false);
    average.count_padding = true;
    v = graph_avgpool(g, v, average);
    v = graph_conv(g, v, "b", conv_pad(16, 1, 1, 0, 1, true));
    v = graph_avgpool(g, v, pool_ceil(g, v, 2, 2, 1, true));
    v = graph_conv(g, v, "c", conv_pad(19, 1, 1, 0, 1, true));
    net_finish(g, graph_adaptive_avgpool(g, v, 3, 2));
}

// Max pools behind activations, whose masks they apply: tiles without overlap, overlapping windows, padding, one window
// over all, a value with a second consumer, whose gradient no pool may mask.
static void make_maxpools(struct graph *g)
{
    graph_init(g, 3, 12, 16);
    int v = graph_relu6(g, graph_conv(g, 0, "a", conv_pad(18, 3, 1, 1, 1, true)));
    v = graph_maxpool(g, v, pool_ceil(g, v, 2, 2, 0, false));
    v = graph_relu(g, graph_bn(g, graph_conv(g, v, "b", conv_pad(20, 1, 1, 0, 1, false)), "bn", BN));
    v = graph_maxpool(g, v, pool_ceil(g, v, 3, 1, 1, false));
    const int c = graph_relu(g, graph_conv(g, v, "c", conv_pad(16, 1, 1, 0, 1, true)));
    v = graph_concat(g, (int[]){graph_maxpool(g, c, pool_ceil(g, c, 3, 2, 1, false)),
                                graph_conv(g, c, "d", conv_pad(9, 3, 2, 1, 1, true))}, 2);
    v = graph_relu(g, graph_conv(g, v, "e", conv_pad(16, 1, 1, 0, 1, true)));
    net_finish(g, graph_maxpool(g, v, (struct pool_attr){3, 4, 1, 1, 0, 0, 0, 0, false}));
}

static void make_joins(struct graph *g) // concat with unaligned offsets, a value with three consumers, add with ReLU
{
    graph_init(g, 3, 6, 6);
    const int stem = graph_relu(g, graph_conv(g, 0, "stem", conv_pad(16, 3, 1, 1, 1, true)));
    const int a = graph_conv(g, stem, "a", conv_pad(7, 1, 1, 0, 1, true));
    const int b = graph_conv(g, stem, "b", conv_pad(20, 3, 1, 1, 1, true));
    int v = graph_concat(g, (int[]){a, stem, b}, 3);
    v = graph_relu(g, v);
    v = graph_conv(g, v, "c", conv_pad(16, 1, 1, 0, 1, true));
    v = graph_relu(g, graph_add(g, v, stem));
    net_finish(g, graph_maxpool(g, v, pool_ceil(g, v, 6, 6, 0, false)));
}

static void make_dense(struct graph *g) // dense after dense, dropout between
{
    graph_init(g, 3, 5, 5);
    int v = graph_conv(g, 0, "a", conv_pad(6, 3, 2, 0, 1, true));
    v = graph_relu(g, graph_dense(g, v, "fc1", 23, true));
    v = graph_dropout(g, v, 0.3f);
    v = graph_relu(g, graph_dense(g, v, "fc2", 21, true));
    net_finish(g, graph_dropout(g, v, 0.5f));
}

static void
make_lrn(struct graph *g) // windows inside a block, over its edges and wider than one; powers other than 3/4
{
    graph_init(g, 3, 7, 5);
    int v = graph_relu(g, graph_conv(g, 0, "a", conv_pad(27, 3, 1, 1, 1, true)));
    v = graph_lrn(g, v, (struct lrn_attr){5, 2, 0.75f, 1}); // an alpha that matters: the published 1e-4 hides mistakes
    v = graph_conv(g, v, "b", conv_pad(18, 1, 1, 0, 1, true));
    v = graph_lrn(g, v, (struct lrn_attr){LRN_MOST, 3, 0.6f, 2});
    v = graph_conv(g, v, "c", conv_pad(6, 1, 1, 0, 1, true));
    v = graph_lrn(g, v, (struct lrn_attr){3, 1, 1, 0.5f});
    net_finish(g, graph_maxpool(g, v, pool_ceil(g, v, 3, 2, 0, true)));
}

static void test_conv(void **state) { (void)state; bench_check(make_conv); }
static void test_depthwise(void **state) { (void)state; bench_check(make_depthwise); }
static void test_groups(void **state) { (void)state; bench_check(make_groups); }
static void test_pools(void **state) { (void)state; bench_check(make_pools); }
static void test_maxpools(void **state) { (void)state; bench_check(make_maxpools); }
static void test_joins(void **state) { (void)state; bench_check(make_joins); }
static void test_scale(void **state) { (void)state; bench_check(make_scale); }
static void test_lrn(void **state) { (void)state; bench_check(make_lrn); }
static void test_dense(void **state) { (void)state; bench_check(make_dense); }
static void test_winograd(void **state) { (void)state; bench_check(make_winograd); }

// The two ways agree but for rounding, and they are two ways: not the same bits.
static void test_exact_has_no_winograd(void **state)
{
    (void)state;
    struct bench b = {0};
    make_winograd(&b.g);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_INFER, BN_TRAIN);
    struct plan *exact;
    const struct plan_options options = {.batch = BATCH, .mode = PLAN_INFER, .exact = true};
    assert_int_equal(plan_build(&b.g, &b.p, b.arena, &options, &exact), GRAFT_OK);
    assert_int_equal(arena_reserve(b.arena), GRAFT_OK);
    float logits[2][BATCH * CLASSES], top = 0;
    const struct run run = {.input = b.input};
    assert_int_equal(plan_run(b.plan, &run, NULL), GRAFT_OK);
    memcpy(logits[0], plan_logits(b.plan), sizeof logits[0]);
    assert_int_equal(plan_run(exact, &run, NULL), GRAFT_OK);
    memcpy(logits[1], plan_logits(exact), sizeof logits[1]);
    for (int i = 0; i < BATCH * CLASSES; i++)
        top = fmaxf(top, fabsf(logits[1][i]));
    for (int i = 0; i < BATCH * CLASSES; i++)
        assert_true(fabsf(logits[0][i] - logits[1][i]) < 1e-5f * top);
    assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    plan_free(exact);
    bench_fini(&b);
}

static void softmax_add(const double *logits, double part, double *sum)
{
    double total = 0;
    for (int c = 0; c < CLASSES; c++)
        total += exp(logits[c]);
    for (int c = 0; c < CLASSES; c++)
        sum[c] += part * exp(logits[c]) / total;
}

static void test_heads_train(void **state)
{
    (void)state;
    bench_check(make_heads); // the head of weight 0 has no gradient: bench_gradient_error asserts it
    struct bench b = {0};
    make_heads(&b.g);
    const float weights[] = {0, 2};
    graph_outputs_set(&b.g, weights, false);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    assert_false(b.g.params[params_find(&b.p, "side.weight")].trains);
    assert_true(b.g.params[params_find(&b.p, "other.weight")].trains);
    assert_true(bench_gradient_error(&b, BN_TRAIN) < 1e-3);
    assert_null(plan_output(b.plan, 0));
    bench_fini(&b);
}

// The prediction is the mean of the softmaxes of those that predict; others run only for their loss.
static void test_heads_predict(void **state)
{
    (void)state;
    for (int main_only = 0; main_only < 2; main_only++)
        for (int losses = 0; losses < 2; losses++) {
            struct bench b = {.losses = losses};
            float found[BATCH * CLASSES];
            make_heads(&b.g);
            graph_outputs_set(&b.g, NULL, main_only);
            struct reference r;
            bench_predict(&b, &r);
            plan_probabilities(b.plan, found);
            for (int n = 0; n < BATCH; n++) {
                double expected[CLASSES] = {0};
                for (int k = main_only ? 2 : 0; k < 3; k++)
                    softmax_add(r.value[b.g.outputs[k].value] + n * CLASSES, main_only ? 1 : 1 / 3.0, expected);
                for (int c = 0; c < CLASSES; c++)
                    assert_true(fabs(found[n * CLASSES + c] - expected[c]) < 1e-6); // float of a probability
            }
            assert_true(plan_output(b.plan, 2) == plan_logits(b.plan));
            assert_true((plan_output(b.plan, 0) != NULL) == (!main_only || losses)); // weight 0.4
            assert_true((plan_output(b.plan, 1) != NULL) == !main_only);             // weight 0
            reference_fini(&r);
            bench_fini(&b);
        }
}

static void test_planted_error_is_caught(void **state)
{
    (void)state;
    struct bench b = {.plant = true};
    make_conv(&b.g);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    print_message("(the complaints that follow are planted)\n");
    assert_true(bench_gradient_error(&b, BN_TRAIN) > 1e-3);
    bench_fini(&b);
}

static void ignore_gradient(void *user, struct gradient g)
{
    (void)user;
    (void)g;
}

static void test_step_allocates_nothing(void **state)
{
    (void)state;
    struct bench b = {0};
    make_depthwise(&b.g);
    assert_int_equal(graph_freeze(&b.g, 1, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    const uint64_t before = mem_calls();
    struct run run = {.input = b.input, .targets = b.targets, .ready = ignore_gradient};
    double loss;
    for (int i = 0; i < 3; i++)
        assert_int_equal(plan_run(b.plan, &run, &loss), GRAFT_OK);
    assert_int_equal(mem_calls(), before);
    bench_fini(&b);
}

static void test_running_statistics(void **state) // against the definition: unbiased variance, torch's momentum
{
    (void)state;
    struct bench b = {0};
    make_depthwise(&b.g);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    struct reference r;
    reference_init(&r, &b.g, &b.p, BATCH);
    r.training = r.batch_statistics = true;
    reference_forward(&r, b.input);
    struct run run = {.input = b.input, .targets = b.targets, .ready = ignore_gradient};
    double loss;
    assert_int_equal(plan_run(b.plan, &run, &loss), GRAFT_OK);
    const int entry = params_find(&b.p, "bn0.running_var");
    float updated[16];
    param_to_canonical(&b.p, entry, updated);
    const int count = BATCH * 6 * 6;
    for (int c = 0; c < 16; c++) {
        const double *z = r.value[1]; // stem's output (n, 16, 6, 6)
        double sum = 0, square = 0;
        for (int n = 0; n < BATCH; n++)
            for (int i = 0; i < 36; i++) {
                sum += z[(n * 16 + c) * 36 + i];
                square += pow(z[(n * 16 + c) * 36 + i], 2);
            }
        const double variance = (square - sum * sum / count) / (count - 1);
        assert_true(fabs(updated[c] - (0.9 * r.param[entry][c] + 0.1 * variance)) < 1e-5 * (1 + variance));
    }
    reference_fini(&r);
    bench_fini(&b);
}

// As relu(nan) is in PyTorch and Keras.
static void test_no_number_stays_none(void **state)
{
    (void)state;
    const struct kernel_table *t = exec_kernels();
    const size_t v = (size_t)t->lanes, size = 4 * v;
    const struct map_shape shape = {1, 1, 2, 2};
    float *x = mem_aligned(size * sizeof *x), *y = mem_aligned(size * sizeof *y), *one = mem_aligned(v * sizeof *one);
    float *zero = mem_aligned(v * sizeof *zero);
    for (enum dnn_act act = ACT_NONE; act <= ACT_RELU6; act++)
        for (int kind = 0; kind < 3; kind++) {
            for (size_t i = 0; i < size; i++)
                x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? -1 : 7, y[i] = 0;
            for (size_t i = 0; i < v; i++)
                one[i] = 1, zero[i] = 0;
            const struct map src = {x, size}, dst = {y, size};
            if (kind == 0)
                t->act_forward(x, size, act), memcpy(y, x, size * sizeof *y);
            else if (kind == 1)
                t->add((struct rows){1, size}, src, dst, dst, act);
            else
                t->bn_apply(shape, src, one, zero, (struct map){NULL, size}, dst, act);
            for (size_t i = 0; i < size; i++)
                assert_true(i % 3 == 0   ? isnan(y[i])
                            : i % 3 == 1 ? y[i] == (act == ACT_NONE ? -1 : 0)
                                         : y[i] == (act == ACT_RELU6 ? 6 : 7));
        }
    mem_free(x), mem_free(y), mem_free(one), mem_free(zero);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv), cmocka_unit_test(test_depthwise), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_pools), cmocka_unit_test(test_maxpools), cmocka_unit_test(test_joins),
        cmocka_unit_test(test_dense), cmocka_unit_test(test_scale), cmocka_unit_test(test_lrn),
        cmocka_unit_test(test_heads_train), cmocka_unit_test(test_heads_predict), cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_exact_has_no_winograd), cmocka_unit_test(test_planted_error_is_caught),
        cmocka_unit_test(test_step_allocates_nothing), cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_no_number_stays_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return on_every_set(group); }
