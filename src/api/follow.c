// api/follow.c: the report and TensorBoard's files follow a run's epochs at no more than 1 % of its time; the last ones
// are always made.  None of it is a failure of the run.

#include "api/follow.h"
#include "api/run.h"
#include "base/file.h"
#include "base/memory.h"
#include "report/report.h"
#include "report/tensorboard.h"
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PRICE = 100, FIRST = 60 }; // after work of t seconds, PRICE t pass before the next; seconds before the first

static void number_put(FILE *file, const char *name, double x)
{
    if (isfinite(x))
        fprintf(file, ",\"%s\":%.15g", name, x);
    else
        fprintf(file, ",\"%s\":null", name); // JSON has no other word for it
}

static bool progress_print(const char *path, const graft_progress *p)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return false;
    fprintf(file, "{\"stage\":\"%s\",\"epoch\":%d,\"epochs\":%d,\"step\":%ld,\"steps\":%ld", p->stage, p->epoch,
            p->epochs, p->step, p->steps);
    number_put(file, "loss", p->loss);
    number_put(file, "images_per_second", p->images_per_second);
    number_put(file, "seconds_left", p->seconds_left);
    number_put(file, "accuracy", p->accuracy);
    number_put(file, "wait", p->wait);
    number_put(file, "memory", p->memory);
    fprintf(file, "}\n");
    const bool whole = ferror(file) == 0;
    return fclose(file) == 0 && whole;
}

// For `graft watch`, at most once a second.  Renamed into place, since it is read meanwhile; not flushed: it is worth
// nothing after a power cut.
static void progress_write(void *user, const graft_progress *p)
{
    struct follower *f = user;
    const double now = now_seconds();
    if (f->folder == NULL || now < f->progress_next)
        return;
    char *path = path_join(f->folder, "progress.json"), // what a kill leaves beside it is swept with the folder
         *beside = path != NULL ? mem_format("%s.tmp-%ld", path, (long)getpid()) : NULL;
    if (beside != NULL && (!progress_print(beside, p) || file_ops.rename(beside, path) != 0))
        file_ops.unlink(beside);
    mem_free(path);
    mem_free(beside);
    f->progress_next = now + 1;
}

void follower_begin(struct follower *f)
{
    *f = (struct follower){0};
    hooks_tap(progress_write, f);
}

static graft_status files_write(struct follower *f, bool ended)
{
    TRY(report_write(f->folder, NULL, train_defaults));
    if (f->tensorboard == NULL)
        TRY(tensorboard_new(f->folder, &f->tensorboard));
    return tensorboard_follow(f->tensorboard, ended);
}

void follower_grown(void *user, const char *folder, bool ended)
{
    struct follower *f = user;
    const double begin = now_seconds();
    if (f->folder == NULL) { // at the run's start, before its first epoch
        f->folder = mem_text(folder);
        f->next = begin + FIRST;
    } else if (ended || begin >= f->next) {
        const graft_status status = files_write(f, ended);
        if (status != GRAFT_OK && !f->told)
            log_warning("the report or TensorBoard's files cannot be written: %s", graft_message());
        f->told |= status != GRAFT_OK;
        f->next = now_seconds() + PRICE * (now_seconds() - begin);
    }
}

void follower_catch_up(const char *folder)
{
    struct stat events, report;
    struct follower f;
    char *events_path = path_join(folder, "events.jsonl"), *report_path = path_join(folder, "report.html");
    // clocks of files tick in milliseconds: a report of the same tick is the last
    const bool known = events_path != NULL && report_path != NULL && stat(events_path, &events) == 0;
    const bool there = known && stat(report_path, &report) == 0;
    const struct timespec *old = &report.st_mtim, *last = &events.st_mtim;
    if (known && (!there || old->tv_sec < last->tv_sec ||
                  (old->tv_sec == last->tv_sec && old->tv_nsec < last->tv_nsec))) {
        follower_begin(&f);
        follower_grown(&f, folder, false);
        follower_grown(&f, folder, true);
        follower_end(&f);
    }
    mem_free(events_path);
    mem_free(report_path);
}

void follower_end(struct follower *f)
{
    hooks_tap(NULL, NULL);
    char *path = f->folder != NULL ? path_join(f->folder, "progress.json") : NULL;
    if (path != NULL)
        remove(path);
    mem_free(path);
    mem_free(f->folder);
    tensorboard_free(f->tensorboard);
}
