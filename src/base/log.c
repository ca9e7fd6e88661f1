// base/log.c: the hooks of the run that is under way.  One run at a time per process.

#include "base/log.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static graft_hooks hooks;
static struct {
    void (*tap)(void *user, const graft_progress *progress);
    void *user;
} tap;

void hooks_set(const graft_hooks *given) { hooks = given != NULL ? *given : (graft_hooks){0}; }

static void log_text(graft_level level, const char *format, va_list args)
{
    char text[4096], line[sizeof text];
    vsnprintf(text, sizeof text, format, args);
    line_of(text, line, sizeof line);
    if (hooks.log != NULL)
        hooks.log(hooks.user, level, line);
}

void log_info(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_text(GRAFT_INFO, format, args);
    va_end(args);
}

void log_warning(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_text(GRAFT_WARNING, format, args);
    va_end(args);
}

void hooks_progress(const graft_progress *progress)
{
    if (hooks.progress != NULL)
        hooks.progress(hooks.user, progress);
    if (tap.tap != NULL)
        tap.tap(tap.user, progress);
}

void hooks_tap(void (*taken)(void *user, const graft_progress *progress), void *user)
{
    tap.tap = taken;
    tap.user = user;
}

bool hooks_confirm(const char *question) { return hooks.confirm != NULL && hooks.confirm(hooks.user, question); }

void hooks_result(const char *json)
{
    if (hooks.result != NULL)
        hooks.result(hooks.user, json);
}

bool hooks_cancelled(void) { return hooks.cancelled != NULL && hooks.cancelled(hooks.user); }

double now_date(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
