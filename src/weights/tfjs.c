// weights/tfjs.c: reads TensorFlow.js layers models, model.json and the shards beside it.
// In: bounded bytes of model.json, and of shards by name.  Out: named tensors "LAYER//WEIGHT", Keras's layout, copied.
// Grammar:  {"format": "layers-model", "modelTopology": {"keras_version", "backend", ...}, "convertedBy", "generatedBy",
//            "weightsManifest": [{"paths": [SHARD, ...], "weights": [{"name": LAYER/WEIGHT, "shape", "dtype"
//             [, "quantization": {"dtype": uint8|uint16|float16[, "scale", "min"]}]}, ...]}, ...]}
//           A group's tensors follow each other, without alignment, through its shards put end to end.
// Equation: value = q * scale + min for uint8 and uint16; float16 is the value itself.
// Source:   the format's README and tfjs-core's decoder.  Bounds: a shard is read once; names stay beside model.json;
//           memory grows by four times the shards' bytes at most.

#include "weights/tfjs.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { SHARD_LIMIT = 100 * 1000, NAME_LIMIT = 1024 };

// A group's shards as one run of bytes, read in order.
struct stream {
    const struct tfjs_shards *shards;
    const json_t *paths;
    size_t next;  // shard
    bytes shard;  // what is left of the present one
};

static graft_status stream_read(struct stream *s, uint8_t *out, size_t size, const char *tensor)
{
    while (size > 0) {
        if (s->shard.size == 0) {
            const char *name = json_string_value(json_array_get(s->paths, s->next++));
            if (name == NULL)
                return fail(GRAFT_BAD_FILE, "tensor '%s' needs %zu bytes more than its %zu shards hold: is one cut short?", tensor,
                            size, json_array_size(s->paths));
            TRY(s->shards->open(s->shards->user, name, &s->shard));
            continue;
        }
        const size_t part = size < s->shard.size ? size : s->shard.size;
        memcpy(out, s->shard.ptr, part);
        out += part;
        size -= part;
        s->shard.ptr += part;
        s->shard.size -= part;
    }
    return GRAFT_OK;
}

// Bytes that no tensor takes.
static graft_status stream_end(struct stream *s)
{
    while (s->shard.size == 0 && s->next < json_array_size(s->paths))
        TRY(s->shards->open(s->shards->user, json_string_value(json_array_get(s->paths, s->next++)), &s->shard));
    if (s->shard.size > 0)
        return fail(GRAFT_BAD_FILE, "its shards hold more bytes than their tensors: is model.json of another model?");
    return GRAFT_OK;
}

// A tensor as the manifest describes it.
struct entry {
    char name[NAME_LIMIT];
    struct shape shape;
    enum dtype stored;  // DTYPE_I32 stands for uint16 when `quantized`
    size_t item;        // bytes of an element in the shards
    bool quantized;
    double scale, min;
};

static graft_status quantization_parse(const json_t *object, struct entry *e)
{
    const char *dtype = json_string_value(json_object_get(object, "dtype"));
    const json_t *scale = json_object_get(object, "scale"), *min = json_object_get(object, "min");
    if (dtype != NULL && strcmp(dtype, "float16") == 0) {
        e->stored = DTYPE_F16;
        e->item = 2;
        return GRAFT_OK;
    }
    e->item = dtype != NULL && strcmp(dtype, "uint8") == 0 ? 1 : dtype != NULL && strcmp(dtype, "uint16") == 0 ? 2 : 0;
    if (e->item == 0 || !json_is_number(scale) || !json_is_number(min))
        return fail(GRAFT_BAD_FILE, "tensor '%s': quantization must be float16, or uint8 or uint16 with scale and min", e->name);
    e->quantized = true;
    e->scale = json_number_value(scale);
    e->min = json_number_value(min);
    return GRAFT_OK;
}

