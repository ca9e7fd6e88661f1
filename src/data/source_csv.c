// data/source_csv.c: a CSV naming pictures.
// Header: path (or img, image, filename), label (or classname, class); optional group (or subject, or the column that
// is named) and split (train, val, test; empty: train).  Paths are relative to the CSV.  State Farm's driver list names
// files only: they are looked for in train/CLASS/ and imgs/train/CLASS/ beside it as well; its sample submission's,
// which has no labels, in test/ and imgs/test/.

#include "data/sources.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>

struct list {
    struct csv csv;
    bool labelled;
    int file, label, group, split; // columns; -1: none
    int layout;                    // of `layouts`; -1: not known yet
};

static const struct {
    const char *folder;
    bool by_class, labelled; // CLASS/ follows; also for pictures with labels
} layouts[] = {{"", false, true}, {"train/", true, true}, {"imgs/train/", true, true}, {"test/", false, false},
               {"imgs/test/", false, false}};

static graft_status header_read(struct list *l, const char *group, struct dataset *d)
{
    static const char *const files[] = {"path", "img", "image", "filename", NULL};
    static const char *const labels[] = {"label", "classname", "class", NULL};
    static const char *const groups[] = {"group", "subject", NULL}, *const splits[] = {"split", NULL};
    const char *const named[] = {group, NULL};
    struct csv *c = &l->csv;
    l->file = csv_column(c, files);
    l->label = csv_column(c, labels);
    l->group = csv_column(c, group != NULL ? named : groups);
    l->split = csv_column(c, splits);
    d->grouped |= l->group >= 0;
    if (l->file < 0 || (l->labelled && l->label < 0))
        return fail(GRAFT_BAD_FILE, "%s:%d: the header needs %s", c->path, c->line,
                    l->labelled ? "the columns path and label" : "the column path (or img)");
    return GRAFT_OK;
}

// Heap; NULL: no memory.  The first file that is there decides where all are.
static char *picture_path(struct list *l, const char *name, const char *class_name)
{
    const char *slash = strrchr(l->csv.path, '/');
    const int folder = slash != NULL ? (int)(slash - l->csv.path + 1) : 0;
    for (int i = l->layout >= 0 ? l->layout : 0; name[0] != '/' && i < (int)COUNT_OF(layouts); i++) {
        if ((layouts[i].by_class && class_name[0] == '\0') || (l->labelled && !layouts[i].labelled))
            continue;
        char *path = mem_format("%.*s%s%s%s%s", folder, l->csv.path, layouts[i].folder,
                                layouts[i].by_class ? class_name : "", layouts[i].by_class ? "/" : "", name);
        if (path == NULL || l->layout == i || file_exists(path)) {
            l->layout = i;
            return path;
        }
        mem_free(path);
    }
    return name[0] == '/' ? mem_text(name) : mem_format("%.*s%s", folder, l->csv.path, name);
}

graft_status part_of(const struct csv *c, const char *text, enum part *part)
{
    static const struct { const char *name; enum part part; } names[] = {
        {"", PART_TRAIN}, {"train", PART_TRAIN}, {"val", PART_VAL}, {"valid", PART_VAL}, {"validation", PART_VAL},
        {"test", PART_TEST}, {"unused", PART_NONE}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (strcmp(text, names[i].name) == 0) {
            *part = names[i].part;
            return GRAFT_OK;
        }
    return fail(GRAFT_BAD_FILE, "%s:%d: split '%s'; train, val, test or unused is expected", c->path, c->line, text);
}

static graft_status row_add(struct list *l, struct dataset *d)
{
    const struct csv *c = &l->csv;
    enum part part = l->labelled ? PART_TRAIN : PART_NONE;
    int label = -1;
    if (c->n <= l->file || c->field[l->file][0] == '\0' ||
        (l->labelled && (c->n <= l->label || c->field[l->label][0] == '\0')))
        return fail(GRAFT_BAD_FILE, "%s:%d: a path%s expected", c->path, c->line,
                    l->labelled ? " and a label are" : " is");
    if (l->labelled && l->split >= 0 && l->split < c->n)
        TRY(part_of(c, c->field[l->split], &part));
    const char *class_name = l->label >= 0 && l->label < c->n ? c->field[l->label] : "";
    if (l->labelled)
        TRY(class_find(d, class_name, &label));
    char *path = picture_path(l, c->field[l->file], class_name);
    const graft_status status = path != NULL ? sample_add(d, path, label, part, NULL) : fail_memory("a path");
    mem_free(path);
    if (status == GRAFT_OK && l->group >= 0 && l->group < c->n)
        return group_find(d, c->field[l->group], &d->samples[d->count - 1].group);
    return status;
}

graft_status source_csv(const char *path, const char *group, bool labelled, struct dataset *d)
{
    struct list l = {.labelled = labelled, .layout = -1};
    const size_t first = d->count;
    size_t alone = 0;
    bool more;
    graft_status status = GRAFT_OK;
    TRY(csv_open(path, &l.csv));
    TRY_GOTO(csv_next(&l.csv, &more));
    if (!more)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s: the file is empty", path));
    TRY_GOTO(header_read(&l, group, d));
    for (;;) {
        TRY_GOTO(csv_next(&l.csv, &more));
        if (!more)
            break;
        TRY_GOTO(row_add(&l, d));
    }
    for (size_t i = first; i < d->count && l.group >= 0; i++)
        alone += d->samples[i].group == 0;
    if (alone > 0)
        log_warning("%s: %zu of %zu pictures have no group, so each of them goes where it is drawn to, alone", path,
                    alone, d->count - first);
done:
    csv_close(&l.csv);
    return status;
}

static const char drivers[] = "driver_imgs_list.csv";

graft_status drivers_recognises(const char *folder, bool *out) { return folder_has(folder, drivers, out); }

graft_status source_drivers(const char *folder, struct dataset *d)
{
    char *path = path_join(folder, drivers);
    const graft_status status = path != NULL ? source_csv(path, NULL, true, d) : fail_memory("a path");
    mem_free(path);
    return status;
}
