// exec/plan.h: a graph + batch size + mode turned into a linear program of kernel calls over one arena.
#pragma once

#include "graph/graph.h"
#include "tensor/params.h"

// Lanes of the blocked activation layout on this processor: 16 (AVX-512) or 8.
int exec_lanes(void);
const char *exec_isa(void);       // "AVX-512", "AVX2", "plain C"
const char *exec_library(void);   // "oneDNN 2.6.3"
void exec_set_threads(int threads); // 0: all cores allowed to us
int exec_threads(void);

// Lays out the block for a (frozen) graph: entries in groups, memory zeroed.
graft_status params_init(struct params *p, const struct graph *g);

struct plan;
struct arena; // shared by the plans of a run: as large as the largest of them
graft_status arena_new(struct arena **out);
void arena_free(struct arena *arena);

// PLAN_EXPLAIN: forward as in PLAN_INFER, then the gradient, with respect to the value `keep`, of the logits weighted
// by `targets`; no parameter gets a gradient.
enum plan_mode { PLAN_INFER, PLAN_TRAIN, PLAN_EXPLAIN };
struct plan_options {
    int batch;
    enum plan_mode mode;
    enum bn_mode bn;
    int keep;    // PLAN_EXPLAIN: a value whose map and gradient plan_kept reads
    bool poison; // tests: dead buffers are filled with NaN
};
// Only measures and records; arena_reserve then allocates for all plans at once.
graft_status plan_build(const struct graph *g, struct params *params, struct arena *arena,
                        const struct plan_options *options, struct plan **out);
void plan_free(struct plan *plan);
size_t plan_bytes(const struct plan *plan);   // arena bytes it needs
graft_status arena_reserve(struct arena *arena); // message says bytes needed when memory is out
int plan_batch(const struct plan *plan);

// Gradient of one parameter entry, in the entry's own layout, ready: update it now; the buffer is reused afterwards.
typedef void (*grad_ready)(void *user, int entry, float *gradient);
struct run {
    const float *input;   // (n, c, h, w) preprocessed
    const float *targets; // (n, classes) rows of probabilities (PLAN_EXPLAIN: any weights); NULL in PLAN_INFER
    uint64_t seed, step;  // dropout's key
    grad_ready ready;
    void *user;
};
// Forward; in PLAN_TRAIN also loss and backward.  *loss is the mean cross-entropy of the batch (PLAN_TRAIN).
graft_status plan_run(struct plan *plan, const struct run *run, double *loss);
// Seconds spent so far, added to what is there: by node of the graph, last what belongs to none (n_nodes + 1 rows).
enum step_kind { STEP_FORWARD, STEP_BACKWARD, STEP_UPDATE, STEP_KINDS };
void plan_seconds(const struct plan *plan, double (*seconds)[STEP_KINDS]);
const float *plan_logits(const struct plan *plan); // (n, classes), valid until the next plan_run on the arena
// (n, c, h, w) of the kept value, or of its gradient; valid as the logits are.
void plan_kept(const struct plan *plan, bool gradient, float *dst);
void plan_softmax(const float *logits, float *probabilities, int n, int classes);
