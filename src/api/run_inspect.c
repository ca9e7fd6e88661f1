// api/run_inspect.c: `graft inspect FILE`: what a weight or model file is.
// Format and writer, the network and what the file lacks of it, parameters, how a picture enters, classes, every
// tensor.

#include "api/run.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "weights/weights.h"
#include <string.h>
#include <sys/stat.h>

// A JSON text within the metadata, or NULL.
static json_t *metadata_json(const json_t *metadata, const char *key)
{
    const char *text = json_string_value(json_object_get(metadata, key));
    json_t *value = NULL;
    if (text != NULL)
        json_parse((bytes){(const uint8_t *)text, strlen(text)}, key, &value);
    return value;
}

// What the writer says of itself: Keras's version and backend, TensorFlow.js's converter, any other text of the file.
static void put_writer(json_t *result, const json_t *metadata)
{
    json_t *writer = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (strncmp(key, "graft.", 6) != 0)
            json_object_set(writer, key, value);
    }
    if (json_object_size(writer) > 0)
        json_object_set(result, "writer", writer);
    json_decref(writer);
}

// A graft model's own: classes, training, input.
static void put_own(json_t *result, const json_t *metadata)
{
    static const char *const keys[][2] = {
        {"graft.classes", "classes"}, {"graft.trained", "trained"}, {"graft.input", "input"}};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        json_t *value = metadata_json(metadata, keys[i][0]);
        if (value != NULL)
            json_object_set_new(result, keys[i][1], value);
    }
    if (json_object_get(metadata, "graft.arch") != NULL)
        json_object_set(result, "arch", json_object_get(metadata, "graft.arch"));
}

static void put_tensors(json_t *result, const struct tensor_set *set)
{
    json_t *tensors = json_array();
    size_t values = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct named_tensor *t = &set->items[i];
        size_t count;
        if (shape_count(t->shape, &count))
            values += count;
        json_array_append_new(tensors, json_pack("{s:s*, s:s, s:s}", "name", t->name, "dtype", dtype_name(t->dtype),
                                                 "shape", shape_text(t->shape)));
    }
    json_object_set_new(result, "tensors", tensors);
    json_object_set_new(result, "values", json_integer((json_int_t)values));
}

// The network at the file's own input size and number of classes: parameters, rows, what is missing.
static graft_status put_network(json_t *result, const struct network *net, const struct tensor_set *set)
{
    struct graph g = {0};
    struct input_spec input = net->input;
    char name[256];
    const json_t *own = json_object_get(result, "input"); // of a graft model
    const int size = (int)json_integer_value(json_object_get(own, "size"));
    const char *rule = json_string_value(json_object_get(own, "rule"));
    snprintf(name, sizeof name, "%s.weight", net->head);
    const struct named_tensor *head = tensor_find(set, name);
    const int classes = head != NULL && head->shape.rank > 0 ? (int)head->shape.dim[0] : net->classes;
    if (size > 0)
        input_scaled(&input, size);
    if (json_is_integer(json_object_get(own, "resize")))
        input.resize = (int)json_integer_value(json_object_get(own, "resize"));
    for (int i = 0; rule != NULL && resize_rules[i] != NULL; i++)
        if (strcmp(rule, resize_rules[i]) == 0)
            input.rule = (enum resize_rule)i;
    graft_status status = net->build(net, &g, input.size, classes, net->dropout);
    if (status == GRAFT_OK) {
        json_t *missing = json_array();
        for (int i = 0; i < g.n_params; i++)
            if (!g.params[i].constant && tensor_find(set, g.params[i].name) == NULL)
                json_array_append_new(missing, json_string(g.params[i].name));
        json_object_set_new(result, "network", json_string(net->name));
        json_object_set_new(result, "title", json_string(net->title));
        json_object_set_new(result, "parameters", json_integer((json_int_t)graph_parameters(&g, false)));
        json_object_set_new(result, "rows", json_integer(g.n_rows));
        json_object_set_new(result, "outputs", json_integer(head != NULL ? classes : 0));
        json_object_set_new(result, "missing", missing);
        json_object_set_new(result, "preprocessing", preprocessing_json(&input));
    }
    graph_fini(&g);
    return status;
}

graft_status run_inspect(const graft_options *o)
{
    struct tensor_set set = {0};
    const struct network *net = NULL;
    struct stat st;
    json_t *result = NULL, *metadata = NULL;
    graft_status status = GRAFT_OK;
    if (o->n_inputs != 1)
        return fail(GRAFT_BAD_OPTION, "which file? graft inspect FILE");
    const char *path = o->inputs[0];
    TRY_GOTO(weights_read(path, &set));
    if (set.metadata != NULL)
        TRY_GOTO(json_parse((bytes){(const uint8_t *)set.metadata, strlen(set.metadata)}, path, &metadata));
    result = json_pack("{s:s*, s:s, s:I}", "file", path, "format", set.format, "bytes",
                       (json_int_t)(stat(path, &st) == 0 ? st.st_size : 0));
    if (result == NULL)
        TRY_GOTO(fail_memory("what the file is"));
    put_writer(result, metadata);
    put_own(result, metadata);
    put_tensors(result, &set);
    model_forget_slots(&set); // a checkpoint's
    const char *arch = json_string_value(json_object_get(metadata, "graft.arch"));
    const struct match_request request = {
        .hint = arch != NULL ? zoo_find(arch) : NULL, .exact = arch != NULL && zoo_find(arch) != NULL, .path = path};
    if (zoo_match(&set, &request, &net) == GRAFT_OK)
        TRY_GOTO(put_network(result, net, &set));
    else
        json_object_set_new(result, "reason", json_string(graft_message()));
    TRY_GOTO(tensor_set_whole(&set, path));
    json_incref(result);
    result_take(result);
done:
    json_decref(result);
    json_decref(metadata);
    tensor_set_free(&set);
    return status;
}
