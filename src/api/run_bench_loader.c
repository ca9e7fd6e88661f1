// api/run_bench_loader.c: `graft bench loader`: pictures a second that the batch queue delivers, and what they cost.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include <string.h>
#include <sys/resource.h>

static double processor_seconds(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

// All pictures once, as an epoch of training would see them.
static graft_status pass(const struct dataset *d, const struct input_spec *spec, const struct augment *a, long epoch,
                         int batch, int workers, const uint32_t *order, size_t n)
{
    const struct augmentation how = {a, 0, (uint64_t)epoch, false};
    struct queue *queue = NULL;
    graft_status status = GRAFT_OK;
    bool end = false;
    TRY(queue_new(d, spec, &how, order, n, batch, workers, &queue));
    while (!end) {
        struct batch b;
        TRY_GOTO(queue_next(queue, &b, &end));
        if (b.n_failed > 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s", b.failed[0].message));
        if (hooks_cancelled())
            TRY_GOTO(fail(GRAFT_CANCELLED, "stopped"));
    }
done:
    queue_free(queue);
    return status;
}

enum { CACHED_PASS = 2000 };

graft_status run_bench_loader(const graft_options *o)
{
    long batch, passes, imgsz, workers;
    int decode, resize = RESIZE_SQUASH;
    struct augment augment;
    struct dataset d = {0};
    uint32_t *order = NULL;
    const char **paths = NULL;
    int n_paths;
    size_t n;
    double best = 0, processor = 0;
    graft_status status = GRAFT_OK;
    TRY(option_long(o, "batch", 1, 4096, &batch));
    TRY(option_long(o, "steps", 1, 100000, &passes));
    TRY(option_long(o, "imgsz", 0, 4096, &imgsz));
    TRY(option_long(o, "workers", 1, 64, &workers));
    TRY(option_choice(o, "decode", decode_rules, &decode));
    if (option_text(o, "resize") != NULL)
        TRY(option_choice(o, "resize", resize_rules, &resize));
    TRY(augment_parse(option_text(o, "augment"), &augment));
    if (option_text(o, "data") == NULL)
        return fail(GRAFT_BAD_OPTION, "which pictures? graft bench loader -d DATA");
    const int size = imgsz > 0 ? (int)imgsz : 224;
    const struct input_spec spec = {
        .size = size, .resize = size, .rule = (enum resize_rule)resize, .mean = {127, 127, 127},
        .scale = {1 / 128.f, 1 / 128.f, 1 / 128.f}};
    TRY(option_texts(o, "data", &paths, &n_paths));
    TRY_GOTO(inputs_open(paths, (size_t)n_paths, &d));
    d.shrink = decode;
    TRY_GOTO(cache_option(o, &augment, &d));
    // out of a cache a pass over few pictures is over before it can be measured
    n = d.cache != NULL && d.count < CACHED_PASS ? (CACHED_PASS + d.count - 1) / d.count * d.count : d.count;
    order = mem_alloc(n * sizeof *order);
    if (order == NULL)
        TRY_GOTO(fail_memory("the order of the pictures"));
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)(i % d.count);
    for (long i = 0; i <= passes; i++) { // the first one warms up: files into memory, pictures into the cache
        const double begin = now_seconds(), begin_processor = processor_seconds();
        TRY_GOTO(pass(&d, &spec, &augment, i + 1, (int)batch, (int)workers, order, n));
        const double rate = (double)n / (now_seconds() - begin);
        const double cost = (processor_seconds() - begin_processor) / (double)n;
        if (i > 0 && rate > best)
            best = rate;
        if (i > 0 && (processor == 0 || cost < processor))
            processor = cost;
    }
    result_take(json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:f}", "loader", option_text(o, "data"), "decode",
                          option_text(o, "decode"), "cache", option_text(o, "cache"), "pictures", (json_int_t)d.count,
                          "size", size, "workers", (int)workers, "img_s", best, "ms", processor * 1e3, "rss_mb",
                          (double)mem_resident_peak() / 1048576.0));
done:
    mem_free(order);
    mem_free(paths);
    dataset_free(&d);
    return status;
}
