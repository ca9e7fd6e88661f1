// api/run_ensemble.c: `graft ensemble`: members and their out-of-fold predictions, the weights, the score, the result.
// What is fitted is scored by cross-fitting: the weights that score a fold are fitted on the other folds.

#include "api/entrants.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "infer/ensemble.h"
#include "infer/fit.h"
#include "infer/metrics.h"
#include "infer/table.h"
#include "train/folds.h"
#include "train/run_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rule { RULE_ARITHMETIC, RULE_GEOMETRIC, RULE_WEIGHTS, RULE_GREEDY, RULE_STACK };
static const char *const rules[] = {"arithmetic", "geometric", "weights", "greedy", "stack", NULL};
enum { PARTS = 5 }; // of cross-fitting, where the predictions name no folds

struct gathering {
    struct entrant *entries;
    int n;
    enum rule rule;
    double c;
    long rounds;
    char **classes; // borrowed
    int n_classes;
    size_t common;      // pictures that every member predicted
    size_t unscored;    // that some did and others did not
    const float **p;    // by member: (common, classes)
    int *labels, *part; // by common picture
    bool labelled;
    double *weights;
    double *stack;
    float *combined; // (common, classes)
};

static void gathering_free(struct gathering *g)
{
    for (int i = 0; i < g->n; i++) {
        entrant_fini(&g->entries[i]);
        if (g->p != NULL)
            mem_free((void *)g->p[i]);
    }
    mem_free(g->entries);
    mem_free(g->p);
    mem_free(g->labels);
    mem_free(g->part);
    mem_free(g->weights);
    mem_free(g->stack);
    mem_free(g->combined);
}

// Every model and table has the first one's classes, by name.
static graft_status classes_settle(struct gathering *g, char ***owned, int *n_owned)
{
    const struct entrant *first = &g->entries[0];
    if (first->n_files > 0) {
        TRY(model_file_classes(first->files[0], owned, n_owned));
        g->classes = *owned;
        g->n_classes = *n_owned;
    } else {
        g->classes = first->oof.classes;
        g->n_classes = first->oof.n_classes;
    }
    for (int i = 0; i < g->n; i++) {
        struct entrant *e = &g->entries[i];
        for (int k = 0; k < e->n_files; k++) {
            char **classes;
            int n;
            TRY(model_file_classes(e->files[k], &classes, &n));
            const graft_status status =
                classes_compare(classes, n, g->classes, g->n_classes, e->files[k], first->input);
            names_release(classes, n);
            TRY(status);
        }
        if (e->oof.n > 0 && (i > 0 || e->n_files > 0))
            TRY(table_order(&e->oof, g->classes, g->n_classes, first->input));
    }
    return GRAFT_OK;
}

// ---- pictures that all have predicted

static graft_status missing_tell(const struct gathering *g)
{
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->n; k++)
            for (size_t r = 0; r < g->entries[i].oof.n; r++)
                if (table_find(&g->entries[k].oof, g->entries[i].oof.path[r]) < 0)
                    return fail(GRAFT_BAD_FILE,
                                "%s predicts '%s', %s does not: without labels all must be of the same pictures",
                                g->entries[i].oof.file, g->entries[i].oof.path[r], g->entries[k].oof.file);
    return GRAFT_OK;
}

static graft_status rows_match(struct gathering *g)
{
    const struct table *first = &g->entries[0].oof;
    for (int i = 0; i < g->n; i++)
        if ((g->entries[i].row = mem_alloc((first->n + 1) * sizeof(uint32_t))) == NULL)
            return fail_memory("the pictures");
    for (size_t r = 0; r < first->n; r++) {
        bool all = true;
        for (int i = 0; i < g->n && all; i++) {
            const struct table *t = &g->entries[i].oof;
            const int at = table_find(t, first->path[r]);
            all = at >= 0;
            g->entries[i].row[g->common] = (uint32_t)at;
            if (all && g->labelled && t->label[at] != first->label[r])
                return fail(GRAFT_BAD_FILE, "'%s' is '%s' in %s and '%s' in %s", first->path[r],
                            g->classes[first->label[r]], first->file, g->classes[t->label[at]], t->file);
        }
        g->common += all;
    }
    return GRAFT_OK;
}

