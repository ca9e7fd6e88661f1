// infer/confident.c: see infer/confident.h.

#include "infer/confident.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/pseudo.h"
#include "infer/metrics.h"
#include <stdlib.h>
#include <string.h>

struct candidate {
    float p;
    int label;
    size_t place; // in `order`
    bool taken;
};

static int by_class_and_probability(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    if (a->p != b->p)
        return a->p > b->p ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int by_place(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return a->place < b->place ? -1 : a->place > b->place;
}

graft_status confident_choose(const struct scores *s, const uint32_t *order, size_t n, const struct confidence *how,
                              uint32_t *chosen, size_t *n_chosen, size_t *count)
{
    struct candidate *all = mem_alloc((n + 1) * sizeof *all);
    size_t found = 0;
    *n_chosen = 0;
    if (all == NULL)
        return fail_memory("the predictions to trust");
    memset(count, 0, (size_t)s->classes * sizeof *count);
    for (size_t i = 0; i < n; i++) {
        const float *p = s->p + order[i] * (size_t)s->classes;
        const int label = best_class(p, s->classes);
        if (s->error[order[i]] == NULL && p[label] >= how->threshold)
            all[found++] = (struct candidate){p[label], label, i, false};
    }
    qsort(all, found, sizeof *all, by_class_and_probability);
    for (size_t i = 0; i < found; i++) {
        all[i].taken = how->top == 0 || count[all[i].label] < (size_t)how->top;
        count[all[i].label] += all[i].taken;
    }
    qsort(all, found, sizeof *all, by_place);
    for (size_t i = 0; i < found; i++)
        if (all[i].taken)
            chosen[(*n_chosen)++] = order[all[i].place];
    mem_free(all);
    return GRAFT_OK;
}

// ---- the file

void confident_header(struct text *t, const struct dataset *d, char *const *classes, int n, bool fold, bool soft)
{
    text_put(t, PSEUDO_HEADER "%s%s", fold ? ",fold" : "", d->n_groups > 0 ? ",group" : "");
    for (int c = 0; soft && c < n; c++) {
        text_put(t, ",");
        text_put_field(t, classes[c]);
    }
    text_put(t, "\n");
}

graft_status confident_rows(struct text *t, const struct dataset *d, const struct scores *s, char *const *classes,
                            const uint32_t *chosen, size_t n, int fold, bool soft, const char *folder)
{
    graft_status status = GRAFT_OK;
    for (size_t i = 0; status == GRAFT_OK && i < n; i++) {
        const struct sample *sample = &d->samples[chosen[i]];
        const float *p = s->p + chosen[i] * (size_t)s->classes;
        char *path;
        if ((status = path_listed(sample->path, folder, &path)) != GRAFT_OK)
            break;
        text_put_field(t, path);
        mem_free(path);
        text_put(t, ",");
        text_put_field(t, classes[best_class(p, s->classes)]);
        if (fold >= 0)
            text_put(t, ",%d", fold);
        if (d->n_groups > 0) {
            text_put(t, ",");
            text_put_field(t, sample->group > 0 ? d->groups[sample->group - 1] : "");
        }
        for (int c = 0; soft && c < s->classes; c++)
            text_put(t, ",%.9g", (double)p[c]);
        text_put(t, "\n");
    }
    return status == GRAFT_OK ? text_status(t) : status;
}
