// optim/optim.h: update rules on flat ranges.  Keras's SGD: v = momentum v - rate g; w += momentum v - rate g (Nesterov).
#pragma once

#include "tensor/params.h"

struct sgd {
    float rate, momentum, decay; // rate at update t = rate / (1 + decay t)
    bool nesterov;
    uint64_t updates;            // t
    float *velocity;             // one per float of the trainable group
};
graft_status sgd_init(struct sgd *s, const struct params *p);
void sgd_fini(struct sgd *s);
float sgd_rate(const struct sgd *s);
float sgd_rate_of(const struct sgd *s, uint64_t updates); // of the update after so many
// The grad_ready hook: `user` is a struct sgd_target.
struct sgd_target { struct sgd *sgd; struct params *params; };
void sgd_apply(void *sgd_target, int entry, float *gradient);
void sgd_step_done(struct sgd *s); // after all entries of a step
