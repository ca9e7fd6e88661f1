// train/run_folder.c: events.jsonl, results.csv (Ultralytics' column names), args.json, classes.txt, split.csv,
// skipped.csv, val_predictions.csv, per_class.csv, confusion_matrix.csv, results.json.

#include "train/run_folder.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "infer/ensemble.h"
#include "infer/svm.h"
#include "infer/table.h"
#include "train/checkpoint.h"
#include "train/folds.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const log_names[N_LOGS] = {"events.jsonl", "results.csv", "skipped.csv"};

// Ends a text: `put` is one of file.h's.
static graft_status folder_put(struct text *t, const struct run_folder *f, const char *name,
                             graft_status (*put)(const char *path, const void *data, size_t size))
{
    char *path = path_join(f->path, name);
    const graft_status status = t->broken || path == NULL ? fail_memory(name) : put(path, t->data, t->size);
    mem_free(path);
    mem_free(t->data);
    return status;
}

static graft_status folder_write(struct text *t, const struct run_folder *f, const char *name)
{
    return folder_put(t, f, name, file_write_all);
}

// Of the best epoch: the checkpoint of this epoch or a later one flushes the folder.
static graft_status folder_replace(struct text *t, const struct run_folder *f, const char *name)
{
    return folder_put(t, f, name, file_write_loose);
}

static graft_status folder_append(struct text *t, const struct run_folder *f, const char *name)
{
    return folder_put(t, f, name, file_append);
}

graft_status run_folder_event(const struct run_folder *f, const char *json)
{
    struct text t = {0};
    text_put(&t, "%s\n", json);
    return folder_append(&t, f, log_names[LOG_EVENTS]);
}

// runs/train, runs/train2, ...: the first that is not there, made at once so that no other run takes it.
graft_status run_folder_next(char **out)
{
    TRY(file_make_folder("runs"));
    for (int i = 1; i < 100000; i++) {
        bool made;
        char *path = i == 1 ? mem_text("runs/train") : mem_format("runs/train%d", i);
        if (path == NULL)
            return fail_memory("a path");
        const graft_status status = file_make_new_folder(path, &made);
        if (status == GRAFT_OK && made) {
            *out = path;
            return GRAFT_OK;
        }
        mem_free(path);
        TRY(status);
    }
    return fail(GRAFT_BAD_OPTION, "runs/ is full of runs; name a folder with -o");
}

void run_folder_sweep(const char *folder)
{
    char *media = path_join(folder, "media");
    file_sweep(folder);
    if (media != NULL)
        file_sweep(media);
    mem_free(media);
}

graft_status run_folder_taken(const char *folder)
{
    return fail(GRAFT_BAD_OPTION,
                "'%s' holds a run already; go on with `graft train --resume %s`, or name another folder with -o",
                folder, folder);
}

graft_status run_folder_check(const char *folder, const char *own)
{
    static const struct { const char *file, *what; } kinds[] = {
        {FOLDS_FILE, "a fold run"}, {SVM_FILE, "a support vector machine"}, {ENSEMBLE_FILE, "an ensemble"}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        const char *file = kinds[i].file;
        if (own != NULL && strcmp(file, own) == 0)
            continue;
        char *path = path_join(folder, file);
        const bool there = path != NULL && file_exists(path), folds = strcmp(file, FOLDS_FILE) == 0;
        if (path == NULL)
            return fail_memory("a path");
        mem_free(path);
        if (there)
            return fail(GRAFT_BAD_OPTION, "'%s' holds %s (%s), which would be lost; %s%s%sname another folder with -o",
                        folder, kinds[i].what, file, folds ? "go on with `graft train --resume " : "",
                        folds ? folder : "", folds ? "`, or " : "");
    }
    return GRAFT_OK;
}

// Events tell a run that had checkpoints from one that was killed between its first model and its first checkpoint.
bool run_folder_lost(const char *folder)
{
    static const char mark[] = "{\"event\":\"checkpoint\"";
    struct file_map map;
    char *events = path_join(folder, log_names[LOG_EVENTS]), *model = path_join(folder, "model.safetensors"),
         *results = path_join(folder, "results.json");
    bool lost = false;
    if (events != NULL && model != NULL && results != NULL && !checkpoint_any(folder)) {
        if (!file_exists(events))
            lost = file_exists(model) || file_exists(results);
        else if (file_map_open(events, &map) == GRAFT_OK) {
            lost = map.data.size > 0 && memmem(map.data.ptr, map.data.size, mark, sizeof mark - 1) != NULL;
            file_map_close(&map);
        }
    }
    mem_free(events);
    mem_free(model);
    mem_free(results);
    return lost;
}

