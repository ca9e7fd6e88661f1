// infer/svm.c: choosing C, Platt's sigmoids, and the folder that holds it all.
// Source: Platt 1999, with the targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2).

#include "infer/svm.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/described.h"
#include "infer/ensemble.h"
#include "infer/lbfgs.h"
#include "infer/svm_train.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { SVM_VERSION = 1 };
// Of the first gradient: liblinear's own tolerance is enough to compare values of C; the fine one leaves a weight
// within 1e-5.
static const double ROUGH = 1e-4, FINE = 1e-7;
const double svm_strengths[SVM_STRENGTHS] = {1e-4, 1e-3, 1e-2, 1e-1, 1, 10};

void svm_free(struct svm *s)
{
    names_release(s->classes, s->n_classes);
    mem_free(s->layer);
    mem_free(s->model);
    mem_free(s->w);
    mem_free(s->platt);
    *s = (struct svm){0};
}

graft_status svm_train(const float *x, const int *labels, const uint32_t *row, size_t n, int width, int classes,
                       double c, double tolerance, bool warm, double *w)
{
    return liblinear_train(x, labels, row, n, width, classes, c, tolerance, warm, w);
}

void svm_values(const double *w, const float *x, int width, int classes, double *f)
{
    for (int c = 0; c < classes; c++) {
        const double *own = w + (size_t)c * (size_t)(width + 1);
        f[c] = own[width];
        for (int k = 0; k < width; k++)
            f[c] += own[k] * x[k];
    }
}

static double sigmoid(double a, double b, double f)
{
    const double z = a * f + b;
    return z >= 0 ? exp(-z) / (1 + exp(-z)) : 1 / (1 + exp(z));
}

void svm_probabilities(const double *platt, const double *f, int classes, float *p)
{
    double sum = 0;
    if (classes == 2) {
        p[1] = (float)sigmoid(platt[2], platt[3], f[1]);
        p[0] = 1 - p[1];
        return;
    }
    for (int c = 0; c < classes; c++)
        sum += p[c] = (float)sigmoid(platt[2 * c], platt[2 * c + 1], f[c]);
    for (int c = 0; c < classes; c++)
        p[c] = sum == 0 ? 1.0f / (float)classes : (float)(p[c] / sum); // so that what is no number stays none
}

// ---- Platt

struct platt {
    const double *values;
    const int *labels;
    size_t n;
    int classes, own;
    double target[2];
};

static double platt_loss(void *user, const double *ab, double *gradient)
{
    const struct platt *s = user;
    double loss = 0;
    gradient[0] = gradient[1] = 0;
    for (size_t i = 0; i < s->n; i++) {
        const double f = s->values[i * (size_t)s->classes + (size_t)s->own], t = s->target[s->labels[i] == s->own];
        const double z = ab[0] * f + ab[1], p = sigmoid(ab[0], ab[1], f);
        // -t log p - (1 - t) log(1 - p), p = 1 / (1 + e^z)
        loss += (z >= 0 ? t * z + log1p(exp(-z)) : (t - 1) * z + log1p(exp(z)));
        gradient[0] += (t - p) * f;
        gradient[1] += t - p;
    }
    return loss;
}

static graft_status platt_fit(const double *values, const int *labels, size_t n, int classes, int own, double *ab)
{
    double positive = 0;
    for (size_t i = 0; i < n; i++)
        positive += labels[i] == own;
    const double negative = (double)n - positive;
    struct platt s = {values, labels, n, classes, own, {1 / (negative + 2), (positive + 1) / (positive + 2)}};
    ab[0] = 0;
    ab[1] = log((negative + 1) / (positive + 1));
    return lbfgs_minimise(platt_loss, &s, ab, 2, 1e-9 * (double)n, 1000);
}

