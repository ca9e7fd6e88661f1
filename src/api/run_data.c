// api/run_data.c: `graft data`: looking at pictures before training.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/encode.h"
#include "data/exam.h"
#include <stdlib.h>
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
    TRY_GOTO(dataset_open(
        &(struct data_options){.paths = inputs ? (const char *const *)o->inputs + 1 : paths,
                               .n_paths = inputs ? (int)o->n_inputs - 1 : n_paths,
                               .num_classes = num_classes,
                               .classes = m != NULL ? (const char *const *)m->classes : (const char *const *)names,
                               .n_classes = m != NULL ? m->n_classes : n_names,
                               .classes_from = list,
                               .group = option_text(o, "group")},
        out));
done:
    for (int i = 0; i < n_names; i++)
        mem_free(names[i]);
    mem_free(names);
    mem_free(paths);
    return status;
}

graft_status cache_option(const graft_options *o, const struct augment *a, struct dataset *d)
{
    static const char *const places[] = {"none", "ram", "disk", NULL};
    int place;
    double most;
    char *folder = NULL, *ours = NULL;
    graft_status status = GRAFT_OK;
    TRY(option_choice(o, "cache", places, &place));
    TRY(option_double(o, "cache-gb", 0, 1e6, &most));
    if (place == 0 || d->array_h > 0)
        return GRAFT_OK;
    if (place == 2 && option_text(o, "cache-dir") == NULL) {
        TRY(cache_folder(&ours));
        folder = path_join(ours, "pictures");
    } else if (place == 2)
        folder = mem_text(option_text(o, "cache-dir"));
    if (place == 2 && folder == NULL)
        TRY_GOTO(fail_memory("a path"));
    status = picture_cache_open(folder, (uint64_t)(most * 0x1p30), augment_zoom(a), d->count, &d->cache);
done:
    mem_free(folder);
    mem_free(ours);
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
    out->icc = option_set(o, "icc");
    TRY(profiles_check(out));
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
    bytes png = {0};
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
    TRY_GOTO(
        sheet_make(&d, &spec, &(struct augmentation){&augment, (uint64_t)seed, 0}, (int)rows, (int)columns, &sheet));
    TRY_GOTO(picture_to_png(&sheet, &png));
    TRY_GOTO(file_write_all(output, png.ptr, png.size));
    json_t *result = json_pack("{s:s, s:i, s:i}", "sheet", output, "width", sheet.w, "height", sheet.h);
    char *text = result != NULL ? json_text(result) : NULL;
    if (text != NULL)
        hooks_result(text);
    mem_free(text);
    json_decref(result);
done:
    mem_free((void *)png.ptr);
    picture_free(&sheet);
    dataset_free(&d);
    return status;
}

// What is moved into the data would be read as a class of them next time.
static graft_status quarantine_check(const char *folder, const struct dataset *d)
{
    char *there = realpath(folder, NULL);
    graft_status status = GRAFT_OK;
    for (size_t i = 0; there != NULL && i < d->count && status == GRAFT_OK; i++) {
        char *file = d->samples[i].data == NULL ? realpath(d->samples[i].path, NULL) : NULL;
        const size_t length = strlen(there);
        if (file != NULL && strncmp(file, there, length) == 0 && file[length] == '/')
            status =
                fail(GRAFT_BAD_OPTION, "--quarantine %s: the data has pictures in it; name another folder", folder);
        free(file);
    }
    free(there);
    return status;
}

static graft_status examine(const graft_options *o, bool check)
{
    struct dataset d = {0};
    struct exam *exams = NULL;
    json_t *findings = NULL;
    char *text = NULL;
    long workers;
    size_t moved = 0;
    graft_status status = GRAFT_OK;
    const char *folder = check ? option_text(o, "quarantine") : NULL;
    TRY(option_long(o, "workers", 1, 64, &workers));
    TRY_GOTO(data_open(o, 0, NULL, &d));
    if (option_text(o, "split") != NULL)
        TRY_GOTO(dataset_split_read(&d, option_text(o, "split")));
    if (folder != NULL)
        TRY_GOTO(quarantine_check(folder, &d));
    TRY_GOTO(exams_make(&d, (int)workers, &exams));
    TRY_GOTO(findings_make(&d, exams, &findings));
    if (!check)
        json_object_del(findings, "findings");
    if (check && option_text(o, "html") != NULL)
        TRY_GOTO(findings_page(&d, findings, option_set(o, "data") ? option_text(o, "data") : o->inputs[1],
                               option_text(o, "html")));
    if (folder != NULL) {
        TRY_GOTO(quarantine(&d, exams, folder, &moved));
        json_object_set_new(findings, "moved", json_integer((json_int_t)moved));
    }
    text = json_text(findings);
    if (text == NULL)
        TRY_GOTO(fail_memory("the findings"));
    hooks_result(text);
    const size_t broken = (size_t)json_integer_value(json_object_get(findings, "broken"));
    if (check && broken > moved)
        status = fail(GRAFT_BAD_FILE, "%zu of %zu pictures cannot be read%s", broken - moved, d.count,
                      folder == NULL ? "; --quarantine DIR moves them out of the way" : " and could not be moved");
    else if (check)
        status = dataset_groups_check(&d);
done:
    mem_free(text);
    json_decref(findings);
    exams_free(exams, d.count);
    dataset_free(&d);
    return status;
}

static graft_status check(const graft_options *o) { return examine(o, true); }
static graft_status stats(const graft_options *o) { return examine(o, false); }

graft_status run_data(const graft_options *o)
{
    static const struct {
        const char *name;
        graft_status (*run)(const graft_options *o);
    } actions[] = {{"check", check}, {"stats", stats}, {"show", show}};
    for (size_t i = 0; o->n_inputs > 0 && i < COUNT_OF(actions); i++)
        if (strcmp(o->inputs[0], actions[i].name) == 0) {
            if ((o->n_inputs > 1) == option_set(o, "data"))
                return fail(GRAFT_BAD_OPTION, "which pictures? graft data %s DATA", actions[i].name);
            return actions[i].run(o);
        }
    return fail(GRAFT_BAD_OPTION, "graft data %s: the action is check, stats or show",
                o->n_inputs > 0 ? o->inputs[0] : "");
}
