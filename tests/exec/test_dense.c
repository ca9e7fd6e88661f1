// tests/exec/test_dense.c: the products of dense layers against sums in double; gradients that are made in parts.

#include "sets.h"
#include "base/status.h"
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

static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

static float *filled(uint64_t stream, size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = draw(stream, i);
    return x;
}

// sum over t < n of a[t * a_step] * b[t * b_step] + more.  In float, in any order, with or without fused additions, it
// is no further from that than n + 1 roundings of the sum of the magnitudes.
static void check_sum(float found, const float *a, size_t a_step, const float *b, size_t b_step, int n, double more)
{
    double sum = more, size = fabs(more);
    for (int t = 0; t < n; t++) {
        sum += (double)a[t * a_step] * b[t * b_step];
        size += fabs((double)a[t * a_step] * b[t * b_step]);
    }
    if (!(fabs(found - sum) <= (n + 1) * 0x1p-24 * size))
        fail_msg("%.9g, expected %.9g", found, sum);
}

// Pieces, register tiles and their tails: of pictures, of units, of k.
static const struct dense_shape shapes[] = {{1, 1, 1},     {2, 7, 3},    {3, 16, 6},   {4, 100, 13},  {5, 1536, 12},
                                            {16, 1600, 7}, {17, 791, 5}, {8, 3100, 50}, {19, 49, 33}, {1, 4096, 10}};

static void test_products(void **state)
{
    (void)state;
    const struct dense_kernels *dense = exec_kernels()->dense;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        const struct dense_shape s = shapes[i];
        const size_t n = (size_t)s.n, k = (size_t)s.k, units = (size_t)s.units;
        float *x = filled(1, n * k), *w = filled(2, units * k), *diff = filled(3, n * units), *bias = filled(4, units);
        float *y = filled(5, n * units), *diff_x = filled(6, n * k), *diff_w = filled(7, units * k);
        float *diff_bias = filled(8, units);
        dense->forward(s, x, w, bias, y, ACT_NONE);
        dense->data(s, diff, w, diff_x);
        for (int first = 0; first < s.units; first += 9)
            dense->weights(s, diff, x, first, s.units - first < 9 ? s.units - first : 9, diff_w + (size_t)first * k);
        dense->bias(s, diff, diff_bias);
        for (size_t p = 0; p < n; p++) {
            for (size_t u = 0; u < units; u++)
                check_sum(y[p * units + u], x + p * k, 1, w + u * k, 1, s.k, bias[u]);
            for (size_t j = 0; j < k; j++)
                check_sum(diff_x[p * k + j], diff + p * units, 1, w + j, k, s.units, 0);
        }
        const float one = 1;
        for (size_t u = 0; u < units; u++) {
            check_sum(diff_bias[u], diff + u, units, &one, 0, s.n, 0);
            for (size_t j = 0; j < k; j++)
                check_sum(diff_w[u * k + j], diff + u, units, x + j, k, s.n, 0);
        }
        free(x), free(w), free(diff), free(bias), free(y), free(diff_x), free(diff_w), free(diff_bias);
    }
}

static void test_activations(void **state)
{
    (void)state;
    const struct dense_shape s = {3, 50, 9};
    float *x = filled(1, 150), *w = filled(2, 450), plain[27], found[27];
    exec_kernels()->dense->forward(s, x, w, NULL, plain, ACT_NONE);
    exec_kernels()->dense->forward(s, x, w, NULL, found, ACT_RELU);
    for (int i = 0; i < 27; i++)
        assert_true(found[i] == (plain[i] > 0 ? plain[i] : 0));
    for (int i = 0; i < 450; i++)
        w[i] *= 8;
    exec_kernels()->dense->forward(s, x, w, NULL, found, ACT_RELU6);
    for (int i = 0; i < 27; i++) // eight is a power of two: no other rounding
        assert_true(found[i] == (plain[i] * 8 > 6 ? 6 : plain[i] > 0 ? plain[i] * 8 : 0));
    free(x), free(w);
}

enum { SIDE = 32, WIDE = 90, CLASSES = 3, BATCH = 2 };
struct parts { const struct params *p; float *gradient; int count; size_t next; };

static void gather(void *user, struct gradient g)
{
    struct parts *parts = user;
    const struct param_entry *e = &parts->p->entries[g.entry];
    if (strcmp(e->name, "wide.weight") != 0) {
        assert_true(g.first == 0 && g.n == e->size);
        return;
    }
    assert_int_equal(g.first, parts->next);
    memcpy(parts->gradient + g.first, g.values, g.n * sizeof *g.values);
    parts->next += g.n;
    parts->count++;
}

// The gradient of the wide layer's weights by that many threads; gives in how many parts it came.
static int gradient_of(int threads, float **out, size_t *size)
{
    struct graph g;
    struct params p;
    struct arena *arena;
    struct plan *plan;
    graph_init(&g, 3, SIDE, SIDE);
    const struct conv_attr conv = {.oc = 32, .kh = 1, .kw = 1, .stride_h = 1, .stride_w = 1, .groups = 1, .bias = true};
    const int map = graph_relu(&g, graph_conv(&g, 0, "conv", conv));
    const int wide = graph_relu(&g, graph_dense(&g, map, "wide", WIDE, true));
    assert_int_equal(graph_finish(&g, graph_dense(&g, wide, "head", CLASSES, true)), GRAFT_OK);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    exec_set_threads(threads);
    assert_int_equal(params_init(&p, &g), GRAFT_OK);
    for (int i = 0; i < p.count; i++) {
        size_t n;
        assert_true(shape_count(p.entries[i].shape, &n));
        float *values = filled(10 + (uint64_t)i, n);
        param_from_canonical(&p, i, values);
        free(values);
    }
    float *input = filled(9, BATCH * 3 * SIDE * SIDE), targets[BATCH * CLASSES] = {1, 0, 0, 0, 1, 0};
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    const struct plan_options options = {.batch = BATCH, .mode = PLAN_TRAIN, .bn = BN_TRAIN, .poison = true};
    assert_int_equal(plan_build(&g, &p, arena, &options, &plan), GRAFT_OK);
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    *size = p.entries[params_find(&p, "wide.weight")].size;
    struct parts parts = {.p = &p, .gradient = calloc(*size, sizeof(float))};
    const struct run run = {.input = input, .targets = targets, .ready = gather, .user = &parts};
    assert_int_equal(plan_run(plan, &run, NULL), GRAFT_OK);
    assert_int_equal(parts.next, *size);
    *out = parts.gradient;
    free(input);
    plan_free(plan);
    arena_free(arena);
    params_fini(&p);
    graph_fini(&g);
    exec_set_threads(0);
    return parts.count;
}

// In how many parts depends on the number of threads, the bits do not.
static void test_parts(void **state)
{
    (void)state;
    float *one, *many, *all;
    size_t size;
    const int count = gradient_of(1, &one, &size);
    assert_true(count > 5);
    assert_true(gradient_of(3, &many, &size) < count);
    assert_int_equal(gradient_of(64, &all, &size), 1);
    assert_memory_equal(one, many, size * sizeof *one);
    assert_memory_equal(one, all, size * sizeof *one);
    free(one), free(many), free(all);
}

static int group(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_activations),
                                       cmocka_unit_test(test_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return on_every_set(group); }