graft_status svm_out_of_fold(const double *values, const int *labels, const int *fold, size_t n, int folds,
                             int classes, float *p)
{
    const size_t k = (size_t)classes;
    double *others = mem_alloc((n * k + 1) * sizeof *others), *platt = mem_alloc(2 * k * sizeof *platt);
    int *other_labels = mem_alloc((n + 1) * sizeof *other_labels);
    graft_status status = GRAFT_OK;
    if (others == NULL || platt == NULL || other_labels == NULL)
        TRY_GOTO(fail_memory("the support vector machine"));
    for (int f = 0; f < folds; f++) {
        size_t count = 0;
        for (size_t i = 0; i < n; i++) {
            if (fold[i] == f)
                continue;
            memcpy(others + count * k, values + i * k, k * sizeof *others);
            other_labels[count++] = labels[i];
        }
        for (int c = 0; c < classes; c++)
            TRY_GOTO(platt_fit(others, other_labels, count, classes, c, platt + 2 * c));
        for (size_t i = 0; i < n; i++)
            if (fold[i] == f)
                svm_probabilities(platt, values + i * k, classes, p + i * k);
    }
done:
    mem_free(others);
    mem_free(platt);
    mem_free(other_labels);
    return status;
}

// ---- C

struct trial {
    const struct svm *svm;
    const float *x;
    const int *labels, *fold;
    size_t n;
    int folds;
    double c, tolerance;
    bool warm;       // each fold starts from the weights it had at another C, which is most of the way
    double *weights; // by fold
    uint32_t *rows;  // (folds, n)
    double *values;  // (n, classes)
};

static double *weights_of(const struct trial *t, int k)
{
    return t->weights + (size_t)k * (size_t)t->svm->n_classes * (size_t)(t->svm->width + 1);
}

// The values of a fold's rows by the weights of the others; *right: how many of them are largest at the label.
static graft_status fold_values(const struct trial *t, int k, size_t *right)
{
    const struct svm *s = t->svm;
    uint32_t *rows = t->rows + (size_t)k * t->n;
    double *w = weights_of(t, k);
    size_t others = 0;
    for (size_t i = 0; i < t->n; i++)
        if (t->fold[i] != k)
            rows[others++] = (uint32_t)i;
    if (others == t->n)
        return GRAFT_OK;
    TRY(svm_train(t->x, t->labels, rows, others, s->width, s->n_classes, t->c, t->tolerance, t->warm, w));
    for (size_t i = 0; i < t->n; i++) {
        double *f = t->values + i * (size_t)s->n_classes;
        int best = 0;
        if (t->fold[i] != k)
            continue;
        svm_values(w, t->x + i * (size_t)s->width, s->width, s->n_classes, f);
        for (int j = 1; j < s->n_classes; j++)
            best = f[j] > f[best] ? j : best;
        *right += best == t->labels[i];
    }
    return GRAFT_OK;
}

// How many folds at once: each has its rows for itself, 16 bytes a feature in liblinear's form.
static int at_once(const struct trial *t)
{
    const double bytes = 16.0 * (double)t->n * (t->svm->width + 2), room = 0.5 * (double)mem_available();
    const int threads = omp_get_max_threads() < t->folds ? omp_get_max_threads() : t->folds;
    return bytes * threads <= room ? threads : bytes * 2 <= room ? (int)(room / bytes) : 1;
}

// The folds side by side; the first failure's message is brought to the caller's thread.
static graft_status values_out_of_fold(const struct trial *t, size_t *right)
{
    graft_status status = GRAFT_OK;
    char *message = NULL;
    size_t sum = 0;
    bool stopped = false;
#pragma omp parallel for schedule(dynamic) reduction(+ : sum) num_threads(at_once(t))
    for (int k = 0; k < t->folds; k++) {
        bool leave;
        size_t own = 0;
#pragma omp critical(svm_folds)
        {
            stopped |= omp_get_thread_num() == 0 && hooks_cancelled();
            leave = stopped || status != GRAFT_OK;
        }
        const graft_status one = leave ? GRAFT_OK : fold_values(t, k, &own);
#pragma omp critical(svm_folds)
        if (one != GRAFT_OK && status == GRAFT_OK) {
            status = one;
            message = mem_text(graft_message());
        }
        sum += own;
    }
    *right = sum;
    if (status != GRAFT_OK)
        fail(status, "%s", message != NULL ? message : "a fold failed");
    else if (stopped || hooks_cancelled())
        status = fail(GRAFT_CANCELLED, "stopped");
    mem_free(message);
    return status;
}

