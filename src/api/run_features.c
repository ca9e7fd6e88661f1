// api/run_features.c: `graft features`: what a layer says of pictures, into a file.

#include "api/run.h"
#include "base/file.h"
#include "base/memory.h"
#include "infer/layer_features.h"
#include <string.h>

// The samples of a part ("all": of every part) with a label, or any where `unlabelled`; heap.
graft_status part_order(const struct dataset *d, const char *part, bool unlabelled, uint32_t **out, size_t *n)
{
    static const char *const parts[] = {"train", "val", "test"};
    *n = 0;
    *out = mem_alloc((d->count + 1) * sizeof **out);
    if (*out == NULL)
        return fail_memory("the list of pictures");
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        const bool in = strcmp(part, "all") == 0 || (s->part < PART_NONE && strcmp(part, parts[s->part]) == 0);
        if (in && (unlabelled || s->label >= 0))
            (*out)[(*n)++] = (uint32_t)i;
    }
    return GRAFT_OK;
}

graft_status features_option(const graft_options *o, struct feature_request *out)
{
    long batch, workers;
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "workers", 1, 64, &workers));
    *out = (struct feature_request){option_text(o, "layer"), (int)batch, (int)workers, option_set(o, "exact")};
    return GRAFT_OK;
}

graft_status run_features(const graft_options *o)
{
    static const char *const parts[] = {"train", "val", "test", "all", NULL};
    struct model m = {0};
    struct dataset d = {0};
    struct feature_request how;
    struct layer_features f = {0};
    uint32_t *order = NULL;
    size_t n;
    long imgsz, threads;
    int part;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_choice(o, "part", parts, &part));
    TRY(features_option(o, &how));
    const char *path = option_text(o, "output");
    if (o->n_inputs != 1 || option_text(o, "data") == NULL || path == NULL)
        return fail(GRAFT_BAD_OPTION,
                    "a model, its data and a file are needed: graft features MODEL -d DATA -o FILE.npy");
    TRY(output_check(o, "output", ".npy .csv .libsvm .svm"));
    exec_set_threads((int)threads);
    TRY_GOTO(model_open_ready(o, o->inputs[0], imgsz, &m));
    const char **paths;
    int n_paths;
    TRY_GOTO(option_texts(o, "data", &paths, &n_paths));
    status = option_set(o, "unlabelled") ? inputs_open(paths, (size_t)n_paths, &d) : data_open(o, 0, NULL, &d);
    mem_free(paths);
    TRY_GOTO(status);
    TRY_GOTO(part_order(&d, parts[part], option_set(o, "unlabelled"), &order, &n));
    if (n == 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s has no %s part", option_text(o, "data"), parts[part]));
    TRY_GOTO(layer_features_make(&m, &d, order, n, &how, &f));
    if (f.bad == n)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "none of the %zu pictures can be read", n));
    TRY_GOTO(layer_features_write(&f, &d, order, n, path));
    result_take(json_pack("{s:s+, s:I, s:i, s:I}", "output", path, "", "n", (json_int_t)(n - f.bad), "width", f.width,
                          "skipped", (json_int_t)f.bad));
done:
    layer_features_fini(&f);
    mem_free(order);
    dataset_free(&d);
    model_close(&m);
    return status;
}
