// api/run_data.c: `graft data`: looking at pictures before training.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/data.h"
#include <string.h>

graft_status data_open(const graft_options *o, int num_classes, const struct model *m, struct dataset *out)
{
    const char **paths = NULL, *list = m == NULL ? option_text(o, "classes") : NULL;
    char **names = NULL;
    int n_names = 0, n_paths;
    graft_status status = GRAFT_OK;
    *out = (struct dataset){0};
    TRY(option_texts(o, "data", &paths, &n_paths));
    if (list != NULL)
        TRY_GOTO(class_list_read(list, &names, &n_names));
    const bool inputs = n_paths == 0; // after the action's name
    TRY_GOTO(dataset_open(&(struct data_options){
        .paths = inputs ? (const char *const *)o->inputs + 1 : paths, .n_paths = inputs ? (int)o->n_inputs - 1 : n_paths,
        .num_classes = num_classes, .classes = m != NULL ? (const char *const *)m->classes : (const char *const *)names,
        .n_classes = m != NULL ? m->n_classes : n_names, .classes_from = list, .group = option_text(o, "group")}, out));
done:
    for (int i = 0; i < n_names; i++)
        mem_free(names[i]);
    mem_free(names);
    mem_free(paths);
    return status;
}

// The network's input for these pictures.
static graft_status input_of(const graft_options *o, const struct dataset *d, struct input_spec *out)
{
    const struct network *net = zoo_find(option_text(o, "model"));
    long imgsz;
    int rule;
    if (net == NULL)
        return fail(GRAFT_BAD_OPTION, "no network '%s'; did you mean '%s'?", option_text(o, "model"),
                    zoo_nearest(option_text(o, "model")));
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    *out = net->input;
    if (imgsz > 0)
        input_scaled(out, (int)imgsz);
    if (option_text(o, "resize") != NULL) {
        TRY(option_choice(o, "resize", resize_rules, &rule));
        out->rule = (enum resize_rule)rule;
    }
    if (d->array_float)
        return fail(GRAFT_BAD_FILE, "preprocessed float arrays are not pictures to show");
    return GRAFT_OK;
}

static graft_status show(const graft_options *o)
{
    struct dataset d = {0};
    struct augment augment;
    struct input_spec spec;
    struct picture sheet = {0};
    uint8_t *png = NULL;
    size_t size;
    long seed, rows, columns;
    graft_status status = GRAFT_OK;
    const char *output = option_text(o, "output");
    TRY(option_long(o, "seed", 0, 1L << 62, &seed));
    TRY(option_long(o, "rows", 1, 100, &rows));
    TRY(option_long(o, "columns", 0, 100, &columns));
    TRY(augment_parse(option_text(o, "augment"), &augment));
    if (output == NULL || !path_has_suffix(output, ".png"))
        return fail(GRAFT_BAD_OPTION, "where to? say -o SHEET.png");
    TRY_GOTO(data_open(o, 0, NULL, &d));
    TRY_GOTO(input_of(o, &d, &spec));
    TRY_GOTO(sheet_make(&d, &spec, &(struct augmentation){&augment, (uint64_t)seed, 0}, (int)rows, (int)columns, &sheet));
    TRY_GOTO(picture_to_png(&sheet, &png, &size));
    TRY_GOTO(file_write_all(output, png, size));
    json_t *result = json_pack("{s:s, s:i, s:i}", "sheet", output, "width", sheet.w, "height", sheet.h);
    char *text = result != NULL ? json_text(result) : NULL;
    if (text != NULL)
        hooks_result(text);
    mem_free(text);
    json_decref(result);
done:
    mem_free(png);
    picture_free(&sheet);
    dataset_free(&d);
    return status;
}

graft_status run_data(const graft_options *o)
{
    static const struct {
        const char *name;
        graft_status (*run)(const graft_options *o);
    } actions[] = {{"show", show}};
    for (size_t i = 0; o->n_inputs > 0 && i < COUNT_OF(actions); i++)
        if (strcmp(o->inputs[0], actions[i].name) == 0) {
            if ((o->n_inputs > 1) == option_set(o, "data"))
                return fail(GRAFT_BAD_OPTION, "which pictures? graft data %s DATA", actions[i].name);
            return actions[i].run(o);
        }
    return fail(GRAFT_BAD_OPTION, "graft data %s: the action is show", o->n_inputs > 0 ? o->inputs[0] : "");
}
