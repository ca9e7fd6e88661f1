// tests/zoo/test_networks.c: whole networks beside the framework that they come from.
// In: golden/networks/NETWORK.json, made by tools/ref/golden_networks.py in float64.  Weights and pictures are formulas
// of a tensor's name and an element's index, the same here and there. Compared: parameters and multiply-adds; logits at
// several sizes; the loss (auxiliary heads weighted as in the framework) and every gradient's norm, on fixed and on
// batch statistics; the losses of some steps, batch statistics and their running means included.

#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "exec/plan.h"
#include "optim/optim.h"
#include "zoo/zoo.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

// ---- the formulas

static uint64_t key_of(const char *name) // FNV-1a
{
    uint64_t key = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++)
        key = (key ^ (uint8_t)*name) * 0x100000001b3u;
    return key;
}

static double unit(uint64_t key, size_t i) { return (double)(rng_hash(RNG_TEST, key, i, 0) >> 40) * 0x1p-24; }

static bool ends(const char *name, const char *suffix)
{
    const size_t n = strlen(name), k = strlen(suffix);
    return n >= k && strcmp(name + n - k, suffix) == 0;
}

// Lively: He's uniform kernels, small biases; calm: kernels without a mean, biases around 3 or -3.  golden_networks.py
// says why.
static void params_fill(const struct params *p, bool calm)
{
    for (int e = 0; e < p->count; e++) {
        const struct param_entry *entry = &p->entries[e];
        const uint64_t key = key_of(entry->name);
        size_t count;
        assert_true(shape_count(entry->shape, &count));
        float *values = malloc(count * sizeof *values);
        assert_non_null(values);
        const size_t rows = entry->shape.rank > 1 ? (size_t)entry->shape.dim[0] : 0,
                     fan_in = rows > 0 ? count / rows : 0;
        const double bound = sqrt((calm ? 3 : 6) / (double)fan_in);
        const bool bias = ends(entry->name, ".bias");
        const double low = bias || ends(entry->name, ".running_mean") ? -0.2 : 0.8;
#pragma omp parallel for
        for (size_t r = 0; r < rows; r++) {
            double mean = 0;
            for (size_t i = r * fan_in; calm && i < (r + 1) * fan_in; i++)
                mean += (2 * unit(key, i) - 1) / (double)fan_in;
            for (size_t i = r * fan_in; i < (r + 1) * fan_in; i++)
                values[i] = (float)((2 * unit(key, i) - 1 - mean) * bound);
        }
        for (size_t i = 0; rows == 0 && i < count; i++) {
            const double u = unit(key, i), offset = bias && calm ? u < 1 / 8.0 ? -3 : 3 : 0;
            values[i] = (float)(offset + 0.4 * u + low);
        }
        param_from_canonical(p, e, values);
        free(values);
    }
}

static float *pictures(int count, int side) // (count, 3, side, side)
{
    const size_t area = (size_t)side * side, size = (size_t)count * 3 * area;
    const uint64_t noise = key_of("input"), colour = key_of("colour");
    float *x = malloc(size * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < size; i++)
        x[i] = (float)(0.5 * (2 * unit(noise, i) - 1) + 2 * unit(colour, i / area) - 1);
    return x;
}

// ---- a network, its golden file, a plan

struct subject {
    const struct network *net;
    json_t *golden;
    int classes;
    struct graph g;
    struct params p;
    struct arena *arena;
    struct plan *plan;
    float *input, *targets;
};

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_number(value))
        fail_msg("the golden file has no number '%s'", name);
    return json_number_value(value);
}

static json_t *golden_read(const char *network)
{
    char path[4096];
    struct file_map map;
    json_t *golden;
    snprintf(path, sizeof path, "%s/tests/golden/networks/%s.json", GRAFT_SOURCE, network);
    if (file_map_open(path, &map) != GRAFT_OK || json_parse(map.data, path, &golden) != GRAFT_OK)
        fail_msg("%s", graft_message());
    file_map_close(&map);
    return golden;
}

