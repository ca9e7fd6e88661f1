// api/run_rounds.c: `graft pseudo RUN --rounds N`: label, train as RUN was with the labels, label by the result, ...
// DIR/rounds.json: what was asked for; DIR/round-K.csv: the labels of round K; DIR/round-K/: its run, or fold run.
// Each step leaves a whole file or a run that goes on, so that the same command, after whatever stopped it, goes on.

#include "api/run.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/folds.h"
#include <stdlib.h>
#include <string.h>

// What the command asks for, but for what may change from one call to the next.
static graft_status request_of(const graft_options *o, json_t **out)
{
    static const char *const free_names[] = {"rounds", "threads", "workers", "batch", "offline"};
    char *text = options_json(o);
    graft_status status = text != NULL ? GRAFT_OK : fail_memory("options");
    *out = NULL;
    if (status == GRAFT_OK)
        status = json_parse((bytes){(const uint8_t *)text, strlen(text)}, "options", out);
    mem_free(text);
    TRY(status);
    for (size_t i = 0; i < COUNT_OF(free_names); i++)
        json_object_del(*out, free_names[i]);
    json_object_set_new(*out, "run", json_string(o->inputs[0]));
    return GRAFT_OK;
}

static const char *shown(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? text : json_is_true(value) ? "given" : json_is_array(value) ? "several" : "not given";
}

// The folder is of this request: written down when it is new.
static graft_status request_settle(const graft_options *o, const char *folder)
{
    json_t *now = NULL, *then = NULL;
    const char *name;
    json_t *value;
    char *path = path_join(folder, "rounds.json");
    graft_status status = path != NULL ? GRAFT_OK : fail_memory("a path");
    TRY_GOTO(status);
    TRY_GOTO(request_of(o, &now));
    if (!file_exists(path)) {
        status = json_write_file(path, now);
        goto done;
    }
    TRY_GOTO(json_read_file(path, &then));
    json_object_foreach(now, name, value)
        if (!json_equal(value, json_object_get(then, name)))
            TRY_GOTO(fail(GRAFT_BAD_FILE,
                          "the rounds in '%s' were begun otherwise: %s was %s, and is %s; name another folder with -o",
                          folder, name, shown(json_object_get(then, name)), shown(value)));
done:
    json_decref(now);
    json_decref(then);
    mem_free(path);
    return status;
}

// RUN's options with the labels and a folder of its own.
static graft_status round_begin(const graft_options *o, const json_t *args, const char *labels, const char *folder)
{
    static const char *const nothing[] = {NULL};
    graft_options *given = graft_options_new("train"), *merged = NULL;
    char changes[1024];
    graft_status status = given != NULL ? GRAFT_OK : fail_memory("options");
    TRY_GOTO(status);
    TRY_GOTO(graft_options_set(given, "pseudo", labels));
    TRY_GOTO(graft_options_set(given, "pseudo-share", option_text(o, "pseudo-share")));
    TRY_GOTO(graft_options_set(given, "output", folder));
    TRY_GOTO(options_merge(given, args, nothing, changes, sizeof changes, &merged));
    status = tell_directory(folds_wanted(merged) ? folds_anew(merged) : train_once(merged), args);
done:
    graft_options_free(given);
    graft_options_free(merged);
    return status;
}

static graft_status round_go_on(const char *folder)
{
    graft_options *given = graft_options_new("train");
    if (given == NULL)
        return fail_memory("options");
    const graft_status status = folds_folder_is(folder) ? folds_again(given, folder) : train_again(given, folder);
    graft_options_free(given);
    return status;
}

// *model: the run whose labels are taken; afterwards, this round's.
static graft_status round_run(const graft_options *o, const json_t *args, const char *folder, long number, char **model)
{
    char *labels = mem_format("%s/round-%ld.csv", folder, number), *run = mem_format("%s/round-%ld", folder, number);
    char *begun = run != NULL ? path_join(run, "args.json") : NULL;
    graft_status status = labels != NULL && begun != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK && !file_exists(labels))
        status = pseudo_label(o, *model, labels);
    if (status == GRAFT_OK)
        status = file_exists(begun) ? round_go_on(run) : round_begin(o, args, labels, run);
    mem_free(labels);
    mem_free(begun);
    if (status != GRAFT_OK) {
        mem_free(run);
        return fail_prefix(status, "round %ld (the same command goes on)", number);
    }
    mem_free(*model);
    *model = run;
    return GRAFT_OK;
}

graft_status pseudo_rounds(const graft_options *o, long rounds)
{
    const char *folder = option_text(o, "output");
    char *path = path_join(o->inputs[0], "args.json"), *model = mem_text(o->inputs[0]);
    json_t *args = NULL;
    int lock = -1;
    graft_status status = path != NULL && model != NULL ? GRAFT_OK : fail_memory("a path");
    TRY_GOTO(status);
    if (!file_exists(path))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is not the folder of a run, so --rounds cannot train as it was trained",
                      o->inputs[0]));
    TRY_GOTO(json_read_file(path, &args));
    json_object_del(args, "folds-run"); // of that call
    TRY_GOTO(file_make_folder(folder));
    TRY_GOTO(file_lock(folder, &lock));
    file_sweep(folder);
    TRY_GOTO(request_settle(o, folder));
    for (long number = 1; number <= rounds; number++) {
        log_info("round %ld of %ld: labels by %s", number, rounds, model);
        TRY_GOTO(round_run(o, args, folder, number, &model));
    }
    log_info("the last round is in %s", model);
done:
    file_unlock(lock);
    json_decref(args);
    mem_free(path);
    mem_free(model);
    return status;
}
