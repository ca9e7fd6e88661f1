// api/options.c: the tables of commands and options, which are also the help; setting and reading values.

#include "api/options.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/names.h"
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
#define AUGMENT {"augment", 0, "PARTS", "none", "random changes: flip=h,rotate=10,shift=0.1,scale=0.8-1.2,shear=5,crop=0.6-1,color=0.2,hue=0.02,grey=0.1,blur,erase=0.1,randaugment=2:9,trivial,mixup,cutmix,border=reflect, or light, standard, strong, statefarm", NULL}
#define DATA(help) {"data", 'd', "DATA", NULL, help, NULL, 1}
#define GROUP {"group", 0, "COLUMN", NULL, "CSV's column of what stays together (default group or subject); none", NULL}
#define ENDED {NULL, 0, NULL, NULL, NULL, NULL}

static const graft_option_info train_options[] = {
    {"model", 'm', "NET", NULL, "network (default: the weight file's, else efficientnet_lite0); `graft models` lists them", NULL},
    DATA("folder per class, train/val/test folders, CSV, IDX or CIFAR folder, .npz; several: one set together"),
    {"output", 'o', "DIR", NULL, "run folder (default runs/train, runs/train2, ...)", NULL},
    {"weights", 0, "FILE", "imagenet", "imagenet (the caches), none, or a weight file", NULL},
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
    {"split", 0, "FILE", NULL, "a run's split.csv, in place of --val", NULL},
    GROUP,
    {"classes", 0, "FILE", NULL, "class names, one a line, in this order (default: sorted)", "class-map"},
    {"train-limit", 0, "N", "0", "only the first N training pictures", NULL},
    {"dropout", 0, "P", NULL, "rate (default: the network's)", NULL},
    RESIZE, AUGMENT,
    {"copies", 0, "K", "0", "K augmented versions beside every picture, the same in every epoch (default --augment: statefarm)", NULL},
    {"class-weights", 0, "RULE|FILE", NULL, "of the loss: balanced, or a CSV of class,weight", NULL},
    {"balance", 0, NULL, NULL, "small classes are seen more often: every class as often as the largest", NULL},
    {"on-bad", 0, "RULE", "skip", "a picture that cannot be read: skip or fail", NULL},
    {"log-steps", 0, NULL, NULL, "every step's loss into events.jsonl", NULL},
    {"no-save", 0, NULL, NULL, "write events only, no model", NULL},
    {"seed", 0, "N", "0", "of every random number", NULL},
    THREADS, WORKERS, ENDED};

static const graft_option_info predict_options[] = {
    {"topk", 'k', "N", "5", "classes shown a picture", NULL},
    {"csv", 0, "FILE", NULL, "every class's probability, a row a picture", NULL},
    {"logits", 0, "FILE.npy", NULL, "float32 (n, classes) before softmax", NULL},
    BATCH, IMGSZ, RESIZE, THREADS, WORKERS, ENDED};

static const graft_option_info val_options[] = {
    DATA("as for train"),
    {"split", 0, "PART|FILE", "val", "train, val, test or all; or a run's split.csv, of which --part is taken", NULL},
    {"part", 0, "PART", "val", "with --split FILE: train, val, test or all", NULL},
    GROUP,
    {"val", 0, "PART", NULL, "as for train; needed to hold out the same pictures", "val-split"},
    {"seed", 0, "N", "0", "as for train", NULL},
    BATCH, RESIZE, THREADS, WORKERS, ENDED};

static const graft_option_info inspect_options[] = {ENDED};
static const graft_option_info convert_options[] = {
    {"model", 'm', "NET", NULL, "the network, where the file does not tell", NULL}, IMGSZ, ENDED};
static const graft_option_info data_options[] = {
    DATA("the pictures, as for train; or say DATA after the action"),
    GROUP,
    {"classes", 0, "FILE", NULL, "as for train", NULL},
    {"split", 0, "FILE", NULL, "check, stats: the parts as a run's split.csv says", NULL},
    {"html", 0, "FILE", NULL, "check: a page with thumbnails", NULL},
    {"quarantine", 0, "DIR", NULL, "check: move what is broken there", NULL},
    WORKERS,
    {"output", 'o', "FILE.png", NULL, "show: the sheet to write", NULL},
    AUGMENT,
    {"model", 'm', "NET", "efficientnet_lite0", "show: whose input", NULL},
    IMGSZ, RESIZE,
    {"rows", 0, "N", "6", "show: pictures", NULL},
    {"columns", 0, "N", "7", "show: epochs beside each picture", NULL},
    {"seed", 0, "N", "0", "as for train", NULL},
    ENDED};
