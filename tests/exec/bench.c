// tests/exec/bench.c: see bench.h.

#include "bench.h"
#include "base/rng.h"
#include "exec/kernels.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

void bench_keep_gradient(void *user, struct gradient g)
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

void bench_parameters(struct bench *b)
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

void bench_init(struct bench *b, enum plan_mode mode, enum bn_mode bn)
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

void bench_fini(struct bench *b)
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
double bench_gradient_error(struct bench *b, enum bn_mode bn)
{
    struct reference r;
    reference_init(&r, &b->g, &b->p, BATCH);
    r.training = true;
    r.batch_statistics = bn == BN_TRAIN;
    r.seed = 7;
    r.step = 3;
    struct run run = {
        .input = b->input, .targets = b->targets, .seed = 7, .step = 3, .ready = bench_keep_gradient, .user = b};
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

void bench_predict(struct bench *b, struct reference *r)
{
    assert_int_equal(graph_freeze(&b->g, 0, BN_TRAIN), GRAFT_OK);
    bench_init(b, PLAN_INFER, BN_TRAIN);
    reference_init(r, &b->g, &b->p, BATCH);
    reference_forward(r, b->input);
    assert_int_equal(plan_run(b->plan, &(struct run){.input = b->input}, NULL), GRAFT_OK);
}

// Runs `make` through training (every BatchNorm mode) and prediction.  fp32 against double over a few layers: 1e-3 of
// the gradient's norm leaves room for rounding only (a planted 3 % is far outside).
void bench_check(void (*make)(struct graph *g))
{
    for (enum bn_mode bn = BN_TRAIN; bn <= BN_FROZEN; bn++) {
        struct bench b = {0};
        make(&b.g);
        assert_int_equal(graph_freeze(&b.g, 0, bn), GRAFT_OK);
        bench_init(&b, PLAN_TRAIN, bn);
        const double error = bench_gradient_error(&b, bn);
        if (!(error < 1e-3))
            fail_msg("gradient error %g with BatchNorm mode %d", error, (int)bn);
        bench_fini(&b);
    }
    struct bench b = {0};
    make(&b.g);
    struct reference r;
    bench_predict(&b, &r);
    double top = 0;
    for (int i = 0; i < BATCH * CLASSES; i++)
        top = fmax(top, fabs(r.value[b.g.output][i]));
    for (int i = 0; i < BATCH * CLASSES; i++)
        assert_true(fabs(plan_logits(b.plan)[i] - r.value[b.g.output][i]) < 1e-5 * top);
    reference_fini(&r);
    bench_fini(&b);
}
