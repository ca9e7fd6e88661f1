// infer/model.c: building a network for a task and filling its parameters from a file, which fetch/ may have to get
// first. Strict: a tensor that is missing, extra or misshapen is an error; only the head may be re-created, and that is
// logged.

#include "infer/model.h"
#include "infer/layer_names.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "fetch/fetch.h"
#include "weights/weights.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODEL_VERSION = 1 };

void model_close(struct model *m)
{
    graph_fini(&m->graph);
    params_fini(&m->params);
    for (int i = 0; i < m->n_classes; i++)
        mem_free(m->classes[i]);
    mem_free(m->classes);
    mem_free(m->source);
    mem_free(m->trained);
    *m = (struct model){0};
}

// Glorot uniform, U(-a, a), a = sqrt(6 / (fan_in + fan_out)), fans times the kernel's area; biases 0; BatchNorm and
// scale 1 and 0.
static graft_status parameter_create(struct model *m, int entry, uint64_t seed)
{
    const struct param_entry *e = &m->params.entries[entry];
    size_t count;
    ASSERT(shape_count(e->shape, &count));
    float *values = mem_alloc(count * sizeof *values);
    if (values == NULL)
        return fail_memory(e->name);
    double area = 1;
    for (int i = 2; i < e->shape.rank; i++)
        area *= (double)e->shape.dim[i];
    const bool weight = e->shape.rank > 1;
    const double bound = weight ? sqrt(6 / (area * (double)(e->shape.dim[0] + e->shape.dim[1]))) : 0;
    const struct node *node = &m->graph.nodes[m->graph.params[entry].node];
    const bool one = (node->op == OP_BN || node->op == OP_SCALE) && node->param[0] == entry;
    const float fixed = one || (node->op == OP_BN && node->param[3] == entry) ? 1 : 0;
    for (size_t i = 0; i < count; i++)
        values[i] = weight ? (float)((rng_unit(rng_hash(RNG_INIT, seed, (uint64_t)entry, i)) * 2 - 1) * bound) : fixed;
    param_from_canonical(&m->params, entry, values);
    mem_free(values);
    return GRAFT_OK;
}

static graft_status class_names(struct model *m, char *const *names, int n)
{
    m->classes = mem_zero((size_t)n, sizeof *m->classes);
    if (m->classes == NULL)
        return fail_memory("class names");
    for (m->n_classes = 0; m->n_classes < n; m->n_classes++) {
        char number[16];
        snprintf(number, sizeof number, "%d", m->n_classes);
        m->classes[m->n_classes] = mem_text(names != NULL ? names[m->n_classes] : number);
        if (m->classes[m->n_classes] == NULL)
            return fail_memory("class names");
    }
    return GRAFT_OK;
}

// What a graft model file says of itself.  A plain weight file says nothing; `*arch` stays NULL.
static graft_status metadata_read(const char *path, const struct tensor_set *set, json_t **meta, const char **arch,
                                  json_t **classes, json_t **input)
{
    *meta = *classes = *input = NULL;
    *arch = NULL;
    if (set->metadata == NULL)
        return GRAFT_OK;
    TRY(json_parse((bytes){(const uint8_t *)set->metadata, strlen(set->metadata)}, path, meta));
    *arch = json_string_value(json_object_get(*meta, "graft.arch"));
    if (*arch == NULL)
        return GRAFT_OK;
    const char *version = json_string_value(json_object_get(*meta, "graft.version"));
    const char *class_text = json_string_value(json_object_get(*meta, "graft.classes"));
    const char *input_text = json_string_value(json_object_get(*meta, "graft.input"));
    if (version == NULL || class_text == NULL || input_text == NULL)
        return fail(GRAFT_BAD_FILE, "%s: a graft model without graft.version, graft.classes or graft.input", path);
    if (atoi(version) > MODEL_VERSION)
        return fail(GRAFT_BAD_FILE, "%s: model format %s; this graft reads up to %d: use a newer graft", path, version,
                    MODEL_VERSION);
    TRY(json_parse((bytes){(const uint8_t *)class_text, strlen(class_text)}, path, classes));
    TRY(json_parse((bytes){(const uint8_t *)input_text, strlen(input_text)}, path, input));
    for (size_t i = 0; i < json_array_size(*classes); i++)
        if (!json_is_string(json_array_get(*classes, i)))
            return fail(GRAFT_BAD_FILE, "%s: graft.classes is not an array of names", path);
    const json_int_t size = json_integer_value(json_object_get(*input, "size"));
    if (!json_is_array(*classes) || size < 1 || size > 4096)
        return fail(GRAFT_BAD_FILE, "%s: graft.classes or graft.input makes no sense", path);
    return GRAFT_OK;
}

