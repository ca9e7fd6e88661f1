// train/feature_cache.c: see train/feature_cache.h.
// The key of a file says all that features depend on but the picture: the frozen weights, the network's frozen part,
// how pictures are prepared, the batch, and what computes (kernels, library, threads), since bits depend on it.  The
// key of a row is the picture: where it lies, its state, and, of an augmented copy, how it was changed. Nothing is kept
// where pictures differ from epoch to epoch.  A run in bf16 keeps bf16, and trains on that from the first epoch on.

#include "train/feature_cache.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/predict.h"
#include "train/trainer.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FEATURES_VERSION = 3 }; // of the file and the arithmetic: another one makes old files void
static const uint64_t MOST = (uint64_t)20 << 30,
                      SPARE = 2; // bytes of all files; the part of the free disk that is ours

static void put_text(struct hash *h, const char *text) { hash_put(h, text, strlen(text) + 1); }
static void put_number(struct hash *h, double x) { hash_put(h, &x, sizeof x); }

static void put_input(struct hash *h, const struct input_spec *s)
{
    const int numbers[] = {s->size, s->resize, (int)s->rule, (int)s->filter, s->bgr, s->icc};
    hash_put(h, numbers, sizeof numbers);
    hash_put(h, s->mean, sizeof s->mean);
    hash_put(h, s->scale, sizeof s->scale);
}

static graft_status store_key(const struct trainer *t, uint64_t *out)
{
    const struct graph *g = &t->model->graph;
    const struct params *p = &t->model->params;
    const char *plan = getenv("GRAFT_PLAN");
    int ends[MAX_ENDS];
    struct hash h;
    bool *fixed = mem_zero((size_t)g->n_values, sizeof *fixed);
    if (fixed == NULL)
        return fail_memory("the features");
    hash_init(&h);
    put_number(&h, FEATURES_VERSION);
    put_text(&h, GRAFT_VERSION);
    put_text(&h, t->model->network->name);
    put_text(&h, exec_isa());
    put_text(&h, exec_library());
    put_text(&h, plan != NULL ? plan : "");
    put_number(&h, exec_threads());
    put_number(&h, t->options->exact);
    put_number(&h, t->options->bf16);
    put_number(&h, plan_batch(t->prefix));
    put_input(&h, &t->model->input);
    const int n = graph_prefix(g, fixed, ends);
    hash_put(&h, ends, (size_t)n * sizeof *ends);
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        const struct value *v = &g->values[node->out];
        if (!fixed[node->out])
            continue;
        const int shape[] = {(int)node->op, node->in[0], v->c, v->h, v->w};
        hash_put(&h, shape, sizeof shape);
        for (int k = 0; k < node->n_params; k++) {
            const struct param_entry *e = &p->entries[node->param[k]];
            put_text(&h, e->name);
            hash_put(&h, p->block + e->offset, e->size * sizeof(float));
        }
    }
    mem_free(fixed);
    *out = hash_end(&h);
    return GRAFT_OK;
}

// The same in training and in evaluation, so that folds share what they keep: where features may be kept, pictures are
// decoded whole in both.  `how` NULL: as in evaluation.
static uint64_t picture_key(const struct trainer *t, uint32_t index, const struct augmentation *how)
{
    const struct sample *s = &t->data->samples[index];
    const uint64_t stamp = sample_stamp(t->data, index), number = sample_number(t->data, index);
    struct hash h;
    char text[512];
    hash_init(&h);
    if (s->path[0] != '/') {
        char *folder = getcwd(NULL, 0);
        put_text(&h, folder != NULL ? folder : "");
        free(folder);
    }
    put_text(&h, s->path);
    hash_put(&h, &stamp, sizeof stamp);
    if (s->box != NULL)
        hash_put(&h, s->box, 4 * sizeof *s->box);
    if (how != NULL && s->copy > 0) { // what is drawn for it
        augment_text(how->augment, text, sizeof text);
        put_text(&h, text);
        hash_put(&h, &how->seed, sizeof how->seed);
        hash_put(&h, &number, sizeof number);
    }
    const uint64_t key = hash_end(&h);
    return key != 0 ? key : 1;
}

