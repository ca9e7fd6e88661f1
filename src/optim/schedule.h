// optim/schedule.h: the learning rate of an update, and momentum where a schedule cycles it.
#pragma once

#include "optim/optim.h"

enum schedule { SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_COSINE, SCHEDULE_ONECYCLE, SCHEDULE_PLATEAU,
                SCHEDULE_KERAS };
extern const char *const schedule_names[]; // by enum schedule, NULL-ended
struct schedule_options {
    enum schedule kind;
    enum rules rules;     // plateau: whose count of patience and threshold
    double rate;          // the highest
    double momentum;      // outside a cycle
    bool cycles_momentum; // onecycle: 0.95 to 0.85 and back
    double decay;         // keras: rate / (1 + decay t)
    double warmup;        // epochs in which the rate rises from 0; onecycle: the rising part
    int step_epochs;      // step: epochs between drops; plateau: epochs without gain before one
    double gamma;         // step, plateau: factor of a drop
    int epochs;           // of the run
};
// What plateau remembers.
struct plateau { double rate, best; int waited; bool started; };
struct moment { long updates; long per_epoch; int epoch; uint64_t all_updates; };
// `epoch` (from 0) with `updates` of its `per_epoch` done; `all_updates` since the start of the run, for keras.
void schedule_at(const struct schedule_options *o, const struct plateau *p, const struct moment *at, double *rate,
                 double *momentum);
void plateau_begin(const struct schedule_options *o, struct plateau *p);
// The end of an epoch: `value` is what is watched, `rises` whether more is better.
void plateau_epoch(const struct schedule_options *o, struct plateau *p, double value, bool rises);
