// train/trained.c: what a model file says of how it came about.

#include "train/trained.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/memory.h"
#include <string.h>

// Options that do not make another model of the same training.
static const char *const left_out[] = {"output",  "resume",  "force",    "threads", "workers", "log-steps",
                                       "no-save", "offline", "checkpoint-minutes", "directory",
                                       "histograms", "folds-run"};
static const char *const paths[] = {"data", "weights"};

static bool among(const char *const *names, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static json_t *name_json(const char *path) // of a folder "pets/", "pets"
{
    char *copy = mem_text(path);
    if (copy == NULL)
        return NULL;
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    json_t *name = json_string(path_name(copy));
    mem_free(copy);
    return name != NULL ? name : json_string("(a name that is not UTF-8)");
}

static graft_status options_of(const char *args, json_t **out)
{
    json_t *all, *value;
    const char *name;
    TRY(json_parse((bytes){(const uint8_t *)args, strlen(args)}, "the options", &all));
    bool ok = (*out = json_object()) != NULL;
    json_object_foreach(all, name, value)
    {
        if (json_is_null(value) || among(left_out, COUNT_OF(left_out), name))
            continue;
        const bool path = json_is_string(value) && among(paths, COUNT_OF(paths), name);
        ok =
            ok && json_object_set_new(*out, name, path ? name_json(json_string_value(value)) : json_incref(value)) == 0;
    }
    json_decref(all);
    return ok ? GRAFT_OK : fail_memory("the model's metadata");
}

// What the checkpoint's run says it began from; false: it does not say.
static bool carried(const struct model *m, json_t *out)
{
    json_t *before = NULL;
    if (!m->checkpoint || m->trained == NULL ||
        json_parse((bytes){(const uint8_t *)m->trained, strlen(m->trained)}, m->source, &before) != GRAFT_OK)
        return false;
    json_t *weights = json_object_get(before, "weights"), *sha256 = json_object_get(before, "sha256");
    const bool found = json_is_string(weights) && json_object_set(out, "weights", weights) == 0 &&
                       (!json_is_string(sha256) || json_object_set(out, "sha256", sha256) == 0);
    json_decref(before);
    return found;
}

graft_status trained_begin(const struct model *m, const char *args, json_t **out)
{
    char digest[DIGEST_TEXT];
    json_t *options = NULL;
    graft_status status = GRAFT_OK;
    *out = json_object();
    if (*out == NULL)
        return fail_memory("the model's metadata");
    if (!carried(m, *out)) {
        const bool random = strcmp(m->source, "none") == 0;
        if (json_object_set_new(*out, "weights", name_json(m->source)) != 0)
            TRY_GOTO(fail_memory("the model's metadata"));
        if (!random)
            TRY_GOTO(digest_file(m->source, DIGEST_SHA256, digest));
        if (!random && json_object_set_new(*out, "sha256", json_string(digest)) != 0)
            TRY_GOTO(fail_memory("the model's metadata"));
    }
    TRY_GOTO(options_of(args, &options));
    if (json_object_set(*out, "options", options) != 0)
        TRY_GOTO(fail_memory("the model's metadata"));
done:
    json_decref(options);
    return status;
}

char *trained_text(const json_t *begun, const struct epoch_result *r)
{
    json_t *all = json_copy((json_t *)begun);
    json_t *figures = r->val.n > 0 ? json_pack("{s:i, s:f, s:f, s:f}", "epoch", r->epoch, "train_loss", r->train_loss,
                                               "val_log_loss", r->val.log_loss, "val_top1", r->val.top1)
                                   : json_pack("{s:i, s:f}", "epoch", r->epoch, "train_loss", r->train_loss);
    bool whole = json_object_update(all, figures) == 0;
    if (r->temperature > 0)
        whole = whole && json_object_set_new(all, "temperature", json_real(r->temperature)) == 0;
    char *text = whole ? json_text(all) : NULL;
    json_decref(figures);
    json_decref(all);
    return text;
}
