// infer/layer_features.c: a plan that keeps one value of the network, over many pictures.

#include "infer/layer_features.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/layer_names.h"
#include "infer/predict.h"
#include "base/text.h"
#include <string.h>

void layer_features_fini(struct layer_features *f)
{
    for (size_t i = 0; f->error != NULL && i < f->n; i++)
        mem_free(f->error[i]);
    mem_free(f->error);
    mem_free(f->x);
    *f = (struct layer_features){0};
}

// ---- which value

// The only node that takes `value`; NULL: several do, or none.
static const struct node *taker(const struct graph *g, int value)
{
    const struct node *found = NULL;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == value) {
                if (found != NULL)
                    return NULL;
                found = &g->nodes[i];
            }
    return found;
}

static bool follows(const struct node *n) // belongs to the layer before it
{
    return n != NULL && (n->op == OP_BN || n->op == OP_SCALE || n->op == OP_RELU || n->op == OP_RELU6);
}

// What enters the classifier; in evaluation dropout changes nothing.
static int before_head(const struct graph *g)
{
    int value = g->nodes[g->values[g->output].producer].in[0];
    while (value > 0 && g->values[value].producer >= 0 && g->nodes[g->values[value].producer].op == OP_DROPOUT)
        value = g->nodes[g->values[value].producer].in[0];
    return value;
}

static graft_status value_of(const struct model *m, const char *layer, int *out)
{
    const struct graph *g = &m->graph;
    if (layer == NULL) {
        *out = before_head(g);
        return GRAFT_OK;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        if ((node->op != OP_CONV && node->op != OP_DENSE) || node->row < 0 ||
            strcmp(graph_row_name(g, node->row), layer) != 0)
            continue;
        int value = node->out;
        for (const struct node *next = taker(g, value); follows(next); next = taker(g, value))
            value = next->out;
        if (value == g->output)
            return fail(GRAFT_BAD_OPTION,
                        "--layer: '%s' is the classifier; `graft predict --logits` writes what it says", layer);
        if (!node->for_prediction)
            return fail(GRAFT_BAD_OPTION, "--layer: '%s' leads to no prediction, so it does not run", layer);
        *out = value;
        return GRAFT_OK;
    }
    return fail_layer(&m->graph, m->network->name, "layer", layer, strlen(layer));
}

// ---- over pictures

struct extraction {
    struct layer_features *f;
    const struct dataset *data;
    struct plan *plan;
    float *map, *padded, *targets;
    size_t area, item;
    int batch;
};

static graft_status batch_take(struct extraction *e, const struct batch *b)
{
    const size_t width = (size_t)e->f->width;
    const float *input = batch_filled(b, e->batch, e->item, e->padded);
    TRY(plan_run(e->plan, &(struct run){.input = input, .targets = e->targets}, NULL));
    plan_kept(e->plan, false, e->map);
    for (int i = 0; i < b->n; i++) {
        float *row = e->f->x + (size_t)b->index[i] * width;
        for (size_t c = 0; c < width; c++) {
            const float *at = e->map + ((size_t)i * width + c) * e->area;
            double sum = 0;
            for (size_t k = 0; k < e->area; k++)
                sum += at[k];
            row[c] = (float)(sum / (double)e->area);
        }
        if (!floats_finite(row, width)) // no picture holds such values, so it is the model
            return fail(GRAFT_FAILED,
                        "what the model says of '%s' is no numbers: its training has diverged, or its file is damaged; "
                        "use an earlier model, or train again at a smaller --lr",
                        e->data->samples[b->index[i]].path);
    }
    return GRAFT_OK;
}

static graft_status all_take(struct extraction *e, struct queue *queue, size_t n)
{
    size_t seen = 0;
    for (;;) {
        struct batch b;
        bool end;
        TRY(queue_next(queue, &b, &end));
        if (end)
            return GRAFT_OK;
        for (int i = 0; i < b.n_failed; i++) {
            e->f->error[b.failed[i].index] = mem_text(b.failed[i].message);
            if (e->f->error[b.failed[i].index] == NULL)
                return fail_memory("a message");
            log_warning("left out: %s", b.failed[i].message);
            e->f->bad++;
        }
        if (b.n > 0)
            TRY(batch_take(e, &b));
        seen += (size_t)(b.n + b.n_failed);
        hooks_progress(&(graft_progress){.stage = "features", .step = (long)seen, .steps = (long)n});
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "stopped after %zu of %zu pictures", seen, n);
    }
}

