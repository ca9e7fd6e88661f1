// api/run_train.c: `graft train`: data, then the model for its classes, then the loop.

#include "api/follow.h"
#include "api/run.h"
#include "base/memory.h"
#include "data/pseudo.h"
#include "infer/crops.h"
#include "train/folds.h"
#include "train/run_folder.h"
#include "train/train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const resize_rules[] = {"crop", "squash", "pad", NULL};
const char *const bn_modes[] = {"train", "stats", "frozen", NULL};
static const char *const head_rules[] = {"auto", "keep", "new", NULL};
const char *const decode_rules[] = {"exact", "fast", "auto", NULL};
static const char *const bad_rules[] = {"skip", "fail", NULL};

graft_status kernels_option(const graft_options *o, enum kernels *out)
{
    static const char *const names[] = {"told", "tf", "th", NULL};
    int kernels;
    TRY(option_choice(o, "kernels", names, &kernels));
    *out = (enum kernels)kernels;
    return GRAFT_OK;
}

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
const char *network_option(const graft_options *o)
{
    const char *weights = option_text(o, "weights"), *network = option_text(o, "model");
    const bool file = strcmp(weights, "imagenet") != 0 && strcmp(weights, "none") != 0;
    return network != NULL || file ? network : "efficientnet_lite0";
}

graft_status precision_option(const graft_options *o, bool *bf16)
{
    static const char *const types[] = {"fp32", "bf16", NULL};
    int type;
    TRY(option_choice(o, "precision", types, &type));
    *bf16 = type == 1;
    return *bf16 ? exec_bf16_check() : GRAFT_OK;
}

graft_status heads_option(const graft_options *o, enum predicting *out)
{
    static const char *const rules[] = {"mean", "main", NULL};
    int rule;
    *out = PREDICT_AS_SAVED;
    if (option_text(o, "heads") == NULL)
        return GRAFT_OK;
    TRY(option_choice(o, "heads", rules, &rule));
    *out = rule == 0 ? PREDICT_MEAN : PREDICT_MAIN;
    return GRAFT_OK;
}

// "0.3,0.3": one weight an auxiliary head.
graft_status aux_option(const graft_options *o, float weights[MAX_OUTPUTS], struct model_request *r)
{
    const char *at = option_text(o, "aux-weights");
    if (at == NULL)
        return GRAFT_OK;
    r->aux_weights = weights;
    for (;;) {
        char *end;
        const double weight = strtod(at, &end);
        if (end == at || (*end != ',' && *end != '\0') || !(weight >= 0 && weight <= 1000))
            return fail(GRAFT_BAD_OPTION, "--aux-weights %s: numbers from 0 to 1000 with commas between are expected",
                        option_text(o, "aux-weights"));
        if (r->n_aux_weights < MAX_OUTPUTS)
            weights[r->n_aux_weights] = (float)weight;
        r->n_aux_weights++;
        if (*end == '\0')
            return GRAFT_OK;
        at = end + 1;
    }
}