static void subject_init(struct subject *s, int size, int batch, enum plan_mode mode, enum bn_mode bn)
{
    if (s->net->build(s->net, &s->g, size, s->classes, 0) != GRAFT_OK)
        fail_msg("%s", graft_message());
    float weights[MAX_OUTPUTS];
    for (int i = 0; i < network_aux_count(s->net); i++)
        weights[i] = s->net->aux[i].framework;
    graph_outputs_set(&s->g, weights, false);
    assert_int_equal(graph_freeze(&s->g, 0, bn), GRAFT_OK);
    assert_int_equal(params_init(&s->p, &s->g), GRAFT_OK);
    params_fill(&s->p, mode == PLAN_TRAIN);
    s->input = pictures(batch, size);
    s->targets = calloc((size_t)batch * s->classes, sizeof *s->targets);
    for (int i = 0; i < batch; i++)
        s->targets[i * s->classes + i % s->classes] = 1;
    const struct plan_options options = {.batch = batch, .mode = mode, .bn = bn};
    assert_int_equal(arena_new(&s->arena), GRAFT_OK);
    if (plan_build(&s->g, &s->p, s->arena, &options, &s->plan) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(arena_reserve(s->arena), GRAFT_OK);
}

static void subject_fini(struct subject *s)
{
    free(s->input);
    free(s->targets);
    plan_free(s->plan);
    arena_free(s->arena);
    params_fini(&s->p);
    graph_fini(&s->g);
}

// ---- the comparisons

static void check_totals(struct subject *s)
{
    const json_t *first = json_array_get(json_object_get(s->golden, "logits"), 0);
    assert_int_equal(s->net->build(s->net, &s->g, (int)number(first, "size"), s->classes, 0), GRAFT_OK);
    assert_int_equal(graph_parameters(&s->g, false), (size_t)number(s->golden, "parameters"));
    assert_true(graph_multiply_adds(&s->g) == number(s->golden, "multiply_adds"));
    graph_fini(&s->g);
}

static void check_logits(struct subject *s, const json_t *expected)
{
    const int size = (int)number(expected, "size");
    const json_t *values = json_object_get(expected, "values");
    subject_init(s, size, 2, PLAN_INFER, BN_TRAIN);
    assert_int_equal(json_array_size(values), 2 * s->classes);
    assert_int_equal(plan_run(s->plan, &(struct run){.input = s->input}, NULL), GRAFT_OK);
    double largest = 0, difference = 0;
    for (int i = 0; i < 2 * s->classes; i++) {
        const double value = json_number_value(json_array_get(values, (size_t)i));
        largest = fmax(largest, fabs(value));
        difference = fmax(difference, fabs(value - plan_logits(s->plan)[i]));
    }
    print_message("%s at %d: logits within %.1e of the largest, %.3g\n", s->net->name, size, difference / largest,
                  largest);
    assert_true(difference <= 1e-4 * largest); // issue 4's bound
    const json_t *mean = json_object_get(expected, "mean"); // of all heads' softmaxes, where they predict together
    float *found = malloc((size_t)2 * s->classes * sizeof *found);
    plan_probabilities(s->plan, found);
    for (size_t i = 0; i < json_array_size(mean); i++)
        assert_true(fabs(json_number_value(json_array_get(mean, i)) - found[i]) < 1e-5); // 10 logits of 1e-6
    free(found);
    subject_fini(s);
}

struct norms { struct subject *s; double *norm; };

static void take_norm(void *user, struct gradient g)
{
    const struct norms *n = user;
    double sum = g.first > 0 ? n->norm[g.entry] * n->norm[g.entry] : 0;
    for (size_t i = 0; i < g.n; i++) // padding is zero
        sum += (double)g.values[i] * g.values[i];
    n->norm[g.entry] = sqrt(sum);
}

// Norms by layer: a convolution or dense layer with its BatchNorm, a row of `graft models NET --layers`.
static void check_norms(struct subject *s, enum bn_mode bn)
{
    const json_t *loss_value = json_object_get(s->golden, bn == BN_TRAIN ? "batch_loss" : "fixed_loss");
    const json_t *expected = json_object_get(s->golden, bn == BN_TRAIN ? "batch_norms" : "fixed_norms");
    double loss, worst = 0;
    int worst_row = 0;
    subject_init(s, (int)number(s->golden, "size"), (int)number(s->golden, "batch"), PLAN_TRAIN, bn);
    struct norms n = {s, calloc((size_t)s->p.count, sizeof(double))};
    double *ours = calloc((size_t)s->g.n_rows, sizeof *ours), *theirs = calloc((size_t)s->g.n_rows, sizeof *theirs);
    const struct run run = {.input = s->input, .targets = s->targets, .ready = take_norm, .user = &n};
    assert_int_equal(plan_run(s->plan, &run, &loss), GRAFT_OK);
    assert_true(fabs(loss - json_number_value(loss_value)) <= 1e-4 * loss);
    size_t trained = 0;
    for (int e = 0; e < s->p.count; e++) {
        if (s->p.entries[e].group != PARAM_TRAINABLE)
            continue;
        trained++;
        const int row = s->g.nodes[s->g.params[e].node].row;
        ours[row] += n.norm[e] * n.norm[e];
        theirs[row] += pow(number(expected, s->p.entries[e].name), 2);
    }
    for (int row = 0; row < s->g.n_rows; row++) {
        const double error = fabs(sqrt(ours[row] / theirs[row]) - 1);
        if (!(error <= worst)) {
            worst = error;
            worst_row = row;
        }
    }
    print_message("%s, %s statistics: gradient norms of %d layers within %.1e (%s)\n", s->net->name,
                  bn == BN_TRAIN ? "batch" : "fixed", s->g.n_rows, worst, graph_row_name(&s->g, worst_row));
    assert_int_equal(trained, json_object_size(expected));
    assert_true(worst <= 1e-3); // issue 4's bound
    free(n.norm);
    free(ours);
    free(theirs);
    subject_fini(s);
}

static void check_losses(struct subject *s)
{
    const json_t *expected = json_object_get(s->golden, "losses");
    const size_t steps = json_array_size(expected);
    double worst = 0;
    if (steps == 0)
        return;
    subject_init(s, (int)number(s->golden, "size"), (int)number(s->golden, "batch"), PLAN_TRAIN, BN_TRAIN);
    const int batch = (int)number(s->golden, "batch");
    const struct optim_options rule = {.name = "sgd", .nesterov = true, .accumulate = 1};
    struct optimizer optimizer;
    assert_int_equal(optimizer_init(&optimizer, &rule, &s->p), GRAFT_OK);
    for (size_t i = 0; i < steps; i++) {
        const struct run run = {.input = s->input, .targets = s->targets, .step = i, .ready = optimizer_gradient,
                                .user = &optimizer};
        const double value = json_number_value(json_array_get(expected, i));
        double loss;
        optimizer_begin(&optimizer, 1e-4, 0.9, batch);
        assert_int_equal(plan_run(s->plan, &run, &loss), GRAFT_OK);
        optimizer_end(&optimizer);
        worst = fmax(worst, fabs(loss - value) / value);
    }
    print_message("%s: the losses of %zu steps within %.1e\n", s->net->name, steps, worst);
    assert_true(worst <= 1e-3); // issue 4's bound
    optimizer_fini(&optimizer);
    subject_fini(s);
}

static void check_network(const char *name)
{
    struct subject s = {.net = zoo_find(name), .golden = golden_read(name)};
    assert_non_null(s.net);
    s.classes = (int)number(s.golden, "classes");
    check_totals(&s);
    const json_t *logits = json_object_get(s.golden, "logits");
    for (size_t i = 0; i < json_array_size(logits); i++)
        check_logits(&s, json_array_get(logits, i));
    check_norms(&s, BN_STATS);
    check_norms(&s, BN_TRAIN);
    check_losses(&s);
    json_decref(s.golden);
}

static void test_googlenet(void **state) { (void)state; check_network("googlenet"); }
static void test_googlenet_tv(void **state) { (void)state; check_network("googlenet.tv"); }
static void test_inception_v4(void **state) { (void)state; check_network("inception_v4"); }
static void test_inception_v3(void **state) { (void)state; check_network("inception_v3"); }
static void test_inception_v3_noaux(void **state) { (void)state; check_network("inception_v3.noaux"); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_googlenet),
        cmocka_unit_test(test_googlenet_tv), cmocka_unit_test(test_inception_v3),
        cmocka_unit_test(test_inception_v3_noaux), cmocka_unit_test(test_inception_v4),
    };
    return cmocka_run_group_tests_name("networks", tests, NULL, NULL);
}
