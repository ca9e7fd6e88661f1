// infer/ensemble.c: the folder of an ensemble, and its predictions.

#include "infer/ensemble.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/crops.h"
#include "infer/described.h"
#include "infer/fit.h"
#include "infer/metrics.h"
#include "infer/table.h"
#include "weights/weights.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ENSEMBLE_VERSION = 1 };
static const char *const rule_names[] = {"arithmetic", "geometric", "stack"};

void names_release(char **names, int n)
{
    for (int i = 0; names != NULL && i < n; i++)
        mem_free(names[i]);
    mem_free(names);
}

void ensemble_free(struct ensemble *e)
{
    for (int m = 0; m < e->n_members; m++) {
        names_release(e->members[m].files, e->members[m].n_files);
        mem_free(e->members[m].name);
    }
    names_release(e->classes, e->n_classes);
    mem_free(e->members);
    mem_free(e->stack);
    *e = (struct ensemble){0};
}

bool ensemble_is(const char *path) { return described_is(path, ENSEMBLE_FILE); }

// A JSON array of names into a heap list.
static graft_status names_of(const json_t *array, char ***out, int *n)
{
    *n = 0;
    *out = mem_zero(json_array_size(array) + 1, sizeof **out);
    if (*out == NULL)
        return fail_memory("names");
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL)
            return fail(GRAFT_BAD_FILE, "names are expected");
        if (((*out)[*n] = mem_text(text)) == NULL)
            return fail_memory("names");
        ++*n;
    }
    return GRAFT_OK;
}

// What the metadata of a model file say under that name; NULL: nothing.
static graft_status entry_read(const char *file, const char *name, json_t **out)
{
    struct tensor_set set = {0};
    json_t *meta = NULL;
    graft_status status = GRAFT_OK;
    *out = NULL;
    TRY(weights_read(file, &set));
    if (set.metadata != NULL)
        TRY_GOTO(json_parse((bytes){(const uint8_t *)set.metadata, strlen(set.metadata)}, file, &meta));
    const char *text = json_string_value(json_object_get(meta, name));
    if (text != NULL)
        TRY_GOTO(json_parse((bytes){(const uint8_t *)text, strlen(text)}, file, out));
done:
    json_decref(meta);
    tensor_set_free(&set);
    return status;
}

graft_status model_file_classes(const char *file, char ***out, int *n)
{
    json_t *classes;
    *out = NULL;
    *n = 0;
    TRY(entry_read(file, "graft.classes", &classes));
    if (classes == NULL)
        return fail(GRAFT_BAD_FILE, "%s: not a graft model, so nobody knows its classes; `graft convert` makes one",
                    file);
    const graft_status status = names_of(classes, out, n);
    json_decref(classes);
    if (status != GRAFT_OK) {
        names_release(*out, *n);
        *out = NULL;
    }
    return status;
}

graft_status ensemble_crops(const struct ensemble *e, bool *out)
{
    *out = false;
    for (int m = 0; m < e->n_members; m++)
        for (int i = 0; i < e->members[m].n_files && !*out; i++) {
            json_t *input;
            TRY(entry_read(e->members[m].files[i], "graft.input", &input));
            *out = json_is_true(json_object_get(input, "crop"));
            json_decref(input);
        }
    return GRAFT_OK;
}

// ---- the folder

static graft_status member_read(const json_t *o, const char *folder, struct ensemble_member *m)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    const json_t *files = json_object_get(o, "files");
    m->weight = json_number_value(json_object_get(o, "weight"));
    m->name = mem_text(name != NULL ? name : "");
    if (m->name == NULL)
        return fail_memory("a member");
    if (!(m->weight >= 0 && m->weight <= 1e6) || json_array_size(files) == 0)
        return fail(GRAFT_BAD_FILE, "the member '%s' needs a weight of at least 0 and files", m->name);
    TRY(names_of(files, &m->files, &m->n_files));
    for (int i = 0; i < m->n_files; i++) {
        if (strchr(m->files[i], '/') != NULL || m->files[i][0] == '.')
            return fail(GRAFT_BAD_FILE, "the file '%s' is not in the folder", m->files[i]);
        char *path = path_join(folder, m->files[i]);
        if (path == NULL)
            return fail_memory("a path");
        mem_free(m->files[i]);
        m->files[i] = path;
    }
    return GRAFT_OK;
}

