// exec/choice.h: which algorithm a convolution pass takes.  In this order:
//   --exact           never Winograd
//   GRAFT_PLAN        what the environment says: comma-separated [LAYER][:PASS]=ALGORITHM, the last that fits counts;
//                     LAYER (or what its name begins with, up to a point) as `graft bench --layers` shows it, PASS
//                     forward, data or weights, ALGORITHM winograd (where it applies) or library
//   kept choices      plan_options.choices: a run's earlier decisions, which going on with it must repeat
//   evaluation        an estimate for a few pictures, whatever the batch: a picture's result never depends on its batch
//   a clear estimate  one way is faster by half and more
//   recorded times    $XDG_CACHE_HOME/graft/kernels.json, by processor, instruction set, library, threads, shape and
//   pass; the
//                     faster one, so that the same record gives the same bits
//   timing            where plan_options.time allows it, and what it finds is recorded
//   the estimate
#pragma once

#include "exec/cells.h"

graft_status choice_make(struct plan *p, const struct cell *cell, const struct dnn_conv_shape *shape,
                         enum dnn_pass pass, bool *winograd);
// After the last choice of a plan: what was timed goes into the record.  Never fails: a warning says what was in the
// way.
void choices_record(struct plan *p);
// Every name in GRAFT_PLAN must be a layer of the graph.
graft_status choices_check(const struct graph *g);
