// train/folds.c: which picture is in which fold; putting together what the folds predicted.
// results.json: {"folds", "done": [numbers], "val_log_loss", "val_log_loss_std", "val_top1", "val_top1_std": mean and
// sample standard deviation over the folds that have ended; "seconds"; once all have: "oof_log_loss", "oof_top1", "n":
// over all pictures, "skipped"; "fold": [{"fold", "best_epoch", "val_log_loss", "val_top1", "n"}]}.

#include "train/folds.h"
#include "base/csv.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "infer/metrics.h"
#include "infer/table.h"
#include "train/changes.h"
#include "train/run_folder.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOLD_SEED = 0 }; // always: folds of different networks and seeds are to be the same

static char *fold_path(const char *folder, int i, const char *name)
{
    return name != NULL ? mem_format("%s/fold-%d/%s", folder, i, name) : mem_format("%s/fold-%d", folder, i);
}

char *fold_model(const char *folder, int i) { return fold_path(folder, i, "model.safetensors"); }

// ---- which picture is where

static void name_put(char *list, size_t size, int n, const char *name)
{
    enum { SHOWN = 8 };
    const size_t used = strlen(list);
    if (n < SHOWN)
        snprintf(list + used, size - used, "%s'%.40s'", n > 0 ? ", " : "", name);
    else if (n == SHOWN)
        snprintf(list + used, size - used, ", ...");
}

static graft_status groups_suffice(const struct dataset *d, int k)
{
    bool *seen = mem_zero((size_t)d->n_groups + 1, sizeof *seen);
    char list[512] = "";
    int n = 0;
    bool all = true;
    if (seen == NULL)
        return fail_memory("the groups");
    for (size_t i = 0; i < d->count; i++) {
        const int group = d->samples[i].group;
        if (d->samples[i].part != PART_TRAIN || d->samples[i].label < 0)
            continue;
        all &= group > 0;
        if (group > 0 && !seen[group]) {
            name_put(list, sizeof list, n++, d->groups[group - 1]);
            seen[group] = true;
        }
    }
    mem_free(seen);
    if (n > 0 && all && n < k)
        return fail(GRAFT_BAD_FILE,
                    "%d folds need at least as many groups, and there are %d: %s; use --folds %d, or --group none", k,
                    n, list, n > 1 ? n : 2);
    return GRAFT_OK;
}

// A class of a single group is missing from training whenever it is validated.
static graft_status classes_suffice(const struct dataset *d)
{
    int *group = mem_zero((size_t)d->n_classes + 1, sizeof *group), n = 0; // 0: none yet; -1: several
    char list[512] = "";
    if (group == NULL)
        return fail_memory("the groups");
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        if (s->part == PART_TRAIN && s->label >= 0)
            group[s->label] = s->group == 0 || (group[s->label] != 0 && group[s->label] != s->group) ? -1 : s->group;
    }
    for (int c = 0; c < d->n_classes; c++)
        if (group[c] > 0) {
            char both[120];
            snprintf(both, sizeof both, "%.50s in %.50s", d->classes[c], d->groups[group[c] - 1]);
            name_put(list, sizeof list, n++, both);
        }
    mem_free(group);
    if (n == 0)
        return GRAFT_OK;
    return fail(GRAFT_BAD_FILE,
                "%d of %d classes have all their pictures in one group, so the model that is validated on them would "
                "never have seen such: %s; gather them from other groups, leave the classes out, or say --group none",
                n, d->n_classes, list);
}

// The same picture twice could be trained on and validated at once.
static graft_status pictures_once(const struct dataset *d)
{
    struct name_index seen = {0};
    char **names = mem_alloc((d->count + 1) * sizeof *names);
    graft_status status = names != NULL ? GRAFT_OK : fail_memory("the folds");
    size_t n = 0;
    for (size_t i = 0; i < d->count && status == GRAFT_OK; i++) {
        const struct sample *s = &d->samples[i];
        if (s->part != PART_TRAIN || s->label < 0)
            continue;
        names[n] = s->path;
        if (name_index_find(&seen, names, s->path) >= 0)
            status = fail(GRAFT_BAD_FILE, "'%s' is in the data twice; it could be trained on and validated at once",
                          s->path);
        else if (!name_index_put(&seen, names, n++))
            status = fail_memory("the folds");
    }
    name_index_free(&seen);
    mem_free(names);
    return status;
}