static graft_status stack_read(const json_t *rows, struct ensemble *e)
{
    const size_t width = (size_t)e->n_members * (size_t)e->n_classes + 1;
    if (json_array_size(rows) != (size_t)e->n_classes)
        return fail(GRAFT_BAD_FILE, "\"stack\" needs a row a class");
    e->stack = mem_alloc((size_t)e->n_classes * width * sizeof *e->stack);
    if (e->stack == NULL)
        return fail_memory("stacking");
    for (int c = 0; c < e->n_classes; c++) {
        const json_t *row = json_array_get(rows, (size_t)c);
        if (json_array_size(row) != width)
            return fail(GRAFT_BAD_FILE, "a row of \"stack\" needs %zu numbers, not %zu", width, json_array_size(row));
        for (size_t i = 0; i < width; i++)
            if (!json_is_number(json_array_get(row, i)))
                return fail(GRAFT_BAD_FILE, "\"stack\" holds something that is no number");
            else
                e->stack[(size_t)c * width + i] = json_number_value(json_array_get(row, i));
    }
    return GRAFT_OK;
}

static graft_status object_read(const json_t *o, const char *folder, void *out)
{
    struct ensemble *const e = out;
    const char *rule = json_string_value(json_object_get(o, "rule"));
    const json_t *members = json_object_get(o, "members");
    const json_int_t version = json_integer_value(json_object_get(o, "graft.ensemble"));
    int known = -1;
    double weights = 0;
    if (version < 1 || version > ENSEMBLE_VERSION)
        return fail(GRAFT_BAD_FILE, "ensemble format %lld; this graft reads up to %d", (long long)version,
                    ENSEMBLE_VERSION);
    for (int i = 0; rule != NULL && i < (int)COUNT_OF(rule_names); i++)
        known = strcmp(rule, rule_names[i]) == 0 ? i : known;
    if (known < 0)
        return fail(GRAFT_BAD_FILE, "the rule '%s' is none of arithmetic, geometric, stack", rule != NULL ? rule : "");
    e->rule = (enum ensemble_rule)known;
    TRY(names_of(json_object_get(o, "classes"), &e->classes, &e->n_classes));
    const size_t n = json_array_size(members);
    e->members = mem_zero(n + 1, sizeof *e->members);
    if (e->members == NULL)
        return fail_memory("the members");
    for (size_t i = 0; i < n; i++) {
        e->n_members++;
        TRY(member_read(json_array_get(members, i), folder, &e->members[i]));
        weights += e->members[i].weight;
    }
    if (e->n_classes == 0 || e->n_members == 0 || !(weights > 0))
        return fail(GRAFT_BAD_FILE, "an ensemble needs classes, members, and a weight above 0");
    return e->rule == ENSEMBLE_STACK ? stack_read(json_object_get(o, "stack"), e) : GRAFT_OK;
}

graft_status ensemble_read(const char *path, struct ensemble *out)
{
    *out = (struct ensemble){0};
    const graft_status status = described_read(path, ENSEMBLE_FILE, object_read, out);
    if (status != GRAFT_OK)
        ensemble_free(out);
    return status;
}

static int file_count(const struct ensemble *e)
{
    int n = 0;
    for (int m = 0; m < e->n_members; m++)
        n += e->members[m].n_files;
    return n;
}

static char *member_name(int m, int i) { return mem_format("member-%d-%d.safetensors", m, i); } // heap

