// base/json.c: jansson with messages and limits.

#include "base/json.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

// jansson bounds the depth itself (2048); ours is lower, checked on the text so that no deep tree is ever built.
static bool too_deep(bytes text)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        const uint8_t c = text.ptr[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"')
            quoted = true;
        else if ((c == '{' || c == '[') && ++depth > MAX_DEPTH)
            return true;
        else if (c == '}' || c == ']')
            depth--;
    }
    return false;
}

graft_status json_parse(bytes text, const char *what, json_t **out)
{
    json_error_t error;
    *out = NULL;
    if (too_deep(text))
        return fail(GRAFT_BAD_FILE, "%s: JSON nested more than %d deep", what, MAX_DEPTH);
    *out = json_loadb((const char *)text.ptr, text.size, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL)
        return fail(GRAFT_BAD_FILE, "%s: bad JSON at line %d, column %d: %s", what, error.line, error.column,
                    error.text);
    return GRAFT_OK;
}

graft_status json_read_file(const char *path, json_t **out)
{
    struct file_map map;
    TRY(file_map_open(path, &map));
    const graft_status status = json_parse(map.data, path, out);
    file_map_close(&map);
    return status;
}

graft_status json_write_file(const char *path, const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (text == NULL)
        return fail_memory(path);
    const size_t length = strlen(text);
    text[length] = '\n'; // in place of the end: the length is passed along
    const graft_status status = file_write_all(path, text, length + 1);
    free(text);
    return status;
}

static char *text_by(const json_t *value, size_t flags)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | flags);
    char *copy = text != NULL ? mem_text(text) : NULL;
    free(text);
    return copy;
}

char *json_text_rounded(const json_t *value) { return text_by(value, JSON_REAL_PRECISION(12)); }
char *json_text(const json_t *value) { return text_by(value, 0); }
