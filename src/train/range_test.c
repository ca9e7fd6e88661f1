// train/range_test.c: the range test (L. N. Smith, arXiv:1506.01186), with fastai's ways of smoothing and reading it.
//   rate_i     = lowest (highest / lowest)^(i / (steps - 1))
//   average_i  = 0.98 average_(i-1) + 0.02 loss_i;  smoothed_i = average_i / (1 - 0.98^(i + 1))
// Suggested is the point half way down the longest falling subsequence of the smoothed losses, without the first tenth
// of them, where the average is still settling, and the last five, where they rise.

#include "train/range_test.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/layers.h"
#include <math.h>
#include <string.h>

#define KEEP 0.98
enum { WORSE = 4, RISING = 5 };

struct tester {
    struct model *model;
    const struct dataset *data;
    const struct range_options *options;
    struct arena *arena;
    struct plan *plan;
    struct optimizer optimizer;
    uint32_t *order;
    float *targets;
    int batch;
    struct range_result *out;
    double average, least;
};

static graft_status tester_make(struct tester *t)
{
    const struct range_options *o = t->options;
    size_t n;
    t->order = mem_alloc((t->data->count + 1) * sizeof *t->order);
    if (t->order == NULL)
        return fail_memory("the order of pictures");
    TRY(dataset_order(t->data, o->seed, 1, t->order, &n));
    if (n == 0)
        return fail(GRAFT_BAD_FILE, "no picture is left to train on");
    t->batch = (size_t)o->batch < n ? o->batch : (int)n;
    t->targets = mem_alloc((size_t)t->batch * (size_t)t->model->n_classes * sizeof *t->targets);
    t->out->rates = mem_zero(3 * (size_t)o->steps, sizeof *t->out->rates);
    if (t->targets == NULL || t->out->rates == NULL)
        return fail_memory("the range test");
    t->out->losses = t->out->rates + o->steps;
    t->out->smoothed = t->out->losses + o->steps;
    const struct plan_options plan = {.batch = t->batch, .mode = PLAN_TRAIN, .bn = o->bn, .exact = o->exact,
                                      .time = true};
    TRY(arena_new(&t->arena));
    TRY(plan_build(&t->model->graph, &t->model->params, t->arena, &plan, &t->plan));
    TRY(arena_reserve(t->arena));
    TRY(optimizer_init(&t->optimizer, &o->recipe.optim, &t->model->params));
    return layer_rates(&t->optimizer, t->model, o->recipe.lr_mult, o->recipe.layer_decay);
}

static double momentum_of(const struct optim_options *o)
{
    return strncmp(o->name, "adam", 4) == 0 ? o->beta1 : o->momentum;
}

// *end: the loss has risen enough.
static graft_status step_take(struct tester *t, struct batch *b, const struct augmentation *how, bool *end)
{
    const struct range_options *o = t->options;
    struct range_result *r = t->out;
    const int i = r->n;
    double loss;
    batch_targets(t->data, t->model->n_classes, o->recipe.label_smoothing, b, t->targets);
    batch_mix(how, t->model->input.size, t->model->n_classes, b, t->targets);
    r->rates[i] = o->lowest * pow(o->highest / o->lowest, i / (double)(o->steps - 1));
    optimizer_begin(&t->optimizer, r->rates[i], momentum_of(&o->recipe.optim), b->n);
    const struct run run = {.input = b->input, .targets = t->targets, .seed = o->seed, .step = (uint64_t)i,
                            .ready = optimizer_gradient, .user = &t->optimizer};
    TRY(plan_run(t->plan, &run, &loss));
    optimizer_end(&t->optimizer);
    *end = !isfinite(loss);
    if (*end) // says nothing that a curve could show
        return GRAFT_OK;
    t->average = KEEP * t->average + (1 - KEEP) * loss;
    r->losses[i] = loss;
    r->smoothed[i] = t->average / (1 - pow(KEEP, i + 1));
    r->n++;
    t->least = i == 0 ? r->smoothed[i] : fmin(t->least, r->smoothed[i]);
    *end = r->n == o->steps || r->smoothed[i] > WORSE * t->least;
    hooks_progress(&(graft_progress){.stage = "lr-find", .step = r->n, .steps = o->steps, .loss = r->smoothed[i]});
    return hooks_cancelled() ? fail(GRAFT_CANCELLED, "stopped at step %d; nothing was changed", r->n) : GRAFT_OK;
}

// An epoch's whole batches.  *any: it had one.
static graft_status epoch_take(struct tester *t, int epoch, bool *end)
{
    const struct range_options *o = t->options;
    const struct augmentation how = {&o->augment, o->seed, (uint64_t)epoch, false};
    struct queue *queue = NULL;
    graft_status status = GRAFT_OK;
    bool any = false;
    size_t n;
    TRY(dataset_order(t->data, o->seed, (uint64_t)epoch, t->order, &n));
    TRY_GOTO(queue_new(t->data, &t->model->input, &how, t->order, n, t->batch, o->workers, &queue));
    while (!*end) {
        struct batch b;
        bool last;
        TRY_GOTO(queue_next(queue, &b, &last));
        if (last)
            break;
        for (int i = 0; epoch == 1 && i < b.n_failed; i++)
            log_warning("left out: %s", b.failed[i].message);
        if (b.n < t->batch)
            continue;
        any = true;
        TRY_GOTO(step_take(t, &b, &how, end));
    }
    if (!any)
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "fewer than a batch of %d of the %zu training pictures can be read; use a smaller "
                      "--batch",
                      t->batch, n));
done:
    queue_free(queue);
    return status;
}

int range_valley(const double *losses, int n)
{
    int *length = n > 0 ? mem_zero((size_t)n, sizeof *length) : NULL, end = 0;
    if (length == NULL)
        return -1;
    for (int i = 0; i < n; i++) { // length[i]: of the longest falling subsequence that ends here
        length[i] = 1;
        for (int k = 0; k < i; k++)
            if (losses[i] < losses[k] && length[k] + 1 > length[i])
                length[i] = length[k] + 1;
        if (length[i] > length[end])
            end = i;
    }
    const int found = length[end], third = found / 3, middle = end - found + third + third / 2;
    mem_free(length);
    return found < 2 ? -1 : middle > 0 ? middle : 0;
}

graft_status range_test(struct model *m, const struct dataset *d, const struct range_options *options,
                        struct range_result *out)
{
    struct tester t = {.model = m, .data = d, .options = options, .out = out};
    graft_status status = GRAFT_OK;
    bool end = false;
    *out = (struct range_result){.suggested = -1};
    TRY_GOTO(tester_make(&t));
    for (int epoch = 1; !end; epoch++)
        TRY_GOTO(epoch_take(&t, epoch, &end));
    const int skip = options->steps / 10, used = out->n - skip - RISING;
    out->suggested = used > 1 ? range_valley(out->smoothed + skip, used) : -1;
    if (out->suggested >= 0)
        out->suggested += skip;
    for (int i = 0; i < out->n && (out->suggested < 0 || i <= out->suggested); i++)
        out->top = fmax(out->top, out->smoothed[i]);
    if (out->suggested >= 0)
        out->top = t.least + 1.5 * (out->top - t.least);
done:
    optimizer_fini(&t.optimizer);
    plan_free(t.plan);
    arena_free(t.arena);
    mem_free(t.order);
    mem_free(t.targets);
    return status;
}

void range_result_fini(struct range_result *r)
{
    mem_free(r->rates);
    *r = (struct range_result){0};
}
