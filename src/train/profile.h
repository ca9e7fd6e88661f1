// train/profile.h: where the time of a run goes: waiting for pictures, forward, backward, update, validation; by layer.
#pragma once

#include "exec/plan.h"

struct profile {
    double wait, validation;     // of the epoch so far
    double kinds[STEP_KINDS];    // of the plans up to the epoch's begin
    double (*kept)[STEP_KINDS];  // (n_nodes + 1): of plans that are gone
    double (*nodes)[STEP_KINDS]; // scratch, as large
};
struct epoch_times {
    double wait, forward, backward, update, validation;
};
// Of the epoch that ends now; the next one begins.  `plans` may hold NULLs.
graft_status profile_epoch(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans,
                           struct epoch_times *out);
// The plans are about to be freed.
graft_status profile_keep(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans);
// layers.csv in the run folder: layer,forward,backward,update in seconds; rows as `models NET --layers` has them, then
// what belongs to no row by operation.
graft_status profile_write(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans,
                           const char *folder);
void profile_fini(struct profile *p);
