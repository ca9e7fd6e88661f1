// base/csv.h: rows of comma-separated fields.
#pragma once

#include "base/file.h"

struct csv {
    const char *path;          // for messages
    int line;                  // 1-based, of the row's first line
    char **field;              // of the row
    int n;
    int lines;                 // private from here on
    size_t at;
    size_t capacity;           // of field
    struct file_map map;
    char *row;
};
graft_status csv_open(const char *path, struct csv *out);
graft_status csv_next(struct csv *c, bool *more); // the next row that is not empty; `more` false: there is none
void csv_close(struct csv *c);                    // a zeroed one is fine
// the field of the present row with one of them; -1: none
int csv_column(const struct csv *c, const char *const *names);
