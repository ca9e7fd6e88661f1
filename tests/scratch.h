// tests/scratch.h: scratch folders of this process, below $TMPDIR or /tmp.
#pragma once

#include <stddef.h>

int temporary_make(char *folder, size_t size); // a new one; its path goes into `folder`
int temporary_remove(const char *folder);      // with all that is in it
// For a group of tests: a new one becomes the working folder; its end.
int scratch_enter(void **state);
int scratch_leave(void **state);
