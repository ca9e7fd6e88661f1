// zoo/test_match.c: weight files matched to variants: every dialect of every network, by place where a file has no
// names, wrapped, of other widths and maps, with another head, by Theano; what does not fit is told whole.

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

// Tensors as a file of that network's dialect would hold them, without values (`zeros` for layouts that are re-laid).
static void file_of(const char *network, int dialect, const void *zeros, struct tensor_set *set)
{
    struct graph g;
    const struct network *net = zoo_find(network);
    assert_int_equal(net->build(net, &g, net->input.size, net->classes, net->dropout), GRAFT_OK);
    memset(set, 0, sizeof *set);
    for (int i = 0; i < g.n_nodes; i++)
        for (int k = 0; k < g.nodes[i].n_params; k++) {
            char layer[256], name[512];
            const struct dialect *d = &net->dialects[dialect];
            const int param = g.nodes[i].param[k];
            assert_true(dialect_layer(d, net, &g, i, layer, sizeof layer));
            if (g.params[param].constant)
                continue;
            if (d->layout == FILE_TORCH)
                snprintf(name, sizeof name, "%s%s", layer, strrchr(g.params[param].name, '.'));
            else
                snprintf(name, sizeof name, "%s//anything_%d", layer, k);
            assert_int_equal(tensor_set_add(set, name, DTYPE_F32, file_shape(d->layout, &g, param), zeros), GRAFT_OK);
        }
    graph_fini(&g);
}

static void check_found(struct tensor_set *set, const struct match_request *request, const char *network)
{
    const struct network *net = NULL;
    struct graph g;
    if (zoo_match(set, request, &net) != GRAFT_OK)
        fail_msg("%s: %s", network, graft_message());
    assert_string_equal(net->name, network);
    assert_int_equal(net->build(net, &g, net->input.size, net->classes, net->dropout), GRAFT_OK);
    list_covers(&g, set);
    graph_fini(&g);
    tensor_set_free(set);
}

// Every row in each of its dialects, with its published file's name.
static void test_dialects(void **state)
{
    enum { MOST = 4096 * 25088 };
    const float *zeros = mem_zero(MOST, sizeof *zeros);
    (void)state;
    assert_non_null(zeros);
    for (int i = 0; i < zoo_count(); i++)
        for (int d = 0; zoo_at(i)->dialects[d].title; d++) {
            struct tensor_set set;
            file_of(zoo_at(i)->name, d, zeros, &set);
            check_found(&set, &(struct match_request){.path = zoo_at(i)->files[0]}, zoo_at(i)->name);
        }
    mem_free((void *)zeros);
}

// Keras's files without names: by the order of a class's layers, or of all.
static void test_places(void **state)
{
    static const char *const networks[] = {"resnet50.keras", "densenet121.keras", "mobilenet_v2.keras", "vgg16.keras",
                                            "inception_v3.keras", "inception_v3.keras1", "inception_v4.keras"};
    enum { MOST = 4096 * 25088 };
    const float *zeros = mem_zero(MOST, sizeof *zeros);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(networks); i++)
        for (int form = 0; form < 3; form++) {
            struct tensor_set set;
            struct graph g;
            const struct network *net = zoo_find(networks[i]);
            int seen[OP_COUNT][2] = {{0}}, count, order[512];
            assert_int_equal(net->build(net, &g, net->input.size, net->classes, net->dropout), GRAFT_OK);
            assert_int_equal(keras_order(&g, order, &count), GRAFT_OK);
            memset(&set, 0, sizeof set);
            for (int n = 0; n < count; n++) {
                static const char *const classes[OP_COUNT] = {[OP_CONV] = "conv2d", [OP_BN] = "batch_normalization",
                                                              [OP_DENSE] = "dense"};
                const struct node *node = &g.nodes[order[n]];
                const bool depthwise = node->op == OP_CONV && node->attr.conv.groups > 1;
                char layer[64];
                if (form == 0)
                    snprintf(layer, sizeof layer, "%s@%d", depthwise ? "depthwise_conv2d" : classes[node->op],
                             seen[node->op][depthwise]++);
                else if (form == 1)
                    snprintf(layer, sizeof layer, "layer@%d", n);
                else
                    snprintf(layer, sizeof layer, "somebody's %d", n);
                for (int k = 0; k < node->n_params; k++) {
                    char name[96];
                    if (g.params[node->param[k]].constant)
                        continue;
                    snprintf(name, sizeof name, "%s//%d", layer, k);
                    assert_int_equal(
                        tensor_set_add(&set, name, DTYPE_F32, file_shape(FILE_KERAS, &g, node->param[k]), zeros),
                        GRAFT_OK);
                }
            }
            graph_fini(&g);
            // The base name stands for its variants: Keras's order is no reason to take torchvision's.
            char base[32];
            snprintf(base, sizeof base, "%.*s", (int)strcspn(net->name, "."), net->name);
            check_found(&set, &(struct match_request){.hint = zoo_find(base), .path = net->files[0]}, net->name);
        }
    mem_free((void *)zeros);
}

