// infer/svm_liblinear.c: training through liblinear, the only file that knows it.  Features that are 0 are left out, as
// it wants them; its labels come in the order of their first pictures.

#include "base/memory.h"
#include "infer/svm_train.h"
#include <string.h>

#ifdef GRAFT_LIBLINEAR

#include <linear.h>

static void quiet(const char *text) { (void)text; }

struct rows {
    struct feature_node *nodes, **row;
    double *label;
};

static size_t nodes_needed(const float *x, const uint32_t *row, size_t n, int width)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < width; k++)
            count += x[(size_t)row[i] * (size_t)width + (size_t)k] != 0;
    return count + 2 * n; // the intercept and the end of each
}

static void rows_fill(struct rows *r, const float *x, const int *labels, const uint32_t *row, size_t n, int width)
{
    struct feature_node *at = r->nodes;
    for (size_t i = 0; i < n; i++) {
        const float *from = x + (size_t)row[i] * (size_t)width;
        r->row[i] = at;
        r->label[i] = labels[row[i]];
        for (int k = 0; k < width; k++)
            if (from[k] != 0)
                *at++ = (struct feature_node){k + 1, from[k]};
        *at++ = (struct feature_node){width + 1, 1};
        *at++ = (struct feature_node){-1, 0};
    }
}

// liblinear's weights are by feature, then class; of two classes there is one vector, for the class seen first.
static void weights_take(const struct model *m, int width, int classes, double *w)
{
    const int vectors = m->nr_class == 2 ? 1 : m->nr_class;
    for (int c = 0; c < classes; c++) {
        memset(w + (size_t)c * (size_t)(width + 1), 0, (size_t)(width + 1) * sizeof *w);
        w[(size_t)c * (size_t)(width + 1) + (size_t)width] = -1; // a class without pictures: not it
    }
    for (int j = 0; j < m->nr_class; j++)
        for (int k = 0; k <= width; k++) {
            const double value = m->w[k * vectors + (vectors == 1 ? 0 : j)];
            w[(size_t)m->label[j] * (size_t)(width + 1) + (size_t)k] = vectors == 1 && j == 1 ? -value : value;
        }
}

// The other way round: liblinear numbers classes by their first rows.
static graft_status start_make(const double *w, const int *labels, const uint32_t *row, size_t n, int width,
                               int classes, double **out)
{
    int *order = mem_alloc((size_t)classes * sizeof *order), count = 0;
    double *start = mem_alloc((size_t)classes * (size_t)(width + 1) * sizeof *start);
    const bool fine = order != NULL && start != NULL;
    for (size_t i = 0; i < n && fine; i++) {
        int j = 0;
        while (j < count && order[j] != labels[row[i]])
            j++;
        if (j == count)
            order[count++] = labels[row[i]];
    }
    const int vectors = count == 2 ? 1 : count;
    for (int j = 0; j < vectors && fine; j++)
        for (int k = 0; k <= width; k++)
            start[k * vectors + j] = w[(size_t)order[j] * (size_t)(width + 1) + (size_t)k];
    mem_free(order);
    *out = start;
    return fine ? GRAFT_OK : fail_memory("the support vector machine");
}

graft_status liblinear_train(const float *x, const int *labels, const uint32_t *row, size_t n, int width, int classes,
                             double c, double tolerance, bool warm, double *w)
{
    const size_t nodes = nodes_needed(x, row, n, width), bytes = nodes * sizeof(struct feature_node);
    struct rows r = {mem_alloc(bytes), mem_alloc(n * sizeof *r.row), mem_alloc(n * sizeof *r.label)};
    double *start = NULL;
    graft_status status = GRAFT_OK;
    bool several = false;
    for (size_t i = 1; i < n; i++)
        several |= labels[row[i]] != labels[row[0]];
    if (!several)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "a support vector machine needs pictures of two classes"));
    if (r.nodes == NULL || r.row == NULL || r.label == NULL || bytes > mem_available())
        TRY_GOTO(fail(GRAFT_NO_RESOURCE,
                      "%zu rows of %d features need %.0f MB for liblinear, and %.0f MB are available", n, width,
                      (double)bytes / 1e6, (double)mem_available() / 1e6));
    rows_fill(&r, x, labels, row, n, width);
    if (warm)
        TRY_GOTO(start_make(w, labels, row, n, width, classes, &start));
    const struct problem problem = {(int)n, width + 1, r.label, r.row, 1};
    const struct parameter how = {.solver_type = L2R_L2LOSS_SVC, .eps = tolerance, .C = c, .init_sol = start};
    set_print_string_function(quiet);
    struct model *m = train(&problem, &how);
    weights_take(m, width, classes, w);
    free_and_destroy_model(&m);
done:
    mem_free(r.nodes);
    mem_free(r.row);
    mem_free(r.label);
    mem_free(start);
    return status;
}

#else

graft_status liblinear_train(const float *x, const int *labels, const uint32_t *row, size_t n, int width, int classes,
                             double c, double tolerance, bool warm, double *w)
{
    (void)x, (void)labels, (void)row, (void)n, (void)width, (void)classes, (void)c, (void)tolerance, (void)warm;
    (void)w;
    return fail(GRAFT_FAILED,
                "this graft was built without liblinear (Debian: liblinear-dev), so it trains no support vector "
                "machine; `graft features -o F.libsvm` writes what one needs");
}

#endif
