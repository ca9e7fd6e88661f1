// tests/infer/test_svm.c: the support vector machine beside scikit-learn's LinearSVC and CalibratedClassifierCV
// (tests/golden/infer/svm.*).

#include "infer/svm.h"
#include "base/file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { N = 120, WIDTH = 8, FOLDS = 4 };
static float x[N * WIDTH];
static int labels[N], fold[N];
static json_t *golden;

static int setup(void **state)
{
    (void)state;
    struct file_map p, l;
    if (file_map_open(GRAFT_SOURCE "/tests/golden/infer/svm.f32", &p) != GRAFT_OK || p.data.size != sizeof x ||
        file_map_open(GRAFT_SOURCE "/tests/golden/infer/svm.u8", &l) != GRAFT_OK || l.data.size != N)
        return -1;
    memcpy(x, p.data.ptr, sizeof x);
    for (int i = 0; i < N; i++) {
        labels[i] = l.data.ptr[i];
        fold[i] = i % FOLDS;
    }
    file_map_close(&p);
    file_map_close(&l);
    return json_read_file(GRAFT_SOURCE "/tests/golden/infer/svm.json", &golden) == GRAFT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static double number_at(const json_t *o, const char *name, size_t row, size_t column)
{
    const json_t *value = json_array_get(json_array_get(json_object_get(o, name), row), column);
    assert_true(json_is_real(value));
    return json_real_value(value);
}

// The same solver stopped at relative gradients of 1e-7 here and 1e-10 there.
static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-5))
        fail_msg("%.9g, scikit-learn has %.9g", found, wanted);
}

static void compare(const char *part, int classes, double c)
{
    static float some[N * WIDTH];
    static int some_labels[N], some_folds[N];
    static double values[N * 3];
    const json_t *wanted = json_object_get(golden, part);
    struct svm s = {.n_classes = classes, .width = WIDTH};
    double accuracy[SVM_STRENGTHS];
    size_t n = 0;
    for (int i = 0; i < N; i++) {
        if (labels[i] >= classes)
            continue;
        memcpy(some + n * WIDTH, x + i * WIDTH, WIDTH * sizeof *x);
        some_labels[n] = labels[i];
        some_folds[n++] = fold[i];
    }
    if (svm_fit(&s, some, some_labels, some_folds, n, FOLDS, c, accuracy, values) != GRAFT_OK)
        fail_msg("%s", graft_message());
    if (c == 0) {
        for (size_t i = 0; i < SVM_STRENGTHS; i++)
            near(accuracy[i], json_real_value(json_array_get(json_object_get(golden, "accuracy"), i)));
        near(s.c, json_number_value(json_object_get(golden, "c")));
    }
    for (size_t k = 0; k < (classes == 2 ? 1u : 3u); k++) // of two classes there is the vector of the second
        for (size_t j = 0; j <= WIDTH; j++)
            near(s.w[(classes == 2 ? 1 : k) * (WIDTH + 1) + j], number_at(wanted, "w", k, j));
    for (size_t i = 0; i < 6; i++) {
        double f[3];
        float p[3];
        svm_values(s.w, some + i * WIDTH, WIDTH, classes, f);
        svm_probabilities(s.platt, f, classes, p);
        for (int k = 0; k < classes; k++)
            near(p[k], number_at(wanted, "p", i, (size_t)k));
    }
    svm_free(&s);
}

static void test_three(void **state)
{
    (void)state;
    compare("three", 3, 0);
}

static void test_two(void **state)
{
    (void)state;
    compare("two", 2, json_number_value(json_object_get(golden, "c")));
}

// What scores a row knows nothing of its label: with the labels of a fold all wrong, its probabilities stay and others
// change.
static void test_out_of_fold(void **state)
{
    (void)state;
    static double values[N * 3];
    static float p[N * 3], q[N * 3];
    int turned[N];
    struct svm s = {.n_classes = 3, .width = WIDTH};
    double accuracy[SVM_STRENGTHS];
    assert_int_equal(svm_fit(&s, x, labels, fold, N, FOLDS, 0.1, accuracy, values), GRAFT_OK);
    svm_free(&s);
    assert_int_equal(svm_out_of_fold(values, labels, fold, N, FOLDS, 3, p), GRAFT_OK);
    for (int left = 0; left < FOLDS; left++) {
        double moved = 0;
        for (int i = 0; i < N; i++)
            turned[i] = fold[i] == left ? (labels[i] + 1) % 3 : labels[i];
        assert_int_equal(svm_out_of_fold(values, turned, fold, N, FOLDS, 3, q), GRAFT_OK);
        for (int i = 0; i < 3 * N; i++)
            if (fold[i / 3] == left)
                assert_true(p[i] == q[i]);
            else
                moved += fabsf(p[i] - q[i]);
        assert_true(moved > 1);
    }
}

static void test_one_class(void **state)
{
    (void)state;
    static const int same[4] = {1, 1, 1, 1};
    static const uint32_t rows[] = {0, 1, 2, 3};
    double w[3 * (WIDTH + 1)];
    assert_int_equal(svm_train(x, same, rows, 4, WIDTH, 3, 1, 1e-4, false, w), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "two classes"));
}

// From the weights at another C, with the classes in another order than liblinear's: the same end.
static void test_warm(void **state)
{
    (void)state;
    static uint32_t rows[N];
    for (int classes = 2; classes <= 3; classes++) {
        double cold[3 * (WIDTH + 1)], warm[3 * (WIDTH + 1)];
        size_t n = 0;
        for (int i = N; i-- > 0;)
            if (labels[i] < classes)
                rows[n++] = (uint32_t)i;
        assert_int_equal(svm_train(x, labels, rows, n, WIDTH, classes, 0.1, 1e-7, false, cold), GRAFT_OK);
        assert_int_equal(svm_train(x, labels, rows, n, WIDTH, classes, 1e-3, 1e-7, false, warm), GRAFT_OK);
        assert_true(fabs(warm[0] - cold[0]) > 1e-3); // another C has other weights
        assert_int_equal(svm_train(x, labels, rows, n, WIDTH, classes, 0.1, 1e-7, true, warm), GRAFT_OK);
        for (int k = 0; k < classes * (WIDTH + 1); k++)
            assert_true(fabs(warm[k] - cold[k]) < 1e-5); // as near()
    }
}

// Weights that are the solution already end the search at once, so a loose tolerance keeps them.
static void test_warm_begins_there(void **state)
{
    (void)state;
    static uint32_t rows[N];
    double best[3 * (WIDTH + 1)], w[3 * (WIDTH + 1)];
    for (uint32_t i = 0; i < N; i++)
        rows[i] = N - 1 - i;
    assert_int_equal(svm_train(x, labels, rows, N, WIDTH, 3, 0.1, 1e-9, false, best), GRAFT_OK);
    memcpy(w, best, sizeof w);
    assert_int_equal(svm_train(x, labels, rows, N, WIDTH, 3, 0.1, 0.1, true, w), GRAFT_OK);
    for (int k = 0; k < 3 * (WIDTH + 1); k++)
        assert_true(fabs(w[k] - best[k]) < 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_three), cmocka_unit_test(test_two),
                                       cmocka_unit_test(test_out_of_fold), cmocka_unit_test(test_one_class),
                                       cmocka_unit_test(test_warm), cmocka_unit_test(test_warm_begins_there)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
