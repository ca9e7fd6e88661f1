// zoo/resnet.c: ResNets of torchvision (v1.5: stride on the 3x3), of Keras (v1: stride on the first 1x1, biases) and of
// cnn_finetune (v1 of Caffe: a scale after every BatchNorm).
// Names: torchvision's; a scale is called as its BatchNorm ("layer1.0.scale2").  Source: He et al. 2015; the graphs of
// torchvision, keras.applications and the cnn_finetune scripts.
//   7x7/2 -> 3x3/2 pool -> four stages of residual blocks -> global average -> fc
//   basic block: 3x3, 3x3; bottleneck: 1x1, 3x3, 1x1 to four times the width; ReLU after the sum

#include "zoo/families.h"

struct resnet {
    int blocks[4];
    bool bottleneck;
    bool keras;          // the first 1x1 has the stride, running variances are biased
    bool bias;           // of convolutions
    bool scale;          // y = gamma x + beta after every BatchNorm
    bool shortcut_first; // in the sum
    bool pool_unpadded;  // the guide's scripts: 55 x 55 after the pool instead of 56 x 56
    float epsilon, momentum;
};

static int conv_bn(struct graph *g, const struct resnet *r, int src, const char *prefix, const char *conv,
                   const char *bn, struct conv_attr attr)
{
    char name[64];
    attr.bias = r->bias;
    snprintf(name, sizeof name, "%s%s", prefix, conv);
    int v = graph_conv(g, src, name, attr);
    snprintf(name, sizeof name, "%s%s", prefix, bn);
    v = graph_bn(g, v, name, (struct bn_attr){.epsilon = r->epsilon, .momentum = r->momentum, .unbiased = !r->keras});
    if (!r->scale)
        return v;
    const bool shortcut = bn[0] == 'd';
    snprintf(name, sizeof name, "%s%s%s", prefix, shortcut ? "downsample.2" : "scale", shortcut ? "" : bn + 2);
    return graph_scale(g, v, name);
}

static int block(struct graph *g, const struct resnet *r, int src, const char *prefix, int width, int stride,
                 bool first)
{
    const int out = r->bottleneck ? 4 * width : width;
    const int early = r->keras ? stride : 1, late = r->keras ? 1 : stride; // which of the bottleneck's has the stride
    int v, shortcut = src;
    if (r->bottleneck) {
        v = graph_relu(g, conv_bn(g, r, src, prefix, "conv1", "bn1", conv_pad(width, 1, early, 0, 1, false)));
        v = graph_relu(g, conv_bn(g, r, v, prefix, "conv2", "bn2", conv_pad(width, 3, late, 1, 1, false)));
        v = conv_bn(g, r, v, prefix, "conv3", "bn3", conv_pad(out, 1, 1, 0, 1, false));
    } else {
        v = graph_relu(g, conv_bn(g, r, src, prefix, "conv1", "bn1", conv_pad(width, 3, stride, 1, 1, false)));
        v = conv_bn(g, r, v, prefix, "conv2", "bn2", conv_pad(width, 3, 1, 1, 1, false));
    }
    if (first && (stride != 1 || g->values[src].c != out))
        shortcut = conv_bn(g, r, src, prefix, "downsample.0", "downsample.1", conv_pad(out, 1, stride, 0, 1, false));
    // In the order of the writer's own sum, which Keras's order of layers depends on.
    return graph_relu(g, r->shortcut_first ? graph_add(g, shortcut, v) : graph_add(g, v, shortcut));
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    const struct resnet *r = net->family;
    graph_init(g, 3, size, size);
    int v = graph_relu(g, conv_bn(g, r, 0, "", "conv1", "bn1", conv_pad(64, 7, 2, 3, 1, false)));
    v = graph_maxpool(g, v, pool_ceil(g, v, 3, 2, r->pool_unpadded ? 0 : 1, false));
    for (int s = 0; s < 4; s++)
        for (int i = 0; i < r->blocks[s]; i++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d.", s + 1, i);
            v = block(g, r, v, prefix, 64 << s, s > 0 && i == 0 ? 2 : 1, i == 0);
        }
    v = graph_global_avgpool(g, v);
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, "fc", classes, true));
}

// The stage (from 2, as Keras counts), the block (from 1) and the rest of a block's canonical prefix ("conv1").
static bool split(const char *prefix, int *stage, int *block_number, const char **rest)
{
    int used = 0;
    if (sscanf(prefix, "layer%d.%d.%n", stage, block_number, &used) != 2 || used == 0)
        return false;
    ++*stage;
    ++*block_number;
    *rest = prefix + used;
    return true;
}