graft_status folds_of_data(struct dataset *d, int k, long limit, int **fold)
{
    size_t joined = 0;
    *fold = NULL;
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part == PART_VAL) {
            d->samples[i].part = PART_TRAIN;
            joined++;
        }
    if (joined > 0)
        log_info("the data's own validation part (%zu pictures) takes part in the folds", joined);
    d->has_val = false;
    TRY(dataset_split(d, "keep", limit, FOLD_SEED));
    TRY(groups_suffice(d, k));
    TRY(classes_suffice(d));
    TRY(pictures_once(d));
    *fold = mem_alloc((d->count + 1) * sizeof **fold);
    if (*fold == NULL)
        return fail_memory("the folds");
    graft_status status = dataset_folds(d, k, FOLD_SEED, *fold);
    for (int f = 0; f < k && status == GRAFT_OK; f++) {
        bool any = false;
        for (size_t i = 0; i < d->count && !any; i++)
            any = (*fold)[i] == f;
        if (!any)
            status = fail(GRAFT_BAD_FILE,
                          "fold %d of %d would be empty: the groups differ too much in size; use fewer folds", f, k);
    }
    if (status != GRAFT_OK) {
        mem_free(*fold);
        *fold = NULL;
    }
    return status;
}

// ---- the folder

static graft_status list_make(const struct dataset *d, const int *fold, struct text *t)
{
    text_put(t, d->n_groups > 0 ? "path,label,fold,stamp,group\n" : "path,label,fold,stamp\n");
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        if (fold[i] < 0)
            continue;
        text_put_field(t, s->path);
        text_put(t, ",");
        text_put_field(t, d->classes[s->label]);
        text_put(t, ",%d,%016" PRIx64, fold[i], sample_stamp(d, i));
        if (d->n_groups > 0) {
            text_put(t, ",");
            text_put_field(t, s->group > 0 ? d->groups[s->group - 1] : "");
        }
        text_put(t, "\n");
    }
    return text_status(t);
}

static graft_status list_compare(const char *folder, const char *path, const struct text *now, bool force)
{
    struct file_map map;
    char *changes = NULL;
    TRY(file_map_open(path, &map));
    graft_status status =
        changes_of_rows(map.data, (bytes){(const uint8_t *)now->data, now->size},
                        "label,fold,content or date,group", &changes);
    file_map_close(&map);
    if (status == GRAFT_OK && changes[0] != '\0' && !force)
        status = fail(GRAFT_BAD_FILE, "the folds in '%s' are of other data: %s.  Add --force to go on all the same",
                      folder, changes);
    else if (status == GRAFT_OK && changes[0] != '\0')
        log_warning("going on although the folds in '%s' are of other data: %s", folder, changes);
    mem_free(changes);
    return status;
}

graft_status folds_describe(const char *folder, const struct dataset *d, const int *fold, const char *args, bool force)
{
    struct text list = {0};
    char *list_path = path_join(folder, FOLDS_FILE), *args_path = path_join(folder, "args.json");
    graft_status status = GRAFT_OK;
    if (list_path == NULL || args_path == NULL)
        TRY_GOTO(fail_memory("a path"));
    TRY_GOTO(list_make(d, fold, &list));
    const bool there = file_exists(list_path);
    if (there)
        TRY_GOTO(list_compare(folder, list_path, &list, force));
    TRY_GOTO(file_write_all(args_path, args, strlen(args))); // before the list, which says that there is a fold run
    if (!there)
        TRY_GOTO(file_write_all(list_path, list.data, list.size));
done:
    text_fini(&list);
    mem_free(list_path);
    mem_free(args_path);
    return status;
}

// NULL: the file is not there, or holds no object.
static json_t *object_read(char *take_path)
{
    json_t *o = NULL;
    if (take_path != NULL && file_exists(take_path) && json_read_file(take_path, &o) != GRAFT_OK)
        o = NULL;
    mem_free(take_path);
    return o;
}

