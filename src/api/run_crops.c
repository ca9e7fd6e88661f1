// api/run_crops.c: `graft crops`: around what a model looks at on each picture, for training on that alone.
// Nothing but the picture decides: the class is the one that the model predicts, labels are never read.

#include "api/subject.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/boxes.h"
#include "infer/crops.h"
#include "infer/explain.h"
#include <string.h>

enum { COARSE = 5 }; // places a side of the last map: with fewer a box is hardly smaller than the whole

struct cropping {
    struct model *model;
    struct explainer *explainer;
    struct crop_rule rule;
    int h, w, batch;
    float *input, *heat, *probabilities;
    int *classes;
};

graft_status crop_option(const graft_options *o, struct dataset *d)
{
    const char *file = option_text(o, "crop");
    if (file != NULL && strcmp(file, "cam") == 0 && !file_exists(file)) // what one may expect it to be called
        return fail(GRAFT_BAD_OPTION,
                    "--crop cam: boxes by class activation come from a model of whole pictures: `graft train -d DATA "
                    "-o RUN`, then `graft crops RUN -d DATA -o boxes.csv`, then --crop boxes.csv");
    return file != NULL ? boxes_read(d, file) : GRAFT_OK;
}

graft_status crop_rule_option(const graft_options *o, struct crop_rule *out)
{
    TRY(option_double(o, "threshold", 0.01, 1, &out->threshold));
    TRY(option_double(o, "margin", 0, 2, &out->margin));
    return option_double(o, "least", 0.05, 1, &out->least);
}

static graft_status cropping_begin(struct cropping *c, struct arena *arena)
{
    const size_t size = (size_t)c->model->input.size, batch = (size_t)c->batch;
    TRY(explainer_new(c->model, arena, c->batch, &c->explainer));
    explainer_map(c->explainer, &c->h, &c->w);
    if (c->h < COARSE || c->w < COARSE)
        log_warning("at %dx%d the last map has %d x %d places, so boxes are coarse; a larger --imgsz sees finer ones",
                    c->model->input.size, c->model->input.size, c->w, c->h);
    c->input = mem_aligned(batch * 3 * size * size * sizeof *c->input);
    c->heat = mem_alloc(batch * (size_t)c->h * (size_t)c->w * sizeof *c->heat);
    c->probabilities = mem_alloc(batch * (size_t)c->model->n_classes * sizeof *c->probabilities);
    c->classes = mem_alloc(batch * sizeof *c->classes);
    if (c->input == NULL || c->heat == NULL || c->probabilities == NULL || c->classes == NULL)
        return fail_memory("the crops");
    return GRAFT_OK;
}

static void cropping_end(struct cropping *c)
{
    explainer_free(c->explainer);
    mem_free(c->input);
    mem_free(c->heat);
    mem_free(c->probabilities);
    mem_free(c->classes);
}

// A picture's input into its place of the batch, and where it comes from in the picture.
static graft_status input_make(struct cropping *c, const char *path, int place, double offset[2], double scale[2])
{
    struct picture p;
    const size_t size = (size_t)c->model->input.size;
    TRY(picture_read(path, c->model->input.icc, &p));
    input_region(&c->model->input, p.w, p.h, offset, scale);
    const graft_status status =
        picture_prepare(&p, &c->model->input, c->input + (size_t)place * 3 * size * size);
    picture_free(&p);
    return status;
}

static graft_status row_put(struct text *t, const char *path, const char *folder, const float *box, const char *class,
                            float p)
{
    char *listed;
    TRY(path_listed(path, folder, &listed));
    text_put_field(t, listed);
    mem_free(listed);
    text_put(t, ",%.7g,%.7g,%.7g,%.7g,", (double)box[0], (double)box[1], (double)box[2], (double)box[3]);
    text_put_field(t, class);
    text_put(t, ",%.7g\n", (double)p);
    return GRAFT_OK;
}

