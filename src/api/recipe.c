// api/recipe.c: the recipes, and a recipe from the options of `graft train`.

#include "api/run.h"
#include "base/memory.h"
#include "train/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// What a recipe says where nothing was given; guide is the table of options as it stands.  Best is measured in
// docs/recipes.md.
static const struct { const char *recipe, *option, *value; } presets[] = {
    {"quick", "freeze", "head"},
    {"quick", "bn", "frozen"},
    {"quick", "optimizer", "adam"},
    {"quick", "scheduler", "cosine"},
    {"quick", "epochs", "5"},
    {"best", "freeze", "head"},
    {"best", "unfreeze-epoch", "2:all"},
    {"best", "bn", "stats"},
    {"best", "optimizer", "adamw"},
    {"best", "lr", "3e-4"},
    {"best", "lr-mult", "head=10"},
    {"best", "layer-decay", "0.8"},
    {"best", "weight-decay", "0.01"},
    {"best", "scheduler", "onecycle"},
};
static const char *const recipe_names[] = {"guide", "quick", "best", NULL};

// Best is for pretrained weights and only as a whole: whoever sets one of its options has a recipe of their own, which
// the table of options completes.
static const char *recipe_default(const graft_options *o)
{
    bool own = strcmp(option_text(o, "weights"), "none") == 0;
    for (size_t i = 0; i < COUNT_OF(presets); i++)
        own |= strcmp(presets[i].recipe, "best") == 0 && option_known(o, presets[i].option) &&
               option_set(o, presets[i].option);
    return own ? "guide" : "best";
}

// Of one epoch nothing is left to unfreeze for.
static bool has_phases(const graft_options *o)
{
    return !option_known(o, "epochs") || strtol(option_text(o, "epochs"), NULL, 10) > 1;
}

graft_status recipe_presets(const graft_options *o, json_t **out)
{
    int recipe;
    const char *name = option_text(o, "recipe");
    if (name != NULL)
        TRY(option_choice(o, "recipe", recipe_names, &recipe));
    else
        name = recipe_default(o);
    const bool best = strcmp(name, "best") == 0;
    *out = json_pack("{s:s}", "recipe", name);
    for (size_t i = 0; *out != NULL && i < COUNT_OF(presets); i++) {
        const char *option = presets[i].option;
        const bool phase = best && (strcmp(option, "freeze") == 0 || strcmp(option, "unfreeze-epoch") == 0);
        if (strcmp(presets[i].recipe, name) == 0 && option_known(o, option) && (!phase || has_phases(o)))
            json_object_set_new(*out, option, json_string(presets[i].value));
    }
    return *out != NULL ? GRAFT_OK : fail_memory("the recipe");
}

graft_status train_defaults(const json_t *args, json_t **out)
{
    static const char *const deciding[] = {"recipe", "epochs"};
    graft_options *o = graft_options_new("train");
    json_t *by_recipe = NULL;
    graft_status status = o != NULL && (*out = json_object()) != NULL ? GRAFT_OK : fail_memory("the options");
    TRY_GOTO(status);
    for (size_t i = 0; i < COUNT_OF(deciding); i++) {
        const char *text = json_string_value(json_object_get(args, deciding[i]));
        if (text == NULL)
            goto done; // of a graft that knew no recipes: nothing counts as said
        TRY_GOTO(graft_options_set(o, deciding[i], text));
    }
    TRY_GOTO(recipe_presets(o, &by_recipe));
    for (const graft_option_info *info = o->command->options; info->name != NULL; info++)
        if (info->argument != NULL)
            json_object_set_new(*out, info->name, info->fallback != NULL ? json_string(info->fallback) : json_null());
    json_object_update(*out, by_recipe);
    json_object_del(*out, "recipe"); // always said: the default one depends on the other options
done:
    json_decref(by_recipe);
    graft_options_free(o);
    return status;
}

// A number, or `fallback` where nothing was said.
static graft_status number_or(const graft_options *o, const char *name, double least, double most, double fallback,
                              double *out)
{
    *out = fallback;
    return option_text(o, name) != NULL ? option_double(o, name, least, most, out) : GRAFT_OK;
}

static graft_status betas_option(const graft_options *o, struct optim_options *out)
{
    const char *text = option_text(o, "betas");
    char *comma, *end;
    out->beta1 = strtod(text, &comma);
    out->beta2 = *comma == ',' ? strtod(comma + 1, &end) : -1;
    if (comma == text || *comma != ',' || end == comma + 1 || *end != '\0' || !(out->beta1 >= 0 && out->beta1 < 1) ||
        !(out->beta2 >= 0 && out->beta2 < 1))
        return fail(GRAFT_BAD_OPTION, "--betas %s: two numbers from 0 up to 1, such as 0.9,0.999", text);
    return GRAFT_OK;
}

