// tests/exec/test_exec.c: forward and gradients of every operation against the naive double reference, over odd shapes;
// frozen prefixes; no allocation in a step; dead buffers poisoned; a planted wrong gradient is caught.

#include "reference.h"
#include "base/memory.h"
#include "base/rng.h"
#include "exec/kernels.h"
#include "exec/plan.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 3, CLASSES = 5 };

static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

struct bench {
    struct graph g;
    struct params p;
    struct arena *arena;
    struct plan *plan;
    float *input, *targets;
    double **gradient; // canonical, by entry; NULL until ready
    bool losses;       // of the plan
    bool plant;        // the planted error: one gradient is 3 % too large
};

static void keep_gradient(void *user, struct gradient g)
{
    struct bench *b = user;
    const struct param_entry *e = &b->p.entries[g.entry];
    size_t n;
    assert_true(g.first == 0 && g.n == e->size); // these layers are small
    assert_true(shape_count(e->shape, &n));
    // A gradient lies as its parameter does: borrow the block to bring it into canonical order.
    float *saved = malloc(e->size * sizeof(float)), *canonical = malloc(n * sizeof(float));
    memcpy(saved, b->p.block + e->offset, e->size * sizeof(float));
    memcpy(b->p.block + e->offset, g.values, e->size * sizeof(float));
    param_to_canonical(&b->p, g.entry, canonical);
    param_from_canonical(&b->p, g.entry, canonical); // zeroes the padding
    assert_memory_equal(b->p.block + e->offset, g.values, e->size * sizeof(float)); // so it was zero
    memcpy(b->p.block + e->offset, saved, e->size * sizeof(float));
    assert_null(b->gradient[g.entry]);
    b->gradient[g.entry] = malloc(n * sizeof(double));
    for (size_t i = 0; i < n; i++)
        b->gradient[g.entry][i] = canonical[i] * (b->plant ? 1.03 : 1);
    free(saved);
    free(canonical);
}

static void bench_parameters(struct bench *b)
{
    for (int i = 0; i < b->p.count; i++) {
        size_t n;
        assert_true(shape_count(b->p.entries[i].shape, &n));
        float *values = malloc(n * sizeof *values);
        const char *name = b->p.entries[i].name;
        const bool variance = strstr(name, "running_var") != NULL;
        for (size_t k = 0; k < n; k++)
            values[k] = variance ? 1 + 0.5f * draw(i, k) : draw(i, k) * (n > 64 ? 0.3f : 0.8f);
        param_from_canonical(&b->p, i, values);
        free(values);
    }
}

