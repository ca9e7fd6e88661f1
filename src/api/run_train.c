// api/run_train.c: `graft train`: data, then the model for its classes, then the loop.

#include "api/run.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const resize_rules[] = {"crop", "squash", "pad", NULL};
static const char *const bn_modes[] = {"train", "stats", "frozen", NULL};
static const char *const head_rules[] = {"auto", "keep", "new", NULL};
static const char *const bad_rules[] = {"skip", "fail", NULL};

// "none", "head", a number of rows, or a layer's name.
void freeze_option(const graft_options *o, struct model_request *r)
{
    const char *text = option_text(o, "freeze");
    char *end;
    const long rows = strtol(text, &end, 10);
    if (strcmp(text, "none") == 0)
        r->freeze = 0;
    else if (strcmp(text, "head") == 0)
        r->freeze = -1;
    else if (*end == '\0' && end != text && rows >= 0 && rows < 10000)
        r->freeze = (int)rows;
    else
        r->freeze_name = text;
}

// -m, or what a weight file holds, or the network that suits most people.
static const char *network_option(const graft_options *o)
{
    const char *weights = option_text(o, "weights"), *network = option_text(o, "model");
    const bool file = strcmp(weights, "imagenet") != 0 && strcmp(weights, "none") != 0;
    return network != NULL || file ? network : "efficientnet_lite0";
}

static char *next_folder(void)
{
    for (int i = 1; i < 10000; i++) {
        char *path = i == 1 ? mem_text("runs/train") : mem_format("runs/train%d", i);
        if (path == NULL || !file_exists(path))
            return path;
        mem_free(path);
    }
    return NULL;
}

static graft_status array_input(const struct dataset *d, const graft_options *o, struct input_spec *out)
{
    if (d->array_h != d->array_w || d->array_c != 3)
        return fail(GRAFT_BAD_FILE, "%s: float arrays must be square with 3 channels, not %dx%dx%d", option_text(o, "data"),
                    d->array_h, d->array_w, d->array_c);
    *out = (struct input_spec){.size = d->array_h, .resize = d->array_h, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    return GRAFT_OK;
}

graft_status run_train(const graft_options *o)
{
    long copies, num_classes, epochs, batch, imgsz, limit, seed, threads, workers;
    double rate, momentum, decay, dropout = -1;
    int bn, head, bad, resize = -1;
    struct dataset d = {0};
    struct model m = {0};
    struct augment augment;
    struct input_spec array;
    char *folder = NULL, *args = NULL;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "num-classes", 0, 100000, &num_classes));
    TRY(option_long(o, "epochs", 1, 100000, &epochs));
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "train-limit", 0, 1L << 40, &limit));
    TRY(option_long(o, "seed", 0, 1L << 62, &seed));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_long(o, "workers", 1, 64, &workers));
    TRY(option_double(o, "lr", 1e-12, 1e6, &rate));
    TRY(option_double(o, "momentum", 0, 0.99999, &momentum));
    TRY(option_double(o, "decay", 0, 1e3, &decay));
    TRY(option_choice(o, "bn", bn_modes, &bn));
    TRY(option_choice(o, "head", head_rules, &head));
    TRY(option_choice(o, "on-bad", bad_rules, &bad));
    if (option_text(o, "dropout") != NULL)
        TRY(option_double(o, "dropout", 0, 0.99, &dropout));
    if (option_text(o, "resize") != NULL)
        TRY(option_choice(o, "resize", resize_rules, &resize));
    TRY(option_long(o, "copies", 0, 100, &copies));
    TRY(augment_parse(copies > 0 && !option_set(o, "augment") ? "statefarm" : option_text(o, "augment"), &augment));
    if (copies > 0 && (!augment_any(&augment) || augment.on[AUGMENT_MIXUP] || augment.on[AUGMENT_CUTMIX]))
        return fail(GRAFT_BAD_OPTION, "--copies makes versions that stay the same over the epochs; %s",
                    augment_any(&augment) ? "mixup and cutmix mix each batch anew" : "--augment must say how they differ");
    if (o->n_inputs > 0)
        return fail(GRAFT_BAD_OPTION, "'%s': train takes its data with -d", o->inputs[0]);
    if (option_text(o, "split") != NULL && option_text(o, "val") != NULL)
        return fail(GRAFT_BAD_OPTION, "--split says which pictures are held out, so --val has no place");
    if (option_text(o, "data") == NULL)
        return fail(GRAFT_BAD_OPTION, "which pictures? say -d DATA");
    exec_set_threads((int)threads);

    TRY_GOTO(data_open(o, (int)num_classes, NULL, &d));
    if (option_text(o, "split") != NULL)
        TRY_GOTO(dataset_split_read(&d, option_text(o, "split")));
    TRY_GOTO(dataset_split(&d, option_text(o, "split") != NULL ? "keep" : option_text(o, "val"), limit, (uint64_t)seed));
    TRY_GOTO(dataset_groups_check(&d));
    if (option_text(o, "class-weights") != NULL)
        TRY_GOTO(dataset_weights(&d, option_text(o, "class-weights")));
    TRY_GOTO(dataset_copies(&d, (int)copies));
    if (option_set(o, "balance"))
        TRY_GOTO(dataset_balance(&d));
    if (d.has_val)
        TRY_GOTO(dataset_prints_keep(&d));
    struct model_request request = {.network = network_option(o), .weights = option_text(o, "weights"),
                                    .head = (enum head_rule)head, .classes = d.classes, .n_classes = d.n_classes,
                                    .size = (int)imgsz, .dropout = (float)dropout, .resize = resize, .bn = (enum bn_mode)bn,
                                    .seed = (uint64_t)seed};
    freeze_option(o, &request);
    if (d.array_float) {
        if (augment_any(&augment))
            TRY_GOTO(fail(GRAFT_BAD_OPTION, "%s holds preprocessed arrays, which --augment cannot change",
                          option_text(o, "data")));
        TRY_GOTO(array_input(&d, o, &array));
        request.array = &array;
    }
    TRY_GOTO(model_open(&request, &m));
    folder = option_text(o, "output") != NULL ? mem_text(option_text(o, "output")) : next_folder();
    args = options_json(o);
    if (folder == NULL || args == NULL)
        TRY_GOTO(fail_memory("the run folder's name"));
    const struct train_options options = {
        .folder = folder, .args = args, .batch = (int)batch, .epochs = (int)epochs, .workers = (int)workers,
        .rate = (float)rate, .momentum = (float)momentum, .decay = (float)decay, .seed = (uint64_t)seed, .bn = (enum bn_mode)bn,
        .augment = augment, .fixed = copies > 0, .fail_on_bad = bad == 1, .log_steps = option_set(o, "log-steps"), .save = !option_set(o, "no-save")};
    TRY_GOTO(train_run(&m, &d, &options));
done:
    model_close(&m);
    dataset_free(&d);
    mem_free(folder);
    mem_free(args);
    return status;
}
