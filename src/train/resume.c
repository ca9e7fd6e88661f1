// train/resume.c: taking up a run where it stopped: the folder, what changed since, the state.
// graft.checkpoint: JSON {"epochs", "steps", "seen", "trained", "loss_sum", "hits", "epoch_seconds", "run_steps",
// "epoch_times": waiting, forward, backward, update, logs: the position; "epoch_updates", "rate", "closed"; "updates",
// "batches", "gathered", "momentum", "first": the optimizer's;
// "averaged"; "plateau": [rate, best, waited, started]; "best", "best_epoch", "best_model", "waited", "stopped",
// "epochs_wanted"; "seconds": spent by the run; "events", "results", "skipped_csv": lengths of the logs; "skipped":
// samples left out so far; "pictures", "seed", "threads", "isa", "library": what the same bits depend on}.  Random
// numbers are keyed, so they need no state.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include "train/changes.h"
#include "weights/weights.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

graft_status train_resume_open(const char *folder, struct train_resume *out)
{
    graft_status status = GRAFT_OK;
    char *args = path_join(folder, "args.json");
    *out = (struct train_resume){.folder = mem_text(folder), .lock = -1};
    if (args == NULL || out->folder == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (!file_exists(folder))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "there is no folder '%s'; `graft runs` lists the runs", folder));
    if (!file_exists(args))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is not the folder of a run: it has no args.json", folder));
    TRY_GOTO(file_lock(folder, &out->lock));
    run_folder_sweep(folder);
    TRY_GOTO(json_read_file(args, &out->args));
    if (!json_is_object(out->args))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s: expected an object of options", args));
    struct checkpoints found = {.folder = folder};
    TRY_GOTO(checkpoint_find(&found, &out->checkpoint));
    out->last_good = found.last_good;
done:
    mem_free(args);
    if (status != GRAFT_OK)
        train_resume_close(out);
    return status;
}

void train_resume_close(struct train_resume *r)
{
    if (r->folder != NULL)
        file_unlock(r->lock);
    mem_free(r->folder);
    mem_free(r->checkpoint);
    json_decref(r->args);
    *r = (struct train_resume){.lock = -1};
}

struct classes_had {
    int n;             // that the run has; 0: nobody can tell
    const char *moved; // of the data's, one that the run has under another number; NULL: none
};

static struct classes_had classes_had(const char *folder, const struct dataset *d)
{
    struct file_map map;
    struct classes_had had = {0};
    char *path = path_join(folder, "classes.txt");
    if (path != NULL && file_exists(path) && file_map_open(path, &map) == GRAFT_OK) {
        const char *at = (const char *)map.data.ptr, *end = at + map.data.size, *stop;
        for (; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1, had.n++)
            for (int c = 0; c < d->n_classes; c++)
                if (c != had.n && strlen(d->classes[c]) == (size_t)(stop - at) &&
                    memcmp(d->classes[c], at, (size_t)(stop - at)) == 0)
                    had.moved = d->classes[c];
        file_map_close(&map);
    }
    mem_free(path);
    return had;
}

// *out (heap): what the file of the run says otherwise than `now`; "" for nothing.
static graft_status compare_file(const char *folder, const char *name, const char *now, const char *fields, char **out)
{
    struct file_map map;
    char *path = path_join(folder, name);
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (path == NULL || now == NULL)
        TRY_GOTO(fail_memory("the comparison of the data"));
    if (!file_exists(path)) {
        *out = mem_format("nobody can tell, since %s is missing", path);
        status = *out != NULL ? GRAFT_OK : fail_memory("the comparison of the data");
        goto done;
    }
    TRY_GOTO(file_map_open(path, &map));
    status = changes_of_rows(map.data, (bytes){(const uint8_t *)now, strlen(now)}, fields, out);
    file_map_close(&map);
done:
    mem_free(path);
    return status;
}

