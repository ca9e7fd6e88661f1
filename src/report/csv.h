// report/csv.h: the rows of a CSV as the run folder has them (RFC 4180: quotes, doubled quotes, newlines in quotes).
#pragma once

#include "base/bytes.h"

struct csv {
    char *text, *at; // a heap copy, cut into fields in place
};
graft_status csv_open(const char *path, struct csv *out); // *out zeroed and GRAFT_OK when there is no such file
void csv_close(struct csv *c);
// The next row: its first `most` fields, and how many it has (0: the end).  Borrowed until csv_close.
size_t csv_row(struct csv *c, char **field, size_t most);
size_t csv_count(const struct csv *c); // fields of the next row, without taking it
