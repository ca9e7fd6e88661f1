// data/test_cache.c: the cache of decoded pictures beside decoding them, batches from any number of workers with all
// that can change them, and the pixel loops of this processor beside plain C.

#include "data/fixture.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/encode.h"
#include "data/picture_cache.h"
#include "data/pixels.h"
#include "data/sources.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 48, ITEM = 3 * SIDE * SIDE, FILES = 6 };
static const struct input_spec specs[] = {
    {SIDE, 56, RESIZE_CROP, FILTER_BILINEAR, {120, 110, 100}, {.5f, .5f, .5f}, true},
    {SIDE, SIDE, RESIZE_SQUASH, FILTER_BICUBIC, {0}, {1, 1, 1}, false},
    {SIDE, SIDE, RESIZE_PAD, FILTER_BILINEAR, {9, 9, 9}, {1, 1, 1}, false}};

// Photographs as JPEG and PNG, wide and high, larger and (one) smaller than the network's input.
static struct dataset pictures(void)
{
    static const struct { const char *name; int w, h;
    } made[FILES] = {{"a.jpg", 300, 200}, {"b.jpg", 130, 260}, {"c.png", 90, 70},
                     {"d.png", 30, 40},   {"e.jpg", 48, 48},   {"f.png", 61, 20}};
    struct dataset d = {0};
    struct picture p, small;
    assert_int_equal(picture_read(golden("augment/chelsea.png"), false, &p), GRAFT_OK);
    for (int i = 0; i < FILES; i++) {
        bytes file;
        assert_int_equal(picture_resize(&p, made[i].w, made[i].h, FILTER_BICUBIC, &small), GRAFT_OK);
        const bool jpeg = strstr(made[i].name, ".jpg") != NULL;
        assert_int_equal(jpeg ? picture_to_jpeg(&small, 90, &file) : picture_to_png(&small, &file), GRAFT_OK);
        assert_int_equal(sample_add(&d, put(made[i].name, file.ptr, file.size), i % 2, PART_TRAIN, NULL), GRAFT_OK);
        mem_free((void *)file.ptr);
        picture_free(&small);
    }
    picture_free(&p);
    return d;
}

