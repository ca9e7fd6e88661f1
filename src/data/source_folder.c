// data/source_folder.c: a folder per class, or train/ val/ test/ folders of such folders; and CSV lists.
// Classes are the folders' names, sorted bytewise, over all parts; matched by name, never by position.

#include "data/sources.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int list(const char *folder, struct dirent ***out) { return scandir(folder, out, visible, by_name); }

static void list_free(struct dirent **entries, int n)
{
    for (int i = 0; i < n; i++)
        free(entries[i]);
    if (n >= 0)
        free(entries);
}

// Every entry of a class folder is a sample; what cannot be decoded is found, named and counted when it is read.
static graft_status class_samples(struct dataset *d, const char *folder, int label, enum part part)
{
    struct dirent **entries;
    const int n = list(folder, &entries);
    graft_status status = GRAFT_OK;
    for (int i = 0; i < n && status == GRAFT_OK; i++) {
        char *path = path_join(folder, entries[i]->d_name);
        status = path == NULL ? fail_memory("a path") : sample_add(d, path, label, part, NULL);
        mem_free(path);
    }
    list_free(entries, n);
    if (n < 0)
        return fail(GRAFT_BAD_FILE, "cannot read folder '%s'", folder);
    if (n == 0)
        log_warning("class folder '%s' is empty", folder);
    return status;
}

static graft_status part_samples(struct dataset *d, const char *folder, enum part part, bool name_classes)
{
    struct dirent **entries;
    const int n = list(folder, &entries);
    graft_status status = n < 0 ? fail(GRAFT_BAD_FILE, "cannot read folder '%s'", folder) : GRAFT_OK;
    for (int i = 0; i < n && status == GRAFT_OK; i++) {
        char *path = path_join(folder, entries[i]->d_name);
        if (path == NULL)
            status = fail_memory("a path");
        else if (is_folder(path)) {
            int label = class_index(d, entries[i]->d_name);
            if (label < 0 && name_classes) {
                status = class_add(d, entries[i]->d_name);
                label = d->n_classes - 1;
            }
            if (status == GRAFT_OK && label < 0)
                status = fail(GRAFT_BAD_FILE, "'%s': class '%s' has no folder in the training part", path, entries[i]->d_name);
            if (status == GRAFT_OK)
                status = class_samples(d, path, label, part);
        } else
            log_warning("'%s' lies beside the class folders and is left out", path);
        mem_free(path);
    }
    list_free(entries, n);
    return status;
}

graft_status source_folder(const struct data_options *options, struct dataset *d)
{
    static const struct { const char *name; enum part part; } parts[] = {
        {"train", PART_TRAIN}, {"val", PART_VAL}, {"valid", PART_VAL}, {"validation", PART_VAL}, {"test", PART_TEST}};
    char *train = path_join(options->path, "train");
    if (train == NULL)
        return fail_memory("a path");
    const bool parted = is_folder(train);
    mem_free(train);
    if (!parted)
        return part_samples(d, options->path, PART_TRAIN, true);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char *folder = path_join(options->path, parts[i].name);
        if (folder == NULL)
            return fail_memory("a path");
        const graft_status status = is_folder(folder) ? part_samples(d, folder, parts[i].part, i == 0) : GRAFT_OK;
        mem_free(folder);
        TRY(status);
    }
    return GRAFT_OK;
}

// --- CSV: a header with path (or img), label (or classname), optional split; fields may be quoted ----------------------

enum { MAX_FIELDS = 16, MAX_LINE = 1 << 16 };

// Cuts the line into fields in place; gives their number, or -1 at an unclosed quote.
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

struct columns { int path, label, split; };

static graft_status csv_row(const struct data_options *options, struct dataset *d, int line, char **field, int n,
                            struct columns c)
{
    if (n <= c.path || n <= c.label)
        return fail(GRAFT_BAD_FILE, "%s:%d: %d fields; a path and a label are expected", options->path, line, n);
    int label = class_index(d, field[c.label]);
    if (label < 0) {
        TRY(class_add(d, field[c.label]));
        label = d->n_classes - 1;
    }
    enum part part = PART_TRAIN;
    if (c.split >= 0 && n > c.split && field[c.split][0] != '\0') {
        const char *s = field[c.split];
        if (strncmp(s, "val", 3) == 0)
            part = PART_VAL;
        else if (strcmp(s, "test") == 0)
            part = PART_TEST;
        else if (strcmp(s, "train") != 0)
            return fail(GRAFT_BAD_FILE, "%s:%d: split '%s'; train, val or test is expected", options->path, line, s);
    }
    const char *slash = strrchr(options->path, '/');
    char *folder = mem_format("%.*s", slash != NULL ? (int)(slash - options->path + 1) : 0, options->path);
    char *path = folder != NULL ? path_join(folder, field[c.path]) : NULL;
    const graft_status status = path != NULL ? sample_add(d, path, label, part, NULL) : fail_memory("a path");
    mem_free(folder);
    mem_free(path);
    return status;
}

static int class_order(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

graft_status source_csv(const struct data_options *options, struct dataset *d)
{
    struct file_map map;
    char *line = mem_alloc(MAX_LINE);
    struct columns c = {-1, -1, -1};
    graft_status status = GRAFT_OK;
    TRY(file_map_open(options->path, &map));
    size_t at = 0;
    for (int number = 1; line != NULL && status == GRAFT_OK && at < map.data.size; number++) {
        size_t end = at;
        while (end < map.data.size && map.data.ptr[end] != '\n')
            end++;
        size_t length = end - at;
        if (length >= MAX_LINE) {
            status = fail(GRAFT_BAD_FILE, "%s:%d: a line of %zu bytes; at most %d are read", options->path, number, length,
                          MAX_LINE - 1);
            break;
        }
        memcpy(line, map.data.ptr + at, length);
        at = end + 1;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        line[length] = '\0';
        char *field[MAX_FIELDS];
        if (length == 0)
            continue;
        const int n = fields_of(line, field);
        if (n < 0)
            status = fail(GRAFT_BAD_FILE, "%s:%d: a quote is not closed", options->path, number);
        else if (number == 1) {
            for (int i = 0; i < n; i++) {
                if (strcmp(field[i], "path") == 0 || strcmp(field[i], "img") == 0)
                    c.path = i;
                else if (strcmp(field[i], "label") == 0 || strcmp(field[i], "classname") == 0)
                    c.label = i;
                else if (strcmp(field[i], "split") == 0)
                    c.split = i;
            }
            if (c.path < 0 || c.label < 0)
                status = fail(GRAFT_BAD_FILE, "%s:1: the header needs the columns path and label", options->path);
        } else
            status = csv_row(options, d, number, field, n, c);
    }
    if (line == NULL)
        status = fail_memory("a CSV line");
    mem_free(line);
    file_map_close(&map);
    if (status != GRAFT_OK || d->n_classes == 0)
        return status;
    // Sort the classes bytewise and renumber.
    char **before = mem_alloc((size_t)d->n_classes * sizeof *before);
    if (before == NULL)
        return fail_memory("class names");
    memcpy(before, d->classes, (size_t)d->n_classes * sizeof *before);
    qsort(d->classes, (size_t)d->n_classes, sizeof *d->classes, class_order);
    for (size_t i = 0; i < d->count; i++)
        d->samples[i].label = class_index(d, before[d->samples[i].label]);
    mem_free(before);
    return GRAFT_OK;
}