static void bench_init(struct bench *b, enum plan_mode mode, enum bn_mode bn)
{
    assert_int_equal(params_init(&b->p, &b->g), GRAFT_OK);
    bench_parameters(b);
    const struct value *in = &b->g.values[0];
    const size_t size = (size_t)BATCH * in->c * in->h * in->w;
    b->input = malloc(size * sizeof(float));
    b->targets = calloc(BATCH * CLASSES, sizeof(float));
    for (size_t i = 0; i < size; i++)
        b->input[i] = 2 * draw(1000, i);
    for (int n = 0; n < BATCH; n++) { // soft labels
        b->targets[n * CLASSES + n % CLASSES] = 0.75f;
        b->targets[n * CLASSES + (n + 2) % CLASSES] = 0.25f;
    }
    b->gradient = calloc((size_t)b->p.count, sizeof *b->gradient);
    assert_int_equal(arena_new(&b->arena), GRAFT_OK);
    const struct plan_options options = {.batch = BATCH, .mode = mode, .bn = bn, .losses = b->losses, .poison = true};
    if (plan_build(&b->g, &b->p, b->arena, &options, &b->plan) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(arena_reserve(b->arena), GRAFT_OK);
}

static void bench_fini(struct bench *b)
{
    for (int i = 0; i < b->p.count; i++)
        free(b->gradient[i]);
    free(b->gradient);
    free(b->input);
    free(b->targets);
    plan_free(b->plan);
    arena_free(b->arena);
    params_fini(&b->p);
    graph_fini(&b->g);
}

// Largest relative error over entries of <gradient, d> against the reference's central difference, d random.
static double gradient_error(struct bench *b, enum bn_mode bn)
{
    struct reference r;
    reference_init(&r, &b->g, &b->p, BATCH);
    r.training = true;
    r.batch_statistics = bn == BN_TRAIN;
    r.seed = 7;
    r.step = 3;
    struct run run = {
        .input = b->input, .targets = b->targets, .seed = 7, .step = 3, .ready = keep_gradient, .user = b};
    double loss, worst = 0;
    const double expected = reference_loss(&r, b->input, b->targets);
    assert_int_equal(plan_run(b->plan, &run, &loss), GRAFT_OK);
    assert_true(fabs(loss - expected) < 1e-5 * (1 + fabs(expected)));
    for (int i = 0; i < b->p.count; i++) {
        if (b->g.params[i].running || !b->g.params[i].trains) {
            assert_null(b->gradient[i]);
            continue;
        }
        assert_non_null(b->gradient[i]);
        size_t n;
        assert_true(shape_count(b->p.entries[i].shape, &n));
        double dot = 0, norm = 0;
        const double h = 1e-6;
        for (size_t k = 0; k < n; k++) {
            dot += b->gradient[i][k] * draw(2000 + i, k);
            norm += b->gradient[i][k] * b->gradient[i][k];
        }
        double side[2];
        for (int s = 0; s < 2; s++) {
            for (size_t k = 0; k < n; k++)
                r.param[i][k] += (s == 0 ? h : -2 * h) * draw(2000 + i, k);
            side[s] = reference_loss(&r, b->input, b->targets);
        }
        for (size_t k = 0; k < n; k++)
            r.param[i][k] += h * draw(2000 + i, k);
        const double central = (side[0] - side[1]) / (2 * h);
        const double error = fabs(dot - central) / (sqrt(norm) + 1e-3);
        if (error > worst)
            worst = error;
        if (error > 1e-3)
            print_message("%s: gradient %g, central difference %g\n", b->p.entries[i].name, dot, central);
    }
    reference_fini(&r);
    return worst;
}

// Runs `make` through training (every BatchNorm mode) and prediction.  fp32 against double over a few layers: 1e-3 of
// the gradient's norm leaves room for rounding only (a planted 3 % is far outside).
static void check(void (*make)(struct graph *g))
{
    for (enum bn_mode bn = BN_TRAIN; bn <= BN_FROZEN; bn++) {
        struct bench b = {0};
        make(&b.g);
        assert_int_equal(graph_freeze(&b.g, 0, bn), GRAFT_OK);
        bench_init(&b, PLAN_TRAIN, bn);
        const double error = gradient_error(&b, bn);
        if (!(error < 1e-3))
            fail_msg("gradient error %g with BatchNorm mode %d", error, (int)bn);
        bench_fini(&b);
    }
    struct bench b = {0};
    make(&b.g);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_INFER, BN_TRAIN);
    struct reference r;
    reference_init(&r, &b.g, &b.p, BATCH);
    reference_forward(&r, b.input);
    struct run run = {.input = b.input};
    assert_int_equal(plan_run(b.plan, &run, NULL), GRAFT_OK);
    double top = 0;
    for (int i = 0; i < BATCH * CLASSES; i++)
        top = fmax(top, fabs(r.value[b.g.output][i]));
    for (int i = 0; i < BATCH * CLASSES; i++)
        assert_true(fabs(plan_logits(b.plan)[i] - r.value[b.g.output][i]) < 1e-5 * top);
    reference_fini(&r);
    bench_fini(&b);
}

static const struct bn_attr BN = {.epsilon = 1e-3f, .momentum = 0.1f, .unbiased = true};