graft_status run_folder_lost_fail(const char *folder)
{
    return fail(GRAFT_BAD_FILE,
                "'%s' holds a run whose checkpoint, last.ckpt.safetensors, is gone: it cannot go on, and beginning "
                "again would replace its model and results.  Name another folder with -o, or begin again in this one "
                "with `graft train --resume %s --force`",
                folder, folder);
}

graft_status run_folder_open(struct run_folder *f, const struct train_options *options)
{
    *f = (struct run_folder){.lock = -1, .save = options->save};
    if (options->folder == NULL)
        TRY(run_folder_next(&f->path));
    else {
        f->path = mem_text(options->folder);
        if (f->path == NULL)
            return fail_memory("a path");
        TRY(file_make_folder(f->path));
    }
    TRY(run_folder_check(f->path, NULL));
    TRY(file_lock(f->path, &f->lock));
    run_folder_sweep(f->path);
    if (checkpoint_any(f->path))
        return run_folder_taken(f->path);
    return run_folder_lost(f->path) ? run_folder_lost_fail(f->path) : GRAFT_OK;
}

graft_status run_folder_adopt(struct run_folder *f, const struct train_options *options)
{
    *f = (struct run_folder){.path = mem_text(options->resume->folder), .lock = options->resume->lock, .save = true};
    options->resume->lock = -1;
    return f->path != NULL ? GRAFT_OK : fail_memory("a path");
}

void run_folder_close(struct run_folder *f)
{
    if (f->path != NULL)
        file_unlock(f->lock);
    mem_free(f->path);
    *f = (struct run_folder){.lock = -1};
}

// Also of the target, where it is of probabilities.
static uint64_t stamp_of(const struct dataset *d, size_t index)
{
    const float *soft = d->samples[index].soft;
    const uint64_t stamp = sample_stamp(d, index);
    return soft != NULL ? stamp ^ hash_of((bytes){(const uint8_t *)soft, (size_t)d->n_classes * sizeof *soft}) : stamp;
}

static void split_put(struct text *split, const struct dataset *d)
{
    static const char *const parts[] = {"train", "val", "test", "unused", "pseudo"};
    bool boxes = false;
    for (size_t i = 0; i < d->count; i++)
        boxes |= d->samples[i].box != NULL;
    text_put(split, "path,label,split,stamp%s%s\n", d->n_groups > 0 ? ",group" : "", boxes ? ",box" : "");
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        if (s->copy > 0 || s->round > 0)
            continue;
        text_put_field(split, s->path);
        text_put(split, ",");
        text_put_field(split, s->label >= 0 ? d->classes[s->label] : "");
        text_put(split, ",%s,%016" PRIx64, parts[s->part], stamp_of(d, i));
        if (d->n_groups > 0) {
            text_put(split, ",");
            text_put_field(split, s->group > 0 ? d->groups[s->group - 1] : "");
        }
        if (boxes)
            text_put(split, ",");
        for (int k = 0; k < 4 && s->box != NULL; k++)
            text_put(split, "%s%.9g", k > 0 ? " " : "", (double)s->box[k]);
        text_put(split, "\n");
    }
}

char *run_folder_split(const struct dataset *d)
{
    struct text split = {0};
    split_put(&split, d);
    if (!split.broken)
        return split.data;
    mem_free(split.data);
    return NULL;
}

graft_status run_folder_describe(const struct run_folder *f, const struct dataset *d, const char *args)
{
    struct text json = {0}, classes = {0}, split = {0};
    text_put(&json, "%s\n", args);
    TRY(folder_write(&json, f, "args.json"));
    for (int i = 0; i < d->n_classes; i++)
        text_put(&classes, "%s\n", d->classes[i]);
    TRY(folder_write(&classes, f, "classes.txt"));
    split_put(&split, d);
    return folder_write(&split, f, "split.csv");
}

static graft_status log_begin(const struct run_folder *f, int log)
{
    static const char *const heads[N_LOGS] = {
        [LOG_EVENTS] = "",
        [LOG_SKIPPED] = "path,reason\n",
        [LOG_RESULTS] = "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0\n"};
    struct text head = {0};
    text_put(&head, "%s", heads[log]);
    return folder_write(&head, f, log_names[log]);
}

