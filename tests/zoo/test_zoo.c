// zoo/test_zoo.c: every network against the frameworks' own lists of parameters; weight files matched to variants.
// In: golden/zoo/NETWORK.txt, made by tools/ref/make_names.py: a tensor's name and dimensions a line.

#include "base/memory.h"
#include "base/status.h"
#include "zoo/zoo.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifndef GRAFT_SOURCE
#define GRAFT_SOURCE "."
#endif

// Tensors of a list, without values: `data` is one shared block of zeros, or NULL.
static void list_read(const char *network, const void *data, struct tensor_set *set)
{
    char path[4096], line[512];
    const char *folder = getenv("GRAFT_GOLDEN");
    snprintf(path, sizeof path, "%s/zoo/%s.txt", folder ? folder : GRAFT_SOURCE "/tests/golden", network);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    memset(set, 0, sizeof *set);
    while (fgets(line, sizeof line, file)) {
        struct shape shape = {0};
        char *rest = NULL, *name = strtok_r(line, " \n", &rest), *word;
        while ((word = strtok_r(NULL, " \n", &rest)))
            shape.dim[shape.rank++] = strtol(word, NULL, 10);
        assert_int_equal(tensor_set_add(set, name, DTYPE_F32, shape, data), GRAFT_OK);
    }
    fclose(file);
    assert_true(set->count > 0);
}

static void rename_tensor(struct tensor_set *set, size_t at, const char *name)
{
    mem_free(set->items[at].name);
    set->items[at].name = mem_text(name);
}

static size_t find(const struct tensor_set *set, const char *name)
{
    const struct named_tensor *tensor = tensor_find(set, name);
    if (!tensor)
        fail_msg("no tensor '%s'", name);
    return (size_t)(tensor - set->items);
}

static void drop(struct tensor_set *set, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        mem_free(set->items[i].name);
    memmove(&set->items[at], &set->items[at + count], (set->count - at - count) * sizeof *set->items);
    set->count -= count;
}

// Every tensor of the set is a parameter of the graph with its shape, and every parameter is there: once each.
static void check_covers(const struct graph *g, const struct tensor_set *set)
{
    assert_int_equal(set->count, g->n_params);
    for (int i = 0; i < g->n_params; i++) {
        const struct named_tensor *tensor = tensor_find(set, g->params[i].name);
        if (!tensor)
            fail_msg("the framework has no '%s'", g->params[i].name);
        if (!shape_equal(tensor->shape, g->params[i].shape))
            fail_msg("'%s' is %s, the framework's %s", tensor->name, shape_text(g->params[i].shape),
                     shape_text(tensor->shape));
    }
}

static void test_graphs(void **state)
{
    static const struct {
        const char *network;
        size_t parameters;
        double multiply_adds; // counted by hooks on the torchvision and timm modules
        int rows;
    } rows[] = {{"vgg16", 138357544, 15470264320, 16}, {"efficientnet_lite0", 4652008, 385187552, 50}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        struct tensor_set set;
        const struct network *net = zoo_find(rows[i].network), *found = NULL;
        assert_non_null(net);
        assert_int_equal(net->build(net, &g, net->input.size, net->classes, net->dropout), GRAFT_OK);
        assert_int_equal(graph_parameters(&g, false), rows[i].parameters);
        assert_true(graph_multiply_adds(&g) == rows[i].multiply_adds);
        assert_int_equal(g.n_rows, rows[i].rows);
        list_read(rows[i].network, NULL, &set);
        check_covers(&g, &set);
        assert_int_equal(zoo_match(&set, &(struct match_request){0}, &found), GRAFT_OK);
        assert_ptr_equal(found, net);
        tensor_set_free(&set);
        graph_fini(&g);
    }
}

// Each variant at sizes that are not its own.
static void test_sizes(void **state)
{
    static const int sizes[] = {32, 97, 224, 256};
    (void)state;
    for (int i = 0; i < zoo_count(); i++)
        for (size_t k = 0; k < COUNT_OF(sizes); k++) {
            struct graph g;
            const struct network *net = zoo_at(i);
            if (net->build(net, &g, sizes[k], 7, 0.5f) != GRAFT_OK)
                fail_msg("%s at %d: %s", net->name, sizes[k], graft_message());
            assert_int_equal(g.values[g.output].c, 7);
            assert_true(g.values[g.output].flat);
            graph_fini(&g);
        }
}

