// data/queue.c: batches in order, prepared by worker threads two batches ahead.
// Workers draw (batch, slot) pairs from a counter; a batch is published when its last slot is done.  A picture's place
// depends on the order alone, so any number of workers gives the same batches.

#include "data/data.h"
#include "base/memory.h"
#include <pthread.h>
#include <string.h>

enum { AHEAD = 3 }; // slots: the batch in use and two prepared

struct slot {
    float *input;
    uint32_t *index;
    char **error; // by position; NULL: fine
    struct failed_sample *failed;
    int total, done;
};
struct queue {
    const struct dataset *data;
    struct input_spec spec;
    const uint32_t *order;
    size_t n, next_sample, n_batches, next_batch; // next_batch: to hand out
    int batch, workers;
    size_t item; // floats of a sample
    struct slot slots[AHEAD];
    bool stop;
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    pthread_t threads[64];
};

static void *worker(void *argument)
{
    struct queue *q = argument;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        // A sample may start once its batch's slot has been handed back: the batch AHEAD before it is consumed.
        while (!q->stop && (q->next_sample == q->n ||
                            q->next_sample / (size_t)q->batch >= q->next_batch + AHEAD - (q->next_batch > 0)))
            pthread_cond_wait(&q->work, &q->lock);
        if (q->stop)
            break;
        const size_t at = q->next_sample++, batch = at / (size_t)q->batch, place = at % (size_t)q->batch;
        struct slot *slot = &q->slots[batch % AHEAD];
        pthread_mutex_unlock(&q->lock);
        char *error = NULL;
        if (sample_load(q->data, q->order[at], &q->spec, slot->input + place * q->item) != GRAFT_OK) {
            error = mem_text(graft_message());
            if (error == NULL)
                error = (char *)"";
        }
        pthread_mutex_lock(&q->lock);
        slot->error[place] = error;
        if (++slot->done == slot->total)
            pthread_cond_broadcast(&q->ready);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static int batch_total(const struct queue *q, size_t batch)
{
    const size_t left = q->n - batch * (size_t)q->batch;
    return left < (size_t)q->batch ? (int)left : q->batch;
}

static void failed_clear(struct slot *s, int n)
{
    for (int i = 0; i < n; i++)
        if (s->error != NULL && s->error[i] != NULL) {
            if (s->error[i][0] != '\0')
                mem_free(s->error[i]);
            s->error[i] = NULL;
        }
}

graft_status queue_new(const struct dataset *d, const struct input_spec *spec, const uint32_t *order, size_t n,
                       int batch, int workers, struct queue **out)
{
    struct queue *q = mem_zero(1, sizeof *q);
    *out = NULL;
    if (q == NULL)
        return fail_memory("the batch queue");
    q->data = d;
    q->spec = *spec;
    q->order = order;
    q->n = n;
    q->batch = batch;
    q->n_batches = (n + (size_t)batch - 1) / (size_t)batch;
    q->item = d->array_float ? (size_t)d->array_c * d->array_h * d->array_w : 3 * (size_t)spec->size * spec->size;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->ready, NULL);
    for (size_t i = 0; i < AHEAD; i++) {
        struct slot *s = &q->slots[i];
        s->input = mem_aligned((size_t)batch * q->item * sizeof(float));
        s->index = mem_alloc((size_t)batch * sizeof *s->index);
        s->error = mem_zero((size_t)batch, sizeof *s->error);
        s->failed = mem_alloc((size_t)batch * sizeof *s->failed);
        if (s->input == NULL || s->index == NULL || s->error == NULL || s->failed == NULL) {
            queue_free(q);
            return fail_memory("the batch queue");
        }
        if (i < q->n_batches)
            s->total = batch_total(q, i);
    }
    workers = workers < 1 ? 1 : workers > 64 ? 64 : workers;
    for (; q->workers < workers; q->workers++)
        if (pthread_create(&q->threads[q->workers], NULL, worker, q) != 0) {
            queue_free(q);
            return fail(GRAFT_NO_RESOURCE, "cannot start a loader thread");
        }
    *out = q;
    return GRAFT_OK;
}

graft_status queue_next(struct queue *q, struct batch *out, bool *end)
{
    *out = (struct batch){0};
    pthread_mutex_lock(&q->lock);
    if (q->next_batch > 0) { // the batch in use comes back: its slot serves a later one
        struct slot *old = &q->slots[(q->next_batch - 1) % AHEAD];
        failed_clear(old, q->batch);
        old->done = 0;
        old->total = q->next_batch - 1 + AHEAD < q->n_batches ? batch_total(q, q->next_batch - 1 + AHEAD) : 0;
    }
    *end = q->next_batch >= q->n_batches;
    if (*end) {
        pthread_mutex_unlock(&q->lock);
        return GRAFT_OK;
    }
    const size_t batch = q->next_batch++;
    pthread_cond_broadcast(&q->work);
    struct slot *s = &q->slots[batch % AHEAD];
    while (s->done < s->total)
        pthread_cond_wait(&q->ready, &q->lock);
    pthread_mutex_unlock(&q->lock);
    for (int i = 0; i < s->total; i++) {
        const uint32_t index = q->order[batch * (size_t)q->batch + (size_t)i];
        if (s->error[i] != NULL) {
            s->failed[out->n_failed++] = (struct failed_sample){index, s->error[i]};
            continue;
        }
        if (out->n != i)
            memmove(s->input + (size_t)out->n * q->item, s->input + (size_t)i * q->item, q->item * sizeof(float));
        s->index[out->n++] = index;
    }
    out->input = s->input;
    out->index = s->index;
    out->failed = s->failed;
    return GRAFT_OK;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->lock);
    for (int i = 0; i < q->workers; i++)
        pthread_join(q->threads[i], NULL);
    for (size_t i = 0; i < AHEAD; i++) {
        struct slot *s = &q->slots[i];
        failed_clear(s, q->batch);
        mem_free(s->input);
        mem_free(s->index);
        mem_free(s->error);
        mem_free(s->failed);
    }
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->ready);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}
