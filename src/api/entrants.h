// api/entrants.h: what `graft ensemble` is given: each member's models, and what it said of pictures not seen before.
#pragma once

#include "api/run.h"
#include "infer/table.h"

struct entrant {
    const char *input;
    char *folder; // of the run or fold run; NULL: a CSV, a machine or a model file alone
    char **files; // models
    int n_files;
    struct table oof; // n = 0: none
    uint32_t *row;    // of a common picture
};
void entrant_fini(struct entrant *m);
// By m->input: a fold run, a run, a support vector machine, a model file or a CSV of predictions.
graft_status entrant_open(struct entrant *m);
// Pictures of the same name must be the same, and in the same folds.  BAD_FILE names those that are not.
graft_status entrants_compare(const struct entrant *members, int count);
