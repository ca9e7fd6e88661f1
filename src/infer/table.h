// infer/table.h: predictions in a CSV: a run's, a fold run's, `predict --csv`'s, or another program's.
#pragma once

#include "base/names.h"
#include "base/status.h"
#include "base/text.h"
#include <limits.h>

// Grammar:  header: path [label] [fold] class... [answer];  a row a picture.  The first column names the picture,
// whatever it is called; path, label and fold may come in any order, before the classes or after them, and a first
// column without a name beside one called path is pandas' row number.  A label is a class's name, or its number.
struct table {
    char *file; // for messages
    char **path;
    size_t n;
    int *label, *fold; // (n); NULL: no such column
    float *p;          // (n, classes)
    char **classes;
    int n_classes;
    struct name_index index; // of path
    size_t capacity[4];
};
// GRAFT_BAD_FILE, naming the line: not a number, outside 0..1, a row whose sum is not 1 within 0.001, a picture twice,
// an unknown label.
graft_status table_read(const char *file, struct table *out);
void table_free(struct table *t); // a zeroed one is fine
int table_find(const struct table *t, const char *path); // -1: not in it
// Writing them.  Neither ends its line: a caller may have more columns.  `label` NULL, `fold` NO_FOLD: no such column.
enum { NO_FOLD = INT_MIN }; // another program's CSV may have negative ones
void table_put_head(struct text *t, bool label, bool fold, char *const *classes, int n);
void table_put_row(struct text *t, const char *path, const char *label, int fold, const float *p, int n);
// Columns in the order of `classes`; GRAFT_BAD_FILE, naming them, where the names are others.
graft_status table_order(struct table *t, char *const *classes, int n, const char *whose);
// Fails, naming the classes that only one of two has; their order does not matter.
graft_status classes_compare(char *const *a, int n, char *const *b, int m, const char *what, const char *whose);
