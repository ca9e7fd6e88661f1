// exec/plan.c: from a graph to a linear program over one arena.
// In: graph, batch, mode.  Out: steps in order, every buffer placed by its lifetime.  Passes: which values need a
// gradient; cells (what fuses with what); forward steps; loss; backward steps, newest cell first; placement.
// A frozen prefix needs no gradient, so it gets no backward step and nothing of it outlives its last forward use.

#include "exec/choice.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct map_shape value_map(const struct plan *p, int value)
{
    const struct value *v = &p->graph->values[value];
    return (struct map_shape){p->options.batch, blocks_of(v->c, p->kernels->lanes), v->h, v->w};
}

size_t value_floats(const struct plan *p, int value)
{
    const struct value *v = &p->graph->values[value];
    if (v->flat)
        return (size_t)p->options.batch * v->c;
    const struct map_shape m = value_map(p, value);
    return (size_t)m.n * m.cb * m.h * m.w * p->kernels->lanes;
}

struct rows value_rows(const struct plan *p, int value)
{
    const size_t n = (size_t)p->options.batch;
    return (struct rows){n, value_floats(p, value) / n};
}

size_t plan_image(const struct plan *p, int buffer)
{
    if (buffer <= BUFFER_END)
        return plan_end_floats(p->prefix, BUFFER_END - buffer);
    const struct value *in = &p->graph->values[0];
    return buffer == BUFFER_INPUT ? (size_t)in->c * in->h * in->w
                                  : buffer == NO_BUFFER ? 0 : p->buffers[buffer].image;
}

struct step *step_new(struct plan *p)
{
    if (!mem_grow(&p->steps, &p->step_capacity, (size_t)p->n_steps + 1, sizeof *p->steps))
        return NULL;
    struct step *s = &p->steps[p->n_steps++];
    *s = (struct step){.src = NO_BUFFER, .src2 = NO_BUFFER, .dst = NO_BUFFER, .dst2 = NO_BUFFER, .extra = NO_BUFFER,
                       .extra2 = NO_BUFFER, .scratch = NO_BUFFER, .partial = NO_BUFFER, .entry = -1};
    return s;
}

int buffer_new(struct plan *p, size_t floats)
{
    if (!mem_grow(&p->buffers, &p->buffer_capacity, (size_t)p->n_buffers + 1, sizeof *p->buffers))
        return NO_BUFFER;
    p->buffers[p->n_buffers] =
        (struct buffer){.bytes = (floats * sizeof(float) + 63) / 64 * 64, .first = INT_MAX, .last = -1,
                        .image = floats / (size_t)p->options.batch, .parent = NO_BUFFER};
    return p->n_buffers++;
}

int view_new(struct plan *p, int parent, size_t at, size_t floats)
{
    const int view = buffer_new(p, floats);
    if (view == NO_BUFFER)
        return NO_BUFFER;
    struct buffer *b = &p->buffers[view];
    const struct buffer *from = &p->buffers[parent];
    b->image = from->image;
    b->parent = from->parent != NO_BUFFER ? from->parent : parent;
    b->at = from->at + at;
    return view;
}

void buffer_use(struct plan *p, int buffer)
{
    if (buffer < 0)
        return;
    struct buffer *b = &p->buffers[is_view(p, buffer) ? p->buffers[buffer].parent : buffer];
    const int now = p->n_steps - 1;
    b->first = now < b->first ? now : b->first;
    b->last = now > b->last ? now : b->last;
}

static enum dnn_act act_of(enum op op) { return op == OP_RELU ? ACT_RELU : op == OP_RELU6 ? ACT_RELU6 : ACT_NONE; }

bool plan_runs(const struct plan *p, const struct node *node)
{
    if (p->part != NULL && (!p->part[node->out] || p->prefix == NULL))
        return p->part[node->out];
    if (p->options.mode == PLAN_TRAIN)
        return node->for_loss;
    return node->for_prediction || (p->options.losses && node->for_loss);
}

// The only consumer of a value, or NULL when it has several or is an output.
const struct node *only_consumer(const struct plan *p, int value)
{
    const struct graph *g = p->graph;
    const struct node *found = NULL;
    for (int i = 0; i < g->n_outputs; i++)
        if (value == g->outputs[i].value)
            return NULL;
    for (int i = 0; i < p->n_ends; i++)
        if (value == p->ends[i])
            return NULL;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; plan_runs(p, &g->nodes[i]) && k < g->nodes[i].n_in; k++)
            if (g->nodes[i].in[k] == value) {
                if (found != NULL)
                    return NULL;
                found = &g->nodes[i];
            }
    return found;
}