static char *class_list(const struct dataset *d)
{
    char *text = mem_text("");
    for (int i = 0; text != NULL && i < d->n_classes; i++) {
        char *longer = mem_format("%s%s\n", text, d->classes[i]);
        mem_free(text);
        text = longer;
    }
    return text;
}

graft_status train_resume_split(struct train_resume *r, struct dataset *d, long limit)
{
    r->kept = (struct split_kept){0};
    if (r->checkpoint == NULL || r->split_anew)
        return GRAFT_OK;
    char *path = path_join(r->folder, "split.csv");
    graft_status status = path != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK && file_exists(path))
        status = dataset_split_keep(d, path, limit, &r->kept);
    mem_free(path);
    return status;
}

// What became of pictures that the run did not have, and of what its figures are over.
static void kept_tell(const struct train_resume *r)
{
    const size_t *n = r->kept.n_new;
    if (r->kept.matched == 0) {
        log_warning("the pictures held out are drawn anew%s, so pictures that were trained on may be validated and the "
                    "figures flatter",
                    r->split_anew ? "" : ", since the run's own are not known");
        return;
    }
    if (n[PART_TRAIN] + n[PART_VAL] + n[PART_TEST] + n[PART_NONE] > 0)
        log_warning("the run's split stays; of the new pictures %zu are trained on, %zu validated, %zu left aside",
                    n[PART_TRAIN], n[PART_VAL], n[PART_TEST] + n[PART_NONE]);
    if (n[PART_VAL] + r->kept.val_gone > 0)
        log_warning("%zu of the pictures validated are gone, %zu are new, so what was best so far was measured on "
                    "others than what comes",
                    r->kept.val_gone, n[PART_VAL]);
}

graft_status train_resume_check(struct train_resume *r, const struct dataset *d, const char *changes, bool force)
{
    char *split = run_folder_split(d), *classes = class_list(d), *data_changes = NULL, *class_changes = NULL;
    graft_status status = GRAFT_OK;
    if (r->checkpoint == NULL && run_folder_lost(r->folder)) {
        if (!force)
            TRY_GOTO(run_folder_lost_fail(r->folder));
        log_warning("the checkpoint of the run in '%s' is gone; the run begins again", r->folder);
    }
    if (r->checkpoint == NULL) // it starts again, with what there is now
        goto done;
    TRY_GOTO(compare_file(r->folder, "classes.txt", classes, "", &class_changes));
    TRY_GOTO(compare_file(r->folder, "split.csv", split,
                          d->n_groups > 0 ? "label,part,content or date,group,box" : "label,part,content or date,box",
                          &data_changes));
    const struct classes_had had = classes_had(r->folder, d);
    char what[200];
    if (had.n != d->n_classes)
        snprintf(what, sizeof what, "has %d classes and the data %d", had.n, d->n_classes);
    else
        snprintf(what, sizeof what, "knows '%.100s' under another number", had.moved != NULL ? had.moved : "");
    if (had.n > 0 && (had.n != d->n_classes || had.moved != NULL))
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "the run in '%s' %s; of the classes %s.  A run cannot go on with other classes, not by --force "
                      "either: put the data back, or begin a run with what it has learnt, `graft train --weights "
                      "%s/model.safetensors -d DATA -o DIR`",
                      r->folder, what, class_changes, r->folder));
    r->data_changed = class_changes[0] != '\0' || data_changes[0] != '\0';
    if (!r->data_changed && changes[0] == '\0')
        goto done;
    char text[1800];
    snprintf(text, sizeof text, "%s%s%s%s%s%s", changes, changes[0] != '\0' && r->data_changed ? "; " : "",
             class_changes[0] != '\0' ? "of the classes " : "", class_changes,
             data_changes[0] != '\0' ? class_changes[0] != '\0' ? "; of the pictures " : "of the pictures " : "",
             data_changes);
    if (!force)
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "the run in '%s' was made with something else: %s.  Add --force to go on all the same", r->folder,
                      text));
    log_warning("going on although something changed: %s", text);
    if (data_changes[0] != '\0')
        kept_tell(r);