// Whether the file of that name in the folder becomes one of the members'.
static graft_status is_target(const struct ensemble *e, const char *name, bool *found)
{
    *found = false;
    for (int m = 0; m < e->n_members && !*found; m++)
        for (int i = 0; i < e->members[m].n_files && !*found; i++) {
            char *target = member_name(m, i);
            if (target == NULL)
                return fail_memory("a path");
            *found = strcmp(target, name) == 0;
            mem_free(target);
        }
    return GRAFT_OK;
}

// Where the file lies is where it goes to, or where none goes to.
static graft_status file_check(const struct ensemble *e, const char *folder, int m, int i)
{
    const char *file = e->members[m].files[i];
    char *real = realpath(file, NULL), *listed = NULL, *own = member_name(m, i);
    bool taken = false;
    graft_status status = GRAFT_OK;
    if (real == NULL)
        TRY_GOTO(fail_system("find", file));
    if (own == NULL)
        TRY_GOTO(fail_memory("a path"));
    TRY_GOTO(path_listed(real, folder, &listed));
    if (strcmp(listed, own) != 0)
        TRY_GOTO(is_target(e, listed, &taken));
    if (taken)
        TRY_GOTO(fail(GRAFT_BAD_OPTION, "'%s' lies in '%s', where another member would take its place; name another "
                      "folder with -o", file, folder));
done:
    free(real);
    mem_free(listed);
    mem_free(own);
    return status;
}

graft_status ensemble_check(const struct ensemble *e, const char *folder)
{
    for (int m = 0; m < e->n_members; m++)
        for (int i = 0; i < e->members[m].n_files; i++)
            TRY(file_check(e, folder, m, i));
    return GRAFT_OK;
}

// A model and the one that looks for its boxes, beside their places.
struct move {
    struct file_writer model, finder; // an empty one: there is none
    char *unused;                     // what an earlier ensemble may have had for the finder; heap, NULL: nothing
};

