// base/status.h: statuses, the per-thread message of the last failure, assertions for bugs.
// A file, a user or a network gives a status and a message; a bug of ours is an always-on assertion.
#pragma once

#include "graft.h"

// Sets this thread's message and returns `status`.  Messages say what, where, expected, found, what to do.
graft_status fail(graft_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts "prefix: " before the present message (to add the file's name on the way up); returns `status`.
graft_status fail_prefix(graft_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
graft_status fail_memory(const char *what);

// Returns from the caller when `expr` fails.  Only where nothing needs releasing.
#define TRY(expr)                                                                                                      \
    do {                                                                                                               \
        graft_status try_status = (expr);                                                                              \
        if (try_status != GRAFT_OK)                                                                                    \
            return try_status;                                                                                         \
    } while (0)

// Goes to `done` with `status` set when `expr` fails.  Where something needs releasing.
#define TRY_GOTO(expr)                                                                                                 \
    do {                                                                                                               \
        status = (expr);                                                                                               \
        if (status != GRAFT_OK)                                                                                        \
            goto done;                                                                                                 \
    } while (0)

_Noreturn void bug(const char *file, int line, const char *text);
#define ASSERT(condition) ((condition) ? (void)0 : bug(__FILE__, __LINE__, #condition))

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
