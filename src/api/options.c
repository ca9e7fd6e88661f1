// api/options.c: the tables of commands and options, which are also the help; setting and reading values.

#include "api/options.h"
#include "base/log.h"
#include "base/memory.h"
#include "exec/plan.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS {"threads", 0, "N", "0", "compute threads; 0: all cores we may use", NULL}
#define WORKERS {"workers", 0, "N", "2", "threads that decode pictures", NULL}
#define BATCH {"batch", 'b', "N", "16", "pictures a step", "batch-size"}
#define IMGSZ {"imgsz", 0, "N", "0", "side of the network's input; 0: the network's own", "img-size imgsize"}
#define RESIZE {"resize", 0, "RULE", NULL, "crop, squash or pad (default: the network's published rule)", NULL}
#define OFFLINE {"offline", 0, NULL, NULL, "never touch the network: published weights must be on this machine", NULL}
#define ENDED {NULL, 0, NULL, NULL, NULL, NULL}

static const graft_option_info train_options[] = {
    {"model", 'm', "NET", NULL, "network (default: the weight file's, else efficientnet_lite0); `graft models` lists them", NULL},
    {"data", 'd', "DATA", NULL, "folder per class, train/val/test folders, CSV, IDX folder, .npz", NULL},
    {"output", 'o', "DIR", NULL, "run folder (default runs/train, runs/train2, ...)", NULL},
    {"weights", 0, "FILE", "imagenet", "imagenet (published; downloaded if need be), none, or a weight file", NULL},
    {"head", 0, "RULE", "auto", "auto, keep or new", NULL},
    {"num-classes", 0, "N", "0", "classes, where the data do not tell", NULL},
    {"freeze", 0, "N|NAME", "none", "rows or the layer up to which nothing trains; head: all but the head; none", NULL},
    {"bn", 0, "MODE", "train", "BatchNorm: train (batch statistics), stats (fixed statistics), frozen", NULL},
    {"lr", 0, "RATE", "0.001", "learning rate", "lr0"},
    {"momentum", 0, "M", "0.9", "momentum (Nesterov)", NULL},
    {"decay", 0, "D", "1e-6", "rate / (1 + D t), Keras's rule", NULL},
    {"epochs", 0, "N", "10", "passes over the training pictures", NULL},
    BATCH, IMGSZ,
    {"val", 0, "PART", NULL, "fraction (0.2), count (100) or 0 (default 0.2 if the data have no val part)", "val-split"},
    {"train-limit", 0, "N", "0", "only the first N training pictures", NULL},
    {"dropout", 0, "P", NULL, "rate (default: the network's)", NULL},
    RESIZE,
    {"on-bad", 0, "RULE", "skip", "a picture that cannot be read: skip or fail", NULL},
    {"log-steps", 0, NULL, NULL, "every step's loss into events.jsonl", NULL},
    {"no-save", 0, NULL, NULL, "write events only, no model", NULL},
    {"seed", 0, "N", "0", "of every random number", NULL},
    OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info predict_options[] = {
    {"topk", 'k', "N", "5", "classes shown a picture", NULL},
    {"csv", 0, "FILE", NULL, "every class's probability, a row a picture", NULL},
    {"calibrated", 0, NULL, NULL, "probabilities by the temperature that validation left in the model", NULL},
    {"reject", 0, "P", "0", "answer \"unknown\" where the likeliest class has less than P", NULL},
    {"logits", 0, "FILE.npy", NULL, "float32 (n, classes) before softmax", NULL},
    BATCH, IMGSZ, RESIZE, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info val_options[] = {
    {"data", 'd', "DATA", NULL, "as for train", NULL},
    {"split", 0, "PART", "val", "train, val, test or all", NULL},
    {"val", 0, "PART", NULL, "as for train; needed to hold out the same pictures", "val-split"},
    {"seed", 0, "N", "0", "as for train", NULL},
    {"calibrate", 0, NULL, NULL, "fit the temperature on these pictures and put it into the model", NULL},
    BATCH, RESIZE, OFFLINE, THREADS, WORKERS, ENDED};

static const graft_option_info inspect_options[] = {ENDED};
static const graft_option_info convert_options[] = {
    {"model", 'm', "NET", NULL, "the network, where the file does not tell", NULL}, IMGSZ, OFFLINE, ENDED};
static const graft_option_info models_options[] = {
    {"layers", 0, NULL, NULL, "the network's rows: index, name, shape", NULL}, ENDED};
static const graft_option_info pull_options[] = {
    {"list", 0, NULL, NULL, "the files, their publishers' addresses, and which are here", NULL}, OFFLINE, ENDED};
static const graft_option_info bench_options[] = {
    {"mode", 0, "MODE", "train", "train, infer or head (only the head trains)", NULL},
    {"steps", 0, "N", "5", "steps measured, after one warm-up", NULL},
    {"freeze", 0, "N|NAME", "none", "as for train", NULL},
    BATCH, IMGSZ, THREADS, ENDED};
static const graft_option_info explain_options[] = {
    {"output", 'o', "FILE", "explain.png", "the picture to write, .png or .jpg", NULL},
    {"class", 0, "NAME", NULL, "what to look for (default: the likeliest class)", NULL},
    IMGSZ, RESIZE, OFFLINE, THREADS, ENDED};
static const graft_option_info runs_options[] = {
    {"sort", 0, "BY", "date", "date, name, top1, log-loss or time", NULL},
    {"yes", 'y', NULL, NULL, "rm: do not ask", NULL}, ENDED};
static const graft_option_info watch_options[] = {ENDED};
static const graft_option_info report_options[] = {
    {"output", 'o', "FILE", NULL, "default report.html in the run folder; compare.html of several", NULL}, ENDED};

static const struct command commands[] = {
    {"train", NULL, "fine-tune a network on your pictures", "[-m NET] -d DATA [OPTION]...",
     "graft train -d pets/\n  graft train -m vgg16 --weights vgg16.h5 -d pets/ --freeze 4 --epochs 5", train_options, run_train},
    {"predict", NULL, "say what is on pictures", "MODEL INPUT... [OPTION]...",
     "graft predict runs/train/model.safetensors cat.jpg\n  graft predict efficientnet_lite0 pictures/ --csv out.csv\n"
     "  graft predict runs/train/model.safetensors test.csv --csv out.csv",
     predict_options, run_predict},
    {"val", "eval", "measure a model on labelled pictures", "MODEL -d DATA [OPTION]...",
     "graft val runs/train/model.safetensors -d pets/", val_options, run_val},
    {"inspect", NULL, "say what a weight or model file is", "FILE", "graft inspect vgg16.h5", inspect_options, run_inspect},
    {"convert", NULL, "write a model or weight file in another format", "SRC DST [OPTION]...",
     "graft convert vgg16.h5 vgg16.safetensors\n  graft convert runs/train/model.safetensors model.onnx", convert_options,
     run_convert},
    {"models", NULL, "list the networks", "[NET] [--layers]", "graft models\n  graft models vgg16 --layers", models_options,
     run_models},
    {"pull", NULL, "download published weights, or check those that are here", "NET... [--offline] | --list [NET...]",
     "graft pull vgg16 efficientnet_lite0\n  graft pull --list\n  GRAFT_MIRROR=https://files.example.org/weights graft pull vgg16",
     pull_options, run_pull},
    {"bench", NULL, "measure images per second and memory", "NET [OPTION]...", "graft bench efficientnet_lite0 --mode infer",
     bench_options, run_bench},
    {"explain", NULL, "show what a prediction rests on: Grad-CAM over a picture", "MODEL PICTURE [OPTION]...",
     "graft explain runs/train/model.safetensors cat.jpg -o why.png\n"
     "  graft explain efficientnet_lite0 cat.jpg --class 'tabby, tabby cat'", explain_options, run_explain},
    {"report", NULL, "one HTML file about a run, or about several side by side", "RUN... [OPTION]...",
     "graft report runs/train\n  graft report runs/train runs/train2 -o compare.html", report_options, run_report},
    {"runs", NULL, "a table of the runs in a folder; rm removes some", "[DIR] | rm RUN... [OPTION]...",
     "graft runs\n  graft runs experiments/ --sort log-loss\n  graft runs rm runs/train3", runs_options, run_runs},
    {"watch", NULL, "follow a run from another terminal", "RUN", "graft watch runs/train", watch_options, run_watch},
};

const char *graft_version(void)
{
    static char text[128];
    snprintf(text, sizeof text, "%s (%s, %s)", GRAFT_VERSION, exec_isa(), exec_library());
    return text;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(commands[i].name, name) == 0 || (commands[i].alias != NULL && strcmp(commands[i].alias, name) == 0))
            return &commands[i];
    return NULL;
}

const char *graft_command_name(int index)
{
    return index >= 0 && index < (int)COUNT_OF(commands) ? commands[index].name : NULL;
}

const char *graft_command_help(const char *command, const char **usage, const char **examples)
{
    const struct command *c = command_find(command);
    if (c == NULL)
        return NULL;
    if (usage != NULL)
        *usage = c->usage;
    if (examples != NULL)
        *examples = c->examples;
    return c->help;
}

const graft_option_info *graft_command_option(const char *command, int index)
{
    const struct command *c = command_find(command);
    for (int i = 0; c != NULL && c->options[i].name != NULL; i++)
        if (i == index)
            return &c->options[i];
    return NULL;
}

graft_options *graft_options_new(const char *command)
{
    const struct command *c = command_find(command);
    graft_options *o = c != NULL ? mem_zero(1, sizeof *o) : NULL;
    if (o != NULL)
        o->command = c;
    return o;
}

void graft_options_free(graft_options *o)
{
    if (o == NULL)
        return;
    for (int i = 0; i < MAX_OPTIONS; i++)
        mem_free(o->value[i]);
    for (size_t i = 0; i < o->n_inputs; i++)
        mem_free(o->inputs[i]);
    mem_free(o->inputs);
    mem_free(o);
}

static bool has_alias(const char *aliases, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = aliases; at != NULL && *at != '\0'; at += strspn(at, " ")) {
        const size_t word = strcspn(at, " ");
        if (word == length && strncmp(at, name, length) == 0)
            return true;
        at += word;
    }
    return false;
}