graft_status layer_features_make(struct model *m, const struct dataset *d, const uint32_t *order, size_t n,
                           const struct feature_request *how, struct layer_features *out)
{
    struct extraction e = {.f = out, .data = d, .batch = (size_t)how->batch < n ? how->batch : n > 0 ? (int)n : 1};
    struct arena *arena = NULL;
    struct queue *queue = NULL;
    int keep = 0;
    graft_status status = GRAFT_OK;
    *out = (struct layer_features){.n = d->count};
    TRY(value_of(m, how->layer, &keep));
    const struct value *v = &m->graph.values[keep], *in = &m->graph.values[0];
    out->width = v->c;
    e.area = v->flat ? 1 : (size_t)v->h * v->w;
    e.item = (size_t)in->c * in->h * in->w;
    out->x = mem_zero(d->count * (size_t)out->width + 1, sizeof *out->x);
    out->error = mem_zero(d->count + 1, sizeof *out->error);
    e.map = mem_alloc((size_t)e.batch * (size_t)v->c * e.area * sizeof *e.map);
    e.padded = mem_aligned((size_t)e.batch * e.item * sizeof *e.padded);
    e.targets = mem_zero((size_t)e.batch * (size_t)m->n_classes, sizeof *e.targets);
    if (out->x == NULL || out->error == NULL || e.map == NULL || e.padded == NULL || e.targets == NULL)
        TRY_GOTO(fail_memory("features"));
    const struct plan_options o = {
        .batch = e.batch, .mode = PLAN_EXPLAIN, .bn = BN_STATS, .keep = keep, .exact = how->exact};
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(plan_build(&m->graph, &m->params, arena, &o, &e.plan));
    TRY_GOTO(arena_reserve(arena));
    TRY_GOTO(queue_new(d, &m->input, NULL, order, n, e.batch, how->workers, &queue));
    TRY_GOTO(all_take(&e, queue, n));
done:
    queue_free(queue);
    plan_free(e.plan);
    arena_free(arena);
    mem_free(e.map);
    mem_free(e.padded);
    mem_free(e.targets);
    if (status != GRAFT_OK)
        layer_features_fini(out);
    return status;
}

// ---- files

static void row_put(struct text *t, const struct layer_features *f, const struct dataset *d, uint32_t index,
                    bool libsvm)
{
    const struct sample *s = &d->samples[index];
    const float *x = f->x + (size_t)index * (size_t)f->width;
    if (libsvm)
        text_put(t, "%d", s->label);
    else {
        text_put_field(t, s->path);
        text_put(t, ",");
        text_put_field(t, s->label >= 0 ? d->classes[s->label] : "");
    }
    for (int c = 0; c < f->width; c++)
        if (!libsvm)
            text_put(t, ",%.9g", (double)x[c]);
        else if (x[c] != 0)
            text_put(t, " %d:%.9g", c + 1, (double)x[c]);
    text_put(t, "\n");
}

static graft_status text_flush(struct text *t, struct file_writer *w)
{
    TRY(text_status(t));
    const graft_status status = file_writer_put(w, t->data, t->size);
    t->size = 0;
    return status;
}

// Beside a .npy: whose rows they are.
static graft_status rows_write(const struct layer_features *f, const struct dataset *d, const uint32_t *order, size_t n,
                               const char *path)
{
    struct text t = {0};
    char *file = mem_format("%s.csv", path);
    text_put(&t, d->n_groups > 0 ? "path,label,group\n" : "path,label\n");
    for (size_t i = 0; i < n; i++) {
        const struct sample *s = &d->samples[order[i]];
        if (f->error[order[i]] != NULL)
            continue;
        text_put_field(&t, s->path);
        text_put(&t, ",");
        text_put_field(&t, s->label >= 0 ? d->classes[s->label] : "");
        if (d->n_groups > 0) {
            text_put(&t, ",");
            text_put_field(&t, s->group > 0 ? d->groups[s->group - 1] : "");
        }
        text_put(&t, "\n");
    }
    const graft_status status = text_write(&t, file);
    mem_free(file);
    return status;
}

graft_status layer_features_write(const struct layer_features *f, const struct dataset *d, const uint32_t *order,
                                  size_t n, const char *path)
{
    const bool npy = path_has_suffix(path, ".npy"), csv = path_has_suffix(path, ".csv");
    const bool libsvm = path_has_suffix(path, ".libsvm") || path_has_suffix(path, ".svm");
    struct file_writer w;
    struct text t = {0};
    graft_status status = GRAFT_OK;
    if (!npy && !csv && !libsvm)
        return fail(GRAFT_BAD_OPTION, "-o %s: features are written as .npy, .csv or .libsvm", path);
    TRY(file_writer_open(path, &w));
    if (npy)
        TRY_GOTO(npy_head_write(&w, n - f->bad, f->width));
    if (csv) {
        text_put(&t, "path,label");
        for (int c = 0; c < f->width; c++)
            text_put(&t, ",f%d", c);
        text_put(&t, "\n");
    }
    for (size_t i = 0; i < n; i++) {
        if (f->error[order[i]] != NULL)
            continue;
        if (npy)
            text_put_bytes(&t, f->x + (size_t)order[i] * (size_t)f->width, (size_t)f->width * sizeof *f->x);
        else
            row_put(&t, f, d, order[i], libsvm);
        TRY_GOTO(text_flush(&t, &w));
    }
    if (n == f->bad && csv)
        TRY_GOTO(text_flush(&t, &w));
    if (npy)
        TRY_GOTO(rows_write(f, d, order, n, path));
    TRY_GOTO(file_writer_commit(&w));
    w = (struct file_writer){0};
done:
    text_fini(&t);
    if (status != GRAFT_OK)
        file_writer_abandon(&w);
    return status;
}
