// api/run_explain.c: `graft explain`: the picture under the heat of what speaks for a class.

#include "api/subject.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/boxes.h"
#include "data/encode.h"
#include "infer/crops.h"
#include "infer/explain.h"
#include <stdlib.h>
#include <string.h>

enum { QUALITY = 92 };

// A class by name, or by number where no class has that name; -1: the likeliest.
static graft_status class_option(const graft_options *o, const struct model *m, int *out)
{
    const char *text = option_text(o, "class");
    char *end;
    *out = -1;
    if (text == NULL)
        return GRAFT_OK;
    for (int i = 0; i < m->n_classes && *out < 0; i++)
        if (strcmp(m->classes[i], text) == 0)
            *out = i;
    const long number = strtol(text, &end, 10);
    if (*out < 0 && *end == '\0' && end != text && number >= 0 && number < m->n_classes)
        *out = (int)number;
    if (*out < 0)
        return fail(GRAFT_BAD_OPTION, "--class %s: the model has no such class; it has %d, the first is '%s'", text,
                    m->n_classes, m->classes[0]);
    return GRAFT_OK;
}

static graft_status picture_save(const struct picture *p, const char *path)
{
    bytes data;
    if (path_has_suffix(path, ".png"))
        TRY(picture_to_png(p, &data));
    else if (path_has_suffix(path, ".jpg") || path_has_suffix(path, ".jpeg"))
        TRY(picture_to_jpeg(p, QUALITY, &data));
    else
        return fail(GRAFT_BAD_OPTION, "'%s': graft writes .png and .jpg pictures", path);
    const graft_status status = file_write_all(path, data.ptr, data.size);
    mem_free((void *)data.ptr);
    return status;
}

// What of the picture enters the network: all of it, or its box.  part: where the network's input lies in the picture.
static graft_status picture_open(const graft_options *o, const struct model *m, struct picture *original,
                                 struct picture *seen, float box[4], double part[4])
{
    double offset[2], scale[2];
    TRY(picture_read(o->inputs[1], m->input.icc, original));
    if (m->input.crop)
        TRY(crop_of_picture(o, o->inputs[0], o->inputs[1], box));
    TRY(picture_box(original, box, seen));
    input_region(&m->input, seen->w, seen->h, offset, scale);
    for (int i = 0; i < 2; i++) {
        part[i] = box[i] + offset[i] * box[i + 2];
        part[i + 2] = scale[i] * box[i + 2];
    }
    return GRAFT_OK;
}

// The input under its heat, with --box the frame of a crop; of a model of crops the picture, with the frame and the
// heat where the crop was.
static graft_status show(const graft_options *o, const struct model *m, const struct picture *original,
                         const float *input, const float *heat, int h, int w, const float *box, const double *part,
                         struct picture *out)
{
    struct picture seen;
    struct crop_rule rule;
    double frame[4] = {box[0], box[1], box[2], box[3]};
    if (m->input.crop)
        TRY(picture_with_heat(original, heat, h, w, part, out));
    else {
        TRY(picture_of_input(input, &m->input, false, &seen));
        const graft_status status = picture_with_heat(&seen, heat, h, w, NULL, out);
        picture_free(&seen);
        TRY(status);
        if (!option_set(o, "box"))
            return GRAFT_OK;
        TRY(crop_rule_option(o, &rule));
        TRY(crop_of_heat(heat, h, w, &rule, frame));
    }
    picture_frame(out, frame);
    return GRAFT_OK;
}

static graft_status explain(const graft_options *o, struct model *m, struct arena *arena, const char *output)
{
    struct explainer *e = NULL;
    struct picture original = {0}, seen = {0}, shown = {0};
    float box[4] = {0, 0, 1, 1};
    double part[4];
    float *input = NULL, *heat = NULL, *probabilities = NULL;
    int which, h, w;
    graft_status status = GRAFT_OK;
    TRY_GOTO(class_option(o, m, &which));
    TRY_GOTO(picture_open(o, m, &original, &seen, box, part));
    TRY_GOTO(explainer_new(m, arena, 1, &e));
    explainer_map(e, &h, &w);
    input = mem_aligned(3 * (size_t)m->input.size * (size_t)m->input.size * sizeof *input);
    heat = mem_alloc((size_t)h * (size_t)w * sizeof *heat);
    probabilities = mem_alloc((size_t)m->n_classes * sizeof *probabilities);
    if (input == NULL || heat == NULL || probabilities == NULL)
        TRY_GOTO(fail_memory("the explanation"));
    TRY_GOTO(picture_prepare(&seen, &m->input, input));
    TRY_GOTO(explainer_run(e, input, &which, heat, probabilities));
    TRY_GOTO(show(o, m, &original, input, heat, h, w, box, part, &shown));
    TRY_GOTO(picture_save(&shown, output));
    result_take(json_pack("{s:s+, s:s, s:f, s:s+, s:i, s:i}", "path", o->inputs[1], "", "class", m->classes[which],
                          "prob", (double)probabilities[which], "output", output, "", "map_h", h, "map_w", w));
done:
    picture_free(&original);
    picture_free(&seen);
    picture_free(&shown);
    mem_free(input);
    mem_free(heat);
    mem_free(probabilities);
    explainer_free(e);
    return status;
}

graft_status run_explain(const graft_options *o)
{
    long imgsz, threads;
    struct model m = {0};
    struct arena *arena = NULL;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "threads", 0, 1024, &threads));
    if (o->n_inputs != 2)
        return fail(GRAFT_BAD_OPTION, "a model and one picture are needed: graft explain MODEL PICTURE");
    TRY(one_network_check(o->inputs[0], "explain"));
    TRY(output_check(o, "output", ".png .jpg .jpeg"));
    exec_set_threads((int)threads);
    TRY_GOTO(model_open_ready(o, o->inputs[0], imgsz, &m));
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(explain(o, &m, arena, option_text(o, "output")));
done:
    arena_free(arena);
    model_close(&m);
    return status;
}
