// base/log.h: the current run's hooks, per process: log lines, progress, results, cancelling.
#pragma once

#include "base/status.h"
#include <stdbool.h>

void hooks_set(const graft_hooks *hooks); // graft_run sets them for its duration; NULL removes them
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void hooks_progress(const graft_progress *progress);
void hooks_result(const char *json);
bool hooks_cancelled(void);
bool hooks_confirm(const char *question); // false where nobody can be asked
// Sees every progress besides the caller's hook; NULL ends it.
void hooks_tap(void (*tap)(void *user, const graft_progress *progress), void *user);
double now_seconds(void); // monotonic
double now_date(void);    // since 1970
