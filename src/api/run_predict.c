// api/run_predict.c: `graft predict` and `graft val`.

#include "api/subject.h"
#include "api/trained_on.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/data.h"
#include "infer/calibrate.h"
#include "infer/metrics.h"
#include "infer/submission.h"
#include "infer/table.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A CSV that appears whole or not at all.  Every text in it is quoted, as it has been from the start.
struct csv_file {
    struct file_writer writer;
    struct text row;
    float *clipped; // (classes)
};

static graft_status csv_row_end(struct csv_file *f)
{
    text_put(&f->row, "\n");
    TRY(text_status(&f->row));
    const graft_status status = file_writer_put(&f->writer, f->row.data, f->row.size);
    f->row.size = 0;
    return status;
}

static graft_status csv_open(struct csv_file *f, const char *path, const struct model *m, bool answers)
{
    f->row.quotes = true;
    f->clipped = mem_alloc((size_t)m->n_classes * sizeof *f->clipped);
    if (f->clipped == NULL)
        return fail_memory("a row of the CSV");
    TRY(file_writer_open(path, &f->writer));
    table_put_head(&f->row, false, false, m->classes, m->n_classes);
    if (answers)
        text_put(&f->row, ",answer");
    return csv_row_end(f);
}

static graft_status csv_row(struct csv_file *f, const char *path, const float *p, int classes, double clip,
                            const char *answer)
{
    for (int c = 0; c < classes; c++)
        f->clipped[c] = (float)fmin(fmax(p[c], clip), 1 - clip);
    table_put_row(&f->row, path, NULL, NO_FOLD, f->clipped, classes);
    if (answer != NULL) {
        text_put(&f->row, ",");
        text_put_field(&f->row, answer);
    }
    return csv_row_end(f);
}

static void csv_fini(struct csv_file *f)
{
    file_writer_abandon(&f->writer);
    text_fini(&f->row);
    mem_free(f->clipped);
}

struct outcome {
    const struct model *model;
    const struct dataset *data;
    long topk;
    double temperature;  // probabilities are calibrated by it; 0: as they come
    double reject;       // below it the answer is "unknown"; 0: never
    double clip;         // of the CSV
    struct submission submission; // when the CSV is to be like a sample: submission.n > 0
    struct csv_file csv; // when asked for: csv.writer.path is not NULL
    float *logits, *probabilities; // (n, classes) or NULL
    float *calibrated;             // (classes)
    int *labels;
    size_t done, bad;
};


// A class is always the likeliest of numbers; of what are none (a weight that is not finite, a sum that overflows) it
// would be the first, whatever the picture.
static bool of_numbers(const struct prediction *p, int classes)
{
    return floats_finite(p->probabilities, (size_t)classes) &&
           (p->logits == NULL || floats_finite(p->logits, (size_t)classes));
}

