// data/overlap.h: pictures that two lists have in common, by file or by content.
#pragma once

#include "data/data.h"

struct listed { // samples of a data set
    const struct dataset *data;
    const uint32_t *index;
    size_t n;
};
struct common {
    uint32_t a, b; // samples
    bool file;     // the same file; else another one of the same bytes
};
// Of each picture of `a` the first of `b` that is the same; *out: heap.  Files are read only where two are of one size.
// Elements of arrays, and files that are not there, are the same as nothing.
graft_status overlap_find(struct listed a, struct listed b, struct common **out, size_t *n);
// The first of them in words for a message: "a, b = the same picture under another name, ...".
struct overlap_names {
    size_t n;
    char text[1200];
};
void overlap_name(struct overlap_names *names, const struct common *one, const struct dataset *a,
                  const struct dataset *b);
