// data/source_csv.c: a CSV naming pictures.
// Header: path (or img), label (or classname); optional group (or subject) and split (train, val, test; empty: train).
// Fields may be quoted, a quote inside doubled; a field does not span lines.  Paths are relative to the CSV.  State
// Farm's driver list names files only: they are looked for in train/CLASS/ and imgs/train/CLASS/ beside it as well.
// Classes are sorted bytewise.

#include "data/sources.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_FIELDS = 64, MAX_LINE = 1 << 16 };

struct csv {
    const char *path;              // of the CSV, for messages
    int line;                      // 1-based
    int file, label, group, split; // columns; -1: none
    int layout;                    // of `layouts`; -1: not known yet
    bool headed, list; // list: of pictures to predict; labels are not needed
};

// Cuts the line into fields in place; gives their number (more than MAX_FIELDS are left out), or -1 at an open quote.
static int fields_of(char *line, char **field)
{
    int n = 0;
    char *in = line, *out = line;
    while (n < MAX_FIELDS) {
        field[n++] = out;
        if (*in == '"') {
            for (in++; *in != '"' || in[1] == '"'; in++) {
                if (*in == '\0')
                    return -1;
                if (*in == '"')
                    in++;
                *out++ = *in;
            }
            in++;
        }
        while (*in != ',' && *in != '\0')
            *out++ = *in++;
        const char ended = *in++;
        *out++ = '\0';
        if (ended == '\0')
            return n;
    }
    return n;
}

static graft_status header_read(struct csv *c, char **field, int n)
{
    static const char *const names[4][2] = {
        {"path", "img"}, {"label", "classname"}, {"group", "subject"}, {"split", "split"}};
    int *const columns[4] = {&c->file, &c->label, &c->group, &c->split};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            if (strcmp(field[i], names[k][0]) == 0 || strcmp(field[i], names[k][1]) == 0)
                *columns[k] = i;
    c->headed = true;
    if (c->file < 0 || (c->label < 0 && !c->list))
        return fail(GRAFT_BAD_FILE, "%s:%d: the header needs the column%s", c->path, c->line,
                    c->list ? " path" : "s path and label");
    return GRAFT_OK;
}

// Heap; NULL: no memory.  The first file that is there decides where all are.
static char *picture_path(struct csv *c, const char *name, const char *class_name)
{
    static const char *const layouts[] = {"", "train/", "imgs/train/"};
    const char *slash = strrchr(c->path, '/');
    const int folder = slash != NULL ? (int)(slash - c->path + 1) : 0;
    for (int i = c->layout >= 0 ? c->layout : 0; name[0] != '/' && i < (int)COUNT_OF(layouts); i++) {
        char *path = i == 0 ? mem_format("%.*s%s", folder, c->path, name)
                            : mem_format("%.*s%s%s/%s", folder, c->path, layouts[i], class_name, name);
        if (path == NULL || c->layout == i || file_exists(path)) {
            c->layout = i;
            return path;
        }
        mem_free(path);
    }
    return name[0] == '/' ? mem_text(name) : mem_format("%.*s%s", folder, c->path, name);
}

static graft_status part_of(const struct csv *c, const char *text, enum part *part)
{
    *part = PART_TRAIN;
    if (strncmp(text, "val", 3) == 0)
        *part = PART_VAL;
    else if (strcmp(text, "test") == 0)
        *part = PART_TEST;
    else if (text[0] != '\0' && strcmp(text, "train") != 0)
        return fail(GRAFT_BAD_FILE, "%s:%d: split '%s'; train, val or test is expected", c->path, c->line, text);
    return GRAFT_OK;
}