static int option_index(const struct command *c, const char *name)
{
    for (int i = 0; c->options[i].name != NULL; i++)
        if (strcmp(c->options[i].name, name) == 0 || has_alias(c->options[i].aliases, name))
            return i;
    return -1;
}

static size_t shared(const char *a, const char *b) // letters of `a` found in order in `b`
{
    size_t n = 0;
    for (; *a != '\0' && *b != '\0'; b++)
        if (*a == *b) {
            a++;
            n++;
        }
    return n;
}

static const char *option_nearest(const struct command *c, const char *name)
{
    const char *best = NULL;
    double best_score = -1;
    for (int i = 0; c->options[i].name != NULL; i++) {
        const char *known = c->options[i].name;
        const double score = (double)(shared(name, known) + shared(known, name)) / (double)(strlen(name) + strlen(known));
        if (score > best_score) {
            best_score = score;
            best = known;
        }
    }
    return best;
}

graft_status graft_options_set(graft_options *o, const char *name, const char *value)
{
    const int i = option_index(o->command, name);
    if (i < 0) {
        const char *nearest = option_nearest(o->command, name);
        return fail(GRAFT_BAD_OPTION, "graft %s has no option --%s%s%s%s", o->command->name, name,
                    nearest != NULL ? "; did you mean --" : "", nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
    }
    const bool is_switch = o->command->options[i].argument == NULL;
    if (is_switch != (value == NULL))
        return fail(GRAFT_BAD_OPTION, "--%s %s", name, is_switch ? "takes no value" : "needs a value");
    char *copy = mem_text(value != NULL ? value : "");
    if (copy == NULL)
        return fail_memory("an option");
    mem_free(o->value[i]);
    o->value[i] = copy;
    return GRAFT_OK;
}

graft_status graft_options_add_input(graft_options *o, const char *text)
{
    char *copy = mem_text(text);
    if (copy == NULL || !mem_grow(&o->inputs, &o->capacity, o->n_inputs + 1, sizeof *o->inputs)) {
        mem_free(copy);
        return fail_memory("an input");
    }
    o->inputs[o->n_inputs++] = copy;
    return GRAFT_OK;
}

const char *option_text(const graft_options *o, const char *name)
{
    const int i = option_index(o->command, name);
    ASSERT(i >= 0);
    return o->value[i] != NULL ? o->value[i] : o->command->options[i].fallback;
}

bool option_set(const graft_options *o, const char *name)
{
    const int i = option_index(o->command, name);
    ASSERT(i >= 0);
    return o->value[i] != NULL;
}

graft_status option_double(const graft_options *o, const char *name, double least, double most, double *out)
{
    const char *text = option_text(o, name);
    char *end;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !(*out >= least && *out <= most))
        return fail(GRAFT_BAD_OPTION, "--%s %s: a number from %g to %g is expected", name, text, least, most);
    return GRAFT_OK;
}

