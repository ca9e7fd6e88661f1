// train/checkpoint.c: writing, finding and reading checkpoints.
// Grammar: a model file, plus tensors optimizer.SLOT.PARAMETER, plus graft.checkpoint in the metadata (JSON, resume.c),
// plus a checksum of all that as the last tensor.
// Files: last.ckpt.safetensors, previous.ckpt.safetensors, and for a moment next.ckpt.safetensors:
//   write next (atomically), verify it; rename last -> previous; rename next -> last
// A kill leaves next (whole, or not there at all) or a whole last or both, so the newest whole one is never older than
// the last that was reported as written.

#include "train/checkpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "weights/weights.h"
#include <stdio.h>
#include <string.h>

enum { NEXT, LAST, PREVIOUS, N_FILES };
static const char *const file_names[N_FILES] = {"next.ckpt.safetensors", "last.ckpt.safetensors",
                                                "previous.ckpt.safetensors"};

static void paths_free(char *paths[N_FILES])
{
    for (int i = 0; i < N_FILES; i++)
        mem_free(paths[i]);
}

static graft_status paths_make(const char *folder, char *paths[N_FILES])
{
    bool fine = true;
    for (int i = 0; i < N_FILES; i++)
        fine &= (paths[i] = path_join(folder, file_names[i])) != NULL;
    if (fine)
        return GRAFT_OK;
    paths_free(paths);
    return fail_memory("a path");
}

static graft_status file_make(const char *path, const struct model *m, const struct slot *slots, int n_slots,
                              const json_t *state, const char *trained)
{
    struct model_part parts[MAX_SLOTS + 1] = {{"", m->params.block, true}};
    char prefix[MAX_SLOTS][64], *state_text = json_text(state);
    graft_status status = GRAFT_OK;
    json_t *meta = NULL;
    ASSERT(n_slots <= MAX_SLOTS &&
           m->params.group_begin[PARAM_TRAINABLE] == 0); // trainable first: the same offsets hold
    for (int i = 0; i < n_slots; i++) {
        snprintf(prefix[i], sizeof prefix[i], MODEL_SLOT_PREFIX "%s.", slots[i].name);
        parts[i + 1] = (struct model_part){prefix[i], slots[i].values, slots[i].whole};
    }
    TRY_GOTO(model_metadata(m, trained, &meta));
    if (state_text == NULL || json_object_set_new(meta, "graft.checkpoint", json_string(state_text)) != 0)
        TRY_GOTO(fail_memory("the checkpoint's metadata"));
    TRY_GOTO(model_write(m, path, parts, n_slots + 1, meta, true));
done:
    json_decref(meta);
    mem_free(state_text);
    return status;
}

// next takes last's place, and last becomes the one before if it is whole.
static graft_status rotate(struct checkpoints *c, char *paths[N_FILES])
{
    if (c->last_good && file_exists(paths[LAST])) // it is gone when an earlier attempt failed half way
        TRY(file_rename(paths[LAST], paths[PREVIOUS]));
    c->last_good = false; // nothing is there until the next rename
    TRY(file_rename(paths[NEXT], paths[LAST]));
    c->last_good = true;
    return GRAFT_OK;
}

graft_status checkpoint_write(struct checkpoints *c, const struct model *m, const struct slot *slots, int n_slots,
                              const json_t *state, const char *trained)
{
    char *paths[N_FILES];
    TRY(paths_make(c->folder, paths));
    graft_status status = file_make(paths[NEXT], m, slots, n_slots, state, trained);
    if (status == GRAFT_OK && safetensors_verify(paths[NEXT]) != GRAFT_OK)
        status = fail(GRAFT_NO_RESOURCE, "what was written does not read back: %s", graft_message());
    if (status == GRAFT_OK)
        status = rotate(c, paths);
    paths_free(paths);
    return status;
}

bool checkpoint_any(const char *folder)
{
    bool any = false;
    for (int i = 0; i < N_FILES; i++) {
        char *path = path_join(folder, file_names[i]);
        any |= path != NULL && file_exists(path);
        mem_free(path);
    }
    return any;
}

