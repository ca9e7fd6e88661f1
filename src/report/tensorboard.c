// report/tensorboard.c: TensorBoard event files.
// Grammar:  file = record...;  record = u64 length | u32 crc of it | Event | u32 crc of that; little-endian;
//           crc = rotate(CRC-32C, 15 to the right) + 0xa282ead8.
//           Event (protobuf): 1 wall time (double), 2 step, 3 file version (the first alone), 5 summary {1 value {1
//           tag, 2 scalar (float), 4 image {1 height, 2 width, 3 channels, 4 encoded}, 5 histogram, 9 metadata, 8
//           tensor}} hparams: metadata's plugin_data {1 "hparams", 2 HParamsPluginData {1 version, 2 experiment | 3
//           start | 4 end}}
// Source:   the schemas that TensorBoard's package ships (tensorboard/compat/proto, plugins/hparams).

#include "report/tensorboard.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/protobuf.h"
#include "data/encode.h"
#include "infer/metrics.h"
#include "report/run_data.h"
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAIN, TRAIN, VALIDATION, FILES };
static const char *const folders[FILES] = {"tb", "tb/train", "tb/validation"};
enum { STATUS_SUCCESS = 1 };

struct tensorboard {
    char *folder, *path[FILES];
    int epochs; // written so far
    size_t steps;
    size_t histograms; // bytes of histograms.jsonl
    bool started; // the hyperparameters are written
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t masked_crc(bytes data)
{
    const uint32_t crc = crc32c(data);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static graft_status record_append(const char *path, bytes event)
{
    uint8_t *record = mem_alloc(event.size + 16);
    if (record == NULL)
        return fail_memory("an event");
    put_u32(record, (uint32_t)event.size);
    put_u32(record + 4, (uint32_t)((uint64_t)event.size >> 32));
    put_u32(record + 8, masked_crc((bytes){record, 8}));
    memcpy(record + 12, event.ptr, event.size);
    put_u32(record + 12 + event.size, masked_crc(event));
    const graft_status status = file_append(path, record, event.size + 16);
    mem_free(record);
    return status;
}

// Ends an event whose one summary value is `take_value`.
static graft_status value_append(struct tensorboard *t, int file, double time, int64_t step,
                                 struct pb_writer *take_value)
{
    struct pb_writer event = {0}, summary = {0};
    pb_message(&summary, 1, take_value);
    pb_double(&event, 1, time);
    pb_int(&event, 2, step);
    pb_message(&event, 5, &summary);
    graft_status status = pb_finish(&event);
    if (status == GRAFT_OK)
        status = record_append(t->path[file], (bytes){event.data, event.size});
    pb_writer_fini(&event);
    return status;
}

static graft_status scalar(struct tensorboard *t, int file, double time, int64_t step, const char *tag, double number)
{
    struct pb_writer value = {0};
    if (!isfinite(number))
        return GRAFT_OK;
    pb_text(&value, 1, tag);
    pb_float(&value, 2, (float)number);
    return value_append(t, file, time, step, &value);
}

static graft_status image(struct tensorboard *t, double time, int64_t step, const char *tag, int w, int h,
                          bytes encoded)
{
    struct pb_writer value = {0}, picture = {0};
    pb_int(&picture, 1, h);
    pb_int(&picture, 2, w);
    pb_int(&picture, 3, 3);
    pb_bytes(&picture, 4, encoded.ptr, encoded.size);
    pb_text(&value, 1, tag);
    pb_message(&value, 4, &picture);
    return value_append(t, MAIN, time, step, &value);
}

// A value of the hparams plugin; `take_data` is field `number` of HParamsPluginData.
static graft_status hparams(struct tensorboard *t, double time, const char *tag, uint32_t number,
                            struct pb_writer *take_data)
{
    struct pb_writer value = {0}, metadata = {0}, plugin = {0}, content = {0}, tensor = {0}, shape = {0}, dim = {0};
    pb_int(&content, 1, 0);
    pb_message(&content, number, take_data);
    pb_text(&plugin, 1, "hparams");
    pb_message(&plugin, 2, &content);
    pb_message(&metadata, 1, &plugin);
    pb_text(&value, 1, tag);
    pb_message(&value, 9, &metadata);
    pb_int(&tensor, 1, 1); // a float tensor of no elements: the plugin reads metadata alone, but a value there must be
    pb_message(&shape, 2, &dim);
    pb_message(&tensor, 2, &shape);
    pb_message(&value, 8, &tensor);
    return value_append(t, MAIN, time, 0, &value);
}

// The metrics that TensorBoard's table shows, by file and tag.
static graft_status experiment_append(struct tensorboard *t, double time)
{
    static const char *const metrics[][2] = {
        {"validation", "epoch_top1"}, {"validation", "epoch_log_loss"}, {"train", "epoch_loss"}};
    struct pb_writer experiment = {0};
    pb_double(&experiment, 4, time);
    for (size_t i = 0; i < COUNT_OF(metrics); i++) {
        struct pb_writer info = {0}, name = {0};
        pb_text(&name, 1, metrics[i][0]);
        pb_text(&name, 2, metrics[i][1]);
        pb_message(&info, 1, &name);
        pb_message(&experiment, 5, &info);
    }
    return hparams(t, time, "_hparams_/experiment", 2, &experiment);
}

// google.protobuf.Value: 2 a number, 3 a text, 4 a truth.
static void option_put(struct pb_writer *start, const char *name, const json_t *option)
{
    struct pb_writer entry = {0}, value = {0};
    const char *text = json_string_value(option);
    char *end = NULL;
    const double number = text != NULL ? strtod(text, &end) : 0;
    if (json_is_boolean(option))
        pb_int(&value, 4, json_is_true(option));
    else if (text != NULL && end != text && *end == '\0' && isfinite(number))
        pb_double(&value, 2, number);
    else
        pb_text(&value, 3, text != NULL ? text : "");
    pb_text(&entry, 1, name);
    pb_message(&entry, 2, &value);
    pb_message(start, 1, &entry);
}

static graft_status start_append(struct tensorboard *t, const struct run_data *d)
{
    struct pb_writer start = {0};
    static const char *const left_out[] = {"command", "directory", "output", "threads", "workers"};
    const char *name;
    const json_t *option;
    const double time = d->begun > 0 ? d->begun : now_date();
    TRY(experiment_append(t, time));
    json_object_foreach((json_t *)d->args, name, option)
    {
        bool wanted = !json_is_null(option);
        for (size_t i = 0; i < COUNT_OF(left_out); i++)
            wanted &= strcmp(name, left_out[i]) != 0;
        if (wanted)
            option_put(&start, name, option);
    }
    pb_double(&start, 5, time);
    t->started = true;
    return hparams(t, time, "_hparams_/session_start_info", 3, &start);
}

static graft_status end_append(struct tensorboard *t, double time)
{
    struct pb_writer end = {0};
    pb_int(&end, 1, STATUS_SUCCESS);
    pb_double(&end, 2, time);
    return hparams(t, time, "_hparams_/session_end_info", 4, &end);
}

static graft_status epoch_append(struct tensorboard *t, const struct epoch_row *e)
{
    const struct {
        int file;
        const char *tag;
        double value;
    } values[] = {{TRAIN, "epoch_loss", e->train_loss},        {TRAIN, "epoch_learning_rate", e->rate},
                  {TRAIN, "epoch_seconds", e->seconds},        {VALIDATION, "epoch_loss", e->val_loss},
                  {VALIDATION, "epoch_log_loss", e->log_loss}, {VALIDATION, "epoch_top1", e->top1},
                  {VALIDATION, "epoch_top5", e->top5}};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        TRY(scalar(t, values[i].file, e->time > 0 ? e->time : now_date(), e->epoch, values[i].tag, values[i].value));
    return GRAFT_OK;
}

// Cells as the report colours them: right blue, wrong orange, by the square root of their share of the row.
static graft_status confusion_append(struct tensorboard *t, const struct run_data *d, double time)
{
    enum { SIDE = 512, CELL_MOST = 32 };
    static const float right[3] = {29, 95, 184}, wrong[3] = {179, 71, 10};
    const int k = d->n_classes, cell = SIDE / k < 1 ? 1 : SIDE / k > CELL_MOST ? CELL_MOST : SIDE / k, side = k * cell;
    size_t *count = mem_zero((size_t)k * (size_t)k, sizeof *count);
    struct picture p = {mem_alloc((size_t)side * (size_t)side * 3), side, side};
    bytes png = {0};
    graft_status status = GRAFT_OK;
    if (count == NULL || p.rgb == NULL)
        TRY_GOTO(fail_memory("the confusion matrix"));
    confusion_of(d->probabilities, d->labels, d->n, k, count);
    for (int y = 0; y < side; y++) {
        const size_t *row = count + (size_t)(y / cell) * (size_t)k;
        size_t all = 0;
        for (int c = 0; c < k; c++)
            all += row[c];
        for (int x = 0; x < side; x++) {
            const float share = all > 0 ? sqrtf((float)row[x / cell] / (float)all) : 0;
            for (int c = 0; c < 3; c++)
                p.rgb[((size_t)y * (size_t)side + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)(255 + share * ((x / cell == y / cell ? right[c] : wrong[c]) - 255));
        }
    }
    TRY_GOTO(picture_to_png(&p, &png));
    TRY_GOTO(image(t, time, d->best >= 0 ? d->epochs[d->best].epoch : 0, "confusion_matrix", side, side, png));
done:
    mem_free((void *)png.ptr);
    mem_free(count);
    picture_free(&p);
    return status;
}

// A picture of media/, as the JPEG it is.
static graft_status media_append(struct tensorboard *t, const char *name, const char *tag, double time, int64_t step)
{
    struct file_map map = {0};
    struct picture p = {0};
    char *path = mem_format("%s/media/%s", t->folder, name);
    graft_status status = path != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK && file_exists(path) && file_map_open(path, &map) == GRAFT_OK &&
        picture_decode(map.data, path, &p) == GRAFT_OK)
        status = image(t, time, step, tag, p.w, p.h, map.data);
    picture_free(&p);
    file_map_close(&map);
    mem_free(path);
    return status;
}

static graft_status pictures_append(struct tensorboard *t, const struct run_data *d, double time)
{
    enum { EACH = 16 };
    int shown[2] = {0};
    const int best = d->best >= 0 ? d->epochs[d->best].epoch : 0;
    for (size_t i = 0; i < d->n_media; i++) {
        const struct media_row *m = &d->media[i];
        char tag[64];
        if (shown[m->training]++ >= EACH)
            continue;
        snprintf(tag, sizeof tag, "%s/%d", m->training ? "training_pictures" : "mistakes", shown[m->training]);
        TRY(media_append(t, m->file, tag, time, m->training ? 0 : best));
        if (m->cam != NULL) {
            snprintf(tag, sizeof tag, "mistakes/%d_grad_cam", shown[m->training]);
            TRY(media_append(t, m->cam, tag, time, best));
        }
    }
    return d->n > 0 ? confusion_append(t, d, time) : GRAFT_OK;
}

// The folder's event files of before go: the run folder tells everything again.
static graft_status file_begin(const char *run, const char *inner, char **out)
{
    static int counter;
    char *folder = path_join(run, inner);
    graft_status status = folder != NULL ? file_make_folder(folder) : fail_memory("a path");
    DIR *d = status == GRAFT_OK ? opendir(folder) : NULL;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char *old = strstr(e->d_name, "tfevents") != NULL ? path_join(folder, e->d_name) : NULL;
        if (old != NULL)
            unlink(old);
        mem_free(old);
    }
    if (d != NULL)
        closedir(d);
    *out = NULL;
    if (status == GRAFT_OK) { // TensorBoard reads a folder's files in the order of their names
        *out = mem_format("%s/events.out.tfevents.%010.0f.graft.%ld.%d", folder, now_date(), (long)getpid(), counter++);
        status = *out != NULL ? GRAFT_OK : fail_memory("a path");
    }
    mem_free(folder);
    if (status != GRAFT_OK)
        return status;
    struct pb_writer event = {0};
    pb_double(&event, 1, now_date());
    pb_text(&event, 3, "brain.Event:2");
    status = pb_finish(&event);
    if (status == GRAFT_OK)
        status = record_append(*out, (bytes){event.data, event.size});
    pb_writer_fini(&event);
    return status;
}

graft_status tensorboard_new(const char *folder, struct tensorboard **out)
{
    graft_status status = GRAFT_OK;
    struct tensorboard *t = mem_zero(1, sizeof *t);
    *out = NULL;
    if (t == NULL || (t->folder = mem_text(folder)) == NULL)
        TRY_GOTO(fail_memory("TensorBoard's files"));
    for (int i = 0; i < FILES; i++)
        TRY_GOTO(file_begin(folder, folders[i], &t->path[i]));
    *out = t;
    t = NULL;
done:
    tensorboard_free(t);
    return status;
}

void tensorboard_free(struct tensorboard *t)
{
    if (t == NULL)
        return;
    for (int i = 0; i < FILES; i++)
        mem_free(t->path[i]);
    mem_free(t->folder);
    mem_free(t);
}

// An array of numbers as doubles, heap; NULL: it is none.
static double *numbers(const json_t *array, size_t *n)
{
    *n = json_array_size(array);
    double *values = *n > 0 ? mem_alloc(*n * sizeof *values) : NULL;
    for (size_t i = 0; values != NULL && i < *n; i++)
        values[i] = json_number_value(json_array_get(array, i));
    return values;
}

static graft_status histogram_append(struct tensorboard *t, const json_t *o)
{
    static const char *const keys[] = {"min", "max", "num", "sum", "sum_squares"}; // fields 1 to 5
    const char *kind = json_string_value(json_object_get(o, "kind"));
    const char *name = json_string_value(json_object_get(o, "name"));
    struct pb_writer value = {0}, histogram = {0};
    size_t n_limits, n_counts;
    if (kind == NULL || name == NULL)
        return GRAFT_OK;
    double *limits = numbers(json_object_get(o, "limits"), &n_limits);
    double *counts = numbers(json_object_get(o, "counts"), &n_counts);
    char *tag = mem_format("%s/%s", kind, name);
    graft_status status = GRAFT_OK;
    if (tag == NULL)
        status = fail_memory("a histogram");
    else if (limits != NULL && counts != NULL && n_limits == n_counts) {
        for (uint32_t i = 0; i < COUNT_OF(keys); i++)
            pb_double(&histogram, i + 1, json_number_value(json_object_get(o, keys[i])));
        pb_doubles(&histogram, 6, limits, n_limits);
        pb_doubles(&histogram, 7, counts, n_counts);
        pb_text(&value, 1, tag);
        pb_message(&value, 5, &histogram);
        status = value_append(t, TRAIN, now_date(), json_integer_value(json_object_get(o, "epoch")), &value);
    }
    mem_free(tag);
    mem_free(limits);
    mem_free(counts);
    return status;
}

// What histograms.jsonl has more than last time.
static graft_status histograms_follow(struct tensorboard *t)
{
    struct file_map map;
    graft_status status = GRAFT_OK;
    char *path = path_join(t->folder, "histograms.jsonl");
    if (path == NULL)
        return fail_memory("a path");
    if (!file_exists(path))
        goto done;
    TRY_GOTO(file_map_open(path, &map));
    while (status == GRAFT_OK && t->histograms < map.data.size) {
        const bytes rest = {map.data.ptr + t->histograms, map.data.size - t->histograms};
        const uint8_t *end = memchr(rest.ptr, '\n', rest.size);
        json_t *o = NULL;
        if (end == NULL)
            break; // not whole yet
        const size_t size = (size_t)(end - rest.ptr);
        if (json_parse((bytes){rest.ptr, size}, path, &o) == GRAFT_OK)
            status = histogram_append(t, o);
        json_decref(o);
        t->histograms += size + 1;
    }
    file_map_close(&map);
done:
    mem_free(path);
    return status;
}

static graft_status events_follow(struct tensorboard *t, const struct run_data *d)
{
    if (!t->started)
        TRY(start_append(t, d));
    for (; t->steps < d->n_steps; t->steps++) {
        const struct step_row *s = &d->steps[t->steps];
        const double time = now_date();
        TRY(scalar(t, TRAIN, time, (int64_t)t->steps + 1, "batch_loss", s->loss));
        TRY(scalar(t, TRAIN, time, (int64_t)t->steps + 1, "batch_learning_rate", s->rate));
    }
    for (int i = 0; i < d->n_epochs; i++)
        if (d->epochs[i].epoch > t->epochs) {
            TRY(epoch_append(t, &d->epochs[i]));
            t->epochs = d->epochs[i].epoch;
        }
    return GRAFT_OK;
}

graft_status tensorboard_follow(struct tensorboard *t, bool ended)
{
    struct run_data d;
    TRY(ended ? run_data_read(t->folder, &d) : run_events_read(t->folder, &d));
    graft_status status = events_follow(t, &d);
    if (status == GRAFT_OK)
        status = histograms_follow(t);
    if (status == GRAFT_OK && ended)
        status = pictures_append(t, &d, now_date());
    if (status == GRAFT_OK && ended)
        status = end_append(t, now_date());
    run_data_free(&d);
    return status;
}
