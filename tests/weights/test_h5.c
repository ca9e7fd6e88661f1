// weights/test_h5.c: Keras's HDF5 files, whole and of kinds that are refused; what the helper that opens them may do
// instead of its work; what it may say (fuzz/listing.zip).
// In: golden/weights/, see weights/test_weights.c.

#include "fixture.h"
#include "base/file.h"
#include "base/memory.h"
#include "weights/readers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_keras(const char *name, const char *format)
{
    struct tensor_set set;
    read_ok(name, &set);
    assert_string_equal(set.format, format);
    assert_int_equal(set.count, 4);
    assert_string_equal(set.items[0].name, "conv1/7x7_s2//conv1/7x7_s2_W");
    check_ramp(&set, "conv1/7x7_s2//conv1/7x7_s2_W", DTYPE_F32, SHAPE(2, 3, 3, 3), 0);
    check_ramp(&set, "conv1/7x7_s2//conv1/7x7_s2_b", DTYPE_F32, SHAPE(2), 1);
    check_ramp(&set, "last//last/kernel:0", DTYPE_F32, SHAPE(2, 5), 2);
    check_ramp(&set, "last//last/bias:0", DTYPE_F16, SHAPE(5), 3);
    tensor_set_free(&set);
}

static void test_h5(void **state)
{
    (void)state;
    struct tensor_set set;
    check_keras("keras1_fixed.h5", "Keras 1 .h5 (weights)");
    check_keras("keras2_variable.h5", "Keras 2 .h5 (weights)");
    check_keras("split.h5", "Keras 2 .h5 (weights)");
    read_ok("keras_model.h5", &set);
    assert_string_equal(set.format, "Keras 3 .h5 (model)");
    assert_int_equal(set.count, 6);
    assert_string_equal(set.items[0].name, "conv1//conv1/kernel");
    check_ramp(&set, "conv1//conv1/kernel", DTYPE_F32, SHAPE(3, 3, 3, 4), 0);
    check_ramp(&set, "bn//bn/gamma", DTYPE_F32, SHAPE(4), 2);
    check_ramp(&set, "bn//bn/moving_variance", DTYPE_F32, SHAPE(4), 5);
    tensor_set_free(&set);
}

// Keras 3's model of keras_model.h5; layers come by the name of their group.
static void check_keras3(const char *file, const char *format, const char *conv, const char *bn)
{
    static const struct shape shapes[] = {{4, {3, 3, 3, 4}}, {1, {4}}, {1, {4}}, {1, {4}}, {1, {4}}, {1, {4}}};
    struct tensor_set set;
    char name[64];
    read_ok(file, &set);
    assert_string_equal(set.format, format);
    assert_int_equal(set.count, 6);
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s//%d", i < 2 ? conv : bn, i < 2 ? i : i - 2);
        check_ramp(&set, name, DTYPE_F32, shapes[i], (float)i);
    }
    tensor_set_free(&set);
}

static void test_keras3(void **state)
{
    (void)state;
    struct tensor_set set;
    check_keras3("keras3.weights.h5", "Keras 3 .weights.h5", "conv1", "bn");
    check_keras3("keras3.keras", "Keras 3 .keras", "conv1", "bn");
    check_keras3("keras3_nameless.weights.h5", "Keras 3 .weights.h5", "conv2d@0", "batch_normalization@0");
    check_keras3("tfkeras.weights.h5", "Keras 2 .weights.h5", "conv2d@0", "batch_normalization@0");
    read_ok("keras3.keras", &set);
    assert_non_null(strstr(set.metadata, "\"keras_version\":\"3.15"));
    tensor_set_free(&set);
    read_ok("keras3_bfloat16.weights.h5", &set);
    assert_int_equal(set.count, 2);
    check_ramp(&set, "half//0", DTYPE_BF16, SHAPE(3, 2), 0);
    check_ramp(&set, "half//1", DTYPE_BF16, SHAPE(2), 1);
    tensor_set_free(&set);
    read_ok("keras0.h5", &set);
    assert_string_equal(set.format, "Keras 0 .h5 (nb_layers)");
    assert_int_equal(set.count, 4);
    check_ramp(&set, "layer@0//0", DTYPE_F32, SHAPE(2, 3, 3, 3), 0);
    check_ramp(&set, "layer@0//1", DTYPE_F32, SHAPE(2), 1);
    check_ramp(&set, "layer@1//0", DTYPE_F32, SHAPE(2, 5), 2);
    check_ramp(&set, "layer@1//1", DTYPE_F32, SHAPE(5), 3);
    tensor_set_free(&set);
    check_refused(weights_read(golden("bad_packed.keras"), &set), &set, "compressed");
}

