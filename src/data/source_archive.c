// data/source_archive.c: a tar or zip archive whose names are a folder per class, or train/ val/ test/ of such; and one
// of pictures without labels.  Folders that hold everything are passed through ("pets/cats/1.jpg" is of class cats);
// hidden names and __MACOSX are left out.

#include "data/archive.h"
#include "data/sources.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct entry {
    const struct member *member;
    const char *rest; // of its name, without what all share
};

static bool hidden(const char *name)
{
    for (;;) {
        const size_t n = strcspn(name, "/");
        if ((name[0] == '.' && !(n == 1 || (n == 2 && name[1] == '.'))) || (n == 8 && memcmp(name, "__MACOSX", 8) == 0))
            return true;
        if (name[n] == '\0')
            return false;
        name += n + 1;
    }
}

static const char *without_dots(const char *name) // "./pets/1.jpg", "/pets/1.jpg"
{
    while (name[0] == '/' || (name[0] == '.' && name[1] == '/'))
        name++;
    return name;
}

static int folders_of(const char *name)
{
    int n = 0;
    for (; *name != '\0'; name++)
        n += *name == '/';
    return n;
}

// A folder that holds all, with folders in it, says nothing.
static bool all_in_one(const struct entry *entries, size_t n)
{
    const size_t length = n > 0 ? strcspn(entries[0].rest, "/") + 1 : 0;
    for (size_t i = 0; i < n; i++)
        if (folders_of(entries[i].rest) < 2 || strncmp(entries[i].rest, entries[0].rest, length) != 0)
            return false;
    return n > 0;
}

static bool part_named(const char *name, size_t length, enum part *part)
{
    static const struct { const char *name; enum part part; } names[] = {
        {"train", PART_TRAIN}, {"val", PART_VAL}, {"valid", PART_VAL}, {"validation", PART_VAL}, {"test", PART_TEST}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strlen(names[i].name) == length && strncmp(names[i].name, name, length) == 0) {
            *part = names[i].part;
            return true;
        }
    return false;
}

static graft_status entry_add(struct dataset *d, const char *path, const struct entry *e, int label, enum part part)
{
    char *shown = mem_format("%s/%s", path, without_dots(e->member->name));
    const graft_status status = shown != NULL ? sample_add(d, shown, label, part, NULL) : fail_memory("a path");
    mem_free(shown);
    if (status == GRAFT_OK)
        d->samples[d->count - 1].member = e->member;
    return status;
}

static graft_status class_entries(struct dataset *d, const char *path, const struct entry *entries, size_t n)
{
    bool parted = false;
    size_t beside = 0, unlabelled = 0;
    enum part part;
    for (size_t i = 0; i < n; i++)
        parted |= strncmp(entries[i].rest, "train/", 6) == 0 && folders_of(entries[i].rest) >= 2;
    for (int pass = 0; pass < (parted ? 2 : 1); pass++) // the training part names the classes
        for (size_t i = 0; i < n; i++) {
            const char *rest = entries[i].rest;
            const size_t length = strcspn(rest, "/");
            part = PART_TRAIN;
            if (parted && !part_named(rest, length, &part)) {
                beside += pass == 0;
                continue;
            }
            if (parted && (part == PART_TRAIN) != (pass == 0))
                continue;
            rest += parted ? length + 1 : 0;
            const size_t folder = strcspn(rest, "/");
            if (rest[folder] == '\0') {
                *(part == PART_TEST ? &unlabelled : &beside) += 1;
                continue;
            }
            char *name = mem_format("%.*s", (int)folder, rest);
            int label = name != NULL ? class_index(d, name) : -1;
            graft_status status = name != NULL ? GRAFT_OK : fail_memory("class names");
            if (status == GRAFT_OK && label < 0)
                status = part == PART_TRAIN
                             ? class_find(d, name, &label)
                             : fail(GRAFT_BAD_FILE, "'%s': class '%s' has no folder in the training part", path, name);
            mem_free(name);
            TRY(status);
            TRY(entry_add(d, path, &entries[i], label, part));
        }
    if (unlabelled > 0)
        log_info("'%s' holds %zu test files without labels: for `graft predict`", path, unlabelled);
    if (beside > 0)
        log_warning("'%s': %zu files beside the class folders are left out", path, beside);
    return GRAFT_OK;
}

graft_status source_archive(const char *path, bool labelled, struct dataset *d)
{
    struct archive *archive;
    size_t n, kept = 0;
    graft_status status = GRAFT_OK;
    TRY(archive_open(path, &archive));
    if (!mem_grow(&d->archives, &d->archive_capacity, d->n_archives + 1, sizeof *d->archives)) {
        archive_free(archive);
        return fail_memory("a data set");
    }
    d->archives[d->n_archives++] = archive;
    const struct member *members = archive_members(archive, &n);
    struct entry *entries = mem_alloc((n + 1) * sizeof *entries);
    if (entries == NULL)
        return fail_memory("an archive's list");
    for (size_t i = 0; i < n; i++)
        if (!hidden(members[i].name))
            entries[kept++] = (struct entry){&members[i], without_dots(members[i].name)};
    while (all_in_one(entries, kept))
        for (size_t length = strcspn(entries[0].rest, "/") + 1, i = 0; i < kept; i++)
            entries[i].rest += length;
    if (labelled)
        status = class_entries(d, path, entries, kept);
    else
        for (size_t i = 0; i < kept && status == GRAFT_OK; i++)
            status = entry_add(d, path, &entries[i], -1, PART_NONE);
    mem_free(entries);
    return status;
}
