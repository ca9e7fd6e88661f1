// base/status.c: the per-thread message of the last failure, and the end of the program for a bug of ours.

#include "base/status.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char message[2048];

const char *graft_message(void) { return message; }

graft_status fail(graft_status status, const char *format, ...)
{
    char text[sizeof message]; // the arguments may point into the present message
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    line_of(text, message, sizeof message);
    return status;
}

graft_status fail_prefix(graft_status status, const char *format, ...)
{
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof text)
        used = snprintf(text + used, sizeof text - (size_t)used, ": %s", message); // cut when too long
    ASSERT(used >= 0);
    line_of(text, message, sizeof message);
    return status;
}

graft_status fail_memory(const char *what) { return fail(GRAFT_NO_RESOURCE, "no memory left for %s", what); }

void bug(const char *file, int line, const char *text)
{
    fprintf(stderr, "graft: internal error at %s:%d: %s\n", file, line, text);
    abort();
}
