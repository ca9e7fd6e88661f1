// tests/train/test_range.c: the learning rate range test beside a plain loop, its valley beside all subsequences, and
// `graft lr-find` from outside.

#include "toy.h"
#include "tiny.h"
#include "train/range_test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 60, BATCH = 4 };

// ---- the reference: stochastic gradient descent written out, its losses smoothed by their definition

struct plain { struct model *model; double rate; };

static void descend(void *user, struct gradient g)
{
    struct plain *p = user;
    float *w = p->model->params.block + p->model->params.entries[g.entry].offset + g.first;
    for (size_t i = 0; i < g.n; i++)
        w[i] -= (float)p->rate * g.values[i];
}

static int reference(struct model *m, const struct dataset *d, double *losses, double *smoothed)
{
    const size_t item = (size_t)m->input.size * (size_t)m->input.size * 3;
    float *input = calloc(BATCH * item, sizeof *input), *targets = malloc(sizeof *targets * BATCH * 2);
    uint32_t *order = malloc(d->count * sizeof *order);
    struct plain plain = {.model = m};
    struct arena *arena;
    struct plan *plan;
    double average = 0, least = INFINITY;
    size_t n, at = 0;
    int step = 0, epoch = 1;
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(
        plan_build(&m->graph, &m->params, arena, &(struct plan_options){.batch = BATCH, .mode = PLAN_TRAIN}, &plan),
        GRAFT_OK);
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    assert_int_equal(dataset_order(d, 5, 1, order, &n), GRAFT_OK);
    for (; step < STEPS; step++) {
        if (at + BATCH > n) { // a part of a batch is left out
            at = 0;
            assert_int_equal(dataset_order(d, 5, (uint64_t)++epoch, order, &n), GRAFT_OK);
        }
        for (int i = 0; i < BATCH; i++, at++) {
            assert_int_equal(sample_load(d, order[at], &m->input, NULL, input + (size_t)i * item), GRAFT_OK);
            for (int c = 0; c < 2; c++)
                targets[i * 2 + c] = d->samples[order[at]].label == c;
        }
        plain.rate = 1e-4 * pow(1e8, step / (STEPS - 1.0)); // 1e-4 to 1e4
        const struct run run = {.input = input, .targets = targets, .seed = 5, .step = (uint64_t)step, .ready = descend,
                                .user = &plain};
        assert_int_equal(plan_run(plan, &run, &losses[step]), GRAFT_OK);
        if (!isfinite(losses[step]))
            break;
        average = 0.98 * average + 0.02 * losses[step];
        smoothed[step] = average / (1 - pow(0.98, step + 1));
        least = fmin(least, smoothed[step]);
        if (smoothed[step] > 4 * least) {
            step++;
            break;
        }
    }
    plan_free(plan);
    arena_free(arena);
    free(input);
    free(targets);
    free(order);
    return step;
}

static void data_make(struct dataset *d)
{
    assert_int_equal(dataset_open(&(struct data_options){.paths = (const char *const[]){"tinyset"}, .n_paths = 1}, d),
                     GRAFT_OK);
    assert_int_equal(dataset_split(d, "0.3", 0, 1), GRAFT_OK);
}

static void test_beside_a_plain_loop(void **state)
{
    (void)state;
    struct dataset d;
    struct model m;
    struct range_result r;
    double losses[STEPS], smoothed[STEPS];
    exec_set_threads(1);
    data_make(&d);
    assert_int_equal(tiny_model(&m, &d, 0), GRAFT_OK);
    const int n = reference(&m, &d, losses, smoothed);
    model_close(&m);
    assert_in_range(n, 20, STEPS - 1); // the loss explodes before the end
    struct range_options options = {.recipe = tiny_guide(1),
                                    .lowest = 1e-4,
                                    .highest = 1e4,
                                    .steps = STEPS,
                                    .batch = BATCH,
                                    .workers = 1,
                                    .seed = 5,
                                    .bn = BN_TRAIN};
    options.recipe.optim.momentum = 0;
    options.recipe.optim.nesterov = false;
    assert_int_equal(tiny_model(&m, &d, 0), GRAFT_OK);
    assert_int_equal(range_test(&m, &d, &options, &r), GRAFT_OK);
    assert_int_equal(r.n, n);
    for (int i = 0; i < n; i++) { // the same sums, each with its own way of rounding the rate
        const double lr = 1e-4 * pow(1e8, i / (STEPS - 1.0));
        if (fabs(r.rates[i] - lr) > 1e-12 * lr || fabs(r.losses[i] - losses[i]) > 1e-4 * losses[i] ||
            fabs(r.smoothed[i] - smoothed[i]) > 1e-4 * smoothed[i])
            fail_msg("step %d: rate %g, loss %g, smoothed %g; expected %g, %g, %g", i, r.rates[i], r.losses[i],
                     r.smoothed[i], lr, losses[i], smoothed[i]);
    }
    assert_in_range(r.suggested, STEPS / 10, n - 1);
    assert_true(r.smoothed[r.suggested] < r.smoothed[STEPS / 10] && r.rates[r.suggested] < r.rates[n - 1] / 10);
    range_result_fini(&r);
    model_close(&m);
    dataset_free(&d);
}

