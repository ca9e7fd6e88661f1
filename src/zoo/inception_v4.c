// zoo/inception_v4.c: Inception-V4 of timm and of the cnn_finetune scripts.
// Names: timm's; the parts of a unit are `conv` and `bn`.  Source: Szegedy et al. 2016; the graphs of timm and the
// scripts.
//   stem -> 4 x A (35) -> reduction A -> 7 x B (17) -> reduction B -> 3 x C (8) -> global average -> dropout -> classes
// Sizes are those of a 299-pixel picture.

#include "zoo/families.h"

struct inception_v4 { float momentum; bool unbiased, nested; }; // nested: joins within joins

// What building passes along: the graph, the row's numbers and the block whose units are being added ("features.6.").
struct builder {
    struct graph *g;
    const struct inception_v4 *net;
    char block[32];
    int blocks; // so far: timm counts them in one sequence
};

static void next_block(struct builder *b) { snprintf(b->block, sizeof b->block, "features.%d.", b->blocks++); }

// `name` is within the block, "" where the block is one unit.
static int unit(struct builder *b, int src, const char *name, struct conv_attr attr)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s%sconv", b->block, name, name[0] != '\0' ? "." : "");
    const int v = graph_conv(b->g, src, text, attr);
    snprintf(text, sizeof text, "%s%s%sbn", b->block, name, name[0] != '\0' ? "." : "");
    return graph_relu(b->g, graph_bn(b->g, v, text, (struct bn_attr){.epsilon = 1e-3f, .momentum = b->net->momentum,
                                                                     .unbiased = b->net->unbiased}));
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
static int average(struct builder *b, int src)
{
    return graph_avgpool(b->g, src, pool_ceil(b->g, src, 3, 1, 1, false));
}
static int join(struct builder *b, int first, int second) { return graph_concat(b->g, (int[]){first, second}, 2); }

static int stem(struct builder *b)
{
    next_block(b);
    int v = valid(b, 0, "", 32, 2);
    next_block(b);
    v = valid(b, v, "", 32, 1);
    next_block(b);
    v = same(b, v, "", 64, 3, 3);
    next_block(b);
    v = join(b, maxpool(b, v), valid(b, v, "conv", 96, 2));
    next_block(b);
    const int short_way = valid(b, same(b, v, "branch0.0", 64, 1, 1), "branch0.1", 96, 1);
    int long_way = same(b, v, "branch1.0", 64, 1, 1);
    long_way = same(b, long_way, "branch1.1", 64, 1, 7);
    long_way = same(b, long_way, "branch1.2", 64, 7, 1);
    v = join(b, short_way, valid(b, long_way, "branch1.3", 96, 1));
    next_block(b);
    const int halved = valid(b, v, "conv", 192, 2);
    return join(b, halved, maxpool(b, v));
}

static int block_a(struct builder *b, int src)
{
    next_block(b);
    const int one = same(b, src, "branch0", 96, 1, 1);
    const int three = same(b, same(b, src, "branch1.0", 64, 1, 1), "branch1.1", 96, 3, 3);
    int twice = same(b, src, "branch2.0", 64, 1, 1);
    twice = same(b, twice, "branch2.1", 96, 3, 3);
    twice = same(b, twice, "branch2.2", 96, 3, 3);
    return graph_concat(b->g, (int[]){one, three, twice, same(b, average(b, src), "branch3.1", 96, 1, 1)}, 4);
}

static int reduction_a(struct builder *b, int src)
{
    next_block(b);
    const int one = valid(b, src, "branch0", 384, 2);
    int three = same(b, src, "branch1.0", 192, 1, 1);
    three = same(b, three, "branch1.1", 224, 3, 3);
    three = valid(b, three, "branch1.2", 256, 2);
    return graph_concat(b->g, (int[]){one, three, maxpool(b, src)}, 3);
}

static int block_b(struct builder *b, int src)
{
    next_block(b);
    const int one = same(b, src, "branch0", 384, 1, 1);
    int seven = same(b, src, "branch1.0", 192, 1, 1);
    seven = same(b, seven, "branch1.1", 224, 1, 7);
    seven = same(b, seven, "branch1.2", 256, 7, 1);
    int twice = same(b, src, "branch2.0", 192, 1, 1);
    twice = same(b, twice, "branch2.1", 192, 7, 1);
    twice = same(b, twice, "branch2.2", 224, 1, 7);
    twice = same(b, twice, "branch2.3", 224, 7, 1);
    twice = same(b, twice, "branch2.4", 256, 1, 7);
    return graph_concat(b->g, (int[]){one, seven, twice, same(b, average(b, src), "branch3.1", 128, 1, 1)}, 4);
}