static uint64_t key_of(struct trainer *t, uint32_t index, const struct augmentation *how)
{
    if (t->features.keys[index] == 0)
        t->features.keys[index] = picture_key(t, index, how);
    return t->features.keys[index];
}

static size_t row_floats(const struct trainer *t)
{
    size_t floats = 0;
    for (int k = 0; k < plan_ends(t->prefix); k++)
        floats += plan_end_floats(t->prefix, k);
    return floats;
}

// Where the features of a batch's picture lie.
static int parts_of(const struct trainer *t, int place, struct feature_part parts[MAX_ENDS])
{
    const int n = plan_ends(t->prefix);
    for (int k = 0; k < n; k++) {
        const size_t floats = plan_end_floats(t->prefix, k);
        parts[k] = (struct feature_part){plan_end(t->prefix, k) + (size_t)place * floats, floats};
    }
    return n;
}

// ---- deciding

static const char *why_not(const struct trainer *t)
{
    const struct augment *a = &t->options->augment;
    if (a->on[AUGMENT_MIXUP] || a->on[AUGMENT_CUTMIX] || (augment_any(a) && !t->options->fixed))
        return "pictures are augmented anew in every epoch (--copies K makes versions that stay the same)";
    if (t->n_phases > 1 && t->average.values != NULL && t->options->recipe.ema > 0)
        return "the average of the weights covers layers that --unfreeze-epoch lets train later";
    return NULL;
}

bool feature_cache_may(const struct trainer *t) { return t->prefix != NULL && why_not(t) == NULL; }

static graft_status store_open(struct trainer *t, const char *folder)
{
    struct feature_cache *f = &t->features;
    const size_t row = feature_row_bytes(row_floats(t), t->options->bf16), count = t->data->count + 1;
    const uint64_t needed = row * (t->n + t->n_val);
    uint64_t key = 0;
    f->keys = mem_zero(count, sizeof *f->keys);
    f->list = mem_alloc((t->n > t->n_val ? t->n : t->n_val) * sizeof *f->list);
    f->index = mem_alloc((size_t)plan_batch(t->prefix) * sizeof *f->index);
    if (f->keys == NULL || f->list == NULL || f->index == NULL)
        return fail_memory("the features");
    TRY(store_key(t, &key));
    TRY(file_make_folder(folder));
    TRY(feature_store_open(folder, key, row_floats(t), t->options->bf16, &f->store));
    const uint64_t held = row * feature_store_count(f->store), own = needed > held ? needed : held,
                   others = MOST > own ? MOST - own : 0, space = file_space(folder),
                   gain = feature_folder_trim(folder, key, others, false),
                   left = (space < UINT64_MAX - gain ? space + gain : space) / SPARE;
    if (needed > MOST || needed > left + held) // nobody else's go for what cannot be kept
        return fail(GRAFT_NO_RESOURCE,
                    "they would take %.1f GB, and %.1f GB are allowed (half of what is free on the disk, "
                    "and no more than %.0f)",
                    (double)needed / 1e9, (double)(left + held < MOST ? left + held : MOST) / 1e9, (double)MOST / 1e9);
    feature_folder_trim(folder, key, others, true);
    log_info("features of the frozen layers are kept in %s: %.1f MB for %zu pictures, %zu rows there",
             feature_store_path(f->store), (double)needed / 1e6, t->n + t->n_val, feature_store_count(f->store));
    if (feature_store_count(f->store) > 0 && t->data->prints != NULL)
        log_info(
            "pictures whose features are there are not read again, nor looked at for near duplicates across the split");
    return GRAFT_OK;
}

static void store_drop(struct feature_cache *f)
{
    feature_store_close(f->store);
    f->store = NULL;
}