// Pictures that not every member has predicted.
static graft_status unscored_count(struct gathering *g)
{
    size_t all = 0, n = 0;
    struct name_index index = {0};
    for (int i = 0; i < g->n; i++)
        all += g->entries[i].oof.n;
    char **names = mem_alloc((all + 1) * sizeof *names);
    graft_status status = names != NULL ? GRAFT_OK : fail_memory("the pictures");
    for (int i = 0; i < g->n; i++)
        for (size_t r = 0; r < g->entries[i].oof.n && status == GRAFT_OK; r++) {
            names[n] = g->entries[i].oof.path[r];
            if (name_index_find(&index, names, names[n]) < 0 && !name_index_put(&index, names, n++))
                status = fail_memory("the pictures");
        }
    g->unscored = n - g->common;
    name_index_free(&index);
    mem_free(names);
    return status;
}

// The first member that says which fold a picture is in; NULL: none.
static const struct entrant *folds_known(const struct gathering *g)
{
    for (int i = 0; i < g->n; i++)
        if (g->entries[i].oof.fold != NULL)
            return &g->entries[i];
    return NULL;
}

static graft_status rows_copy(struct gathering *g)
{
    const size_t k = (size_t)g->n_classes;
    const struct table *first = &g->entries[0].oof;
    const struct entrant *split = folds_known(g);
    g->p = mem_zero((size_t)g->n, sizeof *g->p);
    g->labels = mem_zero(g->common + 1, sizeof *g->labels);
    g->part = mem_zero(g->common + 1, sizeof *g->part);
    g->combined = mem_alloc((g->common * k + 1) * sizeof *g->combined);
    if (g->p == NULL || g->labels == NULL || g->part == NULL || g->combined == NULL)
        return fail_memory("predictions");
    for (int i = 0; i < g->n; i++) {
        float *rows = mem_alloc((g->common * k + 1) * sizeof *rows);
        if (rows == NULL)
            return fail_memory("predictions");
        for (size_t r = 0; r < g->common; r++)
            memcpy(rows + r * k, g->entries[i].oof.p + g->entries[i].row[r] * k, k * sizeof *rows);
        g->p[i] = rows;
    }
    for (size_t r = 0; r < g->common; r++) {
        const uint32_t at = g->entries[0].row[r];
        const char *path = first->path[at];
        g->labels[r] = g->labelled ? first->label[at] : 0;
        g->part[r] = split != NULL ? split->oof.fold[split->row[r]]
                                   : (int)(hash_of((bytes){(const uint8_t *)path, strlen(path)}) % PARTS);
    }
    return GRAFT_OK;
}

static graft_status pictures_gather(struct gathering *g)
{
    int tables = 0, labelled = 0;
    for (int i = 0; i < g->n; i++) {
        tables += g->entries[i].oof.n > 0;
        labelled += g->entries[i].oof.label != NULL;
    }
    g->labelled = labelled == g->n;
    if (tables < g->n) {
        log_warning(
            "%d of %d members have no predictions of pictures that they were not trained on, so nothing can be scored",
            g->n - tables, g->n);
        return GRAFT_OK;
    }
    if (labelled > 0 && labelled < g->n)
        return fail(GRAFT_BAD_FILE, "some of the predictions have labels, others do not; give all or none");
    if (!g->labelled)
        TRY(missing_tell(g));
    TRY(rows_match(g));
    TRY(unscored_count(g));
    if (g->common == 0)
        log_warning("no picture was held out from all %d members, so nothing can be scored", g->n);
    return rows_copy(g);
}

// ---- weights

