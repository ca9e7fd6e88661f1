// tests/scratch.h: a scratch folder of this process for a group of tests.
#pragma once

int scratch_enter(void **state); // a new folder below $TMPDIR or /tmp becomes the working folder
int scratch_leave(void **state); // removes it with all that is in it
