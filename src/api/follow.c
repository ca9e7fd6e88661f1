// api/follow.c: the report and TensorBoard's files follow a run's epochs at no more than 1 % of its time; the last ones
// are always made.  None of it is a failure of the run.

#include "api/follow.h"
#include "api/run.h"
#include "base/file.h"
#include "base/memory.h"
#include "report/report.h"
#include "report/tensorboard.h"
#include <stdio.h>
#include <sys/stat.h>

enum { PRICE = 100, FIRST = 60 }; // after work of t seconds, PRICE t pass before the next; seconds before the first

// For `graft watch`, at most once a second.  Not flushed: it is worth nothing after a power cut.
static void progress_write(void *user, const graft_progress *p)
{
    struct follower *f = user;
    const double now = now_seconds();
    char *path = f->folder != NULL && now >= f->progress_next ? path_join(f->folder, "progress.json") : NULL;
    FILE *file = path != NULL ? fopen(path, "we") : NULL;
    if (file != NULL) {
        fprintf(file,
                "{\"stage\":\"%s\",\"epoch\":%d,\"epochs\":%d,\"step\":%ld,\"steps\":%ld,\"loss\":%.6g,"
                "\"images_per_second\":%.2f,\"seconds_left\":%.0f,"
                "\"accuracy\":%.6g,\"wait\":%.4g,\"memory\":%.0f}\n",
                p->stage, p->epoch, p->epochs, p->step, p->steps, p->loss, p->images_per_second, p->seconds_left,
                p->accuracy, p->wait, p->memory);
        fclose(file);
        f->progress_next = now + 1;
    }
    mem_free(path);
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
