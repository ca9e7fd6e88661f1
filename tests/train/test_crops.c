// tests/train/test_crops.c: boxes around what a network looks at: by hand, on a planted object, and in a data set.

#include "toy.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/boxes.h"
#include "data/encode.h"
#include "data/sources.h"
#include "infer/crops.h"
#include "infer/explain.h"
#include "train/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct crop_rule plain = {0.5, 0, 0.1};

static void check_box(const double *box, double left, double top, double side)
{
    const double wanted[] = {left, top, side, side};
    for (int i = 0; i < 4; i++)
        if (fabs(box[i] - wanted[i]) > 1e-9)
            fail_msg("box %g %g %g %g, expected %g %g %g", box[0], box[1], box[2], box[3], left, top, side);
}

static void test_by_hand(void **state)
{
    (void)state;
    // Two hot places: the one that hangs together with the hottest counts, corners do not join.
    const float heat[] = {0.6f, 0, 0, 0, 0,    //
                          0, 0.7f, 1, 0, 0,    //
                          0, 0,    0.5f, 0, 0, //
                          0, 0,    0, 0, 0.9f};
    const float none[20] = {0};
    double box[4];
    assert_int_equal(crop_of_heat(heat, 4, 5, &plain, box), GRAFT_OK);
    check_box(box, 0.15, 0.25, 0.5); // columns 1 and 2 are 0.4 wide, rows 1 and 2 0.5: a square about their middle
    assert_int_equal(crop_of_heat(heat, 4, 5, &(struct crop_rule){0.95, 0, 0.1}, box), GRAFT_OK);
    check_box(box, 0.5 - 0.125, 0.25, 0.25);
    assert_int_equal(crop_of_heat(heat, 4, 5, &(struct crop_rule){0.5, 0.25, 0.1}, box), GRAFT_OK);
    check_box(box, 0.4 - 0.375, 0.125, 0.75);
    assert_int_equal(crop_of_heat(heat, 4, 5, &(struct crop_rule){0.95, 0, 0.8}, box), GRAFT_OK);
    check_box(box, 0.5 - 0.4, 0, 0.8); // moved inside
    assert_int_equal(crop_of_heat(none, 4, 5, &plain, box), GRAFT_OK);
    check_box(box, 0, 0, 1);
}

// The input of a wide picture under the rule "crop" is its middle: where a box of it lies in the picture.
static void test_to_picture(void **state)
{
    (void)state;
    const struct input_spec spec = {.size = 80, .resize = 100, .rule = RESIZE_CROP, .scale = {1, 1, 1}};
    const double whole[] = {0, 0, 1, 1}, corner[] = {0.5, 0, 0.5, 0.5};
    double offset[2], scale[2];
    float box[4];
    input_region(&spec, 400, 200, offset, scale); // resized to 200 x 100, of which 80 x 80 from (60, 10) on is seen
    crop_to_picture(whole, offset, scale, box);
    const float seen[] = {0.3f, 0.1f, 0.4f, 0.8f}, part[] = {0.5f, 0.1f, 0.2f, 0.4f};
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(box[i] - seen[i]) < 1e-6f);
    crop_to_picture(corner, offset, scale, box);
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(box[i] - part[i]) < 1e-6f);
    const struct input_spec pad = {.size = 80, .resize = 80, .rule = RESIZE_PAD, .scale = {1, 1, 1}};
    input_region(&pad, 400, 200, offset, scale); // rows 20 to 60 of the input
    crop_to_picture(whole, offset, scale, box);
    assert_true(box[0] == 0 && box[1] == 0 && fabsf(box[2] - 1) < 1e-6f && fabsf(box[3] - 1) < 1e-6f);
}

// ---- a planted object: the class is the colour of a patch somewhere on noise

enum { SIDE = 32, PATCH = 8, N = 96, CLASSES = 2 };
static float pictures[N][SIDE * SIDE * 3]; // (h, w, c)
static int corner[N][2];                   // x, y of the patch

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net, (void)dropout;
    graph_init(g, 3, size, size);
    int v = graph_relu(g, graph_conv(g, 0, "a", conv_pad(8, 3, 2, 1, 1, true)));
    v = graph_relu(g, graph_conv(g, v, "b", conv_pad(8, 3, 2, 1, 1, true)));
    return graph_finish(g, graph_dense(g, graph_global_avgpool(g, v), "head", classes, true));
}

static float noise(int i, int k) { return rng_unit(rng_hash(RNG_TEST, 8, (uint64_t)i, (uint64_t)k)) - 0.5f; }