// The PyPI package's names: its own variant, all of timm's names afterwards.
static void test_pypi(void **state)
{
    struct tensor_set set, timm;
    struct graph g;
    const struct network *net = NULL, *hint = zoo_find("efficientnet_lite0");
    (void)state;
    list_read("efficientnet_lite0.tf", NULL, &set);
    assert_int_equal(tensor_set_add(&set, "_bn0.num_batches_tracked", DTYPE_I64, (struct shape){0}, NULL), GRAFT_OK);
    assert_int_equal(zoo_match(&set, &(struct match_request){.hint = hint}, &net), GRAFT_OK);
    assert_string_equal(net->name, "efficientnet_lite0.tf");
    assert_int_equal(net->build(net, &g, 224, 1000, 0.2f), GRAFT_OK);
    check_covers(&g, &set);
    for (int i = 0; i < g.n_nodes; i++)
        if (g.nodes[i].op == OP_BN)
            assert_true(g.nodes[i].attr.bn.momentum == 0.01f && g.nodes[i].attr.bn.unbiased);
    assert_int_equal(zoo_row_named(net, &g, "_conv_stem"), 1);
    assert_int_equal(zoo_row_named(net, &g, "_blocks.0"), 3);
    assert_int_equal(zoo_row_named(net, &g, "_blocks.1._expand_conv"), 4);
    assert_int_equal(zoo_row_named(net, &g, "blocks.0"), 3);
    assert_int_equal(zoo_row_named(net, &g, "_conv_head"), zoo_row_named(net, &g, "conv_head"));
    assert_int_equal(zoo_row_named(net, &g, "_fc"), g.n_rows);
    assert_int_equal(zoo_row_named(net, &g, "_blocks.16"), -1);
    assert_int_equal(zoo_row_named(net, &g, "block1_conv1"), -1);
    graph_fini(&g);
    // In order, so that no two names are swapped: both lists follow execution.
    list_read("efficientnet_lite0", NULL, &timm);
    for (size_t i = 0; i < timm.count; i++)
        assert_string_equal(set.items[i].name, timm.items[i].name);
    tensor_set_free(&timm);
    tensor_set_free(&set);
}

static float value_of(const struct tensor_set *set, const char *name, size_t at)
{
    return ((const float *)tensor_find(set, name)->data)[at];
}