static bool keras_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    char prefix[64];
    const char *rest;
    int stage, number;
    (void)net;
    if (!node_prefix(g, node, prefix, sizeof prefix)) {
        // A block ends in the ReLU after its sum.
        const int producer = g->nodes[node].n_in > 0 ? g->values[g->nodes[node].in[0]].producer : -1;
        if (g->nodes[node].op == OP_MAXPOOL)
            return snprintf(out, size, "pool1_pool") < (int)size;
        if (g->nodes[node].op != OP_RELU || producer < 0 || g->nodes[producer].op != OP_ADD)
            return false;
        for (int i = producer; i >= 0; i--)
            if (node_prefix(g, i, prefix, sizeof prefix))
                return split(prefix, &stage, &number, &rest) &&
                       snprintf(out, size, "conv%d_block%d_out", stage, number) < (int)size;
        return false;
    }
    if (strcmp(prefix, "fc") == 0)
        return snprintf(out, size, "predictions") < (int)size;
    if (!split(prefix, &stage, &number, &rest))
        return snprintf(out, size, "conv1_%s", prefix[0] == 'b' ? "bn" : "conv") < (int)size;
    const bool shortcut = strncmp(rest, "downsample", 10) == 0, bn = shortcut ? rest[11] == '1' : rest[0] == 'b';
    return snprintf(out, size, "conv%d_block%d_%c_%s", stage, number, shortcut ? '0' : rest[strlen(rest) - 1],
                    bn ? "bn" : "conv") < (int)size;
}

// Keras 1 and the guide's scripts: conv1, bn_conv1, res2a_branch2a, bn2a_branch2a, scale2a_branch2a, ..., fc1000.
// Stages 3 and 4 of the deep ones number their blocks a, b1, b2, ...
static bool old_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    const struct resnet *r = net->family;
    char prefix[64], block_name[16], branch[3] = "1";
    const char *rest;
    int stage, number;
    if (!node_prefix(g, node, prefix, sizeof prefix))
        return false;
    if (strcmp(prefix, "fc") == 0)
        return snprintf(out, size, "fc1000") < (int)size;
    const enum op op = g->nodes[node].op;
    if (!split(prefix, &stage, &number, &rest))
        return snprintf(out, size, "%sconv1", op == OP_BN ? "bn_" : op == OP_SCALE ? "scale_" : "") < (int)size;
    if (r->blocks[2] > 6 && (stage == 3 || stage == 4) && number > 1)
        snprintf(block_name, sizeof block_name, "b%d", number - 1);
    else
        snprintf(block_name, sizeof block_name, "%c", 'a' + number - 1);
    if (strncmp(rest, "downsample", 10) != 0)
        snprintf(branch, sizeof branch, "2%c", 'a' + rest[strlen(rest) - 1] - '1');
    return snprintf(out, size, "%s%d%s_branch%s",
                    op == OP_BN      ? "bn"
                    : op == OP_SCALE ? "scale"
                                     : "res",
                    stage, block_name, branch) < (int)size;
}

static const struct dialect torchvision[] = {{"torchvision", FILE_TORCH, NULL}, {0}};
static const struct dialect keras[] = {{"keras.applications", FILE_KERAS, keras_layer}, {0}};
static const struct dialect old[] = {
    {"Keras 1", FILE_KERAS, old_layer}, {"Keras 1, Theano's order", FILE_THEANO, old_layer}, {0}};
static const struct dialect scripts[] = {{"cnn_finetune", FILE_KERAS, old_layer},
                                         {"cnn_finetune, Theano's order", FILE_THEANO, old_layer}, {0}};

#define TORCHVISION                                                                                                    \
    .publisher = "torchvision", .license = "BSD-3-Clause", .classes = 1000, .head = "fc",                             \
    .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, INPUT_TORCH}, .dialects = torchvision, .build = build
#define TORCH_NUMBERS .epsilon = 1e-5f, .momentum = 0.1f
#define KERAS                                                                                                          \
    .publisher = "Keras", .license = "MIT", .classes = 1000, .head = "fc",                                            \
    .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_CAFFE}, .build = build
#define KERAS_NUMBERS \
    .bottleneck = true, .keras = true, .bias = true, .shortcut_first = true, .epsilon = 1.001e-5f, .momentum = 0.01f