static graft_status entry_parse(const json_t *object, struct entry *e)
{
    static const struct { const char *name; enum dtype dtype; } dtypes[] = {
        {"float32", DTYPE_F32}, {"float16", DTYPE_F16}, {"int32", DTYPE_I32}};
    const char *name = json_string_value(json_object_get(object, "name"));
    const char *dtype = json_string_value(json_object_get(object, "dtype"));
    const json_t *shape = json_object_get(object, "shape"), *quantization = json_object_get(object, "quantization");
    *e = (struct entry){.stored = DTYPE_UNKNOWN};
    if (name == NULL || dtype == NULL || name[0] == '\0' || strlen(name) >= sizeof e->name - 4 || !json_is_array(shape) ||
        json_array_size(shape) > MAX_RANK)
        return fail(GRAFT_BAD_FILE, "weightsManifest: a weight needs a name of up to %d bytes, a dtype, and a shape of at most %d "
                    "dimensions", NAME_LIMIT - 5, MAX_RANK);
    memcpy(e->name, name, strlen(name) + 1);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return fail(GRAFT_BAD_FILE, "tensor '%s': dimension %zu of its shape is not a whole number >= 0", name, i);
        e->shape.dim[e->shape.rank++] = json_integer_value(dim);
    }
    for (size_t i = 0; i < COUNT_OF(dtypes); i++)
        if (strcmp(dtype, dtypes[i].name) == 0)
            e->stored = dtypes[i].dtype;
    if (e->stored == DTYPE_UNKNOWN)
        return fail(GRAFT_BAD_FILE, "tensor '%s' has dtype '%s'; graft reads float32, float16 and int32", name, dtype);
    e->item = dtype_size(e->stored);
    return json_is_object(quantization) ? quantization_parse(quantization, e) : GRAFT_OK;
}

static void dequantize(const struct entry *e, const uint8_t *src, size_t count, float *dst)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned q = e->item == 1 ? src[i] : (unsigned)(src[2 * i] | src[2 * i + 1] << 8);
        dst[i] = (float)(q * e->scale + e->min);
    }
}

// The shards' bytes are asked for first, in pieces, so that a lie about a shape costs no memory.
static graft_status bytes_read(struct stream *stream, const struct entry *e, size_t size, uint8_t **out)
{
    enum { PIECE = 4 << 20 };
    size_t have = 0, capacity = 0;
    *out = NULL;
    do {
        const size_t part = size - have < PIECE ? size - have : PIECE;
        if (!mem_grow(out, &capacity, have + part + (have + part == 0), 1))
            return fail_memory("a tensor");
        TRY(stream_read(stream, *out + have, part, e->name));
        have += part;
    } while (have < size);
    return GRAFT_OK;
}

// `name` is what the set calls it.
static graft_status tensor_read(struct stream *stream, const struct entry *e, const char *name, struct tensor_set *out)
{
    size_t count, size, whole;
    uint8_t *data = NULL;
    if (!shape_count(e->shape, &count) || !mul_size(count, e->item, &size) || !mul_size(count, sizeof(float), &whole))
        return fail(GRAFT_BAD_FILE, "tensor '%s': shape %s is too large", e->name, shape_text(e->shape));
    graft_status status = bytes_read(stream, e, size, &data);
    if (status == GRAFT_OK && e->quantized) {
        float *values = mem_aligned(whole);
        if (values == NULL)
            status = fail_memory("a tensor");
        else {
            dequantize(e, data, count, values);
            mem_free(data);
            TRY(tensor_set_own(out, values));
            return weights_add(out, name, DTYPE_F32, e->shape, (bytes){(const uint8_t *)values, whole});
        }
    }
    if (status != GRAFT_OK) {
        mem_free(data);
        return status;
    }
    TRY(tensor_set_own(out, data));
    return weights_add(out, name, e->stored, e->shape, (bytes){data, size});
}

// --- names -----------------------------------------------------------------------------------------------------------

