// api/subject.c: what predicts: a model file, a run, a fold run, an ensemble, a support vector machine.

#include "api/subject.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/crops.h"
#include "train/folds.h"
#include <string.h>

char *model_file(const char *name)
{
    char *in = path_join(name, "model.safetensors");
    if (in != NULL && !file_exists(in)) {
        mem_free(in);
        in = mem_text(name);
    }
    return in;
}

char *model_finder(const char *name)
{
    char *file = model_file(name), *finder = file != NULL ? crop_finder(file) : NULL;
    mem_free(file);
    return finder;
}

// A model of crops and no boxes; `asks`: the command has --crop.
static graft_status fail_without_boxes(const char *name, bool asks)
{
    char *finder = model_finder(name);
    if (finder != NULL && file_exists(finder))
        fail(GRAFT_BAD_FILE, "'%s' was trained on crops and knows nothing else: %s --crop cam lets '%s' look for them",
             name, asks ? "here" : "this command has no --crop; of predict, val, pseudo and explain", finder);
    else
        fail(GRAFT_BAD_FILE,
             "'%s' was trained on crops and knows nothing else: make those of these pictures with the model that made "
             "them for training, `graft crops MODEL -d PICTURES -o FILE.csv`, and %s",
             name,
             asks ? "add --crop FILE.csv here"
                  : "use predict, val, pseudo or explain, which have --crop FILE.csv; this command has not");
    mem_free(finder);
    return GRAFT_BAD_FILE;
}

// Without a look at whether it takes boxes or must do without.
static graft_status model_open_unchecked(const graft_options *o, const char *name, long size, struct model *out)
{
    int resize = -1;
    enum predicting predicting;
    TRY(heads_option(o, &predicting));
    if (option_text(o, "resize") != NULL)
        TRY(option_choice(o, "resize", resize_rules, &resize));
    if (folds_folder_is(name))
        return fail(GRAFT_BAD_FILE, "'%s' is a run with folds, and one model is needed: name %s/fold-0 or another",
                    name, name);
    if (ensemble_is(name))
        return fail(GRAFT_BAD_FILE,
                    "'%s' is an ensemble, and one model is needed: name one of its members, such as "
                    "%s/member-0-0.safetensors",
                    name, name);
    const bool known = zoo_find(name) != NULL && !file_exists(name);
    char *file = known ? NULL : model_file(name);
    if (!known && file == NULL)
        return fail_memory("a path");
    struct model_request request = {.network = known ? name : option_text(o, "model"),
                                    .weights = known ? "imagenet" : file,
                                    .offline = option_set(o, "offline"),
                                    .head = HEAD_KEEP,
                                    .size = (int)size,
                                    .dropout = 0,
                                    .resize = resize,
                                    .bn = BN_FROZEN,
                                    .predicting = predicting};
    graft_status status = kernels_option(o, &request.kernels);
    if (status == GRAFT_OK)
        status = model_open(&request, out);
    mem_free(file);
    TRY(status);
    out->input.icc |= option_set(o, "icc");
    return profiles_check(&out->input);
}

static bool boxes_given(const graft_options *o) { return option_known(o, "crop") && option_text(o, "crop") != NULL; }

graft_status model_open_ready(const graft_options *o, const char *name, long size, struct model *out)
{
    TRY(model_open_unchecked(o, name, size, out));
    if (out->input.crop && !boxes_given(o))
        return fail_without_boxes(name, option_known(o, "crop"));
    if (!out->input.crop && boxes_given(o))
        return fail(GRAFT_BAD_OPTION, "--crop: '%s' was trained on whole pictures", name);
    return GRAFT_OK;
}

graft_status tta_option(const graft_options *o, const struct model *m, const struct dataset *d, struct tta *out)
{
    int mean;
    *out = (struct tta){.views = 1};
    TRY(option_choice(o, "tta-mean", mean_names, &mean));
    if (option_text(o, "tta") == NULL)
        return option_set(o, "tta-mean") ? fail(GRAFT_BAD_OPTION, "--tta-mean goes with --tta") : GRAFT_OK;
    if (d->array_float)
        return fail(GRAFT_BAD_OPTION, "--tta cannot change preprocessed arrays");
    TRY(tta_parse(option_text(o, "tta"), m, out));
    out->mean = (enum mean)mean;
    char parts[512];
    augment_text(&out->augment, parts, sizeof parts);
    log_info("test-time augmentation: the %s mean of %d views: the picture as it is, and changed by %s",
             mean_names[mean], out->views, parts);
    return GRAFT_OK;
}

// A member of an ensemble, as the options have it.  Boxes are for those of crops; others look at whole pictures.
struct opening {
    const graft_options *o;
    struct dataset *d;
    const uint32_t *order;
    size_t n;
};

