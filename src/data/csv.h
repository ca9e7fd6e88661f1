// data/csv.h: private to data/: rows of comma-separated fields.
#pragma once

#include "data/data.h"

enum { CSV_FIELDS = 64 };
struct csv {
    const char *path;          // for messages
    int line;                  // 1-based, of the row's first line
    char *field[CSV_FIELDS];   // of the row; more are left out
    int n;
    int lines;                 // private from here on
    size_t at;
    struct file_map map;
    char *row;
};
graft_status csv_open(const char *path, struct csv *out);
graft_status csv_next(struct csv *c, bool *more); // the next row that is not empty; `more` false: there is none
void csv_close(struct csv *c);                    // a zeroed one is fine
int csv_column(const struct csv *c, const char *const *names); // the field of the present row with one of them; -1: none
graft_status part_of(const struct csv *c, const char *text, enum part *part); // of a column "split"