static void test_h5_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"bad_chunked.h5", "is chunked"},
        {"bad_soft_link.h5", "a soft link"},
        {"bad_external_link.h5", "an external link"},
        {"bad_external_data.h5", "another file"},
        {"bad_virtual.h5", "is virtual"},
        {"bad_big_endian.h5", "little-endian"},
        {"bad_integer.h5", "little-endian"},
        {"bad_missing.h5", "has no dataset"},
    };
    struct tensor_set set;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_refused(weights_read(golden(rows[i][0]), &set), &set, rows[i][1]);
}

// What the helper may do instead of its work.
static void with_helper(const char *script, const char *words)
{
    const char *old = getenv("GRAFT_HELPER");
    char *keep = old ? strdup(old) : NULL, *path = strdup(scratch("helper"));
    FILE *file = fopen(path, "w");
    fputs(script, file);
    fclose(file);
    chmod(path, 0700);
    setenv("GRAFT_HELPER", path, 1);
    struct tensor_set set;
    check_refused(weights_read(golden("keras1_fixed.h5"), &set), &set, words);
    unlink(path);
    if (keep)
        setenv("GRAFT_HELPER", keep, 1);
    else
        unsetenv("GRAFT_HELPER");
    free(keep);
    free(path);
}

static void test_helper(void **state)
{
    (void)state;
#define HEAD "#!/bin/sh\necho '{\"keras_version\":\"2\",\"kind\":\"h5 (weights)\"}'\n"
    with_helper("#!/bin/sh\nexit 1\n", "died");
    with_helper("#!/bin/sh\nkill -SEGV $$\n", "signal 11");
    with_helper("#!/bin/sh\necho nonsense\n", "graft-h5's answer");
    with_helper(HEAD "printf '{\"name\":'\n", "died");
    with_helper(HEAD "echo '{\"end\":1}'\n", "died");
    with_helper(HEAD "echo '{\"end\":0}'\n", "no weights");
    with_helper(HEAD "echo '{\"name\":\"a\",\"dtype\":\"F32\",\"shape\":[1],\"offset\":99999999,\"size\":4}'\n",
                "outside");
    with_helper(HEAD "echo '{\"name\":\"a\",\"dtype\":\"F32\",\"shape\":[2],\"offset\":0,\"size\":4}'\n",
                "needs 8 bytes");
    with_helper(HEAD "echo '{\"name\":\"a\",\"dtype\":\"F32\",\"shape\":[-1],\"offset\":0,\"size\":4}'\n", "negative");
    with_helper(HEAD "echo '{\"error\":\"told so\"}'\n", "keras1_fixed.h5: told so");
    h5_helper_seconds = 1;
    with_helper("#!/bin/sh\nexec sleep 20\n", "did not finish");
    h5_helper_seconds = 30;
    const char *old = getenv("GRAFT_HELPER");
    char *keep = old ? strdup(old) : NULL;
    struct tensor_set set;
    setenv("GRAFT_HELPER", "/nonexistent/graft-h5", 1);
    check_refused(weights_read(golden("keras1_fixed.h5"), &set), &set, "graft-h5");
    if (keep)
        setenv("GRAFT_HELPER", keep, 1);
    else
        unsetenv("GRAFT_HELPER");
    free(keep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // fuzz/fuzz_listing.c

// What fuzzing found worth keeping of listings: an input for each way through them.
static void test_corpus(void **state)
{
    (void)state;
    replay("listing.zip", 100, LLVMFuzzerTestOneInput);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_h5), cmocka_unit_test(test_keras3),
                                       cmocka_unit_test(test_h5_refused), cmocka_unit_test(test_helper),
                                       cmocka_unit_test(test_corpus)};
    return cmocka_run_group_tests_name("h5", tests, NULL, NULL);
}
