// zoo/inception_v3.c: Inception-V3 of torchvision, with and without its auxiliary head, of keras.applications (release
// 0.5, BatchNorm without gamma) and of Keras 1 and cnn_finetune (release 0.2: another network, by biases, its units'
// order, the pool projections, a width and a pool). Names: torchvision's; the parts of a unit are `conv` and `bn`.
// Source: Szegedy et al. 2015; the graphs of torchvision and of both of Keras's releases.
//   stem -> 3 x A (35) -> B -> 4 x C (17) [-> auxiliary head] -> D -> 2 x E (8) -> global average -> dropout -> fc
// Sizes are those of a 299-pixel picture.

#include "zoo/families.h"

struct inception_v3 {
    bool keras; // averages leave the padding out, running variances are biased, joins are nested
    bool old;   // release 0.2
};

// What building passes along: the graph and the block whose units are being added ("Mixed_5b.", "" for the stem).
struct builder {
    struct graph *g;
    const struct inception_v3 *net;
    const char *block;
};

static int unit(struct builder *b, int src, const char *name, struct conv_attr attr)
{
    char text[64];
    const bool keras = b->net->keras, old = b->net->old;
    const struct bn_attr bn = {
        .epsilon = 1e-3f, .momentum = keras ? 0.01f : 0.1f, .unbiased = !keras, .unscaled = keras && !old};
    attr.bias = old;
    snprintf(text, sizeof text, "%s%s.conv", b->block, name);
    int v = graph_conv(b->g, src, text, attr);
    snprintf(text, sizeof text, "%s%s.bn", b->block, name);
    if (old)
        return graph_bn(b->g, graph_relu(b->g, v), text, bn);
    return graph_relu(b->g, graph_bn(b->g, v, text, bn));
}

// A stride-1 unit that keeps the map's size.
static int same(struct builder *b, int src, const char *name, int oc, int kh, int kw)
{
    return unit(b, src, name, conv_odd(oc, kh, kw, 1, true, false));
}

// A 3x3 unit without padding.
static int valid(struct builder *b, int src, const char *name, int oc, int stride)
{
    return unit(b, src, name, conv_odd(oc, 3, 3, stride, false, false));
}

static int maxpool(struct builder *b, int src)
{
    return graph_maxpool(b->g, src, pool_ceil(b->g, src, 3, 2, 0, false));
}

static int pool_projection(struct builder *b, int src, int oc)
{
    struct pool_attr attr = pool_ceil(b->g, src, 3, 1, 1, false);
    attr.count_padding = !b->net->keras;
    return same(b, graph_avgpool(b->g, src, attr), "branch_pool", oc, 1, 1);
}

static int stem(struct builder *b)
{
    b->block = "";
    int v = valid(b, 0, "Conv2d_1a_3x3", 32, 2);
    v = valid(b, v, "Conv2d_2a_3x3", 32, 1);
    v = maxpool(b, same(b, v, "Conv2d_2b_3x3", 64, 3, 3));
    v = same(b, v, "Conv2d_3b_1x1", 80, 1, 1);
    return maxpool(b, valid(b, v, "Conv2d_4a_3x3", 192, 1));
}

static int block_a(struct builder *b, int src, const char *block, int projection)
{
    b->block = block;
    const int one = same(b, src, "branch1x1", 64, 1, 1);
    const int five = same(b, same(b, src, "branch5x5_1", 48, 1, 1), "branch5x5_2", 64, 5, 5);
    int three = same(b, src, "branch3x3dbl_1", 64, 1, 1);
    three = same(b, three, "branch3x3dbl_2", 96, 3, 3);
    three = same(b, three, "branch3x3dbl_3", 96, 3, 3);
    return graph_concat(b->g, (int[]){one, five, three, pool_projection(b, src, projection)}, 4);
}

static int block_b(struct builder *b, int src, const char *block)
{
    b->block = block;
    const int one = valid(b, src, "branch3x3", 384, 2);
    int three = same(b, src, "branch3x3dbl_1", 64, 1, 1);
    three = same(b, three, "branch3x3dbl_2", 96, 3, 3);
    three = valid(b, three, "branch3x3dbl_3", 96, 2);
    return graph_concat(b->g, (int[]){one, three, maxpool(b, src)}, 3);
}

