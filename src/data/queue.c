// data/queue.c: batches in order, prepared by worker threads two batches ahead.
// Workers draw (slot, place) pairs from a counter.  A picture's place depends on the order alone, so any number of
// workers gives the same batches.  A slot without failures is handed out as it is; after a failure the pictures that
// follow move up, copied into a batch of their own, so that every batch but the last is full.

#include "data/data.h"
#include "base/memory.h"
#include "data/decode.h"
#include <pthread.h>
#include <string.h>

enum { AHEAD = 3 }; // slots: the one in use and two prepared

struct slot {
    float *input;
    char **error; // by place; NULL: fine
    int total, done, errors;
};
struct queue {
    const struct dataset *data;
    struct input_spec spec;
    struct augmentation how; // without `augment`: as in evaluation
    const uint32_t *order;
    size_t n, next_sample, n_slots, front; // front: the oldest slot that is not used up
    int place;                             // its next picture
    bool lent;                             // it was handed out whole
    int batch, workers;
    size_t item; // floats of a sample
    struct slot slots[AHEAD];
    float *gathered; // a batch put together from several slots; NULL until there is one
    uint32_t *gathered_index;
    struct failed_sample *failed;
    size_t n_failed, failed_capacity;
    double worked; // processor seconds of the workers
    bool stop;
    pthread_mutex_t lock;
    pthread_cond_t work, ready;
    pthread_t threads[64];
};