enum dnn_act value_act(const struct plan *p, int value)
{
    if (p->options.mode == PLAN_EXPLAIN &&
        value == p->options.keep) // whose gradient is wanted, not that of what is before it
        return ACT_NONE;
    for (int i = 0; i < p->n_cells; i++)
        if (p->cells[i].out == value)
            return p->cells[i].node->op == OP_MAXPOOL ? value_act(p, p->cells[i].node->in[0]) : p->cells[i].act;
    return ACT_NONE;
}

static bool op_takes_act(enum op op)
{
    return op == OP_CONV || op == OP_BN || op == OP_SCALE || op == OP_DENSE || op == OP_ADD;
}

// The add that alone reads a BatchNorm of the part with gradients, or NULL; in bf16 they are apart.
static const struct node *joins_sum(const struct plan *p, const struct node *node)
{
    if (node->op != OP_BN || !p->needs_gradient[node->out] || p->options.bf16 ||
        (p->options.mode == PLAN_EXPLAIN && node->out == p->options.keep))
        return NULL;
    const struct node *next = only_consumer(p, node->out);
    return next != NULL && next->op == OP_ADD ? next : NULL;
}

int cell_input(const struct cell *cell, int k)
{
    const int in = cell->node->in[k];
    return cell->bn != NULL && in == cell->bn->out ? cell->bn->in[0] : in;
}

static graft_status cells_make(struct plan *p)
{
    const struct graph *g = p->graph;
    bool *absorbed = mem_zero((size_t)g->n_nodes, sizeof *absorbed);
    const struct node **joined = mem_zero((size_t)g->n_nodes, sizeof *joined); // by add: its BatchNorm
    p->cells = mem_zero((size_t)g->n_nodes, sizeof *p->cells);
    if (absorbed == NULL || joined == NULL || p->cells == NULL) {
        mem_free(absorbed);
        mem_free(joined);
        return fail_memory("the plan's cells");
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        if (absorbed[i] || !plan_runs(p, node))
            continue;
        const struct node *sum = joins_sum(p, node);
        if (sum != NULL && joined[sum - g->nodes] == NULL) { // the cell stands at the add, after both branches
            joined[sum - g->nodes] = node;
            continue;
        }
        struct cell *cell = &p->cells[p->n_cells++];
        *cell = (struct cell){.node = node, .bn = joined[i], .out = node->out, .layer = i};
        const struct node *next = only_consumer(p, cell->out);
        const bool fixed = p->options.mode == PLAN_INFER || (next != NULL && !p->needs_gradient[next->out]);
        if (node->op == OP_CONV && next != NULL && next->op == OP_BN && fixed) {
            cell->fold = next;
            cell->out = next->out;
            absorbed[next - g->nodes] = true;
            p->n_folds++;
            next = only_consumer(p, cell->out);
        }
        if (next != NULL && op_takes_act(node->op) && act_of(next->op) != ACT_NONE) {
            cell->act = act_of(next->op);
            cell->out = next->out;
            absorbed[next - g->nodes] = true;
        }
    }
    mem_free(absorbed);
    mem_free(joined);
    return GRAFT_OK;
}

// What of the graph is made here, where it is a part of it, and the ends between the parts.
static graft_status part_mark(struct plan *p, bool of_prefix)
{
    const struct graph *g = p->graph;
    if (!of_prefix && p->prefix == NULL)
        return GRAFT_OK;
    p->part = mem_zero((size_t)g->n_values, sizeof *p->part);
    if (p->part == NULL)
        return fail_memory("the plan's part");
    p->n_ends = graph_prefix(g, p->part, p->ends);
    if (!of_prefix) {
        for (int v = 0; v < g->n_values; v++)
            p->part[v] = !p->part[v];
        for (int k = 0; k < p->n_ends; k++)
            p->value_buffer[p->ends[k]] = BUFFER_END - k;
        return GRAFT_OK;
    }
    memset(p->part, 0, (size_t)g->n_values * sizeof *p->part); // only what leads to an end
    for (int k = 0; k < p->n_ends; k++)
        p->part[p->ends[k]] = true;
    for (int i = g->n_nodes - 1; i >= 0; i--)
        for (int k = 0; p->part[g->nodes[i].out] && k < g->nodes[i].n_in; k++)
            p->part[g->nodes[i].in[k]] = true;
    return GRAFT_OK;
}