static graft_status fit(struct gathering *g, const uint32_t *rows, size_t n, double *weights, double *stack)
{
    const struct opinions o = {g->p, g->n, g->n_classes, g->labels, rows, n};
    if (g->rule == RULE_STACK)
        return fit_stack(&o, g->c, stack);
    return g->rule == RULE_GREEDY ? fit_greedy(&o, (int)g->rounds, weights) : fit_weights(&o, weights);
}

// An ensemble as the rule has it; borrows all.
static graft_status ensemble_of(const struct gathering *g, const double *weights, double *stack, struct ensemble *e)
{
    *e = (struct ensemble){.rule = g->rule == RULE_STACK       ? ENSEMBLE_STACK
                                   : g->rule == RULE_GEOMETRIC ? ENSEMBLE_GEOMETRIC
                                                               : ENSEMBLE_ARITHMETIC,
                           .classes = g->classes, .n_classes = g->n_classes, .n_members = g->n, .stack = stack};
    e->members = mem_zero((size_t)g->n, sizeof *e->members);
    if (e->members == NULL)
        return fail_memory("the members");
    for (int i = 0; i < g->n; i++)
        e->members[i] = (struct ensemble_member){(char *)g->entries[i].input, g->entries[i].files,
                                                 g->entries[i].n_files, weights[i]};
    return GRAFT_OK;
}

// The rows of a part (NULL: all) combined with these weights.
static graft_status combine(struct gathering *g, const double *weights, double *stack, const int *part)
{
    struct ensemble e;
    size_t n = 0;
    uint32_t *rows = mem_alloc((g->common + 1) * sizeof *rows);
    graft_status status = rows != NULL ? ensemble_of(g, weights, stack, &e) : fail_memory("predictions");
    for (size_t r = 0; status == GRAFT_OK && r < g->common; r++)
        if (part == NULL || g->part[r] == *part)
            rows[n++] = (uint32_t)r;
    if (status == GRAFT_OK) {
        status = ensemble_combine(&e, g->p, rows, n, g->combined);
        mem_free(e.members);
    }
    mem_free(rows);
    return status;
}

