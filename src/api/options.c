// api/options.c: setting and reading values, by the tables of api/commands.c; merging those of a run taken up again.

#include "api/run.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/names.h"
#include "exec/plan.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *graft_version(void)
{
    static char text[128];
    snprintf(text, sizeof text, "%s (%s, %s)", GRAFT_VERSION, exec_isa(), exec_library());
    return text;
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
        const bool letter = name[0] != '\0' && name[1] == '\0';
        const char *nearest = letter ? NULL : option_nearest(o->command, name);
        return fail(GRAFT_BAD_OPTION, "graft %s has no option %s%s%s%s%s", o->command->name, letter ? "-" : "--", name,
                    nearest != NULL ? "; did you mean --" : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "?" : "");
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

graft_status output_check(const graft_options *o, const char *name, const char *kinds)
{
    const char *path = option_text(o, name);
    if (path == NULL)
        return GRAFT_OK;
    TRY(file_writable(path));
    bool fits = kinds == NULL || file_special(path);
    for (const char *at = kinds; !fits && *at != '\0'; at += strspn(at, " ")) {
        char kind[16];
        snprintf(kind, sizeof kind, "%.*s", (int)strcspn(at, " "), at);
        fits = path_has_suffix(path, kind);
        at += strlen(kind);
    }
    return fits ? GRAFT_OK
                : fail(GRAFT_BAD_OPTION, "--%s %s: its name must end as what graft %s writes: %s", name, path,
                       o->command->name, kinds);
}

bool option_known(const graft_options *o, const char *name) { return option_index(o->command, name) >= 0; }

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
        return fail(GRAFT_BAD_OPTION, "--%s %s: a number from %g to %.9g is expected", name, text, least, most);
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
        if (text != NULL && strcmp(text, choices[i]) == 0) {
            *out = i;
            return GRAFT_OK;
        }
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return text != NULL ? fail(GRAFT_BAD_OPTION, "--%s %s: one of %s is expected", name, text, list)
                        : fail(GRAFT_BAD_OPTION, "there is no --%s: one of %s is expected", name, list);
}

// Options of this call alone, not of the work it describes.
static bool is_of_call(const char *name) { return strcmp(name, "resume") == 0 || strcmp(name, "force") == 0; }

char *options_json(const graft_options *o)
{
    json_t *object = json_object();
    char *directory = getcwd(NULL, 0);
    json_object_set_new(object, "command", json_string(o->command->name));
    if (directory != NULL)
        json_object_set_new(object, "directory", json_string(directory)); // what relative paths are relative to
    free(directory);
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
        if (is_of_call(info->name))
            json_decref(value);
        else
            json_object_set_new(object, info->name, value);
    }
    char *text = json_text(object);
    json_decref(object);
    return text;
}

static bool same_value(const char *a, const char *b)
{
    char *end_a, *end_b;
    const double x = strtod(a, &end_a), y = strtod(b, &end_b);
    return strcmp(a, b) == 0 || (end_a != a && *end_a == '\0' && end_b != b && *end_b == '\0' && x == y);
}

static bool listed(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

// Of one that was given several times, now or then: the same values in the same order, or it is a change.
static graft_status list_merge(graft_options *o, int i, const json_t *kept, char *changes, size_t size)
{
    const char *name = o->command->options[i].name, **now;
    const bool given = o->value[i] != NULL;
    int n;
    TRY(option_texts(o, name, &now, &n));
    bool same = (size_t)n == json_array_size(kept); // a single one is none
    for (int k = 0; same && k < n; k++)
        same = strcmp(now[k], json_string_value(json_array_get(kept, (size_t)k))) == 0;
    mem_free(now);
    const size_t used = strlen(changes);
    if (given && !same)
        snprintf(changes + used, size - used, "%s--%s given otherwise", used > 0 ? "; " : "", name);
    for (size_t k = 0; !given && k < json_array_size(kept); k++)
        TRY(graft_options_set(o, name, json_string_value(json_array_get(kept, k))));
    return GRAFT_OK;
}

static int count_of(const graft_options *o, int i) // of values
{
    int n = o->value[i] != NULL;
    for (size_t k = 0; k < o->n_more; k++)
        n += o->more[k].option == i;
    return n;
}

static graft_status option_merge(graft_options *o, int i, const json_t *kept, const char *const *free_names,
                                 char *changes, size_t size)
{
    const graft_option_info *info = &o->command->options[i];
    if (json_is_array(kept) || count_of(o, i) > 1)
        return list_merge(o, i, kept, changes, size);
    const char *text = json_is_true(kept) ? "" : json_string_value(kept);
    const char *was = text != NULL ? text : "not set", *now = o->value[i];
    const bool same = now != NULL && text != NULL && same_value(now, text);
    if (now != NULL && !same && !listed(free_names, info->name)) {
        const size_t used = strlen(changes);
        snprintf(changes + used, size - used, "%s--%s%s%s%s%s%s", used > 0 ? "; " : "", info->name,
                 now[0] != '\0' ? " " : "", now, now[0] != '\0' ? " (was " : " (was not set", now[0] != '\0' ? was : "",
                 ")");
    }
    return now == NULL && text != NULL ? graft_options_set(o, info->name, info->argument != NULL ? text : NULL)
                                       : GRAFT_OK;
}

// A text, a switch, nothing, or texts.
static bool is_value(const json_t *kept)
{
    bool texts = json_is_array(kept);
    for (size_t k = 0; texts && k < json_array_size(kept); k++)
        texts = json_is_string(json_array_get(kept, k));
    return texts || json_is_string(kept) || json_is_boolean(kept) || json_is_null(kept);
}

graft_status options_copy(const graft_options *from, const char *const *but, graft_options **out)
{
    const graft_option_info *info = from->command->options;
    graft_options *o = graft_options_new(from->command->name);
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (o == NULL)
        return fail_memory("options");
    for (int i = 0; info[i].name != NULL; i++)
        if (from->value[i] != NULL && !listed(but, info[i].name))
            TRY_GOTO(graft_options_set(o, info[i].name, info[i].argument != NULL ? from->value[i] : NULL));
    for (size_t k = 0; k < from->n_more; k++)
        if (!listed(but, info[from->more[k].option].name))
            TRY_GOTO(graft_options_set(o, info[from->more[k].option].name, from->more[k].text));
    *out = o;
    o = NULL;
done:
    graft_options_free(o);
    return status;
}

graft_status options_merge(const graft_options *given, const json_t *kept, const char *const *free_names, char *changes,
                           size_t size, graft_options **out)
{
    static const char *const nothing[] = {NULL};
    graft_options *o;
    graft_status status = GRAFT_OK;
    const char *name;
    json_t *value;
    changes[0] = '\0';
    *out = NULL;
    TRY(options_copy(given, nothing, &o));
    json_object_foreach((json_t *)kept, name, value)
    {
        const int i = option_index(o->command, name);
        if (strcmp(name, "command") == 0 || strcmp(name, "directory") == 0)
            continue;
        if (i < 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "args.json has an option '%s' that this graft does not know", name));
        if (!is_value(value))
            TRY_GOTO(fail(GRAFT_BAD_FILE, "args.json: what it says of the option '%s' is not a text", name));
        TRY_GOTO(option_merge(o, i, value, free_names, changes, size));
    }
    *out = o;
    o = NULL;
done:
    graft_options_free(o);
    return status;
}

graft_status graft_run(const graft_options *o, const graft_hooks *hooks)
{
    hooks_set(hooks);
    const graft_status status = o->command->run(o);
    hooks_set(NULL);
    return status;
}