// Keras's names and layouts, full and without the top; values are traced through the permutations.
static void test_keras(void **state)
{
    enum { O = 4096, C = 512, FC1 = 49 * C * O };
    struct tensor_set set;
    struct graph g;
    const struct network *net = NULL, *hint = zoo_find("vgg16");
    float *zeros = mem_zero(FC1, sizeof *zeros), *conv = mem_zero(3 * 3 * 3 * 64, sizeof *conv),
          *fc1 = mem_zero(FC1, sizeof *fc1);
    (void)state;
    list_read("vgg16.keras", zeros, &set);
    conv[((1 * 3 + 2) * 3 + 0) * 64 + 5] = 7; // row 1, column 2, input 0, output 5
    fc1[((size_t)(3 * 7 + 4) * C + 100) * O + 9] = 8;
    set.items[find(&set, "block1_conv1//block1_conv1/kernel:0")].data = conv;
    set.items[find(&set, "fc1//fc1/kernel:0")].data = fc1;
    assert_int_equal(zoo_match(&set, &(struct match_request){.hint = hint}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16.keras");
    assert_true(net->input.bgr && net->dropout == 0);
    assert_int_equal(net->build(net, &g, 224, 1000, 0), GRAFT_OK);
    check_covers(&g, &set);
    assert_true(value_of(&set, "features.0.weight", ((5 * 3 + 0) * 3 + 1) * 3 + 2) == 7);
    assert_true(value_of(&set, "classifier.0.weight", (size_t)9 * 49 * C + 100 * 49 + 3 * 7 + 4) == 8);
    tensor_set_free(&set);

    assert_int_equal(zoo_row_named(net, &g, "block1_conv1"), 1);
    assert_int_equal(zoo_row_named(net, &g, "block2_pool"), 4);
    assert_int_equal(zoo_row_named(net, &g, "block5_pool"), 13);
    assert_int_equal(zoo_row_named(net, &g, "flatten"), 13);
    assert_int_equal(zoo_row_named(net, &g, "fc1"), 14);
    assert_int_equal(zoo_row_named(net, &g, "predictions"), 16);
    assert_int_equal(zoo_row_named(net, &g, "features.9"), 4); // torchvision's second pool
    assert_int_equal(zoo_row_named(net, &g, "features.30"), 13);
    assert_int_equal(zoo_row_named(net, &g, "features"), 13);
    assert_int_equal(zoo_row_named(net, &g, "block6_pool"), -1);
    graph_fini(&g);

    list_read("vgg16.keras", zeros, &set);
    drop(&set, find(&set, "fc1//fc1/kernel:0"), 6);
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16.keras");
    assert_int_equal(set.count, 26);
    assert_null(tensor_find(&set, "classifier.0.weight"));
    tensor_set_free(&set);
    mem_free(fc1);
    mem_free(conv);
    mem_free(zeros);
}

static void check_refused(struct tensor_set *set, const char *words)
{
    const struct network *net = NULL;
    assert_int_equal(zoo_match(set, &(struct match_request){.hint = zoo_find("vgg16")}, &net), GRAFT_BAD_FILE);
    if (!strstr(graft_message(), words))
        fail_msg("'%s' does not say '%s'", graft_message(), words);
    tensor_set_free(set);
}

static void test_refusals(void **state)
{
    struct tensor_set set;
    const struct network *net = NULL;
    (void)state;
    list_read("vgg16", NULL, &set);
    set.items[find(&set, "features.2.weight")].shape = SHAPE(64, 32, 3, 3);
    check_refused(&set, "'features.2.weight' is (64, 32, 3, 3); vgg16 expects (64, 64, 3, 3)");
    list_read("vgg16", NULL, &set);
    assert_int_equal(tensor_set_add(&set, "features.99.weight", DTYPE_F32, SHAPE(3), NULL), GRAFT_OK);
    check_refused(&set, "'features.99.weight'");
    list_read("vgg16", NULL, &set);
    drop(&set, find(&set, "features.5.bias"), 1);
    check_refused(&set, "'features.5.bias'");
    list_read("vgg16", NULL, &set);
    drop(&set, find(&set, "classifier.3.weight"), 2); // not the end
    check_refused(&set, "'classifier.3.weight'");
    list_read("vgg16", NULL, &set);
    drop(&set, find(&set, "classifier.6.bias"), 1); // half a layer
    check_refused(&set, "'classifier.6.bias'");
    list_read("vgg16", NULL, &set);
    set.items[find(&set, "classifier.6.bias")].shape = SHAPE(10);
    check_refused(&set, "'classifier.6.bias'");
    list_read("efficientnet_lite0", NULL, &set);
    check_refused(&set, "efficientnet_lite0, not vgg16");
    list_read("efficientnet_lite0", NULL, &set);
    for (size_t i = 0; i < set.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "stranger.%zu", i);
        rename_tensor(&set, i, name);
    }
    check_refused(&set, "stranger.0");
    memset(&set, 0, sizeof set);
    check_refused(&set, "");
    // Another number of classes is no error.
    list_read("vgg16", NULL, &set);
    set.items[find(&set, "classifier.6.weight")].shape = SHAPE(37, 4096);
    set.items[find(&set, "classifier.6.bias")].shape = SHAPE(37);
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16");
    tensor_set_free(&set);
}

static void test_names(void **state)
{
    const char *const *names = imagenet_names();
    (void)state;
    assert_null(zoo_find("vgg"));
    assert_string_equal(zoo_nearest("vgg-16"), "vgg16");
    assert_string_equal(zoo_nearest("tf_efficientnet_lite0"), "efficientnet_lite0");
    for (int i = 0; i < zoo_count(); i++) {
        assert_ptr_equal(zoo_find(zoo_at(i)->name), zoo_at(i));
        assert_non_null(zoo_at(i)->files[0]);
    }
    assert_string_equal(names[0], "tench");
    assert_string_equal(names[281], "tabby");
    assert_string_equal(names[967], "espresso");
    assert_string_equal(names[999], "toilet tissue");
    struct input_spec spec = zoo_find("efficientnet_lite0")->input;
    input_scaled(&spec, 112);
    assert_int_equal(spec.size, 112);
    assert_int_equal(spec.resize, 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graphs), cmocka_unit_test(test_sizes),    cmocka_unit_test(test_pypi),
        cmocka_unit_test(test_keras),  cmocka_unit_test(test_refusals), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("zoo", tests, NULL, NULL);
}