#define SCRIPTS                                                                                                        \
    .publisher = "cnn_finetune", .license = "MIT", .classes = 1000, .head = "fc",                                     \
    .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_CAFFE}, .dialects = scripts, .build = build
#define SCRIPT_NUMBERS \
    .bottleneck = true, .keras = true, .scale = true, .pool_unpadded = true, .epsilon = 1.1e-5f, .momentum = 0.01f

const struct network resnet_networks[] = {
    {.name = "resnet18", .title = "ResNet-18", .top1 = 69.758, .top5 = 89.078, TORCHVISION,
     .files = FILES("resnet18-f37072fd.pth"), .family = &(const struct resnet){{2, 2, 2, 2}, TORCH_NUMBERS}},
    {.name = "resnet34", .title = "ResNet-34", .top1 = 73.314, .top5 = 91.42, TORCHVISION,
     .files = FILES("resnet34-b627a593.pth"), .family = &(const struct resnet){{3, 4, 6, 3}, TORCH_NUMBERS}},
    {.name = "resnet50", .title = "ResNet-50 v1.5", .top1 = 76.13, .top5 = 92.862, TORCHVISION,
     .files = FILES("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"),
     .family = &(const struct resnet){{3, 4, 6, 3}, true, TORCH_NUMBERS}},
    {.name = "resnet101", .title = "ResNet-101 v1.5", .top1 = 77.374, .top5 = 93.546, TORCHVISION,
     .files = FILES("resnet101-63fe2227.pth", "resnet101-cd907fc2.pth"),
     .family = &(const struct resnet){{3, 4, 23, 3}, true, TORCH_NUMBERS}},
    {.name = "resnet152", .title = "ResNet-152 v1.5", .top1 = 78.312, .top5 = 94.046, TORCHVISION,
     .files = FILES("resnet152-394f9c45.pth", "resnet152-f82ba261.pth"),
     .family = &(const struct resnet){{3, 8, 36, 3}, true, TORCH_NUMBERS}},
    {.name = "resnet50.keras", .title = "ResNet-50 v1 of keras.applications",
     .differs = "first pool padded, BatchNorm epsilon 1.001e-5", .top1 = 74.928, .top5 = 92.06, KERAS,
     .files = FILES("resnet50_weights_tf_dim_ordering_tf_kernels.h5",
                    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .dialects = keras, .family = &(const struct resnet){{3, 4, 6, 3}, KERAS_NUMBERS}},
    {.name = "resnet101.keras", .title = "ResNet-101 v1 of keras.applications", .top1 = 76.42, .top5 = 92.786, KERAS,
     .files = FILES("resnet101_weights_tf_dim_ordering_tf_kernels.h5",
                    "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .dialects = keras, .family = &(const struct resnet){{3, 4, 23, 3}, KERAS_NUMBERS}},
    {.name = "resnet152.keras", .title = "ResNet-152 v1 of keras.applications", .top1 = 76.604, .top5 = 93.118, KERAS,
     .files = FILES("resnet152_weights_tf_dim_ordering_tf_kernels.h5",
                    "resnet152_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .dialects = keras, .family = &(const struct resnet){{3, 8, 36, 3}, KERAS_NUMBERS}},
    {.name = "resnet50.keras1", .title = "ResNet-50 v1 of Keras 1 and cnn_finetune",
     .differs = "first pool unpadded, BatchNorm epsilon 1e-3", KERAS,
     .files = FILES("resnet50_weights_th_dim_ordering_th_kernels.h5",
                    "resnet50_weights_th_dim_ordering_th_kernels_notop.h5"),
     .dialects = old,
     .family = &(const struct resnet){{3, 4, 6, 3}, .bottleneck = true, .keras = true, .bias = true,
                                      .pool_unpadded = true, .epsilon = 1e-3f, .momentum = 0.01f}},
    {.name = "resnet101.cf", .title = "ResNet-101 v1 of cnn_finetune, with scales", SCRIPTS,
     .files = FILES("resnet101_weights_tf.h5", "resnet101_weights_th.h5"),
     .family = &(const struct resnet){{3, 4, 23, 3}, SCRIPT_NUMBERS}},
    {.name = "resnet152.cf", .title = "ResNet-152 v1 of cnn_finetune, with scales", SCRIPTS,
     .files = FILES("resnet152_weights_tf.h5", "resnet152_weights_th.h5"),
     .family = &(const struct resnet){{3, 8, 36, 3}, SCRIPT_NUMBERS}},
};
FAMILY_COUNT(resnet);
