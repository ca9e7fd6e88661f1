// weights/keras_write.c: whole models as Keras files: .keras and .h5.
// In: struct exported.  Out: files that keras.saving.load_model opens; the model's output is softmax.
// Grammar:  .keras  ZIP of metadata.json, config.json, model.weights.h5
//           model.weights.h5: group layers/CLASS[_n]/vars of datasets 0, 1, ..., attribute name = the layer's
//           .h5     attributes keras_version, backend, model_config, graft (JSON of texts); group model_weights as
//           h5_helper.c describes it
//           config  {"class_name": "Functional", "config": {"layers": [{"class_name", "config", "name",
//           "inbound_nodes": [[[LAYER, 0, 0, {}], ...]]}, ...], "input_layers", "output_layers"}}
// Source:   Keras 3.15's files, its saving_lib and legacy_h5_format.  Layers are connected in the older of the two
//           spellings that Keras 3 reads, which Keras 2 reads too.
// Weights are re-laid and written one at a time, so a file costs its largest tensor twice.

#include "base/file.h"
#include "base/memory.h"
#include "base/zip.h"
#include "weights/h5_write.h"
#include "weights/keras_layers.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define KERAS_VERSION "3.15.0" // whose files these are

struct sink {
    const struct exported *e;
    struct file_writer *file;
    struct zip_writer *zip; // NULL: straight into the file
    float *canonical, *relaid;
};

static graft_status sink_put(void *user, const void *data, size_t size)
{
    const struct sink *s = user;
    return s->zip != NULL ? zip_writer_put(s->zip, data, size) : file_writer_put(s->file, data, size);
}

static graft_status sink_data(void *user, int param, const float **out)
{
    struct sink *s = user;
    param_to_canonical(s->e->params, param, s->canonical);
    file_relay(FILE_KERAS, false, TO_FILE, s->e->graph, param, s->canonical, s->relaid);
    *out = s->relaid;
    return GRAFT_OK;
}

// --- the configuration -----------------------------------------------------------------------------------------------

static json_t *inbound_of(const struct keras_model *m, const struct keras_layer *layer)
{
    json_t *node = json_array(), *nodes = json_array();
    for (int i = 0; i < layer->n_in; i++)
        json_array_append_new(node, json_pack("[s, i, i, {}]", m->layers[layer->in[i]].name, 0, 0));
    if (layer->n_in > 0)
        json_array_append(nodes, node);
    json_decref(node);
    return nodes;
}

// `modules`: as .keras has it, where each class says its module.
static json_t *layer_config(const struct keras_model *m, const struct keras_layer *layer, bool modules)
{
    json_t *out = json_pack("{s:s, s:O, s:s, s:o}", "class_name", layer->class_name, "config", layer->config, "name",
                            layer->name, "inbound_nodes", inbound_of(m, layer));
    if (out == NULL)
        return NULL;
    if (modules) {
        json_object_set_new(out, "module", json_string("keras.layers"));
        json_object_set_new(out, "registered_name", json_null());
    } else if (layer->n_in == 0) { // as Keras 2 calls it; Keras 3 knows
        json_object_set(layer->config, "batch_input_shape", json_object_get(layer->config, "batch_shape"));
        json_object_del(layer->config, "batch_shape");
    }
    return out;
}

static char *config_text(const struct exported *e, const struct keras_model *m, bool modules)
{
    char name[64];
    json_t *layers = json_array();
    for (int i = 0; i < m->count; i++)
        json_array_append_new(layers, layer_config(m, &m->layers[i], modules));
    snprintf(name, sizeof name, "%s", e->network->name);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '.' ? '_' : *c;
    const bool whole = json_array_size(layers) == (size_t)m->count;
    json_t *model = json_pack("{s:s, s:b, s:o, s:[s, i, i], s:[s, i, i]}", "name", name, "trainable", 1, "layers", layers,
                              "input_layers", m->layers[0].name, 0, 0, "output_layers", m->layers[m->output].name, 0, 0);
    json_t *root = model != NULL ? json_pack("{s:s, s:o}", "class_name", "Functional", "config", model) : NULL;
    if (modules && root != NULL) {
        json_object_set_new(root, "module", json_string("keras.src.models.functional"));
        json_object_set_new(root, "registered_name", json_string("Functional"));
    }
    char *text = root != NULL && whole ? json_text(root) : NULL;
    json_decref(root);
    return text;
}

