// data/overlap.c: see data/overlap.h.

#include "data/overlap.h"
#include "base/hash.h"
#include "base/memory.h"
#include "data/archive.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct known {
    uint64_t size, device, node; // node: 0: a member of an archive
    uint64_t hash;
    uint32_t index;
    bool hashed, readable;
};

static bool describe(const struct dataset *d, uint32_t index, struct known *k)
{
    const struct sample *s = &d->samples[index];
    struct stat st;
    *k = (struct known){.index = index};
    if (s->data != NULL)
        return false;
    if (s->member != NULL) {
        k->size = s->member->size;
        return true;
    }
    if (stat(s->path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    k->size = (uint64_t)st.st_size;
    k->device = (uint64_t)st.st_dev;
    k->node = (uint64_t)st.st_ino;
    return true;
}

static int by_size(const void *left, const void *right)
{
    const struct known *a = left, *b = right;
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool content(const struct dataset *d, struct known *k)
{
    struct file_map map;
    if (k->hashed)
        return k->readable;
    k->hashed = true;
    k->readable = sample_open(d, k->index, &map) == GRAFT_OK; // a broken picture is another's concern
    if (k->readable) {
        k->hash = hash_of(map.data);
        file_map_close(&map);
    }
    return k->readable;
}

// The first of the known ones of its size, by file, else by content; NULL: none.
static const struct known *same_as(const struct listed *a, const struct listed *b, struct known *one,
                                   struct known *known, size_t n)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (known[middle].size < one->size)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i < n && known[i].size == one->size; i++)
        if (one->node != 0 && known[i].node == one->node && known[i].device == one->device)
            return &known[i];
    for (size_t i = low; i < n && known[i].size == one->size; i++)
        if (content(a->data, one) && content(b->data, &known[i]) && known[i].hash == one->hash)
            return &known[i];
    return NULL;
}

graft_status overlap_find(struct listed a, struct listed b, struct common **out, size_t *n)
{
    struct known *known = mem_alloc((b.n + 1) * sizeof *known);
    size_t n_known = 0;
    *n = 0;
    *out = mem_alloc((a.n + 1) * sizeof **out);
    if (known == NULL || *out == NULL) {
        mem_free(known);
        mem_free(*out);
        *out = NULL;
        return fail_memory("the pictures in common");
    }
    for (size_t i = 0; i < b.n; i++)
        n_known += describe(b.data, b.index[i], &known[n_known]);
    qsort(known, n_known, sizeof *known, by_size);
    for (size_t i = 0; i < a.n; i++) {
        struct known one;
        if (!describe(a.data, a.index[i], &one))
            continue;
        const struct known *same = same_as(&a, &b, &one, known, n_known);
        if (same != NULL)
            (*out)[(*n)++] = (struct common){a.index[i], same->index, one.node != 0 && same->node == one.node &&
                                                                          same->device == one.device};
    }
    mem_free(known);
    return GRAFT_OK;
}

void overlap_name(struct overlap_names *names, const struct common *one, const struct dataset *a,
                  const struct dataset *b)
{
    enum { NAMED = 5 };
    const size_t used = strlen(names->text);
    if (names->n < NAMED)
        snprintf(names->text + used, sizeof names->text - used, "%s%.100s%s%.100s", names->n > 0 ? ", " : "",
                 a->samples[one->a].path, one->file ? "" : " = ", one->file ? "" : b->samples[one->b].path);
    else if (names->n == NAMED)
        snprintf(names->text + used, sizeof names->text - used, ", ...");
    names->n++;
}