graft_status array_input(const struct dataset *d, const graft_options *o, struct input_spec *out)
{
    if (d->array_h != d->array_w || d->array_c != 3)
        return fail(GRAFT_BAD_FILE, "%s: float arrays must be square with 3 channels, not %dx%dx%d",
                    option_text(o, "data"), d->array_h, d->array_w, d->array_c);
    *out = (struct input_spec){.size = d->array_h, .resize = d->array_h, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    return GRAFT_OK;
}

// --pseudo and --pseudo-share.
graft_status pseudo_option(const graft_options *o, int folds, int fold, struct dataset *d)
{
    const char *file = option_text(o, "pseudo");
    double share;
    TRY(option_double(o, "pseudo-share", 0.001, 0.9, &share));
    return file != NULL ? pseudo_add(d, &(struct pseudo){file, share, folds, fold}) : GRAFT_OK;
}

// A run that is taken up again keeps its own parts.
static graft_status parts_settle(const graft_options *o, struct train_resume *resume, const char *split, long limit,
                                 uint64_t seed, int folds, int held_out, struct dataset *d)
{
    int *fold;
    if (resume != NULL) {
        TRY(train_resume_split(resume, d, limit));
        if (resume->kept.matched > 0)
            return GRAFT_OK;
    }
    if (split != NULL)
        TRY(dataset_split_read(d, split));
    else if (folds > 0) {
        TRY(folds_of_data(d, folds, limit, &fold));
        dataset_fold_use(d, fold, held_out);
        mem_free(fold);
        return GRAFT_OK;
    }
    return dataset_split(d, split != NULL ? "keep" : option_text(o, "val"), limit, seed);
}

// The parts, and what an epoch is made of.  The boxes of --crop cam were looked for by a model that learnt from its own
// training part: that part stays the same, whatever became of the data since.
static graft_status training_data(const graft_options *o, struct train_resume *resume, long limit, uint64_t seed,
                                  int copies, struct dataset *d)
{
    const char *weights = option_text(o, "class-weights"), *cam = crop_cam(o) ? resume->folder : NULL;
    char *seen = cam != NULL ? mem_format("%s/" WHOLE_FOLDER "/split.csv", cam) : NULL;
    int folds, held_out;
    if (cam != NULL && seen == NULL)
        return fail_memory("a path");
    graft_status status = folds_check(o, &folds, &held_out);
    if (status == GRAFT_OK)
        status = parts_settle(o, resume, seen != NULL && file_exists(seen) ? seen : option_text(o, "split"), limit,
                              seed, folds, held_out, d);
    mem_free(seen);
    TRY(status);
    TRY(dataset_groups_check(d));
    if (weights != NULL)
        TRY(dataset_weights(d, weights));
    TRY(dataset_copies(d, copies));
    if (option_set(o, "balance"))
        TRY(dataset_balance(d));
    TRY(pseudo_option(o, folds, held_out, d));
    TRY(cam != NULL ? cam_boxes(cam, d) : crop_option(o, d));
    return d->has_val ? dataset_prints_keep(d) : GRAFT_OK;
}

// "2G", "500M", "1.5G"; 0: not said.
static graft_status memory_option(const graft_options *o, uint64_t *out)
{
    const char *text = option_text(o, "memory");
    char *end;
    *out = 0;
    if (text == NULL)
        return GRAFT_OK;
    const double size = strtod(text, &end);
    const double unit = *end == 'G' || *end == 'g' ? 1073741824 : *end == 'M' || *end == 'm' ? 1048576 : 0;
    if (end == text || unit == 0 || (end[1] != '\0' && strcmp(end + 1, "B") != 0) || !(size > 0 && size < 1e6))
        return fail(GRAFT_BAD_OPTION, "--memory %s: a size such as 2G or 500M is expected", text);
    *out = (uint64_t)(size * unit);
    return GRAFT_OK;
}

// What a run's options say.  The strings are the options'.
struct asked {
    long num_classes, limit, copies, threads;
    int decode;
    struct model_request model; // the classes, the input and the checkpoint come with the data and the run
    struct input_spec array;    // model.array
    float aux_weights[MAX_OUTPUTS];
    struct train_options run;
};

// --augment, and what --copies makes of it.
static graft_status augment_option(const graft_options *o, long copies, struct augment *out)
{
    const char *changed = option_text(o, "augment"); // kept as "none" where it was not given
    TRY(augment_parse(copies > 0 && strcmp(changed, "none") == 0 ? "statefarm" : changed, out));
    if (copies > 0 && (!augment_any(out) || out->on[AUGMENT_MIXUP] || out->on[AUGMENT_CUTMIX]))
        return fail(GRAFT_BAD_OPTION, "--copies makes versions that stay the same over the epochs; %s",
                    augment_any(out) ? "mixup and cutmix mix each batch anew" : "--augment must say how they differ");
    return GRAFT_OK;
}

// What the model is to be, but for what kernels_option and aux_option add once the data are there.
static graft_status model_options(const graft_options *o, struct model_request *out)
{
    long imgsz;
    int head;
    double dropout = -1, drop_path;
    *out = (struct model_request){.network = network_option(o), .weights = option_text(o, "weights"),
                                  .offline = option_set(o, "offline"), .resize = -1};
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_choice(o, "head", head_rules, &head));
    TRY(heads_option(o, &out->predicting));
    TRY(option_double(o, "drop-path", 0, 0.95, &drop_path));
    if (option_text(o, "dropout") != NULL)
        TRY(option_double(o, "dropout", 0, 0.99, &dropout));
    if (option_text(o, "resize") != NULL)
        TRY(option_choice(o, "resize", resize_rules, &out->resize));
    freeze_option(o, out);
    out->size = (int)imgsz;
    out->head = (enum head_rule)head;
    out->dropout = (float)dropout;
    out->drop_path = (float)drop_path;
    return GRAFT_OK;
}