// --- .keras ----------------------------------------------------------------------------------------------------------

// Keras's to_snake_case: "DepthwiseConv2D" -> "depthwise_conv2d", "ReLU" -> "re_lu".
static void snake_case(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; name[i] != '\0' && n + 3 < size; i++) {
        const char before = i > 0 ? name[i - 1] : '\0', c = name[i], after = name[i + 1];
        const bool word = isupper((unsigned char)c) && islower((unsigned char)after) && before != '\0';
        const bool after_word = isupper((unsigned char)c) && islower((unsigned char)before);
        if (word || after_word)
            out[n++] = '_';
        out[n++] = (char)tolower((unsigned char)c);
    }
    out[n] = '\0';
}

// Groups of all layers that have weights; layers of a class are counted whether they have or not.
static void layers_describe(const struct exported *e, const struct keras_model *m, struct h5_writer *h)
{
    char class_name[64], path[128];
    for (int i = 0; i < m->count; i++) {
        const struct keras_layer *layer = &m->layers[i];
        int same = 0;
        if (layer->n_params == 0)
            continue;
        for (int k = 0; k < i; k++)
            same += strcmp(m->layers[k].class_name, layer->class_name) == 0;
        snake_case(layer->class_name, class_name, sizeof class_name);
        if (same > 0)
            snprintf(path, sizeof path, "layers/%s_%d/vars", class_name, same);
        else
            snprintf(path, sizeof path, "layers/%s/vars", class_name);
        const int group = h5_group(h, 0, path);
        h5_text(h, group, "name", layer->name);
        for (int k = 0; k < layer->n_params; k++) {
            snprintf(path, sizeof path, "%d", k);
            h5_dataset(h, group, path, keras_shape(e->graph, layer->param[k]), layer->param[k]);
        }
    }
    h5_text(h, h5_group(h, 0, "vars"), "name", e->network->name);
}

// The version of Keras, and graft's own metadata, which Keras passes over.
static char *metadata_text(const struct exported *e)
{
    json_t *object = NULL;
    if (json_parse((bytes){(const uint8_t *)e->metadata, strlen(e->metadata)}, "metadata", &object) != GRAFT_OK)
        return NULL;
    json_object_set_new(object, "keras_version", json_string(KERAS_VERSION));
    char *text = json_text(object);
    json_decref(object);
    return text;
}

static graft_status member_text(struct zip_writer *zip, const char *name, const char *text)
{
    TRY(zip_writer_member(zip, name));
    return zip_writer_put(zip, text, strlen(text));
}

static graft_status archive_put(struct sink *s, const struct keras_model *m)
{
    struct zip_writer zip = {.file = s->file};
    struct h5_writer h5 = {0};
    graft_status status = GRAFT_OK;
    char *config = config_text(s->e, m, true), *metadata = metadata_text(s->e);
    s->zip = &zip;
    if (config == NULL || metadata == NULL)
        TRY_GOTO(fail_memory("a Keras model's configuration"));
    layers_describe(s->e, m, &h5);
    TRY_GOTO(member_text(&zip, "metadata.json", metadata));
    TRY_GOTO(member_text(&zip, "config.json", config));
    TRY_GOTO(zip_writer_member(&zip, "model.weights.h5"));
    TRY_GOTO(h5_write(&h5, &(struct h5_target){s, sink_put, sink_data}));
    TRY_GOTO(zip_writer_finish(&zip));
done:
    s->zip = NULL;
    zip_writer_fini(&zip);
    h5_writer_fini(&h5);
    mem_free(config);
    mem_free(metadata);
    return status;
}

