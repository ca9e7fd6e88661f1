// zoo/densenet.c: DenseNets of torchvision, of Keras and of cnn_finetune (Caffe's: a scale after every BatchNorm).
// Names: torchvision's; a scale is called as its BatchNorm ("scale1" beside "norm1").  Source: Huang et al. 2017; the
// graphs of torchvision, keras.applications and the cnn_finetune scripts.
//   7x7/2 -> 3x3/2 pool -> four dense blocks with transitions between -> BatchNorm, ReLU -> global average ->
//   classifier layer: BN-ReLU-1x1 to 4k, BN-ReLU-3x3 to k, appended to its input; transition: BN-ReLU-1x1 to half, 2x2
//   average

#include "zoo/families.h"

struct densenet {
    int layers[4], growth, stem;
    bool keras; // running variances are biased
    bool scale; // y = gamma x + beta after every BatchNorm
    float epsilon, momentum;
};

static int bn_relu(struct graph *g, const struct densenet *d, int src, const char *prefix, const char *bn)
{
    char name[96];
    snprintf(name, sizeof name, "%s%s", prefix, bn);
    int v =
        graph_bn(g, src, name, (struct bn_attr){.epsilon = d->epsilon, .momentum = d->momentum, .unbiased = !d->keras});
    snprintf(name, sizeof name, "%sscale%s", prefix, bn + strlen("norm"));
    if (d->scale)
        v = graph_scale(g, v, name);
    return graph_relu(g, v);
}

static int conv(struct graph *g, int src, const char *prefix, const char *conv_name, struct conv_attr attr)
{
    char name[96];
    snprintf(name, sizeof name, "%s%s", prefix, conv_name);
    return graph_conv(g, src, name, attr);
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    const struct densenet *d = net->family;
    char prefix[64];
    graph_init(g, 3, size, size);
    int v = bn_relu(g, d, conv(g, 0, "features.", "conv0", conv_pad(d->stem, 7, 2, 3, 1, false)), "features.", "norm0");
    v = graph_maxpool(g, v, pool_ceil(g, v, 3, 2, 1, false));
    for (int b = 0; b < 4; b++) {
        for (int i = 0; i < d->layers[b]; i++) {
            snprintf(prefix, sizeof prefix, "features.denseblock%d.denselayer%d.", b + 1, i + 1);
            int fresh =
                conv(g, bn_relu(g, d, v, prefix, "norm1"), prefix, "conv1", conv_pad(4 * d->growth, 1, 1, 0, 1, false));
            fresh =
                conv(g, bn_relu(g, d, fresh, prefix, "norm2"), prefix, "conv2", conv_pad(d->growth, 3, 1, 1, 1, false));
            v = graph_concat(g, (const int[]){v, fresh}, 2);
        }
        if (b == 3)
            break;
        snprintf(prefix, sizeof prefix, "features.transition%d.", b + 1);
        v = conv(g, bn_relu(g, d, v, prefix, "norm"), prefix, "conv", conv_pad(g->values[v].c / 2, 1, 1, 0, 1, false));
        v = graph_avgpool(g, v, pool_ceil(g, v, 2, 2, 0, false));
    }
    v = graph_global_avgpool(g, bn_relu(g, d, v, "features.", "norm5"));
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, "classifier", classes, true));
}

// torchvision's published files: denselayer1.norm.1 for norm1.
static bool dotted_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    (void)net;
    if (!node_prefix(g, node, out, size) || strlen(out) + 2 > size)
        return false;
    char *last = out + strlen(out) - 1;
    if (strstr(out, ".denselayer") != NULL) {
        last[2] = '\0';
        last[1] = last[0];
        last[0] = '.';
    }
    return true;
}

