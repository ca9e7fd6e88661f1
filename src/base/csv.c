// base/csv.c: rows of comma-separated fields, from bounded bytes.
// Grammar:  row = field {"," field} (LF | CR LF | end);  field = text without comma and newline | '"' text '"', a quote
// inside doubled, newlines allowed.  A byte order mark at the start is passed over.

#include "base/csv.h"
#include "base/memory.h"
#include <string.h>

enum { MAX_ROW = 1 << 20 };

graft_status csv_open(const char *path, struct csv *out)
{
    *out = (struct csv){.path = path, .lines = 1};
    TRY(file_map_open(path, &out->map));
    out->row = mem_alloc(MAX_ROW);
    if (out->row == NULL) {
        csv_close(out);
        return fail_memory("a CSV row");
    }
    const bytes text = out->map.data;
    out->at = text.size >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return GRAFT_OK;
}

void csv_close(struct csv *c)
{
    file_map_close(&c->map);
    mem_free(c->row);
    mem_free(c->field);
    c->row = NULL;
    c->field = NULL;
}

static graft_status field_begin(struct csv *c, char *at)
{
    if (!mem_grow(&c->field, &c->capacity, (size_t)c->n + 1, sizeof *c->field))
        return fail_memory("a CSV row");
    c->field[c->n++] = at;
    return GRAFT_OK;
}

static graft_status row_read(struct csv *c)
{
    const bytes text = c->map.data;
    size_t used = 0;
    bool quoted = false, first = true; // first: of a field
    c->n = 0;
    TRY(field_begin(c, c->row));
    for (;; c->at++) {
        const int byte = c->at < text.size ? text.ptr[c->at] : -1;
        if (used + 2 > MAX_ROW)
            return fail(GRAFT_BAD_FILE, "%s:%d: a row of more than %d bytes", c->path, c->line, MAX_ROW - 2);
        if (byte == '\0')
            return fail(GRAFT_BAD_FILE, "%s:%d: a zero byte; this is no text", c->path, c->line);
        if (quoted && byte < 0)
            return fail(GRAFT_BAD_FILE, "%s:%d: a quote is not closed", c->path, c->line);
        c->lines += byte == '\n';
        if (quoted && byte == '"' && c->at + 1 < text.size && text.ptr[c->at + 1] == '"') {
            c->row[used++] = '"';
            c->at++;
        } else if (quoted ? byte == '"' : byte == '"' && first)
            quoted = !quoted;
        else if (!quoted && (byte == ',' || byte == '\n' || byte < 0)) {
            if (byte != ',' && used > 0 && c->row[used - 1] == '\r')
                used--;
            c->row[used++] = '\0';
            if (byte != ',') {
                c->at += byte == '\n';
                return GRAFT_OK;
            }
            TRY(field_begin(c, c->row + used));
            first = true;
            continue;
        } else
            c->row[used++] = (char)byte;
        first = false;
    }
}

graft_status csv_next(struct csv *c, bool *more)
{
    *more = false;
    while (!*more && c->at < c->map.data.size) {
        c->line = c->lines;
        TRY(row_read(c));
        *more = c->n > 1 || c->field[0][0] != '\0';
    }
    return GRAFT_OK;
}

int csv_column(const struct csv *c, const char *const *names)
{
    for (int i = 0; i < c->n; i++)
        for (const char *const *name = names; *name != NULL; name++)
            if (strcmp(c->field[i], *name) == 0)
                return i;
    return -1;
}
