// infer/confident.h: the predictions to trust, and the file of pseudo-labels made of them (data/pseudo.h: its grammar).
#pragma once

#include "base/text.h"
#include "infer/scores.h"

struct confidence {
    double threshold; // of the likeliest class's probability
    long top;         // of every class, those with the largest; 0: all
    bool soft;        // the file has the probabilities
};
// Of the pictures in `order` that could be read, those that are chosen, in that order; the likeliest class is the
// label, and of equals the first.  chosen: (n); count: (classes), by label.
graft_status confident_choose(const struct scores *s, const uint32_t *order, size_t n, const struct confidence *how,
                              uint32_t *chosen, size_t *n_chosen, size_t *count);
// The header, and rows; `fold` -1: there is no such column.  `folder`: of the file, to which paths below it are
// relative; others are absolute.
void confident_header(struct text *t, const struct dataset *d, char *const *classes, int n, bool fold, bool soft);
graft_status confident_rows(struct text *t, const struct dataset *d, const struct scores *s, char *const *classes,
                            const uint32_t *chosen, size_t n, int fold, bool soft, const char *folder);
