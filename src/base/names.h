// base/names.h: lists of names: finding one in a long list, and the known name nearest to one that does not exist.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Where each of a list of names is, by hash.  The list is the caller's and only grows; {0} is empty.
struct name_index {
    uint32_t *slots; // place + 1; 0: free
    size_t capacity; // a power of 2
};
int name_index_find(const struct name_index *x, char *const *names, const char *name); // -1: none
// names[n] is new; the ones before it are in.  false: no memory.
bool name_index_put(struct name_index *x, char *const *names, size_t n);
void name_index_free(struct name_index *x);

const char *name_nearest(const char *name, const char *const *known, size_t n); // NULL only when n is 0