// On all rows, from the mean of the folds' weights.
static graft_status all_fit(struct svm *s, const struct trial *t)
{
    const size_t size = (size_t)s->n_classes * (size_t)(s->width + 1);
    for (size_t i = 0; i < size; i++) {
        s->w[i] = 0;
        for (int k = 0; k < t->folds; k++)
            s->w[i] += weights_of(t, k)[i] / t->folds;
    }
    for (size_t i = 0; i < t->n; i++)
        t->rows[i] = (uint32_t)i;
    return svm_train(t->x, t->labels, t->rows, t->n, s->width, s->n_classes, s->c, FINE, true, s->w);
}

graft_status svm_fit(struct svm *s, const float *x, const int *labels, const int *fold, size_t n, int folds, double c,
                     double *accuracy, double *values)
{
    const size_t size = (size_t)s->n_classes * (size_t)(s->width + 1);
    struct trial t = {s, x, labels, fold, n, folds, .tolerance = ROUGH, .values = values};
    double best = -1;
    size_t right;
    graft_status status = GRAFT_OK;
    t.rows = mem_alloc(((size_t)folds * n + 1) * sizeof *t.rows);
    t.weights = mem_zero((size_t)folds * size, sizeof *t.weights);
    s->w = mem_alloc(size * sizeof *s->w);
    s->platt = mem_alloc(2 * (size_t)s->n_classes * sizeof *s->platt);
    if (t.rows == NULL || t.weights == NULL || s->w == NULL || s->platt == NULL)
        TRY_GOTO(fail_memory("the support vector machine"));
    s->c = c;
    for (int i = 0; i < SVM_STRENGTHS; i++) {
        accuracy[i] = -1;
        if (c > 0) // it is given
            continue;
        t.c = svm_strengths[i];
        TRY_GOTO(values_out_of_fold(&t, &right));
        t.warm = true;
        accuracy[i] = (double)right / (double)n;
        hooks_progress(&(graft_progress){.stage = "svm", .step = i + 1, .steps = SVM_STRENGTHS});
        if (accuracy[i] > best) {
            best = accuracy[i];
            s->c = svm_strengths[i];
        }
    }
    t.c = s->c;
    t.tolerance = FINE;
    TRY_GOTO(values_out_of_fold(&t, &right));
    for (int k = 0; k < s->n_classes; k++)
        TRY_GOTO(platt_fit(values, labels, n, s->n_classes, k, s->platt + 2 * k));
    TRY_GOTO(all_fit(s, &t));
done:
    mem_free(t.rows);
    mem_free(t.weights);
    return status;
}

// ---- the folder

bool svm_is(const char *path) { return described_is(path, SVM_FILE); }

static graft_status numbers_read(const json_t *rows, int n, int width, const char *what, double **out)
{
    *out = mem_alloc((size_t)n * (size_t)width * sizeof **out);
    if (*out == NULL)
        return fail_memory("the support vector machine");
    if (json_array_size(rows) != (size_t)n)
        return fail(GRAFT_BAD_FILE, "\"%s\" needs %d rows, not %zu", what, n, json_array_size(rows));
    for (int r = 0; r < n; r++) {
        const json_t *row = json_array_get(rows, (size_t)r);
        if (json_array_size(row) != (size_t)width)
            return fail(GRAFT_BAD_FILE, "a row of \"%s\" needs %d numbers, not %zu", what, width, json_array_size(row));
        for (int i = 0; i < width; i++) {
            if (!json_is_number(json_array_get(row, (size_t)i)))
                return fail(GRAFT_BAD_FILE, "\"%s\" holds something that is no number", what);
            (*out)[(size_t)r * (size_t)width + (size_t)i] = json_number_value(json_array_get(row, (size_t)i));
        }
    }
    return GRAFT_OK;
}

