// tests/infer/test_layer_features.c: what a layer says: by the classifier's own arithmetic, and in the files.

#include "infer/layer_features.h"
#include "base/file.h"
#include "base/memory.h"
#include "infer/scores.h"
#include "scratch.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { N = 3, CLASSES = 4 };
static struct model model;
static struct dataset data;
static const uint32_t order[N] = {2, 0, 1};

static int setup(void **state)
{
    static const char *const paths[] = {GRAFT_SOURCE "/tests/golden/data/rgb.png",
                                        GRAFT_SOURCE "/tests/golden/data/base.jpg",
                                        GRAFT_SOURCE "/tests/golden/data/grey.jpg"};
    const struct model_request request = {.network = "efficientnet_lite0", .weights = "none", .head = HEAD_NEW,
                                          .n_classes = CLASSES, .size = 64, .resize = -1, .bn = BN_FROZEN, .seed = 4,
                                          .classes = (char *[]){"a", "b", "c", "d"}};
    if (scratch_enter(state) != 0 || inputs_open(paths, N, &data) != GRAFT_OK)
        return -1;
    return model_open(&request, &model) == GRAFT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    model_close(&model);
    dataset_free(&data);
    return scratch_leave(state);
}

static void make(const char *layer, int batch, struct layer_features *f)
{
    const struct feature_request how = {.layer = layer, .batch = batch, .workers = 2};
    if (layer_features_make(&model, &data, order, N, &how, f) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

struct kept_logits { float rows[N][CLASSES]; };

static graft_status keep(void *user, uint32_t index, const struct prediction *p, const char *error)
{
    assert_null(error);
    memcpy(((struct kept_logits *)user)->rows[index], p->logits, sizeof(float[CLASSES]));
    return GRAFT_OK;
}

// classifier.weight x + classifier.bias must be the logits.
static void test_head(void **state)
{
    (void)state;
    struct layer_features f;
    struct kept_logits logits;
    struct arena *arena;
    struct plan *plan;
    static float weight[CLASSES * 1280], bias[CLASSES];
    make(NULL, 2, &f);
    assert_int_equal(f.width, 1280);
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(plan_build(&model.graph, &model.params, arena, &(struct plan_options){.batch = 2}, &plan),
                     GRAFT_OK);
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    assert_int_equal(predict_samples(&model, plan, &data, order, N, 1, "predict", keep, &logits), GRAFT_OK);
    for (int i = 0; i < model.params.count; i++)
        if (strcmp(model.params.entries[i].name, "classifier.weight") == 0)
            param_to_canonical(&model.params, i, weight);
        else if (strcmp(model.params.entries[i].name, "classifier.bias") == 0)
            param_to_canonical(&model.params, i, bias);
    for (int i = 0; i < N; i++)
        for (int c = 0; c < CLASSES; c++) {
            double sum = bias[c], size = 0;
            for (int k = 0; k < f.width; k++) {
                sum += (double)weight[c * 1280 + k] * f.x[i * 1280 + k];
                size += fabs((double)weight[c * 1280 + k] * f.x[i * 1280 + k]);
            }
            assert_true(size > 0);
            assert_true(fabs(sum - logits.rows[i][c]) <= 1e-5 * size); // float32 sums of 1280 terms
        }
    plan_free(plan);
    arena_free(arena);
    layer_features_fini(&f);
}

// The last convolution, averaged over its places, is what enters the classifier.
static void test_layer(void **state)
{
    (void)state;
    struct layer_features f, g;
    make(NULL, 8, &f);
    make("conv_head", 2, &g);
    assert_int_equal(f.width, g.width);
    for (size_t i = 0; i < N * (size_t)f.width; i++)
        assert_true(fabsf(f.x[i] - g.x[i]) <= 1e-5f * fabsf(f.x[i]) + 1e-20f); // both means of 4 places
    layer_features_fini(&g);
    make("blocks.2.0.conv_dw", 2, &g); // after its BatchNorm and ReLU6
    for (size_t i = 0; i < N * (size_t)g.width; i++)
        assert_true(g.x[i] >= 0 && g.x[i] <= 6);
    layer_features_fini(&g);
    layer_features_fini(&f);
    const struct feature_request how = {.layer = "conv_hed", .batch = 2, .workers = 1};
    assert_int_equal(layer_features_make(&model, &data, order, N, &how, &f), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "did you mean 'conv_head'"));
    const struct feature_request group = {.layer = "blocks.4", .batch = 2, .workers = 1};
    assert_int_equal(layer_features_make(&model, &data, order, N, &group, &f), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "'blocks.4.0.conv_pw' to 'blocks.4.2.conv_pwl'"));
    const struct feature_request head = {.layer = "classifier", .batch = 2, .workers = 1};
    assert_int_equal(layer_features_make(&model, &data, order, N, &head, &f), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "is the classifier"));
}

static void test_files(void **state)
{
    (void)state;
    struct layer_features f;
    struct file_map map;
    make("blocks.0.0.conv_dw", 2, &f);
    assert_int_equal(layer_features_write(&f, &data, order, N, "f.npy"), GRAFT_OK);
    assert_int_equal(file_map_open("f.npy", &map), GRAFT_OK);
    assert_int_equal(map.data.size, 128 + N * (size_t)f.width * sizeof(float));
    assert_non_null(strstr((const char *)map.data.ptr + 10, "'shape': (3, 32)"));
    for (int i = 0; i < N; i++) // in the order asked for
        assert_memory_equal(map.data.ptr + 128 + (size_t)i * (size_t)f.width * 4, f.x + order[i] * (size_t)f.width,
                            (size_t)f.width * 4);
    file_map_close(&map);
    assert_int_equal(file_read("f.npy.csv", 1 << 20, &map), GRAFT_OK);
    assert_non_null(memmem(map.data.ptr, map.data.size, "path,label\n", 11));
    assert_non_null(memmem(map.data.ptr, map.data.size, "grey.jpg,\n", 10));
    file_map_close(&map);
    assert_int_equal(layer_features_write(&f, &data, order, N, "f.csv"), GRAFT_OK);
    assert_int_equal(layer_features_write(&f, &data, order, N, "f.libsvm"), GRAFT_OK);
    FILE *file = fopen("f.libsvm", "r");
    static char line[4096];
    for (int i = 0; i < N; i++) { // a label, then what is not 0, every digit of it
        float row[32] = {0};
        assert_non_null(fgets(line, sizeof line, file));
        char *at = strtok(line, " ");
        assert_string_equal(at, "-1");
        while ((at = strtok(NULL, " \n")) != NULL) {
            const int index = atoi(at);
            assert_true(index >= 1 && index <= f.width);
            row[index - 1] = strtof(strchr(at, ':') + 1, NULL);
        }
        assert_memory_equal(row, f.x + order[i] * (size_t)f.width, (size_t)f.width * sizeof *row);
    }
    fclose(file);
    assert_int_equal(layer_features_write(&f, &data, order, N, "f.txt"), GRAFT_BAD_OPTION);
    layer_features_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_head), cmocka_unit_test(test_layer),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