static bool keras_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    char prefix[64];
    int b, i, used = 0;
    (void)net;
    if (!node_prefix(g, node, prefix, sizeof prefix)) {
        if (g->nodes[node].op == OP_MAXPOOL)
            return snprintf(out, size, "pool1") < (int)size;
        if (g->nodes[node].op != OP_AVGPOOL)
            return false;
        for (b = 1, i = 0; i <= node; i++)
            b += g->nodes[i].op == OP_AVGPOOL;
        return snprintf(out, size, "pool%d_pool", b) < (int)size;
    }
    if (sscanf(prefix, "features.denseblock%d.denselayer%d.%n", &b, &i, &used) == 2 && used > 0) {
        const char *names[] = {"norm1", "0_bn", "conv1", "1_conv", "norm2", "1_bn", "conv2", "2_conv"};
        for (size_t k = 0; k < COUNT_OF(names); k += 2)
            if (strcmp(prefix + used, names[k]) == 0)
                return snprintf(out, size, "conv%d_block%d_%s", b + 1, i, names[k + 1]) < (int)size;
    }
    if (sscanf(prefix, "features.transition%d.%n", &b, &used) == 1 && used > 0)
        return snprintf(out, size, "pool%d_%s", b + 1, prefix[used] == 'n' ? "bn" : "conv") < (int)size;
    static const struct {
        const char *ours, *theirs;
    } ends[] = {{"features.conv0", "conv1_conv"},
                {"features.norm0", "conv1_bn"},
                {"features.norm5", "bn"},
                {"classifier", "predictions"}};
    for (size_t k = 0; k < COUNT_OF(ends); k++)
        if (strcmp(prefix, ends[k].ours) == 0)
            return snprintf(out, size, "%s", ends[k].theirs) < (int)size;
    return false;
}

// Before Keras 3 the stem's layers had slashes in their names.
static bool slashed_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    if (!keras_layer(net, g, node, out, size))
        return false;
    if (strcmp(out, "conv1_conv") == 0 || strcmp(out, "conv1_bn") == 0)
        out[5] = '/';
    return true;
}

// conv1, conv1_bn, conv1_scale; conv2_1_x1_bn, conv2_1_x1_scale, conv2_1_x1, conv2_1_x2...; conv2_blk...; fc6.
static bool script_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    char prefix[64];
    int b, i, used = 0;
    (void)net;
    if (!node_prefix(g, node, prefix, sizeof prefix))
        return false;
    const enum op op = g->nodes[node].op;
    const char *suffix = op == OP_BN ? "_bn" : op == OP_SCALE ? "_scale" : "";
    if (strcmp(prefix, "classifier") == 0)
        return snprintf(out, size, "fc6") < (int)size;
    if (sscanf(prefix, "features.denseblock%d.denselayer%d.%n", &b, &i, &used) == 2 && used > 0)
        return snprintf(out, size, "conv%d_%d_x%c%s", b + 1, i, prefix[strlen(prefix) - 1], suffix) < (int)size;
    if (sscanf(prefix, "features.transition%d.%n", &b, &used) == 1 && used > 0)
        return snprintf(out, size, "conv%d_blk%s", b + 1, suffix) < (int)size;
    return snprintf(out, size, "%s%s", prefix[strlen(prefix) - 1] == '5' ? "conv5_blk" : "conv1", suffix) < (int)size;
}

static const struct dialect torchvision[] = {{"torchvision", FILE_TORCH, NULL},
                                             {"torchvision, old keys", FILE_TORCH, dotted_layer}, {0}};
static const struct dialect keras[] = {{"keras.applications", FILE_KERAS, keras_layer},
                                       {"keras.applications of Keras 2", FILE_KERAS, slashed_layer}, {0}};
static const struct dialect scripts[] = {{"cnn_finetune", FILE_KERAS, script_layer},
                                         {"cnn_finetune, Theano's order", FILE_THEANO, script_layer}, {0}};

#define TORCHVISION                                                                                                    \
    .publisher = "torchvision", .license = "BSD-3-Clause", .classes = 1000, .head = "classifier",                     \
    .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, INPUT_TORCH}, .dialects = torchvision, .build = build
