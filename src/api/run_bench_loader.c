// api/run_bench_loader.c: `graft bench loader`: pictures a second that the batch queue delivers, and what they cost.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include <math.h>
#include <sys/resource.h>

static double processor_seconds(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

// What passes over the pictures took: the best of each.
struct taken {
    double rate, processor; // pictures a second; seconds of the processor a picture
};

// `passes` times n pictures after as many that warm up (files into memory, pictures into the cache, batches' memory),
// as an epoch of training would see them.
static graft_status measure(const struct dataset *d, const struct input_spec *spec, const struct augment *a,
                            long passes, int batch, int workers, const uint32_t *order, size_t n, struct taken *out)
{
    const struct augmentation how = {a, 0, 1, false};
    struct queue *queue = NULL;
    graft_status status = GRAFT_OK;
    size_t seen = 0, from = 0, pass = 0;
    double begin = 0, begin_processor = 0;
    bool end = false;
    *out = (struct taken){0};
    TRY(queue_new(d, spec, &how, order, n * ((size_t)passes + 1), batch, workers, &queue));
    while (!end) {
        struct batch b;
        TRY_GOTO(queue_next(queue, &b, &end));
        if (b.n_failed > 0)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "%s", b.failed[0].message));
        seen += (size_t)b.n;
        if (seen >= n * (pass + 1)) {
            const double now = now_seconds(), processor = processor_seconds(), pictures = (double)(seen - from);
            if (pass++ > 0) {
                out->rate = fmax(out->rate, pictures / (now - begin));
                out->processor = fmin(out->processor > 0 ? out->processor : INFINITY,
                                      (processor - begin_processor) / pictures);
            }
            from = seen;
            begin = now;
            begin_processor = processor;
        }
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
    struct taken taken;
    graft_status status = GRAFT_OK;
    TRY(options_go_with(o, o, NULL));
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
    const size_t places = n * ((size_t)passes + 1);
    order = mem_alloc(places * sizeof *order);
    if (order == NULL)
        TRY_GOTO(fail_memory("the order of the pictures"));
    for (size_t i = 0; i < places; i++)
        order[i] = (uint32_t)(i % d.count);
    TRY_GOTO(measure(&d, &spec, &augment, passes, (int)batch, (int)workers, order, n, &taken));
    result_take(json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:f, s:f, s:f}", "loader", option_text(o, "data"), "decode",
                          option_text(o, "decode"), "cache", option_text(o, "cache"), "pictures", (json_int_t)d.count,
                          "size", size, "workers", (int)workers, "img_s", taken.rate, "ms", taken.processor * 1e3,
                          "rss_mb", (double)mem_resident_peak() / 1048576.0));
done:
    mem_free(order);
    mem_free(paths);
    dataset_free(&d);
    return status;
}