static graft_status member_ready(void *user, const char *file, struct model *out, struct tta *tta)
{
    const struct opening *a = user;
    TRY(model_open_unchecked(a->o, file, 0, out));
    if (out->input.crop && !boxes_given(a->o))
        return fail_without_boxes(file, option_known(a->o, "crop"));
    if (out->input.crop)
        TRY(crop_look(a->o, file, a->d, a->order, a->n));
    return tta_option(a->o, out, a->d, tta);
}

graft_status subject_calibrates(const struct subject *s, const char *name, const char *option)
{
    if (s->svm.n_classes > 0)
        return fail(GRAFT_BAD_OPTION,
                    "--%s: '%s' is a support vector machine and has no temperature; its probabilities are calibrated "
                    "as they are, by what it said of pictures out of fold",
                    option, name);
    if (s->ensemble.n_members == 0)
        return GRAFT_OK;
    if (s->ensemble.rule == ENSEMBLE_STACK)
        return fail(GRAFT_BAD_OPTION,
                    "--%s: '%s' is of several models and has no temperature; its rule, stack, fitted the probabilities "
                    "to the labels already",
                    option, name);
    return fail(GRAFT_BAD_OPTION,
                "--%s: '%s' is of several models and has no temperature of its own; single models have, and `graft "
                "ensemble %s --rule stack -o DIR` fits what several say together to the labels, out of fold",
                option, name, ensemble_is(name) ? "MEMBER..." : name);
}

graft_status one_network_check(const char *name, const char *command)
{
    const bool machine = svm_is(name), several = ensemble_is(name) || folds_folder_is(name);
    if (!machine && !several)
        return GRAFT_OK;
    if (machine)
        return fail(GRAFT_BAD_OPTION,
                    "'%s' is a support vector machine: what speaks for its classes is not in the network below it, "
                    "whose own head says something else; give %s a model that was trained, such as a run's folder",
                    name, command);
    return fail(GRAFT_BAD_OPTION,
                "'%s' is of several models, and %s looks into one: give it one of them, such as %s/%s", name, command,
                name, ensemble_is(name) ? "member-0-0.safetensors" : "fold-0");
}

void subject_close(struct subject *s)
{
    model_close(&s->model);
    model_close(&s->network);
    ensemble_free(&s->ensemble);
    svm_free(&s->svm);
    mem_free(s->file);
}

static graft_status classes_set(struct model *m, char *const *names, int n)
{
    m->classes = mem_zero((size_t)n, sizeof *m->classes);
    for (; m->classes != NULL && m->n_classes < n; m->n_classes++)
        if ((m->classes[m->n_classes] = mem_text(names[m->n_classes])) == NULL)
            return fail_memory("class names");
    return m->classes != NULL ? GRAFT_OK : fail_memory("class names");
}

// The models of a fold run as one: the geometric mean, as `graft ensemble` makes it.
static graft_status fold_run_open(const char *folder, struct subject *s)
{
    struct ensemble *e = &s->ensemble;
    struct ensemble_member *m = e->members = mem_zero(1, sizeof *e->members);
    int folds;
    if (m == NULL)
        return fail_memory("the members");
    *e = (struct ensemble){.rule = ENSEMBLE_GEOMETRIC, .members = m, .n_members = 1};
    TRY(folds_whole(folder, &folds));
    *m = (struct ensemble_member){.name = mem_text(folder), .files = mem_zero(FOLDS_MOST, sizeof *m->files),
                                  .weight = 1};
    if (m->name == NULL || m->files == NULL)
        return fail_memory("the members");
    for (; m->n_files < folds; m->n_files++)
        if ((m->files[m->n_files] = fold_model(folder, m->n_files)) == NULL)
            return fail_memory("a path");
    TRY(model_file_classes(m->files[0], &e->classes, &e->n_classes));
    return classes_set(&s->model, e->classes, e->n_classes);
}

graft_status subject_open(const graft_options *o, const char *name, long size, struct subject *s)
{
    const bool machine = svm_is(name), folds = folds_folder_is(name);
    if (!ensemble_is(name) && !machine && !folds) {
        s->file = model_file(name);
        return s->file != NULL ? model_open_ready(o, s->file, size, &s->model) : fail_memory("a path");
    }
    if (size != 0)
        return fail(GRAFT_BAD_OPTION, "'%s' is %s, with a size of its own: pictures are needed, and no --imgsz", name,
                    machine ? "a support vector machine" : folds ? "a run with folds" : "an ensemble");
    if (folds)
        return fold_run_open(name, s);
    if (machine) {
        TRY(svm_read(name, &s->svm));
        TRY(model_open_ready(o, s->svm.model, 0, &s->network));
        return classes_set(&s->model, s->svm.classes, s->svm.n_classes);
    }
    TRY(ensemble_read(name, &s->ensemble));
    return classes_set(&s->model, s->ensemble.classes, s->ensemble.n_classes);
}

