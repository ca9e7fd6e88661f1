// api/goes_with.c: options that say something only beside others; alone they would be ignored without a word.

#include "api/run.h"
#include "base/bytes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Whether an option's value is one of a list such as "sgd rmsprop".
static bool one_of(const graft_options *all, const char *name, const char *list)
{
    const char *text = option_text(all, name);
    const size_t length = text != NULL ? strlen(text) : 0;
    for (const char *at = list; length > 0 && *at != '\0'; at += strspn(at, " ")) {
        const size_t word = strcspn(at, " ");
        if (word == length && strncmp(at, text, length) == 0)
            return true;
        at += word;
    }
    return false;
}

static bool is_zero(const char *text) { return text != NULL && strtod(text, NULL) == 0; }

// adamw has a decay of its own where none is given
static bool decays(const graft_options *all)
{
    const char *text = option_text(all, "weight-decay");
    return text != NULL ? !is_zero(text) : one_of(all, "optimizer", "adamw");
}
static bool is_validated(const graft_options *all)
{
    return one_of(all, "monitor", "train_loss") || !is_zero(option_text(all, "val"));
}
static bool has_pseudo(const graft_options *all) { return option_text(all, "pseudo") != NULL; }

// `option` goes with `with` of one of `values` (NULL: as `fits` says).
static const struct {
    const char *command; // NULL: any that has the option
    const char *option, *with, *values;
    bool (*fits)(const graft_options *all);
    const char *words; // of `with`, where it has no values
} rows[] = {
    {NULL, "momentum", "optimizer", "sgd rmsprop", NULL, NULL},
    {NULL, "no-nesterov", "optimizer", "sgd", NULL, NULL},
    {NULL, "betas", "optimizer", "adam adamw", NULL, NULL},
    {NULL, "rho", "optimizer", "rmsprop", NULL, NULL},
    {NULL, "epsilon", "optimizer", "adam adamw rmsprop", NULL, NULL},
    {NULL, "decay-all", "weight-decay", NULL, decays, "a --weight-decay above 0, and there is none"},
    {"train", "decay", "scheduler", "keras", NULL, NULL},
    {"train", "gamma", "scheduler", "step plateau", NULL, NULL},
    {"train", "step-epochs", "scheduler", "step plateau", NULL, NULL},
    {NULL, "cache-gb", "cache", "ram disk", NULL, NULL},
    {NULL, "cache-dir", "cache", "disk", NULL, NULL},
    {"train", "monitor", "val", NULL, is_validated, "validation, and --val 0 leaves none; say --monitor train_loss"},
    {"train", "pseudo-share", "pseudo", NULL, has_pseudo, "--pseudo FILE"},
    {"ensemble", "rounds", "rule", "greedy", NULL, NULL},
    {"ensemble", "c", "rule", "stack", NULL, NULL},
};

// "sgd rmsprop" as "sgd or rmsprop".
static void list_values(const char *values, char *out, size_t size)
{
    out[0] = '\0';
    for (const char *at = values; *at != '\0'; at += strspn(at, " ")) {
        const size_t word = strcspn(at, " "), used = strlen(out);
        snprintf(out + used, size - used, "%s%.*s", used == 0 ? "" : at[word] == '\0' ? " or " : ", ", (int)word, at);
        at += word;
    }
}

static bool has(const json_t *kept, const char *name, const char *text)
{
    const json_t *value = json_object_get(kept, name);
    return json_is_true(value) || (json_is_string(value) && strcmp(json_string_value(value), text) == 0);
}

graft_status options_go_with(const graft_options *given, const graft_options *all, const json_t *kept)
{
    char values[64];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *option = rows[i].option, *with = rows[i].with;
        if ((rows[i].command != NULL && strcmp(rows[i].command, given->command->name) != 0) ||
            !option_known(given, option) || !option_set(given, option) || has(kept, option, option_text(given, option)))
            continue;
        if (rows[i].values == NULL && !rows[i].fits(all))
            return fail(GRAFT_BAD_OPTION, "--%s goes with %s", option, rows[i].words);
        if (rows[i].values == NULL || one_of(all, with, rows[i].values))
            continue;
        list_values(rows[i].values, values, sizeof values);
        const char *recipe = option_known(all, "recipe") ? option_text(all, "recipe") : NULL;
        const bool preset = recipe != NULL && !option_set(given, with) && strcmp(recipe, "guide") != 0;
        return fail(GRAFT_BAD_OPTION, "--%s goes with --%s %s, not with %s%s%s", option, with, values,
                    option_text(all, with), preset ? ", which is of --recipe " : "", preset ? recipe : "");
    }
    return GRAFT_OK;
}
