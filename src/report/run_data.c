// report/run_data.c: a run folder into memory.
// In: events.jsonl, args.json, classes.txt, split.csv, skipped.csv, val_predictions.csv, layers.csv, media/val.csv,
// media/train.csv.
// Hostile or torn files cost what they say, never more: unknown class names, wrong field counts and bad lines are left
// out.

#include "report/run_data.h"
#include "base/csv.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void run_data_free(struct run_data *d)
{
    json_decref(d->args);
    json_decref(d->start);
    json_decref(d->end);
    for (int i = 0; i < d->n_classes; i++)
        mem_free(d->classes[i]);
    for (size_t i = 0; i < d->n_skipped; i++) {
        mem_free(d->skipped[i].path);
        mem_free(d->skipped[i].reason);
    }
    for (size_t i = 0; i < d->n; i++)
        mem_free(d->paths[i]);
    for (size_t i = 0; i < d->n_media; i++) {
        mem_free(d->media[i].path);
        mem_free(d->media[i].file);
        mem_free(d->media[i].cam);
    }
    for (size_t i = 0; i < d->n_layers; i++)
        mem_free(d->layers[i].name);
    void *const blocks[] = {d->folder, d->classes, d->epochs, d->steps, d->skipped, d->balance, d->skipped_paths,
                            d->paths,  d->labels,  d->probabilities, d->media, d->layers};
    for (size_t i = 0; i < COUNT_OF(blocks); i++)
        mem_free(blocks[i]);
    *d = (struct run_data){0};
}

const char *run_option(const struct run_data *d, const char *name)
{
    const char *text = json_string_value(json_object_get(d->args, name));
    return text != NULL ? text : "";
}

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int class_of(const struct run_data *d, const char *name)
{
    for (int i = 0; i < d->n_classes; i++)
        if (strcmp(d->classes[i], name) == 0)
            return i;
    return -1;
}

static graft_status epoch_take(struct run_data *d, const json_t *o)
{
    static const char *const parts[TIME_PARTS] = {"wait_seconds", "forward_seconds", "backward_seconds",
                                                  "update_seconds", "val_seconds", "log_seconds"};
    struct epoch_row row = {.epoch = (int)json_integer_value(json_object_get(o, "epoch")),
                            .validated = json_object_get(o, "val_log_loss") != NULL,
                            .train_loss = number(o, "train_loss"),
                            .val_loss = number(o, "val_loss"),
                            .log_loss = number(o, "val_log_loss"),
                            .top1 = number(o, "val_top1"),
                            .top5 = number(o, "val_top5"),
                            .rate = number(o, "lr"),
                            .images_per_second = number(o, "img_s"),
                            .seconds = number(o, "seconds"),
                            .time = number(o, "time")};
    for (int i = 0; i < TIME_PARTS; i++)
        row.part[i] = number(o, parts[i]);
    if (row.epoch < 1)
        return GRAFT_OK;
    while (d->n_epochs > 0 && d->epochs[d->n_epochs - 1].epoch >= row.epoch)
        d->n_epochs--; // the run went on from before these
    if (!mem_grow(&d->epochs, &d->epoch_capacity, (size_t)d->n_epochs + 1, sizeof *d->epochs))
        return fail_memory("a run's epochs");
    d->epochs[d->n_epochs++] = row;
    return GRAFT_OK;
}

static graft_status step_take(struct run_data *d, const json_t *o)
{
    const struct step_row row = {.epoch = (int)json_integer_value(json_object_get(o, "epoch")),
                                 .step = (int)json_integer_value(json_object_get(o, "step")),
                                 .loss = number(o, "loss"),
                                 .rate = number(o, "lr")};
    if (row.epoch < 1 || row.step < 1)
        return GRAFT_OK;
    if (!mem_grow(&d->steps, &d->step_capacity, d->n_steps + 1, sizeof *d->steps))
        return fail_memory("a run's steps");
    d->steps[d->n_steps++] = row;
    return GRAFT_OK;
}