static void finish(struct graph *g, int value)
{
    const int logits = graph_dense(g, value, "head", CLASSES, true);
    if (graph_finish(g, logits) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

static void make_conv(struct graph *g) // asymmetric padding, bias, 5x3 kernel, strides that differ, channel tails
{
    graph_init(g, 3, 11, 9);
    int v = graph_conv(g, 0, "a", (struct conv_attr){20, 3, 3, 2, 2, 0, 0, 1, 1, 1, true});
    v = graph_relu(g, v);
    v = graph_conv(g, v, "b", (struct conv_attr){24, 5, 3, 1, 2, 2, 1, 2, 0, 1, false});
    v = graph_bn(g, v, "bn", BN);
    v = graph_relu6(g, v);
    v = graph_conv(g, v, "c", (struct conv_attr){33, 1, 1, 1, 1, 0, 0, 0, 0, 1, true});
    finish(g, graph_global_avgpool(g, v));
}

static void make_depthwise(struct graph *g) // expand, depthwise 3 and 5 with strides, project, residual add
{
    graph_init(g, 3, 12, 12);
    int v = graph_conv(g, 0, "stem", conv_same(g, 0, 16, 3, 2, 1, false));
    v = graph_relu6(g, graph_bn(g, v, "bn0", BN));
    int x = graph_relu6(g, graph_bn(g, graph_conv(g, v, "pw", conv_pad(40, 1, 1, 0, 1, false)), "bn1", BN));
    x = graph_relu6(g, graph_bn(g, graph_conv(g, x, "dw", conv_same(g, x, 40, 5, 1, 40, false)), "bn2", BN));
    x = graph_bn(g, graph_conv(g, x, "pwl", conv_pad(16, 1, 1, 0, 1, false)), "bn3", BN);
    v = graph_add(g, x, v);
    v = graph_bn(g, graph_conv(g, v, "dw2", conv_same(g, v, 16, 3, 2, 16, false)), "bn4", BN);
    finish(g, graph_global_avgpool(g, v));
}

static void make_groups(struct graph *g) // groups that are neither 1 nor depthwise; depthwise with a channel multiplier
{
    graph_init(g, 3, 7, 7);
    int v = graph_conv(g, 0, "a", conv_pad(12, 3, 1, 1, 1, true));
    v = graph_relu(g, v);
    v = graph_conv(g, v, "b", conv_pad(18, 3, 1, 1, 3, true));
    v = graph_bn(g, v, "bn", BN);
    v = graph_conv(g, v, "c", conv_pad(36, 3, 2, 1, 18, false));
    finish(g, graph_global_avgpool(g, v));
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
    finish(g, graph_adaptive_avgpool(g, v, 3, 2));
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
    finish(g, graph_maxpool(g, v, (struct pool_attr){3, 4, 1, 1, 0, 0, 0, 0, false}));
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
    finish(g, graph_maxpool(g, v, pool_ceil(g, v, 6, 6, 0, false)));
}

static void make_dense(struct graph *g) // dense after dense, dropout between
{
    graph_init(g, 3, 5, 5);
    int v = graph_conv(g, 0, "a", conv_pad(6, 3, 2, 0, 1, true));
    v = graph_relu(g, graph_dense(g, v, "fc1", 23, true));
    v = graph_dropout(g, v, 0.3f);
    v = graph_relu(g, graph_dense(g, v, "fc2", 21, true));
    finish(g, graph_dropout(g, v, 0.5f));
}

static void
make_scale(struct graph *g) // scales after BatchNorm, with and without an activation, and one that stands alone
{
    graph_init(g, 3, 7, 9);
    int v = graph_conv(g, 0, "a", conv_pad(20, 3, 1, 1, 1, false));
    v = graph_relu(g, graph_scale(g, graph_bn(g, v, "a_bn", BN), "a_scale"));
    const int side = graph_scale(g, v, "side");
    v = graph_conv(g, v, "b", conv_pad(20, 3, 1, 1, 1, true));
    v = graph_relu6(g, graph_add(g, graph_scale(g, v, "b_scale"), side));
    finish(g, graph_global_avgpool(g, v));
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
    finish(g, graph_maxpool(g, v, pool_ceil(g, v, 3, 2, 0, true)));
}

// Where Winograd is chosen: masks of ReLU and ReLU6 that the consumer's gradient brings, through a max pool and to a
// BatchNorm; a value with two consumers, whose gradient must not be masked twice or by halves; channel tails.
static void make_winograd(struct graph *g)
{
    graph_init(g, 3, 13, 13);
    int v = graph_relu(g, graph_conv(g, 0, "a", conv_pad(32, 3, 1, 1, 1, true)));
    v = graph_relu6(g, graph_conv(g, v, "b", conv_pad(36, 3, 1, 1, 1, true)));
    v = graph_relu(g, graph_bn(g, graph_conv(g, v, "c", conv_pad(32, 3, 1, 1, 1, false)), "bn", BN));
    v = graph_relu(g, graph_conv(g, v, "d", conv_pad(33, 3, 1, 1, 1, true)));
    v = graph_maxpool(g, v, pool_ceil(g, v, 3, 1, 0, true));
    v = graph_relu(g, graph_conv(g, v, "row", conv_odd(34, 1, 7, 1, true, true)));
    v = graph_relu6(g, graph_conv(g, v, "column", conv_odd(48, 7, 1, 1, true, true)));
    v = graph_relu(g, graph_bn(g, graph_conv(g, v, "short", conv_odd(32, 3, 1, 1, true, false)), "short.bn", BN));
    v = graph_relu(g, graph_conv(g, v, "wide", conv_pad(32, 5, 1, 2, 1, true)));
    const int e = graph_relu(g, graph_conv(g, v, "e", conv_pad(32, 3, 1, 1, 1, true)));
    v = graph_relu(g, graph_conv(g, e, "f", conv_pad(32, 3, 1, 1, 1, true)));
    finish(g, graph_global_avgpool(g, graph_add(g, v, e)));
}

static void test_winograd(void **state) { (void)state; check(make_winograd); }

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

static void test_conv(void **state) { (void)state; check(make_conv); }
static void test_depthwise(void **state) { (void)state; check(make_depthwise); }
static void test_groups(void **state) { (void)state; check(make_groups); }
static void test_pools(void **state) { (void)state; check(make_pools); }
static void test_maxpools(void **state) { (void)state; check(make_maxpools); }
static void test_joins(void **state) { (void)state; check(make_joins); }
static void test_scale(void **state) { (void)state; check(make_scale); }
static void test_lrn(void **state) { (void)state; check(make_lrn); }
static void test_dense(void **state) { (void)state; check(make_dense); }

// Three heads: one trains and predicts, one only predicts, and the main one; all but the main from inside the network.
static void make_heads(struct graph *g)
{
    graph_init(g, 3, 8, 8);
    const int a = graph_relu(g, graph_bn(g, graph_conv(g, 0, "a", conv_pad(16, 3, 1, 1, 1, false)), "a_bn", BN));
    const int b = graph_relu(g, graph_conv(g, a, "b", conv_pad(12, 3, 2, 1, 1, true)));
    const int side = graph_relu(g, graph_conv(g, a, "side", conv_pad(9, 1, 1, 0, 1, true)));
    const int other =
        graph_relu(g, graph_bn(g, graph_conv(g, b, "other", conv_pad(8, 1, 1, 0, 1, false)), "other_bn", BN));
    graph_output(g, graph_dense(g, graph_global_avgpool(g, side), "head1", CLASSES, true), 0.4f, true);
    graph_output(g, graph_dense(g, other, "head2", CLASSES, true), 0, true);
    finish(g, graph_global_avgpool(g, b));
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
    check(make_heads); // the head of weight 0 has no gradient: gradient_error asserts it
    struct bench b = {0};
    make_heads(&b.g);
    const float weights[] = {0, 2};
    graph_outputs_set(&b.g, weights, false);
    assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(&b, PLAN_TRAIN, BN_TRAIN);
    assert_false(b.g.params[params_find(&b.p, "side.weight")].trains);
    assert_true(b.g.params[params_find(&b.p, "other.weight")].trains);
    assert_true(gradient_error(&b, BN_TRAIN) < 1e-3);
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
            assert_int_equal(graph_freeze(&b.g, 0, BN_TRAIN), GRAFT_OK);
            bench_init(&b, PLAN_INFER, BN_TRAIN);
            struct reference r;
            reference_init(&r, &b.g, &b.p, BATCH);
            reference_forward(&r, b.input);
            struct run run = {.input = b.input};
            assert_int_equal(plan_run(b.plan, &run, NULL), GRAFT_OK);
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
    assert_true(gradient_error(&b, BN_TRAIN) > 1e-3);
    bench_fini(&b);
}

static void test_frozen_prefix(void **state)
{
    (void)state;
    size_t whole = 0;
    for (int rows = 0; rows <= 3; rows += 3) {
        struct bench b = {0};
        make_depthwise(&b.g);
        assert_int_equal(graph_freeze(&b.g, rows, BN_TRAIN), GRAFT_OK);
        bench_init(&b, PLAN_TRAIN, BN_TRAIN);
        assert_true(gradient_error(&b, BN_TRAIN) < 1e-3);
        if (rows == 0)
            whole = plan_bytes(b.plan);
        else
            assert_true(plan_bytes(b.plan) < whole); // nothing stored for the frozen part
        bench_fini(&b);
    }
}

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
    finish(g, graph_global_avgpool(g, v));
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
        .input = b.input, .targets = b.targets, .seed = 7, .step = 3, .ready = keep_gradient, .user = &b};
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
    finish(g, graph_global_avgpool(g, v));
}