// Keras's order within a layer, by what a weight is called; 0: unknown.
static int weight_place(const char *weight)
{
    static const struct { const char *name; int place; } rows[] = {
        {"kernel", 1}, {"depthwise_kernel", 1}, {"W", 1}, {"gamma", 1}, {"bias", 2}, {"b", 2}, {"beta", 2},
        {"moving_mean", 3}, {"running_mean", 3}, {"moving_variance", 4}, {"running_std", 4}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (strcmp(weight, rows[i].name) == 0)
            return rows[i].place;
    return 0;
}

// "LAYER/WEIGHT" -> "LAYER//WEIGHT".  Keras 1 wrote LAYER_W, perhaps with a number behind.
static void name_split(char *name)
{
    char *end = strrchr(name, '/');
    if (end != NULL) {
        memmove(end + 1, end, strlen(end) + 1);
        return;
    }
    char text[NAME_LIMIT];
    memcpy(text, name, strlen(name) + 1);
    char *last = strrchr(text, '_');
    if (last != NULL && last[1] != '\0' && strspn(last + 1, "0123456789") == strlen(last + 1))
        *last = '\0';
    for (char *c = text; *c != '\0'; c++)
        if (*c == '_' && weight_place(c + 1) > 0) {
            const size_t length = (size_t)(c - text);
            memmove(name + length + 2, name + length + 1, strlen(name + length + 1) + 1);
            memcpy(name + length, "//", 2);
            return;
        }
    memmove(name + 2, name, strlen(name) + 1); // of a layer without a name
    memcpy(name, "//", 2);
}

struct placed {
    size_t layer, index; // of the layer's first tensor, and its own
    int place;
    struct named_tensor tensor;
};

static int by_place(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    if (x->place != y->place)
        return x->place - y->place;
    return x->index < y->index ? -1 : x->index > y->index;
}

// Brings a layer's tensors together, in Keras's order where their names say it.
static graft_status layers_sort(struct tensor_set *set)
{
    struct placed *all = mem_zero(set->count + 1, sizeof *all);
    if (all == NULL)
        return fail_memory("tensors' names");
    for (size_t i = 0; i < set->count; i++) {
        const char *name = set->items[i].name, *split = strstr(name, "//");
        const size_t length = (size_t)(split - name) + 2;
        all[i] = (struct placed){i, i, weight_place(split + 2), set->items[i]};
        for (size_t k = i; k-- > 0;) // a layer's tensors are near each other
            if (strncmp(set->items[k].name, name, length) == 0) {
                all[i].layer = all[k].layer;
                break;
            }
    }
    for (size_t i = 0; i < set->count; i++) // one unknown weight: the file's order for the whole layer
        for (size_t k = 0; all[i].place == 0 && k < set->count; k++)
            if (all[k].layer == all[i].layer && all[k].place > 0)
                all[k].place = 0;
    if (set->count > 1)
        qsort(all, set->count, sizeof *all, by_place);
    for (size_t i = 0; i < set->count; i++)
        set->items[i] = all[i].tensor;
    mem_free(all);
    return GRAFT_OK;
}

// --- the file --------------------------------------------------------------------------------------------------------

static graft_status paths_check(const json_t *manifest)
{
    json_t *seen = json_object();
    graft_status status = seen != NULL ? GRAFT_OK : fail_memory("shards' names");
    size_t g, p, count = 0;
    json_t *group, *path;
    json_array_foreach((json_t *)manifest, g, group)
    {
        json_array_foreach(json_object_get(group, "paths"), p, path)
        {
            const char *name = json_string_value(path);
            if (status != GRAFT_OK)
                break;
            if (name == NULL || name[0] == '\0' || name[0] == '/' || strstr(name, "..") != NULL || ++count > SHARD_LIMIT)
                status = fail(GRAFT_BAD_FILE, "weightsManifest: a shard must be a file beside model.json, and there may be %d",
                              SHARD_LIMIT);
            else if (json_object_get(seen, name) != NULL)
                status = fail(GRAFT_BAD_FILE, "weightsManifest: shard '%s' is listed twice", name);
            else
                json_object_set_new(seen, name, json_true());
        }
    }
    json_decref(seen);
    return status;
}

static graft_status group_read(const json_t *group, const struct tfjs_shards *shards, struct tensor_set *out)
{
    const json_t *paths = json_object_get(group, "paths"), *weights = json_object_get(group, "weights");
    struct stream stream = {.shards = shards, .paths = paths};
    if (!json_is_array(paths) || !json_is_array(weights))
        return fail(GRAFT_BAD_FILE, "weightsManifest: a group needs paths and weights");
    for (size_t i = 0; i < json_array_size(weights); i++) {
        struct entry e;
        char name[NAME_LIMIT];
        TRY(entry_parse(json_array_get(weights, i), &e));
        memcpy(name, e.name, sizeof name);
        name_split(name);
        TRY(tensor_read(&stream, &e, name, out));
    }
    return stream_end(&stream);
}

static graft_status head_read(const json_t *root, struct tensor_set *out)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *topology = json_object_get(root, "modelTopology");
    if (format != NULL && strcmp(format, "layers-model") != 0)
        return fail(GRAFT_BAD_FILE, "a TensorFlow.js '%s'; graft reads layers models (tensorflowjs_converter "
                    "--output_format=tfjs_layers_model)", format);
    if (!json_is_array(json_object_get(root, "weightsManifest")))
        return fail(GRAFT_BAD_FILE, "this is JSON text, but not TensorFlow.js's model.json: weightsManifest is missing");
    out->format = mem_text("TensorFlow.js layers model");
    if (out->format == NULL)
        return fail_memory("a format's name");
    json_t *metadata = json_object();
    static const char *const keys[] = {"keras_version", "backend"}, *const own[] = {"convertedBy", "generatedBy"};
    for (size_t i = 0; i < 2; i++) {
        if (json_object_get(topology, keys[i]) != NULL)
            json_object_set(metadata, keys[i], json_object_get(topology, keys[i]));
        if (json_object_get(root, own[i]) != NULL)
            json_object_set(metadata, own[i], json_object_get(root, own[i]));
    }
    const graft_status status = metadata != NULL ? keras_metadata(out, metadata) : fail_memory("metadata");
    json_decref(metadata);
    return status;
}