// The same tensors, two networks: the person or the file's name decides; else the message names both.
static void test_told_apart(void **state)
{
    struct tensor_set set;
    const struct network *net = NULL, *lite0 = zoo_find("efficientnet_lite0"), *ra = zoo_find("efficientnet_lite0.ra");
    (void)state;
    file_of("efficientnet_lite0", 0, NULL, &set);
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "efficientnet_lite0 (TensorFlow's padding"));
    assert_non_null(strstr(graft_message(), "efficientnet_lite0.ra (symmetric padding"));
    check_found(&set, &(struct match_request){.hint = lite0, .path = "best.pth"}, "efficientnet_lite0");
    file_of("efficientnet_lite0", 0, NULL, &set);
    check_found(&set, &(struct match_request){.hint = lite0, .path = "x/efficientnet_lite0_ra-37913777.pth"},
                "efficientnet_lite0.ra");
    file_of("efficientnet_lite0", 0, NULL, &set);
    check_found(&set, &(struct match_request){.hint = ra, .path = "tf_efficientnet_lite0-0aa007d2.pth"},
                "efficientnet_lite0.ra");
    file_of("efficientnet_lite0", 0, NULL, &set);
    check_found(&set, &(struct match_request){.path = "tf_efficientnet_lite0-0aa007d2.pth"}, "efficientnet_lite0");
    file_of("efficientnet_lite0", 0, NULL, &set); // as graft's own file of that variant would say
    check_found(&set, &(struct match_request){.hint = zoo_find("efficientnet_lite0.tf"), .exact = true},
                "efficientnet_lite0.tf");
}

static void put_before(struct tensor_set *set, const char *prefix)
{
    for (size_t i = 0; i < set->count; i++) {
        char *name = mem_format("%s%s", prefix, set->items[i].name);
        mem_free(set->items[i].name);
        set->items[i].name = name;
    }
}

static void test_wrappers(void **state)
{
    struct tensor_set set;
    (void)state;
    file_of("resnet18", 0, NULL, &set);
    put_before(&set, "module._orig_mod.");
    check_found(&set, &(struct match_request){0}, "resnet18");
    file_of("resnet50", 0, NULL, &set); // its names and shapes are among those of resnet101
    put_before(&set, "model.");
    check_found(&set, &(struct match_request){0}, "resnet50");
}

// Trained on pictures of 64 x 64: the first dense layer sees a map of 2 x 2.
static void test_other_map(void **state)
{
    struct tensor_set set;
    const struct network *net = NULL;
    float *fc1 = mem_zero(4 * 512 * 4096, sizeof *fc1), *zeros = mem_zero(4096 * 4096, sizeof *zeros);
    (void)state;
    file_of("vgg16.keras", 0, zeros, &set);
    fc1[((size_t)(1 * 2 + 0) * 512 + 100) * 4096 + 9] = 8; // row 1, column 0, channel 100, unit 9
    set.items[list_find(&set, "fc1//anything_0")].shape = SHAPE(4 * 512, 4096);
    set.items[list_find(&set, "fc1//anything_0")].data = fc1;
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16.keras");
    assert_true(list_value(&set, "classifier.0.weight", (size_t)9 * 4 * 512 + 100 * 4 + 2) == 8);
    tensor_set_free(&set);
    file_of("vgg16", 0, NULL, &set);
    set.items[list_find(&set, "classifier.0.weight")].shape = SHAPE(4096, 4 * 512 + 1);
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_BAD_FILE);
    tensor_set_free(&set);
    mem_free(fc1);
    mem_free(zeros);
}

// Any width: by name, and by the shapes in a file.
static void test_widths(void **state)
{
    struct tensor_set set;
    const struct network *net = NULL;
    (void)state;
    assert_null(zoo_find("mobilenet_v2@9"));
    assert_null(zoo_find("mobilenet_v2@0.5x"));
    assert_null(zoo_find("resnet18@0.5"));
    assert_ptr_equal(zoo_find("mobilenet_v2@0.6"), zoo_find("mobilenet_v2@0.60"));
    assert_ptr_equal(zoo_find("mobilenet_v2.keras@0.350"), zoo_find("mobilenet_v2.keras@0.35"));
    assert_true(zoo_find("mobilenet_v2.keras@0.35")->files[0] != NULL);
    file_of("mobilenet_v2@0.6", 0, NULL, &set);
    check_found(&set, &(struct match_request){.hint = zoo_find("mobilenet_v2")}, "mobilenet_v2@0.6");
    file_of("mobilenet_v2@0.6", 0, NULL, &set);
    check_found(&set, &(struct match_request){.hint = zoo_find("mobilenet_v2@0.6"), .exact = true}, "mobilenet_v2@0.6");
    file_of("mobilenet_v2@0.6", 0, NULL, &set);
    set.items[0].shape.dim[0]++; // of no width
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "mobilenet_v2@0.6"));
    tensor_set_free(&set);
}