// An auxiliary classifier that does not predict may have been left at another number of classes than the main head:
// whoever replaces only the main one leaves it so.
static bool idle_head_differs(const struct model *m, const struct param_entry *e, const struct named_tensor *t)
{
    for (int i = 0; i < network_aux_count(m->network); i++) {
        const size_t length = strlen(m->network->aux[i].name);
        if (!m->network->aux[i].predicts && strncmp(e->name, m->network->aux[i].name, length) == 0 &&
            e->name[length] == '.')
            return t != NULL && t->shape.dim[0] != e->shape.dim[0];
    }
    return false;
}

// Fills the parameters; re-creates the heads' where `new_head` or where a no-top file has none.
static graft_status fill(struct model *m, const struct tensor_set *set, bool new_head, uint64_t seed)
{
    int loaded = 0, created = 0, ignored = 0;
    bool restart = false;
    char first_created[128] = "";
    for (int i = 0; i < m->params.count; i++) {
        const struct param_entry *e = &m->params.entries[i];
        const struct named_tensor *t = tensor_find(set, e->name);
        // With a new head the dense layers start again at the first that the file lacks (a no-top file), or that
        // another input size has made of another shape: what follows it would see features it was not trained on.
        const bool dense = m->graph.nodes[m->graph.params[i].node].op == OP_DENSE;
        const bool head = network_heads(m->network, e->name);
        restart |= new_head && dense && (t == NULL || (!shape_equal(t->shape, e->shape) && !head));
        if ((new_head && head) || (restart && dense) || idle_head_differs(m, e, t)) {
            ignored += t != NULL;
            if (created++ == 0)
                snprintf(first_created, sizeof first_created, "%s", e->name);
            TRY(parameter_create(m, i, seed));
            continue;
        }
        if (t == NULL && m->graph.params[i].constant) {
            TRY(parameter_create(m, i, seed));
            continue;
        }
        if (t == NULL)
            return fail(GRAFT_BAD_FILE, "%s has no tensor '%s' %s, which %s needs; the file is incomplete", m->source,
                        e->name, shape_text(e->shape), m->network->name);
        size_t count;
        if (!shape_equal(t->shape, e->shape) || !shape_count(t->shape, &count))
            return fail(GRAFT_BAD_FILE, "tensor '%s' is %s; %s at this input size needs %s", e->name,
                        shape_text(t->shape), m->network->name, shape_text(e->shape));
        if (t->dtype == DTYPE_F32) // straight from the mapped file: no second copy of the weights
            param_from_file(&m->params, i, t->data, &t->order);
        else {
            float *values = mem_alloc(count * sizeof *values);
            if (values == NULL)
                return fail_memory(e->name);
            const graft_status status = tensor_to_f32(t, values);
            if (status == GRAFT_OK)
                param_from_canonical(&m->params, i, values);
            mem_free(values);
            TRY(status);
        }
        if (!floats_finite(m->params.block + e->offset, e->size))
            return fail(GRAFT_BAD_FILE,
                        "tensor '%s' of %s holds values that are no numbers: the file is damaged, or its training has "
                        "diverged; use another",
                        e->name, m->source);
        loaded++;
    }
    log_info("weights: %s (%s), %d tensors loaded, %d re-created%s%s, %d of the file ignored", m->source, set->format,
             loaded, created, created > 0 ? " from " : "", first_created, ignored);
    return GRAFT_OK;
}

static graft_status freeze(struct model *m, const struct model_request *r)
{
    int rows = r->freeze;
    if (r->freeze_name != NULL) {
        rows = r->freeze_name[0] != '\0' ? zoo_row_named(m->network, &m->graph, r->freeze_name) : -1;
        if (rows < 0)
            return fail_layer(&m->graph, m->network->name, "freeze", r->freeze_name, strlen(r->freeze_name));
    }
    return graph_freeze(&m->graph, rows < 0 ? graph_head_row(&m->graph) : rows, r->bn);
}