static const graft_option_info models_options[] = {
    {"layers", 0, NULL, NULL, "the network's rows: index, name, shape", NULL}, ENDED};
static const graft_option_info bench_options[] = {
    {"mode", 0, "MODE", "train", "train, infer or head (only the head trains)", NULL},
    {"steps", 0, "N", "5", "steps measured, after one warm-up", NULL},
    {"freeze", 0, "N|NAME", "none", "as for train", NULL},
    BATCH, IMGSZ, THREADS, ENDED};

static const struct command commands[] = {
    {"train", NULL, "fine-tune a network on your pictures", "[-m NET] -d DATA [OPTION]...",
     "graft train -d pets/\n  graft train -m vgg16 --weights vgg16.h5 -d pets/ --freeze 4 --epochs 5", train_options, run_train},
    {"predict", NULL, "say what is on pictures", "MODEL INPUT... [OPTION]...",
     "graft predict runs/train/model.safetensors cat.jpg\n  graft predict efficientnet_lite0 pictures/ --csv out.csv",
     predict_options, run_predict},
    {"val", "eval", "measure a model on labelled pictures", "MODEL -d DATA [OPTION]...",
     "graft val runs/train/model.safetensors -d pets/", val_options, run_val},
    {"inspect", NULL, "say what a weight or model file is", "FILE", "graft inspect vgg16.h5", inspect_options, run_inspect},
    {"convert", NULL, "write a model or weight file in another format", "SRC DST [OPTION]...",
     "graft convert vgg16.h5 vgg16.safetensors\n  graft convert runs/train/model.safetensors model.onnx", convert_options,
     run_convert},
    {"data", NULL, "look at pictures before training", "check|stats|show [-d] DATA [OPTION]...",
     "graft data check pets/ --html pets.html\n  graft data show -d pets/ --augment standard,erase=0.2 -o sheet.png", data_options, run_data},
    {"models", NULL, "list the networks", "[NET] [--layers]", "graft models\n  graft models vgg16 --layers", models_options,
     run_models},
    {"bench", NULL, "measure images per second and memory", "NET [OPTION]...", "graft bench efficientnet_lite0 --mode infer",
     bench_options, run_bench},
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
    for (size_t i = 0; i < o->n_more; i++)
        mem_free(o->more[i].text);
    mem_free(o->more);
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

static const char *option_nearest(const struct command *c, const char *name)
{
    const char *known[MAX_OPTIONS];
    size_t n = 0;
    for (; c->options[n].name != NULL; n++)
        known[n] = c->options[n].name;
    return name_nearest(name, known, n);
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
    if (o->value[i] != NULL && o->command->options[i].many) {
        if (!mem_grow(&o->more, &o->more_capacity, o->n_more + 1, sizeof *o->more)) {
            mem_free(copy);
            return fail_memory("an option");
        }
        o->more[o->n_more].option = i;
        o->more[o->n_more++].text = copy;
        return GRAFT_OK;
    }
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

graft_status option_texts(const graft_options *o, const char *name, const char ***out, int *n)
{
    const int index = option_index(o->command, name);
    ASSERT(index >= 0);
    *out = mem_alloc((o->n_more + 1) * sizeof **out);
    *n = 0;
    if (*out == NULL)
        return fail_memory("an option");
    if (o->value[index] != NULL)
        (*out)[(*n)++] = o->value[index];
    for (size_t i = 0; i < o->n_more; i++)
        if (o->more[i].option == index)
            (*out)[(*n)++] = o->more[i].text;
    return GRAFT_OK;
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
        for (size_t k = 0; k < o->n_more; k++)
            if (o->more[k].option == i) {
                if (!json_is_array(value))
                    value = json_pack("[o]", value);
                json_array_append_new(value, json_string(o->more[k].text));
            }
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
