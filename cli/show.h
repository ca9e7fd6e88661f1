// cli/show.h: results for people.
#pragma once

#include <stddef.h>

// Prints one result of `command`, a JSON object, to stdout as text.
void show_result(const char *command, const char *json);

// plot.c.  n points with x growing; x is the logarithm of what the axis says; `mark`: an x to point at, NAN: none.
void plot_curve(const double *x, const double *y, size_t n, double mark);

// For the files that do it.
struct json_t;
enum { MANY_CLASSES = 100 }; // a longer table is for --json
const char *text_of(const struct json_t *o, const char *key);
double number_of(const struct json_t *o, const char *key);
void show_data(const struct json_t *o);