graft_status run_folder_start(const struct run_folder *f, const struct dataset *d, const struct train_options *options)
{
    TRY(log_begin(f, LOG_EVENTS));
    if (!f->save)
        return GRAFT_OK;
    TRY(run_folder_describe(f, d, options->args));
    TRY(log_begin(f, LOG_SKIPPED));
    return log_begin(f, LOG_RESULTS);
}

// Calls `act` on each log's path.
static graft_status logs_each(const struct run_folder *f, uint64_t size[N_LOGS],
                              graft_status (*act)(const char *, uint64_t *))
{
    for (int i = 0; i < N_LOGS; i++) {
        char *path = path_join(f->path, log_names[i]);
        const graft_status status = path != NULL ? act(path, &size[i]) : fail_memory("a path");
        mem_free(path);
        TRY(status);
    }
    return GRAFT_OK;
}

static graft_status log_flush(const char *path, uint64_t *size)
{
    TRY(file_flush(path));
    return file_size(path, size);
}

graft_status run_folder_flush(const struct run_folder *f, uint64_t size[N_LOGS])
{
    return logs_each(f, size, log_flush);
}

static graft_status log_trim(const char *path, uint64_t *size)
{
    uint64_t found;
    TRY(file_size(path, &found));
    if (*size == 0) // it has begun again
        return GRAFT_OK;
    if (found < *size)
        log_warning("%s lost its end: %" PRIu64 " bytes of %" PRIu64 " are left", path, found, *size);
    return found > *size ? file_trim(path, *size) : GRAFT_OK;
}

graft_status run_folder_trim(const struct run_folder *f, const uint64_t size[N_LOGS])
{
    uint64_t copy[N_LOGS];
    memcpy(copy, size, sizeof copy);
    for (int i = 0; i < N_LOGS; i++) { // a log that somebody has removed is no reason to lose the run
        char *path = path_join(f->path, log_names[i]);
        const bool gone = path != NULL && !file_exists(path);
        if (gone)
            log_warning("%s is gone; it begins again here", path);
        mem_free(path);
        if (gone) {
            TRY(log_begin(f, i));
            copy[i] = 0;
        }
    }
    return logs_each(f, copy, log_trim);
}

bool run_folder_ended(const struct run_folder *f)
{
    static const char mark[] = "{\"event\":\"end\"";
    struct file_map map;
    char *path = path_join(f->path, log_names[LOG_EVENTS]);
    bool ended = false;
    if (path != NULL && file_map_open(path, &map) == GRAFT_OK) {
        size_t at = map.data.size > 0 ? map.data.size - 1 : 0; // the start of the last line
        while (at > 0 && map.data.ptr[at - 1] != '\n')
            at--;
        ended = map.data.size - at >= sizeof mark && memcmp(map.data.ptr + at, mark, sizeof mark - 1) == 0 &&
                map.data.ptr[map.data.size - 1] == '\n';
        file_map_close(&map);
    }
    mem_free(path);
    return ended;
}

graft_status run_folder_skip(const struct run_folder *f, const char *path, const char *reason)
{
    if (f->save) {
        struct text t = {0};
        text_put_field(&t, path);
        text_put(&t, ",");
        text_put_field(&t, reason);
        text_put(&t, "\n");
        TRY(folder_append(&t, f, log_names[LOG_SKIPPED]));
    }
    json_t *event = json_pack("{s:s, s:s+, s:s+}", "event", "skip", "path", path, "", "reason", reason, "");
    char *json = event != NULL ? json_text(event) : NULL; // NULL too when the name is not UTF-8: skipped.csv has it
    json_decref(event);
    const graft_status status = json != NULL ? run_folder_event(f, json) : GRAFT_OK;
    mem_free(json);
    return status;
}

