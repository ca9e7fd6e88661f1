// data/source_inputs.c: what `predict` is given: a picture, a folder with its folders, or a CSV that names pictures.
// Hidden files and links to folders are passed over; in what order: by name, bytewise, a folder's own pictures and
// folders mixed.

#include "data/sources.h"
#include "base/file.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 32 };

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

static graft_status folder_add(const char *folder, int depth, struct dataset *out)
{
    struct dirent **entries;
    if (depth == MAX_DEPTH)
        return fail(GRAFT_BAD_FILE, "'%s': folders nested more than %d deep", folder, MAX_DEPTH);
    const int n = scandir(folder, &entries, visible, by_name);
    if (n < 0)
        return fail(GRAFT_BAD_FILE, "cannot read folder '%s': %s", folder, strerror(errno));
    graft_status status = GRAFT_OK;
    for (int i = 0; i < n; i++) {
        struct stat itself, target;
        char *path = path_join(folder, entries[i]->d_name);
        free(entries[i]);
        if (status == GRAFT_OK && path == NULL)
            status = fail_memory("a path");
        if (status == GRAFT_OK && lstat(path, &itself) == 0) {
            if (S_ISDIR(itself.st_mode))
                status = folder_add(path, depth + 1, out);
            else if (!S_ISLNK(itself.st_mode) || stat(path, &target) != 0 || !S_ISDIR(target.st_mode))
                status = sample_add(out, path, -1, PART_NONE, NULL);
        }
        mem_free(path);
    }
    free(entries);
    return status;
}

graft_status inputs_add(const char *path, struct dataset *out)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return folder_add(path, 0, out);
    return path_has_suffix(path, ".csv") ? csv_list(path, out) : sample_add(out, path, -1, PART_NONE, NULL);
}