static graft_status report(void *user, uint32_t index, const struct prediction *prediction, const char *error)
{
    struct outcome *r = user;
    const int classes = r->model->n_classes;
    const char *path = r->data->samples[index].path;
    char numberless[512];
    graft_status status = GRAFT_OK;
    if (prediction != NULL && !of_numbers(prediction, classes)) {
        snprintf(numberless, sizeof numberless,
                 "%.400s: the model's outputs for it are no numbers; `graft val` tells whether they are for others",
                 path);
        error = numberless;
        prediction = NULL;
    }
    const float *p = prediction != NULL ? prediction->probabilities : NULL;
    if (p != NULL && r->temperature > 0) {
        memcpy(r->calibrated, p, (size_t)classes * sizeof *p);
        temperature_apply(r->temperature, r->calibrated, 1, classes);
        p = r->calibrated;
    }
    const bool unknown = p != NULL && p[best_class(p, classes)] < r->reject;
    json_t *row = json_pack("{s:s+}", "path", path, "");
    if (row == NULL)
        row = json_pack("{s:s}", "path", "(a name that is not UTF-8)");
    if (prediction == NULL) {
        r->bad++;
        json_object_set_new(row, "error", json_string(error));
    } else {
        json_t *top = json_array();
        bool *taken = mem_zero((size_t)classes, sizeof *taken);
        for (long k = 0; taken != NULL && k < r->topk && k < classes; k++) {
            int best = -1;
            for (int c = 0; c < classes; c++)
                if (!taken[c] && (best < 0 || p[c] > p[best]))
                    best = c;
            taken[best] = true;
            json_array_append_new(top,
                                  json_pack("{s:s, s:f}", "class", r->model->classes[best], "prob", (double)p[best]));
        }
        mem_free(taken);
        json_object_set_new(row, "top", top);
        if (r->reject > 0)
            json_object_set_new(row, "unknown", json_boolean(unknown));
        if (r->logits != NULL)
            memcpy(r->logits + index * (size_t)classes, prediction->logits, (size_t)classes * sizeof(float));
        if (r->submission.n > 0)
            submission_put(&r->submission, index, p);
        if (r->csv.writer.path != NULL)
            status = csv_row(&r->csv, path, p, classes, r->clip,
                             r->reject <= 0 ? NULL
                             : unknown      ? "unknown"
                                            : r->model->classes[best_class(p, classes)]);
        r->done++;
    }
    char *text = json_text(row);
    if (text != NULL)
        hooks_result(text);
    mem_free(text);
    json_decref(row);
    return status;
}

static graft_status logits_write(const char *path, const float *logits, size_t n, int classes)
{
    struct file_writer w;
    TRY(file_writer_open(path, &w));
    graft_status status = npy_head_write(&w, n, classes);
    if (status == GRAFT_OK)
        status = file_writer_put(&w, logits, n * (size_t)classes * sizeof *logits);
    if (status == GRAFT_OK)
        return file_writer_commit(&w);
    file_writer_abandon(&w);
    return status;
}

static uint32_t *order_new(const struct dataset *d)
{
    uint32_t *order = mem_alloc((d->count + 1) * sizeof *order);
    for (size_t i = 0; order != NULL && i < d->count; i++)
        order[i] = (uint32_t)i;
    return order;
}

// The pictures, or an array that is preprocessed already, float32 (n, h, w, c), whose size is then *imgsz.
static graft_status predict_inputs(const graft_options *o, bool array, long *imgsz, struct file_map *map,
                                   struct dataset *d)
{
    if (!array)
        return inputs_open((const char *const *)o->inputs + 1, o->n_inputs - 1, d);
    TRY(array_open(o->inputs[1], map, d));
    if (*imgsz != 0 && *imgsz != d->array_h)
        return fail(GRAFT_BAD_OPTION,
                    "--imgsz %ld: the array '%s' is preprocessed already, at %dx%d, and nothing resizes it; "
                    "leave the option out, or give pictures",
                    *imgsz, o->inputs[1], d->array_h, d->array_w);
    *imgsz = d->array_h;
    return GRAFT_OK;
}

// What the model can say is asked for, and the files that it goes into can be made.
static graft_status outcome_open(const graft_options *o, const struct subject *s, struct outcome *r)
{
    const char *csv = option_text(o, "csv"), *like = option_text(o, "like");
    const struct model *m = &s->model;
    if (option_set(o, "calibrated"))
        TRY(subject_calibrates(s, o->inputs[0], "calibrated"));
    if (option_set(o, "calibrated") && (r->temperature = model_temperature(m)) == 0)
        return fail(GRAFT_BAD_FILE,
                    "'%s' has no temperature: it was trained without validation, or on too few pictures of it; "
                    "`graft val MODEL -d DATA --calibrate` fits one",
                    o->inputs[0]);
    const bool several = s->ensemble.n_members > 0 || s->svm.n_classes > 0;
    if (option_text(o, "logits") != NULL && (option_text(o, "tta") != NULL || several))
        return fail(GRAFT_BAD_OPTION, "--logits are one model's of the picture as it is, so %s has no place",
                    several ? "an ensemble or a machine" : "--tta");
    if (option_text(o, "logits") != NULL &&
        (r->logits = mem_zero(r->data->count * (size_t)m->n_classes, sizeof *r->logits)) == NULL)
        return fail_memory("logits");
    if (like != NULL)
        return submission_open(like, m->classes, m->n_classes, r->data, &r->submission);
    return csv != NULL ? csv_open(&r->csv, csv, m, r->reject > 0) : GRAFT_OK;
}

