// data/exam.c: every picture of a data set decoded once, on several threads.

#include "data/exam.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/decode.h"
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

struct examiner {
    const struct dataset *data;
    struct exam *exams;
    size_t next, done;
    bool stop;
    char *failed; // memory or the system ran out, which is not the pictures' fault
    pthread_mutex_t lock;
    pthread_cond_t progress;
};

static void look_at(const struct picture *p, struct exam *e)
{
    uint64_t sum[3] = {0}, squares[3] = {0};
    const size_t n = (size_t)p->w * p->h;
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++) {
            const uint64_t v = p->rgb[3 * i + c];
            sum[c] += v;
            squares[c] += v * v;
        }
    for (int c = 0; c < 3; c++) {
        const double mean = (double)sum[c] / (double)n;
        e->mean[c] = (float)mean;
        e->deviation[c] = (float)sqrt(fmax(0, (double)squares[c] / (double)n - mean * mean));
    }
    e->w = p->w;
    e->h = p->h;
    e->traits = p->traits;
    e->format = p->format;
}

static graft_status examine_file(const struct dataset *d, size_t index, struct exam *e)
{
    struct file_map map;
    struct picture p;
    TRY(sample_open(d, index, &map));
    e->bytes = map.data.size;
    e->content = hash_of(map.data);
    const graft_status status = picture_decode(map.data, d->samples[index].path, &p);
    file_map_close(&map);
    TRY(status);
    look_at(&p, e);
    fingerprint_take(&p, &e->print);
    picture_free(&p);
    return GRAFT_OK;
}

static graft_status examine_array(const struct dataset *d, size_t index, struct exam *e)
{
    struct picture p;
    e->bytes = (uint64_t)d->array_c * d->array_h * d->array_w * (d->array_float ? sizeof(float) : 1);
    e->content = hash_of((bytes){d->samples[index].data, e->bytes});
    e->w = d->array_w;
    e->h = d->array_h;
    if (d->array_float)
        return GRAFT_OK;
    TRY(sample_picture(d, index, &p));
    look_at(&p, e);
    e->traits = d->array_c == 1 ? TRAIT_GREY : 0;
    picture_free(&p);
    return GRAFT_OK;
}

static void *worker(void *argument)
{
    struct examiner *x = argument;
    pthread_mutex_lock(&x->lock);
    while (!x->stop && x->next < x->data->count) {
        const size_t index = x->next++;
        struct exam *e = &x->exams[index];
        pthread_mutex_unlock(&x->lock);
        const bool file = x->data->samples[index].data == NULL;
        const graft_status status = file ? examine_file(x->data, index, e) : examine_array(x->data, index, e);
        char *text = status != GRAFT_OK ? mem_text(graft_message()) : NULL;
        pthread_mutex_lock(&x->lock);
        if (status == GRAFT_BAD_FILE && text != NULL)
            e->error = text;
        else if (status != GRAFT_OK) {
            x->stop = true;
            mem_free(x->failed);
            x->failed = text;
        }
        x->done++;
        pthread_cond_signal(&x->progress);
    }
    pthread_mutex_unlock(&x->lock);
    return NULL;
}

// On the caller's thread, which is the one that may call hooks, a few times a second.
static graft_status watch(struct examiner *x)
{
    const size_t n = x->data->count;
    const double begin = now_seconds();
    graft_status status = GRAFT_OK;
    pthread_mutex_lock(&x->lock);
    while (x->done < n && !x->stop && status == GRAFT_OK) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until); // nobody sets that one
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (x->done < n && !x->stop && pthread_cond_timedwait(&x->progress, &x->lock, &until) == 0)
            ;
        const size_t done = x->done;
        pthread_mutex_unlock(&x->lock);
        const double spent = now_seconds() - begin, rate = spent > 0 ? (double)done / spent : 0;
        hooks_progress(&(graft_progress){.stage = "read",
                                         .step = (long)done,
                                         .steps = (long)n,
                                         .images_per_second = rate,
                                         .seconds_left = rate > 0 ? (double)(n - done) / rate : -1});
        if (hooks_cancelled())
            status = fail(GRAFT_CANCELLED, "stopped after %zu of %zu pictures", done, n);
        pthread_mutex_lock(&x->lock);
    }
    x->stop = true;
    pthread_mutex_unlock(&x->lock);
    return status;
}

graft_status exams_make(const struct dataset *d, int workers, struct exam **out)
{
    struct examiner x = {.data = d, .exams = mem_zero(d->count + 1, sizeof *x.exams)};
    pthread_t threads[64];
    int started = 0;
    *out = NULL;
    if (x.exams == NULL)
        return fail_memory("what is found out about the pictures");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&x.lock, NULL);
    pthread_cond_init(&x.progress, &monotonic);
    pthread_condattr_destroy(&monotonic);
    workers = workers < 1 ? 1 : workers > 64 ? 64 : workers;
    while (started < workers && pthread_create(&threads[started], NULL, worker, &x) == 0)
        started++;
    graft_status status =
        started > 0 ? watch(&x) : fail(GRAFT_NO_RESOURCE, "cannot start a thread that reads pictures");
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&x.progress);
    pthread_mutex_destroy(&x.lock);
    if (status == GRAFT_OK && x.done < d->count)
        status = x.failed != NULL ? fail(GRAFT_NO_RESOURCE, "%s", x.failed) : fail_memory("the pictures");
    mem_free(x.failed);
    if (status != GRAFT_OK)
        exams_free(x.exams, d->count);
    else
        *out = x.exams;
    return status;
}

void exams_free(struct exam *exams, size_t n)
{
    for (size_t i = 0; exams != NULL && i < n; i++)
        mem_free(exams[i].error);
    mem_free(exams);
}