static int branch(struct graph *g, int src, const char *name, int oc)
{
    char bn[32];
    snprintf(bn, sizeof bn, "%s_bn", name);
    return graph_relu(g, graph_bn(g, graph_conv(g, src, name, conv_pad(oc, 1, 1, 0, 1, false)), bn, BN));
}

// Branches of BatchNorms alone, one of them split again: in place, and the whole is made again.
static void make_branches(struct graph *g)
{
    graph_init(g, 3, 6, 5);
    const int stem = branch(g, 0, "stem", 32), a = branch(g, stem, "a", 16);
    const int b = graph_concat(g, (int[]){branch(g, stem, "b", 32), branch(g, stem, "c", 16)}, 2);
    int v = graph_concat(g, (int[]){a, b, branch(g, stem, "d", 20)}, 3); // the last one's tail is the whole's
    v = graph_concat(g, (int[]){branch(g, v, "e", 16), branch(g, v, "f", 32)}, 2);
    finish(g, graph_global_avgpool(g, graph_relu(g, graph_conv(g, v, "g", conv_pad(16, 1, 1, 0, 1, true)))));
}

// What stays a copy: (1) the library's convolution, (2) a part that has its place elsewhere, (3) the same once more,
// (4) one that others read as a whole buffer, (5, 6) channels that fill no blocks and what comes after them.
static void make_copies(struct graph *g)
{
    graph_init(g, 3, 6, 5);
    const int stem = branch(g, 0, "stem", 32), a = branch(g, stem, "a", 16);
    const int pool = graph_maxpool(g, stem, pool_ceil(g, stem, 3, 1, 1, false));
    const int library = graph_relu(g, graph_conv(g, stem, "b", conv_pad(16, 1, 1, 0, 1, true)));
    const int read = branch(g, stem, "c", 16), scaled = graph_relu(g, graph_scale(g, stem, "scale"));
    const int side = graph_conv(g, read, "d", conv_pad(16, 1, 1, 0, 1, true));
    int v = graph_concat(g, (int[]){a, pool, library, read, scaled, graph_add(g, side, a)}, 6);
    v = graph_concat(g, (int[]){v, a, a}, 3);
    v = graph_relu6(g, graph_conv(g, v, "e", conv_pad(16, 1, 1, 0, 1, true)));
    v = graph_concat(g, (int[]){branch(g, v, "f", 20), branch(g, v, "g", 16)}, 2);
    finish(g, graph_global_avgpool(g, graph_relu(g, v)));
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
            .input = b.input, .targets = b.targets, .seed = 7, .step = 3, .ready = keep_gradient, .user = &b};
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
    check(make_dense_block);
    check(make_branches);
    check(make_copies);
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
    check(make_blocks);
    check_recompute(make_blocks, true);
    check_recompute(make_conv, false);
    check_recompute(make_depthwise, true);
    check_recompute(make_winograd, false);
    check_recompute(make_scale, false);
    check_recompute(make_heads, false);
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
    const double error = gradient_error(&b, BN_TRAIN);
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
    finish(g, graph_dropout(g, graph_global_avgpool(g, v), 0.5f));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv), cmocka_unit_test(test_depthwise), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_pools), cmocka_unit_test(test_maxpools), cmocka_unit_test(test_joins),
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_scale), cmocka_unit_test(test_lrn), cmocka_unit_test(test_heads_train),
        cmocka_unit_test(test_heads_predict), cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_exact_has_no_winograd), cmocka_unit_test(test_planted_error_is_caught),
        cmocka_unit_test(test_frozen_prefix), cmocka_unit_test(test_prefix), cmocka_unit_test(test_recompute),
        cmocka_unit_test(test_views), cmocka_unit_test(test_residual_adds),
        cmocka_unit_test(test_step_allocates_nothing), cmocka_unit_test(test_running_statistics),
    };
    static const char *const sets[] = {NULL, "AVX2", "plain C"}; // the processor's own, then the lesser ones
    int failed = 0;
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        if (exec_kernels_force(sets[i])) {
            print_message("kernels: %s, %d lanes\n", exec_isa(), exec_lanes());
            failed += cmocka_run_group_tests(tests, NULL, NULL);
        }
    return failed;
}