static graft_status event_take(struct run_data *d, json_t *o)
{
    const char *event = json_string_value(json_object_get(o, "event"));
    json_decref(d->end); // the run has gone on since
    d->end = NULL;
    if (event == NULL)
        d->bad_lines++;
    else if (strcmp(event, "epoch") == 0)
        return epoch_take(d, o);
    else if (strcmp(event, "step") == 0)
        return step_take(d, o);
    else if (strcmp(event, "start") == 0 && d->start == NULL)
        d->start = json_incref(o);
    else if (strcmp(event, "end") == 0)
        d->end = json_incref(o);
    return GRAFT_OK;
}

// Where a step lies between the epochs; an epoch's last step lies on its end.
static void steps_place(struct run_data *d)
{
    int most = 1;
    for (size_t i = 0; i < d->n_steps; i++)
        most = d->steps[i].step > most ? d->steps[i].step : most;
    for (size_t i = 0; i < d->n_steps; i++)
        d->steps[i].at = d->steps[i].epoch - 1 + (double)d->steps[i].step / most;
}

// As results.json says, which knows what the run went by; of a run without one the lowest log-loss.
static void best_find(struct run_data *d)
{
    double least = INFINITY;
    json_t *result = NULL;
    char *path = path_join(d->folder, "results.json");
    if (path != NULL && file_exists(path) && json_read_file(path, &result) == GRAFT_OK)
        for (int i = 0; i < d->n_epochs; i++)
            if (d->epochs[i].epoch == json_integer_value(json_object_get(result, "best_epoch"))) {
                d->best = i;
                least = -INFINITY;
            }
    mem_free(path);
    json_decref(result);
    if (least < 0)
        return;
    d->best = d->n_epochs > 0 && !d->epochs[d->n_epochs - 1].validated ? d->n_epochs - 1 : -1;
    for (int i = 0; i < d->n_epochs; i++)
        if (d->epochs[i].validated && d->epochs[i].log_loss < least) {
            least = d->epochs[i].log_loss;
            d->best = i;
        }
}

static graft_status events_parse(struct run_data *d, bytes data)
{
    graft_status status = GRAFT_OK;
    for (size_t at = 0; at < data.size && status == GRAFT_OK;) {
        const uint8_t *end = memchr(data.ptr + at, '\n', data.size - at);
        if (end == NULL)
            break; // torn: the run died in the middle of a line
        const size_t size = (size_t)(end - data.ptr) - at;
        json_t *o;
        if (json_parse((bytes){data.ptr + at, size}, "events.jsonl", &o) == GRAFT_OK && json_is_object(o))
            status = event_take(d, o);
        else
            d->bad_lines++;
        json_decref(o);
        at += size + 1;
    }
    steps_place(d);
    best_find(d);
    const double time = number(d->start, "time");
    d->begun = time > 0 ? time : 0;
    return status;
}

bool run_folder_is(const char *folder)
{
    char *path = path_join(folder, "events.jsonl");
    const bool found = path != NULL && file_exists(path);
    mem_free(path);
    return found;
}

static graft_status args_read(struct run_data *d)
{
    char *path = path_join(d->folder, "args.json");
    graft_status status = GRAFT_OK;
    if (path == NULL)
        return fail_memory("a path");
    if (file_exists(path))
        status = json_read_file(path, &d->args);
    mem_free(path);
    return status;
}