static int int_order(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

// The parts' numbers, whatever they are: each once, in order.  Heap; NULL: no memory.
static int *parts_of(const struct gathering *g, int *count)
{
    int *parts = mem_alloc((g->common + 1) * sizeof *parts);
    *count = 0;
    if (parts == NULL)
        return NULL;
    memcpy(parts, g->part, g->common * sizeof *parts);
    qsort(parts, g->common, sizeof *parts, int_order);
    for (size_t r = 0; r < g->common; r++)
        if (*count == 0 || parts[r] != parts[*count - 1])
            parts[(*count)++] = parts[r];
    return parts;
}

// Each part by what was fitted on the others; then the fit on all is what stays.
static graft_status cross_fit(struct gathering *g)
{
    uint32_t *rows = mem_alloc((g->common + 1) * sizeof *rows);
    double *weights = mem_alloc((size_t)g->n * sizeof *weights);
    int count, *parts = parts_of(g, &count);
    graft_status status = rows != NULL && weights != NULL && parts != NULL ? GRAFT_OK : fail_memory("the weights");
    if (status == GRAFT_OK && count == 1)
        status = fail(GRAFT_BAD_FILE,
                      "all %zu predictions are of one fold, so what is fitted on them cannot be scored; use "
                      "predictions of several folds, or --rule geometric",
                      g->common);
    for (int k = 0; k <= count && status == GRAFT_OK; k++) { // the last round leaves nothing out
        size_t n = 0;
        for (size_t r = 0; r < g->common; r++)
            if (k == count || g->part[r] != parts[k])
                rows[n++] = (uint32_t)r;
        for (int i = 0; i < g->n; i++)
            weights[i] = 1;
        status = fit(g, rows, n, weights, g->stack);
        if (status == GRAFT_OK && k < count)
            status = combine(g, weights, g->stack, &parts[k]);
        if (hooks_cancelled() && status == GRAFT_OK)
            status = fail(GRAFT_CANCELLED, "stopped");
    }
    if (status == GRAFT_OK)
        memcpy(g->weights, weights, (size_t)g->n * sizeof *weights);
    mem_free(rows);
    mem_free(weights);
    mem_free(parts);
    return status;
}

static graft_status weights_read_option(const graft_options *o, struct gathering *g)
{
    const char *text = option_text(o, "weights");
    int n = 0;
    for (int i = 0; i < g->n; i++)
        g->weights[i] = 1.0 / g->n;
    if (text == NULL)
        return GRAFT_OK;
    if (g->rule > RULE_GEOMETRIC)
        return fail(GRAFT_BAD_OPTION, "--weights go with --rule arithmetic or geometric; --rule %s finds its own",
                    rules[g->rule]);
    double sum = 0;
    for (const char *at = text;; at++) {
        char *end;
        const double weight = strtod(at, &end);
        if (end == at || (*end != ',' && *end != '\0') || !(weight >= 0 && weight <= 1e6))
            return fail(GRAFT_BAD_OPTION, "--weights %s: numbers of at least 0 with commas between are expected", text);
        if (n < g->n)
            g->weights[n] = weight;
        sum += weight;
        n++;
        at = end;
        if (*end == '\0')
            break;
    }
    if (n != g->n || !(sum > 0))
        return fail(GRAFT_BAD_OPTION, "--weights %s: %d numbers for %d members, one of them above 0, are expected",
                    text, g->n, g->n);
    for (int i = 0; i < g->n; i++)
        g->weights[i] /= sum;
    return GRAFT_OK;
}

static graft_status combine_all(const graft_options *o, struct gathering *g)
{
    g->weights = mem_alloc((size_t)g->n * sizeof *g->weights);
    g->stack = mem_alloc((size_t)g->n_classes * ((size_t)g->n * (size_t)g->n_classes + 1) * sizeof *g->stack);
    if (g->weights == NULL || g->stack == NULL)
        return fail_memory("the weights");
    TRY(weights_read_option(o, g));
    if (g->rule <= RULE_GEOMETRIC)
        return g->common > 0 ? combine(g, g->weights, g->stack, NULL) : GRAFT_OK;
    if (g->common == 0 || !g->labelled)
        return fail(
            GRAFT_BAD_FILE,
            "--rule %s is fitted on labelled predictions of the same pictures by members that were not trained on "
            "them: fold runs (train --folds), runs with the same --val, or CSVs with a column label",
            rules[g->rule]);
    return cross_fit(g);
}

// ---- what came of it

static json_t *result_make(const struct gathering *g, const char *output)
{
    json_t *members = json_array(), *o = json_pack("{s:s, s:o}", "rule", rules[g->rule], "members", members);
    for (int i = 0; i < g->n; i++) {
        const struct table *t = &g->entries[i].oof;
        json_t *one = json_pack("{s:f, s:i}", "weight", g->weights[i], "models", g->entries[i].n_files);
        if (json_object_set_new(one, "name", json_string(g->entries[i].input)) != 0)
            json_object_set_new(one, "name", json_string("(a name that is not UTF-8)"));
        if (g->labelled && t->n > 0) {
            const struct metrics all = metrics_of(t->p, t->label, t->n, g->n_classes);
            json_object_set_new(one, "n", json_integer((json_int_t)all.n));
            json_object_set_new(one, "log_loss", json_real(all.log_loss));
            json_object_set_new(one, "top1", json_real(all.top1));
        }
        if (g->labelled && g->common > 0) // beside the whole: on its pictures
            json_object_set_new(one, "common_log_loss",
                                json_real(metrics_of(g->p[i], g->labels, g->common, g->n_classes).log_loss));
        json_array_append_new(members, one);
    }
    if (g->labelled && g->common > 0) {
        const struct metrics whole = metrics_of(g->combined, g->labels, g->common, g->n_classes);
        json_object_set_new(o, "n", json_integer((json_int_t)g->common));
        json_object_set_new(o, "unscored", json_integer((json_int_t)g->unscored));
        json_object_set_new(o, "log_loss", json_real(whole.log_loss));
        json_object_set_new(o, "top1", json_real(whole.top1));
    }
    if (output != NULL)
        json_object_set_new(o, "output", json_string(output));
    return o;
}

static graft_status predictions_write(const struct gathering *g, const char *folder)
{
    const struct table *first = &g->entries[0].oof;
    const bool folds = g->labelled && folds_known(g) != NULL;
    struct text t = {0};
    char *path = path_join(folder, g->labelled ? FOLDS_PREDICTIONS : "predictions.csv");
    graft_status status = GRAFT_OK;
    table_put_head(&t, g->labelled, folds, g->classes, g->n_classes);
    text_put(&t, "\n");
    for (size_t r = 0; r < g->common; r++) {
        table_put_row(&t, first->path[g->entries[0].row[r]], g->labelled ? g->classes[g->labels[r]] : NULL,
                      folds ? g->part[r] : NO_FOLD, g->combined + r * (size_t)g->n_classes, g->n_classes);
        text_put(&t, "\n");
    }
    status = text_write(&t, path);
    mem_free(path);
    return status;
}

static graft_status write(const struct gathering *g, const char *folder, const json_t *result)
{
    struct ensemble e = {0};
    char *path = path_join(folder, "results.json");
    bool models = true;
    graft_status status = path != NULL ? file_make_folder(folder) : fail_memory("a path");
    TRY_GOTO(status);
    for (int i = 0; i < g->n; i++)
        models &= g->entries[i].n_files > 0;
    TRY_GOTO(ensemble_of(g, g->weights, g->stack, &e));
    if (models)
        TRY_GOTO(ensemble_check(&e, folder));
    if (g->common > 0)
        TRY_GOTO(predictions_write(g, folder));
    TRY_GOTO(json_write_file(path, result));
    if (models)
        TRY_GOTO(ensemble_write(&e, folder));
    else
        log_info("a CSV or a machine predicts no other pictures here, so '%s' holds predictions and no model", folder);
done:
    mem_free(e.members);
    mem_free(path);
    return status;
}

graft_status run_ensemble(const graft_options *o)
{
    struct gathering g = {0};
    const char *folder = option_text(o, "output");
    char **owned = NULL;
    int rule, n_owned = 0;
    json_t *result = NULL;
    graft_status status = GRAFT_OK;
    TRY(option_choice(o, "rule", rules, &rule));
    TRY(option_long(o, "rounds", 1, 10000, &g.rounds));
    TRY(option_double(o, "c", 1e-6, 1e6, &g.c));
    g.rule = (enum rule)rule;
    TRY(options_go_with(o, o, NULL));
    if (o->n_inputs == 0)
        return fail(GRAFT_BAD_OPTION, "which members? graft ensemble MEMBER... [-o DIR]");
    if (folder != NULL) {
        char *other = path_join(folder, "args.json");
        const bool taken = other == NULL || file_exists(other);
        mem_free(other);
        if (taken)
            return fail(GRAFT_BAD_OPTION, "'%s' holds a run; name another folder with -o", folder);
        TRY(run_folder_check(folder, ENSEMBLE_FILE));
    }
    g.entries = mem_zero(o->n_inputs, sizeof *g.entries);
    if (g.entries == NULL)
        return fail_memory("the members");
    for (size_t i = 0; i < o->n_inputs; i++) {
        g.n++;
        g.entries[i].input = o->inputs[i];
        TRY_GOTO(entrant_open(&g.entries[i]));
    }
    TRY_GOTO(classes_settle(&g, &owned, &n_owned));
    TRY_GOTO(entrants_compare(g.entries, g.n));
    TRY_GOTO(pictures_gather(&g));
    TRY_GOTO(combine_all(o, &g));
    result = result_make(&g, folder);
    if (folder != NULL)
        TRY_GOTO(write(&g, folder, result));
    result_take(result);
    result = NULL;
done:
    json_decref(result);
    gathering_free(&g);
    names_release(owned, n_owned);
    return status;
}