// What the loop is to do, but for what a run taken up again brings along.
static graft_status run_options(const graft_options *o, long copies, struct train_options *out)
{
    long epochs, batch, seed, workers;
    double minutes;
    int bn, bad;
    *out = (struct train_options){.folder = option_text(o, "output"),
                                  .fold = option_text(o, "folds") != NULL ? option_text(o, "fold") : NULL,
                                  .fixed = copies > 0,
                                  .features = option_text(o, "cache-features"),
                                  .log_steps = option_set(o, "log-steps"),
                                  .save = !option_set(o, "no-save"),
                                  .exact = option_set(o, "exact"),
                                  .histograms = option_set(o, "histograms"),
                                  .force = option_set(o, "force")};
    TRY(option_long(o, "epochs", 1, 100000, &epochs));
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "seed", 0, 1L << 62, &seed));
    TRY(option_long(o, "workers", 1, 64, &workers));
    TRY(recipe_options(o, (int)epochs, &out->recipe));
    TRY(memory_option(o, &out->memory));
    TRY(option_double(o, "checkpoint-minutes", 0, 1e6, &minutes));
    TRY(option_choice(o, "bn", bn_modes, &bn));
    TRY(option_choice(o, "on-bad", bad_rules, &bad));
    TRY(precision_option(o, &out->bf16));
    TRY(augment_option(o, copies, &out->augment));
    out->epochs = (int)epochs;
    out->batch = (int)batch;
    out->seed = (uint64_t)seed;
    out->workers = (int)workers;
    out->checkpoint_seconds = minutes * 60;
    out->bn = (enum bn_mode)bn;
    out->fail_on_bad = bad == 1;
    return GRAFT_OK;
}

static graft_status asked_read(const graft_options *o, struct asked *out)
{
    *out = (struct asked){0};
    TRY(option_long(o, "num-classes", 0, 100000, &out->num_classes));
    TRY(option_long(o, "train-limit", 0, 1L << 40, &out->limit));
    TRY(option_long(o, "threads", 0, 1024, &out->threads));
    TRY(option_choice(o, "decode", decode_rules, &out->decode));
    TRY(option_long(o, "copies", 0, 100, &out->copies));
    TRY(run_options(o, out->copies, &out->run));
    TRY(model_options(o, &out->model));
    out->model.bn = out->run.bn;
    out->model.seed = out->run.seed;
    if (o->n_inputs > 0)
        return fail(GRAFT_BAD_OPTION, "'%s': train takes its data with -d", o->inputs[0]);
    if (option_text(o, "split") != NULL && option_text(o, "val") != NULL)
        return fail(GRAFT_BAD_OPTION, "--split says which pictures are held out, so --val has no place");
    TRY(crop_alone(o));
    return option_text(o, "data") != NULL ? GRAFT_OK : fail(GRAFT_BAD_OPTION, "which pictures? say -d DATA");
}

// What of the model depends on the data.
static graft_status model_for_data(const graft_options *o, const struct dataset *d, struct asked *a)
{
    a->model.classes = d->classes;
    a->model.n_classes = d->n_classes;
    TRY(kernels_option(o, &a->model.kernels));
    TRY(aux_option(o, a->aux_weights, &a->model));
    if (!d->array_float)
        return GRAFT_OK;
    if (augment_any(&a->run.augment))
        return fail(GRAFT_BAD_OPTION, "%s holds preprocessed arrays, which --augment cannot change",
                    option_text(o, "data"));
    a->model.array = &a->array;
    return array_input(d, o, &a->array);
}

// A run from its options; `resume`: taken up again, `changes` being what was asked otherwise than then.
static graft_status train(const graft_options *o, struct train_resume *resume, const char *changes)
{
    struct asked asked;
    struct dataset d = {0};
    struct model m = {0};
    char *args = NULL;
    struct follower follower = {0};
    graft_status status = GRAFT_OK;
    TRY(asked_read(o, &asked));
    exec_set_threads((int)asked.threads);

    TRY_GOTO(data_open(o, (int)asked.num_classes, NULL, &d));
    d.shrink = asked.decode;
    TRY_GOTO(training_data(o, resume, asked.limit, asked.run.seed, (int)asked.copies, &d));
    TRY_GOTO(model_for_data(o, &d, &asked));
    if (resume != NULL)
        TRY_GOTO(train_resume_check(resume, &d, changes, asked.run.force));
    if (resume != NULL && resume->checkpoint != NULL) {
        asked.model.weights = resume->checkpoint;
        asked.model.head = HEAD_KEEP;
    }
    TRY_GOTO(model_open(&asked.model, &m));
    m.input.icc |= option_set(o, "icc");
    m.input.crop = option_text(o, "crop") != NULL;
    TRY_GOTO(profiles_check(&m.input));
    TRY_GOTO(cache_option(o, &asked.run.augment, &d));
    args = options_json(o);
    if (args == NULL)
        TRY_GOTO(fail_memory("the options"));
    asked.run.args = args;
    asked.run.resume = resume;
    asked.run.grown = option_set(o, "no-save") ? NULL : follower_grown;
    asked.run.user = &follower;
    follower_begin(&follower);
    TRY_GOTO(train_run(&m, &d, &asked.run));
done:
    follower_end(&follower);
    model_close(&m);
    dataset_free(&d);
    mem_free(args);
    return status;
}

