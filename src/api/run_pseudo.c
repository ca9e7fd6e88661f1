// api/run_pseudo.c: `graft pseudo`: labels that a model gives pictures without labels, where it is sure of them.
// A fold run labels by fold: for each fold by the one model that never saw the fold's pictures, so that the next fold
// run's out-of-fold score stays honest.

#include "api/subject.h"
#include "api/trained_on.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/overlap.h"
#include "infer/calibrate.h"
#include "infer/confident.h"
#include "train/folds.h"
#include "train/held_out.h"
#include <stdio.h>
#include <string.h>

struct labelling {
    const graft_options *o;
    struct confidence how;
    bool calibrated;
    struct dataset d;
    uint32_t *order, *chosen;
    struct text file;
    char *folder;       // of the file
    char **classes;     // of the first model
    int n_classes;
    size_t *count, *total; // by class: of one model's choice; of all
    size_t bad, rows;
    double temperature; // of the model that labels; 0: none
    struct scores scores;
};

static void labelling_free(struct labelling *l)
{
    for (int c = 0; c < l->n_classes; c++)
        mem_free(l->classes[c]);
    mem_free(l->classes);
    mem_free(l->count);
    mem_free(l->total);
    mem_free(l->order);
    mem_free(l->chosen);
    mem_free(l->folder);
    text_fini(&l->file);
    dataset_free(&l->d);
}

static graft_status keep(void *user, uint32_t index, const struct prediction *p, const char *error)
{
    struct labelling *l = user;
    struct scores *s = &l->scores;
    if (p == NULL) {
        log_warning("left out: %s", error);
        s->error[index] = mem_text(error);
        s->bad++;
        return s->error[index] != NULL ? GRAFT_OK : fail_memory("a message");
    }
    float *row = s->p + index * (size_t)s->classes;
    memcpy(row, p->probabilities, (size_t)s->classes * sizeof *row);
    if (l->temperature > 0)
        temperature_apply(l->temperature, row, 1, s->classes);
    return GRAFT_OK;
}

// The first model's classes are those of all.
static graft_status classes_settle(struct labelling *l, const struct model *m, const char *name)
{
    const size_t n = (size_t)m->n_classes;
    if (l->n_classes > 0) {
        for (int c = 0; c < l->n_classes; c++)
            if (m->n_classes != l->n_classes || strcmp(m->classes[c], l->classes[c]) != 0)
                return fail(GRAFT_BAD_FILE, "'%s' has other classes than fold 0, or in another order", name);
        return GRAFT_OK;
    }
    l->classes = mem_zero(n, sizeof *l->classes);
    l->count = mem_zero(n, sizeof *l->count);
    l->total = mem_zero(n, sizeof *l->total);
    if (l->classes == NULL || l->count == NULL || l->total == NULL)
        return fail_memory("class names");
    for (; l->n_classes < m->n_classes; l->n_classes++)
        if ((l->classes[l->n_classes] = mem_text(m->classes[l->n_classes])) == NULL)
            return fail_memory("class names");
    return GRAFT_OK;
}

// The rows of one model; `fold` -1: of the only one.
static graft_status label_by(struct labelling *l, const char *name, int fold)
{
    struct subject s = {0};
    size_t n = 0;
    long imgsz;
    graft_status status = GRAFT_OK;
    TRY(option_long(l->o, "imgsz", 0, 4096, &imgsz));
    l->scores = (struct scores){0};
    TRY_GOTO(subject_open(l->o, name, imgsz, &s));
    TRY_GOTO(classes_settle(l, &s.model, name));
    if (l->calibrated)
        TRY_GOTO(subject_calibrates(&s, name, "calibrated"));
    l->temperature = l->calibrated ? model_temperature(&s.model) : 0;
    if (l->calibrated && l->temperature == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' has no temperature, so --calibrated has no place", name));
    TRY_GOTO(scores_init(&l->scores, l->d.count, l->n_classes));
    TRY_GOTO(predict_all(l->o, &s, &l->d, l->order, l->d.count, "pseudo", keep, l));
    if (l->scores.bad == l->d.count)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "none of the %zu pictures can be read", l->d.count));
    TRY_GOTO(confident_choose(&l->scores, l->order, l->d.count, &l->how, l->chosen, &n, l->count));
    if (n == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "'%s' gives no class a probability of %.4g or more on any of the %zu pictures; a lower "
                      "--threshold, or --top N, chooses some",
                      name, l->how.threshold, l->d.count));
    if (l->file.size == 0)
        confident_header(&l->file, &l->d, l->classes, l->n_classes, fold >= 0, l->how.soft);
    TRY_GOTO(confident_rows(&l->file, &l->d, &l->scores, l->classes, l->chosen, n, fold, l->how.soft, l->folder));
    for (int c = 0; c < l->n_classes; c++)
        l->total[c] += l->count[c];
    l->rows += n;
    l->bad = l->scores.bad;
    if (fold >= 0)
        log_info("fold %d: %zu of %zu pictures", fold, n, l->d.count);
done:
    scores_fini(&l->scores);
    subject_close(&s);
    return status;
}

// ---- what may be labelled

