// tests/exec/nets.c: see nets.h.

#include "nets.h"
#include "bench.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

const struct bn_attr BN = {.epsilon = 1e-3f, .momentum = 0.1f, .unbiased = true};

void net_finish(struct graph *g, int value)
{
    const int logits = graph_dense(g, value, "head", CLASSES, true);
    if (graph_finish(g, logits) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

void make_conv(struct graph *g) // asymmetric padding, bias, 5x3 kernel, strides that differ, channel tails
{
    graph_init(g, 3, 11, 9);
    int v = graph_conv(g, 0, "a", (struct conv_attr){20, 3, 3, 2, 2, 0, 0, 1, 1, 1, true});
    v = graph_relu(g, v);
    v = graph_conv(g, v, "b", (struct conv_attr){24, 5, 3, 1, 2, 2, 1, 2, 0, 1, false});
    v = graph_bn(g, v, "bn", BN);
    v = graph_relu6(g, v);
    v = graph_conv(g, v, "c", (struct conv_attr){33, 1, 1, 1, 1, 0, 0, 0, 0, 1, true});
    net_finish(g, graph_global_avgpool(g, v));
}

void make_depthwise(struct graph *g) // expand, depthwise 3 and 5 with strides, project, residual add
{
    graph_init(g, 3, 12, 12);
    int v = graph_conv(g, 0, "stem", conv_same(g, 0, 16, 3, 2, 1, false));
    v = graph_relu6(g, graph_bn(g, v, "bn0", BN));
    int x = graph_relu6(g, graph_bn(g, graph_conv(g, v, "pw", conv_pad(40, 1, 1, 0, 1, false)), "bn1", BN));
    x = graph_relu6(g, graph_bn(g, graph_conv(g, x, "dw", conv_same(g, x, 40, 5, 1, 40, false)), "bn2", BN));
    x = graph_bn(g, graph_conv(g, x, "pwl", conv_pad(16, 1, 1, 0, 1, false)), "bn3", BN);
    v = graph_add(g, x, v);
    v = graph_bn(g, graph_conv(g, v, "dw2", conv_same(g, v, 16, 3, 2, 16, false)), "bn4", BN);
    net_finish(g, graph_global_avgpool(g, v));
}

void
make_scale(struct graph *g) // scales after BatchNorm, with and without an activation, and one that stands alone
{
    graph_init(g, 3, 7, 9);
    int v = graph_conv(g, 0, "a", conv_pad(20, 3, 1, 1, 1, false));
    v = graph_relu(g, graph_scale(g, graph_bn(g, v, "a_bn", BN), "a_scale"));
    const int side = graph_scale(g, v, "side");
    v = graph_conv(g, v, "b", conv_pad(20, 3, 1, 1, 1, true));
    v = graph_relu6(g, graph_add(g, graph_scale(g, v, "b_scale"), side));
    net_finish(g, graph_global_avgpool(g, v));
}

// Where Winograd is chosen: masks of ReLU and ReLU6 that the consumer's gradient brings, through a max pool and to a
// BatchNorm; a value with two consumers, whose gradient must not be masked twice or by halves; channel tails.
void make_winograd(struct graph *g)
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
    net_finish(g, graph_global_avgpool(g, graph_add(g, v, e)));
}

// Three heads: one trains and predicts, one only predicts, and the main one; all but the main from inside the network.
void make_heads(struct graph *g)
{
    graph_init(g, 3, 8, 8);
    const int a = graph_relu(g, graph_bn(g, graph_conv(g, 0, "a", conv_pad(16, 3, 1, 1, 1, false)), "a_bn", BN));
    const int b = graph_relu(g, graph_conv(g, a, "b", conv_pad(12, 3, 2, 1, 1, true)));
    const int side = graph_relu(g, graph_conv(g, a, "side", conv_pad(9, 1, 1, 0, 1, true)));
    const int other =
        graph_relu(g, graph_bn(g, graph_conv(g, b, "other", conv_pad(8, 1, 1, 0, 1, false)), "other_bn", BN));
    graph_output(g, graph_dense(g, graph_global_avgpool(g, side), "head1", CLASSES, true), 0.4f, true);
    graph_output(g, graph_dense(g, other, "head2", CLASSES, true), 0, true);
    net_finish(g, graph_global_avgpool(g, b));
}

int net_branch(struct graph *g, int src, const char *name, int oc)
{
    char bn[32];
    snprintf(bn, sizeof bn, "%s_bn", name);
    return graph_relu(g, graph_bn(g, graph_conv(g, src, name, conv_pad(oc, 1, 1, 0, 1, false)), bn, BN));
}

// Branches of BatchNorms alone, one of them split again: in place, and the whole is made again.
void make_branches(struct graph *g)
{
    graph_init(g, 3, 6, 5);
    const int stem = net_branch(g, 0, "stem", 32), a = net_branch(g, stem, "a", 16);
    const int b = graph_concat(g, (int[]){net_branch(g, stem, "b", 32), net_branch(g, stem, "c", 16)}, 2);
    int v = graph_concat(g, (int[]){a, b, net_branch(g, stem, "d", 20)}, 3); // the last one's tail is the whole's
    v = graph_concat(g, (int[]){net_branch(g, v, "e", 16), net_branch(g, v, "f", 32)}, 2);
    net_finish(g, graph_global_avgpool(g, graph_relu(g, graph_conv(g, v, "g", conv_pad(16, 1, 1, 0, 1, true)))));
}