// Up to a batch of samples from `begin` on.  What cannot be read keeps its whole, so that training can name it.
static graft_status batch_crop(struct cropping *c, const struct dataset *d, size_t begin, const char *folder,
                               struct text *t, size_t *bad)
{
    const int n = d->count - begin < (size_t)c->batch ? (int)(d->count - begin) : c->batch;
    const size_t size = (size_t)c->model->input.size, item = 3 * size * size, area = (size_t)c->h * (size_t)c->w;
    double offset[64][2], scale[64][2];
    bool broken[64];
    for (int i = 0; i < c->batch; i++) {
        c->classes[i] = -1;
        broken[i] = i >= n || input_make(c, d->samples[begin + (size_t)i].path, i, offset[i], scale[i]) != GRAFT_OK;
        if (broken[i])
            memset(c->input + (size_t)i * item, 0, item * sizeof *c->input);
        if (broken[i] && i < n) {
            log_warning("not cropped: %s", graft_message());
            ++*bad;
        }
    }
    TRY(explainer_run(c->explainer, c->input, c->classes, c->heat, c->probabilities));
    for (int i = 0; i < n; i++) {
        float box[4] = {0, 0, 1, 1};
        double part[4];
        const float p = c->probabilities[(size_t)i * (size_t)c->model->n_classes + (size_t)c->classes[i]];
        if (!broken[i]) {
            TRY(crop_of_heat(c->heat + (size_t)i * area, c->h, c->w, &c->rule, part));
            crop_to_picture(part, offset[i], scale[i], box);
        }
        TRY(row_put(t, d->samples[begin + (size_t)i].path, folder, box,
                    broken[i] ? "" : c->model->classes[c->classes[i]], broken[i] ? 0 : p));
    }
    return GRAFT_OK;
}

static graft_status crop_all(struct cropping *c, const struct dataset *d, const char *folder, struct text *t,
                             size_t *bad)
{
    const double begin = now_seconds();
    text_put(t, "path,left,top,width,height,class,prob\n");
    for (size_t at = 0; at < d->count; at += (size_t)c->batch) {
        TRY(batch_crop(c, d, at, folder, t, bad));
        const double spent = now_seconds() - begin;
        const size_t done = at + (size_t)c->batch < d->count ? at + (size_t)c->batch : d->count;
        hooks_progress(&(graft_progress){.stage = "crops", .step = (long)done, .steps = (long)d->count,
                                         .images_per_second = spent > 0 ? (double)done / spent : 0,
                                         .seconds_left = spent / (double)done * (double)(d->count - done)});
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "stopped after %zu of %zu pictures", done, d->count);
    }
    return text_status(t);
}

static graft_status pictures_open(const graft_options *o, struct dataset *d)
{
    const char **paths;
    int n;
    TRY(option_texts(o, "data", &paths, &n));
    const graft_status status = inputs_open(paths, (size_t)n, d);
    mem_free(paths);
    TRY(status);
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].member != NULL)
            return fail(GRAFT_BAD_FILE, "%s is in an archive, which a list of boxes cannot name; unpack it",
                        d->samples[i].path);
    return GRAFT_OK;
}

graft_status run_crops(const graft_options *o)
{
    long imgsz, threads, batch;
    struct subject s = {0};
    struct dataset d = {0};
    struct arena *arena = NULL;
    struct text t = {0};
    struct cropping c = {.model = &s.model};
    size_t bad = 0;
    const char *output = option_text(o, "output");
    char *folder = NULL;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    TRY(option_long(o, "batch", 1, 64, &batch));
    TRY(crop_rule_option(o, &c.rule));
    if (o->n_inputs != 1 || option_text(o, "data") == NULL || output == NULL)
        return fail(GRAFT_BAD_OPTION, "a model, pictures and a file are needed: graft crops MODEL -d PICTURES -o FILE");
    exec_set_threads((int)threads);
    folder = path_name(output) > output ? mem_format("%.*s", (int)(path_name(output) - output), output) : mem_text(".");
    if (folder == NULL)
        return fail_memory("a path");
    TRY_GOTO(file_make_folder(folder));
    TRY_GOTO(pictures_open(o, &d));
    TRY_GOTO(one_network_check(o->inputs[0], "crops"));
    TRY_GOTO(subject_open(o, o->inputs[0], imgsz, &s));
    c.batch = d.count < (size_t)batch ? (int)d.count : (int)batch;
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(cropping_begin(&c, arena));
    TRY_GOTO(crop_all(&c, &d, folder, &t, &bad));
    TRY_GOTO(file_write_all(output, t.data, t.size));
    result_take(json_pack("{s:s, s:I, s:I}", "output", output, "n", (json_int_t)d.count, "skipped", (json_int_t)bad));
done:
    cropping_end(&c);
    arena_free(arena);
    text_fini(&t);
    subject_close(&s);
    dataset_free(&d);
    mem_free(folder);
    return status;
}
