// tests/infer/test_knn.c: neighbours beside scikit-learn's (tests/golden/infer/knn.*).

#include "infer/knn.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "exec/plan.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { N = 90, WIDTH = 19, K = 6 };
static float x[1000 * WIDTH];

static int setup(void **state)
{
    (void)state;
    struct file_map map;
    if (file_map_open(GRAFT_SOURCE "/tests/golden/infer/knn.f32", &map) != GRAFT_OK ||
        map.data.size != N * WIDTH * sizeof *x)
        return -1;
    memcpy(x, map.data.ptr, map.data.size);
    file_map_close(&map);
    return 0;
}

static void compare(const char *metric, int cosine)
{
    uint32_t index[N * K];
    float distance[N * K];
    json_t *golden;
    assert_int_equal(json_read_file(GRAFT_SOURCE "/tests/golden/infer/knn.json", &golden), GRAFT_OK);
    const json_t *one = json_object_get(golden, metric);
    assert_int_equal(knn_find(x, N, WIDTH, K, cosine, index, distance), GRAFT_OK);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < K; j++) {
            const json_t *row = json_array_get(json_object_get(one, "distance"), i);
            const double wanted = json_real_value(json_array_get(row, j));
            assert_int_equal(index[i * K + j],
                             json_integer_value(json_array_get(json_array_get(json_object_get(one, "index"), i), j)));
            // a float's digits; of cosines 1 - c of unit rows in float, within 4e-7
            assert_true(fabs(distance[i * K + j] - wanted) <= (cosine ? 4e-7 : 1e-6 * wanted + 1e-12));
        }
    json_decref(golden);
}

static void test_euclidean(void **state)
{
    (void)state;
    compare("euclidean", 0);
}

static void test_cosine(void **state)
{
    (void)state;
    compare("cosine", 1);
}

// Several blocks, the same rows twice, and a row of nothing, against the naive search.
static void test_blocks(void **state)
{
    (void)state;
    enum { MANY = 700, FEW = 3 };
    static uint32_t index[MANY * FEW];
    static float distance[MANY * FEW];
    for (size_t i = N * WIDTH; i < MANY * WIDTH; i++)
        x[i] = (float)((i * 2654435761u >> 7) % 1000) / 100;
    memcpy(x + 650 * WIDTH, x + 100 * WIDTH, WIDTH * sizeof *x);
    memset(x + 300 * WIDTH, 0, WIDTH * sizeof *x);
    assert_int_equal(knn_find(x, MANY, WIDTH, FEW, 0, index, distance), GRAFT_OK);
    assert_int_equal(index[650 * FEW], 100);
    assert_true(distance[650 * FEW] == 0);
    for (int i = 0; i < MANY; i += 37) {
        double last = -1;
        for (int j = 0; j < FEW; j++) { // the least that is not yet there
            double least = INFINITY;
            for (int o = 0; o < MANY; o++) {
                double d = 0;
                bool had = o == i;
                for (int k = 0; k < j; k++)
                    had |= index[i * FEW + k] == (uint32_t)o;
                for (int c = 0; c < WIDTH; c++)
                    d += ((double)x[i * WIDTH + c] - x[o * WIDTH + c]) * ((double)x[i * WIDTH + c] - x[o * WIDTH + c]);
                least = had ? least : fmin(least, sqrt(d));
            }
            assert_true(fabs(distance[i * FEW + j] - least) <= 1e-6 * least); // of a float
            assert_true(distance[i * FEW + j] >= last);
            last = distance[i * FEW + j];
        }
    }
    assert_int_equal(knn_find(x, MANY, WIDTH, FEW, 1, index, distance), GRAFT_OK);
    assert_true(distance[300 * FEW] == 1); // of a row of nothing, from everything
}

static pthread_t caller;
static int asked, asked_elsewhere;

static int stops(void *user)
{
    const int others = !pthread_equal(pthread_self(), caller);
    __atomic_fetch_add(&asked_elsewhere, others, __ATOMIC_RELAXED);
    return __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED) == *(int *)user;
}

// graft.h: hooks are called on the thread that called graft_run.
static void test_cancelled_by_the_caller(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    static uint32_t index[MANY];
    static float distance[MANY];
    int never = -1, first = 1;
    caller = pthread_self();
    exec_set_threads(2);
    hooks_set(&(graft_hooks){.user = &never, .cancelled = stops});
    assert_int_equal(knn_find(x, MANY, WIDTH, 1, 0, index, distance), GRAFT_OK);
    assert_true(asked > 1);
    assert_int_equal(asked_elsewhere, 0);
    asked = 0;
    hooks_set(&(graft_hooks){.user = &first, .cancelled = stops});
    assert_int_equal(knn_find(x, MANY, WIDTH, 1, 0, index, distance), GRAFT_CANCELLED);
    assert_int_equal(asked, 1);
    hooks_set(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_euclidean), cmocka_unit_test(test_cosine),
                                       cmocka_unit_test(test_blocks), cmocka_unit_test(test_cancelled_by_the_caller)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