done:
    mem_free(split);
    mem_free(classes);
    mem_free(data_changes);
    mem_free(class_changes);
    return status;
}

int trainer_slots(struct trainer *t, struct slot slots[MAX_SLOTS])
{
    struct optimizer *o = &t->optimizer;
    int n = 0;
    for (int i = 0; i < OPTIM_SLOTS; i++)
        if (o->slot[i] != NULL)
            slots[n++] = (struct slot){o->rule->slots[i], o->slot[i], false};
    if (o->gathered != NULL && o->options.accumulate > 1)
        slots[n++] = (struct slot){"gathered", o->gathered, false};
    if (t->average.values != NULL)
        slots[n++] = (struct slot){"average", t->average.values, t->average.whole};
    return n;
}

static json_t *first_list(const struct optimizer *o)
{
    json_t *list = json_array();
    for (int i = 0; i < o->params->count; i++)
        json_array_append_new(list,
                              json_integer(o->entries[i].first == OPTIM_NEVER ? -1 : (json_int_t)o->entries[i].first));
    return list;
}

static json_t *skipped_list(const struct trainer *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->data->count; i++)
        if (t->skipped[i])
            json_array_append_new(list, json_integer((json_int_t)i));
    return list;
}

graft_status trainer_state(struct trainer *t, json_t **out)
{
    uint64_t size[N_LOGS];
    const struct position *at = &t->at;
    char model[24];
    double times[PROFILE_KEPT];
    TRY(run_folder_flush(&t->folder, size));
    TRY(profile_keep(&t->profile, times));
    snprintf(model, sizeof model, "%016" PRIx64, t->best.model);
    const struct optimizer *o = &t->optimizer;
    const struct plateau *p = &t->plateau;
    json_t *position =
        json_pack("{s:i, s:I, s:I, s:I, s:f, s:I, s:f, s:I, s:I, s:f, s:b, s:[f, f, f, f, f]}", "epochs", at->epochs,
                  "steps", (json_int_t)at->steps, "seen", (json_int_t)at->seen, "trained", (json_int_t)at->trained,
                  "loss_sum", at->loss_sum, "hits", (json_int_t)at->hits, "epoch_seconds", at->seconds, "run_steps",
                  (json_int_t)at->run_steps, "epoch_updates", (json_int_t)at->updates, "rate", at->rate, "closed",
                  at->closed, "epoch_times", times[0], times[1], times[2], times[3], times[4]);
    json_t *optimizer =
        json_pack("{s:I, s:i, s:i, s:f, s:o, s:I, s:[f, f, i, b]}", "updates", (json_int_t)o->updates, "batches",
                  o->batches, "gathered", o->pictures, "momentum", o->momentum, "first", first_list(o), "averaged",
                  (json_int_t)t->average.n, "plateau", p->rate, p->best, p->waited, p->started);
    json_t *state = json_pack("{s:i, s:s, s:i, s:b, s:i, s:f, s:I, s:I, s:I, s:o, s:I, s:I, s:i, s:s, s:s}",
                              "best_epoch", t->best.epoch, "best_model", model, "waited", t->waited, "stopped",
                              t->stopped, "epochs_wanted", t->options->epochs, "seconds",
                              t->elapsed + now_seconds() - t->begin, "events", (json_int_t)size[LOG_EVENTS], "results",
                              (json_int_t)size[LOG_RESULTS], "skipped_csv", (json_int_t)size[LOG_SKIPPED], "skipped",
                              skipped_list(t), "pictures", (json_int_t)t->n, "seed", (json_int_t)t->options->seed,
                              "threads", exec_threads(), "isa", exec_isa(), "library", exec_library());
    const bool fine = position != NULL && optimizer != NULL && state != NULL &&
                      json_object_set(state, "plan", t->choices) == 0 &&
                      json_object_update(state, position) == 0 && json_object_update(state, optimizer) == 0 &&
                      (isnan(t->best.value) || json_object_set_new(state, "best", json_real(t->best.value)) == 0);
    json_decref(position);
    json_decref(optimizer);
    if (!fine) {
        json_decref(state);
        return fail_memory("the checkpoint's state");
    }
    *out = state;
    return GRAFT_OK;
}

