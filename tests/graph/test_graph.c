// graph/test_graph.c: shapes, paddings, freezing, rows and costs of small networks with numbers worked out by hand.

#include "graph/graph.h"
#include "base/status.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_shape(const struct graph *g, int value, int c, int h, int w)
{
    assert_int_equal(g->status, GRAFT_OK);
    assert_int_equal(g->values[value].c, c);
    assert_int_equal(g->values[value].h, h);
    assert_int_equal(g->values[value].w, w);
}

// TensorFlow's "same": out = ceil(n / stride), the odd one at the end (numerics.md, 0).
static void test_same_padding(void **state)
{
    static const struct {
        int n, kernel, stride, before, after, out;
    } rows[] = {{224, 3, 2, 0, 1, 112}, {225, 3, 2, 1, 1, 113}, {224, 7, 2, 2, 3, 112}, {7, 5, 1, 2, 2, 7},
                {14, 5, 2, 1, 2, 7},    {1, 3, 2, 1, 1, 1},     {5, 1, 2, 0, 0, 3}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        graph_init(&g, 3, rows[i].n, rows[i].n);
        const struct conv_attr a = conv_same(&g, 0, 4, rows[i].kernel, rows[i].stride, 1, false);
        assert_int_equal(a.top, rows[i].before);
        assert_int_equal(a.left, rows[i].before);
        assert_int_equal(a.bottom, rows[i].after);
        assert_int_equal(a.right, rows[i].after);
        check_shape(&g, graph_conv(&g, 0, "c", a), 4, rows[i].out, rows[i].out);
        graph_fini(&g);
    }
}

// Outputs of torch.nn.MaxPool2d(kernel, stride, pad, ceil_mode).
static void test_ceil_mode(void **state)
{
    static const struct {
        int n, kernel, stride, pad, ceil, out;
    } rows[] = {{112, 3, 2, 0, 1, 56}, {112, 3, 2, 0, 0, 55}, {7, 2, 2, 0, 1, 4}, {7, 2, 2, 0, 0, 3},
                {112, 3, 2, 1, 0, 56}, {112, 3, 2, 1, 1, 57}, {5, 2, 3, 1, 1, 2}, {5, 3, 4, 1, 1, 2},
                {6, 3, 4, 1, 1, 2},    {2, 3, 2, 0, 1, 1},    {1, 2, 2, 0, 1, 1}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        graph_init(&g, 2, rows[i].n, rows[i].n);
        const int x = graph_maxpool(&g, 0, pool_ceil(&g, 0, rows[i].kernel, rows[i].stride, rows[i].pad, rows[i].ceil));
        check_shape(&g, x, 2, rows[i].out, rows[i].out);
        graph_fini(&g);
    }
}

// Two convolutions with BatchNorm, a joint, a dense layer: rows a, b, head.
static void small(struct graph *g)
{
    const struct bn_attr bn = {1e-3f, 0.1f, true};
    graph_init(g, 3, 8, 8);
    const int a = graph_relu(g, graph_bn(g, graph_conv(g, 0, "a", conv_pad(4, 3, 1, 1, 1, false)), "a_bn", bn));
    const int b = graph_relu6(g, graph_bn(g, graph_conv(g, a, "b.one", conv_pad(4, 3, 1, 1, 4, true)), "b.bn", bn));
    const int both = graph_concat(g, (int[]){graph_add(g, a, b), b}, 2);
    const int flat = graph_dense(g, graph_dropout(g, graph_global_avgpool(g, both), 0.5f), "head", 5, true);
    assert_int_equal(graph_finish(g, flat), GRAFT_OK);
    check_shape(g, both, 8, 8, 8);
    check_shape(g, flat, 5, 1, 1);
    assert_true(g->values[flat].flat);
}