#define TORCH_NUMBERS .epsilon = 1e-5f, .momentum = 0.1f
#define KERAS                                                                                                          \
    .publisher = "Keras", .license = "BSD-3-Clause", .classes = 1000, .head = "classifier",                           \
    .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_TORCH}, .dialects = keras, .build = build
// Input: Caffe's order, (x - mean) 0.017.
#define SCRIPTS                                                                                                        \
    .publisher = "DenseNet-Keras", .license = "not stated", .classes = 1000, .head = "classifier",                    \
    .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, .mean = {103.94f, 116.78f, 123.68f}, \
              .scale = {0.017f, 0.017f, 0.017f}, .bgr = true}, \
    .dialects = scripts, .build = build
#define SCRIPT_NUMBERS .keras = true, .scale = true, .epsilon = 1.1e-5f, .momentum = 0.01f
#define KERAS_NUMBERS .keras = true, .epsilon = 1.001e-5f, .momentum = 0.01f

const struct network densenet_networks[] = {
    {.name = "densenet121", .title = "DenseNet-121", .top1 = 74.434, .top5 = 91.972, TORCHVISION,
     .files = FILES("densenet121-a639ec97.pth"), .family = &(const struct densenet){{6, 12, 24, 16}, 32, 64,
     TORCH_NUMBERS}},
    {.name = "densenet161", .title = "DenseNet-161", .top1 = 77.138, .top5 = 93.56, TORCHVISION,
     .files = FILES("densenet161-8d451a50.pth"), .family = &(const struct densenet){{6, 12, 36, 24}, 48, 96,
     TORCH_NUMBERS}},
    {.name = "densenet169", .title = "DenseNet-169", .top1 = 75.6, .top5 = 92.806, TORCHVISION,
     .files = FILES("densenet169-b2777c0a.pth"), .family = &(const struct densenet){{6, 12, 32, 32}, 32, 64,
     TORCH_NUMBERS}},
    {.name = "densenet121.keras", .title = "DenseNet-121 of keras.applications", .top1 = 74.972, .top5 = 92.258, KERAS,
     .files = FILES("densenet121_weights_tf_dim_ordering_tf_kernels.h5",
                    "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .family = &(const struct densenet){{6, 12, 24, 16}, 32, 64, KERAS_NUMBERS}},
    {.name = "densenet169.keras", .title = "DenseNet-169 of keras.applications", .top1 = 76.176, .top5 = 93.176, KERAS,
     .files = FILES("densenet169_weights_tf_dim_ordering_tf_kernels.h5",
                    "densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .family = &(const struct densenet){{6, 12, 32, 32}, 32, 64, KERAS_NUMBERS}},
    {.name = "densenet121.cf", .title = "DenseNet-121 of cnn_finetune, with scales", .top1 = 74.91, .top5 = 92.19,
     SCRIPTS,
     .files = FILES("densenet121_weights_tf.h5", "densenet121_weights_th.h5"),
     .family = &(const struct densenet){{6, 12, 24, 16}, 32, 64, SCRIPT_NUMBERS}},
    {.name = "densenet161.cf", .title = "DenseNet-161 of cnn_finetune, with scales", .top1 = 77.64, .top5 = 93.79,
     SCRIPTS,
     .files = FILES("densenet161_weights_tf.h5", "densenet161_weights_th.h5"),
     .family = &(const struct densenet){{6, 12, 36, 24}, 48, 96, SCRIPT_NUMBERS}},
    {.name = "densenet169.cf", .title = "DenseNet-169 of cnn_finetune, with scales", .top1 = 76.09, .top5 = 93.14,
     SCRIPTS,
     .files = FILES("densenet169_weights_tf.h5", "densenet169_weights_th.h5"),
     .family = &(const struct densenet){{6, 12, 32, 32}, 32, 64, SCRIPT_NUMBERS}},
};
FAMILY_COUNT(densenet);
