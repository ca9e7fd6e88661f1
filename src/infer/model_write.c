// infer/model_write.c: a graft model file: canonical tensors, made piece by piece out of the parameter block, and what
// the model says of itself.

#include "infer/model.h"
#include "base/json.h"
#include "base/memory.h"
#include "weights/weights.h"
#include <stdio.h>
#include <string.h>

graft_status model_metadata(const struct model *m, const char *trained, json_t **out)
{
    static const char *const rules[] = {[RESIZE_CROP] = "crop", [RESIZE_SQUASH] = "squash", [RESIZE_PAD] = "pad"};
    graft_status status = GRAFT_OK;
    char *class_text = NULL, *input_text = NULL;
    json_t *classes = json_array();
    json_t *input = json_pack("{s:i, s:i, s:s, s:s}", "size", m->input.size, "resize", m->input.resize, "rule",
                              rules[m->input.rule], "preprocessing", m->network->name);
    if (m->main_only)
        json_object_set_new(input, "main_head_only", json_true());
    if (m->input.crop)
        json_object_set_new(input, "crop", json_true());
    if (m->input.icc)
        json_object_set_new(input, "icc", json_true());
    for (int i = 0; i < m->n_classes; i++)
        if (json_array_append_new(classes, json_string(m->classes[i])) != 0)
            TRY_GOTO(fail(GRAFT_FAILED, "class name '%s' is not UTF-8 and cannot go into a model file", m->classes[i]));
    class_text = json_text(classes);
    input_text = input != NULL ? json_text(input) : NULL;
    if (class_text == NULL || input_text == NULL)
        TRY_GOTO(fail_memory("the model's metadata"));
    *out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "graft.version", "1", "graft.arch", m->network->name, "graft.classes",
                     class_text, "graft.input", input_text, "graft.trained", trained != NULL ? trained : "{}");
    if (*out == NULL)
        TRY_GOTO(fail_memory("the model's metadata"));
done:
    json_decref(input);
    json_decref(classes);
    mem_free(class_text);
    mem_free(input_text);
    return status;
}

static bool part_has(const struct model_part *part, const struct param_entry *e)
{
    return e->group == PARAM_TRAINABLE || part->whole;
}

// The tensors of a part, whose values are laid out as m->params; their data are asked for when it is their turn.
static graft_status part_tensors(const struct model *m, const struct model_part *part, struct tensor_set *set)
{
    for (int i = 0; i < m->params.count; i++) {
        const struct param_entry *e = &m->params.entries[i];
        char name[256];
        if (!part_has(part, e))
            continue;
        ASSERT(snprintf(name, sizeof name, "%s%s", part->prefix, e->name) < (int)sizeof name);
        TRY(tensor_set_add(set, name, DTYPE_F32, e->shape, NULL));
    }
    return GRAFT_OK;
}

enum { PIECE_FLOATS = 1 << 18 };
struct writing { const struct model *model; const struct model_part *parts; float *piece; size_t piece_floats; };

static graft_status entry_pieces(struct writing *w, const struct params *values, int entry, struct tensor_sink *sink)
{
    size_t rows, size;
    param_rows(values, entry, &rows, &size);
    const size_t step = size == 0 || size >= PIECE_FLOATS ? 1 : PIECE_FLOATS / size;
    if (!mem_grow(&w->piece, &w->piece_floats, size > PIECE_FLOATS ? size : PIECE_FLOATS, sizeof *w->piece))
        return fail_memory(values->entries[entry].name);
    for (size_t at = 0; at < rows; at += step) {
        const size_t count = rows - at < step ? rows - at : step;
        param_rows_to_canonical(values, entry, at, count, w->piece);
        TRY(tensor_sink_put(sink, w->piece, count * size * sizeof *w->piece));
    }
    return GRAFT_OK;
}

static graft_status pieces(void *user, size_t item, struct tensor_sink *sink)
{
    struct writing *w = user;
    for (const struct model_part *part = w->parts;; part++)
        for (int i = 0; i < w->model->params.count; i++)
            if (part_has(part, &w->model->params.entries[i]) && item-- == 0) {
                struct params values = w->model->params;
                values.block = (float *)part->values;
                return entry_pieces(w, &values, i, sink);
            }
}

graft_status model_write(const struct model *m, const char *path, const struct model_part *parts, int n_parts,
                         const json_t *meta, bool sealed)
{
    struct tensor_set set = {0};
    struct writing writing = {m, parts, NULL, 0};
    char *metadata = json_text(meta);
    graft_status status = metadata != NULL ? GRAFT_OK : fail_memory("the model's metadata");
    for (int i = 0; status == GRAFT_OK && i < n_parts; i++)
        status = part_tensors(m, &parts[i], &set);
    if (status == GRAFT_OK)
        status = safetensors_write_pieces(path, &set, metadata, sealed, pieces, &writing);
    mem_free(writing.piece);
    mem_free(metadata);
    tensor_set_free(&set);
    return status;
}

graft_status model_save(const struct model *m, const char *path, const char *trained)
{
    const struct model_part weights = {"", m->params.block, true};
    json_t *meta;
    TRY(model_metadata(m, trained, &meta));
    const graft_status status = model_write(m, path, &weights, 1, meta, false);
    json_decref(meta);
    return status;
}