static void test_rows_and_cost(void **state)
{
    struct graph g;
    (void)state;
    small(&g);
    assert_int_equal(g.n_rows, 3);
    assert_string_equal(graph_row_name(&g, 0), "a");
    assert_string_equal(graph_row_name(&g, 1), "b.one");
    assert_string_equal(graph_row_name(&g, 2), "head");
    assert_null(graph_row_name(&g, 3));
    assert_int_equal(graph_row_named(&g, "a"), 1);
    assert_int_equal(graph_row_named(&g, "a_bn"), 1);
    assert_int_equal(graph_row_named(&g, "b"), 2);
    assert_int_equal(graph_row_named(&g, "b.one"), 2);
    assert_int_equal(graph_row_named(&g, "b.o"), -1);
    assert_int_equal(graph_row_named(&g, ""), -1);
    // a: 4*3*9 + 8;  b: 4*1*9 + 4 + 8;  head: 5*8 + 5
    assert_int_equal(graph_parameters(&g, false), 108 + 8 + 40 + 8 + 45);
    assert_true(graph_multiply_adds(&g) == 64 * 108 + 64 * 36 + 40);
    graph_fini(&g);
}

// A scale belongs to the row of the convolution before it; an even window across channels has no middle.
static void test_scale_and_lrn(void **state)
{
    struct graph g;
    (void)state;
    graph_init(&g, 3, 8, 8);
    int v = graph_scale(&g, graph_conv(&g, 0, "a", conv_pad(4, 3, 1, 1, 1, false)), "a_scale");
    v = graph_lrn(&g, v, (struct lrn_attr){5, 1e-4f, 0.75f, 1});
    check_shape(&g, v, 4, 8, 8);
    assert_int_equal(graph_finish(&g, graph_dense(&g, v, "head", 5, true)), GRAFT_OK);
    assert_int_equal(g.n_rows, 2);
    assert_string_equal(graph_row_name(&g, 0), "a");
    assert_int_equal(graph_row_named(&g, "a_scale"), 1);
    assert_int_equal(graph_parameters(&g, false), 108 + 8 + 5 * 256 + 5);
    assert_int_equal(graph_freeze(&g, 1, BN_TRAIN), GRAFT_OK);
    assert_int_equal(graph_parameters(&g, true), 5 * 256 + 5);
    graph_fini(&g);
    graph_init(&g, 3, 8, 8);
    assert_int_equal(graph_finish(&g, graph_lrn(&g, 0, (struct lrn_attr){4, 1e-4f, 0.75f, 1})), GRAFT_FAILED);
    assert_non_null(strstr(graft_message(), "odd"));
    graph_fini(&g);
}

// Two heads: what leads only to the one of weight 0 does not train, and its work counts only where it predicts.
static void test_outputs(void **state)
{
    struct graph g;
    (void)state;
    graph_init(&g, 3, 8, 8);
    const int a = graph_conv(&g, 0, "a", conv_pad(4, 3, 1, 1, 1, false));
    const int side = graph_conv(&g, a, "side", conv_pad(2, 1, 1, 0, 1, false));
    graph_output(&g, graph_dense(&g, graph_global_avgpool(&g, side), "aux", 5, true), 0, false);
    assert_int_equal(graph_finish(&g, graph_dense(&g, graph_global_avgpool(&g, a), "head", 5, true)), GRAFT_OK);
    assert_int_equal(g.n_outputs, 2);
    assert_int_equal(g.outputs[1].value, g.output);
    assert_int_equal(graph_head_row(&g), 2); // rows a, side | aux, head
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(graph_parameters(&g, true), 108 + 25);
    assert_int_equal(graph_parameters(&g, false), 108 + 8 + 15 + 25);
    assert_true(graph_multiply_adds(&g) == 64 * 108 + 20);
    graph_outputs_set(&g, (const float[]){0.5f}, false);
    assert_int_equal(graph_freeze(&g, 2, BN_TRAIN), GRAFT_OK);
    assert_int_equal(graph_parameters(&g, true), 15 + 25);
    assert_true(graph_multiply_adds(&g) == 64 * 108 + 20);
    g.outputs[0].predicts = true;
    graph_outputs_set(&g, NULL, false);
    assert_true(graph_multiply_adds(&g) == 64 * 108 + 64 * 8 + 10 + 20);
    graph_outputs_set(&g, NULL, true);
    assert_true(graph_multiply_adds(&g) == 64 * 108 + 20);
    graph_fini(&g);
}

static bool trains(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->n_params; i++)
        if (strcmp(g->params[i].name, name) == 0)
            return g->params[i].trains;
    fail_msg("no parameter '%s'", name);
    return false;
}

