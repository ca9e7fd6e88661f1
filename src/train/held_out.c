// train/held_out.c: see train/held_out.h.

#include "train/held_out.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/memory.h"
#include "data/sources.h"
#include "infer/svm.h"
#include "train/folds.h"
#include <stdlib.h>
#include <string.h>

struct reading {
    struct csv csv;
    json_t *args;
    const char *directory; // that the run's paths are relative to; NULL: not known
    bool folds;
    int path, split, stamp; // columns; split -1: of folds; stamp -1: there is none
    uint64_t *stamps;
    size_t capacity;
};

static graft_status row_add(struct reading *r, struct dataset *out)
{
    const struct csv *c = &r->csv;
    enum part part = PART_VAL;
    if (c->n <= r->path || c->n <= r->split)
        return fail(GRAFT_BAD_FILE, "%s:%d: a path and a part are expected", c->path, c->line);
    if (!r->folds) {
        const char *split = c->field[r->split];
        part = strcmp(split, "val") == 0 ? PART_VAL : strcmp(split, "train") == 0 ? PART_TRAIN : PART_NONE;
    }
    if (part == PART_NONE)
        return GRAFT_OK;
    const bool here = r->directory == NULL || file_exists(c->field[r->path]);
    char *path = here ? mem_text(c->field[r->path]) : path_join(r->directory, c->field[r->path]);
    const graft_status status = path != NULL ? sample_add(out, path, -1, part, NULL) : fail_memory("a path");
    mem_free(path);
    TRY(status);
    if (!mem_grow(&r->stamps, &r->capacity, out->count, sizeof *r->stamps))
        return fail_memory("the pictures of a run");
    r->stamps[out->count - 1] = r->stamp >= 0 && r->stamp < c->n ? strtoull(c->field[r->stamp], NULL, 16) : 0;
    return GRAFT_OK;
}

static graft_status rows_read(struct reading *r, struct dataset *out)
{
    static const char *const paths[] = {"path", NULL}, *const splits[] = {"split", NULL},
                             *const stamps[] = {"stamp", NULL};
    bool more;
    TRY(csv_next(&r->csv, &more));
    r->path = csv_column(&r->csv, paths);
    r->stamp = csv_column(&r->csv, stamps);
    r->split = r->folds ? -1 : csv_column(&r->csv, splits);
    if (!more || r->path < 0 || (!r->folds && r->split < 0))
        return fail(GRAFT_BAD_FILE, "%s:1: the columns path%s are expected", r->csv.path, r->folds ? "" : " and split");
    for (;;) {
        TRY(csv_next(&r->csv, &more));
        if (!more)
            return GRAFT_OK;
        TRY(row_add(r, out));
    }
}

graft_status held_out_read(const char *folder, struct dataset *out, uint64_t **stamps)
{
    char *folds = path_join(folder, FOLDS_FILE), *split = path_join(folder, "split.csv"),
         *args = path_join(folder, "args.json"), *machine = path_join(folder, FOLDS_PREDICTIONS);
    struct reading r = {0};
    graft_status status = GRAFT_OK;
    *out = (struct dataset){0};
    if (stamps != NULL)
        *stamps = NULL;
    if (folds == NULL || split == NULL || args == NULL || machine == NULL)
        TRY_GOTO(fail_memory("a path"));
    const bool is_machine = svm_is(folder) && file_exists(machine);
    r.folds = file_exists(folds) || is_machine;
    if (!r.folds && !file_exists(split))
        goto done;
    if (file_exists(args) && json_read_file(args, &r.args) == GRAFT_OK)
        r.directory = json_string_value(json_object_get(r.args, "directory"));
    TRY_GOTO(csv_open(is_machine ? machine : r.folds ? folds : split, &r.csv));
    TRY_GOTO(rows_read(&r, out));
done:
    csv_close(&r.csv);
    json_decref(r.args);
    mem_free(folds);
    mem_free(split);
    mem_free(args);
    mem_free(machine);
    if (status != GRAFT_OK)
        dataset_free(out);
    else if (stamps != NULL) {
        *stamps = r.stamps;
        r.stamps = NULL;
    }
    mem_free(r.stamps);
    return status;
}
