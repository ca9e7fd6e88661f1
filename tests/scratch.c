// tests/scratch.c: see scratch.h.

#include "scratch.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char entered[PATH_MAX];

int temporary_make(char *folder, size_t size)
{
    const char *base = getenv("TMPDIR");
    const int length = snprintf(folder, size, "%s/graft-test-XXXXXX", base != NULL ? base : "/tmp");
    return length > 0 && (size_t)length < size && mkdtemp(folder) != NULL ? 0 : -1;
}

int temporary_remove(const char *folder)
{
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

int scratch_enter(void **state)
{
    (void)state;
    return temporary_make(entered, sizeof entered) == 0 && chdir(entered) == 0 ? 0 : -1;
}

int scratch_leave(void **state)
{
    (void)state;
    return chdir("/") == 0 ? temporary_remove(entered) : -1;
}
