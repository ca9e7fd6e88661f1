// zoo/mobilenet_v2.c: MobileNetV2 of torchvision (symmetric padding) and of Keras (TensorFlow's "same"), any width.
// Names: torchvision's.  Source: Sandler et al. 2018; torchvision's and keras.applications' graphs.
//   3x3/2 to 32 -> inverted residuals, ReLU6, linear ends -> 1x1 to 1280 -> global average -> dropout -> classifier

#include "zoo/families.h"

struct mobilenet {
    double width; // of every layer's channels
    bool keras;
    float epsilon, momentum;
};
static const struct stage { int expand, channels, repeats, stride; } stages[] = {
    {1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

// The nearest multiple of 8 that takes no more than a tenth away.
static int channels_of(const struct mobilenet *m, int channels)
{
    const double v = m->keras ? (double)(int)(channels * m->width) : channels * m->width;
    const int rounded = (int)(v + 4) / 8 * 8 < 8 ? 8 : (int)(v + 4) / 8 * 8;
    return rounded < 0.9 * v ? rounded + 8 : rounded;
}

static int conv_bn(struct graph *g, const struct mobilenet *m, int src, const char *prefix, const char *conv,
                   const char *bn, struct conv_attr attr)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, conv);
    const int v = graph_conv(g, src, name, attr);
    snprintf(name, sizeof name, "%s%s", prefix, bn);
    return graph_bn(g, v, name,
                    (struct bn_attr){.epsilon = m->epsilon, .momentum = m->momentum, .unbiased = !m->keras});
}

static struct conv_attr conv3(const struct graph *g, const struct mobilenet *m, int src, int oc, int stride, int groups)
{
    return m->keras ? conv_same(g, src, oc, 3, stride, groups, false) : conv_pad(oc, 3, stride, 1, groups, false);
}

static int block(struct graph *g, const struct mobilenet *m, int src, int index, const struct stage *s, int stride)
{
    const int in = g->values[src].c, out = channels_of(m, s->channels), wide = in * s->expand;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "features.%d.conv.", index);
    int v = src;
    if (s->expand != 1)
        v = graph_relu6(g, conv_bn(g, m, v, prefix, "0.0", "0.1", conv_pad(wide, 1, 1, 0, 1, false)));
    v = graph_relu6(g, conv_bn(g, m, v, prefix, s->expand != 1 ? "1.0" : "0.0", s->expand != 1 ? "1.1" : "0.1",
                               conv3(g, m, v, wide, stride, wide)));
    v = conv_bn(g, m, v, prefix, s->expand != 1 ? "2" : "1", s->expand != 1 ? "3" : "2",
                conv_pad(out, 1, 1, 0, 1, false));
    return stride == 1 && in == out ? graph_add(g, v, src) : v;
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    const struct mobilenet *m = net->family;
    graph_init(g, 3, size, size);
    int index = 0;
    int v = graph_relu6(g, conv_bn(g, m, 0, "features.0.", "0", "1", conv3(g, m, 0, channels_of(m, 32), 2, 1)));
    for (size_t s = 0; s < COUNT_OF(stages); s++)
        for (int i = 0; i < stages[s].repeats; i++)
            v = block(g, m, v, ++index, &stages[s], i == 0 ? stages[s].stride : 1);
    const int last = m->width > 1 ? channels_of(m, 1280) : 1280;
    v = graph_relu6(g, conv_bn(g, m, v, "features.18.", "0", "1", conv_pad(last, 1, 1, 0, 1, false)));
    v = graph_global_avgpool(g, v);
    if (dropout > 0)
        v = graph_dropout(g, v, dropout);
    return graph_finish(g, graph_dense(g, v, "classifier.1", classes, true));
}

static bool keras_layer(const struct network *net, const struct graph *g, int node, char *out, size_t size)
{
    char prefix[64];
    int index, part = 0, inner = 0;
    (void)net;
    if (!node_prefix(g, node, prefix, sizeof prefix))
        return false;
    const bool bn = g->nodes[node].op == OP_BN;
    if (strcmp(prefix, "classifier.1") == 0)
        return snprintf(out, size, "predictions") < (int)size;
    if (strncmp(prefix, "features.0.", 11) == 0)
        return snprintf(out, size, bn ? "bn_Conv1" : "Conv1") < (int)size;
    if (strncmp(prefix, "features.18.", 12) == 0)
        return snprintf(out, size, bn ? "Conv_1_bn" : "Conv_1") < (int)size;
    const int parts = sscanf(prefix, "features.%d.conv.%d.%d", &index, &part, &inner);
    if (parts < 2)
        return false;
    // Two numbers: the linear end; three: the depthwise convolution, or the expansion before it.
    const char *what = parts == 2 ? "project" : part == 0 && index > 1 ? "expand" : "depthwise";
    char block_name[32] = "expanded_conv";
    if (index > 1)
        snprintf(block_name, sizeof block_name, "block_%d", index - 1);
    return snprintf(out, size, "%s_%s%s", block_name, what, bn ? "_BN" : "") < (int)size;
}