static uint64_t name_hash(const char *name) // FNV-1a; 0 for no name
{
    uint64_t hash = name[0] != '\0' ? 0xcbf29ce484222325u : 0;
    for (; *name != '\0'; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

// A class name, if there is one, helps to find State Farm's pictures.
static graft_status list_row_read(struct csv *c, char **field, int n, struct dataset *d)
{
    if (n <= c->file || field[c->file][0] == '\0')
        return fail(GRAFT_BAD_FILE, "%s:%d: a path is expected", c->path, c->line);
    char *path = picture_path(c, field[c->file], c->label >= 0 && c->label < n ? field[c->label] : "");
    const graft_status status = path != NULL ? sample_add(d, path, -1, PART_NONE, NULL) : fail_memory("a path");
    mem_free(path);
    return status;
}

static graft_status row_read(struct csv *c, char **field, int n, struct dataset *d)
{
    enum part part = PART_TRAIN;
    if (n <= c->file || n <= c->label || field[c->file][0] == '\0' || field[c->label][0] == '\0')
        return fail(GRAFT_BAD_FILE, "%s:%d: a path and a label are expected", c->path, c->line);
    if (c->split >= 0 && c->split < n)
        TRY(part_of(c, field[c->split], &part));
    const char *name = field[c->label];
    int label = d->count > 0 ? d->samples[d->count - 1].label : -1; // rows of a class tend to lie together
    if (label < 0 || strcmp(d->classes[label], name) != 0)
        label = class_index(d, name);
    if (label < 0) {
        TRY(class_add(d, name));
        label = d->n_classes - 1;
    }
    char *path = picture_path(c, field[c->file], name);
    const graft_status status = path != NULL ? sample_add(d, path, label, part, NULL) : fail_memory("a path");
    mem_free(path);
    if (status == GRAFT_OK && c->group >= 0 && c->group < n)
        d->samples[d->count - 1].group = name_hash(field[c->group]);
    return status;
}

static graft_status lines_read(bytes text, struct csv *c, char *line, struct dataset *d)
{
    char *field[MAX_FIELDS];
    size_t at = text.size >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; // a byte order mark
    for (c->line = 1; at < text.size; c->line++) {
        const uint8_t *newline = memchr(text.ptr + at, '\n', text.size - at);
        size_t length = newline != NULL ? (size_t)(newline - text.ptr) - at : text.size - at;
        if (length >= MAX_LINE)
            return fail(GRAFT_BAD_FILE, "%s:%d: a line of %zu bytes; at most %d are read", c->path, c->line, length,
                        MAX_LINE - 1);
        memcpy(line, text.ptr + at, length);
        at += length + 1;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        line[length] = '\0';
        if (length == 0)
            continue;
        const int n = fields_of(line, field);
        if (n < 0)
            return fail(GRAFT_BAD_FILE, "%s:%d: a quote is not closed", c->path, c->line);
        TRY(!c->headed ? header_read(c, field, n) : c->list ? list_row_read(c, field, n, d) : row_read(c, field, n, d));
    }
    return c->headed ? GRAFT_OK : fail(GRAFT_BAD_FILE, "%s: the file is empty", c->path);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static graft_status classes_sort(struct dataset *d)
{
    if (d->n_classes == 0)
        return GRAFT_OK;
    char **before = mem_alloc((size_t)d->n_classes * sizeof *before);
    int *place = mem_alloc((size_t)d->n_classes * sizeof *place);
    const bool found = before != NULL && place != NULL;
    if (found) {
        memcpy(before, d->classes, (size_t)d->n_classes * sizeof *before);
        qsort(d->classes, (size_t)d->n_classes, sizeof *d->classes, by_name);
        for (int i = 0; i < d->n_classes; i++)
            place[i] = class_index(d, before[i]);
        for (size_t i = 0; i < d->count; i++)
            d->samples[i].label = place[d->samples[i].label];
    }
    mem_free(before);
    mem_free(place);
    return found ? GRAFT_OK : fail_memory("class names");
}

static graft_status csv_read(const char *path, bool list, struct dataset *d)
{
    struct csv c = {.path = path, .file = -1, .label = -1, .group = -1, .split = -1, .layout = -1, .list = list};
    struct file_map map;
    TRY(file_map_open(path, &map));
    char *line = mem_alloc(MAX_LINE);
    const graft_status status = line != NULL ? lines_read(map.data, &c, line, d) : fail_memory("a CSV line");
    mem_free(line);
    file_map_close(&map);
    return status;
}

graft_status source_csv(const struct data_options *options, struct dataset *d)
{
    TRY(csv_read(options->path, false, d));
    return classes_sort(d);
}

graft_status csv_list(const char *path, struct dataset *d) { return csv_read(path, true, d); }
