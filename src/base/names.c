// base/names.c: an open-addressed index of names; the name that shares most letters, in order, with what was typed.

#include "base/names.h"
#include "base/hash.h"
#include "base/memory.h"
#include <string.h>

static size_t slot_of(const struct name_index *x, char *const *names, const char *name)
{
    size_t at = hash_of((bytes){(const uint8_t *)name, strlen(name)}) & (x->capacity - 1);
    while (x->slots[at] != 0 && strcmp(names[x->slots[at] - 1], name) != 0)
        at = (at + 1) & (x->capacity - 1);
    return at;
}

int name_index_find(const struct name_index *x, char *const *names, const char *name)
{
    return x->capacity == 0 ? -1 : (int)x->slots[slot_of(x, names, name)] - 1;
}

bool name_index_put(struct name_index *x, char *const *names, size_t n)
{
    if (2 * (n + 1) > x->capacity) { // at most half full
        struct name_index grown = {.capacity = x->capacity == 0 ? 64 : 2 * x->capacity};
        grown.slots = mem_zero(grown.capacity, sizeof *grown.slots);
        if (grown.slots == NULL)
            return false;
        for (size_t i = 0; i < n; i++)
            grown.slots[slot_of(&grown, names, names[i])] = (uint32_t)i + 1;
        mem_free(x->slots);
        *x = grown;
    }
    x->slots[slot_of(x, names, names[n])] = (uint32_t)n + 1;
    return true;
}

void name_index_free(struct name_index *x)
{
    mem_free(x->slots);
    *x = (struct name_index){0};
}

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
