// data/source_folder.c: a folder per class, or train/ val/ test/ folders of such folders; and pictures without labels.
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

// `beside`: files that lie where class folders are expected.
static graft_status part_samples(struct dataset *d, const char *folder, enum part part, bool name_classes,
                                 size_t *beside)
{
    struct dirent **entries;
    const int n = list(folder, &entries);
    graft_status status =
        n < 0 ? fail(GRAFT_BAD_FILE, "cannot read folder '%s': %s", folder, strerror(errno)) : GRAFT_OK;
    *beside = 0;
    for (int i = 0; i < n && status == GRAFT_OK; i++) {
        char *path = path_join(folder, entries[i]->d_name);
        if (path == NULL)
            status = fail_memory("a path");
        else if (is_folder(path)) {
            int label = class_index(d, entries[i]->d_name);
            if (name_classes)
                status = class_find(d, entries[i]->d_name, &label);
            if (status == GRAFT_OK && label < 0)
                status = fail(GRAFT_BAD_FILE, "'%s': class '%s' has no folder in the training part", path,
                              entries[i]->d_name);
            if (status == GRAFT_OK)
                status = class_samples(d, path, label, part);
        } else
            (*beside)++;
        mem_free(path);
    }
    list_free(entries, n);
    return status;
}

graft_status source_folder(const char *path, struct dataset *d)
{
    static const struct { const char *name; enum part part; } parts[] = {
        {"train", PART_TRAIN}, {"val", PART_VAL}, {"valid", PART_VAL}, {"validation", PART_VAL}, {"test", PART_TEST}};
    char *train = path_join(path, "train");
    size_t beside;
    if (train == NULL)
        return fail_memory("a path");
    const bool parted = is_folder(train);
    mem_free(train);
    if (!parted) {
        TRY(part_samples(d, path, PART_TRAIN, true, &beside));
        if (beside > 0)
            log_warning("'%s': %zu files beside the class folders are left out", path, beside);
        return GRAFT_OK;
    }
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        char *folder = path_join(path, parts[i].name);
        if (folder == NULL)
            return fail_memory("a path");
        const size_t before = d->count;
        graft_status status = GRAFT_OK;
        beside = 0;
        if (is_folder(folder))
            status = part_samples(d, folder, parts[i].part, i == 0, &beside);
        if (status == GRAFT_OK && beside > 0 && d->count == before && parts[i].part == PART_TEST)
            log_info("'%s' holds %zu files without labels: for `graft predict`", folder, beside);
        else if (status == GRAFT_OK && beside > 0)
            log_warning("'%s': %zu files beside the class folders are left out", folder, beside);
        mem_free(folder);
        TRY(status);
    }
    return GRAFT_OK;
}

enum { MAX_DEPTH = 64 }; // of folders in folders: links may form a loop

static graft_status inputs_below(struct dataset *d, const char *path, int depth)
{
    struct dirent **entries;
    if (!is_folder(path))
        return sample_add(d, path, -1, PART_NONE, NULL);
    if (depth > MAX_DEPTH)
        return fail(GRAFT_BAD_FILE, "'%s': folders are nested more than %d deep", path, MAX_DEPTH);
    const int n = list(path, &entries);
    graft_status status = n >= 0     ? GRAFT_OK
                          : depth > 0 ? sample_add(d, path, -1, PART_NONE, NULL) // reading it names it
                                      : fail(GRAFT_BAD_FILE, "cannot read folder '%s': %s", path, strerror(errno));
    for (int i = 0; i < n && status == GRAFT_OK; i++) {
        char *below = path_join(path, entries[i]->d_name);
        struct stat st;
        if (below == NULL)
            status = fail_memory("a path");
        else if (lstat(below, &st) == 0 && S_ISLNK(st.st_mode) && is_folder(below))
            log_warning("'%s' is a link to a folder and is left out", below);
        else
            status = inputs_below(d, below, depth + 1);
        mem_free(below);
    }
    list_free(entries, n);
    return status;
}

graft_status source_inputs(const char *path, struct dataset *d) { return inputs_below(d, path, 0); }
