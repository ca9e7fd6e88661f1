// report/csv.c: rows of a CSV.  A quote that is never closed runs to the end; a byte 0 counts as a space.

#include "report/csv.h"
#include "base/file.h"
#include "base/memory.h"
#include <string.h>

graft_status csv_open(const char *path, struct csv *out)
{
    struct file_map map;
    *out = (struct csv){0};
    if (!file_exists(path))
        return GRAFT_OK;
    TRY(file_map_open(path, &map));
    out->text = mem_alloc(map.data.size + 1);
    if (out->text != NULL) {
        memcpy(out->text, map.data.ptr, map.data.size);
        for (size_t i = 0; i < map.data.size; i++)
            if (out->text[i] == '\0')
                out->text[i] = ' ';
        out->text[map.data.size] = '\0';
    }
    file_map_close(&map);
    out->at = out->text;
    return out->text != NULL ? GRAFT_OK : fail_memory(path);
}

void csv_close(struct csv *c)
{
    mem_free(c->text);
    *c = (struct csv){0};
}

// Past a field that begins at `in`; `out` (NULL: only look) receives it without its quotes and is ended.
static char *field_pass(char *in, char *out)
{
    const char *begin = in;
    bool quoted = false;
    for (; *in != '\0' && (quoted || (*in != ',' && *in != '\n' && *in != '\r')); in++) {
        if (*in == '"' && (quoted || in == begin)) {
            if (!quoted || in[1] != '"') {
                quoted = !quoted;
                continue;
            }
            in++;
        }
        if (out != NULL)
            *out++ = *in;
    }
    if (out != NULL && out < in)
        *out = '\0'; // else the caller ends it, once it has read what stands there
    return in;
}

static char *line_end_pass(char *at)
{
    at += *at == '\r';
    return at + (*at == '\n');
}

size_t csv_row(struct csv *c, char **field, size_t most)
{
    size_t n = 0;
    if (c->at == NULL || *c->at == '\0')
        return 0;
    for (;;) {
        char *begin = c->at, *end = field_pass(begin, begin);
        const char ended = *end;
        c->at = ended == ',' ? end + 1 : line_end_pass(end);
        if (n < most)
            field[n] = begin;
        n++;
        *end = '\0';
        if (ended != ',')
            return n;
    }
}

size_t csv_count(const struct csv *c)
{
    size_t n = 1;
    if (c->at == NULL || *c->at == '\0')
        return 0;
    for (char *at = c->at; *(at = field_pass(at, NULL)) == ','; at++)
        n++;
    return n;
}