static void test_freeze(void **state)
{
    struct graph g;
    (void)state;
    small(&g);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(graph_parameters(&g, true), graph_parameters(&g, false));
    assert_int_equal(graph_freeze(&g, 1, BN_TRAIN), GRAFT_OK);
    assert_false(trains(&g, "a.weight"));
    assert_false(trains(&g, "a_bn.weight"));
    assert_true(trains(&g, "b.one.weight"));
    assert_true(trains(&g, "b.bn.bias"));
    assert_false(trains(&g, "b.bn.running_mean"));
    assert_int_equal(graph_freeze(&g, 1, BN_STATS), GRAFT_OK);
    assert_true(trains(&g, "b.bn.weight"));
    assert_int_equal(graph_freeze(&g, 0, BN_FROZEN), GRAFT_OK);
    assert_true(trains(&g, "a.weight"));
    assert_false(trains(&g, "a_bn.weight"));
    for (int i = 0; i < g.n_nodes; i++)
        assert_int_equal(g.nodes[i].trains, g.nodes[i].op == OP_CONV || g.nodes[i].op == OP_DENSE);
    assert_int_equal(graph_freeze(&g, 3, BN_TRAIN), GRAFT_OK);
    assert_int_equal(graph_parameters(&g, true), 0);
    assert_int_equal(graph_freeze(&g, 4, BN_TRAIN), GRAFT_BAD_OPTION);
    graph_fini(&g);
}

// A BatchNorm without gamma keeps one of ones, which is no parameter of the network's and never trains.
static void test_unscaled(void **state)
{
    struct graph g;
    (void)state;
    graph_init(&g, 3, 8, 8);
    const int v = graph_bn(&g, graph_conv(&g, 0, "c", conv_pad(4, 1, 1, 0, 1, false)), "n",
                           (struct bn_attr){.epsilon = 1e-3f, .unscaled = true});
    assert_int_equal(graph_finish(&g, graph_dense(&g, graph_global_avgpool(&g, v), "d", 2, true)), GRAFT_OK);
    assert_int_equal(graph_parameters(&g, false), 12 + 4 + 8 + 2); // kernel, beta, dense
    for (int frozen = 0; frozen <= 1; frozen++) {
        assert_int_equal(graph_freeze(&g, frozen, BN_TRAIN), GRAFT_OK);
        for (int i = 0; i < g.n_params; i++) {
            const bool gamma = strcmp(g.params[i].name, "n.weight") == 0,
                       beta = strcmp(g.params[i].name, "n.bias") == 0;
            assert_int_equal(g.params[i].constant, gamma);
            assert_true(!gamma || !g.params[i].trains);
            assert_true(!beta || g.params[i].trains == !frozen);
        }
    }
    graph_fini(&g);
}

// The first failure stays, names its layer, and later calls do nothing.
static void test_sticky(void **state)
{
    struct graph g;
    (void)state;
    graph_init(&g, 3, 4, 4);
    int x = graph_conv(&g, 0, "tall", conv_pad(4, 9, 1, 0, 1, false));
    x = graph_dense(&g, graph_relu(&g, x), "head", 0, true);
    assert_int_equal(graph_finish(&g, x), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "tall"));
    graph_fini(&g);
    graph_init(&g, 3, 4, 4);
    x = graph_conv(&g, 0, "groups", conv_pad(4, 1, 1, 0, 2, false));
    assert_int_equal(graph_finish(&g, x), GRAFT_FAILED);
    graph_fini(&g);
    graph_init(&g, 3, 4, 4);
    x = graph_add(&g, 0, graph_maxpool(&g, 0, pool_ceil(&g, 0, 2, 2, 0, false)));
    assert_int_equal(graph_finish(&g, x), GRAFT_FAILED);
    graph_fini(&g);
    graph_init(&g, 3, 4, 4);
    x = graph_dense(&g, 0, "a", 2, false);
    x = graph_concat(&g, (int[]){x, x}, 2);
    assert_int_equal(graph_finish(&g, x), GRAFT_FAILED);
    graph_fini(&g);
    graph_init(&g, 0, 4, 4);
    assert_int_equal(graph_finish(&g, 0), GRAFT_BAD_OPTION);
    graph_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_padding), cmocka_unit_test(test_ceil_mode), cmocka_unit_test(test_rows_and_cost),
        cmocka_unit_test(test_scale_and_lrn), cmocka_unit_test(test_outputs), cmocka_unit_test(test_freeze),
        cmocka_unit_test(test_unscaled), cmocka_unit_test(test_sticky),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
