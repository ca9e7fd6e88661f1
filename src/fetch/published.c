// fetch/published.c: the files that publishers offer, by the name they have in the caches.
// URLs and MD5s: keras.applications (Keras 3), fchollet/deep-learning-models v0.2, kentsommer/keras-inceptionV4 2.1;
// URLs and sizes: torchvision's weight enums, timm's configurations; Caffe's model zoo.  None was asked from here.
// Keras 0.2 and 0.5 used one name for different networks: rows without a URL make the older digest known.

#include "fetch/fetch.h"
#include <ctype.h>
#include <string.h>

#define TORCH(name, mib) {name, "https://download.pytorch.org/models/" name, mib, NULL}
#define LITE(name) \
    {name, "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/" name, 0, NULL}
#define HUB(name, repository) \
    {name, "https://huggingface.co/timm/" repository "/resolve/main/model.safetensors", 0, NULL}
#define KERAS(folder, name, mib, md5) \
    {name, "https://storage.googleapis.com/tensorflow/keras-applications/" folder name, mib, md5}
#define KERAS02(name, md5) \
    {name, "https://github.com/fchollet/deep-learning-models/releases/download/v0.2/" name, 0, md5}
#define INCEPTION4(name, md5) \
    {name, "https://github.com/kentsommer/keras-inceptionV4/releases/download/2.1/" name, 0, md5}
#define TF "_weights_tf_dim_ordering_tf_kernels"
#define TH "_weights_th_dim_ordering_th_kernels"
#define MOBILENET(width)                                                                                               \
    KERAS("mobilenet_v2/", "mobilenet_v2" TF "_" width "_224.h5", 0, NULL),                                            \
        KERAS("mobilenet_v2/", "mobilenet_v2" TF "_" width "_224_no_top.h5", 0, NULL)