// Loss weights and which heads predict, then what trains.
static graft_status outputs_set(struct model *m, const struct model_request *r)
{
    const int n = network_aux_count(m->network);
    if (r->aux_weights != NULL && r->n_aux_weights != n)
        return fail(GRAFT_BAD_OPTION, "--aux-weights has %d numbers; %s has %d auxiliary heads", r->n_aux_weights,
                    m->network->name, n);
    if (r->predicting != PREDICT_AS_SAVED)
        m->main_only = r->predicting == PREDICT_MAIN;
    graph_outputs_set(&m->graph, r->aux_weights, m->main_only);
    return freeze(m, r);
}

// For the network, the input and the classes that are known by now.
static graft_status graph_make(struct model *m, const struct model_request *r)
{
    const float dropout = r->dropout >= 0 ? r->dropout : m->network->dropout;
    TRY(m->network->build(m->network, &m->graph, m->input.size, m->n_classes, dropout));
    if (r->drop_path > 0)
        TRY(graph_drop_path(&m->graph, r->drop_path));
    return outputs_set(m, r);
}

// The network and the variant of it that a file holds: by what a graft model says (`arch`, else NULL), by its tensors.
static graft_status network_of_file(const struct model_request *r, const char *path, const char *arch,
                                    struct tensor_set *set, struct model *m)
{
    const struct network *hint = r->network != NULL ? zoo_find(r->network) : NULL;
    if (arch != NULL) {
        model_forget_slots(set);
        const struct network *own = zoo_find(arch);
        if (own == NULL)
            return fail(GRAFT_BAD_FILE, "%s: a model of '%s', which this graft does not know", path, arch);
        if (hint != NULL && !zoo_variants(own, hint))
            return fail(GRAFT_BAD_FILE, "%s holds %s, not %s; use -m %s", path, own->name, hint->name, own->name);
        hint = own;
    }
    const graft_status status = zoo_match(set, &(struct match_request){.hint = hint, .exact = arch != NULL,
                                                                       .path = path, .kernels = r->kernels},
                                          &m->network);
    if (status != GRAFT_OK) {
        fail_prefix(status, "%s", path);
        return status;
    }
    if (r->network != NULL && strcmp(r->network, m->network->name) != 0)
        log_info("%s holds the variant %s", path, m->network->name);
    return GRAFT_OK;
}

// What pictures become: the network's rule, but for what a graft model says (`input`, else NULL).
static void input_of_file(const json_t *input, struct model *m)
{
    m->input = m->network->input;
    if (input == NULL)
        return;
    const char *rule = json_string_value(json_object_get(input, "rule"));
    m->input.size = (int)json_integer_value(json_object_get(input, "size"));
    m->input.resize = (int)json_integer_value(json_object_get(input, "resize"));
    m->input.crop = json_is_true(json_object_get(input, "crop"));
    m->input.icc = json_is_true(json_object_get(input, "icc"));
    m->main_only = json_is_true(json_object_get(input, "main_head_only"));
    m->input.rule = rule != NULL && strcmp(rule, "pad") == 0 ? RESIZE_PAD
                    : rule != NULL && strcmp(rule, "squash") == 0 ? RESIZE_SQUASH : RESIZE_CROP;
}

// How many classes the file's head has; 0: it has no head.
static graft_status head_classes(const char *path, const struct tensor_set *set, const json_t *classes,
                                 const struct network *net, int *out)
{
    char head_weight[128];
    snprintf(head_weight, sizeof head_weight, "%s.weight", net->head);
    const struct named_tensor *head = tensor_find(set, head_weight);
    *out = head != NULL && head->shape.rank > 0 ? (int)head->shape.dim[0] : 0;
    if (classes != NULL && (int)json_array_size(classes) != *out)
        return fail(GRAFT_BAD_FILE, "%s: %zu class names for %d outputs", path, json_array_size(classes), *out);
    return GRAFT_OK;
}

// Whether the file's head of `file_classes` stays.  `classes`: a graft model's names, else NULL.
static graft_status head_keeps(const struct model_request *r, const json_t *classes, int file_classes, bool *keep)
{
    bool same = file_classes > 0 && (r->classes == NULL || r->n_classes == file_classes);
    if (r->classes != NULL && classes != NULL)
        for (int i = 0; same && i < r->n_classes; i++)
            same = strcmp(r->classes[i], json_string_value(json_array_get(classes, (size_t)i))) == 0;
    if (r->head == HEAD_KEEP && r->classes != NULL && r->n_classes != file_classes)
        return fail(GRAFT_BAD_OPTION,
                    "--head keep: the file's head has %d classes, the data have %d (or say --num-classes)",
                    file_classes, r->n_classes);
    *keep = r->head == HEAD_KEEP || (r->head == HEAD_AUTO && same && (classes != NULL || r->classes == NULL));
    return GRAFT_OK;
}

