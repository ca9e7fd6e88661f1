// zoo/test_zoo.c: every network against the frameworks' own lists of parameters, published totals, names of layers;
// what does not fit is refused by name.

#include "lists.h"
#include "base/memory.h"
#include "base/status.h"
#include "zoo/families.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Parameters as published (numerics.md 1.1 and torchvision's tables; running statistics left out); multiply-adds as
// torchvision states them (_ops, in units of 1e9, three decimals) and MobileNetV2's authors (in units of 1e6), or 0
// where nobody does: Keras states none, EfficientNet-Lite's authors count other operations too.  Every row of the zoo
// has its line.
static void test_graphs(void **state)
{
    static const struct {
        const char *network;
        size_t parameters;
        double giga;
    } rows[] = {{"vgg11", 132863336, 7.609},
                {"vgg13", 133047848, 11.308},
                {"vgg16", 138357544, 15.470},
                {"vgg19", 143667240, 19.632},
                {"vgg16.keras", 138357544, 15.470},
                {"vgg19.keras", 143667240, 19.632},
                {"resnet18", 11689512, 1.814},
                {"resnet34", 21797672, 3.664},
                {"resnet50", 25557032, 4.089},
                {"resnet101", 44549160, 7.801},
                {"resnet152", 60192808, 11.514},
                {"resnet50.keras", 25583592, 0},
                {"resnet101.keras", 44601832, 0},
                {"resnet152.keras", 60268520, 0},
                {"resnet50.keras1", 25583592, 0},
                {"densenet121", 7978856, 2.834},
                {"densenet161", 28681000, 7.728},
                {"densenet169", 14149480, 3.360},
                {"densenet121.keras", 7978856, 0},
                {"densenet169.keras", 14149480, 0},
                {"mobilenet_v2", 3504872, 0.301},
                {"mobilenet_v2.keras", 3504872, 0},
                {"efficientnet_lite0", 4652008, 0},
                {"efficientnet_lite1", 5416680, 0},
                {"efficientnet_lite2", 6092072, 0},
                {"efficientnet_lite3", 8197096, 0},
                {"efficientnet_lite4", 13006568, 0},
                {"efficientnet_lite0.ra", 4652008, 0},
                {"resnet101.cf", 44759848 - 105344, 0},
                {"resnet152.cf", 60495656 - 151424, 0},
                {"densenet121.cf", 8146152 - 83648, 0},
                {"densenet161.cf", 29120872 - 219936, 0},
                {"densenet169.cf", 14466280 - 158400, 0},
                {"googlenet", 13378280, 0},
                {"googlenet.tv", 13004888, 1.498},
                {"googlenet.tv.noaux", 6624904, 1.498},
                {"inception_v3", 27161264, 5.713},
                {"inception_v3.noaux", 23834568, 5.713},
                {"inception_v4", 42679816, 0},
                {"inception_v3.keras", 23817352, 0},
                {"inception_v3.keras1", 23660968 - 34240, 0},
                {"inception_v4.keras", 42744521 - 63168, 0},
                {"vgg16.cf", 138357544, 15.470},
                {"vgg19.cf", 143667240, 19.632},
                {"efficientnet_lite0.tf", 4652008, 0},
                {"efficientnet_lite1.tf", 5416680, 0},
                {"efficientnet_lite2.tf", 6092072, 0},
                {"mobilenet_v2.keras@0.35", 1677128, 0.059},
                {"mobilenet_v2.keras@0.5", 1968680, 0.097},
                {"mobilenet_v2.keras@0.75", 2636424, 0.209},
                {"mobilenet_v2.keras@1.3", 5386792, 0.509},
                {"mobilenet_v2.keras@1.4", 6108776, 0.582}};
    (void)state;
    for (int i = 0; i < zoo_count(); i++) {
        size_t k = 0;
        while (k < COUNT_OF(rows) && strcmp(rows[k].network, zoo_at(i)->name) != 0)
            k++;
        if (k == COUNT_OF(rows))
            fail_msg("%s has no line here", zoo_at(i)->name);
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        const struct network *net = zoo_find(rows[i].network);
        assert_non_null(net);
        assert_int_equal(net->build(net, &g, net->input.size, net->classes, net->dropout), GRAFT_OK);
        if (graph_parameters(&g, false) != rows[i].parameters)
            fail_msg("%s has %zu parameters", net->name, graph_parameters(&g, false));
        if (rows[i].giga > 0 && fabs(graph_multiply_adds(&g) / 1e9 - rows[i].giga) > 0.0006) // rounded, or cut
            fail_msg("%s has %.6f billion multiply-adds", net->name, graph_multiply_adds(&g) / 1e9);
        graph_fini(&g);
    }
}

