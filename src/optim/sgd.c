// optim/sgd.c: Keras's SGD, elementwise on the parameter block's own layout; padding has zero gradients and stays zero.
//   rate_t = rate / (1 + decay t)        t: updates before this one
//   v = momentum v - rate_t g;   w += momentum v - rate_t g (Nesterov) or w += v

#include "optim/optim.h"
#include "base/memory.h"
#include <string.h>

graft_status sgd_init(struct sgd *s, const struct params *p)
{
    const size_t floats = p->group_begin[PARAM_TRAINABLE + 1] - p->group_begin[PARAM_TRAINABLE];
    s->updates = 0;
    s->velocity = mem_aligned((floats + 16) * sizeof *s->velocity);
    if (s->velocity == NULL)
        return fail_memory("the optimizer's velocity");
    memset(s->velocity, 0, floats * sizeof *s->velocity);
    return GRAFT_OK;
}

void sgd_fini(struct sgd *s)
{
    mem_free(s->velocity);
    s->velocity = NULL;
}

float sgd_rate_of(const struct sgd *s, uint64_t updates) { return (float)(s->rate / (1 + (double)s->decay * (double)updates)); }
float sgd_rate(const struct sgd *s) { return sgd_rate_of(s, s->updates); }

void sgd_apply(void *sgd_target, int entry, float *gradient)
{
    struct sgd_target *target = sgd_target;
    struct sgd *s = target->sgd;
    const struct param_entry *e = &target->params->entries[entry];
    float *w = target->params->block + e->offset;
    float *v = s->velocity + (e->offset - target->params->group_begin[PARAM_TRAINABLE]);
    const float rate = sgd_rate(s), momentum = s->momentum;
    const bool nesterov = s->nesterov;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < e->size; i++) {
        v[i] = momentum * v[i] - rate * gradient[i];
        w[i] += nesterov ? momentum * v[i] - rate * gradient[i] : v[i];
    }
}

void sgd_step_done(struct sgd *s) { s->updates++; }