graft_status run_predict(const graft_options *o)
{
    long topk, imgsz, threads;
    struct subject s = {0};
    struct dataset d = {0};
    struct file_map map = {0};
    uint32_t *order = NULL;
    struct outcome r = {0};
    graft_status status = GRAFT_OK;
    double reject, clip;
    TRY(option_long(o, "topk", 1, 1000, &topk));
    TRY(option_double(o, "reject", 0, 1, &reject));
    TRY(option_double(o, "clip", 0, 0.5, &clip));
    if (option_text(o, "csv") == NULL && (option_text(o, "like") != NULL || option_set(o, "clip")))
        return fail(GRAFT_BAD_OPTION, "--like and --clip say how the file of --csv is to look, and there is no --csv");
    if (option_text(o, "like") != NULL && reject > 0)
        return fail(GRAFT_BAD_OPTION, "--reject adds a column, which --like does not allow");
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    if (o->n_inputs < 2)
        return fail(GRAFT_BAD_OPTION, "a model and at least one picture are needed: graft predict MODEL INPUT...");
    TRY(output_check(o, "csv", NULL));
    TRY(output_check(o, "logits", NULL));
    exec_set_threads((int)threads);
    const bool array = o->n_inputs == 2 && path_has_suffix(o->inputs[1], ".npy");
    TRY_GOTO(predict_inputs(o, array, &imgsz, &map, &d));
    TRY_GOTO(subject_open(o, o->inputs[0], imgsz, &s));
    TRY_GOTO(crop_option(o, &d));
    if (array)
        s.model.input =
            (struct input_spec){.size = d.array_h, .resize = d.array_h, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    order = order_new(&d);
    r = (struct outcome){.model = &s.model, .data = &d, .topk = topk, .reject = reject, .clip = clip};
    r.calibrated = mem_alloc((size_t)s.model.n_classes * sizeof *r.calibrated);
    if (order == NULL || r.calibrated == NULL)
        TRY_GOTO(fail_memory("the list of pictures"));
    TRY_GOTO(outcome_open(o, &s, &r));
    TRY_GOTO(predict_all(o, &s, &d, order, d.count, "predict", report, &r));
    if (r.logits != NULL)
        TRY_GOTO(logits_write(option_text(o, "logits"), r.logits, d.count, s.model.n_classes));
    if (r.csv.writer.path != NULL)
        TRY_GOTO(file_writer_commit(&r.csv.writer));
    if (r.submission.n > 0)
        TRY_GOTO(submission_write(&r.submission, option_text(o, "csv"), clip));
    if (r.bad > 0)
        status = fail(GRAFT_BAD_FILE, "%zu of %zu inputs gave no result (their reasons are above)", r.bad, d.count);
done:
    submission_fini(&r.submission);
    csv_fini(&r.csv);
    mem_free(r.logits);
    mem_free(r.calibrated);
    mem_free(order);
    subject_close(&s);
    dataset_free(&d);
    file_map_close(&map);
    return status;
}

static graft_status collect(void *user, uint32_t index, const struct prediction *p, const char *error)
{
    struct outcome *r = user;
    if (p == NULL) {
        r->bad++;
        log_warning("left out: %s", error);
        return GRAFT_OK;
    }
    if (!of_numbers(p, r->model->n_classes))
        return fail(GRAFT_FAILED,
                    "the model's outputs for '%s' are no numbers, so no figure would mean anything: its training has "
                    "diverged, or its file is damaged; use an earlier model, or train again at a smaller --lr",
                    r->data->samples[index].path);
    memcpy(r->probabilities + r->done * (size_t)r->model->n_classes, p->probabilities,
           (size_t)r->model->n_classes * sizeof(float));
    r->labels[r->done++] = r->data->samples[index].label;
    return GRAFT_OK;
}

// The metrics, a row a class, and the confusion matrix (rows labels, columns predictions).
static graft_status val_result(const struct outcome *r, const struct metrics *m)
{
    const int k = r->model->n_classes;
    size_t *count = mem_zero((size_t)k * (size_t)k, sizeof *count);
    if (count == NULL)
        return fail_memory("the confusion matrix");
    confusion_of(r->probabilities, r->labels, r->done, k, count);
    json_t *classes = json_array(), *confusion = json_array();
    for (int c = 0; c < k; c++) {
        const struct class_metrics one = class_metrics_of(count, k, c);
        json_t *row = json_array();
        for (int other = 0; other < k; other++)
            json_array_append_new(row, json_integer((json_int_t)count[(size_t)c * (size_t)k + (size_t)other]));
        json_array_append_new(confusion, row);
        json_array_append_new(classes, json_pack("{s:s, s:I, s:f, s:f, s:f}", "class", r->model->classes[c], "n",
                                                 (json_int_t)one.n, "precision", one.precision, "recall", one.recall,
                                                 "f1", one.f1));
    }
    mem_free(count);
    json_t *result =
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "n", (json_int_t)m->n, "skipped", (json_int_t)r->bad,
                  "log_loss", m->log_loss, "top1", m->top1, "top5", m->top5, "calibration_error",
                  calibration_error(r->probabilities, r->labels, r->done, k), "brier",
                  brier_score(r->probabilities, r->labels, r->done, k), "per_class", classes, "confusion", confusion);
    if (result != NULL && r->temperature > 0) { // the probabilities are not needed any more as they came
        temperature_apply(r->temperature, r->probabilities, r->done, k);
        json_object_set_new(result, "calibrated",
                            json_pack("{s:f, s:f, s:f, s:f}", "temperature", r->temperature, "log_loss",
                                      metrics_of(r->probabilities, r->labels, r->done, k).log_loss, "calibration_error",
                                      calibration_error(r->probabilities, r->labels, r->done, k), "brier",
                                      brier_score(r->probabilities, r->labels, r->done, k)));
    }
    char *text = result != NULL ? json_text(result) : NULL;
    json_decref(result);
    if (text == NULL)
        return fail_memory("the result");
    hooks_result(text);
    mem_free(text);
    return GRAFT_OK;
}