static int reduction_b(struct builder *b, int src)
{
    next_block(b);
    const int three = valid(b, same(b, src, "branch0.0", 192, 1, 1), "branch0.1", 192, 2);
    int seven = same(b, src, "branch1.0", 256, 1, 1);
    seven = same(b, seven, "branch1.1", 256, 1, 7);
    seven = same(b, seven, "branch1.2", 320, 7, 1);
    seven = valid(b, seven, "branch1.3", 320, 2);
    return graph_concat(b->g, (int[]){three, seven, maxpool(b, src)}, 3);
}

static int block_c(struct builder *b, int src)
{
    next_block(b);
    const int one = same(b, src, "branch0", 256, 1, 1);
    const int split = same(b, src, "branch1_0", 384, 1, 1);
    const int wide = same(b, split, "branch1_1a", 256, 1, 3), tall = same(b, split, "branch1_1b", 256, 3, 1);
    int late = same(b, src, "branch2_0", 384, 1, 1);
    late = same(b, late, "branch2_1", 448, 3, 1);
    late = same(b, late, "branch2_2", 512, 1, 3);
    const int wide2 = same(b, late, "branch2_3a", 256, 1, 3), tall2 = same(b, late, "branch2_3b", 256, 3, 1);
    const int pool = same(b, average(b, src), "branch3.1", 256, 1, 1);
    if (!b->net->nested)
        return graph_concat(b->g, (int[]){one, wide, tall, wide2, tall2, pool}, 6);
    // The same, joined in twos first: Keras's order of layers depends on it.
    const int pair = graph_concat(b->g, (int[]){wide, tall}, 2), pair2 = graph_concat(b->g, (int[]){wide2, tall2}, 2);
    return graph_concat(b->g, (int[]){one, pair, pair2, pool}, 4);
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    struct builder b = {.g = g, .net = net->family};
    graph_init(g, 3, size, size);
    int v = stem(&b);
    for (int i = 0; i < 4; i++)
        v = block_a(&b, v);
    v = reduction_a(&b, v);
    for (int i = 0; i < 7; i++)
        v = block_b(&b, v);
    v = reduction_b(&b, v);
    for (int i = 0; i < 3; i++)
        v = block_c(&b, v);
    v = graph_global_avgpool(g, v);
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, net->head, classes, true));
}

static bool keras_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    (void)net;
    return numbered_layer(g, node, out, size);
}

static const struct dialect timm[] = {{"timm", FILE_TORCH, NULL}, {0}};
static const struct dialect keras[] = {
    {"Keras", FILE_KERAS, keras_layer}, {"Keras, Theano's order", FILE_THEANO, keras_layer}, {0}};

const struct network inception_v4_networks[] = {
    {.name = "inception_v4", .title = "Inception-V4", .publisher = "timm", .license = "Apache-2.0", .top1 = 80.144,
     .top5 = 94.982, .classes = 1000, .dropout = 0, .head = "last_linear",
     .input = {299, 341, RESIZE_CROP, FILTER_BICUBIC, INPUT_TF}, .files = FILES("inceptionv4-8e4777a0.pth"),
     .dialects = timm, .family = &(const struct inception_v4){.momentum = 0.1f, .unbiased = true}, .build = build},
    // Class 0 is the background.  The published accuracy is of the pictures that are on no blacklist.
    {.name = "inception_v4.keras", .title = "Inception-V4 of Keras and cnn_finetune", .publisher = "keras-inceptionV4",
     .license = "MIT", .top1 = 80.46, .top5 = 95.12, .classes = 1001, .dropout = 0.2f, .head = "last_linear",
     .input = {299, 341, RESIZE_CROP, FILTER_BILINEAR, INPUT_TF},
     .files = FILES("inception-v4_weights_tf_dim_ordering_tf_kernels.h5",
                    "inception-v4_weights_tf_dim_ordering_tf_kernels_notop.h5",
                    "inception-v4_weights_th_dim_ordering_th_kernels.h5"),
     .dialects = keras, .family = &(const struct inception_v4){.momentum = 0.01f, .nested = true}, .build = build},
};
FAMILY_COUNT(inception_v4);
