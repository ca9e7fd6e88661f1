// optim/optim.c: the table of rules, and a step: gathering, clipping, weight decay, the rule.
// Order, as in both frameworks: mean over the batches, clipping, weight decay, update.

#include "optim/optim.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

static const struct optim_rule rules[] = {
    {"sgd", {"velocity"}, {sgd_keras, sgd_torch}, .decoupled = {true, false}},
    {"adam", {"momentum", "velocity"}, {adam_keras, adam_torch}, .epsilon = {1e-7, 1e-8}, .decoupled = {true, false}},
    {"adamw",
     {"momentum", "velocity"},
     {adam_keras, adam_torch},
     .epsilon = {1e-7, 1e-8},
     .weight_decay = {0.004, 0.01},
     .decoupled = {true, true}},
    {"rmsprop",
     {"velocity", "momentum"},
     {rmsprop_keras, rmsprop_torch},
     .epsilon = {1e-7, 1e-8},
     .rho = {0.9, 0.99},
     .decoupled = {true, false}},
};

const struct optim_rule *optim_rule_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        if (strcmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

const char *const *optim_names(void)
{
    static const char *names[COUNT_OF(rules) + 1];
    for (size_t i = 0; i < COUNT_OF(rules); i++)
        names[i] = rules[i].name;
    return names;
}

static int slot_count(const struct optim_rule *rule)
{
    int n = 0;
    while (n < OPTIM_SLOTS && rule->slots[n] != NULL)
        n++;
    return n;
}

static bool gathers(const struct optim_options *o) { return o->clip_norm > 0 || o->accumulate > 1; }

size_t optimizer_blocks(const struct optim_options *options)
{
    return (size_t)slot_count(optim_rule_find(options->name)) + gathers(options);
}

static graft_status block_new(const struct params *p, float **out)
{
    const size_t floats = p->group_begin[PARAM_TRAINABLE + 1] - p->group_begin[PARAM_TRAINABLE];
    *out = mem_aligned((floats + 16) * sizeof **out);
    if (*out == NULL)
        return fail_memory("the optimizer's state");
    memset(*out, 0, floats * sizeof **out);
    return GRAFT_OK;
}

graft_status optimizer_init(struct optimizer *o, const struct optim_options *options, struct params *params)
{
    graft_status status = GRAFT_OK;
    *o = (struct optimizer){.options = *options, .rule = optim_rule_find(options->name), .params = params};
    ASSERT(o->rule != NULL && options->accumulate >= 1 && params->group_begin[PARAM_TRAINABLE] == 0);
    struct optim_options *own = &o->options;
    own->epsilon = own->epsilon < 0 ? o->rule->epsilon[own->rules] : own->epsilon;
    own->rho = own->rho < 0 ? o->rule->rho[own->rules] : own->rho;
    own->weight_decay = own->weight_decay < 0 ? o->rule->weight_decay[own->rules] : own->weight_decay;
    o->entries = mem_zero((size_t)params->count + 1, sizeof *o->entries);
    if (o->entries == NULL)
        TRY_GOTO(fail_memory("the optimizer's state"));
    for (int i = 0; i < params->count; i++)
        o->entries[i] =
            (struct optim_entry){1, own->decay_all || params->entries[i].shape.rank > 1, false, OPTIM_NEVER};
    for (int i = 0; i < slot_count(o->rule); i++)
        TRY_GOTO(block_new(params, &o->slot[i]));
    if (gathers(own))
        TRY_GOTO(block_new(params, &o->gathered));
done:
    if (status != GRAFT_OK)
        optimizer_fini(o);
    return status;
}

void optimizer_fini(struct optimizer *o)
{
    for (int i = 0; i < OPTIM_SLOTS; i++)
        mem_free(o->slot[i]);
    mem_free(o->gathered);
    mem_free(o->entries);
    *o = (struct optimizer){0};
}

static void clip_values(float *g, size_t n, float limit)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        g[i] = g[i] > limit ? limit : g[i] < -limit ? -limit : g[i];
}

static void decay_decoupled(float *w, size_t n, float share)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        w[i] -= w[i] * share;
}

static void decay_coupled(float *g, const float *w, size_t n, float decay)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        g[i] += decay * w[i];
}

