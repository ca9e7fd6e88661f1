// report/runs.c: finding runs, sorting them, removing one.

#include "report/runs.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 4 };

// What is in a folder but "." and "..", sorted; heap texts in a heap list.
static graft_status names_read(const char *folder, char ***out, size_t *n)
{
    size_t capacity = 0;
    struct dirent *e;
    DIR *d = opendir(folder);
    *out = NULL;
    *n = 0;
    if (d == NULL)
        return fail_system("read folder", folder);
    while ((e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *name = mem_text(e->d_name);
        if (name == NULL || !mem_grow(out, &capacity, *n + 1, sizeof **out)) {
            mem_free(name);
            closedir(d);
            return fail_memory("the names in a folder");
        }
        (*out)[(*n)++] = name;
    }
    closedir(d);
    return GRAFT_OK;
}

static void names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(names[i]);
    mem_free(names);
}

static bool is_folder(const char *path) // no links: they may lead round in circles
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static graft_status run_take(const char *folder, struct run_list *list)
{
    struct run_data d;
    struct stat st;
    const graft_status status = run_folds_is(folder) ? run_folds_read(folder, &d) : run_events_read(folder, &d);
    if (status == GRAFT_BAD_FILE) {
        log_warning("%s", graft_message());
        return GRAFT_OK;
    }
    TRY(status);
    char *path = path_join(folder, "events.jsonl");
    if (d.begun == 0 && path != NULL && stat(path, &st) == 0)
        d.begun = (double)st.st_mtime;
    mem_free(path);
    if (!mem_grow(&list->items, &list->capacity, list->n + 1, sizeof *list->items)) {
        run_data_free(&d);
        return fail_memory("the runs");
    }
    list->items[list->n++] = d;
    return GRAFT_OK;
}

static graft_status search(const char *folder, int depth, struct run_list *list)
{
    char **names;
    size_t n;
    if (run_folder_is(folder) || run_folds_is(folder))
        return run_take(folder, list);
    if (depth == 0)
        return GRAFT_OK;
    graft_status status = names_read(folder, &names, &n);
    for (size_t i = 0; status == GRAFT_OK && i < n; i++) {
        char *path = names[i][0] != '.' ? path_join(folder, names[i]) : NULL;
        if (path != NULL && is_folder(path))
            status = search(path, depth - 1, list);
        mem_free(path);
    }
    names_free(names, n);
    return status;
}

graft_status run_list_read(const char *folder, struct run_list *out)
{
    *out = (struct run_list){0};
    const graft_status status = search(folder, DEPTH, out);
    if (status != GRAFT_OK)
        run_list_free(out);
    return status;
}

void run_list_free(struct run_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        run_data_free(&list->items[i]);
    mem_free(list->items);
    *list = (struct run_list){0};
}

double run_seconds(const struct run_data *d)
{
    double seconds = 0;
    for (int i = 0; i < d->n_epochs; i++)
        seconds += isfinite(d->epochs[i].seconds) ? d->epochs[i].seconds : 0;
    return seconds;
}

static double key_of(const struct run_data *d, enum run_order order) // smaller comes first
{
    const bool validated = d->best >= 0 && d->epochs[d->best].validated;
    switch (order) {
    case BY_DATE:
        return -d->begun;
    case BY_TOP1:
        return validated ? -d->epochs[d->best].top1 : INFINITY;
    case BY_LOG_LOSS:
        return validated ? d->epochs[d->best].log_loss : INFINITY;
    case BY_TIME:
        return d->n_epochs > 0 ? run_seconds(d) : INFINITY;
    default:
        return 0;
    }
}

static int compare(const void *left, const void *right, void *user)
{
    const struct run_data *a = left, *b = right;
    const enum run_order order = *(const enum run_order *)user;
    const double x = key_of(a, order), y = key_of(b, order);
    return x < y ? -1 : x > y ? 1 : strverscmp(a->folder, b->folder); // train2 before train10
}

