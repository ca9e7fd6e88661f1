// train/twins.c: near duplicates across the split, found from what the first whole epoch has loaded.

#include "train/twins.h"
#include "base/csv.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/names.h"
#include "base/text.h"
#include "data/fingerprint.h"
#include <stdlib.h>

enum { SHOWN = 5 };

static graft_status pairs_write(const char *folder, const struct dataset *d, const struct twins *pairs, size_t n)
{
    struct text t = {0};
    char *path = path_join(folder, "near_duplicates.csv");
    text_put(&t, "held_out,trained\n");
    for (size_t i = 0; i < n; i++) {
        text_put_field(&t, d->samples[pairs[i].held_out].path);
        text_put(&t, ",");
        text_put_field(&t, d->samples[pairs[i].trained].path);
        text_put(&t, "\n");
    }
    const graft_status status = text_write(&t, path);
    mem_free(path);
    return status;
}

static int by_held_out(const void *left, const void *right)
{
    const struct twins *a = left, *b = right;
    return a->held_out < b->held_out ? -1 : a->held_out > b->held_out;
}

static bool learnt(enum part p) { return p == PART_TRAIN || p == PART_PSEUDO; }
static bool held(enum part p) { return p == PART_VAL || p == PART_TEST; }

// The pairs that the run had found before, where both pictures are still there and in their parts: this process may not
// have loaded them.  `mine`: by sample: held out and in *pairs.
static graft_status pairs_read(struct csv *c, const struct dataset *d, bool *mine, struct twins **pairs, size_t *n)
{
    struct name_index index = {0};
    char **names = mem_alloc((d->count + 1) * sizeof *names);
    size_t capacity = *n;
    bool more;
    graft_status status = names != NULL ? GRAFT_OK : fail_memory("the pairs of pictures");
    for (size_t i = 0; i < d->count && status == GRAFT_OK; i++) {
        names[i] = d->samples[i].path;
        if (name_index_find(&index, names, names[i]) < 0 && !name_index_put(&index, names, i))
            status = fail_memory("the pairs of pictures");
    }
    for (size_t i = 0; i < *n && status == GRAFT_OK; i++)
        mine[(*pairs)[i].held_out] = true;
    while (status == GRAFT_OK) {
        status = csv_next(c, &more);
        if (status != GRAFT_OK || !more)
            break;
        const int a = c->n == 2 ? name_index_find(&index, names, c->field[0]) : -1,
                  b = a >= 0 ? name_index_find(&index, names, c->field[1]) : -1;
        if (b < 0 || !held(d->samples[a].part) || !learnt(d->samples[b].part) || mine[a])
            continue;
        if (mem_grow(pairs, &capacity, *n + 1, sizeof **pairs)) {
            (*pairs)[(*n)++] = (struct twins){(uint32_t)a, (uint32_t)b};
            mine[a] = true;
        } else
            status = fail_memory("the pairs of pictures");
    }
    name_index_free(&index);
    mem_free(names);
    return status;
}

static graft_status pairs_join(const char *folder, const struct dataset *d, struct twins **pairs, size_t *n)
{
    struct csv c = {0};
    char *path = path_join(folder, "near_duplicates.csv");
    bool *mine = mem_zero(d->count + 1, sizeof *mine);
    graft_status status = path != NULL && mine != NULL ? GRAFT_OK : fail_memory("the pairs of pictures");
    if (status == GRAFT_OK && file_exists(path)) {
        status = csv_open(path, &c);
        if (status == GRAFT_OK)
            status = pairs_read(&c, d, mine, pairs, n);
        csv_close(&c);
    }
    if (status == GRAFT_BAD_FILE) { // a broken list is no reason to lose the run
        log_warning("%s; only what was found since is in it now", graft_message());
        status = GRAFT_OK;
    }
    if (status == GRAFT_OK && *n > 0)
        qsort(*pairs, *n, sizeof **pairs, by_held_out);
    mem_free(path);
    mem_free(mine);
    return status;
}

graft_status twins_report(const struct run_folder *f, const struct dataset *d, bool goes_on)
{
    struct twins *pairs = NULL;
    size_t n;
    graft_status status = GRAFT_OK;
    TRY(twins_find(d, &pairs, &n));
    if (goes_on && f->save)
        TRY_GOTO(pairs_join(f->path, d, &pairs, &n));
    if (n > 0)
        log_warning("%zu of the pictures held out look like one to train on, so their figures are too good%s%s%s:", n,
                    f->save ? " (all pairs: " : "", f->save ? f->path : "", f->save ? "/near_duplicates.csv)" : "");
    for (size_t i = 0; i < n && i < SHOWN; i++)
        log_warning("  %s  looks like  %s", d->samples[pairs[i].held_out].path, d->samples[pairs[i].trained].path);
    if (n > 0 && f->save)
        status = pairs_write(f->path, d, pairs, n);
done:
    mem_free(pairs);
    return status;
}
