// zoo/test_logits.c: every network's names against the frameworks' own, and its logits on weights made of a formula.
// In: golden/zoo/names.txt and logits.txt, made by tools/ref/make_zoo.py, which has the same formula.
// The formula goes by the file's name and order of numbers, so the dialects and layouts are tested with no file at
// hand.

#include "base/memory.h"
#include "base/rng.h"
#include "base/status.h"
#include "exec/plan.h"
#include "zoo/families.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifndef GRAFT_SOURCE
#define GRAFT_SOURCE "."
#endif
enum { CLASSES = 10, PICTURES = 2, LINE = 4096 };

static int side_of(const char *network) { return strncmp(network, "inception", 9) == 0 ? 96 : 64; } // 75 is their least

static FILE *golden(const char *name)
{
    char path[4096];
    const char *folder = getenv("GRAFT_GOLDEN");
    snprintf(path, sizeof path, "%s/zoo/%s", folder ? folder : GRAFT_SOURCE "/tests/golden", name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    return file;
}

static uint64_t fnv(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    return hash;
}
static const uint64_t fnv_start = 0xcbf29ce484222325u;

static const struct network *build(const char *name, struct graph *g)
{
    const struct network *net = zoo_find(name);
    if (!net)
        fail_msg("no network '%s'", name);
    if (net->build(net, g, side_of(name), CLASSES, 0) != GRAFT_OK)
        fail_msg("%s: %s", name, graft_message());
    return net;
}

// The parameter's name in the files of the network's first dialect.
static void file_name(const struct network *net, const struct graph *g, int param, char *out, size_t size)
{
    char layer[256];
    const int index = g->params[param].node;
    const struct node *node = &g->nodes[index];
    assert_true(dialect_layer(net->dialects, net, g, index, layer, sizeof layer));
    int place = 0;
    for (int k = 0; node->param[k] != param; k++)
        place += !g->params[node->param[k]].constant;
    if (net->dialects->layout == FILE_TORCH)
        snprintf(out, size, "%s%s", layer, strrchr(g->params[param].name, '.'));
    else
        snprintf(out, size, "%s//%d", layer, place);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static uint64_t keras_hash(const struct network *net, const struct graph *g)
{
    int *order = mem_alloc((size_t)g->n_nodes * sizeof *order), count;
    uint64_t hash = fnv_start;
    assert_int_equal(keras_order(g, order, &count), GRAFT_OK);
    for (int i = 0; i < count; i++) {
        char layer[256];
        assert_true(dialect_layer(net->dialects, net, g, order[i], layer, sizeof layer));
        hash = fnv(fnv(hash, layer), "\n");
    }
    mem_free(order);
    return hash;
}

static void test_names(void **state)
{
    char line[LINE], name[64];
    unsigned long long expected, order;
    int tensors, rows = 0;
    FILE *file = golden("names.txt");
    (void)state;
    while (fgets(line, sizeof line, file)) {
        struct graph g;
        assert_int_equal(sscanf(line, "%63s %d %llx %llx", name, &tensors, &expected, &order), 4);
        const struct network *net = build(name, &g);
        char **lines = mem_zero((size_t)g.n_params, sizeof *lines);
        int n = 0;
        for (int i = 0; i < g.n_params; i++) {
            if (g.params[i].constant)
                continue;
            char text[512];
            const struct shape shape = file_shape(net->dialects->layout, &g, i);
            file_name(net, &g, i, text, sizeof text);
            for (int d = 0; d < shape.rank; d++)
                snprintf(text + strlen(text), sizeof text - strlen(text), " %d", (int)shape.dim[d]);
            lines[n++] = mem_format("%s\n", text);
        }
        if (n != tensors)
            fail_msg("%s has %d tensors, the framework's %d", name, n, tensors);
        qsort(lines, (size_t)n, sizeof *lines, by_text);
        uint64_t hash = fnv_start;
        for (int i = 0; i < n; i++) {
            hash = fnv(hash, lines[i]);
            mem_free(lines[i]);
        }
        mem_free(lines);
        if (hash != expected)
            fail_msg("%s: names or shapes are not the framework's", name);
        if (order != 0 && keras_hash(net, &g) != order)
            fail_msg("%s: not Keras's order of layers", name);
        graph_fini(&g);
        rows++;
    }
    fclose(file);
    assert_true(rows >= 30);
}

static void fill(const struct network *net, const struct graph *g, struct params *params)
{
    for (int i = 0; i < g->n_params; i++) {
        char name[512];
        size_t count;
        const struct node *node = &g->nodes[g->params[i].node];
        assert_true(shape_count(g->params[i].shape, &count));
        float *file = mem_alloc(count * sizeof *file), *canonical = mem_alloc(count * sizeof *canonical);
        file_name(net, g, i, name, sizeof name);
        const uint64_t key = fnv(fnv_start, name);
        const bool kernel = g->params[i].shape.rank > 1;
        const bool scale = (node->op == OP_BN && (node->param[0] == i || node->param[3] == i)) ||
                           (node->op == OP_SCALE && node->param[0] == i);
        const float bound = (float)sqrt(6.0 / ((double)count / (double)g->params[i].shape.dim[0]));
        for (size_t k = 0; k < count; k++) {
            const float u = rng_unit(rng_hash(RNG_TEST, key, k, 0));
            file[k] = g->params[i].constant ? 1
                      : kernel              ? (u * 2 - 1) * bound
                      : scale               ? 0.8f + 0.4f * u
                                            : (u * 2 - 1) * 0.1f;
        }
        file_relay(net->dialects->layout, false, FROM_FILE, g, i, file, canonical);
        param_from_canonical(params, i, canonical);
        mem_free(file);
        mem_free(canonical);
    }
}

static float *pictures(int side)
{
    const size_t area = (size_t)side * side;
    const uint64_t key = fnv(fnv_start, "pictures"); // (n, h, w, c) in the frameworks
    float *input = mem_aligned(PICTURES * 3 * area * sizeof *input);
    for (size_t n = 0, k = 0; n < PICTURES; n++)
        for (size_t p = 0; p < area; p++)
            for (size_t c = 0; c < 3; c++, k++)
                input[(n * 3 + c) * area + p] = (rng_unit(rng_hash(RNG_TEST, key, k, 0)) * 2 - 1) * 2;
    return input;
}

static void test_logits(void **state)
{
    char line[LINE];
    FILE *file = golden("logits.txt");
    int rows = 0;
    (void)state;
    while (fgets(line, sizeof line, file)) {
        struct graph g;
        struct params params = {0};
        struct arena *arena = NULL;
        struct plan *plan = NULL;
        char *rest = NULL, *name = strtok_r(line, " ", &rest);
        const struct network *net = build(name, &g);
        float *input = pictures(side_of(name));
        const struct plan_options options = {.batch = PICTURES, .mode = PLAN_INFER};
        assert_int_equal(graph_freeze(&g, g.n_rows, BN_FROZEN), GRAFT_OK);
        assert_int_equal(params_init(&params, &g), GRAFT_OK);
        fill(net, &g, &params);
        assert_int_equal(arena_new(&arena), GRAFT_OK);
        assert_int_equal(plan_build(&g, &params, arena, &options, &plan), GRAFT_OK);
        assert_int_equal(arena_reserve(arena), GRAFT_OK);
        assert_int_equal(plan_run(plan, &(struct run){.input = input}, NULL), GRAFT_OK);
        const float *logits = plan_logits(plan);
        double expected[PICTURES * CLASSES], largest = 0;
        for (int i = 0; i < PICTURES * CLASSES; i++) {
            const char *word = strtok_r(NULL, " \n", &rest);
            assert_non_null(word);
            expected[i] = strtod(word, NULL);
            largest = fmax(largest, fabs(expected[i]));
        }
        for (int i = 0; i < PICTURES * CLASSES; i++) // float32 of another order of summation: 1e-5 was the farthest
            if (!(fabs(logits[i] - expected[i]) <= 1e-4 * largest))
                fail_msg("%s: logit %d is %g, the framework's %g", net->name, i, (double)logits[i], expected[i]);
        plan_free(plan);
        arena_free(arena);
        params_fini(&params);
        graph_fini(&g);
        mem_free(input);
        rows++;
    }
    fclose(file);
    assert_true(rows >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_logits)};
    return cmocka_run_group_tests_name("zoo logits", tests, NULL, NULL);
}