static graft_status optim_options_read(const graft_options *o, struct optim_options *out)
{
    static const char *const rules[] = {"keras", "torch", NULL};
    int which, name;
    long accumulate;
    TRY(option_choice(o, "optimizer", optim_names(), &name));
    TRY(option_choice(o, "rules", rules, &which));
    *out = (struct optim_options){.name = optim_names()[name], .rules = (enum rules)which,
                                  .nesterov = !option_set(o, "no-nesterov"), .decay_all = option_set(o, "decay-all")};
    TRY(number_or(o, "momentum", 0, 0.99999, strcmp(out->name, "rmsprop") == 0 ? 0 : 0.9, &out->momentum));
    TRY(betas_option(o, out));
    TRY(number_or(o, "rho", 0, 0.999999, -1, &out->rho));
    TRY(number_or(o, "epsilon", 0, 1, -1, &out->epsilon));
    TRY(number_or(o, "weight-decay", 0, 10, -1, &out->weight_decay));
    TRY(option_double(o, "clip-norm", 0, 1e9, &out->clip_norm));
    TRY(option_double(o, "clip-value", 0, 1e9, &out->clip_value));
    TRY(option_long(o, "accumulate", 1, 100000, &accumulate));
    out->accumulate = (int)accumulate;
    if (out->clip_norm > 0 && out->clip_value > 0)
        return fail(GRAFT_BAD_OPTION, "--clip-norm and --clip-value: one or the other");
    return GRAFT_OK;
}

static graft_status schedule_options_read(const graft_options *o, int epochs, const struct optim_options *optim,
                                          struct schedule_options *out)
{
    int kind;
    long step_epochs;
    const bool adam = strncmp(optim->name, "adam", 4) == 0;
    TRY(option_choice(o, "scheduler", schedule_names, &kind));
    *out = (struct schedule_options){.kind = (enum schedule)kind, .rules = optim->rules, .epochs = epochs,
                                     .momentum = adam ? optim->beta1 : optim->momentum,
                                     .cycles_momentum = strcmp(optim->name, "rmsprop") != 0};
    TRY(option_double(o, "lr", 1e-12, 1e6, &out->rate));
    TRY(option_double(o, "decay", 0, 1e3, &out->decay));
    TRY(option_double(o, "warmup", 0, 1e5, &out->warmup));
    TRY(option_long(o, "step-epochs", 0, 100000, &step_epochs));
    TRY(option_double(o, "gamma", 0, 1, &out->gamma));
    if (optim->rules == RULES_KERAS) { // which holds them in float
        out->rate = (float)out->rate;
        out->decay = (float)out->decay;
    }
    out->step_epochs = step_epochs > 0            ? (int)step_epochs
                       : kind == SCHEDULE_PLATEAU ? 3
                       : epochs / 3 > 1           ? epochs / 3
                                                  : 1;
    if ((kind == SCHEDULE_STEP || kind == SCHEDULE_PLATEAU) && step_epochs >= epochs)
        return fail(GRAFT_BAD_OPTION, "--step-epochs %ld: the rate never changes in a run of %d epochs", step_epochs,
                    epochs);
    if (out->warmup > 0 && out->warmup >= epochs)
        return fail(GRAFT_BAD_OPTION, "--warmup %g is not shorter than the run of %d epochs", out->warmup, epochs);
    return GRAFT_OK;
}

graft_status learner_options(const graft_options *o, struct recipe *out)
{
    int recipe;
    TRY(option_choice(o, "recipe", recipe_names, &recipe));
    *out = (struct recipe){.name = recipe_names[recipe], .lr_mult = option_text(o, "lr-mult")};
    TRY(optim_options_read(o, &out->optim));
    TRY(option_double(o, "label-smoothing", 0, 0.999, &out->label_smoothing));
    return option_double(o, "layer-decay", 1e-3, 1, &out->layer_decay);
}

graft_status recipe_options(const graft_options *o, int epochs, struct recipe *out)
{
    int monitor;
    long swa, patience;
    TRY(learner_options(o, out));
    out->unfreeze = option_text(o, "unfreeze-epoch");
    TRY(schedule_options_read(o, epochs, &out->optim, &out->schedule));
    TRY(option_double(o, "ema", 0, 0.9999999, &out->ema));
    TRY(option_long(o, "swa", 0, 100000, &swa));
    TRY(option_choice(o, "monitor", monitor_names, &monitor));
    TRY(option_long(o, "patience", 0, 100000, &patience));
    out->swa = (int)swa;
    out->monitor = (enum monitor)monitor;
    out->patience = (int)patience;
    if (swa > epochs)
        return fail(GRAFT_BAD_OPTION, "--swa %ld begins after the run of %d epochs", swa, epochs);
    if (swa > 0 && out->ema > 0)
        return fail(GRAFT_BAD_OPTION, "--ema and --swa: one average or the other");
    const char *last = out->unfreeze != NULL ? strrchr(out->unfreeze, ',') : NULL; // epochs grow
    const long unfreeze = out->unfreeze != NULL ? strtol(last != NULL ? last + 1 : out->unfreeze, NULL, 10) : 0;
    if (unfreeze > epochs)
        return fail(GRAFT_BAD_OPTION, "--unfreeze-epoch %s: epoch %ld comes after the run of %d epochs", out->unfreeze,
                    unfreeze, epochs);
    if (patience >= epochs && patience > 0)
        return fail(GRAFT_BAD_OPTION, "--patience %ld can never stop a run of %d epochs", patience, epochs);
    return GRAFT_OK;
}