graft_status run_events_read(const char *folder, struct run_data *out)
{
    struct file_map map;
    *out = (struct run_data){.folder = mem_text(folder), .best = -1};
    char *path = path_join(folder, "events.jsonl");
    graft_status status = GRAFT_OK;
    if (out->folder == NULL || path == NULL)
        TRY_GOTO(fail_memory("a path"));
    for (size_t n = strlen(out->folder); n > 1 && out->folder[n - 1] == '/'; n--)
        out->folder[n - 1] = '\0';
    out->name = path_name(out->folder);
    if (!file_exists(path) && run_folds_is(folder))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is a run with folds, each a run of its own: name %s/fold-0 or another",
                      out->folder, out->folder));
    if (!file_exists(path))
        TRY_GOTO(!file_exists(folder)
                     ? fail(GRAFT_BAD_FILE, "there is no folder '%s'; `graft runs` lists the runs", folder)
                     : fail(GRAFT_BAD_FILE, "'%s' is not a run: it holds no events.jsonl", folder));
    TRY_GOTO(file_map_open(path, &map));
    status = events_parse(out, map.data);
    file_map_close(&map);
    if (status == GRAFT_OK)
        status = args_read(out);
done:
    mem_free(path);
    if (status != GRAFT_OK)
        run_data_free(out);
    return status;
}

bool run_folds_is(const char *folder)
{
    char *path = path_join(folder, "folds.csv");
    const bool found = path != NULL && file_exists(path);
    mem_free(path);
    return found;
}

static graft_status folds_figures(struct run_data *d)
{
    json_t *results = NULL;
    char *path = path_join(d->folder, "results.json");
    graft_status status = GRAFT_OK;
    if (path == NULL)
        return fail_memory("a path");
    if (file_exists(path))
        status = json_read_file(path, &results);
    mem_free(path);
    TRY(status);
    d->folds = (int)strtol(run_option(d, "folds"), NULL, 10);
    d->folds_done = (int)json_array_size(json_object_get(results, "done"));
    if (d->folds_done > 0 && mem_grow(&d->epochs, &d->epoch_capacity, 1, sizeof *d->epochs)) {
        d->epochs[0] = (struct epoch_row){
            .epoch = 1, .validated = true, .train_loss = NAN, .val_loss = NAN, .top5 = NAN, .rate = NAN, .time = NAN};
        d->epochs[0].log_loss = json_number_value(json_object_get(results, "val_log_loss"));
        d->epochs[0].top1 = json_number_value(json_object_get(results, "val_top1"));
        d->epochs[0].seconds = json_number_value(json_object_get(results, "seconds"));
        d->n_epochs = 1;
        d->best = 0;
    }
    if (d->folds_done == d->folds)
        d->end = json_incref(results);
    json_decref(results);
    return GRAFT_OK;
}

graft_status run_folds_read(const char *folder, struct run_data *out)
{
    char *first = NULL;
    graft_status status = GRAFT_OK;
    *out = (struct run_data){.folder = mem_text(folder), .best = -1};
    if (out->folder == NULL)
        return fail_memory("a path");
    out->name = path_name(out->folder);
    TRY_GOTO(args_read(out));
    TRY_GOTO(folds_figures(out));
    for (int f = 0; f < out->folds && out->start == NULL; f++) { // whichever is here: --folds-run may have left out any
        struct run_data one;
        mem_free(first);
        if ((first = mem_format("%s/fold-%d", folder, f)) == NULL)
            TRY_GOTO(fail_memory("a path"));
        if (!run_folder_is(first))
            continue;
        TRY_GOTO(run_events_read(first, &one));
        out->start = json_incref(one.start);
        out->begun = one.begun;
        run_data_free(&one);
    }
done:
    mem_free(first);
    if (status != GRAFT_OK)
        run_data_free(out);
    return status;
}

// A CSV of the folder; without rows when there is none.
static graft_status table_open(const struct run_data *d, const char *name, struct csv *out)
{
    char *path = path_join(d->folder, name);
    graft_status status = path != NULL ? GRAFT_OK : fail_memory("a path");
    *out = (struct csv){0};
    if (status == GRAFT_OK && file_exists(path))
        status = csv_open(path, out);
    out->path = name;
    mem_free(path);
    return status;
}

// A torn row is said and ends the table; the rest of the run is still worth a page.
static bool row_next(struct csv *c)
{
    bool more;
    if (csv_next(c, &more) == GRAFT_OK)
        return more;
    log_warning("%s", graft_message());
    return false;
}

