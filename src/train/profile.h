// train/profile.h: where the time of a run goes: waiting for pictures, forward, backward, update, validation; by layer.
#pragma once

#include "exec/plan.h"

enum profile_kind { KIND_FORWARD, KIND_BACKWARD, KIND_UPDATE, PROFILE_KINDS };
struct profile_row {
    char *name; // of a layer, or of an operation that belongs to none
    double seconds[PROFILE_KINDS];
};
enum { PROFILE_PLANS = 3 };
struct profile {
    double wait, data, validation, kinds[PROFILE_KINDS]; // of the epoch so far; data: processor time of the loader
    double waiting; // for pictures of the training under way; in `wait` once it ends
    double told;                                         // of the epoch so far: logs, pictures and reports
    struct data_shares { double wait, data, steps; } run; // of the run so far, in this process; steps: begin to end
    struct profile_row *rows;                      // of the run so far
    size_t n_rows, capacity;
    struct {
        const struct plan *plan;
        double *step, *sum; // by step of the plan: of the last run; since the last profile_settle
    } slots[PROFILE_PLANS];
};
struct epoch_times {
    double wait, data, forward, backward, update, validation, told;
};
// Around a plan_run: what goes into run.seconds (NULL: no memory, nothing is measured), and its end.
double *profile_begin(struct profile *p, const struct plan *plan);
void profile_end(struct profile *p, const struct plan *plan);
// Before plans are freed: what was measured of them goes to its rows.
graft_status profile_settle(struct profile *p);
// What the epoch so far took, for a checkpoint within it, and back, so that its parts stay those of all its seconds.
enum { PROFILE_KEPT = 5 }; // waiting, forward, backward, update, logs and pictures
graft_status profile_keep(struct profile *p, double out[PROFILE_KEPT]);
void profile_restore(struct profile *p, const double kept[PROFILE_KEPT]);
void profile_data(struct profile *p, double wait, double data, double steps); // of an epoch's training
// The share of the training time in which the engine waited for pictures, and of the cores what the loader took.
double data_wait_share(const struct data_shares *s);
double data_core_share(const struct data_shares *s);
graft_status profile_epoch(struct profile *p, struct epoch_times *out); // of the epoch that ends
// layers.csv in the run folder: layer,forward,backward,update in seconds, as a step runs through them.
graft_status profile_write(struct profile *p, const char *folder);
void profile_fini(struct profile *p);