static bool given(const json_t *args, const char *name)
{
    const char *text = json_string_value(json_object_get(args, name));
    return text != NULL && text[0] != '\0' && strcmp(text, "0") != 0;
}

bool folds_folder_is(const char *folder)
{
    json_t *args = object_read(path_join(folder, "args.json"));
    const bool found = given(args, "folds") && json_string_value(json_object_get(args, "fold")) == NULL;
    json_decref(args);
    return found;
}

bool fold_ended(const char *folder, int i, const char *epochs)
{
    struct run_folder f = {.path = fold_path(folder, i, NULL), .lock = -1};
    json_t *args = object_read(fold_path(folder, i, "args.json"));
    const char *had = json_string_value(json_object_get(args, "epochs"));
    const bool ended =
        f.path != NULL && run_folder_ended(&f) && (epochs == NULL || (had != NULL && strcmp(had, epochs) == 0));
    json_decref(args);
    mem_free(f.path);
    return ended;
}

graft_status folds_whole(const char *folder, int *folds)
{
    json_t *results = object_read(path_join(folder, "results.json"));
    char *done = path_join(folder, FOLDS_PREDICTIONS);
    const bool whole = done != NULL && file_exists(done);
    *folds = (int)json_integer_value(json_object_get(results, "folds"));
    json_decref(results);
    mem_free(done);
    if (whole && *folds > 1 && *folds <= FOLDS_MOST)
        return GRAFT_OK;
    return fail(GRAFT_BAD_FILE, "the folds in '%s' are not complete; `graft train --resume %s` goes on", folder,
                folder);
}

// ---- what the folds say together

struct member { // of folds.csv
    char *path, *label;
    int fold, row; // row: of the fold's predictions; -1: none
};
struct collection {
    const char *folder;
    int k;
    struct member *members;
    char **paths; // the members' (borrowed), for the index
    size_t n, capacity, path_capacity;
    struct name_index index;
    struct table *tables; // by fold; not read: n = 0
};

static void collection_free(struct collection *c)
{
    for (size_t i = 0; i < c->n; i++) {
        mem_free(c->members[i].path);
        mem_free(c->members[i].label);
    }
    for (int f = 0; f < c->k && c->tables != NULL; f++)
        table_free(&c->tables[f]);
    name_index_free(&c->index);
    mem_free(c->members);
    mem_free(c->paths);
    mem_free(c->tables);
}

static graft_status member_add(struct collection *c, const struct csv *row, int fold)
{
    if (!mem_grow(&c->members, &c->capacity, c->n + 1, sizeof *c->members) ||
        !mem_grow(&c->paths, &c->path_capacity, c->n + 1, sizeof *c->paths))
        return fail_memory("the folds");
    struct member *m = &c->members[c->n];
    *m = (struct member){mem_text(row->field[0]), mem_text(row->field[1]), fold, -1};
    c->paths[c->n] = m->path;
    const bool whole = m->path != NULL && m->label != NULL && name_index_put(&c->index, c->paths, c->n);
    c->n++;
    return whole ? GRAFT_OK : fail_memory("the folds");
}

static graft_status members_read(struct collection *c)
{
    struct csv csv;
    bool more;
    char *path = path_join(c->folder, FOLDS_FILE);
    graft_status status = path != NULL ? csv_open(path, &csv) : fail_memory("a path");
    if (status != GRAFT_OK) {
        mem_free(path);
        return status;
    }
    TRY_GOTO(csv_next(&csv, &more)); // the header
    for (;;) {
        TRY_GOTO(csv_next(&csv, &more));
        if (!more)
            break;
        const int fold = csv.n >= 4 ? (int)strtol(csv.field[2], NULL, 10) : -1;
        if (fold < 0 || fold >= c->k || name_index_find(&c->index, c->paths, csv.field[0]) >= 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s:%d: expected path,label,fold,stamp, a picture once, a fold below %d",
                          path, csv.line, c->k));
        TRY_GOTO(member_add(c, &csv, fold));
    }
done:
    csv_close(&csv);
    mem_free(path);
    return status;
}