static int block_c(struct builder *b, int src, const char *block, int narrow, int first)
{
    b->block = block;
    const int one = same(b, src, "branch1x1", 192, 1, 1);
    int seven = same(b, src, "branch7x7_1", narrow, 1, 1);
    seven = same(b, seven, "branch7x7_2", narrow, 1, 7);
    seven = same(b, seven, "branch7x7_3", 192, 7, 1);
    int twice = same(b, src, "branch7x7dbl_1", first, 1, 1);
    twice = same(b, twice, "branch7x7dbl_2", narrow, 7, 1);
    twice = same(b, twice, "branch7x7dbl_3", narrow, 1, 7);
    twice = same(b, twice, "branch7x7dbl_4", narrow, 7, 1);
    twice = same(b, twice, "branch7x7dbl_5", 192, 1, 7);
    return graph_concat(b->g, (int[]){one, seven, twice, pool_projection(b, src, 192)}, 4);
}

static int block_d(struct builder *b, int src, const char *block)
{
    b->block = block;
    const int three = valid(b, same(b, src, "branch3x3_1", 192, 1, 1), "branch3x3_2", 320, 2);
    int seven = same(b, src, "branch7x7x3_1", 192, 1, 1);
    seven = same(b, seven, "branch7x7x3_2", 192, 1, 7);
    seven = same(b, seven, "branch7x7x3_3", 192, 7, 1);
    seven = valid(b, seven, "branch7x7x3_4", 192, 2);
    const struct pool_attr pool = pool_ceil(b->g, src, 3, 2, 0, false);
    return graph_concat(b->g, (int[]){three, seven, b->net->old ? graph_avgpool(b->g, src, pool) : maxpool(b, src)}, 3);
}

static int block_e(struct builder *b, int src, const char *block)
{
    b->block = block;
    const int one = same(b, src, "branch1x1", 320, 1, 1);
    const int three = same(b, src, "branch3x3_1", 384, 1, 1);
    const int wide = same(b, three, "branch3x3_2a", 384, 1, 3), tall = same(b, three, "branch3x3_2b", 384, 3, 1);
    const int twice = same(b, same(b, src, "branch3x3dbl_1", 448, 1, 1), "branch3x3dbl_2", 384, 3, 3);
    const int wide2 = same(b, twice, "branch3x3dbl_3a", 384, 1, 3),
              tall2 = same(b, twice, "branch3x3dbl_3b", 384, 3, 1);
    const int pool = pool_projection(b, src, 192);
    if (!b->net->keras)
        return graph_concat(b->g, (int[]){one, wide, tall, wide2, tall2, pool}, 6);
    // The same, joined in twos first: Keras's order of layers depends on it.
    const int pair = graph_concat(b->g, (int[]){wide, tall}, 2), pair2 = graph_concat(b->g, (int[]){wide2, tall2}, 2);
    return graph_concat(b->g, (int[]){one, pair, pair2, pool}, 4);
}

