// api/run_knn.c: `graft knn`: each picture's prediction averaged with those of its nearest pictures, which in a
// contest's unlabelled set are often the frames before and after it.

#include "api/run.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "infer/blend.h"
#include "infer/knn.h"
#include "infer/scores.h"
#include "infer/svm.h"
#include "infer/table.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct neighbours {
    size_t n; // readable pictures
    int k, width, classes;
    uint32_t *sample, *index; // of a row; (n, k)
    float *x, *distance, *p, *out; // (n, width), (n, k), (n, classes) twice
    char **class_names;
};

static void neighbours_free(struct neighbours *b)
{
    mem_free(b->sample);
    mem_free(b->index);
    mem_free(b->x);
    mem_free(b->distance);
    mem_free(b->p);
    mem_free(b->out);
}

static graft_status rows_gather(const struct layer_features *f, struct neighbours *b)
{
    b->sample = mem_alloc((f->n + 1) * sizeof *b->sample);
    b->x = mem_alloc((f->n * (size_t)f->width + 1) * sizeof *b->x);
    if (b->sample == NULL || b->x == NULL)
        return fail_memory("features");
    b->width = f->width;
    for (size_t i = 0; i < f->n; i++)
        if (f->error[i] == NULL) {
            memcpy(b->x + b->n * (size_t)f->width, f->x + i * (size_t)f->width, (size_t)f->width * sizeof *b->x);
            b->sample[b->n++] = (uint32_t)i;
        }
    if (b->n <= (size_t)b->k)
        return fail(GRAFT_BAD_FILE, "%zu pictures can be read, too few for %d neighbours each; say -k %zu", b->n, b->k,
                    b->n > 1 ? b->n - 1 : 1);
    b->index = mem_alloc(b->n * (size_t)b->k * sizeof *b->index);
    b->distance = mem_alloc(b->n * (size_t)b->k * sizeof *b->distance);
    return b->index != NULL && b->distance != NULL ? GRAFT_OK : fail_memory("the neighbours");
}

static graft_status predictions_room(struct neighbours *b, int classes)
{
    b->classes = classes;
    b->p = mem_alloc(b->n * (size_t)classes * sizeof *b->p);
    b->out = mem_alloc(b->n * (size_t)classes * sizeof *b->out);
    return b->p != NULL && b->out != NULL ? GRAFT_OK : fail_memory("predictions");
}

static graft_status predictions_of_table(const struct table *t, const struct dataset *d, struct neighbours *b)
{
    TRY(predictions_room(b, t->n_classes));
    b->class_names = t->classes;
    for (size_t i = 0; i < b->n; i++) {
        const char *path = d->samples[b->sample[i]].path;
        const int row = table_find(t, path);
        if (row < 0)
            return fail(GRAFT_BAD_FILE, "%s has no prediction for '%s'", t->file, path);
        memcpy(b->p + i * (size_t)b->classes, t->p + (size_t)row * (size_t)b->classes,
               (size_t)b->classes * sizeof *b->p);
    }
    return GRAFT_OK;
}

static graft_status predictions_of_model(struct model *m, const struct dataset *d, const uint32_t *order,
                                         const struct feature_request *how, struct neighbours *b)
{
    struct scores s;
    const struct scoring scoring = {how->batch, how->workers, how->exact, NULL, "predict"};
    TRY(predictions_room(b, m->n_classes));
    b->class_names = m->classes;
    TRY(scores_make(m, d, order, d->count, &scoring, &s));
    for (size_t i = 0; i < b->n; i++)
        memcpy(b->p + i * (size_t)b->classes, s.p + (size_t)b->sample[i] * (size_t)b->classes,
               (size_t)b->classes * sizeof *b->p);
    scores_fini(&s);
    return GRAFT_OK;
}

// Over a picture and its neighbours.
static graft_status average(struct neighbours *b, enum mean rule, bool even)
{
    const size_t k = (size_t)b->k;
    struct blend mean;
    double scale = 0;
    TRY(blend_init(&mean, rule, b->n, b->classes));
    for (size_t i = 0; i < b->n; i++)
        scale += b->distance[i * k + k - 1] / (double)b->n;
    for (size_t i = 0; i < b->n; i++) {
        double weights = 1;
        blend_add(&mean, i, b->p + i * (size_t)b->classes, 1);
        for (size_t j = 0; j < k; j++) {
            const double d = b->distance[i * k + j], w = even || scale == 0 ? 1 : exp(-d * d / (2 * scale * scale));
            blend_add(&mean, i, b->p + (size_t)b->index[i * k + j] * (size_t)b->classes, w);
            weights += w;
        }
        blend_end(&mean, i, weights, b->out + i * (size_t)b->classes);
    }
    blend_fini(&mean);
    return GRAFT_OK;
}