// The data's names, the file's, or ImageNet's for as many.
static graft_status classes_set(const struct model_request *r, const char *path, const json_t *classes,
                                int file_classes, struct model *m)
{
    if (r->classes != NULL)
        return class_names(m, r->classes, r->n_classes);
    if (classes == NULL && file_classes == 0)
        return fail(GRAFT_BAD_FILE, "%s has no classifier (no '%s.weight'); train one first", path, m->network->head);
    if (classes == NULL)
        return class_names(m, (char *const *)imagenet_names(file_classes), file_classes);
    m->classes = mem_zero(json_array_size(classes) + 1, sizeof *m->classes);
    for (; m->classes != NULL && m->n_classes < file_classes; m->n_classes++)
        if ((m->classes[m->n_classes] =
                 mem_text(json_string_value(json_array_get(classes, (size_t)m->n_classes)))) == NULL)
            break;
    return m->n_classes < file_classes ? fail_memory("class names") : GRAFT_OK;
}

static graft_status open_file(const struct model_request *r, const char *path, struct tensor_set *set, struct model *m)
{
    json_t *meta = NULL, *classes = NULL, *input = NULL;
    const char *arch;
    int file_classes;
    bool keep = false;
    graft_status status;
    TRY_GOTO(weights_read(path, set));
    TRY_GOTO(metadata_read(path, set, &meta, &arch, &classes, &input));
    TRY_GOTO(network_of_file(r, path, arch, set, m));
    input_of_file(input, m);
    TRY_GOTO(head_classes(path, set, classes, m->network, &file_classes));
    TRY_GOTO(head_keeps(r, classes, file_classes, &keep));
    TRY_GOTO(classes_set(r, path, classes, file_classes, m));
    const char *trained = json_string_value(json_object_get(meta, "graft.trained"));
    m->source = mem_text(path);
    m->checkpoint = json_object_get(meta, "graft.checkpoint") != NULL;
    m->trained = trained != NULL ? mem_text(trained) : NULL;
    if (m->source == NULL || (trained != NULL && m->trained == NULL))
        TRY_GOTO(fail_memory("a path"));
    if (r->size > 0)
        input_scaled(&m->input, r->size);
    if (r->array != NULL)
        m->input = *r->array;
    TRY_GOTO(graph_make(m, r));
    TRY_GOTO(params_init(&m->params, &m->graph));
    TRY_GOTO(fill(m, set, !keep, r->seed));
    TRY_GOTO(tensor_set_whole(set, path));
done:
    json_decref(meta);
    json_decref(classes);
    json_decref(input);
    return status;
}

static graft_status open_random(const struct model_request *r, const struct network *net, struct model *m)
{
    m->network = net;
    m->input = net->input;
    m->source = mem_text("none");
    if (m->source == NULL)
        return fail_memory("a path");
    TRY(class_names(m, r->classes, r->n_classes));
    if (r->size > 0)
        input_scaled(&m->input, r->size);
    if (r->array != NULL)
        m->input = *r->array;
    TRY(graph_make(m, r));
    TRY(params_init(&m->params, &m->graph));
    for (int i = 0; i < m->params.count; i++)
        TRY(parameter_create(m, i, r->seed));
    log_info("weights: none; all %d tensors are random", m->params.count);
    return GRAFT_OK;
}

graft_status model_open(const struct model_request *r, struct model *out)
{
    struct tensor_set set = {0};
    struct found_file found = {0};
    graft_status status = GRAFT_OK;
    *out = (struct model){0};
    const struct network *net = r->network != NULL ? zoo_find(r->network) : NULL;
    if (r->network != NULL && net == NULL)
        return fail(GRAFT_BAD_OPTION, "no network '%s'; did you mean '%s'? `graft models` lists them", r->network,
                    zoo_nearest(r->network));
    if (strcmp(r->weights, "none") == 0)
        TRY_GOTO(open_random(r, net, out));
    else {
        const struct fetch_request published = {.offline = r->offline, .variants = true, .head = r->head == HEAD_KEEP};
        if (strcmp(r->weights, "imagenet") == 0)
            TRY_GOTO(fetch_weights(net, &published, &found));
        TRY_GOTO(open_file(r, found.path != NULL ? found.path : r->weights, &set, out));
    }
    if (r->resize >= 0)
        out->input.rule = (enum resize_rule)r->resize;
done:
    tensor_set_free(&set);
    found_file_free(&found);
    if (status != GRAFT_OK)
        model_close(out);
    return status;
}