static graft_status classes_set(struct run_data *d, char *const *names, size_t n)
{
    d->classes = mem_zero(n, sizeof *d->classes);
    for (size_t i = 0; d->classes != NULL && i < n; i++) {
        d->classes[i] = mem_text(names[i]);
        if (d->classes[i] == NULL)
            return fail_memory("class names");
        d->n_classes++;
    }
    return d->classes != NULL ? GRAFT_OK : fail_memory("class names");
}

static graft_status classes_read(struct run_data *d)
{
    struct csv c;
    char **names = NULL;
    size_t n = 0, capacity = 0;
    graft_status status = GRAFT_OK;
    if (d->n_classes > 0)
        return GRAFT_OK;
    TRY(table_open(d, "classes.txt", &c));
    while (row_next(&c)) {
        if (!mem_grow(&names, &capacity, n + 1, sizeof *names) || (names[n] = mem_text(c.field[0])) == NULL)
            TRY_GOTO(fail_memory("class names"));
        n++;
    }
    status = n > 0 ? classes_set(d, names, n) : GRAFT_OK;
done:
    for (size_t i = 0; i < n; i++)
        mem_free(names[i]);
    mem_free(names);
    csv_close(&c);
    return status;
}

static graft_status prediction_take(struct run_data *d, const struct csv *c)
{
    const size_t k = (size_t)d->n_classes;
    const int label = (size_t)c->n == k + 2 ? class_of(d, c->field[1]) : -1;
    double sum = 0;
    if (label < 0)
        return GRAFT_OK;
    if (!mem_grow(&d->labels, &d->label_capacity, d->n + 1, sizeof *d->labels) ||
        !mem_grow(&d->paths, &d->path_capacity, d->n + 1, sizeof *d->paths) ||
        !mem_grow(&d->probabilities, &d->probability_capacity, (d->n + 1) * k, sizeof *d->probabilities))
        return fail_memory("predictions");
    for (size_t i = 0; i < k; i++) {
        const double p = strtod(c->field[i + 2], NULL);
        d->probabilities[d->n * k + i] = p >= 0 && p <= 1 ? (float)p : 0;
        sum += d->probabilities[d->n * k + i];
    }
    if (sum < 0.5) // no row of probabilities
        return GRAFT_OK;
    d->labels[d->n] = label;
    d->paths[d->n] = mem_text(c->field[0]);
    if (d->paths[d->n] == NULL)
        return fail_memory("predictions");
    d->n++;
    return GRAFT_OK;
}