// The pictures that the run behind the model holds out would be learnt by the next one.
static graft_status held_out_check(void *user, const char *folder)
{
    const struct labelling *l = user;
    struct dataset theirs = {0};
    struct common *common = NULL;
    uint32_t *index = NULL;
    struct overlap_names held_out = {0};
    size_t n = 0;
    graft_status status = GRAFT_OK;
    TRY(held_out_read(folder, &theirs, NULL));
    index = mem_alloc((theirs.count + 1) * sizeof *index);
    if (index == NULL)
        TRY_GOTO(fail_memory("the pictures held out"));
    for (size_t i = 0; i < theirs.count; i++)
        index[i] = (uint32_t)i;
    TRY_GOTO(overlap_find((struct listed){&l->d, l->order, l->d.count}, (struct listed){&theirs, index, theirs.count},
                          &common, &n));
    for (size_t i = 0; i < n; i++)
        if (theirs.samples[common[i].b].part == PART_VAL)
            overlap_name(&held_out, &common[i], &l->d, &theirs);
    if (held_out.n > 0)
        status = fail(GRAFT_BAD_FILE, "%zu of the %zu pictures are validated by the run in '%s': %s; leave them out",
                      held_out.n, l->d.count, folder, held_out.text);
    else if (n > 0)
        log_warning("%zu of the %zu pictures are labelled training pictures of the run in '%s'", n, l->d.count, folder);
done:
    dataset_free(&theirs);
    mem_free(common);
    mem_free(index);
    return status;
}

static graft_status pictures_open(struct labelling *l)
{
    const char **paths;
    int n;
    TRY(option_texts(l->o, "data", &paths, &n));
    const graft_status status = inputs_open_grouped(paths, (size_t)n, option_text(l->o, "group"), &l->d);
    mem_free(paths);
    TRY(status);
    for (size_t i = 0; i < l->d.count; i++)
        if (l->d.samples[i].member != NULL)
            return fail(GRAFT_BAD_FILE, "%s is in an archive, which a list of pictures cannot name; unpack it",
                        l->d.samples[i].path);
    l->order = mem_alloc((l->d.count + 1) * sizeof *l->order);
    l->chosen = mem_alloc((l->d.count + 1) * sizeof *l->chosen);
    if (l->order == NULL || l->chosen == NULL)
        return fail_memory("the list of pictures");
    for (size_t i = 0; i < l->d.count; i++)
        l->order[i] = (uint32_t)i;
    return crop_option(l->o, &l->d);
}

// ---- the command

static graft_status options_read(const graft_options *o, struct labelling *l)
{
    static const char *const labels[] = {"hard", "soft", NULL};
    int kind;
    l->o = o;
    TRY(option_double(o, "threshold", 0, 1, &l->how.threshold));
    TRY(option_long(o, "top", 0, 1L << 30, &l->how.top));
    TRY(option_choice(o, "labels", labels, &kind));
    l->how.soft = kind == 1;
    l->calibrated = option_set(o, "calibrated");
    if (l->how.top > 0 && !option_set(o, "threshold"))
        l->how.threshold = 0;
    return GRAFT_OK;
}

static void result_tell(const struct labelling *l, const char *file, int folds)
{
    json_t *classes = json_array();
    for (int c = 0; c < l->n_classes; c++)
        json_array_append_new(classes, json_pack("{s:s, s:I}", "class", l->classes[c], "n", (json_int_t)l->total[c]));
    json_t *result = json_pack("{s:s, s:I, s:I, s:I, s:s, s:o}", "output", file, "n", (json_int_t)l->d.count, "chosen",
                               (json_int_t)l->rows, "skipped", (json_int_t)l->bad, "labels",
                               l->how.soft ? "soft" : "hard", "classes", classes);
    if (folds > 0)
        json_object_set_new(result, "folds", json_integer(folds));
    result_take(result);
}

graft_status pseudo_label(const graft_options *o, const char *model, const char *file)
{
    struct labelling l = {0};
    int folds = 0;
    const char *name = path_name(file);
    graft_status status = GRAFT_OK;
    TRY(options_read(o, &l));
    l.folder = name > file ? mem_format("%.*s", (int)(name - file), file) : mem_text(".");
    if (l.folder == NULL)
        return fail_memory("a path");
    TRY_GOTO(file_make_folder(l.folder));
    TRY_GOTO(pictures_open(&l));
    TRY_GOTO(runs_behind(model, held_out_check, &l));
    if (folds_folder_is(model)) {
        TRY_GOTO(folds_whole(model, &folds));
        for (int f = 0; f < folds; f++) {
            char *one = fold_model(model, f);
            status = one != NULL ? label_by(&l, one, f) : fail_memory("a path");
            mem_free(one);
            TRY_GOTO(status);
        }
    } else
        TRY_GOTO(label_by(&l, model, -1));
    TRY_GOTO(text_status(&l.file));
    TRY_GOTO(file_write_all(file, l.file.data, l.file.size));
    result_tell(&l, file, folds);
done:
    labelling_free(&l);
    return status;
}

graft_status run_pseudo(const graft_options *o)
{
    long threads, rounds;
    double share;
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_long(o, "rounds", 0, 1000, &rounds));
    TRY(option_double(o, "pseudo-share", 0.001, 0.9, &share));
    if (o->n_inputs != 1 || option_text(o, "data") == NULL || option_text(o, "output") == NULL)
        return fail(GRAFT_BAD_OPTION,
                    "a model, pictures and a file are needed: graft pseudo MODEL -d PICTURES -o FILE.csv");
    exec_set_threads((int)threads);
    if (rounds > 0)
        return pseudo_rounds(o, rounds);
    if (option_set(o, "pseudo-share"))
        return fail(GRAFT_BAD_OPTION, "--pseudo-share goes with --rounds; `train --pseudo` has its own");
    if (!path_has_suffix(option_text(o, "output"), ".csv"))
        return fail(GRAFT_BAD_OPTION, "-o %s: pseudo-labels are written as .csv", option_text(o, "output"));
    return pseudo_label(o, o->inputs[0], option_text(o, "output"));
}