// Nothing that goes wrong with the disk stops a run.
static graft_status decide(struct trainer *t)
{
    const char *where = t->options->features, *reason = why_not(t);
    char *folder = NULL, *cache = NULL;
    t->features.asked = true;
    if (t->prefix == NULL || where == NULL || strcmp(where, "off") == 0)
        return GRAFT_OK;
    if (reason != NULL) {
        log_info("features of the frozen layers are not kept: %s", reason);
        return GRAFT_OK;
    }
    graft_status status = GRAFT_OK;
    if (strcmp(where, "auto") == 0) {
        status = cache_folder(&cache);
        folder = status == GRAFT_OK ? path_join(cache, "features") : NULL;
        where = folder;
    }
    if (status == GRAFT_OK)
        status = where != NULL ? store_open(t, where) : fail_memory("a path");
    mem_free(folder);
    mem_free(cache);
    if (status != GRAFT_OK) {
        log_warning("features of the frozen layers are not kept: %s", graft_message());
        store_drop(&t->features);
    }
    return GRAFT_OK;
}

// ---- making

static graft_status batch_make(struct trainer *t, const struct augmentation *how, const struct batch *b)
{
    TRY(plan_prefix_run(t->prefix, b->input, b->n, profile_begin(&t->profile, t->prefix)));
    profile_end(&t->profile, t->prefix);
    for (int i = 0; i < b->n; i++) {
        struct feature_part parts[MAX_ENDS];
        const int n = parts_of(t, i, parts);
        const graft_status status = feature_store_put(t->features.store, key_of(t, b->index[i], how), parts, n);
        if (status == GRAFT_OK)
            continue;
        log_warning("features of the frozen layers are no longer kept: %s", graft_message());
        store_drop(&t->features);
        return GRAFT_OK;
    }
    return GRAFT_OK;
}

// The features of `n` pictures.  Afterwards there may be no store.
static graft_status make(struct trainer *t, const uint32_t *list, size_t n, const struct augmentation *how)
{
    struct queue *queue;
    graft_status status = GRAFT_OK;
    size_t done = 0;
    const double begin = now_seconds();
    double waited = 0;
    if (n == 0)
        return GRAFT_OK;
    TRY(queue_new(t->data, &t->model->input, how, list, n, plan_batch(t->prefix), t->options->workers, &queue));
    while (t->features.store != NULL) {
        struct batch b;
        bool end;
        const double waits = now_seconds();
        TRY_GOTO(queue_next(queue, &b, &end));
        waited += now_seconds() - waits;
        if (end)
            break;
        for (int i = 0; i < b.n_failed; i++)
            TRY_GOTO(trainer_skip(t, b.failed[i].index, b.failed[i].message));
        if (b.n > 0)
            TRY_GOTO(batch_make(t, how, &b));
        done += (size_t)(b.n + b.n_failed);
        const double spent = now_seconds() - begin;
        hooks_progress(&(graft_progress){.stage = "features", .epoch = t->at.epochs + 1, .epochs = t->options->epochs,
                                         .step = (long)done, .steps = (long)n,
                                         .images_per_second = spent > 0 ? (double)done / spent : 0,
                                         .seconds_left = spent / (double)done * (double)(n - done)});
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped after the features of %zu pictures", done));
    }
done:
    profile_data(&t->profile, waited, queue_work_seconds(queue), now_seconds() - begin);
    queue_free(queue);
    return status;
}

static graft_status make_missing(struct trainer *t, const uint32_t *order, size_t n, const struct augmentation *how)
{
    size_t missing = 0;
    for (size_t i = 0; i < n; i++)
        if (!t->skipped[order[i]] && !feature_store_has(t->features.store, key_of(t, order[i], how)))
            t->features.list[missing++] = order[i];
    return make(t, t->features.list, missing, how);
}

graft_status feature_cache_ready(struct trainer *t, const struct augmentation *how)
{
    if (!t->features.asked)
        TRY(decide(t));
    if (t->features.store != NULL)
        TRY(make_missing(t, t->order + t->at.seen, t->n - t->at.seen, how));
    if (t->features.store != NULL)
        TRY(make_missing(t, t->val, t->n_val, NULL));
    return GRAFT_OK;
}