static void *worker(void *argument)
{
    struct queue *q = argument;
    double worked = 0;
    pthread_mutex_lock(&q->lock);
    for (;;) {
        // A sample may start once the slot AHEAD before its own is used up: they share the memory.
        while (!q->stop && (q->next_sample == q->n || q->next_sample / (size_t)q->batch >= q->front + AHEAD))
            pthread_cond_wait(&q->work, &q->lock);
        if (q->stop)
            break;
        const size_t at = q->next_sample++, place = at % (size_t)q->batch;
        struct slot *slot = &q->slots[at / (size_t)q->batch % AHEAD];
        pthread_mutex_unlock(&q->lock);
        char *error = NULL;
        const struct augmentation *how = q->how.augment != NULL ? &q->how : NULL;
        if (sample_load(q->data, q->order[at], &q->spec, how, slot->input + place * q->item) != GRAFT_OK) {
            error = mem_text(graft_message());
            if (error == NULL)
                error = (char *)"";
        }
        const double total = thread_seconds();
        pthread_mutex_lock(&q->lock);
        q->worked += total - worked;
        worked = total;
        slot->error[place] = error;
        slot->errors += error != NULL;
        if (++slot->done == slot->total)
            pthread_cond_broadcast(&q->ready);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

static int slot_total(const struct queue *q, size_t slot)
{
    const size_t begin = slot * (size_t)q->batch, left = begin < q->n ? q->n - begin : 0;
    return left < (size_t)q->batch ? (int)left : q->batch;
}

static void message_free(char *message)
{
    if (message != NULL && message[0] != '\0')
        mem_free(message);
}

static void failed_clear(struct queue *q)
{
    for (size_t i = 0; i < q->n_failed; i++)
        message_free(q->failed[i].message);
    q->n_failed = 0;
}

graft_status queue_new(const struct dataset *d, const struct input_spec *spec, const struct augmentation *how,
                       const uint32_t *order, size_t n, int batch, int workers, struct queue **out)
{
    *out = NULL;
    if (d->array_float && (d->array_c != 3 || d->array_h != spec->size || d->array_w != spec->size))
        return fail(GRAFT_BAD_FILE,
                    "'%s' is a preprocessed array of %dx%d, which nothing resizes, and the model takes %dx%d: give "
                    "arrays of that size, or pictures (uint8 arrays too), which are resized",
                    d->count > 0 ? d->samples[0].path : "the data", d->array_h, d->array_w, spec->size, spec->size);
    struct queue *q = mem_zero(1, sizeof *q);
    if (q == NULL)
        return fail_memory("the batch queue");
    q->data = d;
    q->spec = *spec;
    if (how != NULL)
        q->how = *how;
    q->order = order;
    q->n = n;
    q->batch = batch;
    q->n_slots = (n + (size_t)batch - 1) / (size_t)batch;
    q->item = d->array_float ? (size_t)d->array_c * d->array_h * d->array_w : 3 * (size_t)spec->size * spec->size;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->ready, NULL);
    for (size_t i = 0; i < AHEAD; i++) {
        struct slot *s = &q->slots[i];
        s->input = mem_aligned((size_t)batch * q->item * sizeof(float));
        s->error = mem_zero((size_t)batch, sizeof *s->error);
        if (s->input == NULL || s->error == NULL) {
            queue_free(q);
            return fail_memory("the batch queue");
        }
        s->total = slot_total(q, i);
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

// The front slot is used up: its memory serves a later one.  Under the lock.
static void front_release(struct queue *q)
{
    struct slot *s = &q->slots[q->front % AHEAD];
    s->done = s->errors = 0;
    s->total = slot_total(q, q->front + AHEAD);
    q->front++;
    q->place = 0;
    q->lent = false;
    pthread_cond_broadcast(&q->work);
}

// One picture of the front slot into the batch that is put together, or among those that failed.
static graft_status gather(struct queue *q, struct slot *s, int place, struct batch *out)
{
    const uint32_t index = q->order[q->front * (size_t)q->batch + (size_t)place];
    if (s->error[place] != NULL) {
        if (!mem_grow(&q->failed, &q->failed_capacity, q->n_failed + 1, sizeof *q->failed))
            return fail_memory("the pictures that failed");
        q->failed[q->n_failed++] = (struct failed_sample){index, s->error[place]};
        s->error[place] = NULL;
        return GRAFT_OK;
    }
    if (q->gathered == NULL)
        q->gathered = mem_aligned((size_t)q->batch * q->item * sizeof(float));
    if (q->gathered_index == NULL)
        q->gathered_index = mem_alloc((size_t)q->batch * sizeof *q->gathered_index);
    if (q->gathered == NULL || q->gathered_index == NULL)
        return fail_memory("a batch");
    memcpy(q->gathered + (size_t)out->n * q->item, s->input + (size_t)place * q->item, q->item * sizeof(float));
    q->gathered_index[out->n++] = index;
    return GRAFT_OK;
}

graft_status queue_next(struct queue *q, struct batch *out, bool *end)
{
    graft_status status = GRAFT_OK;
    *out = (struct batch){0};
    failed_clear(q);
    pthread_mutex_lock(&q->lock);
    if (q->lent)
        front_release(q);
    while (out->n < q->batch && q->front < q->n_slots) {
        struct slot *s = &q->slots[q->front % AHEAD];
        while (s->done < s->total)
            pthread_cond_wait(&q->ready, &q->lock);
        if (s->errors == 0 && q->place == 0 && out->n == 0) {
            q->lent = true;
            out->n = s->total;
            break;
        }
        for (; q->place < s->total && out->n < q->batch; q->place++)
            TRY_GOTO(gather(q, s, q->place, out));
        if (q->place == s->total)
            front_release(q);
    }
done:
    pthread_mutex_unlock(&q->lock);
    if (status != GRAFT_OK)
        return status;
    out->input = q->lent ? q->slots[q->front % AHEAD].input : q->gathered;
    out->index = q->lent ? q->order + q->front * (size_t)q->batch : q->gathered_index;
    out->failed = q->failed;
    out->n_failed = (int)q->n_failed;
    *end = out->n == 0 && out->n_failed == 0;
    return GRAFT_OK;
}

double queue_work_seconds(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    const double worked = q->worked;
    pthread_mutex_unlock(&q->lock);
    return worked;
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
        for (int k = 0; s->error != NULL && k < q->batch; k++)
            message_free(s->error[k]);
        mem_free(s->input);
        mem_free(s->error);
    }
    failed_clear(q);
    mem_free(q->failed);
    mem_free(q->gathered);
    mem_free(q->gathered_index);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->ready);
    pthread_mutex_destroy(&q->lock);
    mem_free(q);
}
