// train/run_folder.c: events.jsonl, results.csv (Ultralytics' column names), args.json, classes.txt, split.csv,
// skipped.csv, val_predictions.csv, per_class.csv, confusion_matrix.csv, results.json.

#include "train/run_folder.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Text that grows; `broken` once memory ran out.
struct text {
    char *data;
    size_t size, capacity;
    bool broken;
};

static void text_put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void text_put(struct text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    if (t->broken || n < 0 || !mem_grow(&t->data, &t->capacity, t->size + (size_t)n + 1, 1))
        t->broken = true;
    else {
        vsnprintf(t->data + t->size, (size_t)n + 1, format, again);
        t->size += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

static void text_put_field(struct text *t, const char *field) // CSV: quoted where it must be
{
    if (strpbrk(field, ",\"\n\r") == NULL) {
        text_put(t, "%s", field);
        return;
    }
    text_put(t, "\"");
    for (; *field != '\0'; field++)
        text_put(t, *field == '"' ? "\"\"" : "%c", *field);
    text_put(t, "\"");
}

// Ends a text: `put` is file_write_all or file_append.
static graft_status text_end(struct text *t, const struct run_folder *f, const char *name,
                             graft_status (*put)(const char *path, const void *data, size_t size))
{
    char *path = path_join(f->path, name);
    const graft_status status = t->broken || path == NULL ? fail_memory(name) : put(path, t->data, t->size);
    mem_free(path);
    mem_free(t->data);
    return status;
}

static graft_status text_write(struct text *t, const struct run_folder *f, const char *name)
{
    return text_end(t, f, name, file_write_all);
}

static graft_status text_append(struct text *t, const struct run_folder *f, const char *name)
{
    return text_end(t, f, name, file_append);
}

graft_status run_folder_event(const struct run_folder *f, const char *json)
{
    struct text t = {0};
    text_put(&t, "%s\n", json);
    return text_append(&t, f, "events.jsonl");
}

graft_status run_folder_start(struct run_folder *f, const struct model *m, const struct dataset *d,
                              const struct train_options *options)
{
    static const char *const parts[] = {"train", "val", "test", "unused"};
    f->path = options->folder;
    f->save = options->save;
    TRY(file_make_folder(f->path));
    char *checkpoint = path_join(f->path, "last.ckpt.safetensors");
    if (checkpoint == NULL)
        return fail_memory("a path");
    const bool used = file_exists(checkpoint);
    mem_free(checkpoint);
    if (used)
        return fail(GRAFT_BAD_OPTION, "'%s' holds a run already; name another folder with -o", f->path);
    struct text args = {0}, classes = {0}, split = {0}, none = {0}, header = {0}, skipped = {0};
    text_put(&none, "%s", "");
    TRY(text_write(&none, f, "events.jsonl"));
    if (!f->save)
        return GRAFT_OK;
    text_put(&args, "%s\n", options->args);
    TRY(text_write(&args, f, "args.json"));
    for (int i = 0; i < m->n_classes; i++)
        text_put(&classes, "%s\n", m->classes[i]);
    TRY(text_write(&classes, f, "classes.txt"));
    text_put(&split, d->n_groups > 0 ? "path,label,split,group\n" : "path,label,split\n");
    for (size_t i = 0; i < d->count; i++) {
        if (d->samples[i].copy > 0 || d->samples[i].round > 0)
            continue;
        text_put_field(&split, d->samples[i].path);
        text_put(&split, ",");
        text_put_field(&split, d->samples[i].label >= 0 ? m->classes[d->samples[i].label] : "");
        text_put(&split, ",%s", parts[d->samples[i].part]);
        if (d->n_groups > 0) {
            text_put(&split, ",");
            text_put_field(&split, d->samples[i].group >= 0 ? d->groups[d->samples[i].group] : "");
        }
        text_put(&split, "\n");
    }
    TRY(text_write(&split, f, "split.csv"));
    text_put(&skipped, "path,reason\n");
    TRY(text_write(&skipped, f, "skipped.csv"));
    text_put(&header, "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0\n");
    return text_write(&header, f, "results.csv");
}

graft_status run_folder_skip(const struct run_folder *f, const char *path, const char *reason)
{
    if (f->save) {
        struct text t = {0};
        text_put_field(&t, path);
        text_put(&t, ",");
        text_put_field(&t, reason);
        text_put(&t, "\n");
        TRY(text_append(&t, f, "skipped.csv"));
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
    text_put(&event, "\"lr\":%.9g,\"seconds\":%.3f}\n", r->rate, r->seconds);
    TRY(text_append(&event, f, "events.jsonl"));
    if (!f->save)
        return GRAFT_OK;
    text_put(&row, "%d,%.3f,%.6g,", r->epoch, r->elapsed, r->train_loss); // Ultralytics' time runs from the start
    if (r->val.n > 0)
        text_put(&row, "%.6g,%.6g,%.6g", r->val.top1, r->val.top5, r->val_loss);
    else
        text_put(&row, ",,");
    text_put(&row, ",%.6g\n", r->rate);
    return text_append(&row, f, "results.csv");
}

static graft_status predictions_write(const struct run_folder *f, const struct model *m, const struct dataset *d, size_t n,
                                      const uint32_t *index, const float *p)
{
    struct text t = {0};
    text_put(&t, "path,label");
    for (int c = 0; c < m->n_classes; c++) {
        text_put(&t, ",");
        text_put_field(&t, m->classes[c]);
    }
    for (size_t i = 0; i < n; i++) {
        text_put(&t, "\n");
        text_put_field(&t, d->samples[index[i]].path);
        text_put(&t, ",");
        text_put_field(&t, m->classes[d->samples[index[i]].label]);
        for (int c = 0; c < m->n_classes; c++)
            text_put(&t, ",%.7g", p[i * (size_t)m->n_classes + (size_t)c]);
    }
    text_put(&t, "\n");
    return text_write(&t, f, "val_predictions.csv");
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
    const graft_status status = text_write(&matrix, f, "confusion_matrix.csv");
    if (status != GRAFT_OK) {
        mem_free(table.data);
        return status;
    }
    return text_write(&table, f, "per_class.csv");
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
        text_put(&result, ", \"val_log_loss\": %.9g, \"val_top1\": %.9g, \"val_top5\": %.9g, \"n\": %zu", r->val.log_loss,
                 r->val.top1, r->val.top5, r->val.n);
    text_put(&result, "}\n");
    return text_write(&result, f, "results.json");
}