// --calibrate of a run's model: the run may be training, and is not to change the model between its being measured and
// written.  *lock stays -1 where there is no run.
static graft_status calibrate_lock(const char *name, int *lock)
{
    char *in = path_join(name, "model.safetensors");
    const size_t parent = (size_t)(path_name(name) - name);
    char *folder = in != NULL && file_exists(in) ? mem_text(name)
                   : parent > 0                  ? mem_format("%.*s", (int)(parent > 1 ? parent - 1 : parent), name)
                                                 : mem_text(".");
    char *args = in != NULL && folder != NULL ? path_join(folder, "args.json") : NULL;
    graft_status status = args != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK && file_exists(args))
        status = file_lock(folder, lock);
    mem_free(in);
    mem_free(folder);
    mem_free(args);
    return status;
}

// Before anything is measured: the file can keep a temperature, and the model is measured as it will be used.
static graft_status calibrate_check(const graft_options *o, const char *path, const struct model *m)
{
    static const char *const otherwise[] = {"resize", "icc", "heads"};
    for (size_t i = 0; i < COUNT_OF(otherwise); i++)
        if (option_set(o, otherwise[i]))
            return fail(GRAFT_BAD_OPTION,
                        "--calibrate: the temperature stays in the model, --%s is of this call alone, and the one "
                        "would not fit without the other; leave --%s out",
                        otherwise[i], otherwise[i]);
    if (m->trained == NULL || !path_has_suffix(path, ".safetensors"))
        return fail(GRAFT_BAD_OPTION,
                    "--calibrate: '%s' is not a graft model, which could keep a temperature; `graft convert` "
                    "makes one",
                    path);
    if (m->checkpoint)
        return fail(GRAFT_BAD_OPTION,
                    "--calibrate: '%s' is the state that `graft train --resume` goes on from, and stays as it is; name "
                    "the model.safetensors beside it",
                    path);
    return GRAFT_OK;
}