static graft_status values_make(struct plan *p, bool of_prefix)
{
    const struct graph *g = p->graph;
    p->value_buffer = mem_alloc((size_t)g->n_values * sizeof(int));
    p->value_gradient = mem_alloc((size_t)g->n_values * sizeof(int));
    p->places = mem_alloc((size_t)g->n_values * sizeof *p->places);
    p->needs_gradient = mem_zero((size_t)g->n_values, sizeof(bool));
    p->masked = mem_zero((size_t)g->n_values, sizeof(bool));
    p->dropped = mem_zero((size_t)g->n_values, sizeof(bool));
    p->narrow = mem_zero((size_t)g->n_values, sizeof(bool));
    if (p->value_buffer == NULL || p->value_gradient == NULL || p->needs_gradient == NULL || p->masked == NULL ||
        p->dropped == NULL || p->places == NULL || p->narrow == NULL)
        return fail_memory("the plan's values");
    for (int v = 0; v < g->n_values; v++) {
        p->value_buffer[v] = p->value_gradient[v] = NO_BUFFER;
        p->places[v] = (struct place){.whole = -1, .statistics = NO_BUFFER};
    }
    p->value_buffer[0] = BUFFER_INPUT;
    TRY(part_mark(p, of_prefix));
    if (p->options.mode == PLAN_TRAIN)
        for (int i = 0; i < g->n_nodes; i++) {
            const struct node *node = &g->nodes[i];
            bool needs = node->trains;
            for (int k = 0; k < node->n_in; k++)
                needs |= p->needs_gradient[node->in[k]];
            p->needs_gradient[node->out] = needs;
        }
    if (p->options.mode == PLAN_EXPLAIN)
        explain_mark(p);
    return GRAFT_OK;
}

struct placed { const struct buffer **items; int count; };

static int by_size(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x > y) - (x < y);
}

// Largest first, each in the lowest gap that is free over its whole life.
static graft_status place(struct plan *p)
{
    struct buffer **order = mem_alloc(((size_t)p->n_buffers + 1) * sizeof *order);
    struct buffer **placed = mem_alloc(((size_t)p->n_buffers + 1) * sizeof *placed); // by offset
    if (order == NULL || placed == NULL) {
        mem_free(order);
        mem_free(placed);
        return fail_memory("the plan's placement");
    }
    int n = 0, n_placed = 0;
    for (int i = 0; i < p->n_buffers; i++)
        if (p->buffers[i].last >= 0)
            order[n++] = &p->buffers[i];
    qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        struct buffer *b = order[i];
        size_t at = 0;
        for (int k = 0; k < n_placed; k++) {
            const struct buffer *other = placed[k];
            if (other->last < b->first || b->last < other->first)
                continue;
            if (at + b->bytes <= other->offset)
                break;
            if (other->offset + other->bytes > at)
                at = other->offset + other->bytes;
        }
        b->offset = at;
        p->bytes = at + b->bytes > p->bytes ? at + b->bytes : p->bytes;
        int k = n_placed++;
        for (; k > 0 && placed[k - 1]->offset > at; k--)
            placed[k] = placed[k - 1];
        placed[k] = b;
    }
    for (int i = 0; i < p->n_buffers; i++)
        if (is_view(p, i))
            p->buffers[i].offset = p->buffers[p->buffers[i].parent].offset + p->buffers[i].at * sizeof(float);
    mem_free(order);
    mem_free(placed);
    return GRAFT_OK;
}

