// tests/report/folder.h: what the tests of reports share: run folders written by hand, and a look at the HTML.
#pragma once

#include "base/file.h" // before cmocka.h, which has a macro fail()
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

int folder_setup(void **state);    // a new working folder
int folder_teardown(void **state); // removes it
void file_put_text(const char *path, const char *text);
char *file_text(const char *path); // heap; fails the test when it cannot be read
// A run of two epochs over three classes, ten validation pictures of which seven are right.
void run_make(const char *folder);
// Fails the test unless every element is closed in its order, every attribute quoted, every id there once, every
// aria-labelledby and href="#..." leads to one, every picture has an alt, and nothing points outside the file.
void html_check(const char *html);
