// zoo/googlenet.c: GoogLeNet of Caffe (biases, response normalisation, three heads that train and predict alike) and of
// torchvision (BatchNorm, "5x5" branches that are 3x3, heads that only train).
// Names: Caffe's with dots for slashes ("inception_3a.3x3_reduce"); torchvision's.
// Source: Szegedy et al. 2014; BVLC's bvlc_googlenet; the graphs of the cnn_finetune scripts and of torchvision.
//   7x7/2 -> pool -> 1x1 -> 3x3 -> pool -> 2 blocks -> pool -> 5 blocks -> pool -> 2 blocks -> global average ->
//   classes heads on 4a and 4d: average to 4x4 -> 1x1 to 128 -> 1024 -> classes

#include "zoo/families.h"

struct googlenet { bool caffe, heads; };

// Channels of a block: 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, projection of the pool.
static const struct block {
    const char *name;
    int one, three_reduced, three, five_reduced, five, projection;
} blocks[] = {
    {"3a", 64, 96, 128, 16, 32, 32},     {"3b", 128, 128, 192, 32, 96, 64},   {"4a", 192, 96, 208, 16, 48, 64},
    {"4b", 160, 112, 224, 24, 64, 64},   {"4c", 128, 128, 256, 24, 64, 64},   {"4d", 112, 144, 288, 32, 64, 64},
    {"4e", 256, 160, 320, 32, 128, 128}, {"5a", 256, 160, 320, 32, 128, 128}, {"5b", 384, 192, 384, 48, 128, 128}};

// A convolution that keeps the map's size, or halves it, and ReLU; torchvision's with BatchNorm between.
static int unit(struct graph *g, const struct googlenet *net, int src, const char *prefix, const char *name, int oc,
                int kernel, int stride)
{
    char text[64];
    const struct conv_attr attr = conv_pad(oc, kernel, stride, kernel / 2, 1, net->caffe);
    snprintf(text, sizeof text, "%s%s%s", prefix, name, net->caffe ? "" : ".conv");
    int v = graph_conv(g, src, text, attr);
    if (!net->caffe) {
        snprintf(text, sizeof text, "%s%s.bn", prefix, name);
        v = graph_bn(g, v, text, (struct bn_attr){.epsilon = 1e-3f, .momentum = 0.1f, .unbiased = true});
    }
    return graph_relu(g, v);
}

static int inception(struct graph *g, const struct googlenet *net, int src, const struct block *b)
{
    static const char *const caffe[] = {"1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"};
    static const char *const torch[] = {"branch1", "branch2.0", "branch2.1", "branch3.0", "branch3.1", "branch4.1"};
    const char *const *names = net->caffe ? caffe : torch;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "inception%s%s.", net->caffe ? "_" : "", b->name);
    const int one = unit(g, net, src, prefix, names[0], b->one, 1, 1);
    int three = unit(g, net, src, prefix, names[1], b->three_reduced, 1, 1);
    three = unit(g, net, three, prefix, names[2], b->three, 3, 1);
    int five = unit(g, net, src, prefix, names[3], b->five_reduced, 1, 1);
    five = unit(g, net, five, prefix, names[4], b->five, net->caffe ? 5 : 3, 1); // torchvision's weights are of 3x3
    int pool = graph_maxpool(g, src, pool_ceil(g, src, 3, 1, 1, false));
    pool = unit(g, net, pool, prefix, names[5], b->projection, 1, 1);
    return graph_concat(g, (int[]){one, three, five, pool}, 4);
}

static int lrn(struct graph *g, const struct googlenet *net, int src)
{
    return net->caffe ? graph_lrn(g, src, (struct lrn_attr){.size = 5, .alpha = 1e-4f, .beta = 0.75f, .k = 1}) : src;
}

static int halve(struct graph *g, int src, int kernel)
{
    return graph_maxpool(g, src, pool_ceil(g, src, kernel, 2, 0, true));
}

// An auxiliary head up to its classifier.  Caffe averages 5x5 windows at stride 3, four a side at 224 pixels; where
// there would be another number torchvision's rule gives four, so that the weights fit.
static int auxiliary(struct graph *g, const struct googlenet *net, int src, int number, float dropout)
{
    char prefix[16], fc[24];
    snprintf(prefix, sizeof prefix, net->caffe ? "loss%d." : "aux%d.", number);
    snprintf(fc, sizeof fc, "%sfc%s", prefix, net->caffe ? "" : "1");
    const int side = g->status == GRAFT_OK ? g->values[src].h : 0;
    const bool windows = net->caffe && side >= 14 && side <= 16; // four of them
    int v = windows ? graph_avgpool(g, src, pool_ceil(g, src, 5, 3, 0, false)) : graph_adaptive_avgpool(g, src, 4, 4);
    v = graph_relu(g, graph_dense(g, unit(g, net, v, prefix, "conv", 128, 1, 1), fc, 1024, true));
    return dropout > 0 ? graph_dropout(g, v, dropout) : v;
}