// All that is wrong is counted, not only the first.
static void test_complaints(void **state)
{
    struct tensor_set set;
    const struct network *net = NULL;
    (void)state;
    file_of("resnet18", 0, NULL, &set);
    list_rename(&set, list_find(&set, "layer1.0.bn1.weight"), "layer1.0.gn1.weight");
    list_rename(&set, list_find(&set, "layer2.0.conv1.weight"), "layer2.0.conw.weight");
    set.items[list_find(&set, "conv1.weight")].shape = SHAPE(64, 1, 7, 7);
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_BAD_FILE);
    static const char *const words[] = {"resnet18", "missing: 2 ('layer1.0.bn1.weight'", "'layer2.0.conv1.weight'",
        "without a place in it: 2", "'layer2.0.conw.weight'", "another shape: 1", "'conv1.weight' is (64, 1, 7, 7)"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (!strstr(graft_message(), words[i]))
            fail_msg("'%s' does not say '%s'", graft_message(), words[i]);
    tensor_set_free(&set);
}

// A classifier under another name at the end, with its own number of classes.
static void test_other_head(void **state)
{
    float zeros[1024 * 7] = {0};
    struct tensor_set set;
    const struct network *net = NULL;
    (void)state;
    file_of("densenet121", 0, NULL, &set);
    set.items[list_find(&set, "classifier.weight")].shape = SHAPE(7, 1024);
    set.items[list_find(&set, "classifier.bias")].shape = SHAPE(7);
    list_rename(&set, list_find(&set, "classifier.weight"), "head.weight");
    list_rename(&set, list_find(&set, "classifier.bias"), "head.bias");
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_OK);
    assert_string_equal(net->name, "densenet121");
    assert_int_equal(tensor_find(&set, "classifier.weight")->shape.dim[0], 7);
    tensor_set_free(&set);

    file_of("densenet121.keras", 0, zeros, &set); // only the head is re-laid: the rest is gone
    list_drop(&set, 0, set.count - 2);
    set.items[0].shape = SHAPE(1024, 7);
    set.items[1].shape = SHAPE(7);
    list_rename(&set, 0, "dense_3//kernel");
    list_rename(&set, 1, "dense_3//bias");
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_BAD_FILE);
    tensor_set_free(&set);
}

// Theano's kernels are turned, its dense rows are in c, h, w order.
static void test_theano(void **state)
{
    enum { O = 4096, C = 512, FC1 = 49 * C * O };
    struct tensor_set set;
    const struct network *net = NULL;
    float *zeros = mem_zero(FC1, sizeof *zeros), *conv = mem_zero(64 * 3 * 3 * 3, sizeof *conv),
          *fc1 = mem_zero(FC1, sizeof *fc1);
    (void)state;
    file_of("vgg16.keras", 1, zeros, &set);
    conv[((5 * 3 + 0) * 3 + 0) * 3 + 1] = 7; // output 5, input 0, row 0, column 1
    fc1[(size_t)((100 * 7 + 3) * 7 + 4) * O + 9] = 8;
    set.items[0].data = conv;
    set.items[26].data = fc1;
    assert_int_equal(zoo_match(&set, &(struct match_request){0}, &net), GRAFT_OK);
    assert_string_equal(net->name, "vgg16.keras");
    assert_true(list_value(&set, "features.0.weight", ((5 * 3 + 0) * 3 + 2) * 3 + 1) == 7);
    assert_true(list_value(&set, "classifier.0.weight", (size_t)9 * 49 * C + 100 * 49 + 3 * 7 + 4) == 8);
    tensor_set_free(&set);
    file_of("vgg16.keras", 1, zeros, &set); // said not to be turned
    set.items[0].data = conv;
    assert_int_equal(zoo_match(&set, &(struct match_request){.path = "vgg16_th_dim_ordering_tf_kernels.h5"}, &net),
                     GRAFT_OK);
    assert_true(list_value(&set, "features.0.weight", ((5 * 3 + 0) * 3 + 0) * 3 + 1) == 7);
    tensor_set_free(&set);
    file_of("vgg16.keras", 1, zeros, &set); // the person knows better than the name
    set.items[0].data = conv;
    assert_int_equal(zoo_match(&set, &(struct match_request){.path = "vgg16_th_dim_ordering_tf_kernels.h5",
                                                             .kernels = KERNELS_TH}, &net), GRAFT_OK);
    assert_true(list_value(&set, "features.0.weight", ((5 * 3 + 0) * 3 + 2) * 3 + 1) == 7);
    tensor_set_free(&set);
    mem_free(fc1);
    mem_free(conv);
    mem_free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialects),   cmocka_unit_test(test_places),     cmocka_unit_test(test_told_apart),
        cmocka_unit_test(test_wrappers),   cmocka_unit_test(test_other_map),  cmocka_unit_test(test_widths),
        cmocka_unit_test(test_complaints), cmocka_unit_test(test_other_head), cmocka_unit_test(test_theano),
    };
    return cmocka_run_group_tests_name("match", tests, NULL, NULL);
}
