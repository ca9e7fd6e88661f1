// api/run_cam.c: `train --crop cam`: a run of whole pictures, the boxes that its model looks for, a run of the boxes.
// RUN/whole/: the first, a run as any other; RUN/boxes.csv; RUN itself: the second.  Each step leaves a run that goes
// on or a whole file, so that --resume of RUN, which is also how a new one begins, finds where it stopped: a file of
// boxes says that the steps before it are done.

#include "api/run.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/boxes.h"
#include "infer/crops.h"
#include "infer/explain.h"
#include "train/checkpoint.h"
#include "train/run_folder.h"
#include <string.h>

#define GO_ON(step) step " (all of it goes on with `graft train --resume %s`)"

static char *whole_path(const char *folder) { return path_join(folder, WHOLE_FOLDER); }
static char *boxes_path(const char *folder) { return path_join(folder, CAM_BOXES); }

graft_status crop_alone(const graft_options *o)
{
    if (option_text(o, "crop") != NULL && strcmp(option_text(o, "cache"), "none") != 0)
        return fail(GRAFT_BAD_OPTION, "--cache keeps whole pictures, so --crop has no place beside it");
    return GRAFT_OK;
}

// What would come to light only after the first run.
static graft_status check(const graft_options *o)
{
    long num_classes, imgsz;
    struct dataset d = {0};
    struct model m = {0};
    graft_status status = GRAFT_OK;
    if (option_set(o, "no-save"))
        return fail(GRAFT_BAD_OPTION, "--crop cam keeps the model that looks for the boxes, so --no-save has no place");
    TRY(crop_alone(o));
    if (option_text(o, "data") == NULL)
        return fail(GRAFT_BAD_OPTION, "which pictures? say -d DATA");
    TRY(option_long(o, "num-classes", 0, 100000, &num_classes));
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY_GOTO(data_open(o, (int)num_classes, NULL, &d));
    TRY_GOTO(boxes_possible(&d));
    struct model_request request = {.network = network_option(o), .weights = option_text(o, "weights"),
                                    .offline = option_set(o, "offline"), .head = HEAD_NEW, .classes = d.classes,
                                    .n_classes = d.n_classes, .size = (int)imgsz, .dropout = -1, .resize = -1};
    TRY_GOTO(kernels_option(o, &request.kernels));
    TRY_GOTO(model_open(&request, &m));
    TRY_GOTO(explainer_check(&m));
done:
    model_close(&m);
    dataset_free(&d);
    return status;
}

// What makes the folder one that goes on, and a run to those who list them.
static graft_status begin(const graft_options *o, const char *folder)
{
    char *whole = whole_path(folder), *boxes = boxes_path(folder), *path = path_join(folder, "args.json"),
         *events = path_join(folder, "events.jsonl"), *args = options_json(o);
    int lock = -1;
    graft_status status = GRAFT_OK;
    if (whole == NULL || boxes == NULL || path == NULL || events == NULL || args == NULL)
        TRY_GOTO(fail_memory("the run's folder"));
    TRY_GOTO(file_lock(folder, &lock));
    if (checkpoint_any(folder) || checkpoint_any(whole) || file_exists(boxes))
        TRY_GOTO(run_folder_taken(folder));
    TRY_GOTO(file_write_all(path, args, strlen(args)));
    TRY_GOTO(file_write_all(events, "", 0));
done:
    file_unlock(lock);
    mem_free(whole);
    mem_free(boxes);
    mem_free(path);
    mem_free(events);
    mem_free(args);
    return status;
}

graft_status cam_anew(const graft_options *o)
{
    char *folder = NULL;
    TRY(check(o));
    TRY(output_folder(o, &folder));
    graft_options *nothing = graft_options_new("train");
    graft_status status = nothing != NULL ? begin(o, folder) : fail_memory("options");
    if (status == GRAFT_OK)
        status = train_again(nothing, folder);
    graft_options_free(nothing);
    mem_free(folder);
    return status;
}

graft_status cam_whole(const graft_options *o, const char *folder)
{
    char *whole = whole_path(folder), *boxes = boxes_path(folder);
    char *begun = whole != NULL ? path_join(whole, "args.json") : NULL;
    graft_options *one = NULL;
    graft_status status = GRAFT_OK;
    if (begun == NULL || boxes == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (file_exists(boxes))
        goto done;
    const bool anew = !file_exists(begun);
    const char *const not_its[] = {"crop", "output", "resume", anew ? "force" : NULL, NULL};
    log_info("1 of 3: on whole pictures, in %s", whole);
    TRY_GOTO(options_copy(o, not_its, &one));
    if (anew)
        TRY_GOTO(graft_options_set(one, "output", whole));
    status = anew ? train_once(one) : train_again(one, whole);
    if (status != GRAFT_OK)
        fail_prefix(status, GO_ON("whole pictures"), folder);
done:
    graft_options_free(one);
    mem_free(whole);
    mem_free(boxes);
    mem_free(begun);
    return status;
}

// Of every picture that takes part, once: versions and repeats have the box of their origin.
static graft_status boxes_make(const char *folder, const char *whole, const struct dataset *d, const char *file)
{
    uint32_t *order = mem_alloc((d->count + 1) * sizeof *order);
    size_t n = 0, bad;
    if (order == NULL)
        return fail_memory("the list of pictures");
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].part != PART_NONE && d->samples[i].copy == 0 && d->samples[i].round == 0)
            order[n++] = (uint32_t)i;
    log_info("2 of 3: boxes of %zu pictures by it, in %s", n, file);
    const graft_status status = crops_write(NULL, whole, d, order, n, file, &bad);
    mem_free(order);
    return status != GRAFT_OK ? fail_prefix(status, GO_ON("the boxes"), folder) : GRAFT_OK;
}

graft_status cam_boxes(const char *folder, struct dataset *d)
{
    char *whole = whole_path(folder), *boxes = boxes_path(folder);
    graft_status status = GRAFT_OK;
    if (whole == NULL || boxes == NULL)
        TRY_GOTO(fail_memory("a path"));
    if (!file_exists(boxes))
        TRY_GOTO(boxes_make(folder, whole, d, boxes));
    log_info("3 of 3: on the boxes, in %s", folder);
    TRY_GOTO(boxes_read(d, boxes));
done:
    mem_free(whole);
    mem_free(boxes);
    return status;
}