// The header names the classes: path,label,CLASS...
static graft_status predictions_header(struct run_data *d, const struct csv *c)
{
    return c->n < 3 ? GRAFT_OK : classes_set(d, c->field + 2, (size_t)c->n - 2);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static graft_status split_header(struct run_data *d, const struct csv *c)
{
    (void)c;
    d->balance = mem_zero((size_t)d->n_classes + 1, sizeof *d->balance);
    d->skipped_paths = mem_alloc((d->n_skipped + 1) * sizeof *d->skipped_paths);
    if (d->balance == NULL || d->skipped_paths == NULL)
        return fail_memory("the classes' sizes");
    for (size_t i = 0; i < d->n_skipped; i++)
        d->skipped_paths[i] = d->skipped[i].path;
    qsort(d->skipped_paths, d->n_skipped, sizeof *d->skipped_paths, by_name);
    return GRAFT_OK;
}

static graft_status split_take(struct run_data *d, const struct csv *c)
{
    static const char *const parts[] = {"train", "val", "test"};
    const int class = c->n < 3 ? -1 : class_of(d, c->field[1]);
    const char *path = c->n > 0 ? c->field[0] : "";
    if (bsearch(&path, d->skipped_paths, d->n_skipped, sizeof path, by_name) != NULL) {
        d->n_skipped_training += class >= 0 && strcmp(c->field[2], parts[0]) == 0;
        return GRAFT_OK;
    }
    for (int part = 0; class >= 0 && part < 3; part++)
        d->balance[class][part] += strcmp(c->field[2], parts[part]) == 0;
    return GRAFT_OK;
}

static graft_status skipped_take(struct run_data *d, const struct csv *c)
{
    if (c->n < 2)
        return GRAFT_OK;
    if (!mem_grow(&d->skipped, &d->skip_capacity, d->n_skipped + 1, sizeof *d->skipped))
        return fail_memory("the skipped pictures");
    struct skip_row *row = &d->skipped[d->n_skipped++];
    *row = (struct skip_row){mem_text(c->field[0]), mem_text(c->field[1])};
    return row->path != NULL && row->reason != NULL ? GRAFT_OK : fail_memory("the skipped pictures");
}

static graft_status layer_take(struct run_data *d, const struct csv *c)
{
    if (c->n < 4)
        return GRAFT_OK;
    if (!mem_grow(&d->layers, &d->layer_capacity, d->n_layers + 1, sizeof *d->layers))
        return fail_memory("the layers");
    struct layer_row *row = &d->layers[d->n_layers++];
    *row = (struct layer_row){mem_text(c->field[0]), strtod(c->field[1], NULL), strtod(c->field[2], NULL),
                              strtod(c->field[3], NULL)};
    return row->name != NULL ? GRAFT_OK : fail_memory("the layers");
}

// A file name in media/ and no way out of it.
static bool media_name(const char *name) { return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL; }

// path,label,predicted,file,cam
static graft_status media_take(struct run_data *d, const struct csv *c, bool training)
{
    if (c->n < 5 || !media_name(c->field[3]))
        return GRAFT_OK;
    if (!mem_grow(&d->media, &d->media_capacity, d->n_media + 1, sizeof *d->media))
        return fail_memory("the pictures");
    struct media_row *row = &d->media[d->n_media++];
    *row = (struct media_row){.path = mem_text(c->field[0]),
                              .file = mem_text(c->field[3]),
                              .label = class_of(d, c->field[1]),
                              .predicted = class_of(d, c->field[2]),
                              .training = training};
    if (media_name(c->field[4]))
        row->cam = mem_text(c->field[4]);
    return row->path != NULL && row->file != NULL ? GRAFT_OK : fail_memory("the pictures");
}
static graft_status media_val_take(struct run_data *d, const struct csv *c) { return media_take(d, c, false); }
static graft_status media_train_take(struct run_data *d, const struct csv *c) { return media_take(d, c, true); }

// The tables of a run folder, in this order: later ones want the classes.
static const struct {
    const char *name;
    graft_status (*header)(struct run_data *d, const struct csv *c); // NULL: nothing to take
    graft_status (*row)(struct run_data *d, const struct csv *c);
} tables[] = {{"val_predictions.csv", predictions_header, prediction_take}, {"skipped.csv", NULL, skipped_take},
              {"split.csv", split_header, split_take}, {"layers.csv", NULL, layer_take},
              {"media/val.csv", NULL, media_val_take}, {"media/train.csv", NULL, media_train_take}};

static graft_status table_read(struct run_data *d, size_t table)
{
    struct csv c;
    graft_status status = GRAFT_OK;
    TRY(table_open(d, tables[table].name, &c));
    row_next(&c);
    if (tables[table].header != NULL)
        TRY_GOTO(tables[table].header(d, &c));
    while (row_next(&c))
        TRY_GOTO(tables[table].row(d, &c));
done:
    csv_close(&c);
    return status;
}

graft_status run_data_read(const char *folder, struct run_data *d)
{
    graft_status status = GRAFT_OK;
    TRY(run_events_read(folder, d));
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        TRY_GOTO(table_read(d, i));
        if (i == 0)
            TRY_GOTO(classes_read(d));
    }
done:
    if (status != GRAFT_OK)
        run_data_free(d);
    return status;
}
