// train/memory.c: what a run will take, said before its first step, and how it is made to fit.
// --memory: where a batch would take more, it goes through the network in equal parts, whose gradients are summed
// before the weights change.  Then BatchNorm's statistics are those of a part, as with --accumulate.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include <math.h>
#include <stdio.h>

// Batches that the queue holds ready, and the one of a validation that is filled up.
enum { BATCHES_HELD = 4 };
// Compiled kernels, threads' stacks, decoded pictures and their files: what ten runs of small networks took beyond the
// sum, of -1 to 5 MB.
static const double OVERHEAD = 2e6;

// What a run takes beyond what it has already: the arena, the optimizer's state, the average of the weights, the
// batches.
static double bytes_needed(const struct trainer *t, double plans, int batch, int accumulate)
{
    const struct params *p = &t->model->params;
    const struct value *in = &t->model->graph.values[0];
    const struct recipe *recipe = &t->options->recipe;
    struct optim_options optim = recipe->optim;
    optim.accumulate = accumulate;
    const double trainable =
        (double)(p->group_begin[PARAM_TRAINABLE + 1] - p->group_begin[PARAM_TRAINABLE]) * sizeof(float);
    const double average = recipe->ema > 0 || recipe->swa > 0 ? (double)p->size * sizeof(float) : 0;
    return plans + trainable * (double)optimizer_blocks(&optim) + average +
           (double)batch * BATCHES_HELD * in->c * in->h * in->w * sizeof(float) + OVERHEAD;
}

static double own_bytes(const struct plan *plan) { return plan != NULL ? (double)plan_own_bytes(plan) : 0; }

struct plan_options train_plan(const struct trainer *t, int batch)
{
    return (struct plan_options){.batch = batch, .mode = PLAN_TRAIN, .bn = t->options->bn, .exact = t->options->exact,
                                 .bf16 = t->options->bf16};
}

// Plans of that batch are only measured.
static graft_status needed_with(struct trainer *t, int batch, int accumulate, double *out)
{
    const struct model *m = t->model;
    struct plan_options o = train_plan(t, batch);
    struct arena *arena;
    struct plan *train, *validation = NULL;
    TRY(arena_new(&arena));
    graft_status status = plan_build(&m->graph, &t->model->params, arena, &o, &train);
    o.mode = PLAN_INFER;
    if (status == GRAFT_OK && t->n_val > 0)
        status = plan_build(&m->graph, &t->model->params, arena, &o, &validation);
    if (status == GRAFT_OK)
        t->all_flops = plan_flops(train);
    if (status == GRAFT_OK)
        t->most_plan = (double)plan_bytes(train);
    if (status == GRAFT_OK)
        *out =
            bytes_needed(t, (double)arena_bytes(arena) + own_bytes(train) + own_bytes(validation), batch, accumulate);
    plan_free(train);
    plan_free(validation);
    arena_free(arena);
    return status;
}

// Largest batch below `batch` whose plan fits into `available` bytes; 0: none.
static graft_status batch_fitting(struct trainer *t, double available, int batch, int *out)
{
    int fits = 0, too_large = batch;
    while (too_large - fits > 1) {
        const int middle = fits + (too_large - fits) / 2;
        double needed;
        TRY(needed_with(t, middle, t->accumulate, &needed));
        *(needed <= available ? &fits : &too_large) = middle;
    }
    *out = fits;
    return GRAFT_OK;
}

// The fewest equal parts of a batch that keep the run within its limit.
static graft_status parts_choose(struct trainer *t, int *batch)
{
    const double limit = (double)t->options->memory;
    double needed = 0, resident, least = 0;
    for (int parts = 1; parts <= *batch; parts++) {
        if (*batch % parts != 0)
            continue;
        TRY(needed_with(t, *batch / parts, t->accumulate * parts, &needed));
        mem_trim();
        resident = (double)mem_resident(); // with the kernels that were compiled for it
        if (resident + needed <= limit) {
            if (parts > 1)
                log_info("memory: a batch of %d goes through in %d parts to stay within %.0f MB%s", *batch, parts,
                         limit / 1e6, t->options->bn == BN_TRAIN ? "; BatchNorm's statistics are those of a part" : "");
            *batch /= parts;
            t->accumulate *= parts;
            return GRAFT_OK;
        }
        least = parts == 1 || resident + needed < least ? resident + needed : least;
    }
    return fail(GRAFT_NO_RESOURCE,
                "--memory %.0fM is too little: the run takes %.0f MB with one picture at a time; use a "
                "smaller --imgsz, or freeze more layers",
                limit / 1048576, least / 1e6);
}

graft_status memory_check(struct trainer *t, int *batch)
{
    const double available = (double)mem_available();
    double needed;
    int fits;
    if (t->options->memory > 0)
        TRY(parts_choose(t, batch));
    TRY(needed_with(t, *batch, t->accumulate, &needed));
    t->most_bytes = (double)mem_resident() + needed;
    if (needed <= available)
        return GRAFT_OK;
    TRY(batch_fitting(t, available, *batch, &fits));
    char advice[96] = "no batch fits: use a smaller --imgsz, or freeze more layers";
    if (fits > 0)
        snprintf(advice, sizeof advice, "--batch %d would fit", fits);
    return fail(GRAFT_NO_RESOURCE, "a batch of %d needs %.0f MB more memory and %.0f MB are available; %s", *batch,
                needed / 1e6, available / 1e6, advice);
}

void memory_tell(const struct trainer *t)
{
    const struct params *p = &t->model->params;
    const struct value *in = &t->model->graph.values[0];
    const bool grows = later_epochs(t) > 0; // the last phase takes most, and is not planned yet
    const double weights = (double)p->size * sizeof(float),
                 plan = fmax((double)plan_bytes(t->full), grows ? t->most_plan : 0);
    // What was not written to yet: the arena, the batches, the plans' own.
    const double batches = (double)plan_batch(t->full) * BATCHES_HELD * in->c * in->h * in->w * sizeof(float);
    const double peak = (double)mem_resident() + (double)arena_bytes(t->arena) + batches + own_bytes(t->prefix) +
                        own_bytes(t->full) + own_bytes(t->validation) + OVERHEAD;
    const double all = fmax(fmax(peak, (double)mem_resident_peak()), grows ? t->most_bytes : 0),
                 rest = all - plan - weights;
    log_info(
        "memory: about %.0f MB: %.0f for activations and gradients, %.0f for weights, %.0f for the optimizer, "
        "averages, pictures and the program; %.0f MB are available",
        all / 1e6, plan / 1e6, weights / 1e6, rest > 0 ? rest / 1e6 : 0, (double)mem_available() / 1e6);
}