graft_status tfjs_read_shards(bytes text, const struct tfjs_shards *shards, struct tensor_set *out)
{
    json_t *root = NULL, *group;
    size_t i;
    graft_status status = json_parse(text, "model.json", &root);
    if (status != GRAFT_OK)
        return status;
    TRY_GOTO(head_read(root, out));
    const json_t *manifest = json_object_get(root, "weightsManifest");
    TRY_GOTO(paths_check(manifest));
    json_array_foreach((json_t *)manifest, i, group)
        TRY_GOTO(group_read(group, shards, out));
    if (out->count == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "it has no weights"));
    TRY_GOTO(layers_sort(out));
done:
    json_decref(root);
    return status;
}

struct folder {
    char *path;
    struct file_map map; // of the present shard
};

static graft_status folder_open(void *user, const char *name, bytes *out)
{
    struct folder *f = user;
    file_map_close(&f->map);
    char *path = path_join(f->path, name);
    if (path == NULL)
        return fail_memory("a path");
    const graft_status status = file_map_open(path, &f->map);
    mem_free(path);
    *out = f->map.data;
    return status;
}

graft_status tfjs_read(const char *path, bytes data, struct tensor_set *out)
{
    struct folder folder = {.path = mem_format("%.*s", (int)(path_name(path) - path), path)};
    if (folder.path == NULL)
        return fail_memory("a path");
    const graft_status status = tfjs_read_shards(data, &(struct tfjs_shards){&folder, folder_open}, out);
    file_map_close(&folder.map);
    mem_free(folder.path);
    return status;
}
