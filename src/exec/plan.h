// exec/plan.h: a graph + batch size + mode turned into a linear program of kernel calls over one arena.
#pragma once

#include "graph/graph.h"
#include "tensor/params.h"

// Lanes of the blocked activation layout on this processor: 16 (AVX-512) or 8.
int exec_lanes(void);
const char *exec_isa(void);       // "AVX-512", "AVX2", "plain C"
bool exec_bf16(void);             // the processor multiplies in bf16
graft_status exec_bf16_check(void); // BAD_OPTION where it does not
const char *exec_library(void);   // "oneDNN 2.6.3"
void exec_set_threads(int threads); // 0: all cores allowed to us
int exec_threads(void);

// Lays out the block for a (frozen) graph: entries in groups, memory zeroed.
graft_status params_init(struct params *p, const struct graph *g);

struct plan;
struct arena; // shared by the plans of a run: as large as the largest of them
graft_status arena_new(struct arena **out);
void arena_free(struct arena *arena);
size_t arena_bytes(const struct arena *arena); // that it needs

// PLAN_EXPLAIN: forward as in PLAN_INFER, then the gradient, with respect to the value `keep`, of the logits weighted
// by `targets`; no parameter gets a gradient.
enum plan_mode { PLAN_INFER, PLAN_TRAIN, PLAN_EXPLAIN };
struct plan_options {
    int batch;
    enum plan_mode mode;
    enum bn_mode bn;
    int keep;    // PLAN_EXPLAIN: a value whose map and gradient plan_kept reads
    bool bf16;   // convolutions multiply in bf16 (exec_bf16), sums and all else in fp32
    bool exact;  // no Winograd: rounding as of the direct sums
    bool losses; // PLAN_INFER: outputs that only train run too, for the validation loss
    bool keep_all; // PLAN_TRAIN: outputs of BatchNorm and of adds too, which else are made again on the way back: the
                   // same bits
    bool copies; // concats by copies, none in place: the same bits
    bool time;   // may time the ways a convolution can go, once for a machine and shape
    struct plan *prefix;    // of the same graph: this plan is of the rest, and runs it first.  See plan_prefix_build
    struct json_t *choices; // a run's: {"LAYER PASS BATCH": "winograd" or "library"}, repeated and added to; or NULL
    bool poison; // tests: dead buffers are filled with NaN
};
// Only measures and records; arena_reserve then allocates for all plans at once.
graft_status plan_build(const struct graph *g, struct params *params, struct arena *arena,
                        const struct plan_options *options, struct plan **out);
// The frozen part of the graph (graph_prefix) as a plan of its own, in evaluation mode, of which options->batch, exact
// and poison count; *out NULL: there is none.  It outlives the plans of the rest, and their batches are no larger.
graft_status plan_prefix_build(const struct graph *g, struct params *params, struct arena *arena,
                               const struct plan_options *options, struct plan **out);
// Its ends, what the rest reads.  One picture's part of each is contiguous, and does not depend on the other pictures.
int plan_ends(const struct plan *prefix);
size_t plan_end_floats(const struct plan *prefix, int end);      // of a picture
float *plan_end(const struct plan *prefix, int end); // (batch, plan_end_floats): of the last run; room for others
// The ends of `n` pictures, n <= batch.  `seconds`: as in struct run, or NULL.
graft_status plan_prefix_run(struct plan *prefix, const float *input, int n, double *seconds);
void plan_free(struct plan *plan);
size_t plan_bytes(const struct plan *plan);   // that it needs
size_t plan_own_bytes(const struct plan *plan); // how many of them are not the arena's
graft_status arena_reserve(struct arena *arena); // message says bytes needed when memory is out
int plan_batch(const struct plan *plan);

// Gradients of a parameter, ready: update it now; the buffer is reused afterwards.
typedef void (*grad_ready)(void *user, struct gradient g);
struct run {
    const float *input; // (n, c, h, w) preprocessed.  NULL in a plan of the rest: the prefix's ends hold what it reads
    const float *targets; // (n, classes) rows of probabilities (PLAN_EXPLAIN: any weights); NULL in PLAN_INFER
    uint64_t seed, step;  // dropout's key
    grad_ready ready; void *user;
    double *seconds;      // what each step takes, plan_step_count of them; NULL: not measured
    double *prefix_seconds; // the same of the prefix
};
// Forward; in PLAN_TRAIN also loss and backward.  *loss is the mean over the batch of the outputs' weighted sum of
// cross-entropies (PLAN_TRAIN).
graft_status plan_run(struct plan *plan, const struct run *run, double *loss);
int plan_hits(
    const struct plan *plan); // of the last plan_run (PLAN_TRAIN): rows whose main head is highest where its target is
const float *
plan_logits(const struct plan *plan); // main head: (n, classes), valid until the next plan_run on the arena
// (n, c, h, w) of the kept value, or of its gradient; valid as the logits are.
void plan_kept(const struct plan *plan, bool gradient, float *dst);
const float *plan_output(const struct plan *plan, int output); // of any output of the graph; NULL: it does not run
void plan_probabilities(const struct plan *plan, float *probabilities); // (n, classes): the prediction

// What a step is and costs.  Texts live as long as the graph and the plan.
struct plan_step { const char *layer, *op, *pass, *algorithm; double flops, bytes; };
int plan_step_count(const struct plan *plan);
struct plan_step plan_step_at(const struct plan *plan, int index);
double
exec_peak(void); // multiply-adds a second (counted as two) of all threads, measured for some tens of milliseconds
