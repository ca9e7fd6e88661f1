// train/estimate.c: what a run will take, said before its first step: a step is taken on empty pictures and its
// gradients are thrown away.  BatchNorm's running statistics, all that it changes, are put back.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include <string.h>

enum { LEAST_STEPS = 30 }; // in a shorter run the two steps would cost more than they tell

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

// Whether the frozen part will run once a picture, and not in every epoch.
static bool features_kept(const struct trainer *t)
{
    return feature_cache_may(t) && t->options->features != NULL && strcmp(t->options->features, "off") != 0;
}

graft_status run_estimate(struct trainer *t, double *seconds)
{
    const double batch = plan_batch(t->full), steps = (double)t->n / batch, validation = (double)t->n_val / batch,
                 now = phase_epochs(t), later = later_epochs(t), done = (double)t->at.seen / batch;
    double step, all = 0;
    *seconds = -1;
    t->later = 0;
    if ((now + later) * steps - done < LEAST_STEPS)
        return GRAFT_OK;
    if (later > 0) { // its kernels are timed now instead of then; by operations alone the time is off by half
        TRY(phase_plans(t, t->n_phases - 1));
        TRY(step_time(t, &all));
        TRY(phase_plans(t, t->phase));
    }
    TRY(step_time(t, &step));
    const double own = plan_flops(t->full), flops = own + (t->prefix != NULL ? plan_flops(t->prefix) : 0);
    const double whole = t->all_flops > 0 && flops > 0 ? step * t->all_flops / flops : step; // were nothing frozen
    const double trained = flops > 0 ? step * own / flops : step, frozen = step - trained;
    t->later = all / batch;
    if (features_kept(t)) // in this phase
        *seconds = frozen * (steps - done + validation) +
                   trained * (now * (steps + VALIDATION_SHARE * validation) - done);
    else
        *seconds = step * (now * steps - done) + whole * VALIDATION_SHARE * now * validation;
    *seconds += all * later * (steps + VALIDATION_SHARE * validation);
    return GRAFT_OK;
}