// Fits the temperature on these pictures and puts it, and nothing else, into the model's file.
static graft_status calibrate(const char *path, struct model *m, const struct outcome *r)
{
    const double temperature = temperature_fit(r->probabilities, r->labels, r->done, m->n_classes);
    if (temperature == 0)
        return fail(GRAFT_BAD_FILE,
                    "no temperature can be fitted on %zu pictures: at least %d are needed, and one mistake", r->done,
                    CALIBRATION_LEAST);
    TRY(model_set_temperature(m, temperature));
    TRY(model_retell(path, m->trained));
    log_info("temperature %.3f is now in %s", temperature, path);
    return GRAFT_OK;
}

graft_status run_val(const graft_options *o)
{
    static const char *const parts[] = {"train", "val", "test", "all", NULL};
    long seed, threads;
    int part = -1, lock = -1;
    struct subject s = {0};
    struct dataset d = {0};
    uint32_t *order = NULL;
    struct outcome r = {0};
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "seed", 0, 1L << 62, &seed));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    const char *split = option_text(o, "split"); // a part's name, or a file
    for (int i = 0; parts[i] != NULL; i++)
        part = strcmp(split, parts[i]) == 0 ? i : part;
    const bool file = part < 0 && file_exists(split);
    TRY(option_choice(o, file ? "part" : "split", parts, &part));
    if (o->n_inputs != 1 || option_text(o, "data") == NULL)
        return fail(GRAFT_BAD_OPTION, "a model and its data are needed: graft val MODEL -d DATA");
    exec_set_threads((int)threads);
    if (option_set(o, "calibrate"))
        TRY_GOTO(calibrate_lock(o->inputs[0], &lock));
    TRY_GOTO(subject_open(o, o->inputs[0], 0, &s));
    const char *path = s.file != NULL ? s.file : o->inputs[0];
    if (option_set(o, "calibrate")) {
        TRY_GOTO(subject_calibrates(&s, o->inputs[0], "calibrate"));
        TRY_GOTO(calibrate_check(o, path, &s.model));
    }
    TRY_GOTO(data_open(o, s.model.n_classes, &s.model, &d));
    TRY_GOTO(file ? dataset_split_read(&d, split) : dataset_split(&d, option_text(o, "val"), 0, (uint64_t)seed));
    TRY_GOTO(crop_option(o, &d));
    order = mem_alloc((d.count + 1) * sizeof *order);
    r = (struct outcome){.model = &s.model, .data = &d};
    r.probabilities = mem_alloc((d.count + 1) * (size_t)s.model.n_classes * sizeof(float));
    r.labels = mem_alloc((d.count + 1) * sizeof *r.labels);
    if (order == NULL || r.probabilities == NULL || r.labels == NULL)
        TRY_GOTO(fail_memory("predictions"));
    size_t n = 0;
    for (size_t i = 0; i < d.count; i++)
        if (d.samples[i].label >= 0 && (part == 3 || d.samples[i].part == (enum part)part))
            order[n++] = (uint32_t)i;
    if (n == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s has no %s part; try --split all", option_text(o, "data"), parts[part]));
    TRY_GOTO(trained_on_tell(o->inputs[0], &d, order, n, "the score"));
    TRY_GOTO(predict_all(o, &s, &d, order, n, "val", collect, &r));
    if (r.done == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "none of the %zu pictures can be read", n));
    if (option_set(o, "calibrate"))
        TRY_GOTO(calibrate(path, &s.model, &r));
    r.temperature = model_temperature(&s.model);
    const struct metrics metrics = metrics_of(r.probabilities, r.labels, r.done, s.model.n_classes);
    TRY_GOTO(val_result(&r, &metrics));
done:
    mem_free(order);
    mem_free(r.probabilities);
    mem_free(r.labels);
    subject_close(&s);
    dataset_free(&d);
    file_unlock(lock);
    return status;
}