static void plant(struct sample *samples)
{
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < SIDE * SIDE * 3; k++)
            pictures[i][k] = noise(i, k);
        corner[i][0] = i / 2 % 2 * (SIDE - PATCH);
        corner[i][1] = i / 4 % 2 * (SIDE - PATCH);
        for (int y = 0; y < PATCH; y++)
            for (int x = 0; x < PATCH; x++)
                for (int c = 0; c < 3; c++) {
                    const int at = (corner[i][1] + y) * SIDE + corner[i][0] + x;
                    pictures[i][at * 3 + c] += c == (i % 2 ? 2 : 0) ? 2 : -1;
                }
        samples[i] = (struct sample){.path = "array", .label = i % 2, .part = PART_TRAIN, .data = pictures[i]};
    }
}

static void weights_draw(struct params *p)
{
    for (int i = 0; i < p->count; i++) {
        float values[8 * 8 * 3 * 3];
        size_t n;
        assert_true(shape_count(p->entries[i].shape, &n) && n <= COUNT_OF(values));
        for (size_t k = 0; k < COUNT_OF(values); k++)
            values[k] = 0.4f * noise(1000 + i, (int)k);
        param_from_canonical(p, i, values);
    }
}

// Trained on the class alone, the network is asked where it looks: the box holds the patch's middle and is small.
static void test_planted(void **state)
{
    (void)state;
    static const struct network network = {.name = "planted", .head = "head", .build = build};
    static char *names[] = {"red", "blue"};
    static struct sample samples[N];
    plant(samples);
    const struct dataset d = {.samples = samples, .count = N, .classes = names, .n_classes = CLASSES, .array_c = 3,
                              .array_h = SIDE, .array_w = SIDE, .array_float = true};
    struct model m = {.network = &network, .classes = names, .n_classes = CLASSES, .source = "none"};
    m.input = (struct input_spec){.size = SIDE, .resize = SIDE, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    assert_int_equal(build(&network, &m.graph, SIDE, CLASSES, 0), GRAFT_OK);
    assert_int_equal(graph_freeze(&m.graph, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(params_init(&m.params, &m.graph), GRAFT_OK);
    weights_draw(&m.params);
    const struct train_options options = {
        .folder = "planted", .args = "{}", .batch = 16, .epochs = 30, .workers = 1,
        .recipe = {.name = "test", .optim = {.name = "sgd", .rho = -1, .epsilon = -1, .accumulate = 1},
                   .schedule = {.kind = SCHEDULE_CONSTANT, .rate = 0.1, .momentum = 0.9, .epochs = 30},
                   .layer_decay = 1}};
    if (train_run(&m, &d, &options) != GRAFT_OK)
        fail_msg("%s", graft_message());
    struct arena *arena;
    struct explainer *e;
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(explainer_new(&m, arena, 1, &e), GRAFT_OK);
    int h, w, found = 0;
    explainer_map(e, &h, &w);
    float *heat = mem_alloc((size_t)h * (size_t)w * sizeof *heat);
    float *input = mem_aligned(3 * SIDE * SIDE * sizeof *input);
    for (int i = 0; i < N; i++) {
        double box[4];
        int class = -1;
        assert_int_equal(sample_load(&d, (size_t)i, &m.input, NULL, input), GRAFT_OK);
        assert_int_equal(explainer_run(e, input, &class, heat, NULL), GRAFT_OK);
        assert_int_equal(class, i % 2);
        assert_int_equal(crop_of_heat(heat, h, w, &(struct crop_rule){0.3, 0.1, 0.35}, box), GRAFT_OK);
        const double x = (corner[i][0] + PATCH / 2.0) / SIDE, y = (corner[i][1] + PATCH / 2.0) / SIDE;
        found += x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3] && box[2] <= 0.6;
    }
    if (found < N) // every one of them
        fail_msg("the patch is in %d boxes of %d", found, N);
    mem_free(heat);
    mem_free(input);
    explainer_free(e);
    arena_free(arena);
    graph_fini(&m.graph);
    params_fini(&m.params);
}

// ---- in a data set

static void png(const char *path, const struct picture *p)
{
    bytes data;
    assert_int_equal(picture_to_png(p, &data), GRAFT_OK);
    assert_int_equal(file_write_all(path, data.ptr, data.size), GRAFT_OK);
    mem_free((void *)data.ptr);
}

// What is loaded is what the box cut out beforehand would give, changed or not.
static void test_in_a_data_set(void **state)
{
    (void)state;
    enum { W = 60, H = 40, SIZE = 24 };
    static uint8_t rgb[W * H * 3 + 64], cut[30 * 20 * 3 + 64];
    static const char list[] = "path,left,top,width,height,class,prob\nwhole.png,0.5,0.25,0.5,0.5,a,1\n"
                               "nowhere.png,0,0,1,1,a,1\n";
    for (int i = 0; i < W * H * 3; i++)
        rgb[i] = (uint8_t)(rng_hash(RNG_TEST, 3, (uint64_t)i, 0) & 255);
    for (int y = 0; y < 20; y++)
        memcpy(cut + y * 30 * 3, rgb + ((10 + y) * W + 30) * 3, 30 * 3);
    png("whole.png", &(struct picture){rgb, W, H});
    png("cut.png", &(struct picture){cut, 30, 20});
    assert_int_equal(file_write_all("boxes.csv", list, sizeof list - 1), GRAFT_OK);
    struct dataset d = {0};
    assert_int_equal(sample_add(&d, "./whole.png", 0, PART_TRAIN, NULL), GRAFT_OK);
    const struct input_spec spec = {.size = SIZE, .resize = SIZE + 4, .rule = RESIZE_CROP, .scale = {1, 1, 1},
                                    .crop = true};
    struct input_spec whole = spec; // of a model of whole pictures, beside one of crops in an ensemble
    static float a[3 * SIZE * SIZE], b[3 * SIZE * SIZE];
    whole.crop = false;
    assert_int_equal(sample_load(&d, 0, &whole, NULL, a), GRAFT_OK);
    if (boxes_read(&d, "boxes.csv") != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(sample_load(&d, 0, &whole, NULL, b), GRAFT_OK);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(sample_add(&d, "cut.png", 0, PART_TRAIN, NULL), GRAFT_OK);
    struct augment augment;
    assert_int_equal(augment_parse("flip=h,rotate=20,color=0.3", &augment), GRAFT_OK);
    for (uint64_t epoch = 0; epoch < 6; epoch++) { // alike: both draw the same numbers
        const struct augmentation how = {.augment = &augment, .seed = 1, .epoch = epoch, .alike = true};
        assert_int_equal(sample_load(&d, 0, &spec, epoch > 0 ? &how : NULL, a), GRAFT_OK);
        assert_int_equal(sample_load(&d, 1, &spec, epoch > 0 ? &how : NULL, b), GRAFT_OK);
        assert_memory_equal(a, b, sizeof a);
    }
    assert_int_equal(boxes_read(&d, "boxes.csv"), GRAFT_BAD_FILE); // cut.png has none
    assert_non_null(strstr(graft_message(), "1 of 2 pictures have no box: 'cut.png'"));
    dataset_free(&d);
}

static void test_bad_lists(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } cases[] = {
        {"path,x,y\nwhole.png,0,0\n", "is expected: path,left,top,width,height"},
        {"path,left,top,width,height\nwhole.png,0,0,1\n", ":2: a path and four numbers"},
        {"path,left,top,width,height\nwhole.png,0,0,1,nan\n", "'nan' is no part of the picture"},
        {"path,left,top,width,height\nwhole.png,0.5,0,0.6,1\n", "reaches beyond the picture"},
        {"path,left,top,width,height\nwhole.png,0.5,0,0,1\n", "is empty"},
        {"path,left,top,width,height\nwhole.png,0,0,1,1\n./whole.png,0,0,0.5,1\n", "of the same picture, and differ"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct dataset d = {0};
        assert_int_equal(sample_add(&d, "whole.png", 0, PART_TRAIN, NULL), GRAFT_OK);
        assert_int_equal(file_write_all("bad.csv", cases[i].text, strlen(cases[i].text)), GRAFT_OK);
        assert_int_equal(boxes_read(&d, "bad.csv"), GRAFT_BAD_FILE);
        if (strstr(graft_message(), cases[i].message) == NULL)
            fail_msg("'%s' is not in '%s'", cases[i].message, graft_message());
        dataset_free(&d);
    }
}

// A list names what lies below its folder relative to it, anything else absolutely, by real folders.
static void test_listed_paths(void **state)
{
    (void)state;
    char *here = realpath(".", NULL), *out, wanted[600];
    assert_int_equal(file_make_folder("lists/deep"), GRAFT_OK);
    const struct { const char *path, *folder, *wanted; bool absolute; } cases[] = {
        {"lists/deep/a.png", "lists", "deep/a.png", false}, {"./lists/../lists/a.png", "lists", "a.png", false},
        {"whole.png", ".", "whole.png", false},             {"whole.png", "lists", "/whole.png", true},
        {"lists/a.png", "lists/deep", "/lists/a.png", true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(path_listed(cases[i].path, cases[i].folder, &out), GRAFT_OK);
        snprintf(wanted, sizeof wanted, "%s%s", cases[i].absolute ? here : "", cases[i].wanted);
        assert_string_equal(out, wanted);
        mem_free(out);
    }
    assert_int_equal(path_listed("nowhere/a.png", ".", &out), GRAFT_BAD_FILE);
    free(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_to_picture),
                                       cmocka_unit_test(test_planted), cmocka_unit_test(test_in_a_data_set),
                                       cmocka_unit_test(test_bad_lists), cmocka_unit_test(test_listed_paths)};
    return cmocka_run_group_tests(tests, toy_setup, toy_teardown);
}