// The machine's probabilities.
static graft_status svm_scores(const graft_options *o, struct subject *subject, const struct dataset *d,
                               const uint32_t *order, size_t n, struct scores *out)
{
    const struct svm *s = &subject->svm;
    long batch, workers;
    struct layer_features f = {0};
    double *values = mem_alloc((size_t)s->n_classes * sizeof *values);
    graft_status status = values != NULL ? GRAFT_OK : fail_memory("predictions");
    if (status == GRAFT_OK)
        status = scores_init(out, d->count, s->n_classes);
    if (status != GRAFT_OK) {
        mem_free(values);
        return status;
    }
    TRY_GOTO(option_long(o, "batch", 1, 4096, &batch));
    TRY_GOTO(option_long(o, "workers", 1, 64, &workers));
    if (option_text(o, "tta") != NULL)
        TRY_GOTO(fail(GRAFT_BAD_OPTION, "--tta: a support vector machine looks at pictures as they are"));
    const struct feature_request how = {s->layer, (int)batch, (int)workers, option_set(o, "exact")};
    TRY_GOTO(layer_features_make(&subject->network, d, order, n, &how, &f));
    if (f.width != s->width)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' gives %d features, the machine wants %d", s->model, f.width, s->width));
    for (size_t i = 0; i < n; i++) {
        const size_t at = order[i];
        if (f.error[at] != NULL) {
            out->error[at] = f.error[at];
            f.error[at] = NULL;
            out->bad++;
            continue;
        }
        svm_values(s->w, f.x + at * (size_t)f.width, f.width, s->n_classes, values);
        svm_probabilities(s->platt, values, s->n_classes, out->p + at * (size_t)s->n_classes);
    }
done:
    layer_features_fini(&f);
    mem_free(values);
    return status;
}

// The kept probabilities, told as if they came one by one.
static graft_status scores_tell(const struct scores *s, const uint32_t *order, size_t n, predicted take, void *user)
{
    for (size_t i = 0; i < n; i++) {
        const struct prediction p = {.probabilities = s->p + order[i] * (size_t)s->classes};
        TRY(take(user, order[i], s->error[order[i]] == NULL ? &p : NULL, s->error[order[i]]));
    }
    return GRAFT_OK;
}

static graft_status plan_ready(const graft_options *o, struct model *m, int batch, struct arena **arena,
                               struct plan **plan)
{
    struct plan_options options = {.batch = batch, .mode = PLAN_INFER, .exact = option_set(o, "exact")};
    TRY(precision_option(o, &options.bf16));
    TRY(arena_new(arena));
    TRY(plan_build(&m->graph, &m->params, *arena, &options, plan));
    return arena_reserve(*arena);
}

graft_status predict_all(const graft_options *o, struct subject *subject, struct dataset *d, const uint32_t *order,
                         size_t n, const char *stage, predicted take, void *user)
{
    long batch, workers;
    struct model *m = &subject->model;
    const struct ensemble *e = &subject->ensemble;
    struct tta tta;
    struct arena *arena = NULL;
    struct plan *plan = NULL;
    struct scores scores = {0};
    bool bf16;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "workers", 1, 64, &workers));
    TRY(precision_option(o, &bf16));
    if (subject->svm.n_classes > 0) {
        TRY_GOTO(svm_scores(o, subject, d, order, n, &scores));
        TRY_GOTO(scores_tell(&scores, order, n, take, user));
        goto done;
    }
    if (e->n_members > 0) {
        bool crops = true;
        if (boxes_given(o))
            TRY_GOTO(ensemble_crops(e, &crops));
        if (!crops)
            TRY_GOTO(fail(GRAFT_BAD_OPTION, "--crop: all models of the ensemble were trained on whole pictures"));
        struct opening opening = {o, d, order, n};
        const struct scoring how = {(int)batch, (int)workers, option_set(o, "exact"), NULL, stage, bf16};
        TRY_GOTO(ensemble_scores(e, d, order, n, &how, member_ready, &opening, &scores));
        TRY_GOTO(scores_tell(&scores, order, n, take, user));
        goto done;
    }
    TRY(tta_option(o, m, d, &tta));
    TRY(crop_look(o, subject->file, d, order, n));
    if (tta.views > 1) {
        const struct scoring how = {(int)batch, (int)workers, option_set(o, "exact"), &tta, stage, bf16};
        TRY_GOTO(scores_make(m, d, order, n, &how, &scores));
        TRY_GOTO(scores_tell(&scores, order, n, take, user));
    } else {
        TRY_GOTO(plan_ready(o, m, (size_t)batch < n ? (int)batch : (int)n, &arena, &plan));
        TRY_GOTO(predict_samples(m, plan, d, order, n, (int)workers, stage, take, user));
    }
done:
    scores_fini(&scores);
    plan_free(plan);
    arena_free(arena);
    return status;
}