static graft_status finder_copy(const char *file, const char *target, struct move *move)
{
    char *from = crop_finder(file);
    char *to = mem_format("%.*s" WHOLE_FOLDER "/%s", (int)(path_name(target) - target), target, path_name(target));
    char *whole = mem_format("%.*s" WHOLE_FOLDER, (int)(path_name(target) - target), target);
    graft_status status = GRAFT_OK;
    if (from == NULL || to == NULL || whole == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (file_exists(from)) {
        TRY_GOTO(file_make_folder(whole));
        TRY_GOTO(file_writer_copy(from, to, &move->finder));
    } else {
        move->unused = to;
        to = NULL;
    }
done:
    mem_free(from);
    mem_free(to);
    mem_free(whole);
    return status;
}

// A member's models beside their places, and what the description says of them.  A model file is never changed in
// place, only replaced, so another name for it stays what it is.
static graft_status member_copy(const struct ensemble_member *m, int number, const char *folder, json_t *members,
                                struct move *moves)
{
    json_t *files = json_array(), *o = json_pack("{s:f, s:o}", "weight", m->weight, "files", files);
    if (o == NULL)
        return fail_memory("the ensemble");
    if (json_object_set_new(o, "name", json_string(m->name)) != 0)
        json_object_set_new(o, "name", json_string("(a name that is not UTF-8)"));
    graft_status status = json_array_append_new(members, o) == 0 ? GRAFT_OK : fail_memory("the ensemble");
    for (int i = 0; status == GRAFT_OK && i < m->n_files; i++) {
        char *name = member_name(number, i), *to = name != NULL ? path_join(folder, name) : NULL;
        status = to == NULL || json_array_append_new(files, json_string(name)) != 0
                     ? fail_memory("the ensemble")
                     : file_writer_copy(m->files[i], to, &moves[i].model);
        moves[i].model.loose = true; // the description's writer flushes the folder
        if (status == GRAFT_OK)
            status = finder_copy(m->files[i], to, &moves[i]);
        mem_free(name);
        mem_free(to);
    }
    return status;
}

static graft_status move_commit(struct move *move)
{
    TRY(file_writer_commit(&move->model));
    if (move->unused != NULL)
        return file_exists(move->unused) && file_ops.unlink(move->unused) != 0 ? fail_system("remove", move->unused)
                                                                               : GRAFT_OK;
    return file_writer_commit(&move->finder);
}

static void moves_free(struct move *moves, int n)
{
    for (int i = 0; moves != NULL && i < n; i++) {
        file_writer_abandon(&moves[i].model);
        file_writer_abandon(&moves[i].finder);
        mem_free(moves[i].unused);
    }
    mem_free(moves);
}

// From here on the folder is no ensemble until the new one is described, so that what a kill leaves is never taken for
// the old one.
static graft_status description_remove(const char *path)
{
    if (!file_exists(path))
        return GRAFT_OK;
    if (file_ops.unlink(path) != 0)
        return fail_system("remove", path);
    return file_flush_folder(path);
}

graft_status ensemble_write(const struct ensemble *e, const char *folder)
{
    const int n = file_count(e);
    json_t *classes = json_array(), *members = json_array();
    json_t *o = json_pack("{s:i, s:s, s:o, s:o}", "graft.ensemble", ENSEMBLE_VERSION, "rule", rule_names[e->rule],
                          "classes", classes, "members", members);
    char *path = path_join(folder, ENSEMBLE_FILE);
    struct move *moves = mem_zero((size_t)n + 1, sizeof *moves), *at = moves;
    graft_status status = GRAFT_OK;
    if (o == NULL || path == NULL || moves == NULL)
        TRY_GOTO(fail_memory("the ensemble"));
    TRY_GOTO(ensemble_check(e, folder));
    for (int c = 0; c < e->n_classes; c++)
        json_array_append_new(classes, json_string(e->classes[c]));
    for (int m = 0; m < e->n_members; at += e->members[m++].n_files)
        TRY_GOTO(member_copy(&e->members[m], m, folder, members, at));
    if (e->rule == ENSEMBLE_STACK) {
        const int width = e->n_members * e->n_classes + 1;
        json_t *rows = json_array();
        for (int c = 0; c < e->n_classes; c++) {
            json_t *row = json_array();
            for (int i = 0; i < width; i++)
                json_array_append_new(row, json_real(e->stack[c * width + i]));
            json_array_append_new(rows, row);
        }
        json_object_set_new(o, "stack", rows);
    }
    TRY_GOTO(description_remove(path));
    for (int i = 0; i < n; i++)
        TRY_GOTO(move_commit(&moves[i]));
    TRY_GOTO(json_write_file(path, o));
done:
    json_decref(o);
    moves_free(moves, n);
    mem_free(path);
    return status;
}

// ---- its predictions

static enum mean mean_rule(const struct ensemble *e)
{
    return e->rule == ENSEMBLE_GEOMETRIC ? MEAN_GEOMETRIC : MEAN_ARITHMETIC;
}

static graft_status combine_stack(const struct ensemble *e, const float *const *p, const uint32_t *rows, size_t n,
                                  float *out)
{
    const size_t k = (size_t)e->n_classes;
    const float **row = mem_alloc((size_t)e->n_members * sizeof *row);
    if (row == NULL)
        return fail_memory("predictions");
    for (size_t i = 0; i < n; i++) {
        bool numbers = true; // logarithms are clipped, which would make numbers of what is none
        for (int m = 0; m < e->n_members; m++) {
            row[m] = p[m] + rows[i] * k;
            numbers &= floats_finite(row[m], k);
        }
        stack_apply(e->stack, row, e->n_members, e->n_classes, out + rows[i] * k);
        for (size_t c = 0; c < k && !numbers; c++)
            out[rows[i] * k + c] = NAN;
    }
    mem_free(row);
    return GRAFT_OK;
}

graft_status ensemble_combine(const struct ensemble *e, const float *const *p, const uint32_t *rows, size_t n,
                              float *out)
{
    const size_t k = (size_t)e->n_classes;
    struct blend b;
    double weights = 0;
    if (e->rule == ENSEMBLE_STACK)
        return combine_stack(e, p, rows, n, out);
    TRY(blend_init(&b, mean_rule(e), n, e->n_classes));
    for (int m = 0; m < e->n_members; m++) {
        for (size_t i = 0; i < n; i++)
            blend_add(&b, i, p[m] + rows[i] * k, e->members[m].weight);
        weights += e->members[m].weight;
    }
    for (size_t i = 0; i < n; i++)
        blend_end(&b, i, weights, out + rows[i] * k);
    blend_fini(&b);
    return GRAFT_OK;
}

// One model's, in the ensemble's order of classes, added to the member's mean.
static graft_status file_add(const struct ensemble *e, const char *file, const struct dataset *d, const uint32_t *order,
                             size_t n, const struct scoring *how, member_open open, void *user, struct blend *b,
                             struct scores *out)
{
    struct model m = {0};
    struct tta tta = {.views = 1};
    struct scores s = {0};
    struct scoring own = *how;
    const size_t k = (size_t)e->n_classes;
    int *to = mem_alloc(k * sizeof *to);
    float *row = mem_alloc(k * sizeof *row);
    graft_status status = GRAFT_OK;
    if (to == NULL || row == NULL)
        TRY_GOTO(fail_memory("the order of classes"));
    TRY_GOTO(open(user, file, &m, &tta));
    TRY_GOTO(classes_compare(m.classes, m.n_classes, e->classes, e->n_classes, file, "the ensemble"));
    for (int c = 0; c < m.n_classes; c++)
        for (int i = 0; i < e->n_classes; i++)
            if (strcmp(m.classes[c], e->classes[i]) == 0)
                to[c] = i;
    own.tta = tta.views > 1 ? &tta : NULL;
    TRY_GOTO(scores_make(&m, d, order, n, &own, &s));
    for (size_t i = 0; i < n; i++) {
        const uint32_t at = order[i];
        if (s.error[at] != NULL && out->error[at] == NULL) {
            out->error[at] = s.error[at];
            s.error[at] = NULL;
            out->bad++;
        }
        for (size_t c = 0; c < k; c++)
            row[to[c]] = s.p[at * k + c];
        blend_add(b, at, row, 1);
    }
done:
    scores_fini(&s);
    model_close(&m);
    mem_free(to);
    mem_free(row);
    return status;
}

graft_status ensemble_scores(const struct ensemble *e, const struct dataset *d, const uint32_t *order, size_t n,
                             const struct scoring *how, member_open open, void *user, struct scores *out)
{
    const size_t k = (size_t)e->n_classes, size = d->count * k;
    float *all = mem_alloc(((size_t)e->n_members * size + 1) * sizeof *all);
    const float **p = mem_alloc((size_t)e->n_members * sizeof *p); // by member
    struct blend b = {0};
    graft_status status = scores_init(out, d->count, e->n_classes);
    if (status == GRAFT_OK && (all == NULL || p == NULL))
        status = fail_memory("predictions");
    for (int m = 0; status == GRAFT_OK && m < e->n_members; m++) {
        const struct ensemble_member *member = &e->members[m];
        p[m] = all + (size_t)m * size;
        status = blend_init(&b, mean_rule(e), d->count, e->n_classes);
        for (int i = 0; status == GRAFT_OK && i < member->n_files; i++) {
            log_info("member %d of %d, model %d of %d: %s", m + 1, e->n_members, i + 1, member->n_files,
                     member->files[i]);
            status = file_add(e, member->files[i], d, order, n, how, open, user, &b, out);
        }
        for (size_t i = 0; status == GRAFT_OK && i < n; i++)
            blend_end(&b, order[i], member->n_files, all + (size_t)m * size + order[i] * k);
        blend_fini(&b);
    }
    if (status == GRAFT_OK)
        status = ensemble_combine(e, p, order, n, out->p);
    mem_free(all);
    mem_free(p);
    if (status != GRAFT_OK)
        scores_fini(out);
    return status;
}
