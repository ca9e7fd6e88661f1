// base/fixture.h: what the tests of the base share: a scratch folder, and calls that fail in turn.
#pragma once

#include "base/file.h" // before cmocka.h, which has a macro fail()
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>

#include <cmocka.h>

extern char folder[256]; // the scratch folder, removed again
int folder_setup(void **state);
int folder_empty(void **state);
int folder_teardown(void **state);
int entries(bool remove); // in it
bytes text_bytes(const char *text);
void check_message(const char *part); // the last failure's holds it
void check_file(const char *path, const char *text);
// The call number `fail_at` fails, counted over a whole table; -1: none.
extern long fail_at, call_number;
bool fails(void);