void run_list_sort(struct run_list *list, enum run_order order)
{
    if (list->n > 0)
        qsort_r(list->items, list->n, sizeof *list->items, compare, &order);
    for (size_t i = 0; i < list->n; i++)
        list->items[i].name = path_name(list->items[i].folder);
}

enum run_state run_state_of(const struct run_data *d)
{
    return d->end != NULL ? RUN_FINISHED : file_holder(d->folder) > 0 ? RUN_RUNNING : RUN_STOPPED;
}

static bool is_run(const char *name) // "fold-0" of a fold run, "whole" of a run with --crop cam: a run in the run
{
    if (strcmp(name, "whole") == 0)
        return true;
    return strncmp(name, "fold-", 5) == 0 && name[5] != '\0' && name[5 + strspn(name + 5, "0123456789")] == '\0';
}

// What a run writes, by folder.  A file that was being written when the process died has more behind its name (file.h).
static bool is_ours(const char *folder, const char *written)
{
    static const char *const files[] = {
        "args.json",     "classes.txt", "confusion_matrix.csv", "events.jsonl", "histograms.jsonl", "layers.csv",
        "model.safetensors", "per_class.csv", "progress.json",  "report.html",  "results.csv",      "results.json",
        "skipped.csv",   "split.csv",   "val_predictions.csv",  ".lock",        "media",            "tb",
        "folds.csv",     "oof_predictions.csv", "near_duplicates.csv", "boxes.csv"};
    char name[256];
    snprintf(name, sizeof name, "%s", written); // 255: the most that a name has
    char *mark = strstr(name, ".tmp-");
    if (mark != NULL && mark[5] != '\0' && mark[5 + strspn(mark + 5, "0123456789")] == '\0')
        *mark = '\0';
    if (strcmp(folder, "media") == 0)
        return path_has_suffix(name, ".jpg") || path_has_suffix(name, ".csv");
    if (folder[0] != '\0') // tb and its folders
        return strstr(name, "tfevents") != NULL || strcmp(name, "train") == 0 || strcmp(name, "validation") == 0;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (strcmp(name, files[i]) == 0)
            return true;
    return path_has_suffix(name, ".ckpt.safetensors") || is_run(name);
}

// Visits what is in `folder`, files before the folders that hold them.  *bytes grows; `remove`: they are unlinked;
// otherwise what is not ours is a failure.
static graft_status walk(const char *folder, const char *inner, bool remove, uint64_t *bytes)
{
    char **names;
    size_t n;
    graft_status status = names_read(folder, &names, &n);
    for (size_t i = 0; status == GRAFT_OK && i < n; i++) {
        struct stat st;
        char *path = path_join(folder, names[i]);
        if (path == NULL || lstat(path, &st) != 0)
            status = path != NULL ? fail_system("inspect", path) : fail_memory("a path");
        else if (!is_ours(inner, names[i]))
            status = fail(GRAFT_BAD_FILE, "'%s' is nothing a run writes; move it away first", path);
        else if (S_ISDIR(st.st_mode))
            status = walk(path, inner[0] != '\0' ? inner : is_run(names[i]) ? "" : names[i], remove, bytes);
        else
            *bytes += (uint64_t)st.st_size;
        if (status == GRAFT_OK && remove && (S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) != 0)
            status = fail_system("remove", path);
        mem_free(path);
    }
    names_free(names, n);
    return status;
}

uint64_t run_bytes(const char *folder)
{
    uint64_t bytes = 0;
    walk(folder, "", false, &bytes); // as far as it goes
    return bytes;
}

graft_status run_remove(const char *folder)
{
    uint64_t bytes = 0;
    if ((!run_folder_is(folder) && !run_folds_is(folder)) || !is_folder(folder))
        return fail(GRAFT_BAD_FILE, "'%s' is not a run", folder);
    if (file_holder(folder) > 0)
        return fail(GRAFT_BAD_FILE, "'%s' is in use by process %ld; stop it first", folder, file_holder(folder));
    TRY(walk(folder, "", false, &bytes));
    TRY(walk(folder, "", true, &bytes));
    return rmdir(folder) == 0 ? GRAFT_OK : fail_system("remove", folder);
}