static struct augment parsed(const char *text)
{
    struct augment a;
    if (augment_parse(text, &a) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return a;
}

static void load(const struct dataset *d, size_t i, const struct input_spec *spec, const struct augmentation *how,
                 float *out)
{
    if (sample_load(d, i, spec, how, out) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

static void cache_use(struct dataset *d, const char *folder, uint64_t most, const char *augment)
{
    const struct augment a = parsed(augment);
    picture_cache_close(d->cache);
    assert_int_equal(picture_cache_open(folder, most, augment_zoom(&a), d->count, &d->cache), GRAFT_OK);
}

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (int i = 0; i < ITEM; i++)
        sum += fabs(a[i] - b[i]);
    return sum / ITEM;
}

// What the network sees is the same to the bit where nothing zooms in, the first time, from the cache, from a cache
// that is too small, and by another process's.
static void same_bits(void **state)
{
    (void)state;
    static const char *const changes[] = {"none", "flip=h,rotate=10,shift=0.1",
                                          "color=0.3,blur,rotate=30,border=reflect"};
    static float expected[ITEM], got[ITEM];
    const char *const store = folder("same");
    struct dataset d = pictures();
    for (size_t s = 0; s < COUNT_OF(specs); s++)
        for (size_t k = 0; k < COUNT_OF(changes); k++)
            for (int where = 0; where < 4; where++) { // memory, a folder, the folder opened again, next to no memory
                const struct augment a = parsed(changes[k]);
                cache_use(&d, where == 1 || where == 2 ? store : NULL, where == 3 ? 10000 : 1 << 30, changes[k]);
                struct picture_cache *cache = d.cache;
                for (uint64_t epoch = 1; epoch < 4; epoch++)
                    for (size_t i = 0; i < d.count; i++) {
                        const struct augmentation how = {&a, 5, epoch};
                        for (int plain = 0; plain < 2; plain++) {
                            d.cache = NULL;
                            load(&d, i, &specs[s], plain ? NULL : &how, expected);
                            d.cache = cache;
                            load(&d, i, &specs[s], plain ? NULL : &how, got);
                            if (memcmp(expected, got, sizeof got) != 0)
                                fail_msg("spec %zu, '%s', cache %d: picture %zu differs", s, changes[k], where, i);
                        }
                    }
            }
    dataset_free(&d);
}

// Zoomed in, it is nearly the same: magnified from twice the size.
static void zooms(void **state)
{
    (void)state;
    static float expected[ITEM], got[ITEM];
    struct dataset d = pictures();
    const struct augment a = parsed("crop=0.3-1,scale=0.8-1.2,flip=h");
    cache_use(&d, NULL, 0, "crop=0.3-1,scale=0.8-1.2,flip=h");
    struct picture_cache *cache = d.cache;
    for (uint64_t epoch = 1; epoch < 6; epoch++)
        for (size_t i = 0; i < d.count; i++) {
            const struct augmentation how = {&a, 5, epoch};
            d.cache = NULL;
            load(&d, i, &specs[1], &how, expected);
            d.cache = cache;
            load(&d, i, &specs[1], &how, got);
            assert_true(distance(expected, got) < 3); // of 255, on a photograph with fur; 20 when the crop is another
            load(&d, i, &specs[1], NULL, got); // and whole pictures stay exact
            d.cache = NULL;
            load(&d, i, &specs[1], NULL, expected);
            d.cache = cache;
            assert_memory_equal(expected, got, sizeof got);
        }
    dataset_free(&d);
}

static void spoil(const char *folder) // a byte in the middle of every blob
{
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (path_has_suffix(e->d_name, ".blob")) {
            FILE *file = fopen(text("%s/%s", folder, e->d_name), "r+b");
            fseek(file, 500, SEEK_SET);
            const int c = fgetc(file);
            fseek(file, 500, SEEK_SET);
            fputc(c ^ 1, file);
            fclose(file);
        }
    closedir(dir);
}

// Another file of that name, a file that is gone, a damaged cache, one of other options: never the wrong picture.
static void changes_seen(void **state)
{
    (void)state;
    static float expected[ITEM], other[ITEM], got[ITEM];
    for (int disk = 0; disk < 2; disk++) {
        struct dataset d = pictures();
        const char *const store = folder(disk ? "seen" : "unused");
        cache_use(&d, disk ? store : NULL, 0, "none");
        load(&d, 2, &specs[1], NULL, other);
        load(&d, 0, &specs[1], NULL, expected);
        spoil(store);
        load(&d, 0, &specs[1], NULL, got);
        assert_memory_equal(expected, got, sizeof got);
        copy_to("augment/coffee.png", "a.jpg");
        load(&d, 0, &specs[1], NULL, got);
        assert_true(distance(expected, got) > 5);
        load(&d, 0, &specs[1], NULL, expected); // from the cache, or decoded again
        assert_memory_equal(expected, got, sizeof got);
        unlink(d.samples[0].path);
        assert_int_equal(sample_load(&d, 0, &specs[1], NULL, got), GRAFT_BAD_FILE);
        put("a.jpg", "no picture", 10);
        assert_int_equal(sample_load(&d, 0, &specs[1], NULL, got), GRAFT_BAD_FILE);
        assert_non_null(strstr(graft_message(), "a.jpg"));
        load(&d, 2, &specs[1], NULL, got);
        assert_memory_equal(other, got, sizeof got);
        if (disk) { // by other options it is another picture
            load(&d, 2, &specs[0], NULL, got);
            assert_true(distance(other, got) > 5);
        }
        dataset_free(&d);
    }
}

// All batches of an epoch and their targets.
static void epoch_run(const struct dataset *d, const struct augmentation *how, const uint32_t *order, size_t n,
                      size_t from, int workers, float *inputs, float *targets)
{
    enum { BATCH = 4 };
    struct queue *q;
    size_t at = from;
    assert_int_equal(queue_new(d, &specs[0], how, order + from, n - from, BATCH, workers, &q), GRAFT_OK);
    for (bool end = false; !end;) {
        struct batch b;
        assert_int_equal(queue_next(q, &b, &end), GRAFT_OK);
        if (end)
            break;
        batch_targets(d, 2, 0.1, &b, targets + 2 * at);
        batch_mix(how, SIDE, 2, &b, targets + 2 * at);
        memcpy(inputs + at * ITEM, b.input, (size_t)b.n * ITEM * sizeof *inputs);
        at += (size_t)b.n;
    }
    assert_int_equal(at, n);
    queue_free(q);
}

// Seed and epoch decide, whatever the number of workers, wherever the queue opens, shrunk while decoding or from a
// cache.
static void any_workers(void **state)
{
    (void)state;
    enum { N = 22 };
    static float inputs[2][N * ITEM], targets[2][2 * N];
    static const char *const what = "crop=0.3-1,rotate=15,shift=0.1,color=0.3,randaugment,erase=0.5,mixup=0.4,cutmix";
    static const struct { int workers; size_t from; } runs[] = {{2, 0}, {7, 0}, {1, 4}, {7, 12}, {2, 20}};
    const char *const store = folder("workers");
    struct dataset d = pictures();
    const struct augment a = parsed(what);
    uint32_t order[N];
    for (uint32_t i = 0; i < N; i++)
        order[i] = i * 5 % FILES;
    for (int mode = 0; mode < 4; mode++) { // exact, shrunk, memory, folder
        d.shrink = mode == 1 ? 2 : 0;
        if (mode > 1)
            cache_use(&d, mode == 3 ? store : NULL, 0, what);
        for (uint64_t epoch = 1; epoch < 3; epoch++) {
            const struct augmentation how = {&a, 11, epoch};
            epoch_run(&d, &how, order, N, 0, 1, inputs[0], targets[0]);
            for (size_t k = 0; k < COUNT_OF(runs); k++) {
                const size_t from = runs[k].from;
                epoch_run(&d, &how, order, N, from, runs[k].workers, inputs[1], targets[1]);
                assert_memory_equal(inputs[0] + from * ITEM, inputs[1] + from * ITEM,
                                    (N - from) * ITEM * sizeof(float));
                assert_memory_equal(targets[0] + 2 * from, targets[1] + 2 * from, (N - from) * 2 * sizeof(float));
            }
        }
        const struct augmentation next = {&a, 11, 3}, seed = {&a, 12, 2};
        epoch_run(&d, &next, order, N, 0, 2, inputs[1], targets[1]); // another epoch, another seed: other pictures
        assert_true(memcmp(inputs[0], inputs[1], sizeof inputs[0]) != 0);
        epoch_run(&d, &seed, order, N, 0, 2, inputs[1], targets[1]);
        assert_true(memcmp(inputs[0], inputs[1], sizeof inputs[0]) != 0);
    }
    dataset_free(&d);
}

static uint32_t draw(uint64_t n) { return (uint32_t)(rng_hash(RNG_TEST, n, 0, 0) >> 32); }

// Of every length, on any bytes.
static void kernels_compare(const struct pixel_kernels *fast, const struct pixel_kernels *plain)
{
    enum { MOST = 70, ROWS = 5, MANY = 67, PLACE = 4 * MOST * 4 };
    static uint8_t source[ROWS][PLACE], a[PLACE], b[PLACE];
    static int32_t weights[MOST][12];
    static uint64_t arranged[2][(MOST + WEIGHT_PIXELS) * 3 * WEIGHT_BYTES / sizeof(uint64_t)];
    uint64_t seed = 0;
    for (int r = 0; r < ROWS; r++)
        for (size_t i = 0; i < sizeof source[0]; i++)
            source[r][i] = draw(seed++) % 4 == 0 ? 255 * (draw(seed) & 1) : (uint8_t)draw(seed);
    for (int n = 1; n < MOST; n++) {
        const float mean[3] = {1.5f, 120.25f, 99}, scale[3] = {.017f, 1, 3.1f};
        static float x[3][MOST], y[3][MOST];
        float *const xs[3] = {x[0], x[1], x[2]}, *const ys[3] = {y[0], y[1], y[2]};
        uint8_t *exact = mem_alloc((size_t)n * 3); // of that size: the sanitizer sees a read past the end
        memcpy(exact, source[0], (size_t)n * 3);
        fast->normalise(exact, (size_t)n, mean, scale, xs);
        plain->normalise(exact, (size_t)n, mean, scale, ys);
        for (int c = 0; c < 3; c++)
            assert_memory_equal(x[c], y[c], (size_t)n * sizeof(float));
        fast->widen(exact, n, a);
        plain->widen(exact, n, b);
        assert_memory_equal(a, b, (size_t)n * 4);
        mem_free(exact);

        int first[MOST + WEIGHT_PIXELS] = {0}, count[MOST];
        const int quads = 1 + n % 3;
        for (int i = 0; i < n; i++) {
            first[i] = (int)(draw(seed++) % MOST);
            count[i] = 4 * quads - (int)(draw(seed++) % 4);
            for (int k = 0; k < count[i]; k++) // sums of up to 1.2, as bicubic has them
                weights[i][k] = (int32_t)(draw(seed++) % (1 << 20)) - (1 << 18);
        }
        if (n % 8 == 1) // a pixel as it is: the largest weight
            memcpy(weights[0], (const int32_t[12]){1 << RESIZE_BITS}, sizeof weights[0]);
        memset(arranged, 0, sizeof arranged);
        fast->arrange(weights[0], 12, count, n, quads, arranged[0]);
        plain->arrange(weights[0], 12, count, n, quads, arranged[1]);
        fast->across(source[1], first, arranged[0], quads, n, a);
        plain->across(source[1], first, arranged[1], quads, n, b);
        for (int i = 0; i < n; i++)
            assert_memory_equal(a + 4 * i, b + 4 * i, 3);

        const uint8_t *rows[MANY];
        int32_t down[MANY];
        const int height = n % 10 == 0 ? MANY : 1 + n % ROWS;
        for (int r = 0; r < height; r++) {
            rows[r] = source[r % ROWS];
            down[r] = ((int32_t)(draw(seed++) % (1 << 21)) - (1 << 18)) / (height / ROWS + 1);
        }
        fast->down(rows, down, height, n, a);
        plain->down(rows, down, height, n, b);
        assert_memory_equal(a, b, (size_t)n * 3);

        // From one place inside to another.
        enum { W = 20, H = 17, ONE = 1 << WARP_POSITION };
        const int64_t from_x = draw(seed++) % ((W - 1) * ONE), from_y = draw(seed++) % ((H - 1) * ONE);
        const int64_t to_x = draw(seed++) % ((W - 1) * ONE), to_y = draw(seed++) % ((H - 1) * ONE);
        const struct warp_span span = {source[0], W, H, from_x, from_y, (to_x - from_x) / n, (to_y - from_y) / n, n};
        fast->warp(&span, a);
        plain->warp(&span, b);
        assert_memory_equal(a, b, (size_t)n * 3);
    }
}

// This processor's loops and plain C.
static void kernels_agree(void **state)
{
    int n = 0;
    (void)state;
    while (pixels_set(n + 1) != NULL)
        n++;
    for (int i = 0; i < n; i++)
        kernels_compare(pixels_set(i), pixels_set(n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits), cmocka_unit_test(zooms),
                                       cmocka_unit_test(changes_seen), cmocka_unit_test(any_workers),
                                       cmocka_unit_test(kernels_agree)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
