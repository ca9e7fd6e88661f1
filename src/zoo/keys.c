// zoo/keys.c: the names a weight file has and those a network expects, as sorted keys.
// Keys:  torch  the tensor's name
//        Keras  LAYER//PLACE, PLACE counting the layer's tensors.  Layers that Keras numbered itself (conv2d_17,
//               batch_normalization, Keras 1's convolution2d_3) are CLASS#RANK: their numbers go on from model to
//               model. Where the names say nothing, layers go by their order in model.layers: CLASS@N//PLACE counting
//               those of a class (Keras 3's .weights.h5), layer@N//PLACE counting all, as Keras itself loads a file.

#include "zoo/keys.h"
#include "base/memory.h"

void keys_free(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++)
        mem_free(keys->items[i].text);
    mem_free(keys->items);
    *keys = (struct keys){0};
}

static graft_status keys_add(struct keys *keys, char *take_text, int index)
{
    if (take_text == NULL || !mem_grow(&keys->items, &keys->capacity, keys->count + 1, sizeof *keys->items)) {
        mem_free(take_text);
        return fail_memory("tensors' names");
    }
    keys->items[keys->count++] = (struct key){take_text, index};
    return GRAFT_OK;
}

static int by_text(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    const int order = strcmp(x->text, y->text);
    return order != 0 ? order : x->index - y->index;
}

static void keys_sort(struct keys *keys)
{
    if (keys->count > 1)
        qsort(keys->items, keys->count, sizeof *keys->items, by_text);
}

// --- Keras's layers --------------------------------------------------------------------------------------------------

// Keras 1 wrote class names without underscores.
static const struct { const char *name, *class; } auto_names[] = {
    {"conv2d", "conv2d"}, {"convolution2d", "conv2d"}, {"batch_normalization", "batch_normalization"},
    {"batchnormalization", "batch_normalization"}, {"depthwise_conv2d", "depthwise_conv2d"}, {"dense", "dense"}};

// A name that Keras made itself: its class and number ("conv2d" is number 0); NULL: a person's.
static const char *auto_class(const char *layer, long *number)
{
    for (size_t i = 0; i < COUNT_OF(auto_names); i++) {
        const size_t length = strlen(auto_names[i].name);
        char *end = (char *)layer + length;
        if (strncmp(layer, auto_names[i].name, length) != 0)
            continue;
        *number = *end == '_' && end[1] >= '0' && end[1] <= '9' ? strtol(end + 1, &end, 10) : 0;
        if (*end == '\0')
            return auto_names[i].class;
    }
    return NULL;
}

struct numbered { const char *class; long number; size_t layer; };