static void part_update(struct optimizer *o, struct gradient g)
{
    const struct optim_options *own = &o->options;
    const size_t offset = o->params->entries[g.entry].offset + g.first;
    const struct optim_entry *state = &o->entries[g.entry];
    const uint64_t before =
        own->rules == RULES_TORCH ? o->updates - state->first : o->updates; // PyTorch counts by parameter
    struct rule_step step = {.options = own, .w = o->params->block + offset, .g = g.values, .n = g.n,
                             .rate = o->rate * state->scale, .momentum = o->momentum, .t = before + 1};
    for (int i = 0; i < OPTIM_SLOTS; i++)
        step.slot[i] = o->slot[i] != NULL ? o->slot[i] + offset : NULL;
    if (own->clip_value > 0)
        clip_values(g.values, g.n, (float)own->clip_value);
    if (own->weight_decay > 0 && state->decays) {
        if (o->rule->decoupled[own->rules])
            decay_decoupled(step.w, g.n, (float)(own->weight_decay * step.rate));
        else
            decay_coupled(g.values, step.w, g.n, (float)own->weight_decay);
    }
    o->rule->update[own->rules](&step);
}

void optimizer_begin(struct optimizer *o, double rate, double momentum, int pictures)
{
    o->rate = rate;
    o->momentum = momentum;
    o->batches++;
    o->batch_pictures = pictures;
    o->pictures += pictures;
}

void optimizer_gradient(void *optimizer, struct gradient g)
{
    struct optimizer *o = optimizer;
    struct optim_entry *state = &o->entries[g.entry];
    if (state->first == OPTIM_NEVER)
        state->first = o->updates;
    if (o->gathered == NULL) {
        part_update(o, g);
        return;
    }
    float *sum = o->gathered + o->params->entries[g.entry].offset + g.first;
    const float weight = o->options.accumulate > 1 ? (float)o->batch_pictures : 1;
    if (g.first == 0 && !state->gathered)
        memset(sum, 0, o->params->entries[g.entry].size * sizeof *sum);
    state->gathered = true;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < g.n; i++)
        sum[i] += weight * g.values[i];
}

// The parts are the same whatever the number of threads, so the sum is.
static double sum_of_squares(const float *g, size_t n)
{
    enum { PARTS = 64 };
    double part[PARTS], sum = 0;
    const size_t size = (n + PARTS - 1) / PARTS;
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < PARTS; k++) {
        const size_t end = (k + 1) * size < n ? (k + 1) * size : n;
        part[k] = 0;
        for (size_t i = k * size; i < end; i++)
            part[k] += (double)g[i] * g[i];
    }
    for (size_t k = 0; k < PARTS; k++)
        sum += part[k];
    return sum;
}

// From the sum of the batches' gradients to what the rule gets: the mean, clipped.  Keras clips to limit min(1 / norm,
// 1 / limit), PyTorch to min(1, limit / (norm + 1e-6)).
static double gathered_factor(const struct optimizer *o)
{
    const double limit = o->options.clip_norm, mean = o->options.accumulate > 1 ? 1.0 / o->pictures : 1;
    double sum = 0;
    if (limit == 0)
        return mean;
    for (int i = 0; i < o->params->count; i++)
        if (o->entries[i].gathered)
            sum += sum_of_squares(o->gathered + o->params->entries[i].offset, o->params->entries[i].size);
    const double norm = mean * sqrt(sum), over = limit / (o->options.rules == RULES_TORCH ? norm + 1e-6 : norm);
    return over < 1 ? mean * over : mean;
}

static void scale(float *g, size_t n, float factor)
{
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < n; i++)
        g[i] *= factor;
}

static void gathered_update(struct optimizer *o)
{
    const float factor = (float)gathered_factor(o);
    for (int i = 0; i < o->params->count; i++) {
        const struct param_entry *e = &o->params->entries[i];
        float *g = o->gathered + e->offset;
        if (!o->entries[i].gathered)
            continue;
        if (factor != 1)
            scale(g, e->size, factor);
        part_update(o, (struct gradient){i, 0, e->size, g});
        o->entries[i].gathered = false;
    }
}

void optimizer_end(struct optimizer *o)
{
    if (o->batches >= o->options.accumulate)
        optimizer_flush(o);
}

void optimizer_flush(struct optimizer *o)
{
    if (o->batches == 0)
        return;
    if (o->gathered != NULL)
        gathered_update(o);
    o->updates++;
    o->batches = 0;
    o->pictures = 0;
}
