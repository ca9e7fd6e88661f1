// api/run_crops.c: boxes around what a model looks at on each picture: `graft crops`, and --crop of other commands.
// Nothing but the picture decides: the class is the one that the model predicts, labels are never read.

#include "api/subject.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/boxes.h"
#include "data/sources.h"
#include "infer/crops.h"
#include "infer/explain.h"
#include <string.h>

enum { BATCH_MOST = 64 };
enum { COARSE = 5 }; // places a side of the last map: with fewer a box is hardly smaller than the whole

struct cropping {
    struct model *model;
    struct explainer *explainer;
    struct crop_rule rule;
    int h, w, batch;
    float *input, *heat, *probabilities;
    int *classes;
    bool tells; // names what cannot be read; else somebody does who reads it again
};
// A sample's box, and whom it shows with which probability.  `class` NULL: the picture cannot be read and keeps its
// whole, so that whoever uses it names it.
typedef graft_status (*cropped)(void *user, uint32_t index, const float *box, const char *class, float p);

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

// Up to a batch of the samples in `order`.
static graft_status batch_crop(struct cropping *c, const struct dataset *d, const uint32_t *order, size_t left,
                               cropped take, void *user)
{
    const int n = left < (size_t)c->batch ? (int)left : c->batch;
    const size_t size = (size_t)c->model->input.size, item = 3 * size * size, area = (size_t)c->h * (size_t)c->w;
    double offset[BATCH_MOST][2], scale[BATCH_MOST][2];
    bool broken[BATCH_MOST];
    for (int i = 0; i < c->batch; i++) {
        c->classes[i] = -1;
        broken[i] = i >= n || input_make(c, d->samples[order[i]].path, i, offset[i], scale[i]) != GRAFT_OK;
        if (broken[i])
            memset(c->input + (size_t)i * item, 0, item * sizeof *c->input);
        if (broken[i] && i < n && c->tells)
            log_warning("not cropped: %s", graft_message());
    }
    TRY(explainer_run(c->explainer, c->input, c->classes, c->heat, c->probabilities));
    for (int i = 0; i < n; i++) {
        const int class = c->classes[i];
        float box[4] = {0, 0, 1, 1};
        double part[4];
        if (!broken[i]) {
            TRY(crop_of_heat(c->heat + (size_t)i * area, c->h, c->w, &c->rule, part));
            crop_to_picture(part, offset[i], scale[i], box);
        }
        TRY(take(user, order[i], box, broken[i] ? NULL : c->model->classes[class],
                 broken[i] ? 0 : c->probabilities[(size_t)i * (size_t)c->model->n_classes + (size_t)class]));
    }
    return GRAFT_OK;
}

static graft_status crop_all(struct cropping *c, const struct dataset *d, const uint32_t *order, size_t n, cropped take,
                             void *user)
{
    const double begin = now_seconds();
    for (size_t at = 0; at < n; at += (size_t)c->batch) {
        TRY(batch_crop(c, d, order + at, n - at, take, user));
        const double spent = now_seconds() - begin;
        const size_t done = at + (size_t)c->batch < n ? at + (size_t)c->batch : n;
        hooks_progress(&(graft_progress){.stage = "crops", .step = (long)done, .steps = (long)n,
                                         .images_per_second = spent > 0 ? (double)done / spent : 0,
                                         .seconds_left = spent / (double)done * (double)(n - done)});
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "stopped after %zu of %zu pictures", done, n);
    }
    return GRAFT_OK;
}

