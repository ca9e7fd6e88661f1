// train/histograms.h: how weights and gradients are distributed, for TensorBoard: histograms.jsonl in the run folder.
// Grammar: a line {"epoch", "kind": "weights" or "gradients", "name", "min", "max", "num", "sum", "sum_squares",
// "limits": [upper ends of the bins], "counts": [...]} a parameter; gradients are those of the epoch's first step, as
// they come, before clipping and decay; values that are no numbers are left out.
#pragma once

#include "base/text.h"
#include "exec/plan.h"

struct histograms {
    const char *folder; // NULL: nothing is kept
    const struct params *params;
    int epoch;
    struct text lines;  // of the epoch so far
    float *whole;       // a gradient that comes in parts, so far
    grad_ready ready;   // whom the gradients go on to
    void *user;
};
// Of a run that goes on after `epochs`: lines of later ones go.
graft_status histograms_begin(struct histograms *h, int epochs);
void histograms_gradient(void *histograms, struct gradient g); // a grad_ready hook, which passes them on
graft_status histograms_end_epoch(struct histograms *h);                // the weights, and all of it onto the disk
void histograms_fini(struct histograms *h);
