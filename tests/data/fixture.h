// data/fixture.h: what the tests of data share: golden pictures, a scratch folder, comparing.
#pragma once

#include "data/data.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern char scratch[64]; // a folder of this run
extern const struct input_spec crop_spec; // to 16 pixels out of 19
int scratch_make(void **state);
int scratch_remove(void **state);
const char *text(const char *format, ...) __attribute__((format(printf, 1, 2))); // one of 4 buffers
const char *golden(const char *name);                                            // a path in golden/
const char *put(const char *name, const void *data, size_t size);                // a file in the scratch folder
const char *folder(const char *name); // a folder in it; the text lasts for the run
void copy_to(const char *golden_name, const char *path);
struct file_map map_of(const char *golden_name);
struct picture ppm_read(const char *golden_name); // P6, as Pillow writes it
void same(const struct picture *a, const struct picture *b, int tolerance, const char *what);