graft_status option_long(const graft_options *o, const char *name, long least, long most, long *out)
{
    const char *text = option_text(o, name);
    char *end;
    *out = strtol(text, &end, 10);
    if (end == text || *end != '\0' || *out < least || *out > most)
        return fail(GRAFT_BAD_OPTION, "--%s %s: a whole number from %ld to %ld is expected", name, text, least, most);
    return GRAFT_OK;
}

graft_status option_choice(const graft_options *o, const char *name, const char *const *choices, int *out)
{
    const char *text = option_text(o, name);
    char list[128] = "";
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(text, choices[i]) == 0) {
            *out = i;
            return GRAFT_OK;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return fail(GRAFT_BAD_OPTION, "--%s %s: one of %s is expected", name, text, list);
}

char *options_json(const graft_options *o)
{
    json_t *object = json_object();
    json_object_set_new(object, "command", json_string(o->command->name));
    for (int i = 0; o->command->options[i].name != NULL; i++) {
        const graft_option_info *info = &o->command->options[i];
        const char *text = o->value[i] != NULL ? o->value[i] : info->fallback;
        json_t *value = info->argument == NULL ? json_boolean(o->value[i] != NULL)
                        : text != NULL ? json_string(text) : json_null();
        json_object_set_new(object, info->name, value);
    }
    char *text = json_text(object);
    json_decref(object);
    return text;
}

graft_status graft_run(const graft_options *o, const graft_hooks *hooks)
{
    hooks_set(hooks);
    const graft_status status = o->command->run(o);
    hooks_set(NULL);
    return status;
}