// ---- the valley

// The longest falling subsequence that ends earliest, by trying all.
static void try_all(const double *y, int n, int from, double below, int length, int *most, int *end)
{
    for (int i = from; i < n; i++)
        if (y[i] < below) {
            if (length + 1 > *most || (length + 1 == *most && i < *end)) {
                *most = length + 1;
                *end = i;
            }
            try_all(y, n, i + 1, y[i], length + 1, most, end);
        }
}

static void test_valley(void **state)
{
    (void)state;
    unsigned random = 7;
    for (int round = 0; round < 300; round++) {
        double y[14];
        const int n = 2 + round % 13;
        int most = 0, end = 0;
        for (int i = 0; i < n; i++) {
            random = random * 1103515245u + 12345u;
            y[i] = (random >> 16) % 10;
        }
        try_all(y, n, 0, INFINITY, 0, &most, &end);
        const int middle = end - most + most / 3 + most / 3 / 2;
        assert_int_equal(range_valley(y, n), most < 2 ? -1 : middle > 0 ? middle : 0);
    }
    const double rises[] = {1, 2, 3};
    assert_int_equal(range_valley(rises, 3), -1);
    assert_int_equal(range_valley(rises, 0), -1);
}

// ---- through graft.h

#define BASE "data", "set", "weights", "none", "batch", "8", "threads", "1", "steps", "30"

static void test_from_outside(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(RUN("lr-find", &seen, BASE, "output", "rates.svg"), GRAFT_OK);
    assert_int_equal(seen.results, 1);
    char *svg = text_of_file("rates.svg");
    assert_non_null(strstr(svg, "xmlns=\"http://www.w3.org/2000/svg\""));
    assert_non_null(strstr(svg, ">1e-4</text>"));
    free(svg);
    static const char *const bad[][3] = {{"lr-min", "0"}, {"lr-min", "100"}, {"lr-max", "nan"}, {"steps", "5"},
                                         {"lr-mult", "hed=2"}, {"recipe", "fast"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *arguments[11] = {"data", "set", "weights", "none", "output", "senseless.svg"};
        memcpy(arguments + 6, bad[i], sizeof bad[i]);
        assert_int_equal(toy_run("lr-find", &seen, arguments), GRAFT_BAD_OPTION);
        assert_false(file_exists("senseless.svg"));
    }
    assert_int_equal(RUN("lr-find", &seen, BASE, "output", "nowhere/rates.svg"), GRAFT_BAD_FILE);
}

// A model file that is tested, and the run it lies in, stay as they are.
static void test_changes_nothing(void **state)
{
    (void)state;
    struct seen seen = {0};
    uint64_t before, after;
    assert_int_equal(RUN("train", &seen, "data", "set", "weights", "none", "batch", "8", "threads", "1", "epochs", "1",
                         "recipe", "guide", "output", "run"), GRAFT_OK);
    assert_int_equal(file_hash("run/model.safetensors", &before, NULL, 0), GRAFT_OK);
    const int files = files_named("run", "");
    assert_int_equal(RUN("lr-find", &seen, "data", "set", "weights", "run/model.safetensors", "batch", "8", "steps",
                         "20", "recipe", "best", "output", "again.svg"),
                     GRAFT_OK);
    assert_int_equal(file_hash("run/model.safetensors", &after, NULL, 0), GRAFT_OK);
    assert_true(before == after);
    assert_int_equal(files_named("run", ""), files);
}

static int setup(void **state)
{
    if (toy_setup(state) != 0)
        return -1;
    toy_set("tinyset", 22, 8);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_beside_a_plain_loop), cmocka_unit_test(test_valley),
                                       cmocka_unit_test(test_from_outside), cmocka_unit_test(test_changes_nothing)};
    return cmocka_run_group_tests_name("range", tests, setup, toy_teardown);
}
