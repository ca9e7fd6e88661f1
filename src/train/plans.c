// train/plans.c: the plans of a run (what is frozen, batch, last partial batch, validation): they fit the memory, they
// follow the phases. All share one arena, as large as the last phase needs from the start.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"

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
static graft_status plans_build(struct trainer *t, int batch)
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
    mem_trim(); // of what timing kernels has left
    return arena_reserve(t->arena);
}

// The last phase trains most, so it is the one that must fit.
graft_status plans_prepare(struct trainer *t, int *batch)
{
    struct model *m = t->model;
    t->accumulate = t->options->recipe.optim.accumulate;
    TRY(arena_new(&t->arena));
    TRY(phases_of(m, t->options->recipe.unfreeze, t->phases, &t->n_phases));
    TRY(phases_prepare(m, t->phases, t->n_phases, t->options->bn));
    if (t->n_phases > 1)
        TRY(graph_freeze(&m->graph, t->phases[t->n_phases - 1].rows, t->options->bn));
    TRY(memory_check(t, batch));
    return t->n_phases > 1 ? graph_freeze(&m->graph, t->phases[0].rows, t->options->bn) : GRAFT_OK;
}

static int phase_at(const struct trainer *t, int epoch)
{
    int phase = 0;
    while (phase + 1 < t->n_phases && t->phases[phase + 1].epoch <= epoch)
        phase++;
    return phase;
}

graft_status plans_make(struct trainer *t, int batch)
{
    t->phase = phase_at(t, t->at.epochs + 1);
    if (t->n_phases > 1)
        TRY(graph_freeze(&t->model->graph, t->phases[t->phase].rows, t->options->bn));
    return plans_build(t, batch);
}

graft_status phase_plans(struct trainer *t, int phase)
{
    const int batch = plan_batch(t->full);
    TRY(graph_freeze(&t->model->graph, t->phases[phase].rows, t->options->bn));
    plans_free(t);
    return plans_build(t, batch);
}

// Before an epoch: what --unfreeze-epoch lets train from now on.
graft_status phase_enter(struct trainer *t, int epoch)
{
    const int phase = phase_at(t, epoch);
    if (phase == t->phase)
        return GRAFT_OK;
    TRY(profile_settle(&t->profile));
    t->phase = phase;
    t->train_rate = t->val_rate = 0; // another phase's
    TRY(phase_plans(t, phase));
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
