// exec/cells.h: the private shape of a plan, shared by building (plan.c), steps (steps.c, step_*.c) and folding
// (fold.c).
#pragma once

#include "exec/kernels.h"
#include "exec/plan.h"

// the caller's input is a buffer of its own, and, from BUFFER_END downwards, each end of the prefix
enum { NO_BUFFER = -1, BUFFER_INPUT = -2, BUFFER_END = -3 };

// A cell is one core operation with what its kernel absorbs: a BatchNorm folded into a convolution, an activation.
struct cell {
    const struct node *node; // the core
    const struct node *fold; // BatchNorm folded into the convolution's derived weights, or NULL
    const struct node *bn;   // of an add: the BatchNorm whose output, which nothing else reads, it adds; or NULL
    enum dnn_act act;
    int out;                 // value
    int layer;               // the node's index: dropout's key
};
// Lifetime in steps, both ends included.  A view lies `at` floats into its parent, which lives as long as it.
struct buffer { size_t bytes, offset; int first, last; size_t image; int parent; size_t at; }; // image: see struct map
// Where a value lies that is written straight into a concat's: at `channel` of the value `whole`; -1: nowhere.
// statistics: of a whole, the mean and variance of its first `measured` channel blocks, kept by the BatchNorms before.
struct place { int whole, channel, statistics, measured; };

struct step {
    graft_status (*run)(struct plan *plan, const struct step *step, const struct run *run);
    const struct cell *cell;
    int src, src2, dst, dst2, extra, extra2, scratch, partial; // buffers; their meaning is the run function's
    struct dnn_conv *conv;                      // NULL: winograd, or conv_own with `shape`
    struct winograd *winograd;
    struct dnn_conv_shape shape;
    enum dnn_pass pass;
    size_t offset, size, whole;                 // floats, channels or channel blocks, as the run function says
    int value;                                  // whose shape the buffers have
    int entry;                                  // parameter whose gradient is ready
    bool flag, adds;
    bool narrow;                                // its maps are bf16, channels last
};
struct fold { const struct cell *cell; float *weight, *bias; }; // derived weights, in the plan's own block

struct arena { char *base; size_t need, have; };
struct plan {
    const struct graph *graph;
    struct params *params;
    struct arena *arena;
    struct plan_options options;
    const struct kernel_table *kernels;
    struct cell *cells; int n_cells;
    struct step *steps; int n_steps; size_t step_capacity;
    int first_backward;                 // step
    struct buffer *buffers; int n_buffers; size_t buffer_capacity;
    int *value_buffer, *value_gradient; // by value
    struct place *places;               // by value
    bool *needs_gradient;               // by value
    bool *masked;                       // by value: its gradient arrives masked by the activation behind it
    bool *dropped;                      // by value: not kept for the way back, and not made again yet
    bool *narrow;                       // by value: it and its gradient are bf16, channels last
    bool *part;                         // by value: made here; NULL: the plan is of the whole graph
    struct plan *prefix;                // of a plan of the rest
    int ends[MAX_ENDS], n_ends;         // values between the prefix and the rest, in both
    float *end[MAX_ENDS], *padded;      // the prefix's: what it made; a batch that was filled up
    size_t end_floats;                  // of all ends and `padded`
    struct fold *folds; int n_folds;
    float *fold_block; size_t fold_floats;
    uint64_t fold_version; bool folded;
    struct json_t *record, *timed;      // choice.c: times of this machine, and those taken for this plan
    size_t bytes;
    double loss;
    int hits;
};

static inline float *plan_buffer(const struct plan *p, int buffer, const struct run *run)
{
    if (buffer <= BUFFER_END)
        return p->prefix->end[BUFFER_END - buffer];
    return buffer == BUFFER_INPUT ? (float *)run->input
                                  : buffer == NO_BUFFER ? NULL : (float *)(p->arena->base + p->buffers[buffer].offset);
}
size_t plan_image(const struct plan *p, int buffer); // floats from one image to the next
static inline struct map plan_map(const struct plan *p, int buffer, const struct run *run)
{
    return (struct map){plan_buffer(p, buffer, run), plan_image(p, buffer)};
}
static inline bool is_view(const struct plan *p, int buffer)
{
    return buffer >= 0 && p->buffers[buffer].parent != NO_BUFFER;
}
static inline float *plan_param(const struct plan *p, int entry)
{
    return p->params->block + p->params->entries[entry].offset;
}
static inline int blocks_of(int c, int lanes) { return (c + lanes - 1) / lanes; }
size_t value_floats(const struct plan *p, int value); // of the whole batch, tails included
struct map_shape value_map(const struct plan *p, int value);
struct rows value_rows(const struct plan *p, int value);
int cell_input(const struct cell *cell, int k); // the value the cell reads as its node's k-th
const struct node *only_consumer(const struct plan *p, int value); // NULL: several, or it is an output
enum dnn_act value_act(const struct plan *p, int value); // the activation that made it, seen through max pools

// steps.c: emits the steps of a cell.
graft_status cell_forward(struct plan *p, const struct cell *cell);
graft_status cell_backward(struct plan *p, const struct cell *cell);
graft_status loss_steps(struct plan *p);
void values_drop(
    struct plan *p); // before the first step backward: what can be made again from what is kept is not kept
bool plan_runs(const struct plan *p, const struct node *node); // else nothing that this plan is for needs it
// step_bf16.c: which values are bf16; a step that changes a map's precision.
void narrow_mark(struct plan *p);
bool step_converts(const struct step *s);
// views.c: which values are written straight into a concat's.
graft_status views_make(struct plan *p);
// explain.c: which values have a gradient in PLAN_EXPLAIN; its steps after the forward ones.
void explain_mark(struct plan *p);
graft_status explain_steps(struct plan *p);
// fold.c: refreshes derived weights when the parameters changed.
graft_status folds_make(struct plan *p);
void folds_refresh(struct plan *p);
// plan.c: what steps.c builds with.
struct step *step_new(struct plan *p); // NULL: no memory
int buffer_new(struct plan *p, size_t floats); // NO_BUFFER: no memory
int view_new(struct plan *p, int parent, size_t at, size_t floats); // NO_BUFFER: no memory
void buffer_use(struct plan *p, int buffer); // by the newest step