// --- .h5 -------------------------------------------------------------------------------------------------------------

static graft_status weights_describe(const struct exported *e, const struct keras_model *m, int root, struct h5_writer *h)
{
    const char **names = mem_zero((size_t)m->count, sizeof *names);
    if (names == NULL)
        return fail_memory("layers' names");
    h5_text(h, root, "keras_version", KERAS_VERSION);
    h5_text(h, root, "backend", "tensorflow");
    for (int i = 0; i < m->count; i++) {
        const struct keras_layer *layer = &m->layers[i];
        char weight[MAX_PARAMS][300];
        const char *weights[MAX_PARAMS];
        const int group = h5_group(h, root, layer->name);
        names[i] = layer->name;
        for (int k = 0; k < layer->n_params; k++) {
            weights[k] = weight[k];
            ASSERT(snprintf(weight[k], sizeof weight[k], "%s/%s", layer->name, keras_weight(e->graph, layer->param[k])) <
                   (int)sizeof weight[k]);
            h5_dataset(h, group, weight[k], keras_shape(e->graph, layer->param[k]), layer->param[k]);
        }
        h5_texts(h, group, "weight_names", weights, (size_t)layer->n_params);
    }
    h5_texts(h, root, "layer_names", names, (size_t)m->count);
    mem_free(names);
    return GRAFT_OK;
}

static graft_status h5_put(struct sink *s, const struct keras_model *m, enum keras_file kind)
{
    struct h5_writer h5 = {0};
    graft_status status = GRAFT_OK;
    char *config = kind == KERAS_H5 ? config_text(s->e, m, false) : NULL;
    if (kind == KERAS_H5 && config == NULL)
        TRY_GOTO(fail_memory("a Keras model's configuration"));
    h5_text(&h5, 0, "graft", s->e->metadata);
    if (kind == KERAS_WEIGHTS)
        layers_describe(s->e, m, &h5);
    else if (kind == KERAS_H5_WEIGHTS)
        TRY_GOTO(weights_describe(s->e, m, 0, &h5));
    else {
        h5_text(&h5, 0, "keras_version", KERAS_VERSION);
        h5_text(&h5, 0, "backend", "tensorflow");
        h5_text(&h5, 0, "model_config", config);
        TRY_GOTO(weights_describe(s->e, m, h5_group(&h5, 0, "model_weights"), &h5));
    }
    TRY_GOTO(h5_write(&h5, &(struct h5_target){s, sink_put, sink_data}));
done:
    h5_writer_fini(&h5);
    mem_free(config);
    return status;
}

graft_status keras_write(const char *path, const struct exported *e, enum keras_file kind)
{
    struct keras_model model;
    struct file_writer file = {.fd = -1};
    struct sink sink = {.e = e, .file = &file};
    size_t largest = 0;
    graft_status status = GRAFT_OK;
    TRY(keras_layers_make(e, &model));
    for (int i = 0; i < e->graph->n_params; i++) {
        size_t count;
        ASSERT(shape_count(e->graph->params[i].shape, &count));
        largest = count > largest ? count : largest;
    }
    sink.canonical = mem_alloc(largest * sizeof(float));
    sink.relaid = mem_alloc(largest * sizeof(float));
    if (sink.canonical == NULL || sink.relaid == NULL)
        TRY_GOTO(fail_memory("a tensor"));
    TRY_GOTO(file_writer_open(path, &file));
    TRY_GOTO(kind == KERAS_ARCHIVE ? archive_put(&sink, &model) : h5_put(&sink, &model, kind));
done:
    mem_free(sink.canonical);
    mem_free(sink.relaid);
    keras_layers_fini(&model);
    if (status == GRAFT_OK)
        return file_writer_commit(&file);
    file_writer_abandon(&file);
    return status;
}
