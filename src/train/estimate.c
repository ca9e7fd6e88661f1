// train/estimate.c: what a run will take, said before its first step: a step is taken on empty pictures and its
// gradients are thrown away.  BatchNorm's running statistics, all that it changes, are put back.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include <string.h>

enum { LEAST_STEPS = 30 }; // in a shorter run the two steps would cost more than they tell
#define VALIDATION 0.33    // of a training step of all layers: forward alone

static void thrown_away(void *user, struct gradient g)
{
    (void)user;
    (void)g;
}

double plan_flops(const struct plan *plan)
{
    double sum = 0;
    for (int i = 0; i < plan_step_count(plan); i++)
        sum += plan_step_at(plan, i).flops;
    return sum;
}

// Seconds of one step; the first one touches the memory and counts only where it is long enough to be told from that.
static graft_status step_time(struct trainer *t, double *seconds)
{
    const struct params *p = &t->model->params;
    const struct value *in = &t->model->graph.values[0];
    const size_t batch = (size_t)plan_batch(t->full), begin = p->group_begin[PARAM_RUNNING],
                 running = p->group_begin[PARAM_RUNNING + 1] - begin;
    float *input = mem_zero(batch * in->c * in->h * in->w, sizeof *input),
          *kept = mem_alloc((running + 1) * sizeof *kept);
    graft_status status = input != NULL && kept != NULL ? GRAFT_OK : fail_memory("the estimate");
    memset(t->targets, 0, batch * (size_t)t->model->n_classes * sizeof *t->targets);
    if (status == GRAFT_OK)
        memcpy(kept, p->block + begin, running * sizeof *kept);
    const struct run run = {.input = input, .targets = t->targets, .seed = t->options->seed, .ready = thrown_away};
    for (int i = 0; status == GRAFT_OK && i < 2; i++) {
        const double before = now_seconds();
        status = plan_run(t->full, &run, NULL);
        *seconds = now_seconds() - before;
        if (*seconds > 1)
            break;
    }
    if (status == GRAFT_OK)
        memcpy(p->block + begin, kept, running * sizeof *kept);
    t->model->params.version++;
    mem_free(input);
    mem_free(kept);
    return status;
}

graft_status run_estimate(struct trainer *t, double *seconds)
{
    const double batch = plan_batch(t->full), pictures = (double)t->n, epochs = t->options->epochs - t->at.epochs;
    double step;
    *seconds = -1;
    if (feature_cache_may(t) && t->options->features != NULL && strcmp(t->options->features, "off") != 0)
        return GRAFT_OK; // no step is like another: the first epoch computes features, the others find them
    if ((epochs * pictures - (double)t->at.seen) / batch < LEAST_STEPS)
        return GRAFT_OK;
    TRY(step_time(t, &step));
    const double flops = plan_flops(t->full) + (t->prefix != NULL ? plan_flops(t->prefix) : 0);
    const double all = t->all_flops > 0 && flops > 0 ? step * t->all_flops / flops : step; // in the last phase
    const struct phase *next = t->phase + 1 < t->n_phases ? &t->phases[t->phase + 1] : NULL;
    const double now = next != NULL && next->epoch - 1 < t->options->epochs ? next->epoch - 1 - t->at.epochs : epochs;
    *seconds = (step * now + all * (epochs - now)) * pictures / batch - step * (double)t->at.seen / batch +
               all * VALIDATION * epochs * (double)t->n_val / batch;
    return GRAFT_OK;
}