static int by_number(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    const int order = strcmp(x->class, y->class);
    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

// Replaces the names that Keras made itself by CLASS#RANK.
static graft_status rank_layers(struct keys *layers)
{
    struct numbered *found = mem_zero(layers->count + 1, sizeof *found);
    size_t n = 0, rank = 0;
    graft_status status = found != NULL ? GRAFT_OK : fail_memory("layers' names");
    for (size_t i = 0; status == GRAFT_OK && i < layers->count; i++)
        if ((found[n].class = auto_class(layers->items[i].text, &found[n].number)) != NULL)
            found[n++].layer = i;
    if (n > 1)
        qsort(found, n, sizeof *found, by_number);
    for (size_t i = 0; status == GRAFT_OK && i < n; i++) {
        rank = i > 0 && strcmp(found[i].class, found[i - 1].class) == 0 ? rank + 1 : 0;
        char *text = mem_format("%s#%zu", found[i].class, rank);
        if (text == NULL)
            status = fail_memory("layers' names");
        else {
            mem_free(layers->items[found[i].layer].text);
            layers->items[found[i].layer].text = text;
        }
    }
    mem_free(found);
    return status;
}

static const char *keras_class(const struct node *node)
{
    switch (node->op) {
    case OP_CONV:
        return node->attr.conv.groups > 1 && node->attr.conv.groups == node->attr.conv.oc ? "depthwise_conv2d"
                                                                                          : "conv2d";
    case OP_BN: return "batch_normalization";
    case OP_DENSE: return "dense";
    default: return "scale";
    }
}

bool numbered_layer(const struct graph *g, int node, char *out, size_t size)
{
    const char *class = keras_class(&g->nodes[node]);
    int before = 0;
    if (g->nodes[node].n_params == 0)
        return false;
    for (int i = 0; i < node; i++)
        before += g->nodes[i].n_params > 0 && strcmp(keras_class(&g->nodes[i]), class) == 0;
    return before > 0 ? snprintf(out, size, "%s_%d", class, before) < (int)size
                      : snprintf(out, size, "%s", class) < (int)size;
}

// --- the file's side -------------------------------------------------------------------------------------------------

static bool is_keras(const struct tensor_set *set)
{
    return set->count > 0 && strstr(set->items[0].name, "//") != NULL;
}

static bool is_counter(const char *name) // BatchNorm's num_batches_tracked: not a parameter
{
    const char *last = strrchr(name, '.');
    return strcmp(last != NULL ? last + 1 : name, "num_batches_tracked") == 0;
}

// A wrapper's prefix that all names begin with: DataParallel's, torch.compile's, Lightning's.
static size_t wrapper_length(const struct tensor_set *set)
{
    static const char *const wrappers[] = {"module.", "_orig_mod.", "model."};
    size_t length = 0;
    for (size_t w = 0; w < COUNT_OF(wrappers); w++) {
        const size_t more = strlen(wrappers[w]);
        size_t i = 0;
        while (i < set->count && strlen(set->items[i].name) > length + more &&
               strncmp(set->items[i].name + length, wrappers[w], more) == 0)
            i++;
        if (i > 0 && i == set->count) {
            length += more;
            w = (size_t)-1; // they nest
        }
    }
    return length;
}

static graft_status torch_keys(const struct tensor_set *set, struct keys *out)
{
    const size_t wrapper = wrapper_length(set);
    for (size_t i = 0; i < set->count; i++)
        if (!is_counter(set->items[i].name))
            TRY(keys_add(out, mem_text(set->items[i].name + wrapper), (int)i));
    return GRAFT_OK;
}

static bool same_layer(const char *a, const char *b)
{
    const size_t length = (size_t)(strstr(a, "//") - a);
    return strncmp(a, b, length + 2) == 0;
}

// A reader's name for a layer without one: "conv2d@3", "layer@3".
static enum form file_form(const struct tensor_set *set)
{
    const char *name = set->items[0].name, *end = strstr(name, "//"), *at = strchr(name, '@');
    if (at == NULL || at > end || at + 1 + strspn(at + 1, "0123456789") != end)
        return BY_NAME;
    return strncmp(name, "layer@", 6) == 0 ? BY_PLACE : BY_CLASS;
}

// BY_CLASS takes the reader's names as they are.
static graft_status keras_keys(const struct tensor_set *set, enum form form, struct keys *out)
{
    struct keys layers = {0}; // by the first tensor of each
    graft_status status = GRAFT_OK;
    for (size_t i = 0; status == GRAFT_OK && i < set->count; i++) {
        const char *name = set->items[i].name, *end = strstr(name, "//");
        if (end == NULL)
            status = fail(GRAFT_BAD_FILE, "tensor '%s' is of no layer", name);
        else if (i == 0 || !same_layer(set->items[i - 1].name, name))
            status = keys_add(&layers, mem_format("%.*s", (int)(end - name), name), (int)i);
    }
    if (status == GRAFT_OK && form == BY_NAME)
        status = rank_layers(&layers);
    for (size_t k = 0; status == GRAFT_OK && k < layers.count; k++) {
        if (form == BY_PLACE) {
            mem_free(layers.items[k].text);
            if ((layers.items[k].text = mem_format("layer@%zu", k)) == NULL)
                status = fail_memory("layers' names");
        }
        const int first = layers.items[k].index,
                  last = k + 1 < layers.count ? layers.items[k + 1].index : (int)set->count;
        for (int i = first; status == GRAFT_OK && i < last; i++)
            status = keys_add(out, mem_format("%s//%d", layers.items[k].text, i - first), i);
    }
    keys_free(&layers);
    return status;
}

// --- a network's side ------------------------------------------------------------------------------------------------

// The layers' keys by node: names, or places in Keras's order.
static graft_status layer_keys(const struct network *net, const struct graph *g, const struct dialect *dialect,
                               enum form form, struct keys *out)
{
    char name[NAME_SIZE];
    int *order = NULL, count = 0, seen[OP_COUNT][2] = {{0}};
    graft_status status = GRAFT_OK;
    if (form == BY_NAME) {
        for (int i = 0; i < g->n_nodes; i++)
            if (g->nodes[i].n_params > 0 && dialect_layer(dialect, net, g, i, name, sizeof name))
                TRY(keys_add(out, mem_text(name), i));
        return dialect->layout != FILE_TORCH ? rank_layers(out) : GRAFT_OK;
    }
    order = mem_alloc(((size_t)g->n_nodes + 1) * sizeof *order);
    if (order == NULL)
        return fail_memory("layers' order");
    TRY_GOTO(keras_order(g, order, &count));
    for (int i = 0; i < count; i++) {
        const struct node *node = &g->nodes[order[i]];
        const char *class = form == BY_CLASS ? keras_class(node) : "layer";
        const int n = form == BY_CLASS ? seen[node->op][class[0] == 'd' && node->op == OP_CONV]++ : i;
        TRY_GOTO(keys_add(out, mem_format("%s@%d", class, n), order[i]));
    }
done:
    mem_free(order);
    return status;
}

graft_status keys_expected(const struct network *net, const struct graph *g, const struct dialect *dialect,
                                  enum form form, struct keys *out)
{
    struct keys layers = {0};
    graft_status status = layer_keys(net, g, dialect, form, &layers);
    for (size_t k = 0; status == GRAFT_OK && k < layers.count; k++) {
        const struct node *node = &g->nodes[layers.items[k].index];
        const char *layer = layers.items[k].text;
        for (int p = 0, place = 0; status == GRAFT_OK && p < node->n_params; p++) {
            const struct graph_param *param = &g->params[node->param[p]];
            if (dialect->layout == FILE_TORCH)
                status = keys_add(out, mem_format("%s%s", layer, strrchr(param->name, '.')), node->param[p]);
            else if (!param->constant)
                status = keys_add(out, mem_format("%s//%d", layer, place++), node->param[p]);
        }
    }
    keys_free(&layers);
    keys_sort(out);
    return status;
}

graft_status found_read(const struct tensor_set *set, struct found *out)
{
    out->keras = is_keras(set);
    if (!out->keras)
        TRY(torch_keys(set, &out->named));
    else {
        out->form = file_form(set);
        TRY(keras_keys(set, out->form == BY_NAME ? BY_NAME : BY_CLASS, &out->named));
        if (out->form != BY_CLASS)
            TRY(keras_keys(set, out->form == BY_PLACE ? BY_CLASS : BY_PLACE, &out->placed));
    }
    keys_sort(&out->named);
    keys_sort(&out->placed);
    return GRAFT_OK;
}
