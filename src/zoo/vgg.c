// zoo/vgg.c: VGG16 of torchvision (adaptive 7x7 average, dropout) and of Keras (neither; Caffe's input).
// Names: torchvision's.  Source: Simonyan and Zisserman 2014, configuration D.

#include "zoo/families.h"
#include <stdio.h>
#include <stdlib.h>

static const int vgg16[] = {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}; // 0: pool

static graft_status build(struct graph *g, int size, int classes, float dropout, bool adaptive)
{
    int v = 0, index = 0; // index counts torchvision's modules: convolution, ReLU, pool
    char name[32];
    graph_init(g, 3, size, size);
    for (size_t i = 0; i < COUNT_OF(vgg16); i++) {
        if (vgg16[i] == 0) {
            v = graph_maxpool(g, v, pool_ceil(g, v, 2, 2, 0, false));
            index++;
            continue;
        }
        snprintf(name, sizeof name, "features.%d", index);
        v = graph_relu(g, graph_conv(g, v, name, conv_pad(vgg16[i], 3, 1, 1, 1, true)));
        index += 2;
    }
    if (adaptive && size != 224)
        v = graph_adaptive_avgpool(g, v, 7, 7);
    static const char *const dense[] = {"classifier.0", "classifier.3"};
    for (int i = 0; i < 2; i++) {
        v = graph_relu(g, graph_dense(g, v, dense[i], 4096, true));
        if (dropout > 0)
            v = graph_dropout(g, v, dropout);
    }
    return graph_finish(g, graph_dense(g, v, "classifier.6", classes, true));
}

graft_status vgg16_build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net;
    return build(g, size, classes, dropout, true);
}

graft_status vgg16_keras_build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net;
    return build(g, size, classes, dropout, false);
}

// keras.applications: "block1_conv1/..." with a weight called kernel, bias, or (Keras 1) ..._W, ..._b.
bool vgg16_keras_rename(const char *name, char *out, size_t size)
{
    int block, conv;
    const char *prefix = NULL, *weight = strrchr(name, '/');
    char features[32];
    if (weight == NULL)
        return false;
    if (sscanf(name, "block%d_conv%d/", &block, &conv) == 2) {
        int b = 1, c = 0, index = 0;
        for (size_t i = 0; i < COUNT_OF(vgg16); i++) {
            if (vgg16[i] == 0) {
                b++;
                c = 0;
                index++;
                continue;
            }
            if (b == block && ++c == conv) {
                snprintf(features, sizeof features, "features.%d", index);
                prefix = features;
            }
            index += 2;
        }
    } else if (strncmp(name, "fc1/", 4) == 0)
        prefix = "classifier.0";
    else if (strncmp(name, "fc2/", 4) == 0)
        prefix = "classifier.3";
    else if (strncmp(name, "predictions/", 12) == 0)
        prefix = "classifier.6";
    if (prefix == NULL)
        return false;
    const size_t length = strcspn(++weight, ":");
    const bool kernel = strncmp(weight, "kernel", length) == 0 || (length > 2 && strncmp(weight + length - 2, "_W", 2) == 0);
    const bool bias = strncmp(weight, "bias", length) == 0 || (length > 2 && strncmp(weight + length - 2, "_b", 2) == 0);
    if (!kernel && !bias)
        return false;
    return snprintf(out, size, "%s.%s", prefix, kernel ? "weight" : "bias") < (int)size;
}

// Keras's layers and torchvision's modules: a pool (or a ReLU) stands for the rows before it.
int vgg16_row_named(const struct graph *g, const char *name)
{
    char text[64], canonical[64];
    int rows = 0, block = 1, index = 0;
    for (size_t i = 0; i < COUNT_OF(vgg16); i++) {
        const bool pool = vgg16[i] == 0;
        rows += !pool;
        snprintf(text, sizeof text, "block%d_pool", block);
        if (pool && strcmp(name, text) == 0)
            return rows;
        block += pool;
        for (int k = 0; k < (pool ? 1 : 2); k++) { // convolution and ReLU
            snprintf(text, sizeof text, "features.%d", index++);
            if (strcmp(name, text) == 0)
                return rows;
        }
    }
    if (strcmp(name, "flatten") == 0 || strcmp(name, "avgpool") == 0)
        return rows;
    if (snprintf(text, sizeof text, "%s/kernel", name) >= (int)sizeof text ||
        !vgg16_keras_rename(text, canonical, sizeof canonical))
        return -1;
    canonical[strlen(canonical) - strlen(".weight")] = '\0';
    return graph_row_named(g, canonical);
}
