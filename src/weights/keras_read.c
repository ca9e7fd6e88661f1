// weights/keras_read.c: reads Keras 3's .keras archives.
// In: a path and its mapped bytes.  Out: named tensors as h5.c gives them, and the archive's metadata.
// Grammar:  ZIP of model.weights.h5, stored, which the helper opens where it lies; metadata.json: an object with
//           "keras_version", and in files of graft the texts "graft.arch", "graft.classes", ...; config.json is not read:
//           the tensors decide what network it is.

#include "base/json.h"
#include "base/memory.h"
#include "base/zip.h"
#include "weights/readers.h"
#include <string.h>

enum { METADATA_LIMIT = 1 << 20 };

static bool member_find(const struct zip_archive *zip, const char *name, size_t *index)
{
    for (*index = 0; *index < zip_count(zip); ++*index)
        if (strcmp(zip_name(zip, *index), name) == 0)
            return true;
    return false;
}

// Texts of `from` go into `into`.
static void merge_texts(json_t *into, const json_t *from)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)from, key, value)
    {
        if (json_is_string(value))
            json_object_set(into, key, value);
    }
}

graft_status keras_metadata(struct tensor_set *set, const json_t *more)
{
    json_t *all = NULL;
    if (set->metadata != NULL)
        TRY(json_parse((bytes){(const uint8_t *)set->metadata, strlen(set->metadata)}, "metadata", &all));
    else
        all = json_object();
    if (all != NULL)
        merge_texts(all, more);
    char *text = all != NULL ? json_text(all) : NULL;
    json_decref(all);
    if (text == NULL)
        return fail_memory("a file's metadata");
    mem_free(set->metadata);
    set->metadata = text;
    return GRAFT_OK;
}

static graft_status metadata_read(struct zip_archive *zip, struct tensor_set *out)
{
    void *owned = NULL;
    bytes text;
    json_t *object = NULL;
    size_t index;
    if (!member_find(zip, "metadata.json", &index))
        return GRAFT_OK;
    TRY(zip_member(zip, index, METADATA_LIMIT, &text, &owned));
    graft_status status = json_parse(text, "metadata.json", &object);
    if (status == GRAFT_OK && !json_is_object(object))
        status = fail(GRAFT_BAD_FILE, "metadata.json is not an object");
    if (status == GRAFT_OK)
        status = keras_metadata(out, object);
    if (status == GRAFT_OK) {
        const char *version = json_string_value(json_object_get(object, "keras_version"));
        mem_free(out->format);
        out->format = mem_format("Keras %c .keras", version != NULL && *version >= '0' && *version <= '9' ? *version : '3');
        if (out->format == NULL)
            status = fail_memory("a format's name");
    }
    json_decref(object);
    mem_free(owned);
    return status;
}

graft_status keras_zip_read(const char *path, bytes data, struct tensor_set *out, bool *is_keras)
{
    struct zip_archive *zip = NULL;
    size_t index;
    bytes weights;
    bool stored;
    TRY(zip_open_bytes(data, "the archive", &zip));
    graft_status status = GRAFT_OK;
    *is_keras = member_find(zip, "model.weights.h5", &index);
    if (!*is_keras)
        goto done;
    TRY_GOTO(zip_borrow(zip, index, &weights, &stored));
    if (!stored)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "its member model.weights.h5 is compressed, which Keras never does: unpack the archive and "
                      "give that file instead"));
    if (path == NULL)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "HDF5 is read from files only, not from memory"));
    TRY_GOTO(h5_read(path, weights, (size_t)(weights.ptr - data.ptr), out));
    TRY_GOTO(metadata_read(zip, out));
done:
    zip_archive_free(zip);
    return status;
}
