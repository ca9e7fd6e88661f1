// base/names.c: the name that shares most letters, in order, with what was typed.

#include "base/names.h"
#include <string.h>

static size_t shared(const char *a, const char *b) // letters of `a` found in order in `b`
{
    size_t n = 0;
    for (; *a != '\0' && *b != '\0'; b++)
        if (*a == *b) {
            a++;
            n++;
        }
    return n;
}

const char *name_nearest(const char *name, const char *const *known, size_t n)
{
    const char *best = NULL;
    double best_score = -1;
    for (size_t i = 0; i < n; i++) {
        const double both = (double)(shared(name, known[i]) + shared(known[i], name));
        const double score = both / (double)(strlen(name) + strlen(known[i]));
        if (score > best_score) {
            best_score = score;
            best = known[i];
        }
    }
    return best;
}