static graft_status predictions_write(const struct neighbours *b, const struct dataset *d, const char *path)
{
    struct text t = {0};
    table_put_head(&t, false, false, b->class_names, b->classes);
    text_put(&t, "\n");
    for (size_t i = 0; i < b->n; i++) {
        table_put_row(&t, d->samples[b->sample[i]].path, NULL, NO_FOLD, b->out + i * (size_t)b->classes, b->classes);
        text_put(&t, "\n");
    }
    return text_write(&t, path);
}

static graft_status list_write(const struct neighbours *b, const struct dataset *d, const char *path)
{
    struct text t = {0};
    text_put(&t, "path,neighbour,distance\n");
    for (size_t i = 0; i < b->n * (size_t)b->k; i++) {
        text_put_field(&t, d->samples[b->sample[i / (size_t)b->k]].path);
        text_put(&t, ",");
        text_put_field(&t, d->samples[b->sample[b->index[i]]].path);
        text_put(&t, ",%.9g\n", (double)b->distance[i]);
    }
    return text_write(&t, path);
}

static int by_size(const void *left, const void *right)
{
    const float a = *(const float *)left, b = *(const float *)right;
    return a < b ? -1 : a > b;
}

static double median_of(const struct neighbours *b, size_t column)
{
    float *column_of = mem_alloc(b->n * sizeof *column_of);
    for (size_t i = 0; column_of != NULL && i < b->n; i++)
        column_of[i] = b->distance[i * (size_t)b->k + column];
    if (column_of != NULL)
        qsort(column_of, b->n, sizeof *column_of, by_size);
    const double median = column_of != NULL ? column_of[b->n / 2] : NAN;
    mem_free(column_of);
    return median;
}

graft_status run_knn(const graft_options *o)
{
    static const char *const metrics[] = {"euclidean", "cosine", NULL}, *const rules[] = {"even", "distance", NULL};
    struct model m = {0};
    struct dataset d = {0};
    struct feature_request how;
    struct layer_features f = {0};
    struct neighbours b = {0};
    struct table table = {0};
    uint32_t *order = NULL;
    size_t n;
    long imgsz, threads, k;
    int metric, weights, mean;
    const char *csv = option_text(o, "csv"), *list = option_text(o, "neighbours"),
               *predictions = option_text(o, "predictions");
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_long(o, "k", 1, 1000, &k));
    TRY(option_choice(o, "metric", metrics, &metric));
    TRY(option_choice(o, "weights", rules, &weights));
    TRY(option_choice(o, "mean", mean_names, &mean));
    TRY(features_option(o, &how));
    if (o->n_inputs < 2 || (csv == NULL && list == NULL))
        return fail(GRAFT_BAD_OPTION,
                    "a model, pictures and a file are needed: graft knn MODEL PICTURES... --csv FILE");
    if (csv != NULL && predictions == NULL && svm_is(o->inputs[0]))
        return fail(GRAFT_BAD_OPTION,
                    "'%s' is a support vector machine, and the network below it predicts something else: say what is "
                    "to be averaged, `graft predict %s PICTURES --csv FILE` and --predictions FILE",
                    o->inputs[0], o->inputs[0]);
    TRY(output_check(o, "csv", NULL));
    TRY(output_check(o, "neighbours", NULL));
    exec_set_threads((int)threads);
    b.k = (int)k;
    if (predictions != NULL)
        TRY_GOTO(table_read(predictions, &table));
    TRY_GOTO(inputs_open((const char *const *)o->inputs + 1, o->n_inputs - 1, &d));
    TRY_GOTO(model_open_ready(o, o->inputs[0], imgsz, &m));
    TRY_GOTO(part_order(&d, "all", true, &order, &n));
    TRY_GOTO(layer_features_make(&m, &d, order, n, &how, &f));
    TRY_GOTO(rows_gather(&f, &b));
    TRY_GOTO(knn_find(b.x, b.n, b.width, b.k, metric, b.index, b.distance));
    if (list != NULL)
        TRY_GOTO(list_write(&b, &d, list));
    if (csv != NULL) {
        TRY_GOTO(predictions != NULL ? predictions_of_table(&table, &d, &b)
                                     : predictions_of_model(&m, &d, order, &how, &b));
        TRY_GOTO(average(&b, (enum mean)mean, weights == 0));
        TRY_GOTO(predictions_write(&b, &d, csv));
    }
    result_take(json_pack("{s:I, s:i, s:I, s:f, s:f}", "n", (json_int_t)b.n, "k", b.k, "skipped", (json_int_t)f.bad,
                          "first", median_of(&b, 0), "last", median_of(&b, (size_t)b.k - 1)));
    if (f.bad > 0)
        status = fail(GRAFT_BAD_FILE, "%zu of %zu inputs could not be read (their reasons are above)", f.bad, n);
done:
    neighbours_free(&b);
    layer_features_fini(&f);
    table_free(&table);
    mem_free(order);
    dataset_free(&d);
    model_close(&m);
    return status;
}