// The fold's predictions must be of this fold's pictures, with their labels: it may have been trained elsewhere.
static graft_status predictions_take(struct collection *c, int f)
{
    struct table *t = &c->tables[f];
    char *path = fold_path(c->folder, f, "val_predictions.csv");
    graft_status status = path != NULL ? table_read(path, t) : fail_memory("a path");
    mem_free(path);
    TRY(status);
    if (t->label == NULL)
        return fail(GRAFT_BAD_FILE, "%s: the column label is missing", t->file);
    for (size_t i = 0; i < t->n; i++) {
        const int at = name_index_find(&c->index, c->paths, t->path[i]);
        struct member *m = at >= 0 ? &c->members[at] : NULL;
        if (m == NULL || m->fold != f)
            return fail(GRAFT_BAD_FILE, "%s: '%s' is %s; the folds are of different data", t->file, t->path[i],
                        m == NULL ? "not among the pictures of " FOLDS_FILE : "in another fold in " FOLDS_FILE);
        if (strcmp(m->label, t->classes[t->label[i]]) != 0)
            return fail(GRAFT_BAD_FILE,
                        "%s: '%s' has the label '%s', in " FOLDS_FILE " it is '%s'; the folds are of different data",
                        t->file, t->path[i], t->classes[t->label[i]], m->label);
        m->row = (int)i;
    }
    return GRAFT_OK;
}

// A picture without a prediction must be one that the fold could not read.
static graft_status skipped_check(struct collection *c, int f, size_t *skipped)
{
    struct name_index known = {0};
    char **names = NULL;
    size_t n = 0, capacity = 0;
    struct csv csv;
    char *path = fold_path(c->folder, f, "skipped.csv");
    graft_status status = path != NULL ? csv_open(path, &csv) : fail_memory("a path");
    if (status != GRAFT_OK) {
        mem_free(path);
        return status;
    }
    for (bool more = true; more;) {
        TRY_GOTO(csv_next(&csv, &more));
        if (!more)
            break;
        if (!mem_grow(&names, &capacity, n + 1, sizeof *names) || (names[n] = mem_text(csv.field[0])) == NULL)
            TRY_GOTO(fail_memory("the pictures left out"));
        if (!name_index_put(&known, names, n++))
            TRY_GOTO(fail_memory("the pictures left out"));
    }
    for (size_t i = 0; i < c->n; i++) {
        if (c->members[i].fold != f || c->members[i].row >= 0)
            continue;
        if (name_index_find(&known, names, c->members[i].path) < 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE,
                          "fold-%d predicted nothing for '%s', which " FOLDS_FILE " has in it; the folds are of "
                          "different data",
                          f, c->members[i].path));
        ++*skipped;
    }
done:
    csv_close(&csv);
    name_index_free(&known);
    for (size_t i = 0; i < n; i++)
        mem_free(names[i]);
    mem_free(names);
    mem_free(path);
    return status;
}

static graft_status predictions_write(struct collection *c, json_t *results, size_t skipped)
{
    const int k = c->tables[0].n_classes;
    struct text t = {0};
    size_t n = 0;
    float *p = mem_alloc((c->n + 1) * (size_t)k * sizeof *p);
    int *labels = mem_alloc((c->n + 1) * sizeof *labels);
    char *path = path_join(c->folder, FOLDS_PREDICTIONS);
    graft_status status = GRAFT_OK;
    if (p == NULL || labels == NULL || path == NULL)
        TRY_GOTO(fail_memory("predictions"));
    table_put_head(&t, true, true, c->tables[0].classes, k);
    text_put(&t, "\n");
    for (size_t i = 0; i < c->n; i++) {
        const struct member *m = &c->members[i];
        const struct table *from = &c->tables[m->fold];
        if (m->row < 0)
            continue;
        const float *row = from->p + (size_t)m->row * (size_t)k;
        memcpy(p + n * (size_t)k, row, (size_t)k * sizeof *p);
        labels[n++] = from->label[m->row];
        table_put_row(&t, m->path, m->label, m->fold, row, k);
        text_put(&t, "\n");
    }
    TRY_GOTO(text_status(&t));
    TRY_GOTO(file_write_all(path, t.data, t.size));
    const struct metrics all = metrics_of(p, labels, n, k);
    json_object_set_new(results, "oof_log_loss", json_real(all.log_loss));
    json_object_set_new(results, "oof_top1", json_real(all.top1));
    json_object_set_new(results, "n", json_integer((json_int_t)n));
    json_object_set_new(results, "skipped", json_integer((json_int_t)skipped));
done:
    text_fini(&t);
    mem_free(p);
    mem_free(labels);
    mem_free(path);
    return status;
}