// The epoch that a model file says it is of.
static graft_status model_epoch(const char *path, int *out)
{
    struct tensor_set set = {0};
    json_t *meta = NULL, *trained = NULL;
    graft_status status = weights_read(path, &set);
    if (status == GRAFT_OK && set.metadata != NULL)
        status = json_parse((bytes){(const uint8_t *)set.metadata, strlen(set.metadata)}, path, &meta);
    const char *text = json_string_value(json_object_get(meta, "graft.trained"));
    if (status == GRAFT_OK && text != NULL)
        status = json_parse((bytes){(const uint8_t *)text, strlen(text)}, path, &trained);
    *out = (int)json_integer_value(json_object_get(trained, "epoch"));
    json_decref(trained);
    json_decref(meta);
    tensor_set_free(&set);
    return status;
}

// The best model is the one the checkpoint knows by its tensors, since `val --calibrate` changes what it says of itself
// (older runs know the whole file), or a later one that the run wrote before it stopped; that one comes again, the
// same.  Anything else cannot stand for the best.
static void best_check(struct trainer *t)
{
    char *path = path_join(t->folder.path, "model.safetensors");
    uint64_t hash = 0;
    int epoch = 0;
    if (t->best.epoch == 0 || path == NULL) {
        mem_free(path);
        return;
    }
    if ((model_hash(path, &hash) == GRAFT_OK && hash == t->best.model) ||
        (file_hash(path, &hash, NULL, 0) == GRAFT_OK && hash == t->best.model) ||
        (model_epoch(path, &epoch) == GRAFT_OK && epoch > t->at.epochs)) {
        mem_free(path);
        return;
    }
    log_warning("%s is not the model of epoch %d that the run left there; the next epoch counts as the best", path,
                t->best.epoch);
    t->best = (struct best){.value = NAN};
    mem_free(path);
}

static json_int_t integer(const json_t *state, const char *key)
{
    return json_integer_value(json_object_get(state, key));
}
static double number(const json_t *state, const char *key) { return json_number_value(json_object_get(state, key)); }

static void warn_other_bits(const json_t *state)
{
    const char *isa = json_string_value(json_object_get(state, "isa"));
    const char *library = json_string_value(json_object_get(state, "library"));
    const int threads = (int)integer(state, "threads");
    if (threads != exec_threads() || isa == NULL || strcmp(isa, exec_isa()) != 0 || library == NULL ||
        strcmp(library, exec_library()) != 0)
        log_info(
            "this is %s, %s, %d threads; the run was on %s, %s, %d: the last bits of its results may differ from never "
            "having stopped",
            exec_isa(), exec_library(), exec_threads(), isa != NULL ? isa : "?", library != NULL ? library : "?",
            threads);
}

static void position_read(struct trainer *t, const json_t *state)
{
    t->at = (struct position){.epochs = (int)integer(state, "epochs"),
                              .steps = (long)integer(state, "steps"),
                              .seen = (size_t)integer(state, "seen"),
                              .trained = (size_t)integer(state, "trained"),
                              .loss_sum = number(state, "loss_sum"),
                              .hits = (size_t)integer(state, "hits"),
                              .updates = (long)integer(state, "epoch_updates"),
                              .rate = number(state, "rate"),
                              .closed = json_is_true(json_object_get(state, "closed")),
                              .seconds = number(state, "epoch_seconds"),
                              .run_steps = (uint64_t)integer(state, "run_steps")};
    t->elapsed = number(state, "seconds");
    const json_t *best = json_object_get(state, "best");
    const char *model = json_string_value(json_object_get(state, "best_model"));
    t->best = (struct best){best != NULL ? json_number_value(best) : NAN, (int)integer(state, "best_epoch"),
                            model != NULL ? strtoull(model, NULL, 16) : 0};
    t->waited = (int)integer(state, "waited");
    t->stopped = json_is_true(json_object_get(state, "stopped"));
    if (t->options->epochs > integer(state, "epochs_wanted") && t->stopped) { // asked for more
        t->stopped = false;
        t->waited = 0;
    }
}