static graft_status object_read(const json_t *o, const char *folder, void *out)
{
    struct svm *const s = out;
    const json_int_t version = json_integer_value(json_object_get(o, "graft.svm")),
                     width = json_integer_value(json_object_get(o, "width"));
    const char *model = json_string_value(json_object_get(o, "model")),
               *layer = json_string_value(json_object_get(o, "layer"));
    const json_t *classes = json_object_get(o, "classes");
    if (version < 1 || version > SVM_VERSION)
        return fail(GRAFT_BAD_FILE, "support vector machine format %lld; this graft reads up to %d", (long long)version,
                    SVM_VERSION);
    if (model == NULL || strchr(model, '/') != NULL || model[0] == '.' || width < 1 || width > 1 << 20 ||
        json_array_size(classes) < 2)
        return fail(GRAFT_BAD_FILE, "classes, a width and the name of a model in the folder are expected");
    s->model = path_join(folder, model);
    s->layer = layer != NULL ? mem_text(layer) : NULL;
    s->width = (int)width;
    s->c = json_number_value(json_object_get(o, "c"));
    s->classes = mem_zero(json_array_size(classes), sizeof *s->classes);
    if (s->model == NULL || (layer != NULL && s->layer == NULL) || s->classes == NULL)
        return fail_memory("the support vector machine");
    for (size_t i = 0; i < json_array_size(classes); i++) {
        const char *name = json_string_value(json_array_get(classes, i));
        if (name == NULL || (s->classes[i] = mem_text(name)) == NULL)
            return fail(GRAFT_BAD_FILE, "classes are names");
        s->n_classes++;
    }
    TRY(numbers_read(json_object_get(o, "w"), s->n_classes, s->width + 1, "w", &s->w));
    return numbers_read(json_object_get(o, "platt"), s->n_classes, 2, "platt", &s->platt);
}

graft_status svm_read(const char *path, struct svm *out)
{
    *out = (struct svm){0};
    const graft_status status = described_read(path, SVM_FILE, object_read, out);
    if (status != GRAFT_OK)
        svm_free(out);
    return status;
}

static json_t *numbers_json(const double *values, int n, int width)
{
    json_t *rows = json_array();
    for (int r = 0; r < n; r++) {
        json_t *row = json_array();
        for (int i = 0; i < width; i++)
            json_array_append_new(row, json_real(values[(size_t)r * (size_t)width + (size_t)i]));
        json_array_append_new(rows, row);
    }
    return rows;
}

graft_status svm_write(const struct svm *s, const char *folder)
{
    char *path = path_join(folder, SVM_FILE);
    json_t *classes = json_array();
    json_t *o =
        json_pack("{s:i, s:o, s:s?, s:s, s:i, s:f, s:o, s:o}", "graft.svm", SVM_VERSION, "classes", classes, "layer",
                  s->layer, "model", "model.safetensors", "width", s->width, "c", s->c, "w",
                  numbers_json(s->w, s->n_classes, s->width + 1), "platt", numbers_json(s->platt, s->n_classes, 2));
    graft_status status = GRAFT_OK;
    if (path == NULL || o == NULL)
        TRY_GOTO(fail_memory("the support vector machine"));
    for (int c = 0; c < s->n_classes; c++)
        json_array_append_new(classes, json_string(s->classes[c]));
    TRY_GOTO(file_make_folder(folder));
    TRY_GOTO(json_write_file(path, o));
done:
    json_decref(o);
    mem_free(path);
    return status;
}