static graft_status build(const struct network *row, struct graph *g, int size, int classes, float dropout)
{
    const struct googlenet *net = row->family;
    const bool caffe = net->caffe;
    const float aux_dropout = dropout == row->dropout ? 0.7f : dropout;
    int side[2] = {0};
    graph_init(g, 3, size, size);
    int v = lrn(g, net, halve(g, unit(g, net, 0, "", caffe ? "conv1.7x7_s2" : "conv1", 64, 7, 2), 3));
    v = unit(g, net, v, "", caffe ? "conv2.3x3_reduce" : "conv2", 64, 1, 1);
    v = halve(g, lrn(g, net, unit(g, net, v, "", caffe ? "conv2.3x3" : "conv3", 192, 3, 1)), 3);
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
        v = inception(g, net, v, &blocks[i]);
        if (strcmp(blocks[i].name, "3b") == 0)
            v = halve(g, v, 3);
        else if (strcmp(blocks[i].name, "4e") == 0)
            v = halve(g, v, caffe ? 3 : 2);
        else if (strcmp(blocks[i].name, "4a") == 0)
            side[0] = v;
        else if (strcmp(blocks[i].name, "4d") == 0)
            side[1] = v;
    }
    v = graph_global_avgpool(g, v);
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    // Heads after the trunk, classifiers last: --freeze counts the trunk's rows first and `head` means all classifiers.
    for (int i = 0; net->heads && i < 2; i++)
        side[i] = auxiliary(g, net, side[i], i + 1, aux_dropout);
    for (int i = 0; net->heads && i < 2; i++) {
        const struct aux_head *head = &row->aux[i];
        graph_output(g, graph_dense(g, side[i], head->name, classes, true), head->weight, head->predicts);
    }
    return graph_finish(g, graph_dense(g, v, row->head, classes, true));
}

// The scripts' Keras 1 file has Caffe's names as they are: "inception_3a/3x3_reduce".
static bool script_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    (void)net;
    if (!node_prefix(g, node, out, size))
        return false;
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '.' ? '/' : *c;
    return true;
}

static const struct dialect caffe[] = {{"Caffe, with dots for slashes", FILE_TORCH, NULL},
                                       {"cnn_finetune", FILE_THEANO, script_layer}, {0}};
static const struct dialect torchvision[] = {{"torchvision", FILE_TORCH, NULL}, {0}};

// transform_input maps torch's preprocessing back to [-1, 1]: together they are TensorFlow's.
#define TORCHVISION                                                                                                    \
    .publisher = "torchvision", .license = "BSD-3-Clause", .top1 = 69.778, .top5 = 89.53, .classes = 1000,            \
    .dropout = 0.2f, .head = "fc", .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, INPUT_TF},                        \
    .files = FILES("googlenet-1378be20.pth"), .dialects = torchvision, .build = build

const struct network googlenet_networks[] = {
    {.name = "googlenet", .title = "GoogLeNet of Caffe", .publisher = "BVLC", .license = "unrestricted", .top1 = 68.7,
     .top5 = 88.9, .classes = 1000, .dropout = 0.4f, .head = "loss3.classifier",
     .aux = (const struct aux_head[]){{"loss1.classifier", 1, 1, true}, {"loss2.classifier", 1, 1, true}, {0}},
     .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, .mean = {104, 117, 123}, .scale = {1, 1, 1}, .bgr = true},
     .files = FILES("bvlc_googlenet.caffemodel", "googlenet_weights.h5"), .dialects = caffe,
     .family = &(const struct googlenet){.caffe = true, .heads = true}, .build = build},
    {.name = "googlenet.tv", .title = "GoogLeNet with BatchNorm", TORCHVISION,
     .aux = (const struct aux_head[]){{"aux1.fc2", 0, 0.3f, false}, {"aux2.fc2", 0, 0.3f, false}, {0}},
     .family = &(const struct googlenet){.heads = true}},
    {.name = "googlenet.tv.noaux", .title = "GoogLeNet with BatchNorm, without its auxiliary heads", TORCHVISION,
     .family = &(const struct googlenet){0}},
};
FAMILY_COUNT(googlenet);
