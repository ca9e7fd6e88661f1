// api/run_svm.c: `graft svm`: features, a linear support vector machine on them, its probabilities, saved as a model.

#include "api/run.h"
#include "api/trained_on.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "infer/ensemble.h"
#include "infer/metrics.h"
#include "infer/svm.h"
#include "infer/table.h"
#include "train/folds.h"
#include "train/run_folder.h"
#include <stdio.h>
#include <string.h>

// Readable rows, one after the other.
struct table_of { float *x; int *label, *fold; uint32_t *index; size_t n; };

static graft_status rows_gather(const struct layer_features *f, const struct dataset *d, const int *fold,
                                struct table_of *t)
{
    t->x = mem_alloc((d->count * (size_t)f->width + 1) * sizeof *t->x);
    t->label = mem_alloc((d->count + 1) * sizeof *t->label);
    t->fold = mem_alloc((d->count + 1) * sizeof *t->fold);
    t->index = mem_alloc((d->count + 1) * sizeof *t->index);
    if (t->x == NULL || t->label == NULL || t->fold == NULL || t->index == NULL)
        return fail_memory("features");
    for (size_t i = 0; i < d->count; i++) {
        if (fold[i] < 0 || f->error[i] != NULL)
            continue;
        memcpy(t->x + t->n * (size_t)f->width, f->x + i * (size_t)f->width, (size_t)f->width * sizeof *t->x);
        t->label[t->n] = d->samples[i].label;
        t->fold[t->n] = fold[i];
        t->index[t->n++] = (uint32_t)i;
    }
    return t->n > 0 ? GRAFT_OK : fail(GRAFT_BAD_FILE, "none of the pictures can be read");
}

static void table_release(struct table_of *t)
{
    mem_free(t->x);
    mem_free(t->label);
    mem_free(t->fold);
    mem_free(t->index);
}

static graft_status predictions_write(const struct table_of *t, const struct dataset *d, const float *p,
                                      const char *folder)
{
    struct text text = {0};
    char *path = path_join(folder, FOLDS_PREDICTIONS);
    table_put_head(&text, true, true, d->classes, d->n_classes);
    text_put(&text, "\n");
    for (size_t i = 0; i < t->n; i++) {
        table_put_row(&text, d->samples[t->index[i]].path, d->classes[t->label[i]], t->fold[i],
                      p + i * (size_t)d->n_classes, d->n_classes);
        text_put(&text, "\n");
    }
    const graft_status status = text_write(&text, path);
    mem_free(path);
    return status;
}

static graft_status save(const struct svm *s, const struct model *m, const char *folder)
{
    char *path = path_join(folder, "model.safetensors");
    graft_status status = path != NULL ? model_save(m, path, m->trained) : fail_memory("a path");
    mem_free(path);
    return status == GRAFT_OK ? svm_write(s, folder) : status;
}

// The machine on the features, and what it is worth on pictures that neither its weights nor its sigmoids have seen.
static graft_status learn(const graft_options *o, const struct layer_features *f, const struct dataset *d,
                          const int *fold, int folds, double c, const struct model *m)
{
    const size_t k = (size_t)d->n_classes;
    struct table_of t = {0};
    struct svm s = {
        .classes = d->classes, .n_classes = d->n_classes, .width = f->width, .layer = (char *)option_text(o, "layer")};
    const char *folder = option_text(o, "output");
    double *values = NULL, accuracy[SVM_STRENGTHS];
    float *p = NULL;
    graft_status status = GRAFT_OK;
    TRY_GOTO(rows_gather(f, d, fold, &t));
    values = mem_alloc(t.n * k * sizeof *values);
    p = mem_alloc(t.n * k * sizeof *p);
    if (values == NULL || p == NULL)
        TRY_GOTO(fail_memory("the support vector machine"));
    TRY_GOTO(svm_fit(&s, t.x, t.label, t.fold, t.n, folds, c, accuracy, values));
    for (int i = 0; i < SVM_STRENGTHS && c == 0; i++)
        log_info("C %g: accuracy %.4f over %d folds", svm_strengths[i], accuracy[i], folds);
    TRY_GOTO(svm_out_of_fold(values, t.label, t.fold, t.n, folds, d->n_classes, p));
    const struct metrics score = metrics_of(p, t.label, t.n, d->n_classes);
    TRY_GOTO(file_make_folder(folder));
    TRY_GOTO(predictions_write(&t, d, p, folder));
    TRY_GOTO(save(&s, m, folder));
    result_take(json_pack("{s:s+, s:I, s:i, s:f, s:f, s:f}", "output", folder, "", "n", (json_int_t)t.n, "width",
                          s.width, "c", s.c, "log_loss", score.log_loss, "top1", score.top1));
done:
    s.classes = NULL; // the data's and the options'
    s.n_classes = 0;
    s.layer = NULL;
    svm_free(&s);
    table_release(&t);
    mem_free(values);
    mem_free(p);
    return status;
}

graft_status run_svm(const graft_options *o)
{
    struct model m = {0};
    struct dataset d = {0};
    struct feature_request how;
    struct layer_features f = {0};
    uint32_t *order = NULL;
    int *fold = NULL;
    size_t n;
    long imgsz, threads, folds, limit;
    double c = 0;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_long(o, "folds", 2, FOLDS_MOST, &folds));
    TRY(option_long(o, "train-limit", 0, 1L << 40, &limit));
    if (option_text(o, "c") != NULL)
        TRY(option_double(o, "c", 1e-9, 1e9, &c));
    TRY(features_option(o, &how));
    const char *folder = option_text(o, "output");
    if (o->n_inputs != 1 || option_text(o, "data") == NULL || folder == NULL)
        return fail(GRAFT_BAD_OPTION, "a model, its data and a folder are needed: graft svm MODEL -d DATA -o DIR");
    char *args = path_join(folder, "args.json");
    const bool taken = args == NULL || file_exists(args);
    mem_free(args);
    if (taken)
        return fail(GRAFT_BAD_OPTION, "'%s' holds a run; name another folder with -o", folder);
    TRY(run_folder_check(folder, NULL));
    exec_set_threads((int)threads);
    TRY_GOTO(model_open_ready(o, o->inputs[0], imgsz, &m));
    TRY_GOTO(data_open(o, 0, NULL, &d));
    TRY_GOTO(folds_of_data(&d, (int)folds, limit, &fold));
    TRY_GOTO(part_order(&d, "train", false, &order, &n));
    TRY_GOTO(trained_on_tell(o->inputs[0], &d, order, n, "the machine's out-of-fold score"));
    TRY_GOTO(layer_features_make(&m, &d, order, n, &how, &f));
    TRY_GOTO(learn(o, &f, &d, fold, (int)folds, c, &m));
done:
    layer_features_fini(&f);
    mem_free(order);
    mem_free(fold);
    dataset_free(&d);
    model_close(&m);
    return status;
}