graft_status checkpoint_find(struct checkpoints *c, char **path)
{
    char *paths[N_FILES];
    graft_status status = GRAFT_OK;
    bool good[N_FILES] = {0};
    int found = -1, damaged = 0;
    *path = NULL;
    TRY(paths_make(c->folder, paths));
    for (int i = 0; i < N_FILES; i++) {
        if (!file_exists(paths[i]))
            continue;
        good[i] = safetensors_verify(paths[i]) == GRAFT_OK;
        if (good[i] && found < 0)
            found = i;
        else if (!good[i]) {
            damaged++;
            log_warning("a checkpoint is damaged: %s", graft_message());
        }
    }
    c->last_good = good[LAST];
    if (found < 0 && damaged > 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "no checkpoint in '%s' is whole, so the run cannot go on; the best model so far, if "
                      "there is one, is in its model.safetensors",
                      c->folder));
    if (found >= 0 && damaged > 0)
        log_warning("going on from the newest whole one, %s", paths[found]);
    if (found == NEXT) {
        TRY_GOTO(rotate(c, paths));
        found = LAST;
    }
    if (found >= 0) {
        *path = paths[found];
        paths[found] = NULL;
    }
done:
    paths_free(paths);
    return status;
}

static graft_status tensor_take(const struct tensor_set *set, const char *name, const struct params *values, int entry)
{
    const struct param_entry *e = &values->entries[entry];
    const struct named_tensor *t = tensor_find(set, name);
    if (t == NULL || !shape_equal(t->shape, e->shape))
        return fail(GRAFT_BAD_FILE, "the checkpoint's tensor '%s' is %s; this network needs %s", name,
                    t != NULL ? shape_text(t->shape) : "missing", shape_text(e->shape));
    if (t->dtype != DTYPE_F32)
        return fail(GRAFT_BAD_FILE, "the checkpoint's tensor '%s' is %s, not F32", name, dtype_name(t->dtype));
    param_from_canonical(values, entry, t->data);
    return GRAFT_OK;
}

static bool slot_has(const struct slot *slot, const struct param_entry *e)
{
    return e->group == PARAM_TRAINABLE || slot->whole;
}

static graft_status slot_take(const struct tensor_set *set, const struct model *m, const struct slot *slot,
                              bool lenient)
{
    struct params values = m->params;
    bool told = false;
    values.block = slot->values;
    for (int i = 0; i < m->params.count; i++) {
        const struct param_entry *e = &m->params.entries[i];
        char name[256];
        if (!slot_has(slot, e))
            continue;
        ASSERT(snprintf(name, sizeof name, MODEL_SLOT_PREFIX "%s.%s", slot->name, e->name) < (int)sizeof name);
        if (lenient && tensor_find(set, name) == NULL) {
            if (!told)
                log_warning("the checkpoint has no '%s' of %s; it starts at zero", slot->name, e->name);
            told = true;
            continue;
        }
        TRY(tensor_take(set, name, &values, i));
    }
    return GRAFT_OK;
}

graft_status checkpoint_read(const char *path, struct model *m, const struct slot *slots, int n_slots, bool lenient,
                             json_t **state)
{
    struct tensor_set set = {0};
    graft_status status = GRAFT_OK;
    json_t *meta = NULL;
    *state = NULL;
    TRY_GOTO(weights_read(path, &set));
    if (set.metadata == NULL)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s has no metadata; it is not a checkpoint", path));
    TRY_GOTO(json_parse((bytes){(const uint8_t *)set.metadata, strlen(set.metadata)}, path, &meta));
    const char *text = json_string_value(json_object_get(meta, "graft.checkpoint"));
    if (text == NULL)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s has no graft.checkpoint; it is not a checkpoint", path));
    TRY_GOTO(json_parse((bytes){(const uint8_t *)text, strlen(text)}, path, state));
    for (int i = 0; i < m->params.count; i++)
        TRY_GOTO(tensor_take(&set, m->params.entries[i].name, &m->params, i));
    for (int i = 0; i < n_slots; i++)
        TRY_GOTO(slot_take(&set, m, &slots[i], lenient));
    TRY_GOTO(tensor_set_whole(&set, path));
    m->params.version++;
done:
    if (status != GRAFT_OK) {
        json_decref(*state);
        *state = NULL;
    }
    json_decref(meta);
    tensor_set_free(&set);
    return status;
}
