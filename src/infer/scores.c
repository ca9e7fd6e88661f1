// infer/scores.c: a model over many pictures, each in all its views.

#include "infer/scores.h"
#include "base/memory.h"
#include <string.h>

graft_status scores_init(struct scores *s, size_t n, int classes)
{
    *s = (struct scores){.n = n, .classes = classes};
    s->p = mem_zero(n * (size_t)classes + 1, sizeof *s->p);
    s->error = mem_zero(n + 1, sizeof *s->error);
    if (s->p != NULL && s->error != NULL)
        return GRAFT_OK;
    scores_fini(s);
    return fail_memory("predictions");
}

void scores_fini(struct scores *s)
{
    for (size_t i = 0; s->error != NULL && i < s->n; i++)
        mem_free(s->error[i]);
    mem_free(s->error);
    mem_free(s->p);
    *s = (struct scores){0};
}

struct taking {
    struct scores *scores;
    struct blend blend; // of the views; sum NULL: there is one
};

static graft_status take(void *user, uint32_t index, const struct prediction *p, const char *error)
{
    struct taking *t = user;
    struct scores *s = t->scores;
    if (p == NULL && s->error[index] == NULL) {
        s->error[index] = mem_text(error);
        s->bad++;
        return s->error[index] != NULL ? GRAFT_OK : fail_memory("a message");
    }
    if (p != NULL && t->blend.sum != NULL)
        blend_add(&t->blend, index, p->probabilities, 1);
    else if (p != NULL)
        memcpy(s->p + index * (size_t)s->classes, p->probabilities, (size_t)s->classes * sizeof *s->p);
    return GRAFT_OK;
}

graft_status scores_make(struct model *m, const struct dataset *d, const uint32_t *order, size_t n,
                         const struct scoring *how, struct scores *out)
{
    const struct tta one = {.views = 1}, *tta = how->tta != NULL ? how->tta : &one;
    const int batch = (size_t)how->batch < n ? how->batch : n > 0 ? (int)n : 1;
    const struct plan_options options = {.batch = batch, .mode = PLAN_INFER, .exact = how->exact, .bf16 = how->bf16};
    struct taking t = {.scores = out};
    struct arena *arena = NULL;
    struct plan *plan = NULL;
    graft_status status = GRAFT_OK;
    TRY(scores_init(out, d->count, m->n_classes));
    if (tta->views > 1)
        TRY_GOTO(blend_init(&t.blend, tta->mean, d->count, m->n_classes));
    TRY_GOTO(arena_new(&arena));
    TRY_GOTO(plan_build(&m->graph, &m->params, arena, &options, &plan));
    TRY_GOTO(arena_reserve(arena));
    for (int view = 0; view < tta->views; view++) {
        const struct augmentation how_changed = {.augment = &tta->augment, .epoch = (uint64_t)view, .alike = true};
        TRY_GOTO(
            predict_changed(m, plan, d, order, n, view > 0 ? &how_changed : NULL, how->workers, how->stage, take, &t));
    }
    for (size_t i = 0; i < n && t.blend.sum != NULL; i++)
        if (out->error[order[i]] == NULL)
            blend_end(&t.blend, order[i], tta->views, out->p + order[i] * (size_t)out->classes);
done:
    blend_fini(&t.blend);
    plan_free(plan);
    arena_free(arena);
    if (status != GRAFT_OK)
        scores_fini(out);
    return status;
}