double model_temperature(const struct model *m)
{
    json_t *trained = NULL;
    double temperature = 0;
    if (m->trained != NULL &&
        json_parse((bytes){(const uint8_t *)m->trained, strlen(m->trained)}, "graft.trained", &trained) == GRAFT_OK)
        temperature = json_number_value(json_object_get(trained, "temperature"));
    json_decref(trained);
    return temperature >= 0.01 && temperature <= 100 ? temperature : 0;
}

graft_status model_set_temperature(struct model *m, double temperature)
{
    json_t *trained = NULL;
    const char *text = m->trained != NULL ? m->trained : "{}";
    TRY(json_parse((bytes){(const uint8_t *)text, strlen(text)}, "graft.trained", &trained));
    char *changed = json_is_object(trained) && json_object_set_new(trained, "temperature", json_real(temperature)) == 0
                        ? json_text(trained) : NULL;
    json_decref(trained);
    if (changed == NULL)
        return fail_memory("what the model says of its training");
    mem_free(m->trained);
    m->trained = changed;
    return GRAFT_OK;
}

graft_status model_retell(const char *path, const char *trained)
{
    struct tensor_set set = {0};
    json_t *meta = NULL;
    char *text = NULL;
    graft_status status = GRAFT_OK;
    TRY_GOTO(weights_read(path, &set));
    if (set.metadata == NULL)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s is not a graft model any more: it says nothing of itself", path));
    TRY_GOTO(json_parse((bytes){(const uint8_t *)set.metadata, strlen(set.metadata)}, path, &meta));
    if (json_object_set_new(meta, "graft.trained", json_string(trained)) != 0 || (text = json_text(meta)) == NULL)
        TRY_GOTO(fail_memory("the model's metadata"));
    TRY_GOTO(safetensors_write(path, &set, text));
done:
    mem_free(text);
    json_decref(meta);
    tensor_set_free(&set);
    return status;
}

graft_status model_hash(const char *path, uint64_t *out)
{
    struct file_map map;
    TRY(file_map_open(path, &map)); // of which the first page alone is touched
    struct reader r = reader_of(map.data);
    const uint64_t header = read_u64(&r), size = map.data.size;
    file_map_close(&map);
    if (r.failed || header > size - 8)
        return fail(GRAFT_BAD_FILE, "%s is not a safetensors file", path);
    return file_hash_from(path, 8 + header, out, NULL, 0);
}

graft_status model_reload(struct model *m, const char *path)
{
    struct tensor_set set = {0};
    float *values = NULL;
    graft_status status = GRAFT_OK;
    TRY_GOTO(weights_read(path, &set));
    for (int i = 0; i < m->params.count; i++) {
        const struct param_entry *e = &m->params.entries[i];
        const struct named_tensor *t = tensor_find(&set, e->name);
        size_t count;
        if (t == NULL || !shape_equal(t->shape, e->shape) || !shape_count(t->shape, &count))
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s has no tensor '%s' %s", path, e->name, shape_text(e->shape)));
        values = mem_alloc(count * sizeof *values);
        if (values == NULL)
            TRY_GOTO(fail_memory(e->name));
        TRY_GOTO(tensor_to_f32(t, values));
        param_from_canonical(&m->params, i, values);
        mem_free(values);
        values = NULL;
    }
    TRY_GOTO(tensor_set_whole(&set, path));
    m->params.version++;
done:
    mem_free(values);
    tensor_set_free(&set);
    return status;
}

void model_forget_slots(struct tensor_set *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++)
        if (strncmp(set->items[i].name, MODEL_SLOT_PREFIX, strlen(MODEL_SLOT_PREFIX)) == 0 ||
            strcmp(set->items[i].name, SAFETENSORS_SEAL) == 0)
            mem_free(set->items[i].name);
        else
            set->items[kept++] = set->items[i];
    set->count = kept;
}