static void optimizer_read(struct trainer *t, const json_t *state)
{
    struct optimizer *o = &t->optimizer;
    const json_t *first = json_object_get(state, "first"), *plateau = json_object_get(state, "plateau");
    o->updates = (uint64_t)integer(state, "updates");
    o->batches = (int)integer(state, "batches");
    o->pictures = (int)integer(state, "gathered");
    o->rate = t->at.rate; // an update may be due before the next batch
    o->momentum = number(state, "momentum");
    t->average.n = t->average.values != NULL ? (uint64_t)integer(state, "averaged") : 0;
    for (int i = 0; i < o->params->count; i++) {
        const json_int_t value = json_integer_value(json_array_get(first, (size_t)i));
        o->entries[i].first = first == NULL || value < 0 ? OPTIM_NEVER : (uint64_t)value;
        o->entries[i].gathered = o->batches > 0 && o->entries[i].first != OPTIM_NEVER;
    }
    if (json_array_size(plateau) == 4)
        t->plateau = (struct plateau){
            json_number_value(json_array_get(plateau, 0)), json_number_value(json_array_get(plateau, 1)),
            (int)json_integer_value(json_array_get(plateau, 2)), json_is_true(json_array_get(plateau, 3))};
}

graft_status trainer_restore(struct trainer *t)
{
    const struct train_resume *r = t->options->resume;
    struct slot slots[MAX_SLOTS];
    json_t *state = NULL;
    const json_t *item;
    size_t i;
    graft_status status = GRAFT_OK;
    TRY_GOTO(checkpoint_read(r->checkpoint, t->model, slots, trainer_slots(t, slots), t->options->force, &state));
    position_read(t, state);
    optimizer_read(t, state);
    json_t *choices = json_object_get(state, "plan");
    if (json_is_object(choices)) {
        json_decref(t->choices);
        t->choices = json_incref(choices);
    }
    const bool same = (size_t)integer(state, "pictures") == t->n && !r->data_changed;
    const json_t *times = json_object_get(state, "epoch_times");
    if (same && t->at.steps > 0 && json_array_size(times) == PROFILE_KEPT) {
        double kept[PROFILE_KEPT];
        for (i = 0; i < PROFILE_KEPT; i++)
            kept[i] = json_number_value(json_array_get(times, i));
        profile_restore(&t->profile, kept);
    }
    if (!same) // the unfinished epoch begins again; the best model stays the best, whatever it was measured on
        t->at = (struct position){.epochs = t->at.epochs, .run_steps = t->at.run_steps};
    json_array_foreach(json_object_get(state, "skipped"), i, item)
    {
        const size_t sample = (size_t)json_integer_value(item);
        if (same && sample < t->data->count && !t->skipped[sample]) {
            t->skipped[sample] = true;
            t->n_skipped++;
        }
    }
    if (trainer_done(t) && run_folder_ended(&t->folder)) // finished: nothing is touched
        goto done;
    warn_other_bits(state);
    best_check(t);
    const uint64_t size[N_LOGS] = {(uint64_t)integer(state, "events"),
                                   (uint64_t)integer(state, "results"),
                                   (uint64_t)integer(state, "skipped_csv")};
    TRY_GOTO(run_folder_trim(&t->folder, size));
    TRY_GOTO(run_folder_describe(&t->folder, t->data, t->options->args));
    log_info("going on with '%s' after %d epoch%s and %ld step%s", t->folder.path, t->at.epochs,
             t->at.epochs == 1 ? "" : "s", t->at.steps, t->at.steps == 1 ? "" : "s");
done:
    json_decref(state);
    return status;
}
