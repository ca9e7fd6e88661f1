// api/run_convert.c: `graft convert SRC DST`: any weight file graft reads into one that another tool opens.
// Through the canonical names and the network's graph, so every pair works; the extension of DST says the format.

#include "api/run.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "weights/weights.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static graft_status to_onnx(const struct exported *e, const char *path) { return onnx_write(path, e); }
static graft_status to_keras(const struct exported *e, const char *path) { return keras_write(path, e, KERAS_ARCHIVE); }
static graft_status to_h5(const struct exported *e, const char *path) { return keras_write(path, e, KERAS_H5); }
static graft_status to_h5_weights(const struct exported *e, const char *path)
{
    return keras_write(path, e, KERAS_H5_WEIGHTS);
}
static graft_status to_weights(const struct exported *e, const char *path)
{
    return keras_write(path, e, KERAS_WEIGHTS);
}

static const struct target {
    const char *suffix, *format;
    graft_status (*write)(const struct exported *e, const char *path); // NULL: model_save
    bool weights_only; // for a model of keras.applications that Keras builds itself
} targets[] =
    {
        {".safetensors", "safetensors (graft model)", NULL, false},
        {".onnx", "ONNX opset 17", to_onnx, false},
        {".keras", "Keras 3 .keras", to_keras, false},
        {".weights.h5", "Keras 3 .weights.h5", to_weights, true}, // before .h5, which it ends in too
        {".h5", "Keras .h5 (model)", to_h5, false},
},
  h5_weights = {".h5", "Keras .h5 (weights)", to_h5_weights, true};

static graft_status target_find(const char *path, bool weights_only, const struct target **out)
{
    char known[128] = "";
    for (size_t i = 0; i < COUNT_OF(targets); i++) {
        if (path_has_suffix(path, targets[i].suffix)) {
            *out = weights_only && targets[i].write == to_h5 ? &h5_weights : &targets[i];
            if (weights_only && !(*out)->weights_only)
                return fail(GRAFT_BAD_OPTION,
                            "--weights-only: %s files are whole models; .h5 and .weights.h5 can be without",
                            targets[i].suffix);
            return GRAFT_OK;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "", targets[i].suffix);
    }
    return fail(GRAFT_BAD_OPTION, "'%s': the extension says what to write; graft writes %s", path, known);
}

static bool keras_builds(const struct network *net)
{
    for (const struct dialect *d = net->dialects; d->title != NULL; d++)
        if (d->layout == FILE_KERAS && strcmp(d->title, "keras.applications") == 0)
            return true;
    return false;
}

// Writing over the source would be safe (the old file stays until the new one is whole), but is never meant.
static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

// Other formats hold what predicts: without its auxiliary heads a network may be another variant.
static void heads_leave(const struct model *m, json_t *meta)
{
    char name[64];
    bool all = true;
    for (int i = 0; i < m->graph.n_nodes; i++)
        all &= m->graph.nodes[i].for_prediction;
    if (all)
        return;
    snprintf(name, sizeof name, "%s.noaux", m->network->name);
    if (zoo_find(name) != NULL)
        json_object_set_new(meta, "graft.arch", json_string(name));
    log_info("auxiliary heads, which do not predict, are left out");
}

// What a graft model file says of its training is kept; other sources are named.
static graft_status write_target(const struct model *m, const struct target *target, const char *path)
{
    const char *source = path_name(m->source);
    json_t *from = json_pack("{s:s%}", "converted_from", source, strlen(source)), *meta = NULL; // NULL: not UTF-8
    char *from_text = from != NULL ? json_text(from) : NULL, *text = NULL;
    const char *trained = m->trained != NULL ? m->trained : from_text;
    graft_status status = GRAFT_OK;
    if (target->write == NULL)
        TRY_GOTO(model_save(m, path, trained));
    else {
        TRY_GOTO(model_metadata(m, trained, &meta));
        heads_leave(m, meta);
        text = json_text(meta);
        if (text == NULL)
            TRY_GOTO(fail_memory("the model's metadata"));
        const struct exported e = {.network = m->network,
                                   .graph = &m->graph,
                                   .params = &m->params,
                                   .input = &m->input,
                                   .classes = m->classes,
                                   .n_classes = m->n_classes,
                                   .metadata = text};
        TRY_GOTO(target->write(&e, path));
    }
done:
    json_decref(from);
    json_decref(meta);
    mem_free(from_text);
    mem_free(text);
    return status;
}

graft_status run_convert(const graft_options *o)
{
    struct model m = {0};
    const struct target *target = NULL;
    struct stat st;
    long imgsz;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    if (o->n_inputs != 2)
        return fail(GRAFT_BAD_OPTION, "from which file to which? graft convert SRC DST");
    const char *from = o->inputs[0], *to = o->inputs[1];
    TRY(target_find(to, option_set(o, "weights-only"), &target));
    if (same_file(from, to))
        return fail(GRAFT_BAD_OPTION, "'%s' and '%s' are the same file", from, to);
    const bool known = zoo_find(from) != NULL && !file_exists(from);
    struct model_request request = {.network = known ? from : option_text(o, "model"),
                                    .weights = known ? "imagenet" : from,
                                    .offline = option_set(o, "offline"),
                                    .head = HEAD_KEEP,
                                    .size = (int)imgsz,
                                    .dropout = -1,
                                    .resize = -1,
                                    .bn = BN_TRAIN};
    TRY(kernels_option(o, &request.kernels));
    TRY_GOTO(model_open(&request, &m));
    if (target->weights_only && !keras_builds(m.network))
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "%s is no network of keras.applications, so weights alone are of no use to Keras; write "
                      ".keras or .h5 without --weights-only, which carry the graph",
                      m.network->name));
    TRY_GOTO(write_target(&m, target, to));
    const long long bytes = stat(to, &st) == 0 ? (long long)st.st_size : 0;
    json_t *result = json_pack("{s:s*, s:s*, s:s, s:s, s:i, s:I, s:I}", "source", from, "target", to, "format",
                               target->format, "network", m.network->name, "classes", m.n_classes, "parameters",
                               (json_int_t)graph_parameters(&m.graph, false), "bytes", (json_int_t)bytes);
    char *text = result != NULL ? json_text(result) : NULL;
    json_decref(result);
    if (text != NULL)
        hooks_result(text);
    mem_free(text);
done:
    model_close(&m);
    return status;
}
