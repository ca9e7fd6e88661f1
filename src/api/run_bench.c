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

graft_status run_bench(const graft_options *o)
{
    static const char *const modes[] = {"train", "infer", "head", NULL};
    long batch, steps, imgsz, threads;
    int mode;
    struct model m = {0};
    struct arena *arena = NULL;
    struct plan *plan = NULL;
    struct optimizer optimizer = {0};
    const struct optim_options rule = {.name = "sgd", .nesterov = true, .accumulate = 1};
    float *input = NULL, *targets = NULL;
    double *seconds = NULL, *by_step = NULL;
    graft_status status = GRAFT_OK;
    if (o->n_inputs == 1 && strcmp(o->inputs[0], "loader") == 0)
        return run_bench_loader(o);
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "steps", 1, 100000, &steps));
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_choice(o, "mode", modes, &mode));
    if (o->n_inputs != 1)
        return fail(GRAFT_BAD_OPTION, "which network? graft bench NET");
    exec_set_threads((int)threads);
    struct model_request request = {.network = o->inputs[0], .weights = "none", .n_classes = BENCH_CLASSES,
                                    .size = (int)imgsz, .dropout = -1, .resize = -1, .bn = BN_TRAIN};
    freeze_option(o, &request);
    if (mode == 2)
        request.freeze = -1;
    const struct network *net = zoo_find(o->inputs[0]); // unknown: model_open says so
    float aux_weights[MAX_OUTPUTS];
    for (int i = 0; net != NULL && i < network_aux_count(net); i++) // as where the network comes from
        aux_weights[request.n_aux_weights++] = net->aux[i].framework;
    request.aux_weights = request.n_aux_weights > 0 ? aux_weights : NULL;
    TRY_GOTO(model_open(&request, &m));
    const double started = now_seconds();
    struct plan_options options = {.batch = (int)batch, .mode = mode == 1 ? PLAN_INFER : PLAN_TRAIN,
                                         .exact = option_set(o, "exact"), .time = true};
    TRY_GOTO(precision_option(o, &options.bf16));
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(plan_build(&m.graph, &m.params, arena, &options, &plan));
    TRY_GOTO(arena_reserve(arena));
    if (mode != 1)
        TRY_GOTO(optimizer_init(&optimizer, &rule, &m.params));
    const size_t item = 3 * (size_t)m.input.size * m.input.size;
    input = mem_aligned((size_t)batch * item * sizeof *input);
    targets = mem_zero((size_t)batch * BENCH_CLASSES, sizeof *targets);
    seconds = mem_alloc((size_t)steps * sizeof *seconds);
    const size_t plan_steps = (size_t)plan_step_count(plan);
    by_step = mem_alloc((size_t)steps * plan_steps * sizeof *by_step);
    if (input == NULL || targets == NULL || seconds == NULL || by_step == NULL)
        TRY_GOTO(fail_memory("the benchmark's pictures"));
    for (size_t i = 0; i < (size_t)batch * item; i++)
        input[i] = rng_unit(rng_hash(RNG_BENCH, i, 0, 0)) * 2 - 1;
    for (long i = 0; i < batch; i++)
        targets[i * BENCH_CLASSES + i % BENCH_CLASSES] = 1;
    double first = 0;
    for (long i = -1; i < steps; i++) {
        const double begin = now_seconds();
        const struct run run = {.input = input, .targets = targets, .seed = 1, .step = (uint64_t)(i + 1),
                                .ready = optimizer_gradient, .user = &optimizer,
                                .seconds = option_set(o, "layers") && i >= 0 ? by_step + i * plan_steps : NULL};
        double loss;
        if (mode != 1)
            optimizer_begin(&optimizer, 1e-3, 0.9, (int)batch);
        TRY_GOTO(plan_run(plan, &run, &loss));
        if (mode != 1)
            optimizer_end(&optimizer);
        if (i >= 0)
            seconds[i] = now_seconds() - begin;
        else
            first = now_seconds() - started;
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped"));
    }
    if (option_set(o, "layers"))
        TRY_GOTO(layers_show(plan, by_step, steps));
    const double middle = median(seconds, steps);
    result_take(json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:s, s:i}", "network", m.network->name, "mode",
                          modes[mode], "precision", option_text(o, "precision"), "batch", (int)batch,
                          "img_s", batch / middle, "best", batch / seconds[0],
                          "first_s", first, "rss_mb", mem_resident_peak() / 1048576.0, "isa", exec_isa(), "threads",
                          exec_threads()));
done:
    optimizer_fini(&optimizer);
    mem_free(input);
    mem_free(targets);
    mem_free(seconds);
    mem_free(by_step);
    plan_free(plan);
    arena_free(arena);
    model_close(&m);
    return status;
}
