// api/run_lr_find.c: `graft lr-find`: the range test on a copy of the weights in memory; the plot is all that it
// writes.

#include "api/run.h"
#include "base/log.h"
#include "report/lr_plot.h"
#include "train/range_test.h"
#include <math.h>
#include <string.h>

// The recipe's options, but for those of another phase: everything that ever trains is tested.
static graft_status with_recipe(const graft_options *o, graft_options **out)
{
    static const char *const nothing[] = {NULL};
    json_t *presets;
    char changes[64];
    TRY(recipe_presets(o, &presets));
    if (strcmp(json_string_value(json_object_get(presets, "recipe")), "best") == 0)
        json_object_del(presets, "freeze"); // of the first epoch alone
    const graft_status status = options_merge(o, presets, nothing, changes, sizeof changes, out);
    json_decref(presets);
    return status;
}

static graft_status numbers(const char *key, const double *values, int n, json_t *object)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_real(values[i]));
    return json_object_set_new(object, key, list) == 0 ? GRAFT_OK : fail_memory("the result");
}

static graft_status result_tell(const struct range_result *r, const char *plot)
{
    json_t *result = json_object();
    int lowest = 0;
    for (int i = 0; i < r->n; i++)
        if (r->smoothed[i] < r->smoothed[lowest])
            lowest = i;
    json_object_set_new(result, "suggestion", r->suggested >= 0 ? json_real(r->rates[r->suggested]) : json_null());
    json_object_set_new(result, "suggested_step", json_integer(r->suggested));
    json_object_set_new(result, "lowest", json_real(r->rates[lowest]));
    json_object_set_new(result, "top", json_real(r->top));
    json_object_set_new(result, "plot", json_string(plot));
    graft_status status = numbers("lr", r->rates, r->n, result);
    if (status == GRAFT_OK)
        status = numbers("loss", r->losses, r->n, result);
    if (status == GRAFT_OK)
        status = numbers("smoothed", r->smoothed, r->n, result);
    if (status == GRAFT_OK)
        result_take(json_incref(result));
    json_decref(result);
    if (status == GRAFT_OK && r->suggested < 0)
        log_warning("the loss never falls between these rates, so none is suggested");
    return status;
}

static graft_status range_options_read(const graft_options *o, struct range_options *out)
{
    long steps, batch, workers, seed;
    int bn;
    *out = (struct range_options){.exact = option_set(o, "exact")};
    TRY(learner_options(o, &out->recipe));
    TRY(option_double(o, "lr-min", 1e-12, 1e6, &out->lowest));
    TRY(option_double(o, "lr-max", 1e-12, 1e6, &out->highest));
    TRY(option_long(o, "steps", 20, 100000, &steps));
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "workers", 1, 64, &workers));
    TRY(option_long(o, "seed", 0, 1L << 62, &seed));
    TRY(option_choice(o, "bn", bn_modes, &bn));
    TRY(augment_parse(option_text(o, "augment"), &out->augment));
    out->steps = (int)steps;
    out->batch = (int)batch;
    out->workers = (int)workers;
    out->seed = (uint64_t)seed;
    out->bn = (enum bn_mode)bn;
    if (out->lowest >= out->highest)
        return fail(GRAFT_BAD_OPTION, "--lr-min %g is not below --lr-max %g", out->lowest, out->highest);
    return GRAFT_OK;
}

static graft_status model_for(const graft_options *o, const struct range_options *range, const struct dataset *d,
                              struct model *m)
{
    long imgsz;
    int resize = -1;
    double dropout = -1;
    struct input_spec array;
    float aux_weights[MAX_OUTPUTS];
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    if (option_text(o, "resize") != NULL)
        TRY(option_choice(o, "resize", resize_rules, &resize));
    if (option_text(o, "dropout") != NULL)
        TRY(option_double(o, "dropout", 0, 0.99, &dropout));
    struct model_request request = {.network = network_option(o),
                                    .weights = option_text(o, "weights"),
                                    .offline = option_set(o, "offline"),
                                    .classes = d->classes,
                                    .n_classes = d->n_classes,
                                    .size = (int)imgsz,
                                    .dropout = (float)dropout,
                                    .resize = resize,
                                    .bn = range->bn,
                                    .seed = range->seed};
    freeze_option(o, &request);
    TRY(kernels_option(o, &request.kernels));
    TRY(aux_option(o, aux_weights, &request));
    if (d->array_float) {
        TRY(array_input(d, o, &array));
        request.array = &array;
    }
    TRY(model_open(&request, m));
    m->input.icc |= option_set(o, "icc");
    return GRAFT_OK;
}

static graft_status lr_find(const graft_options *o)
{
    long num_classes, limit, threads;
    struct range_options range;
    struct range_result result = {0};
    struct dataset d = {0};
    struct model m = {0};
    graft_status status = GRAFT_OK;
    TRY(range_options_read(o, &range));
    TRY(option_long(o, "num-classes", 0, 100000, &num_classes));
    TRY(option_long(o, "train-limit", 0, 1L << 40, &limit));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    if (o->n_inputs > 0)
        return fail(GRAFT_BAD_OPTION, "'%s': lr-find takes its data with -d", o->inputs[0]);
    if (option_text(o, "data") == NULL)
        return fail(GRAFT_BAD_OPTION, "which pictures? say -d DATA");
    TRY(output_check(o, "output", ".svg"));
    exec_set_threads((int)threads);
    TRY_GOTO(data_open(o, (int)num_classes, NULL, &d));
    TRY_GOTO(dataset_split(&d, option_text(o, "val"), limit, range.seed));
    TRY_GOTO(dataset_groups_check(&d));
    TRY_GOTO(model_for(o, &range, &d, &m));
    log_info("range test: %s, %s, %d steps of %d pictures, rates from %g to %g", m.network->name,
             range.recipe.optim.name, range.steps, range.batch, range.lowest, range.highest);
    TRY_GOTO(range_test(&m, &d, &range, &result));
    if (result.n == 0)
        TRY_GOTO(fail(GRAFT_FAILED, "the loss is not a number at the first step, with a rate of %g", range.lowest));
    TRY_GOTO(lr_plot_write(option_text(o, "output"), result.rates, result.losses, result.smoothed, result.n,
                           result.suggested, result.top));
    TRY_GOTO(result_tell(&result, option_text(o, "output")));
done:
    range_result_fini(&result);
    model_close(&m);
    dataset_free(&d);
    return status;
}

graft_status run_lr_find(const graft_options *o)
{
    graft_options *merged;
    TRY(with_recipe(o, &merged));
    graft_status status = options_go_with(o, merged, NULL);
    if (status == GRAFT_OK)
        status = lr_find(merged);
    graft_options_free(merged);
    return status;
}
