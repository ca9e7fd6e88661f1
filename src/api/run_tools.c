// api/run_tools.c: `graft inspect`, `graft models`, `graft bench`.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "fetch/fetch.h"
#include "optim/optim.h"
#include "weights/weights.h"
#include <stdlib.h>
#include <string.h>

void result_take(json_t *take_object)
{
    char *text = json_text(take_object);
    if (text != NULL)
        hooks_result(text);
    mem_free(text);
    json_decref(take_object);
}

graft_status run_inspect(const graft_options *o)
{
    struct tensor_set set = {0};
    const struct network *net;
    graft_status status = GRAFT_OK;
    if (o->n_inputs != 1)
        return fail(GRAFT_BAD_OPTION, "which file? graft inspect FILE");
    TRY_GOTO(weights_read(o->inputs[0], &set));
    json_t *result = json_object(), *tensors = json_array();
    json_object_set_new(result, "file", json_string(o->inputs[0]));
    json_object_set_new(result, "format", json_string(set.format));
    size_t parameters = 0;
    for (size_t i = 0; i < set.count; i++) {
        size_t count;
        if (shape_count(set.items[i].shape, &count))
            parameters += count;
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:s}", "name", set.items[i].name, "dtype",
                                                 dtype_name(set.items[i].dtype), "shape", shape_text(set.items[i].shape)));
    }
    json_object_set_new(result, "tensors", tensors);
    json_object_set_new(result, "values", json_integer((json_int_t)parameters));
    model_forget_slots(&set); // a checkpoint's
    if (zoo_match(&set, &(struct match_request){.path = o->inputs[0]}, &net) == GRAFT_OK)
        json_object_set_new(result, "network", json_string(net->name));
    else
        json_object_set_new(result, "reason", json_string(graft_message()));
    result_take(result);
done:
    tensor_set_free(&set);
    return status;
}

static graft_status layers(const struct network *net)
{
    struct graph g = {0};
    graft_status status = net->build(net, &g, net->input.size, net->classes, net->dropout);
    for (int i = 0; status == GRAFT_OK && i < g.n_nodes; i++) {
        const struct node *node = &g.nodes[i];
        if (node->op != OP_CONV && node->op != OP_DENSE)
            continue;
        const struct value *out = &g.values[node->out];
        const struct shape shape = out->flat ? SHAPE(out->c) : SHAPE(out->c, out->h, out->w);
        result_take(json_pack("{s:i, s:s, s:s, s:s}", "row", node->row + 1, "name", graph_row_name(&g, node->row), "weight",
                              shape_text(g.params[node->param[0]].shape), "output", shape_text(shape)));
    }
    graph_fini(&g);
    return status;
}

graft_status networks_check(const graft_options *o)
{
    for (size_t i = 0; i < o->n_inputs; i++)
        if (zoo_find(o->inputs[i]) == NULL)
            return fail(GRAFT_BAD_OPTION, "no network '%s'; did you mean '%s'?", o->inputs[i], zoo_nearest(o->inputs[i]));
    return GRAFT_OK;
}

graft_status run_models(const graft_options *o)
{
    TRY(networks_check(o));
    if (option_set(o, "layers")) {
        if (o->n_inputs != 1)
            return fail(GRAFT_BAD_OPTION, "--layers shows one network: graft models NET --layers");
        return layers(zoo_find(o->inputs[0]));
    }
    const int count = o->n_inputs > 0 ? (int)o->n_inputs : zoo_count();
    for (int i = 0; i < count; i++) {
        const struct network *net = o->n_inputs > 0 ? zoo_find(o->inputs[i]) : zoo_at(i);
        struct graph g = {0};
        struct found_file here = {0};
        graft_status status = net->build(net, &g, net->input.size, net->classes, net->dropout);
        if (status == GRAFT_OK)
            status = fetch_locate(net, &(struct fetch_request){0}, &here);
        if (status == GRAFT_OK)
            result_take(json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:I, s:f, s:b, s:s?}", "name", net->name, "title",
                                  net->title, "publisher", net->publisher, "license", net->license, "size", net->input.size,
                                  "top1", net->top1, "top5", net->top5, "parameters",
                                  (json_int_t)graph_parameters(&g, false), "multiply_adds", graph_multiply_adds(&g),
                                  "cached", here.path != NULL, "path", here.path));
        found_file_free(&here);
        graph_fini(&g);
        TRY(status);
    }
    return GRAFT_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { BENCH_CLASSES = 10 };

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
    double *seconds = NULL;
    graft_status status = GRAFT_OK;
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
    TRY_GOTO(model_open(&request, &m));
    const double started = now_seconds();
    const struct plan_options options = {.batch = (int)batch, .mode = mode == 1 ? PLAN_INFER : PLAN_TRAIN};
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(plan_build(&m.graph, &m.params, arena, &options, &plan));
    TRY_GOTO(arena_reserve(arena));
    if (mode != 1)
        TRY_GOTO(optimizer_init(&optimizer, &rule, &m.params));
    const size_t item = 3 * (size_t)m.input.size * m.input.size;
    input = mem_aligned((size_t)batch * item * sizeof *input);
    targets = mem_zero((size_t)batch * BENCH_CLASSES, sizeof *targets);
    seconds = mem_alloc((size_t)steps * sizeof *seconds);
    if (input == NULL || targets == NULL || seconds == NULL)
        TRY_GOTO(fail_memory("the benchmark's pictures"));
    for (size_t i = 0; i < (size_t)batch * item; i++)
        input[i] = rng_unit(rng_hash(RNG_BENCH, i, 0, 0)) * 2 - 1;
    for (long i = 0; i < batch; i++)
        targets[i * BENCH_CLASSES + i % BENCH_CLASSES] = 1;
    double first = 0;
    for (long i = -1; i < steps; i++) {
        const double begin = now_seconds();
        const struct run run = {.input = input, .targets = targets, .seed = 1, .step = (uint64_t)(i + 1),
                                .ready = optimizer_gradient, .user = &optimizer};
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
    qsort(seconds, (size_t)steps, sizeof *seconds, ascending);
    const double median = steps % 2 == 1 ? seconds[steps / 2] : (seconds[steps / 2] + seconds[steps / 2 - 1]) / 2;
    result_take(json_pack("{s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:s, s:i}", "network", m.network->name, "mode", modes[mode],
                          "batch", (int)batch, "img_s", batch / median, "best", batch / seconds[0], "first_s", first,
                          "rss_mb", mem_resident_peak() / 1048576.0, "isa", exec_isa(), "threads", exec_threads()));
done:
    optimizer_fini(&optimizer);
    mem_free(input);
    mem_free(targets);
    mem_free(seconds);
    plan_free(plan);
    arena_free(arena);
    model_close(&m);
    return status;
}