static const struct published table[] = {
    TORCH("vgg11-8a719046.pth", 506.8),
    TORCH("vgg13-19584684.pth", 507.5),
    TORCH("vgg16-397923af.pth", 527.8),
    TORCH("vgg19-dcbb9e9d.pth", 548.1),
    TORCH("googlenet-1378be20.pth", 49.7),
    TORCH("inception_v3_google-0cc3c7bd.pth", 103.9),
    TORCH("resnet18-f37072fd.pth", 44.7),
    TORCH("resnet34-b627a593.pth", 83.3),
    TORCH("resnet50-0676ba61.pth", 97.8),
    TORCH("resnet50-11ad3fa6.pth", 97.8),
    TORCH("resnet101-63fe2227.pth", 170.5),
    TORCH("resnet101-cd907fc2.pth", 170.5),
    TORCH("resnet152-394f9c45.pth", 230.4),
    TORCH("resnet152-f82ba261.pth", 230.5),
    TORCH("densenet121-a639ec97.pth", 30.8),
    TORCH("densenet161-8d451a50.pth", 110.4),
    TORCH("densenet169-b2777c0a.pth", 54.7),
    TORCH("mobilenet_v2-b0353104.pth", 13.6),
    TORCH("mobilenet_v2-7ebf99e0.pth", 13.6),
    LITE("tf_efficientnet_lite0-0aa007d2.pth"),
    LITE("tf_efficientnet_lite1-bde8b488.pth"),
    LITE("tf_efficientnet_lite2-dcccb7df.pth"),
    LITE("tf_efficientnet_lite3-b733e338.pth"),
    LITE("tf_efficientnet_lite4-741542c3.pth"),
    LITE("efficientnet_lite0_ra-37913777.pth"),
    HUB("tf_efficientnet_lite0.safetensors", "tf_efficientnet_lite0.in1k"),
    HUB("tf_efficientnet_lite1.safetensors", "tf_efficientnet_lite1.in1k"),
    HUB("tf_efficientnet_lite2.safetensors", "tf_efficientnet_lite2.in1k"),
    HUB("tf_efficientnet_lite3.safetensors", "tf_efficientnet_lite3.in1k"),
    HUB("tf_efficientnet_lite4.safetensors", "tf_efficientnet_lite4.in1k"),
    HUB("inception_v4.tf_in1k.safetensors", "inception_v4.tf_in1k"),
    KERAS("vgg16/", "vgg16" TF ".h5", 528, "64373286793e3c8b2b4e3219cbf3544b"),
    KERAS("vgg16/", "vgg16" TF "_notop.h5", 0, "6d6bbae143d832006294945121d1f1fc"),
    KERAS("vgg19/", "vgg19" TF ".h5", 549, "cbe5617147190e668d6c5d5026f83318"),
    KERAS("vgg19/", "vgg19" TF "_notop.h5", 0, "253f8cb515780f3b799900260a226db6"),
    KERAS("inception_v3/", "inception_v3" TF ".h5", 92, "9a0d58056eeedaa3f26cb7ebd46da564"),
    KERAS("inception_v3/", "inception_v3" TF "_notop.h5", 0, "bcbd6486424b2319ff4ef7d526e38f63"),
    KERAS("resnet/", "resnet50" TF ".h5", 98, "2cb95161c43110f7111970584f804107"),
    KERAS("resnet/", "resnet50" TF "_notop.h5", 0, "4d473c1dd8becc155b73f8504c6f6626"),
    KERAS("resnet/", "resnet101" TF ".h5", 171, "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
    KERAS("resnet/", "resnet101" TF "_notop.h5", 0, "88cf7a10940856eca736dc7b7e228a21"),
    KERAS("resnet/", "resnet152" TF ".h5", 232, "100835be76be38e30d865e96f2aaae62"),
    KERAS("resnet/", "resnet152" TF "_notop.h5", 0, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    KERAS("densenet/", "densenet121" TF ".h5", 33, "9d60b8095a5708f2dcce2bca79d332c7"),
    KERAS("densenet/", "densenet121" TF "_notop.h5", 0, "30ee3e1110167f948a6b9946edeeb738"),
    KERAS("densenet/", "densenet169" TF ".h5", 57, "d699b8f76981ab1b30698df4c175e90b"),
    KERAS("densenet/", "densenet169" TF "_notop.h5", 0, "b8c4d4c20dd625c148057b9ff1c1176b"),
    MOBILENET("0.35"),
    MOBILENET("0.5"),
    MOBILENET("0.75"),
    MOBILENET("1.0"),
    MOBILENET("1.3"),
    MOBILENET("1.4"),
    KERAS02("inception_v3" TH ".h5", "b3baf3070cc4bf476d43a2ea61b0ca5f"),
    KERAS02("inception_v3" TH "_notop.h5", "79aaa90ab4372b4593ba3df64e142f05"),
    {"inception_v3" TF ".h5", NULL, 0, "fe114b3ff2ea4bf891e9353d1bbfb32f"},
    {"inception_v3" TF "_notop.h5", NULL, 0, "2f3609166de1d967d1a481094754f691"},
    KERAS02("resnet50" TH ".h5", "1c1f8f5b0c8ee28fe9d950625a230e1c"),
    KERAS02("resnet50" TH "_notop.h5", "f64f049c92468c9affcd44b0976cdafe"),
    {"resnet50" TF ".h5", NULL, 0, "a7b3fe01876f51b976af0dea6bc144eb"},
    {"resnet50" TF "_notop.h5", NULL, 0, "a268eb855778b3df3c7506639542a6af"},
    INCEPTION4("inception-v4" TF ".h5", "9fe79d77f793fe874470d84ca6ba4a3b"),
    INCEPTION4("inception-v4" TF "_notop.h5", "9296b46b5971573064d12e4669110969"),
    {"bvlc_googlenet.caffemodel", "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel", 0, NULL},
};

const struct published *published_find(const char *file)
{
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (strcmp(table[i].file, file) == 0)
            return &table[i]; // rows with a URL come first
    return NULL;
}

enum digest_kind published_kind(const char *file)
{
    const struct published *p = published_find(file);
    return p != NULL && p->md5 != NULL ? DIGEST_MD5 : DIGEST_SHA256;
}

// PyTorch's "NAME-HEX.pth": HEX, 8 digits or more, begins the file's SHA-256.  Its length, or 0.
static size_t digits_in(const char *file, const char **out)
{
    const char *dash = strrchr(file, '-');
    size_t n = 0;
    for (; dash != NULL && isxdigit((unsigned char)dash[1 + n]) && !isupper((unsigned char)dash[1 + n]); n++)
        ;
    *out = dash != NULL ? dash + 1 : NULL;
    return n >= 8 && n < DIGEST_TEXT && strcmp(dash + 1 + n, ".pth") == 0 ? n : 0;
}

enum published_match published_match(const char *file, const char *digest, char expected[DIGEST_TEXT])
{
    const char *digits;
    const size_t n = digits_in(file, &digits);
    enum published_match match = PUBLISHED_UNKNOWN;
    expected[0] = '\0';
    if (n > 0) {
        memcpy(expected, digits, n);
        expected[n] = '\0';
        return strncmp(digest, digits, n) == 0 ? PUBLISHED_SAME : PUBLISHED_DIFFERS;
    }
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (table[i].md5 == NULL || strcmp(table[i].file, file) != 0)
            continue;
        if (strcmp(table[i].md5, digest) == 0)
            return PUBLISHED_SAME;
        if (match == PUBLISHED_UNKNOWN)
            memcpy(expected, table[i].md5, strlen(table[i].md5) + 1);
        match = PUBLISHED_DIFFERS;
    }
    return match;
}