// `of_prefix`: the plan is of the frozen part.
static graft_status build(const struct graph *g, struct params *params, struct arena *arena,
                          const struct plan_options *options, bool of_prefix, struct plan **out)
{
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (options->bf16)
        TRY(exec_bf16_check());
    struct plan *p = mem_zero(1, sizeof *p);
    if (p == NULL)
        return fail_memory("the plan");
    p->graph = g;
    p->params = params;
    p->arena = arena;
    p->options = *options;
    p->prefix = options->prefix;
    p->kernels = exec_kernels();
    exec_threads(); // settles the number of threads before the library counts them
    TRY_GOTO(choices_check(g));
    TRY_GOTO(values_make(p, of_prefix));
    TRY_GOTO(cells_make(p));
    TRY_GOTO(folds_make(p));
    narrow_mark(p);
    TRY_GOTO(views_make(p));
    for (int i = 0; i < p->n_cells; i++)
        TRY_GOTO(cell_forward(p, &p->cells[i]));
    p->first_backward = INT_MAX;
    if (options->mode == PLAN_TRAIN) {
        TRY_GOTO(loss_steps(p));
        p->first_backward = p->n_steps;
        if (!options->keep_all)
            values_drop(p);
        for (int i = p->n_cells - 1; i >= 0; i--)
            if (p->needs_gradient[p->cells[i].out])
                TRY_GOTO(cell_backward(p, &p->cells[i]));
    }
    if (options->mode == PLAN_EXPLAIN)
        TRY_GOTO(explain_steps(p));
    for (int i = 0; i < g->n_outputs; i++)
        buffer_use(p, p->value_buffer[g->outputs[i].value]);
    if (p->prefix == NULL)
        for (int i = 0; i < p->n_ends; i++)
            buffer_use(p, p->value_buffer[p->ends[i]]);
    choices_record(p);
    TRY_GOTO(place(p));
    if (p->bytes > arena->need)
        arena->need = p->bytes;
    *out = p;
    p = NULL;
done:
    plan_free(p);
    return status;
}

graft_status plan_build(const struct graph *g, struct params *params, struct arena *arena,
                        const struct plan_options *options, struct plan **out)
{
    return build(g, params, arena, options, false, out);
}

graft_status plan_prefix_build(const struct graph *g, struct params *params, struct arena *arena,
                               const struct plan_options *options, struct plan **out)
{
    const struct plan_options o = {.batch = options->batch, .mode = PLAN_INFER, .exact = options->exact,
                                   .bf16 = options->bf16,
                                   .poison = options->poison};
    const size_t item = (size_t)g->values[0].c * g->values[0].h * g->values[0].w;
    graft_status status = GRAFT_OK;
    struct plan *p;
    TRY(build(g, params, arena, &o, true, &p));
    *out = NULL;
    if (p->n_ends == 0)
        goto done;
    for (int k = 0; k < p->n_ends; k++) {
        p->end[k] = mem_aligned(value_floats(p, p->ends[k]) * sizeof(float));
        p->end_floats += value_floats(p, p->ends[k]);
        if (p->end[k] == NULL)
            TRY_GOTO(fail_memory("the ends of the frozen part"));
        memset(p->end[k], 0,
               value_floats(p, p->ends[k]) * sizeof(float)); // rows of a batch that is not full are read too
    }
    p->padded = mem_aligned((size_t)o.batch * item * sizeof *p->padded);
    p->end_floats += (size_t)o.batch * item;
    if (p->padded == NULL)
        TRY_GOTO(fail_memory("a batch"));
    *out = p;
    p = NULL;
done:
    plan_free(p);
    return status;
}

int plan_ends(const struct plan *p) { return p->n_ends; }
size_t plan_end_floats(const struct plan *p, int end)
{
    return value_floats(p, p->ends[end]) / (size_t)p->options.batch;
}
float *plan_end(const struct plan *p, int end) { return p->end[end]; }

void plan_free(struct plan *p)
{
    if (p == NULL)
        return;
    for (int i = 0; i < p->n_steps; i++) {
        dnn_conv_free(p->steps[i].conv);
        mem_free(p->steps[i].winograd);
    }
    json_decref(p->record);
    json_decref(p->timed);
    mem_free(p->steps);
    mem_free(p->buffers);
    mem_free(p->cells);
    mem_free(p->value_buffer);
    mem_free(p->value_gradient);
    mem_free(p->places);
    mem_free(p->needs_gradient);
    mem_free(p->masked);
    mem_free(p->part);
    mem_free(p->dropped);
    mem_free(p->narrow);
    mem_free(p->padded);
    for (int i = 0; p->prefix == NULL && i < p->n_ends; i++)
        mem_free(p->end[i]);
    mem_free(p->folds);
    mem_free(p->fold_block);
    mem_free(p);
}