graft_status run_folder_epoch(const struct run_folder *f, const struct epoch_result *r)
{
    struct text event = {0}, row = {0};
    text_put(&event, "{\"event\":\"epoch\",\"epoch\":%d,\"train_loss\":%.9g,", r->epoch, r->train_loss);
    if (r->val.n > 0)
        text_put(&event, "\"val_loss\":%.9g,\"val_log_loss\":%.9g,\"val_top1\":%.9g,\"val_top5\":%.9g,", r->val_loss,
                 r->val.log_loss, r->val.top1, r->val.top5);
    text_put(&event,
             "\"lr\":%.9g,\"img_s\":%.2f,\"seconds\":%.3f,\"time\":%.3f,\"wait_seconds\":%.3f,\"data_seconds\":%.3f,"
             "\"forward_seconds\":%.3f,\"backward_seconds\":%.3f,\"update_seconds\":%.3f,\"val_seconds\":%.3f,"
             "\"log_seconds\":%.4f}\n",
             r->rate, r->images_per_second, r->seconds, now_date(), r->times.wait, r->times.data, r->times.forward,
             r->times.backward, r->times.update, r->times.validation, r->times.told);
    TRY(folder_append(&event, f, log_names[LOG_EVENTS]));
    if (!f->save)
        return GRAFT_OK;
    text_put(&row, "%d,%.3f,%.6g,", r->epoch, r->elapsed, r->train_loss); // Ultralytics' time runs from the start
    if (r->val.n > 0)
        text_put(&row, "%.6g,%.6g,%.6g", r->val.top1, r->val.top5, r->val_loss);
    else
        text_put(&row, ",,");
    text_put(&row, ",%.6g\n", r->rate);
    return folder_append(&row, f, log_names[LOG_RESULTS]);
}

static graft_status predictions_write(const struct run_folder *f, const struct model *m, const struct dataset *d,
                                      size_t n, const uint32_t *index, const float *p)
{
    struct text t = {0};
    table_put_head(&t, true, false, m->classes, m->n_classes);
    text_put(&t, "\n");
    for (size_t i = 0; i < n; i++) {
        const struct sample *s = &d->samples[index[i]];
        table_put_row(&t, s->path, m->classes[s->label], NO_FOLD, p + i * (size_t)m->n_classes, m->n_classes);
        text_put(&t, "\n");
    }
    return folder_replace(&t, f, "val_predictions.csv");
}

// confusion_matrix.csv (rows labels, columns predictions) and per_class.csv.
static graft_status tables_write(const struct run_folder *f, const struct model *m, const size_t *count)
{
    const int k = m->n_classes;
    struct text matrix = {0}, table = {0};
    text_put(&matrix, "label\\predicted");
    for (int c = 0; c < k; c++) {
        text_put(&matrix, ",");
        text_put_field(&matrix, m->classes[c]);
    }
    text_put(&table, "class,pictures,precision,recall,f1\n");
    for (int c = 0; c < k; c++) {
        const struct class_metrics one = class_metrics_of(count, k, c);
        text_put(&matrix, "\n");
        text_put_field(&matrix, m->classes[c]);
        for (int other = 0; other < k; other++)
            text_put(&matrix, ",%zu", count[(size_t)c * (size_t)k + (size_t)other]);
        text_put_field(&table, m->classes[c]);
        text_put(&table, ",%zu,%.4f,%.4f,%.4f\n", one.n, one.precision, one.recall, one.f1);
    }
    text_put(&matrix, "\n");
    const graft_status status = folder_replace(&matrix, f, "confusion_matrix.csv");
    if (status != GRAFT_OK) {
        mem_free(table.data);
        return status;
    }
    return folder_replace(&table, f, "per_class.csv");
}

graft_status run_folder_best(const struct run_folder *f, const struct model *m, const struct dataset *d,
                             const struct epoch_result *r, const uint32_t *index, const int *labels, const float *p)
{
    struct text result = {0};
    if (r->val.n > 0) {
        size_t *count = mem_zero((size_t)m->n_classes * (size_t)m->n_classes, sizeof *count);
        if (count == NULL)
            return fail_memory("the confusion matrix");
        confusion_of(p, labels, r->val.n, m->n_classes, count);
        graft_status status = predictions_write(f, m, d, r->val.n, index, p);
        if (status == GRAFT_OK)
            status = tables_write(f, m, count);
        mem_free(count);
        TRY(status);
    }
    text_put(&result, "{\"best_epoch\": %d, \"train_loss\": %.9g", r->epoch, r->train_loss);
    if (r->val.n > 0)
        text_put(&result, ", \"val_log_loss\": %.9g, \"val_top1\": %.9g, \"val_top5\": %.9g, \"n\": %zu",
                 r->val.log_loss, r->val.top1, r->val.top5, r->val.n);
    text_put(&result, ", \"data_wait_share\": %.4f, \"data_core_share\": %.4f}\n", data_wait_share(&r->data),
             data_core_share(&r->data));
    return folder_replace(&result, f, "results.json");
}
