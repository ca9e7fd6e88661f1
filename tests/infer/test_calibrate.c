// tests/infer/test_calibrate.c: figures and the temperature beside scikit-learn, SciPy and NumPy (tests/golden/infer).

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "infer/calibrate.h"
#include "infer/metrics.h"
#include "infer/model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { N = 300, CLASSES = 7 };
static float probabilities[N * CLASSES];
static int labels[N];
static json_t *golden;

static int setup(void **state)
{
    (void)state;
    struct file_map p, l;
    const char *folder = GRAFT_SOURCE "/tests/golden/infer/";
    char path[512];
    snprintf(path, sizeof path, "%sprobabilities.f32", folder);
    if (file_map_open(path, &p) != GRAFT_OK || p.data.size != sizeof probabilities)
        return -1;
    memcpy(probabilities, p.data.ptr, sizeof probabilities);
    snprintf(path, sizeof path, "%slabels.u8", folder);
    if (file_map_open(path, &l) != GRAFT_OK || l.data.size != N)
        return -1;
    for (int i = 0; i < N; i++)
        labels[i] = l.data.ptr[i];
    file_map_close(&p);
    file_map_close(&l);
    snprintf(path, sizeof path, "%scalibration.json", folder);
    return json_read_file(path, &golden) == GRAFT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static double wanted(const char *part, const char *key)
{
    const json_t *value = json_object_get(json_object_get(golden, part), key);
    assert_true(json_is_real(value));
    return json_real_value(value);
}

static void compare(const float *p, const char *part)
{
    const struct metrics m = metrics_of(p, labels, N, CLASSES);
    // probabilities are float32: 6e-8 relative each; the golden's are float64 after the temperature
    assert_true(fabs(m.log_loss - wanted(part, "log_loss")) < 1e-6);
    assert_true(fabs(m.top1 - wanted(part, "top1")) < 1e-12);
    assert_true(fabs(brier_score(p, labels, N, CLASSES) - wanted(part, "brier")) < 1e-6);
    assert_true(fabs(calibration_error(p, labels, N, CLASSES) - wanted(part, "ece")) < 1e-6);
}

static void test_beside_scikit_learn(void **state)
{
    (void)state;
    float copy[N * CLASSES];
    const double found = temperature_fit(probabilities, labels, N, CLASSES);
    compare(probabilities, "plain");
    // SciPy's search compares losses, so it knows its minimum to about the root of a double's precision
    assert_true(fabs(found - json_real_value(json_object_get(golden, "temperature"))) < 1e-6);
    memcpy(copy, probabilities, sizeof copy);
    temperature_apply(found, copy, N, CLASSES);
    compare(copy, "calibrated");
    for (int i = 0; i < N; i++)
        assert_int_equal(best_class(copy + i * CLASSES, CLASSES), best_class(probabilities + i * CLASSES, CLASSES));
    temperature_apply(1, copy, N, CLASSES); // changes nothing
    compare(copy, "calibrated");
}

static void test_nothing_to_fit(void **state)
{
    (void)state;
    float sure[N * 2], copy[4] = {1, 0, 0.25f, 0.75f};
    int right[N];
    for (int i = 0; i < N; i++) {
        right[i] = i % 2;
        sure[2 * i + i % 2] = 0.9f;
        sure[2 * i + 1 - i % 2] = 0.1f;
    }
    assert_true(temperature_fit(sure, right, N, 2) == 0);                                     // all are right
    assert_true(temperature_fit(probabilities, labels, CALIBRATION_LEAST - 1, CLASSES) == 0); // too few
    right[0] = 1;
    const double lower =
        temperature_fit(sure, right, N, 2); // 299 of 300 right at 0.9: closed form, logit(0.9) / T = logit(299/300)
    assert_true(fabs(lower - log(9) / log(299)) < 1e-6);
    right[0] = 0;
    for (int i = 0; i < N; i++)
        right[i] = 1 - i % 2; // all wrong: as unsure as can be
    assert_true(fabs(temperature_fit(sure, right, N, 2) - 20) < 1e-3);
    temperature_apply(2, copy, 2, 2); // a probability of 0 stays next to nothing
    assert_true(copy[0] > 0.999999f && copy[1] < 1e-20f && copy[1] >= 0);
    assert_true(fabs(copy[2] - 1 / (1 + sqrt(3))) < 1e-6);
}

static void test_kept_by_the_model(void **state)
{
    (void)state;
    struct model m = {.trained = mem_text("{\"epoch\":3}")};
    assert_true(model_temperature(&m) == 0);
    assert_int_equal(model_set_temperature(&m, 1.5), GRAFT_OK);
    assert_true(model_temperature(&m) == 1.5);
    assert_non_null(strstr(m.trained, "\"epoch\":3"));
    assert_int_equal(model_set_temperature(&m, 2.5), GRAFT_OK); // in place of the other
    assert_true(model_temperature(&m) == 2.5);
    mem_free(m.trained);
    static const char *const senseless[] = {"{\"temperature\":-1}", "{\"temperature\":1e9}", "{\"temperature\":\"x\"}",
                                            "no JSON"};
    for (size_t i = 0; i < COUNT_OF(senseless); i++) {
        m.trained = (char *)senseless[i];
        assert_true(model_temperature(&m) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_beside_scikit_learn),
                                       cmocka_unit_test(test_nothing_to_fit), cmocka_unit_test(test_kept_by_the_model)};
    return cmocka_run_group_tests_name("calibrate", tests, setup, teardown);
}