size_t plan_own_bytes(const struct plan *p) { return (p->fold_floats + p->end_floats) * sizeof(float); }
size_t plan_bytes(const struct plan *p) { return p->bytes + plan_own_bytes(p); }
int plan_batch(const struct plan *p) { return p->options.batch; }

graft_status arena_new(struct arena **out)
{
    *out = mem_zero(1, sizeof **out);
    return *out != NULL ? GRAFT_OK : fail_memory("the arena");
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    mem_free(arena->base);
    mem_free(arena);
}

size_t arena_bytes(const struct arena *arena) { return arena->need; }

graft_status arena_reserve(struct arena *arena)
{
    if (arena->have >= arena->need && arena->base != NULL)
        return GRAFT_OK;
    mem_free(arena->base);
    arena->have = 0;
    arena->base = mem_aligned(arena->need > 0 ? arena->need : 64);
    if (arena->base == NULL)
        return fail(GRAFT_NO_RESOURCE, "the plan needs %.0f MB for activations and gradients and memory is out; use a "
                    "smaller --batch or --imgsz, or freeze more layers", arena->need / 1e6);
    const uintptr_t huge = (uintptr_t)1 << 21, first = ((uintptr_t)arena->base + huge - 1) / huge * huge;
    if ((uintptr_t)arena->base + arena->need >
        first + huge) // fewer page walks; advice, so a refusal is none of our business
        madvise((void *)first, ((uintptr_t)arena->base + arena->need - first) / huge * huge, MADV_HUGEPAGE);
    arena->have = arena->need;
    return GRAFT_OK;
}

static graft_status steps_run(struct plan *p, const struct run *run)
{
    ASSERT(p->arena->have >= p->bytes);
    folds_refresh(p);
    if (p->options.poison)
        memset(p->arena->base, 0xff, p->bytes); // every float a NaN
    for (int i = 0; i < p->n_steps; i++) {
        const double begin = run->seconds != NULL ? now_seconds() : 0;
        TRY(p->steps[i].run(p, &p->steps[i], run));
        if (run->seconds != NULL)
            run->seconds[i] = now_seconds() - begin;
    }
    return GRAFT_OK;
}

graft_status plan_prefix_run(struct plan *p, const float *input, int n, double *seconds)
{
    const struct value *in = &p->graph->values[0];
    const size_t item = (size_t)in->c * in->h * in->w;
    ASSERT(n >= 1 && n <= p->options.batch);
    for (int i = n; i < p->options.batch; i++) { // a picture's ends are the same beside any others
        if (i == n)
            memcpy(p->padded, input, (size_t)n * item * sizeof *input);
        memcpy(p->padded + (size_t)i * item, input, item * sizeof *input);
    }
    TRY(steps_run(p, &(struct run){.input = n < p->options.batch ? p->padded : input, .seconds = seconds}));
    for (int k = 0; k < p->n_ends; k++) // out of the arena, which the rest is about to use
        memcpy(p->end[k], plan_buffer(p, p->value_buffer[p->ends[k]], NULL),
               value_floats(p, p->ends[k]) * sizeof(float));
    return GRAFT_OK;
}

graft_status plan_run(struct plan *p, const struct run *run, double *loss)
{
    if (p->prefix != NULL && run->input != NULL)
        TRY(plan_prefix_run(p->prefix, run->input, p->options.batch, run->prefix_seconds));
    TRY(steps_run(p, run));
    if (p->options.mode == PLAN_TRAIN) {
        p->params->version++;
        p->params->steps++;
    }
    if (loss != NULL)
        *loss = p->loss;
    return GRAFT_OK;
}

int plan_hits(const struct plan *p) { return p->hits; }

const float *plan_logits(const struct plan *p) { return plan_buffer(p, p->value_buffer[p->graph->output], NULL); }

const float *plan_output(const struct plan *p, int output)
{
    return plan_buffer(p, p->value_buffer[p->graph->outputs[output].value], NULL);
}

void plan_probabilities(const struct plan *p, float *probabilities)
{
    const struct graph *g = p->graph;
    const int n = p->options.batch, classes = g->values[g->output].c;
    const float *logits[MAX_OUTPUTS];
    int count = 0;
    for (int k = 0; k < g->n_outputs; k++)
        if (g->outputs[k].predicts)
            logits[count++] = plan_output(p, k);
    softmax_mean(logits, count, probabilities, n, classes);
}