// The head needs 5 x 5 windows.  Pictures smaller than 299 pixels have fewer; then the pool adapts, so that the head
// and its weights are the same at any size.
static int auxiliary(struct builder *b, int src)
{
    b->block = "AuxLogits.";
    if (b->g->status == GRAFT_OK && b->g->values[src].h < 17)
        src = graph_adaptive_avgpool(b->g, src, 5, 5);
    else
        src = graph_avgpool(b->g, src, pool_ceil(b->g, src, 5, 3, 0, false));
    src = same(b, src, "conv0", 128, 1, 1);
    return graph_global_avgpool(b->g, unit(b, src, "conv1", conv_odd(768, 5, 5, 1, false, false)));
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    struct builder b = {.g = g, .net = net->family};
    const bool old = b.net->old;
    graph_init(g, 3, size, size);
    int v = stem(&b);
    v = block_a(&b, v, "Mixed_5b.", 32);
    v = block_a(&b, v, "Mixed_5c.", old ? 32 : 64);
    v = block_a(&b, v, "Mixed_5d.", old ? 32 : 64);
    v = block_b(&b, v, "Mixed_6a.");
    v = block_c(&b, v, "Mixed_6b.", 128, 128);
    v = block_c(&b, v, "Mixed_6c.", 160, 160);
    v = block_c(&b, v, "Mixed_6d.", 160, 160);
    const int side = v = block_c(&b, v, "Mixed_6e.", 192, old ? 160 : 192);
    v = block_d(&b, v, "Mixed_7a.");
    v = block_e(&b, v, "Mixed_7b.");
    v = graph_global_avgpool(g, block_e(&b, v, "Mixed_7c."));
    if (net->aux != NULL) { // after the trunk, so that --freeze counts the trunk's rows first
        const int logits = graph_dense(g, auxiliary(&b, side), net->aux->name, classes, true);
        graph_output(g, logits, net->aux->weight, net->aux->predicts);
    }
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, net->head, classes, true));
}

// Keras numbers convolutions and BatchNorms as they are made; a block ends in its join, "mixed3".
static bool keras_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    const enum op op = g->nodes[node].op;
    if (op == OP_DENSE)
        return snprintf(out, size, "predictions") < (int)size;
    if (op == OP_CONCAT) {
        int mixed = -1;
        for (int i = 0; i <= node; i++) // a join of two is within a block
            mixed += g->nodes[i].op == OP_CONCAT && g->nodes[i].n_in > 2;
        return g->nodes[node].n_in > 2 && snprintf(out, size, "mixed%d", mixed) < (int)size;
    }
    (void)net;
    return numbered_layer(g, node, out, size);
}

static const struct dialect torchvision[] = {{"torchvision", FILE_TORCH, NULL}, {0}};
static const struct dialect keras[] = {{"keras.applications", FILE_KERAS, keras_layer}, {0}};
static const struct dialect keras1[] = {{"Keras 1", FILE_KERAS, keras_layer},
                                        {"Keras 1, Theano's order", FILE_THEANO, keras_layer}, {0}};

// transform_input maps torch's preprocessing back to [-1, 1]: together they are TensorFlow's.
#define TORCHVISION                                                                                                    \
    .publisher = "torchvision", .license = "BSD-3-Clause", .top1 = 77.294, .top5 = 93.45, .classes = 1000,            \
    .dropout = 0.5f, .head = "fc", .input = {299, 342, RESIZE_CROP, FILTER_BILINEAR, INPUT_TF},                        \
    .files = FILES("inception_v3_google-0cc3c7bd.pth"), .dialects = torchvision,                                       \
    .family = &(const struct inception_v3){0}, .build = build
#define KERAS                                                                                                          \
    .publisher = "Keras", .license = "MIT", .classes = 1000, .head = "fc",                                            \
    .input = {299, 299, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_TF}, .build = build

const struct network inception_v3_networks[] = {
    {.name = "inception_v3", .title = "Inception-V3", TORCHVISION,
     .aux = (const struct aux_head[]){{"AuxLogits.fc", 0, 0.4f, false}, {0}}},
    {.name = "inception_v3.noaux", .title = "Inception-V3 without its auxiliary head", TORCHVISION},
    {.name = "inception_v3.keras", .title = "Inception-V3 of keras.applications", .top1 = 77.898, .top5 = 93.72, KERAS,
     .files = FILES("inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
                    "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .dialects = keras, .family = &(const struct inception_v3){.keras = true}},
    {.name = "inception_v3.keras1", .title = "Inception-V3 of Keras 1 and cnn_finetune (release 0.2)", KERAS,
     .files = FILES("inception_v3_weights_th_dim_ordering_th_kernels.h5",
                    "inception_v3_weights_th_dim_ordering_th_kernels_notop.h5"),
     .dialects = keras1, .family = &(const struct inception_v3){.keras = true, .old = true}},
};
FAMILY_COUNT(inception_v3);