// The frameworks' own lists, whole.
static void test_lists(void **state)
{
    static const struct { const char *network, *path; int rows; } rows[] = {
        {"vgg16", NULL, 16}, {"efficientnet_lite0", "tf_efficientnet_lite0-0aa007d2.pth", 50}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        struct tensor_set set;
        const struct network *net = zoo_find(rows[i].network), *found = NULL;
        assert_int_equal(net->build(net, &g, net->input.size, net->classes, net->dropout), GRAFT_OK);
        assert_int_equal(g.n_rows, rows[i].rows);
        list_read(rows[i].network, NULL, &set);
        list_covers(&g, &set);
        assert_int_equal(zoo_match(&set, &(struct match_request){.path = rows[i].path}, &found), GRAFT_OK);
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
            if (sizes[k] < 75 && strncmp(net->name, "inception", 9) == 0) { // the frameworks' least
                assert_int_equal(net->build(net, &g, sizes[k], 7, 0.5f), GRAFT_BAD_OPTION);
                graph_fini(&g);
                continue;
            }
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
    list_covers(&g, &set);
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
    set.items[list_find(&set, "block1_conv1//block1_conv1/kernel:0")].data = conv;
    set.items[list_find(&set, "fc1//fc1/kernel:0")].data = fc1;
    assert_int_equal(zoo_match(&set, &(struct match_request){.hint = hint}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16.keras");
    assert_true(net->input.bgr && net->dropout == 0);
    assert_int_equal(net->build(net, &g, 224, 1000, 0), GRAFT_OK);
    list_covers(&g, &set);
    assert_true(list_value(&set, "features.0.weight", ((5 * 3 + 0) * 3 + 1) * 3 + 2) == 7);
    assert_true(list_value(&set, "classifier.0.weight", (size_t)9 * 49 * C + 100 * 49 + 3 * 7 + 4) == 8);
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
    list_drop(&set, list_find(&set, "fc1//fc1/kernel:0"), 6);
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
    set.items[list_find(&set, "features.2.weight")].shape = SHAPE(64, 32, 3, 3);
    check_refused(&set, "'features.2.weight' is (64, 32, 3, 3); vgg16 expects (64, 64, 3, 3)");
    list_read("vgg16", NULL, &set);
    assert_int_equal(tensor_set_add(&set, "features.99.weight", DTYPE_F32, SHAPE(3), NULL), GRAFT_OK);
    check_refused(&set, "'features.99.weight'");
    list_read("vgg16", NULL, &set);
    list_drop(&set, list_find(&set, "features.5.bias"), 1);
    check_refused(&set, "'features.5.bias'");
    list_read("vgg16", NULL, &set);
    list_drop(&set, list_find(&set, "classifier.3.weight"), 2); // not the end
    check_refused(&set, "'classifier.3.weight'");
    list_read("vgg16", NULL, &set);
    list_drop(&set, list_find(&set, "classifier.6.bias"), 1); // half a layer
    check_refused(&set, "'classifier.6.bias'");
    list_read("vgg16", NULL, &set);
    set.items[list_find(&set, "classifier.6.bias")].shape = SHAPE(10);
    check_refused(&set, "'classifier.6.bias'");
    list_read("efficientnet_lite0", NULL, &set);
    check_refused(&set, "efficientnet_lite0, not vgg16");
    list_read("efficientnet_lite0", NULL, &set);
    for (size_t i = 0; i < set.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "stranger.%zu", i);
        list_rename(&set, i, name);
    }
    check_refused(&set, "stranger.0");
    memset(&set, 0, sizeof set);
    check_refused(&set, "");
    // Another number of classes is no error.
    list_read("vgg16", NULL, &set);
    set.items[list_find(&set, "classifier.6.weight")].shape = SHAPE(37, 4096);
    set.items[list_find(&set, "classifier.6.bias")].shape = SHAPE(37);
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16");
    tensor_set_free(&set);
}

// The frameworks' names of layers, with and without weights, of other variants too.
static void test_rows(void **state)
{
    static const struct { const char *network, *layer; int rows; } rows[] = {{"resnet50.keras", "conv1_conv", 1},
                {"resnet50.keras", "conv1_bn", 1},
                {"resnet50.keras", "pool1_pool", 1},
                {"resnet50.keras", "conv2_block1_0_conv", 5},
                {"resnet50.keras", "conv2_block1", 5},
                {"resnet50.keras", "conv2_block1_out", 5},
                {"resnet50.keras", "conv2_block2_out", 8},
                {"resnet50.keras", "avg_pool", 53},
                {"resnet50.keras", "layer1", 11},
                {"resnet50", "conv2_block3_out", 11},
                {"resnet50", "res2a_branch2a", 2},
                {"resnet50.keras", "predictions", 54},
                {"resnet50.keras", "conv2_block9_out", -1},
                {"densenet121.keras", "pool1", 1},
                {"densenet121.keras", "conv2_block6_2_conv", 13},
                {"densenet121.keras", "pool2_pool", 14},
                {"densenet121", "features.transition1", 14},
                {"mobilenet_v2.keras", "expanded_conv", 3},
                {"mobilenet_v2.keras", "block_1", 6},
                {"mobilenet_v2", "features.2", 6},
                {"vgg19.keras", "block3_conv4", 8},
                {"vgg19", "block5_pool", 16}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        const struct network *net = zoo_find(rows[i].network);
        assert_int_equal(net->build(net, &g, 224, 1000, 0), GRAFT_OK);
        if (zoo_row_named(net, &g, rows[i].layer) != rows[i].rows)
            fail_msg("%s, '%s': %d rows", net->name, rows[i].layer, zoo_row_named(net, &g, rows[i].layer));
        graph_fini(&g);
    }
}

static void test_names(void **state)
{
    const char *const *names = imagenet_names(1000);
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
        cmocka_unit_test(test_graphs), cmocka_unit_test(test_lists),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_pypi),   cmocka_unit_test(test_keras),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests_name("zoo", tests, NULL, NULL);
}
