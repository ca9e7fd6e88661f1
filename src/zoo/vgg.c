// zoo/vgg.c: VGG of torchvision (adaptive 7x7 average, dropout) and of Keras (neither; Caffe's input).
// Names: torchvision's.  Source: Simonyan and Zisserman 2014, configurations A, B, D, E.
//   blocks of 3x3 convolutions with ReLU, each ended by a 2x2 pool -> 7x7 -> 4096 -> 4096 -> classes

#include "zoo/families.h"

struct vgg {
    int convolutions[5]; // of each block
    bool adaptive;       // torchvision: any map is averaged to 7x7
};
static const int channels[5] = {64, 128, 256, 512, 512};

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    const struct vgg *vgg = net->family;
    int v = 0, index = 0; // index counts torchvision's modules: convolution, ReLU, pool
    char name[32];
    graph_init(g, 3, size, size);
    for (int b = 0; b < 5; b++) {
        for (int i = 0; i < vgg->convolutions[b]; i++) {
            snprintf(name, sizeof name, "features.%d", index);
            v = graph_relu(g, graph_conv(g, v, name, conv_pad(channels[b], 3, 1, 1, 1, true)));
            index += 2;
        }
        v = graph_maxpool(g, v, pool_ceil(g, v, 2, 2, 0, false));
        index++;
    }
    if (vgg->adaptive && size != 224)
        v = graph_adaptive_avgpool(g, v, 7, 7);
    static const char *const dense[] = {"classifier.0", "classifier.3"};
    for (int i = 0; i < 2; i++) {
        v = graph_relu(g, graph_dense(g, v, dense[i], 4096, true));
        if (dropout > 0)
            v = graph_dropout(g, v, dropout);
    }
    return graph_finish(g, graph_dense(g, v, "classifier.6", classes, true));
}

// torchvision numbers ReLUs and pools along with the convolutions.
static bool torch_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    (void)net;
    if (node_prefix(g, node, out, size))
        return true;
    int index = 0;
    for (int i = 0; i < node && g->nodes[i].op != OP_DENSE; i++)
        index += g->nodes[i].op == OP_CONV || g->nodes[i].op == OP_RELU || g->nodes[i].op == OP_MAXPOOL;
    return (g->nodes[node].op == OP_RELU || g->nodes[node].op == OP_MAXPOOL) &&
           snprintf(out, size, "features.%d", index) < (int)size;
}

static bool keras_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    static const struct { const char *ours, *theirs; } dense[] = {
        {"classifier.0", "fc1"}, {"classifier.3", "fc2"}, {"classifier.6", "predictions"}};
    (void)net;
    int block = 1, conv = 1;
    for (int i = 0; i < node; i++) {
        if (g->nodes[i].op == OP_MAXPOOL) {
            block++;
            conv = 1;
        } else if (g->nodes[i].op == OP_CONV)
            conv++;
    }
    if (g->nodes[node].op == OP_CONV)
        return snprintf(out, size, "block%d_conv%d", block, conv) < (int)size;
    if (g->nodes[node].op == OP_MAXPOOL)
        return snprintf(out, size, "block%d_pool", block) < (int)size;
    char prefix[32];
    if (node_prefix(g, node, prefix, sizeof prefix))
        for (size_t i = 0; i < COUNT_OF(dense); i++)
            if (strcmp(prefix, dense[i].ours) == 0)
                return snprintf(out, size, "%s", dense[i].theirs) < (int)size;
    return false;
}

// The scripts' Sequential names nothing: Keras 1 numbers convolutions and dense layers.
static bool script_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    (void)net;
    int number = 1;
    for (int i = 0; i < node; i++)
        number += g->nodes[i].op == g->nodes[node].op;
    return g->nodes[node].n_params > 0 &&
           snprintf(out, size, "%s_%d", g->nodes[node].op == OP_CONV ? "convolution2d" : "dense", number) < (int)size;
}

static const struct dialect torchvision[] = {{"torchvision", FILE_TORCH, torch_layer}, {0}};
static const struct dialect keras[] = {{"keras.applications", FILE_KERAS, keras_layer},
                                       {"keras.applications, Theano's order", FILE_THEANO, keras_layer}, {0}};
static const struct dialect scripts[] = {{"cnn_finetune", FILE_THEANO, script_layer}, {0}};

#define TORCHVISION                                                                                                    \
    .publisher = "torchvision", .license = "BSD-3-Clause", .classes = 1000, .dropout = 0.5f, .head = "classifier.6",   \
    .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, INPUT_TORCH}, .dialects = torchvision, .build = build
#define KERAS                                                                                                          \
    .publisher = "Keras", .license = "CC BY 4.0 (VGG)", .classes = 1000, .head = "classifier.6",                       \
    .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_CAFFE}, .dialects = keras, .build = build
#define SCRIPTS                                                                                                        \
    .publisher = "cnn_finetune", .license = "CC BY 4.0 (VGG)", .classes = 1000, .dropout = 0.5f, \
    .head = "classifier.6", .dialects = scripts, .build = build, \
    .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_CAFFE}, \
    .differs = "dropout after the dense layers"

const struct network vgg_networks[] = {
    {.name = "vgg11", .title = "VGG11", .top1 = 69.02, .top5 = 88.628, TORCHVISION,
     .files = FILES("vgg11-8a719046.pth"),
     .family = &(const struct vgg){{1, 1, 2, 2, 2}, true}},
    {.name = "vgg13", .title = "VGG13", .top1 = 69.928, .top5 = 89.246, TORCHVISION,
     .files = FILES("vgg13-19584684.pth"),
     .family = &(const struct vgg){{2, 2, 2, 2, 2}, true}},
    {.name = "vgg16", .title = "VGG16", .top1 = 71.592, .top5 = 90.382, TORCHVISION,
     .files = FILES("vgg16-397923af.pth"),
     .family = &(const struct vgg){{2, 2, 3, 3, 3}, true}},
    {.name = "vgg19", .title = "VGG19", .top1 = 72.376, .top5 = 90.876, TORCHVISION,
     .files = FILES("vgg19-dcbb9e9d.pth"),
     .family = &(const struct vgg){{2, 2, 4, 4, 4}, true}},
    {.name = "vgg16.keras", .title = "VGG16 of keras.applications", .differs = "no dropout", .top1 = 71.268,
     .top5 = 90.05, KERAS,
     .files = FILES("vgg16_weights_tf_dim_ordering_tf_kernels.h5", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .family = &(const struct vgg){{2, 2, 3, 3, 3}, false}},
    {.name = "vgg19.keras", .title = "VGG19 of keras.applications", .differs = "no dropout", .top1 = 71.256,
     .top5 = 89.988, KERAS,
     .files = FILES("vgg19_weights_tf_dim_ordering_tf_kernels.h5", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"),
     .family = &(const struct vgg){{2, 2, 4, 4, 4}, false}},
    {.name = "vgg16.cf", .title = "VGG16 of cnn_finetune", SCRIPTS, .files = FILES("vgg16_weights.h5"),
     .family = &(const struct vgg){{2, 2, 3, 3, 3}, false}},
    {.name = "vgg19.cf", .title = "VGG19 of cnn_finetune", SCRIPTS, .files = FILES("vgg19_weights.h5"),
     .family = &(const struct vgg){{2, 2, 4, 4, 4}, false}},
};
FAMILY_COUNT(vgg);