static const struct dialect torchvision[] = {{"torchvision", FILE_TORCH, NULL}, {0}};
static const struct dialect keras[] = {{"keras.applications", FILE_KERAS, keras_layer}, {0}};

// Rows made when they are asked for; they stay.
static const struct network *widened(const struct network *net, double width);

#define KERAS_ROW(text, alpha, first, fifth)                                                                           \
    .publisher = "Keras", .license = "Apache-2.0", .top1 = first, .top5 = fifth, .classes = 1000, \
    .head = "classifier.1", .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, INPUT_TF}, \
    .files = FILES("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_" text "_224.h5",                                  \
                   "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_" text "_224_no_top.h5"),                          \
    .dialects = keras, .family = &(const struct mobilenet){alpha, true, 1e-3f, 0.001f}, .build = build

const struct network mobilenet_v2_networks[] = {
    {.name = "mobilenet_v2", .title = "MobileNetV2", .publisher = "torchvision", .license = "BSD-3-Clause",
     .top1 = 71.878, .top5 = 90.286, .classes = 1000, .dropout = 0.2f, .head = "classifier.1",
     .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, INPUT_TORCH},
     .files = FILES("mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"), .dialects = torchvision,
     .family = &(const struct mobilenet){1, false, 1e-5f, 0.1f}, .build = build, .widened = widened},
    {.name = "mobilenet_v2.keras", .title = "MobileNetV2 of keras.applications", KERAS_ROW("1.0", 1, 71.336, 90.142),
     .widened = widened},
    {.name = "mobilenet_v2.keras@0.35", .title = "MobileNetV2 of keras.applications, width 0.35",
     KERAS_ROW("0.35", 0.35, 0, 0)},
    {.name = "mobilenet_v2.keras@0.5", .title = "MobileNetV2 of keras.applications, width 0.5",
     KERAS_ROW("0.5", 0.5, 0, 0)},
    {.name = "mobilenet_v2.keras@0.75", .title = "MobileNetV2 of keras.applications, width 0.75",
     KERAS_ROW("0.75", 0.75, 0, 0)},
    {.name = "mobilenet_v2.keras@1.3", .title = "MobileNetV2 of keras.applications, width 1.3",
     KERAS_ROW("1.3", 1.3, 0, 0)},
    {.name = "mobilenet_v2.keras@1.4", .title = "MobileNetV2 of keras.applications, width 1.4",
     KERAS_ROW("1.4", 1.4, 0, 0)},
};
FAMILY_COUNT(mobilenet_v2);

static const struct network *widened(const struct network *net, double width)
{
    enum { MOST = 256 };
    static struct row { struct network net; struct mobilenet own; char name[48], title[96]; } rows[MOST];
    static int n;
    static const char *const no_files[] = {NULL};
    char name[sizeof rows[0].name];
    snprintf(name, sizeof name, "%.*s@%.4g", (int)strcspn(net->name, "@"), net->name, width);
    for (int i = 0; i < mobilenet_v2_count; i++)
        if (strcmp(mobilenet_v2_networks[i].name, name) == 0)
            return &mobilenet_v2_networks[i];
    for (int i = 0; i < n; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i].net;
    if (n == MOST)
        return NULL;
    struct row *row = &rows[n++];
    row->own = *(const struct mobilenet *)net->family;
    row->own.width = width;
    row->net = *net;
    snprintf(row->name, sizeof row->name, "%s", name);
    snprintf(row->title, sizeof row->title, "MobileNetV2 of %s, width %.4g", net->publisher, width);
    row->net.name = row->name;
    row->net.title = row->title;
    row->net.top1 = row->net.top5 = 0;
    row->net.files = no_files;
    row->net.family = &row->own;
    return &row->net;
}
