// tests/scratch.c: see scratch.h.

#include "scratch.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[PATH_MAX];

int scratch_enter(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/graft-test-XXXXXX", base != NULL ? base : "/tmp");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

int scratch_leave(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}