// What may differ from the run's own options without being a change of the run.
const char *const train_free_options[] = {"epochs",    "threads",        "workers",   "checkpoint-minutes",
                                          "log-steps", "histograms",     "force",     "cache-dir",
                                          "cache-gb",  "cache-features", "folds-run", NULL};

// A relative path means another file in another folder: says so when something was not found.
graft_status tell_directory(graft_status status, const json_t *args)
{
    const char *then = json_string_value(json_object_get(args, "directory"));
    char *now = getcwd(NULL, 0);
    if (status == GRAFT_BAD_FILE && then != NULL && now != NULL && strcmp(then, now) != 0)
        fail(status, "%s (the run was started in '%s')", graft_message(), then);
    free(now);
    return status;
}

graft_status output_folder(const graft_options *o, char **out)
{
    const char *folder = option_text(o, "output");
    if (folder == NULL)
        return run_folder_next(out);
    TRY(file_make_folder(folder));
    return (*out = mem_text(folder)) != NULL ? GRAFT_OK : fail_memory("a path");
}

graft_status train_once(const graft_options *o) { return crop_cam(o) ? cam_anew(o) : train(o, NULL, ""); }

static graft_status train_anew(const graft_options *o)
{
    static const char *const nothing[] = {NULL};
    json_t *presets;
    graft_options *merged;
    char changes[64];
    if (option_set(o, "force"))
        return fail(GRAFT_BAD_OPTION, "--force goes with --resume RUN");
    TRY(recipe_presets(o, &presets));
    graft_status status = options_merge(o, presets, nothing, changes, sizeof changes, &merged);
    json_decref(presets);
    if (status == GRAFT_OK) {
        status = options_go_with(o, merged, NULL);
        if (status == GRAFT_OK)
            status = folds_wanted(merged) ? folds_anew(merged) : train_once(merged);
        graft_options_free(merged);
    }
    return status;
}

// Whether an option is given otherwise than the run has it.
static bool given_otherwise(const graft_options *given, const json_t *args, const char *name)
{
    const char *then = json_string_value(json_object_get(args, name));
    return option_set(given, name) && (then == NULL || strcmp(then, option_text(given, name)) != 0);
}

graft_status train_again(const graft_options *given, const char *folder)
{
    static const char *const splitting[] = {"val", "split", "group", "train-limit", "folds", "fold"};
    struct train_resume resume;
    graft_options *merged = NULL;
    char changes[1024];
    graft_status status = GRAFT_OK;
    TRY(train_resume_open(folder, &resume));
    TRY_GOTO(options_merge(given, resume.args, train_free_options, changes, sizeof changes, &merged));
    TRY_GOTO(options_go_with(given, merged, resume.args));
    for (size_t i = 0; i < COUNT_OF(splitting); i++)
        resume.split_anew |= given_otherwise(given, resume.args, splitting[i]);
    if (crop_cam(merged))
        TRY_GOTO(tell_directory(cam_whole(merged, folder), resume.args));
    TRY_GOTO(tell_directory(train(merged, &resume, changes), resume.args));
    follower_catch_up(folder);
done:
    graft_options_free(merged);
    train_resume_close(&resume);
    return status;
}

graft_status run_train(const graft_options *o)
{
    const char *folder = option_text(o, "resume");
    if (o->n_inputs > 0)
        return fail(GRAFT_BAD_OPTION, "'%s': train takes its data with -d", o->inputs[0]);
    if (folder == NULL)
        return train_anew(o);
    if (option_set(o, "output") || option_set(o, "no-save"))
        return fail(GRAFT_BAD_OPTION, "--resume goes on in the run's own folder, without --%s",
                    option_set(o, "output") ? "output" : "no-save");
    return folds_folder_is(folder) ? folds_again(o, folder) : train_again(o, folder);
}
