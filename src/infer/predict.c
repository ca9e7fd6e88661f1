// infer/predict.c: batches from the queue through a prediction plan.

#include "infer/predict.h"
#include "base/log.h"
#include "base/memory.h"
#include <string.h>

struct prediction prediction_at(const struct model *m, const struct plan *plan, const float *probabilities, int row)
{
    const size_t at = (size_t)row * m->n_classes;
    struct prediction p = {.probabilities = probabilities + at, .logits = plan_logits(plan) + at};
    for (int k = 0; k < m->graph.n_outputs; k++)
        if (plan_output(plan, k) != NULL)
            p.output[k] = plan_output(plan, k) + at;
    return p;
}

const float *batch_filled(const struct batch *b, int batch, size_t item, float *padded)
{
    if (b->n >= batch)
        return b->input;
    memcpy(padded, b->input, (size_t)b->n * item * sizeof *padded);
    for (int i = b->n; i < batch; i++)
        memcpy(padded + (size_t)i * item, b->input + (size_t)(b->n - 1) * item, item * sizeof *padded);
    return padded;
}

graft_status predict_samples(const struct model *m, struct plan *plan, const struct dataset *d, const uint32_t *order,
                             size_t n, int workers, const char *stage, predicted take, void *user)
{
    return predict_changed(m, plan, d, order, n, NULL, workers, stage, take, user);
}

graft_status predict_changed(const struct model *m, struct plan *plan, const struct dataset *d, const uint32_t *order,
                             size_t n, const struct augmentation *how, int workers, const char *stage, predicted take,
                             void *user)
{
    const int batch = plan_batch(plan), classes = m->n_classes;
    const struct value *in = &m->graph.values[0];
    const size_t item = (size_t)in->c * in->h * in->w;
    struct queue *queue;
    float *probabilities = mem_alloc((size_t)batch * classes * sizeof *probabilities);
    float *padded = mem_aligned((size_t)batch * item * sizeof *padded);
    graft_status status = GRAFT_OK;
    if (probabilities == NULL || padded == NULL) {
        mem_free(probabilities);
        mem_free(padded);
        return fail_memory("predictions");
    }
    status = queue_new(d, &m->input, how, order, n, batch, workers, &queue);
    if (status != GRAFT_OK)
        goto done;
    const double begin = now_seconds();
    size_t seen = 0;
    for (;;) {
        struct batch b;
        bool end;
        TRY_GOTO(queue_next(queue, &b, &end));
        if (end)
            break;
        for (int i = 0; i < b.n_failed; i++)
            TRY_GOTO(take(user, b.failed[i].index, NULL, b.failed[i].message));
        if (b.n > 0) {
            TRY_GOTO(plan_run(plan, &(struct run){.input = batch_filled(&b, batch, item, padded)}, NULL));
            plan_probabilities(plan, probabilities);
            for (int i = 0; i < b.n; i++) {
                const struct prediction p = prediction_at(m, plan, probabilities, i);
                TRY_GOTO(take(user, b.index[i], &p, NULL));
            }
        }
        seen += (size_t)(b.n + b.n_failed);
        const double spent = now_seconds() - begin;
        hooks_progress(&(graft_progress){.stage = stage, .step = (long)seen, .steps = (long)n,
                                         .images_per_second = spent > 0 ? (double)seen / spent : 0,
                                         .seconds_left = spent / (double)seen * (double)(n - seen)});
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped after %zu of %zu pictures", seen, n));
    }
done:
    queue_free(queue);
    mem_free(probabilities);
    mem_free(padded);
    return status;
}
