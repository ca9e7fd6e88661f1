// data/source_folder.c: a folder per class, or train/ val/ test/ folders of such folders.
// Classes are the names of the training part's folders, sorted bytewise; matched by name, never by position.

#include "data/sources.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
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
        return fail(GRAFT_BAD_FILE, "cannot read folder '%s': %s", folder, strerror(errno));
    if (n == 0)
        log_warning("class folder '%s' is empty", folder);
    return status;
}

static graft_status part_samples(struct dataset *d, const char *folder, enum part part, bool name_classes)
{
    struct dirent **entries;
    const int n = list(folder, &entries);
    graft_status status =
        n < 0 ? fail(GRAFT_BAD_FILE, "cannot read folder '%s': %s", folder, strerror(errno)) : GRAFT_OK;
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
                status = fail(GRAFT_BAD_FILE, "'%s': class '%s' has no folder in the training part", path,
                              entries[i]->d_name);
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
