// data/test_augment.c: augmentation: its text, its operations against torchvision, its draws, mixup and cutmix.
// In: golden/data/augment/, made by tools/ref/make_augment.py: real pictures, and what torchvision makes of them.

#include "data/fixture.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/colour.h"
#include "data/resize.h"
#include "data/warp.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct augment parsed(const char *text)
{
    struct augment a;
    if (augment_parse(text, &a) != GRAFT_OK)
        fail_msg("%s: %s", text, graft_message());
    return a;
}

static void texts(void **state)
{
    (void)state;
    static const char *const same[] = {"none",
                                       "flip=h",
                                       "flip=v",
                                       "flip=hv",
                                       "flip=h,rotate=10,shift=0.1,scale=0.8-1.2,shear=5,crop=0.6-1,border=reflect,"
                                       "color=0.2,hue=0.1,grey=0.1,blur=0.5:2,"
                                       "erase=0.1,randaugment=2:9,mixup=0.2,cutmix=1",
                                       "trivial"};
    char out[512];
    for (size_t i = 0; i < COUNT_OF(same); i++) {
        const struct augment a = parsed(same[i]);
        augment_text(&a, out, sizeof out);
        assert_string_equal(out, same[i]);
    }
    static const struct { const char *in, *out; } others[] = {{"", "none"},
                  {"flip", "flip=h"},
                  {"crop=0.5", "crop=0.5-0.5"},
                  {"blur,randaugment", "blur=0.5:2,randaugment=2:9"},
                  {"blur=1", "blur=1:2"},
                  {"rotate=5,rotate=7", "rotate=7"},
                  {"statefarm", "rotate=10,shift=0.1"},
                  {"strong,none,flip", "flip=h"},
                  {"light,shift=0.2", "flip=h,rotate=5,shift=0.2,scale=0.95-1.05"}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct augment a = parsed(others[i].in);
        augment_text(&a, out, sizeof out);
        assert_string_equal(out, others[i].out);
    }
    assert_false(augment_any(&(struct augment){0}));
    static const struct { const char *text, *says; } bad[] = {
        {"rotat=3", "did you mean 'rotate'"}, {"statfarm", "did you mean 'statefarm'"}, {"rotate", "rotate: degrees"},
        {"rotate=", "rotate=: degrees"}, {"rotate=x", "rotate=x: degrees"}, {"rotate=-3", "degrees from 0 to 180"},
        {"rotate=181", "degrees"}, {"rotate=nan", "degrees"}, {"rotate=1e999", "degrees"}, {"rotate=3:4", "degrees"},
        {"rotate= 3", "degrees"}, {"scale=1.2-0.8", "two factors"}, {"scale=0.8-", "two factors"},
        {"scale=0.8-1.2-3", "two factors"}, {"scale=0.8:1.2", "two factors"}, {"crop=0-1", "parts of the area"},
        {"flip=x", "one of h v hv"}, {"flip=", "one of h v hv"}, {"border", "one of mean black edge reflect"},
        {"trivial=3", "no value"}, {"randaugment=2:31", "randaugment=2:9"}, {"randaugment=1.5", "operations"},
        {"trivial,randaugment", "exclude each other"}, {"mixup=0", "alpha"}, {"flip=h,,rotate=3", "no part ''"},
        {"=3", "no part ''"}, {"standard=1", "no part 'standard'"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "no part"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct augment a;
        assert_int_equal(augment_parse(bad[i].text, &a), GRAFT_BAD_OPTION);
        if (strstr(graft_message(), bad[i].says) == NULL)
            fail_msg("'%s': '%s' does not say '%s'", bad[i].text, graft_message(), bad[i].says);
    }
}

static struct picture golden_picture(const char *name)
{
    struct picture p;
    if (picture_read(golden(text("augment/%s", name)), false, &p) != GRAFT_OK)
        fail_msg("%s", graft_message());
    p.rgb = mem_resize(p.rgb, (size_t)p.w * p.h * 3 + PIXEL_SLACK, 1); // as warp wants it
    return p;
}

static struct picture copy_of(const struct picture *p)
{
    struct picture copy = {mem_alloc((size_t)p->w * p->h * 3 + PIXEL_SLACK), p->w, p->h};
    memcpy(copy.rgb, p->rgb, (size_t)p->w * p->h * 3);
    return copy;
}

// The script's list, in its order.
static const struct {
    const char *name;
    struct change change; // scale 0: a colour
    bool corner;          // about the corner, not the middle
    enum border border;
    enum colour colour;
    double value;
} operations[] = {
    {"rotated", {.degrees = 10, .scale = 1}, .border = BORDER_BLACK},
    {"all geometry", {-33, 5, -3, 1.3, 7, 0}, .border = BORDER_BLACK},
    {"made smaller", {.scale = 0.7, .shear_y = 12}, .border = BORDER_BLACK},
    {"sheared at the corner", {.scale = 1, .shear_x = 16.7}, .corner = true, .border = BORDER_BLACK},
    {"edge", {.degrees = 10, .right = 9, .down = 4, .scale = 1}, .border = BORDER_EDGE},
    {"reflected", {.degrees = 25, .right = -11, .down = 6, .scale = 1}, .border = BORDER_REFLECT},
    {"brighter", .colour = COLOUR_BRIGHTNESS, .value = 1.37},
    {"darker", .colour = COLOUR_BRIGHTNESS, .value = 0.2},
    {"more contrast", .colour = COLOUR_CONTRAST, .value = 1.9},
    {"less contrast", .colour = COLOUR_CONTRAST, .value = 0.4},
    {"more saturation", .colour = COLOUR_SATURATION, .value = 1.8},
    {"less saturation", .colour = COLOUR_SATURATION, .value = 0.3},
    {"sharper", .colour = COLOUR_SHARPNESS, .value = 1.9},
    {"softer", .colour = COLOUR_SHARPNESS, .value = 0.1},
    {"hue", .colour = COLOUR_HUE, .value = 0.13},
    {"hue back", .colour = COLOUR_HUE, .value = -0.4},
    {"grey", .colour = COLOUR_GREY},
    {"little blur", .colour = COLOUR_BLUR, .value = 0.6},
    {"blur", .colour = COLOUR_BLUR, .value = 1.6},
    {"posterize", .colour = COLOUR_POSTERIZE, .value = 3},
    {"solarize", .colour = COLOUR_SOLARIZE, .value = 110},
    {"autocontrast", .colour = COLOUR_AUTOCONTRAST},
    {"equalize", .colour = COLOUR_EQUALIZE}};

// Within 1 of 255: torchvision's sums are in float32, ours in fixed point or another order.
static void operations_like_torchvision(void **state)
{
    static const char *const names[] = {"coffee", "chelsea"};
    static const uint8_t black[3];
    (void)state;
    for (size_t n = 0; n < COUNT_OF(names); n++) {
        struct picture p = golden_picture(text("%s.png", names[n])),
                       all = golden_picture(text("%s.results.png", names[n]));
        assert_int_equal(all.h, p.h * (int)COUNT_OF(operations));
        for (size_t i = 0; i < COUNT_OF(operations); i++) {
            const bool geometry = operations[i].change.scale != 0, corner = operations[i].corner;
            struct picture expected = {all.rgb + i * (size_t)p.w * p.h * 3, p.w, p.h}, got = copy_of(&p);
            if (geometry)
                warp(&p, affine_of(operations[i].change, corner ? 0 : p.w / 2.0, corner ? 0 : p.h / 2.0),
                     operations[i].border, black, &got);
            else
                assert_int_equal(colour_apply(&got, operations[i].colour, operations[i].value), GRAFT_OK);
            same(&got, &expected, 1, text("%s, %s", names[n], operations[i].name));
            assert_true(memcmp(got.rgb, p.rgb, (size_t)p.w * p.h * 3) != 0);
            picture_free(&got);
        }
        picture_free(&p);
        picture_free(&all);
    }
}

static const struct input_spec square = {32, 32, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
static const struct input_spec cropped = {32, 36, RESIZE_CROP, FILTER_BICUBIC, {120, 110, 100}, {.5f, .5f, .5f}, true};
enum { ITEM = 3 * 32 * 32 };

static void augment_one(const struct picture *p, const struct input_spec *spec, const char *what, uint64_t seed,
                        uint64_t epoch, uint64_t sample, float *out)
{
    const struct augment a = parsed(what);
    const struct augmentation how = {&a, seed, epoch};
    if (picture_augment(p, spec, &how, sample, out) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

// A draw depends on seed, epoch, sample, and its own part alone.
static void draws(void **state)
{
    (void)state;
    struct picture p = golden_picture("coffee.png");
    float plain[ITEM], got[ITEM], other[ITEM];
    assert_int_equal(picture_prepare(&p, &cropped, plain), GRAFT_OK);
    augment_one(&p, &cropped, "rotate=0,scale=1-1", 1, 1, 1, got); // nothing to change: the very picture of evaluation
    assert_memory_equal(got, plain, sizeof got);
    augment_one(&p, &cropped, "rotate=0,shift=0,scale=1,shear=0,color=0,hue=0", 1, 1, 1, got);
    for (int i = 0; i < ITEM; i++)
        assert_float_equal(got[i], plain[i], 0.51f); // through saturation 1 and back from hue: within 1 of 255
    augment_one(&p, &cropped, "standard", 1, 2, 3, got);
    augment_one(&p, &cropped, "standard", 1, 2, 3, other);
    assert_memory_equal(got, other, sizeof got);
    static const uint64_t keys[][3] = {{2, 2, 3}, {1, 3, 3}, {1, 2, 4}};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        augment_one(&p, &cropped, "standard", keys[i][0], keys[i][1], keys[i][2], other);
        assert_true(memcmp(got, other, sizeof got) != 0);
    }
    // A flip is the mirror image of what the same key gives without it, or the same; both happen.
    int flipped = 0;
    for (uint64_t sample = 0; sample < 400; sample++) {
        augment_one(&p, &square, "crop=0.3-0.8,color=0.5", 5, 1, sample, other);
        augment_one(&p, &square, "crop=0.3-0.8,color=0.5,flip=h", 5, 1, sample, got);
        const bool here = memcmp(got, other, sizeof got) != 0;
        flipped += here;
        for (int i = 0; i < ITEM; i++)
            assert_true(got[i] == (here ? other[i / 32 * 32 + 31 - i % 32] : other[i]));
    }
    assert_in_range(flipped, 160, 240); // 4 standard deviations of 200
    picture_free(&p);
}

// A linear ramp shows the map: values tell where a pixel came from.
static void geometry(void **state)
{
    (void)state;
    enum { SIDE = 64 };
    struct picture ramp = {mem_alloc(SIDE * SIDE * 3), SIDE, SIDE};
    for (int i = 0; i < SIDE * SIDE; i++) {
        ramp.rgb[3 * i] = (uint8_t)(2 * (i % SIDE) + 64);
        ramp.rgb[3 * i + 1] = (uint8_t)(2 * (i / SIDE) + 64);
        ramp.rgb[3 * i + 2] = 50;
    }
    static const struct input_spec spec = {SIDE, SIDE, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
    static float got[3 * SIDE * SIDE];
    double low = 1e9, high = -1e9, sum = 0;
    const float *red = got, *green = got + SIDE * SIDE, *blue = got + 2 * SIDE * SIDE;
    const int middle = SIDE / 2 * SIDE + SIDE / 2;
    for (uint64_t sample = 0; sample < 300; sample++) { // shift=0.25: up to 16 pixels to either side
        augment_one(&ramp, &spec, "shift=0.25", 1, 1, sample, got);
        const double moved = (2 * (SIDE / 2) + 64 - red[middle]) / 2.0;
        low = fmin(low, moved);
        high = fmax(high, moved);
        sum += moved;
        assert_float_equal(red[middle + 5] - red[middle], 10, 1.01); // the slope stays
    }
    assert_true(low >= -16.5 && low < -14.5 && high <= 16.5 && high > 14.5);
    assert_true(fabs(sum / 300) < 4 * 16 / sqrt(3 * 300.0));
    low = 1e9, high = -1e9;
    for (uint64_t sample = 0; sample < 300; sample++) {
        augment_one(&ramp, &spec, "rotate=30,border=reflect", 1, 1, sample, got);
        const double angle = atan2(red[middle + 20 * SIDE] - red[middle], red[middle + 20] - red[middle]) * 180 / M_PI;
        low = fmin(low, angle);
        high = fmax(high, angle);
        for (int i = 0; i < SIDE * SIDE; i++)
            assert_true(blue[i] == 50); // no border colour anywhere
    }
    assert_true(low > -33 && low < -27 && high < 33 && high > 27);
    low = 1e9, high = -1e9;
    for (uint64_t sample = 0; sample < 300; sample++) {
        augment_one(&ramp, &spec, "scale=0.5-2", 1, 1, sample, got);
        const double zoom = 20 / (red[middle + 5] - red[middle - 5]);
        low = fmin(low, zoom);
        high = fmax(high, zoom);
        assert_float_equal(green[middle], 2 * (SIDE / 2) + 64, 2.01); // about the middle
    }
    assert_true(low > 0.45 && low < 0.6 && high < 2.3 && high > 1.8);
    for (uint64_t sample = 0; sample < 300; sample++) { // the part of the area and its aspect
        augment_one(&ramp, &spec, "crop=0.25", 1, 1, sample, got);
        const double w = (red[middle + 20] - red[middle - 20]) / 80,
                     h = (green[middle + 20 * SIDE] - green[middle - 20 * SIDE]) / 80;
        assert_float_equal(w * h, 0.25, 0.05);
        assert_true(w / h > 0.65 && w / h < 1.5);
        assert_true(red[0] >= 64 && red[SIDE - 1] <= 64 + 2 * SIDE && blue[0] == 50);
    }
    picture_free(&ramp);
}

// What the map shows of outside the centre crop is the picture, and a picture made smaller is anti-aliased.
static void beyond_the_crop(void **state)
{
    (void)state;
    struct picture p = {mem_alloc(96 * 48 * 3), 96, 48};
    for (int i = 0; i < 96 * 48; i++)
        memset(p.rgb + 3 * i, i % 96 < 24 || i % 96 >= 72 ? 200 : 100, 3);
    static const struct input_spec spec = {32, 32, RESIZE_CROP, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
    float got[ITEM];
    int beyond = 0;
    for (uint64_t sample = 0; sample < 50; sample++) {
        augment_one(&p, &spec, "shift=0.2", 1, 1, sample, got);
        for (int i = 0; i < 32; i++) {
            const float *middle_row = got + 16 * 32;
            assert_true(middle_row[i] >= 100 && middle_row[i] <= 200);
            beyond += middle_row[i] == 200;
        }
    }
    assert_true(beyond > 20);
    for (int i = 0; i < 96 * 48; i++) // a fine checkerboard
        memset(p.rgb + 3 * i, (i % 96 + i / 96) % 2 == 0 ? 0 : 255, 3);
    static const struct input_spec exact = {48, 48, RESIZE_CROP, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
    static float board[3 * 48 * 48];
    augment_one(&p, &exact, "scale=0.4,border=reflect", 1, 1, 1, board);
    for (int y = 20; y < 28; y++)
        for (int x = 20; x < 28; x++)
            assert_float_equal(board[y * 48 + x], 127.5, 12); // point sampling would give 0 and 255
    picture_free(&p);
}

// Every operation on pictures of any shape, and at any strength: no crash, values of a picture.
static void extremes(void **state)
{
    (void)state;
    static const int sides[][2] = {{1, 1}, {1, 300}, {300, 1}, {2, 3}, {640, 480}};
    static const char *const texts[] = {"flip=hv,rotate=180,shift=1,scale=0.05-20,shear=60,crop=0.01-1,color=1,hue=0.5,"
                                        "grey=1,blur=1:50,erase=1,randaugment=14:30",
                                        "trivial",
                                        "randaugment=14:30,border=reflect",
                                        "shift=1,scale=20,border=edge",
                                        "scale=0.05,border=reflect",
                                        "strong",
                                        "shift=1,rotate=180,border=black"};
    static const enum resize_rule rules[] = {RESIZE_CROP, RESIZE_SQUASH, RESIZE_PAD};
    float got[ITEM];
    for (size_t s = 0; s < COUNT_OF(sides); s++) {
        struct picture p = {mem_alloc((size_t)sides[s][0] * sides[s][1] * 3), sides[s][0], sides[s][1]};
        for (size_t i = 0; i < (size_t)p.w * p.h * 3; i++)
            p.rgb[i] = (uint8_t)rng_hash(RNG_TEST, i, 0, 0);
        for (size_t k = 0; k < COUNT_OF(texts); k++)
            for (int r = 0; r < 3; r++)
                for (uint64_t sample = 0; sample < 12; sample++) {
                    struct input_spec spec = square;
                    spec.rule = rules[r];
                    spec.resize = 40;
                    augment_one(&p, &spec, texts[k], 1, sample, s, got);
                    for (int i = 0; i < ITEM; i++)
                        assert_true(got[i] >= 0 && got[i] <= 255);
                }
        picture_free(&p);
    }
}

static void erases(void **state)
{
    (void)state;
    struct picture p = {mem_alloc(32 * 32 * 3), 32, 32};
    memset(p.rgb, 77, 32 * 32 * 3);
    float got[ITEM];
    double area = 0;
    int erased = 0;
    for (uint64_t sample = 0; sample < 400; sample++) {
        augment_one(&p, &square, "erase=0.5", 1, 1, sample, got);
        int zero = 0;
        for (int i = 0; i < ITEM; i++) {
            assert_true(got[i] == 77 || got[i] == 0);
            zero += got[i] == 0;
        }
        erased += zero > 0;
        area += zero / 3 / 1024.0;
        assert_true(zero == 0 || (zero > 3 * 10 && zero < 3 * 1024 * 0.4));
    }
    assert_in_range(erased, 160, 240);
    assert_float_equal(area / erased, 0.175, 0.03); // the mean of 2 to 33 %
    picture_free(&p);
}

// Batches of 2 classes: pictures of 0 and of 1, so that a pixel shows whose it is.
static void mixes(void **state)
{
    (void)state;
    enum { N = 5, CLASSES = 2 };
    static float input[N * ITEM], targets[N * CLASSES];
    struct sample samples[N] = {0};
    const uint32_t index[N] = {0, 1, 2, 3, 4};
    for (int i = 0; i < N; i++)
        samples[i].label = i >= 3;
    const struct dataset d = {.samples = samples, .count = N};
    static const char *const texts[] = {"mixup=0.4", "cutmix=1", "mixup=0.4,cutmix=1"};
    for (size_t k = 0; k < COUNT_OF(texts); k++) {
        const struct augment a = parsed(texts[k]);
        int cuts = 0, middling = 0;
        for (uint64_t epoch = 1; epoch <= 200; epoch++) {
            struct batch b = {.input = input, .index = index, .n = N};
            for (int i = 0; i < N * ITEM; i++)
                input[i] = i / ITEM >= 3;
            batch_targets(&d, CLASSES, 0, &b, targets);
            batch_mix(&(struct augmentation){&a, 7, epoch, false}, 32, CLASSES, &b, targets);
            bool cut = true;
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int at = 0; at < ITEM; at++) {
                    sum += input[i * ITEM + at];
                    cut &= input[i * ITEM + at] == 0 || input[i * ITEM + at] == 1;
                }
                assert_float_equal(sum / ITEM, targets[i * CLASSES + 1], 1e-5); // the target is the share of pixels
                assert_float_equal(targets[i * CLASSES] + targets[i * CLASSES + 1], 1, 1e-6);
            }
            assert_true(targets[2 * CLASSES] == 1); // the one in the middle has no partner
            cuts += cut;
            middling += targets[1] > 0.2 && targets[1] < 0.8;
        }
        assert_in_range(cuts, k == 0 ? 0 : k == 1 ? 200 : 70, k == 0 ? 5 : k == 1 ? 200 : 130);
        assert_true(middling > 20);
    }
    // The larger share of Beta(1, 1), which is uniform: a variance of 1/12 about 1/2; of Beta(a, a): 1/4 / (2 a + 1).
    static const struct {
        const char *text;
        double variance;
    } laws[] = {{"mixup=1", 1 / 12.0}, {"mixup=0.2", 0.25 / 1.4}, {"mixup=8", 0.25 / 17}};
    for (size_t k = 0; k < COUNT_OF(laws); k++) {
        const struct augment a = parsed(laws[k].text);
        double squares = 0;
        for (uint64_t epoch = 0; epoch < 4000; epoch++) {
            struct batch b = {.input = input, .index = index, .n = 2};
            float pair[4] = {1, 0, 0, 1};
            batch_mix(&(struct augmentation){&a, 1, epoch, false}, 1, 2, &b, pair);
            assert_true(pair[0] >= 0.5f && pair[0] == pair[3]);
            squares += (pair[0] - 0.5) * (pair[0] - 0.5);
        }
        assert_float_equal(squares / 4000 / laws[k].variance, 1, 0.1);
    }
}

// The same batches, bit for bit, from 1, 2 and 7 workers, and from a queue that opens in the middle of the epoch.
static void queues(void **state)
{
    (void)state;
    enum { N = 23, BATCH = 4 };
    struct dataset d = {.n_classes = 2};
    struct sample samples[N];
    uint32_t order[N];
    static float first[(N + BATCH) * ITEM];
    const struct augment a = parsed("strong,rotate=20");
    const struct augmentation how = {&a, 3, 9};
    for (int i = 0; i < N; i++) {
        order[i] = (uint32_t)(i * 5 % N);
        samples[i] = (struct sample){
            .path = mem_text(golden(i % 2 == 0 ? "augment/coffee.png" : "augment/chelsea.png")), .label = i % 2};
    }
    d.samples = samples;
    d.count = N;
    static const struct { int workers; size_t from; } runs[] = {{1, 0}, {2, 0}, {7, 0}, {2, 2 * BATCH}};
    for (size_t k = 0; k < COUNT_OF(runs); k++) {
        struct queue *q;
        struct batch b;
        bool end = false;
        size_t at = runs[k].from;
        assert_int_equal(queue_new(&d, &cropped, &how, order + at, N - at, BATCH, runs[k].workers, &q), GRAFT_OK);
        for (;;) {
            float targets[BATCH * 2];
            assert_int_equal(queue_next(q, &b, &end), GRAFT_OK);
            if (end)
                break;
            batch_targets(&d, 2, 0, &b, targets);
            batch_mix(&how, 32, 2, &b, targets);
            if (k == 0)
                memcpy(first + at * ITEM, b.input, (size_t)b.n * ITEM * sizeof(float));
            assert_memory_equal(first + at * ITEM, b.input, (size_t)b.n * ITEM * sizeof(float));
            at += (size_t)b.n;
        }
        assert_int_equal(at, N);
        queue_free(q);
    }
    assert_true(memcmp(first, first + 5 * ITEM, ITEM * sizeof(float)) != 0);
    for (int i = 0; i < N; i++)
        mem_free(samples[i].path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts), cmocka_unit_test(operations_like_torchvision), cmocka_unit_test(draws),
        cmocka_unit_test(geometry), cmocka_unit_test(beyond_the_crop), cmocka_unit_test(extremes),
        cmocka_unit_test(erases), cmocka_unit_test(mixes), cmocka_unit_test(queues)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
