// train/plans.c: the plans of a run (what is frozen, batch, last partial batch, validation): they fit the memory, they follow the phases.
// All share one arena, as large as the last phase needs from the start.

#include "train/trainer.h"
#include "base/log.h"
<<<<<<< HEAD
=======
#include "base/memory.h"
#include <stdio.h>

// What a run takes beyond what it has already: the arena, the optimizer's state, the average of the weights, and the
// batches that the queue holds ready.
size_t bytes_needed(const struct trainer *t, size_t arena, int batch)
{
    enum { BATCHES_HELD = 4 };
    const struct params *p = &t->model->params;
    const struct value *in = &t->model->graph.values[0];
    const struct recipe *recipe = &t->options->recipe;
    const size_t trainable = (p->group_begin[PARAM_TRAINABLE + 1] - p->group_begin[PARAM_TRAINABLE]) * sizeof(float);
    const size_t average = recipe->ema > 0 || recipe->swa > 0 ? p->size * sizeof(float) : 0;
    return arena + trainable * optimizer_blocks(&recipe->optim) + average +
           (size_t)batch * BATCHES_HELD * in->c * in->h * in->w * sizeof(float);
}

static struct plan_options train_plan(const struct trainer *t, int batch)
{
    return (struct plan_options){.batch = batch, .mode = PLAN_TRAIN, .bn = t->options->bn, .exact = t->options->exact};
}

// Largest batch below `batch` whose plan fits into `available` bytes; 0: none.  Plans are only measured.
static graft_status batch_fitting(struct trainer *t, size_t available, int batch, int *out)
{
    int fits = 0, too_large = batch;
    while (too_large - fits > 1) {
        const int middle = fits + (too_large - fits) / 2;
        const struct plan_options o = train_plan(t, middle);
        struct arena *arena;
        struct plan *plan;
        TRY(arena_new(&arena));
        const graft_status status = plan_build(&t->model->graph, &t->model->params, arena, &o, &plan);
        const bool fine = status == GRAFT_OK && bytes_needed(t, plan_bytes(plan), middle) <= available;
        plan_free(plan);
        arena_free(arena);
        TRY(status);
        *(fine ? &fits : &too_large) = middle;
    }
    *out = fits;
    return GRAFT_OK;
}

// Refuses before the first step what would be killed in it.
static graft_status memory_check(struct trainer *t, int batch)
{
    const size_t available = mem_available(), needed = bytes_needed(t, plan_bytes(t->full), batch);
    int fits;
    if (needed <= available)
        return GRAFT_OK;
    TRY(batch_fitting(t, available, batch, &fits));
    char advice[96] = "no batch fits: use a smaller --imgsz, or freeze more layers";
    if (fits > 0)
        snprintf(advice, sizeof advice, "--batch %d would fit", fits);
    return fail(GRAFT_NO_RESOURCE, "a batch of %d needs %.0f MB more memory and %.0f MB are available; %s", batch,
                (double)needed / 1e6, (double)available / 1e6, advice);
}
>>>>>>> main

void plans_free(struct trainer *t)
{
    plan_free(t->full);
    plan_free(t->partial);
    plan_free(t->validation);
    plan_free(t->prefix);
    t->full = t->partial = t->validation = t->prefix = NULL;
    feature_cache_fini(&t->features);
}

// For the present phase's freezing.
graft_status plans_build(struct trainer *t, int batch)
{
    struct model *m = t->model;
    struct plan_options o = train_plan(t, batch);
    o.time = true;
    o.choices = t->choices;
    TRY(plan_prefix_build(&m->graph, &m->params, t->arena, &o, &t->prefix));
    o.prefix = t->prefix;
    TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->full));
    o.batch = (int)(t->n % (size_t)batch);
    if (o.batch > 0)
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->partial));
    o.batch = batch;
    o.mode = PLAN_INFER;
    o.losses = true;
    if (t->n_val > 0)
        TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->validation));
    return arena_reserve(t->arena);
}

// The last phase trains most, so it is the one that must fit; the arena is as large as that from the start.
graft_status plans_make(struct trainer *t, int batch)
{
    struct model *m = t->model;
    t->accumulate = t->options->recipe.optim.accumulate;
    TRY(arena_new(&t->arena));
    TRY(phases_of(m, t->options->recipe.unfreeze, t->phases, &t->n_phases));
    TRY(phases_prepare(m, t->phases, t->n_phases, t->options->bn));
    if (t->n_phases > 1)
        TRY(graph_freeze(&m->graph, t->phases[t->n_phases - 1].rows, t->options->bn));
<<<<<<< HEAD
    TRY(memory_check(t, &batch));
=======
    TRY(plan_build(&m->graph, &m->params, t->arena, &o, &t->full));
    TRY(memory_check(t, batch));
    t->all_flops = plan_flops(t->full);
    plans_free(t);
>>>>>>> main
    if (t->n_phases > 1)
        TRY(graph_freeze(&m->graph, t->phases[0].rows, t->options->bn));
    return plans_build(t, batch);
}

// Before an epoch: what --unfreeze-epoch lets train from now on.
graft_status phase_enter(struct trainer *t, int epoch)
{
    int phase = 0;
    while (phase + 1 < t->n_phases && t->phases[phase + 1].epoch <= epoch)
        phase++;
    if (phase == t->phase)
        return GRAFT_OK;
    const int batch = plan_batch(t->full);
    TRY(profile_settle(&t->profile));
    t->phase = phase;
    TRY(graph_freeze(&t->model->graph, t->phases[phase].rows, t->options->bn));
    plans_free(t);
    TRY(plans_build(t, batch));
    log_info("epoch %d: %zu of %zu parameters train now", epoch, graph_parameters(&t->model->graph, true),
             graph_parameters(&t->model->graph, false));
    return GRAFT_OK;
}

// The plan of an epoch's last batch.  Pictures that were left out have made it smaller; then it is built anew.
graft_status partial_make(struct trainer *t, int batch)
{
    if (t->partial != NULL && plan_batch(t->partial) == batch)
        return GRAFT_OK;
    struct plan_options o = train_plan(t, batch);
    o.time = true;
    o.choices = t->choices;
    o.prefix = t->prefix;
    TRY(profile_settle(&t->profile));
    plan_free(t->partial);
    TRY(plan_build(&t->model->graph, &t->model->params, t->arena, &o, &t->partial));
    return arena_reserve(t->arena);
}