// ---- using

// The ends of the batch's pictures; a row that was damaged is made once more.
static graft_status ends_load(struct trainer *t, const struct augmentation *how, const uint32_t *index, int n)
{
    for (int i = 0; i < n; i++) {
        struct feature_part parts[MAX_ENDS];
        const int count = parts_of(t, i, parts);
        const uint64_t key = key_of(t, index[i], how);
        if (feature_store_get(t->features.store, key, parts, count))
            continue;
        TRY(make(t, &index[i], 1, how)); // which uses the ends of the whole batch
        if (t->features.store == NULL || !feature_store_has(t->features.store, key))
            return fail(GRAFT_NO_RESOURCE,
                        "the features of '%s' are lost and could not be made again; --cache-features off "
                        "goes on without them",
                        t->data->samples[index[i]].path);
        i = -1;
    }
    return GRAFT_OK;
}

// The report shows the first batch as it entered the network, so it must be read.
static void first_batch(struct trainer *t, const struct augmentation *how, const uint32_t *index, int n)
{
    struct queue *queue;
    struct batch b;
    bool end;
    if (t->media.folder == NULL ||
        queue_new(t->data, &t->model->input, how, index, (size_t)n, n, t->options->workers, &queue) != GRAFT_OK)
        return;
    if (queue_next(queue, &b, &end) == GRAFT_OK && !end && b.n > 0)
        media_batch(&t->media, &b);
    queue_free(queue);
}

graft_status feature_cache_batch(struct trainer *t, const struct augmentation *how, struct batch *out, bool *end)
{
    const int batch = plan_batch(t->prefix);
    *out = (struct batch){.index = t->features.index};
    for (size_t at = t->at.seen; at < t->n && out->n < batch; at++)
        if (t->skipped[t->order[at]])
            out->n_failed++;
        else
            t->features.index[out->n++] = t->order[at];
    *end = out->n == 0 && out->n_failed == 0;
    if (t->at.run_steps == 0 && out->n > 0)
        first_batch(t, how, out->index, out->n);
    return ends_load(t, how, out->index, out->n);
}

graft_status feature_cache_validate(struct trainer *t)
{
    const int batch = plan_batch(t->validation), classes = t->model->n_classes;
    float *probabilities = mem_alloc((size_t)batch * (size_t)classes * sizeof *probabilities);
    graft_status status = GRAFT_OK;
    const double begin = now_seconds();
    if (probabilities == NULL)
        return fail_memory("predictions");
    for (size_t at = 0; at < t->n_val;) {
        int n = 0;
        for (; at < t->n_val && n < batch; at++)
            if (!t->skipped[t->val[at]])
                t->features.index[n++] = t->val[at];
        if (n == 0)
            break;
        TRY_GOTO(ends_load(t, NULL, t->features.index, n));
        TRY_GOTO(plan_run(t->validation, &(struct run){0}, NULL));
        plan_probabilities(t->validation, probabilities);
        for (int i = 0; i < n; i++) {
            const struct prediction p = prediction_at(t->model, t->validation, probabilities, i);
            TRY_GOTO(take_prediction(t, t->features.index[i], &p, NULL));
        }
        const double spent = now_seconds() - begin;
        hooks_progress(&(graft_progress){.stage = "val", .step = (long)at, .steps = (long)t->n_val,
                                         .images_per_second = spent > 0 ? (double)at / spent : 0,
                                         .seconds_left = spent / (double)at * (double)(t->n_val - at)});
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped after %zu of %zu pictures", at, t->n_val));
    }
done:
    mem_free(probabilities);
    return status;
}

void feature_cache_fini(struct feature_cache *f)
{
    feature_store_close(f->store);
    mem_free(f->keys);
    mem_free(f->list);
    mem_free(f->index);
    *f = (struct feature_cache){0};
}