static graft_status whole(struct collection *c, json_t *results)
{
    size_t skipped = 0;
    TRY(members_read(c));
    for (int f = 0; f < c->k; f++) {
        TRY(predictions_take(c, f));
        if (f > 0)
            TRY(table_order(&c->tables[f], c->tables[0].classes, c->tables[0].n_classes, c->tables[0].file));
        TRY(skipped_check(c, f, &skipped));
    }
    return predictions_write(c, results, skipped);
}

static double seconds_of(const char *folder, int f)
{
    char *path = fold_path(folder, f, "events.jsonl");
    struct file_map map;
    double seconds = 0;
    if (path != NULL && file_map_open(path, &map) == GRAFT_OK) {
        const char *text = (const char *)map.data.ptr, *last = NULL;
        for (size_t at = 0; at + 1 < map.data.size; at++)
            if (text[at] == '\n')
                last = text + at + 1;
        json_t *end = NULL;
        if (last != NULL &&
            json_parse((bytes){(const uint8_t *)last, map.data.size - (size_t)(last - text)}, path, &end) == GRAFT_OK)
            seconds = json_number_value(json_object_get(end, "seconds"));
        json_decref(end);
        file_map_close(&map);
    }
    mem_free(path);
    return seconds;
}

// Mean and sample standard deviation of a figure over the folds.
static void spread_put(json_t *results, const json_t *folds, const char *name)
{
    double sum = 0, squares = 0;
    const size_t n = json_array_size(folds);
    char key[64];
    for (size_t i = 0; i < n; i++)
        sum += json_number_value(json_object_get(json_array_get(folds, i), name));
    for (size_t i = 0; i < n; i++)
        squares += pow(json_number_value(json_object_get(json_array_get(folds, i), name)) - sum / (double)n, 2);
    if (n > 0)
        json_object_set_new(results, name, json_real(sum / (double)n));
    snprintf(key, sizeof key, "%s_std", name);
    if (n > 1)
        json_object_set_new(results, key, json_real(sqrt(squares / (double)(n - 1))));
}

graft_status folds_collect(const char *folder, int k, int *missing)
{
    struct collection c = {.folder = folder, .k = k, .tables = mem_zero((size_t)k, sizeof *c.tables)};
    json_t *results = json_pack("{s:i}", "folds", k), *done = json_array(), *folds = json_array();
    char *path = path_join(folder, "results.json");
    double seconds = 0;
    graft_status status = GRAFT_OK;
    if (c.tables == NULL || results == NULL || done == NULL || folds == NULL || path == NULL)
        TRY_GOTO(fail_memory("the results"));
    for (int f = 0; f < k; f++) {
        json_t *one = fold_ended(folder, f, NULL) ? object_read(fold_path(folder, f, "results.json")) : NULL;
        if (one == NULL)
            continue;
        json_array_append_new(done, json_integer(f));
        json_object_set_new(one, "fold", json_integer(f));
        json_array_append_new(folds, one);
        seconds += seconds_of(folder, f);
    }
    if (missing != NULL)
        *missing = k - (int)json_array_size(done);
    json_object_set(results, "done", done);
    spread_put(results, folds, "val_log_loss");
    spread_put(results, folds, "val_top1");
    json_object_set_new(results, "seconds", json_real(seconds));
    if ((int)json_array_size(done) == k)
        TRY_GOTO(whole(&c, results));
    json_object_set(results, "fold", folds);
    TRY_GOTO(json_write_file(path, results));
done:
    collection_free(&c);
    json_decref(results);
    json_decref(done);
    json_decref(folds);
    mem_free(path);
    return status;
}