// The boxes that the model `name` looks for in those samples.  `o`: of `graft crops`; NULL: all as it is without them.
static graft_status crops_make(const graft_options *o, const char *name, const struct dataset *d, const uint32_t *order,
                               size_t n, bool tells, cropped take, void *user)
{
    long imgsz, batch;
    struct subject s = {0};
    struct arena *arena = NULL;
    struct cropping c = {.model = &s.model, .tells = tells};
    graft_options *plain = NULL;
    graft_status status = GRAFT_OK;
    if (o == NULL && (o = plain = graft_options_new("crops")) == NULL)
        return fail_memory("options");
    TRY_GOTO(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY_GOTO(option_long(o, "batch", 1, BATCH_MOST, &batch));
    TRY_GOTO(crop_rule_option(o, &c.rule));
    TRY_GOTO(boxes_possible(d));
    TRY_GOTO(subject_open(o, name, imgsz, &s));
    if (s.file == NULL)
        TRY_GOTO(fail(GRAFT_BAD_OPTION, "'%s' is several models; one of them is to look for the boxes", name));
    c.batch = n < (size_t)batch ? (int)n : (int)batch;
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(cropping_begin(&c, arena));
    TRY_GOTO(crop_all(&c, d, order, n, take, user));
done:
    cropping_end(&c);
    arena_free(arena);
    subject_close(&s);
    graft_options_free(plain);
    return status;
}

// ---- into a file

struct listing {
    struct text text;
    const struct dataset *data;
    const char *folder; // of the file
    size_t bad;
};

static graft_status row_put(void *user, uint32_t index, const float *box, const char *class, float p)
{
    struct listing *l = user;
    char *listed;
    TRY(path_listed(l->data->samples[index].path, l->folder, &listed));
    text_put_field(&l->text, listed);
    mem_free(listed);
    for (int i = 0; i < 4; i++)
        text_put(&l->text, ",%.9g", (double)box[i]); // nine digits bring the same float back
    text_put(&l->text, ",");
    text_put_field(&l->text, class != NULL ? class : "");
    text_put(&l->text, ",%.7g\n", (double)p);
    l->bad += class == NULL;
    return GRAFT_OK;
}

graft_status crops_write(const graft_options *o, const char *model, const struct dataset *d, const uint32_t *order,
                         size_t n, const char *file, size_t *bad)
{
    const char *name = path_name(file);
    char *folder = name > file ? mem_format("%.*s", (int)(name - file), file) : mem_text(".");
    struct listing l = {.data = d, .folder = folder};
    graft_status status = folder != NULL ? file_make_folder(folder) : fail_memory("a path");
    TRY_GOTO(status);
    text_put(&l.text, "path,left,top,width,height,class,prob\n");
    TRY_GOTO(crops_make(o, model, d, order, n, true, row_put, &l));
    TRY_GOTO(text_status(&l.text));
    TRY_GOTO(file_write_all(file, l.text.data, l.text.size));
    *bad = l.bad;
done:
    text_fini(&l.text);
    mem_free(folder);
    return status;
}

graft_status run_crops(const graft_options *o)
{
    long threads;
    const char **paths, *output = option_text(o, "output");
    int n_paths;
    struct dataset d = {0};
    uint32_t *order = NULL;
    size_t n, bad;
    TRY(option_long(o, "threads", 0, 1024, &threads));
    if (o->n_inputs != 1 || option_text(o, "data") == NULL || output == NULL)
        return fail(GRAFT_BAD_OPTION, "a model, pictures and a file are needed: graft crops MODEL -d PICTURES -o FILE");
    exec_set_threads((int)threads);
    TRY(one_network_check(o->inputs[0], "crops"));
    TRY(option_texts(o, "data", &paths, &n_paths));
    graft_status status = inputs_open(paths, (size_t)n_paths, &d);
    mem_free(paths);
    TRY_GOTO(status);
    TRY_GOTO(part_order(&d, "all", true, &order, &n));
    TRY_GOTO(crops_write(o, o->inputs[0], &d, order, n, output, &bad));
    result_take(json_pack("{s:s, s:I, s:I}", "output", output, "n", (json_int_t)n, "skipped", (json_int_t)bad));
done:
    mem_free(order);
    dataset_free(&d);
    return status;
}

// ---- --crop of other commands

bool crop_cam(const graft_options *o)
{
    const char *crop = option_text(o, "crop");
    return crop != NULL && strcmp(crop, "cam") == 0;
}

graft_status crop_option(const graft_options *o, struct dataset *d)
{
    const char *file = option_text(o, "crop");
    return file != NULL && !crop_cam(o) ? boxes_read(d, file) : GRAFT_OK;
}

struct keeping {
    struct dataset *data;
    float *box; // of the next sample
};

static graft_status box_keep(void *user, uint32_t index, const float *box, const char *class, float p)
{
    struct keeping *k = user;
    (void)class;
    (void)p;
    memcpy(k->box, box, 4 * sizeof *box);
    k->data->samples[index].box = k->box;
    k->box += 4;
    return GRAFT_OK;
}

graft_status crop_look(const graft_options *o, const char *model, struct dataset *d, const uint32_t *order, size_t n)
{
    graft_status status = GRAFT_OK;
    if (!crop_cam(o))
        return GRAFT_OK;
    float *boxes = mem_alloc((n + 1) * 4 * sizeof *boxes);
    if (boxes == NULL)
        return fail_memory("the boxes");
    TRY(dataset_own(d, boxes));
    char *finder = model_finder(model);
    if (finder == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (!file_exists(finder))
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "--crop cam: '%s' is not there: `train --crop cam` leaves it beside the model, to look for the "
                      "boxes; copy its folder along, or name a file of boxes with --crop FILE.csv",
                      finder));
    TRY_GOTO(crops_make(NULL, finder, d, order, n, false, box_keep, &(struct keeping){d, boxes}));
done:
    mem_free(finder);
    return status;
}

graft_status crop_of_picture(const graft_options *o, const char *model, const char *picture, float *out)
{
    struct dataset d = {0};
    graft_status status = GRAFT_OK;
    TRY_GOTO(sample_add(&d, picture, -1, PART_NONE, NULL));
    TRY_GOTO(crop_option(o, &d));
    TRY_GOTO(crop_look(o, model, &d, (uint32_t[]){0}, 1));
    memcpy(out, d.samples[0].box, 4 * sizeof *out);
done:
    dataset_free(&d);
    return status;
}
