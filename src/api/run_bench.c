// api/run_bench.c: `graft bench NET`: images a second, and with --layers what each step of the plan costs.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "optim/optim.h"
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { BENCH_CLASSES = 10 };

static double median(double *values, long n) // sorts
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2] + values[n / 2 - 1]) / 2;
}

// A row a step: the median over the passes of what it took.  seconds: (passes, steps of the plan).
static graft_status layers_show(const struct plan *plan, const double *seconds, long passes)
{
    const int steps = plan_step_count(plan);
    const double peak = exec_peak();
    double *taken = mem_alloc((size_t)passes * sizeof *taken);
    if (taken == NULL)
        return fail_memory("the table of layers");
    for (int i = 0; i < steps; i++) {
        const struct plan_step s = plan_step_at(plan, i);
        for (long k = 0; k < passes; k++)
            taken[k] = seconds[k * steps + i];
        const double t = median(taken, passes);
        result_take(json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f}", "layer", s.layer, "op", s.op, "pass",
                              s.pass, "algorithm", s.algorithm, "ms", t * 1e3, "gflop_s", s.flops / t / 1e9,
                              "peak_share", s.flops / t / peak, "mb", s.bytes / 1e6, "gb_s", s.bytes / t / 1e9));
    }
    mem_free(taken);
    return GRAFT_OK;
}

enum mode { MODE_TRAIN, MODE_INFER, MODE_HEAD };
static const char *const modes[] = {"train", "infer", "head", NULL}; // by enum mode

struct bench {
    enum mode mode;
    int batch;
    long steps;
    bool layers;
    struct model model;
    struct arena *arena;
    struct plan *plan;
    struct optimizer optimizer;
    float *input, *targets;    // (batch, 3, size, size), (batch, classes)
    double *seconds, *by_step; // (steps), (steps, steps of the plan)
    double first;              // seconds from the model to the end of the warm-up
};

static void bench_fini(struct bench *b)
{
    optimizer_fini(&b->optimizer);
    mem_free(b->input);
    mem_free(b->targets);
    mem_free(b->seconds);
    mem_free(b->by_step);
    plan_free(b->plan);
    arena_free(b->arena);
    model_close(&b->model);
}

static graft_status bench_options(const graft_options *o, long *imgsz, struct bench *b)
{
    long batch, threads;
    int mode;
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "steps", 1, 100000, &b->steps));
    TRY(option_long(o, "imgsz", 0, 4096, imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_choice(o, "mode", modes, &mode));
    if (o->n_inputs != 1)
        return fail(GRAFT_BAD_OPTION, "which network? graft bench NET");
    exec_set_threads((int)threads);
    b->mode = (enum mode)mode;
    b->batch = (int)batch;
    b->layers = option_set(o, "layers");
    return GRAFT_OK;
}

// Random weights, and every head that trains where the network comes from.
static graft_status bench_model(const graft_options *o, long imgsz, struct bench *b)
{
    struct model_request request = {.network = o->inputs[0], .weights = "none", .n_classes = BENCH_CLASSES,
                                    .size = (int)imgsz, .dropout = -1, .resize = -1, .bn = BN_TRAIN};
    freeze_option(o, &request);
    if (b->mode == MODE_HEAD)
        request.freeze = -1;
    const struct network *net = zoo_find(o->inputs[0]); // unknown: model_open says so
    float aux_weights[MAX_OUTPUTS];
    for (int i = 0; net != NULL && i < network_aux_count(net); i++)
        aux_weights[request.n_aux_weights++] = net->aux[i].framework;
    request.aux_weights = request.n_aux_weights > 0 ? aux_weights : NULL;
    return model_open(&request, &b->model);
}

static graft_status bench_plan(const graft_options *o, struct bench *b)
{
    const struct optim_options rule = {.name = "sgd", .nesterov = true, .accumulate = 1};
    struct plan_options options = {.batch = b->batch, .mode = b->mode == MODE_INFER ? PLAN_INFER : PLAN_TRAIN,
                                   .exact = option_set(o, "exact"), .time = true};
    TRY(precision_option(o, &options.bf16));
    TRY(arena_new(&b->arena));
    TRY(plan_build(&b->model.graph, &b->model.params, b->arena, &options, &b->plan));
    TRY(arena_reserve(b->arena));
    return b->mode == MODE_INFER ? GRAFT_OK : optimizer_init(&b->optimizer, &rule, &b->model.params);
}

static graft_status bench_pictures(struct bench *b)
{
    const size_t batch = (size_t)b->batch, item = 3 * (size_t)b->model.input.size * b->model.input.size;
    b->input = mem_aligned(batch * item * sizeof *b->input);
    b->targets = mem_zero(batch * BENCH_CLASSES, sizeof *b->targets);
    b->seconds = mem_alloc((size_t)b->steps * sizeof *b->seconds);
    b->by_step = mem_alloc((size_t)b->steps * (size_t)plan_step_count(b->plan) * sizeof *b->by_step);
    if (b->input == NULL || b->targets == NULL || b->seconds == NULL || b->by_step == NULL)
        return fail_memory("the benchmark's pictures");
    for (size_t i = 0; i < batch * item; i++)
        b->input[i] = rng_unit(rng_hash(RNG_BENCH, i, 0, 0)) * 2 - 1;
    for (size_t i = 0; i < batch; i++)
        b->targets[i * BENCH_CLASSES + i % BENCH_CLASSES] = 1;
    return GRAFT_OK;
}

// A warm-up and the steps.
static graft_status bench_steps(struct bench *b, double started)
{
    const int plan_steps = plan_step_count(b->plan);
    for (long i = -1; i < b->steps; i++) {
        const double begin = now_seconds();
        const struct run run = {.input = b->input, .targets = b->targets, .seed = 1, .step = (uint64_t)(i + 1),
                                .ready = optimizer_gradient, .user = &b->optimizer,
                                .seconds = b->layers && i >= 0 ? b->by_step + i * plan_steps : NULL};
        double loss;
        if (b->mode != MODE_INFER)
            optimizer_begin(&b->optimizer, 1e-3, 0.9, b->batch);
        TRY(plan_run(b->plan, &run, &loss));
        if (b->mode != MODE_INFER)
            optimizer_end(&b->optimizer);
        if (i >= 0)
            b->seconds[i] = now_seconds() - begin;
        else
            b->first = now_seconds() - started;
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "stopped");
    }
    return GRAFT_OK;
}

graft_status run_bench(const graft_options *o)
{
    struct bench b = {0};
    long imgsz;
    graft_status status = GRAFT_OK;
    if (o->n_inputs == 1 && strcmp(o->inputs[0], "loader") == 0)
        return run_bench_loader(o);
    TRY(bench_options(o, &imgsz, &b));
    TRY_GOTO(bench_model(o, imgsz, &b));
    const double started = now_seconds();
    TRY_GOTO(bench_plan(o, &b));
    TRY_GOTO(bench_pictures(&b));
    TRY_GOTO(bench_steps(&b, started));
    if (b.layers)
        TRY_GOTO(layers_show(b.plan, b.by_step, b.steps));
    const double middle = median(b.seconds, b.steps);
    result_take(json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:s, s:i}", "network", b.model.network->name,
                          "mode", modes[b.mode], "precision", option_text(o, "precision"), "batch", b.batch, "img_s",
                          b.batch / middle, "best", b.batch / b.seconds[0], "first_s", b.first, "rss_mb",
                          mem_resident_peak() / 1048576.0, "isa", exec_isa(), "threads", exec_threads()));
done:
    bench_fini(&b);
    return status;
}
