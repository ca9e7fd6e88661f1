// tests/train/test_train.c: fine-tuning from outside, through graft.h, on arrays that a network tells apart at once.

#include "toy.h"
#include "base/json.h"
#include "infer/metrics.h"
#include "tensor/tensor.h"
#include "weights/weights.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = TOY_N, SIDE = TOY_SIDE };

#define TRAIN(seen, ...) \
    RUN("train", seen, "data", "set", "weights", "none", "val", "0.4", "batch", "5", "dropout", "0", "lr", "0.02", \
        "threads", "1", __VA_ARGS__)

// Class probabilities of the row of a CSV whose first field is `path`; `skip` fields lie between.
static bool row_read(const char *file, const char *path, int skip, double p[2])
{
    FILE *csv = fopen(file, "r");
    char line[512];
    bool found = false;
    assert_non_null(csv);
    while (!found && fgets(line, sizeof line, csv) != NULL) {
        char *at = line + (line[0] == '"');
        if (strncmp(at, path, strlen(path)) != 0 || (at[strlen(path)] != ',' && at[strlen(path)] != '"'))
            continue;
        at = strchr(at, ',');
        for (int i = 0; at != NULL && i < skip; i++)
            at = strchr(at + 1, ',');
        found = at != NULL && sscanf(at, ",%lf,%lf", &p[0], &p[1]) == 2;
    }
    fclose(csv);
    return found;
}

static json_t *checkpoint_state(const char *path, size_t *velocities)
{
    struct tensor_set set = {0};
    json_t *meta, *state;
    assert_int_equal(weights_read(path, &set), GRAFT_OK);
    meta = json_loads(set.metadata, 0, NULL);
    assert_non_null(meta);
    state = json_loads(json_string_value(json_object_get(meta, "graft.checkpoint")), 0, NULL);
    assert_non_null(state);
    *velocities = 0;
    for (size_t i = 0; i < set.count; i++)
        if (strncmp(set.items[i].name, "optimizer.velocity.", 19) == 0) {
            const struct named_tensor *own = tensor_find(&set, set.items[i].name + 19);
            assert_non_null(own);
            assert_true(shape_equal(own->shape, set.items[i].shape));
            ++*velocities;
        }
    json_decref(meta);
    tensor_set_free(&set);
    return state;
}

// The loss falls, the folder is whole, and `predict` says of the held-out pictures what the best epoch said.
static void test_end_to_end(void **state)
{
    (void)state;
    static const char *const files[] = {
        "model.safetensors",   "last.ckpt.safetensors", "args.json",       "classes.txt",
        "split.csv",           "events.jsonl",          "results.csv",     "results.json",
        "val_predictions.csv", "confusion_matrix.csv",  "per_class.csv",   "skipped.csv",
        "layers.csv",          "report.html",           "media/train.csv", "media/train-00.jpg"};
    struct seen seen = {0};
    if (TRAIN(&seen, "epochs", "5", "output", "run") != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(seen.results, 5);
    assert_true(seen.last_loss < seen.first_loss / 2);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        snprintf(path, sizeof path, "run/%s", files[i]);
        if (!file_exists(path))
            fail_msg("no %s", path);
    }
    struct seen predicted = {0};
    assert_int_equal(RUN("predict", &predicted, "", "run/model.safetensors", "", "set/x.npy", "csv", "out.csv"),
                     GRAFT_OK);
    assert_int_equal(predicted.results, N);
    int compared = 0;
    for (int i = 0; i < N; i++) {
        char path[64];
        double held[2], again[2];
        snprintf(path, sizeof path, "x.npy#%d", i); // as the data room names an element
        assert_true(row_read("out.csv", path, 0, again));
        if (!row_read("run/val_predictions.csv", path, 1, held))
            continue;
        compared++;
        assert_true(fabs(held[0] - again[0]) <
                    1e-5); // the same kernels at another batch size: rounding of the text only
        assert_true(fabs(held[1] - again[1]) < 1e-5);
    }
    assert_int_equal(compared, 16);

    size_t velocities;
    json_t *at = checkpoint_state("run/last.ckpt.safetensors", &velocities);
    assert_int_equal(json_integer_value(json_object_get(at, "epochs")), 5);
    assert_int_equal(json_integer_value(json_object_get(at, "steps")), 0);
    assert_int_equal(json_integer_value(json_object_get(at, "updates")),
                     25); // 24 pictures, 5 a batch, the last partial
    assert_true(velocities > 100);
    json_decref(at);
    struct seen last = {0};
    assert_int_equal(RUN("predict", &last, "", "run/last.ckpt.safetensors", "", "set/x.npy"), GRAFT_OK);
    assert_int_equal(last.results, N);
    assert_int_equal(TRAIN(&seen, "epochs", "1", "output", "run"), GRAFT_BAD_OPTION); // a run is never overwritten
}

static void test_cancel_writes_a_checkpoint(void **state)
{
    (void)state;
    struct seen seen = {.stop_after = 7}; // the second step of the second epoch
    size_t velocities;
    assert_int_equal(TRAIN(&seen, "epochs", "5", "output", "stopped"), GRAFT_CANCELLED);
    assert_non_null(strstr(graft_message(), "stopped/last.ckpt.safetensors"));
    json_t *at = checkpoint_state("stopped/last.ckpt.safetensors", &velocities);
    assert_int_equal(json_integer_value(json_object_get(at, "epochs")), 1);
    assert_int_equal(json_integer_value(json_object_get(at, "steps")), 2);
    assert_int_equal(json_integer_value(json_object_get(at, "updates")), 7);
    json_decref(at);
}

// Keras's rule ties two checkpoints a step apart together: w2 - w1 = (1 + m) v2 - m v1, whatever the gradients were.
static void test_checkpoint_holds_the_velocity(void **state)
{
    (void)state;
    struct tensor_set one = {0}, two = {0};
    struct seen seen = {.stop_after = 1};
    double moved = 0, worst = 0;
    assert_int_equal(TRAIN(&seen, "output", "one"), GRAFT_CANCELLED);
    seen = (struct seen){.stop_after = 2};
    assert_int_equal(TRAIN(&seen, "output", "two"), GRAFT_CANCELLED);
    assert_int_equal(weights_read("one/last.ckpt.safetensors", &one), GRAFT_OK);
    assert_int_equal(weights_read("two/last.ckpt.safetensors", &two), GRAFT_OK);
    for (size_t i = 0; i < two.count; i++) {
        const char *name = two.items[i].name;
        size_t count;
        if (strncmp(name, "optimizer.velocity.", 19) != 0)
            continue;
        const struct named_tensor *v1 = tensor_find(&one, name), *w1 = tensor_find(&one, name + 19);
        const struct named_tensor *v2 = &two.items[i], *w2 = tensor_find(&two, name + 19);
        assert_true(v1 != NULL && w1 != NULL && w2 != NULL && shape_count(v2->shape, &count));
        for (size_t k = 0; k < count; k++) {
            const double step = (double)((const float *)w2->data)[k] - ((const float *)w1->data)[k];
            const double rule = 1.9 * ((const float *)v2->data)[k] - 0.9 * ((const float *)v1->data)[k];
            moved = fmax(moved, fabs(step));
            worst = fmax(worst, fabs(step - rule));
        }
    }
    assert_true(moved > 1e-4);
    assert_true(worst < 1e-6); // a few roundings of weights near 1
    tensor_set_free(&one);
    tensor_set_free(&two);
}

static void test_no_save_leaves_events_only(void **state)
{
    (void)state;
    struct seen seen = {0};
    int files = 0;
    assert_int_equal(TRAIN(&seen, "epochs", "1", "no-save", "", "output", "unsaved"), GRAFT_OK);
    DIR *d = opendir("unsaved");
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        files += e->d_name[0] != '.';
    closedir(d);
    assert_int_equal(files, 1);
    assert_true(file_exists("unsaved/events.jsonl"));
}

static void test_large_batch_is_clipped(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(TRAIN(&seen, "epochs", "1", "batch", "64", "no-save", "", "output", "clipped"), GRAFT_OK);
    assert_non_null(strstr(seen.warnings, "larger than the 24 training pictures"));
    assert_int_equal(seen.steps, 1);
}

// Histograms look on: the weights come out the same, to the bit, and their lines say what the model holds.
static void test_histograms(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct tensor_set plain = {0}, watched = {0};
    struct file_map map;
    int weights = 0, gradients = 0;
    assert_int_equal(TRAIN(&seen, "epochs", "2", "val", "0", "output", "plain"), GRAFT_OK);
    assert_int_equal(TRAIN(&seen, "epochs", "2", "val", "0", "histograms", "", "output", "watched"), GRAFT_OK);
    assert_int_equal(weights_read("plain/model.safetensors", &plain), GRAFT_OK);
    assert_int_equal(weights_read("watched/model.safetensors", &watched), GRAFT_OK);
    assert_int_equal(file_map_open("watched/histograms.jsonl", &map), GRAFT_OK);
    for (size_t i = 0; i < plain.count; i++) {
        const struct named_tensor *t = tensor_find(&watched, plain.items[i].name);
        size_t count;
        assert_true(t != NULL && shape_count(t->shape, &count));
        assert_memory_equal(t->data, plain.items[i].data, count * sizeof(float));
    }
    for (const char *at = (const char *)map.data.ptr, *end = at + map.data.size; at < end; at = strchr(at, '\n') + 1) {
        json_t *o = json_loadb(at, (size_t)(strchr(at, '\n') - at), 0, NULL);
        assert_non_null(o);
        const bool of_weights = strcmp(json_string_value(json_object_get(o, "kind")), "weights") == 0;
        const json_t *counts = json_object_get(o, "counts");
        json_int_t counted = 0;
        for (size_t i = 0; i < json_array_size(counts); i++)
            counted += json_integer_value(json_array_get(counts, i));
        assert_int_equal(counted, json_integer_value(json_object_get(o, "num")));
        *(of_weights ? &weights : &gradients) += 1;
        if (of_weights && json_integer_value(json_object_get(o, "epoch")) == 2) { // the model is the last epoch's
            const struct named_tensor *t = tensor_find(&watched, json_string_value(json_object_get(o, "name")));
            const float *x = t != NULL ? t->data : NULL;
            double least = INFINITY, sum = 0;
            size_t count;
            assert_true(x != NULL && shape_count(t->shape, &count));
            for (size_t i = 0; i < count; i++) {
                least = fmin(least, x[i]);
                sum += x[i];
            }
            assert_int_equal(json_integer_value(json_object_get(o, "num")), count);
            // nine digits are written
            assert_true(fabs(json_number_value(json_object_get(o, "min")) - least) <= 1e-8 * (1 + fabs(least)));
            assert_true(fabs(json_number_value(json_object_get(o, "sum")) - sum) <= 1e-7 * (1 + fabs(sum)));
        }
        json_decref(o);
    }
    assert_int_equal(weights, 2 * (int)plain.count - 2 * (tensor_find(&plain, SAFETENSORS_SEAL) != NULL));
    assert_true(gradients > 2 * 100 && gradients < weights); // running statistics have none
    file_map_close(&map);
    tensor_set_free(&plain);
    tensor_set_free(&watched);
}

static void test_without_validation(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(TRAIN(&seen, "epochs", "2", "val", "0", "output", "noval"), GRAFT_OK);
    assert_true(file_exists("noval/model.safetensors"));
    assert_false(file_exists("noval/val_predictions.csv"));
    json_t *result;
    assert_int_equal(json_read_file("noval/results.json", &result), GRAFT_OK);
    assert_int_equal(json_integer_value(json_object_get(result, "best_epoch")), 2); // the last
    json_decref(result);
}

// Numbers worked out by hand; log-loss of a certain mistake is -log(eps / (1 - eps + eps)) after renormalising.
static void test_metrics(void **state)
{
    (void)state;
    const float p[] = {0.7f, 0.3f, 0.4f, 0.6f, 1, 0, 0.5f, 0.5f};
    const int labels[] = {0, 0, 1, 1};
    const struct metrics m = metrics_of(p, labels, 4, 2);
    const double eps = 1.1920928955078125e-7;
    assert_true(fabs(m.log_loss - (-log(0.7) - log(0.4) - log(eps) - log(0.5)) / 4) < 1e-6);
    assert_true(m.top1 == 0.25 && m.top5 == 1); // a tie counts against us
    size_t count[4] = {0};
    confusion_of(p, labels, 4, 2, count);
    assert_true(count[0] == 1 && count[1] == 1 && count[2] == 2 && count[3] == 0);
    const struct class_metrics zero = class_metrics_of(count, 2, 0), one = class_metrics_of(count, 2, 1);
    assert_true(zero.n == 2 && fabs(zero.precision - 1 / 3.0) < 1e-12 && zero.recall == 0.5 &&
                fabs(zero.f1 - 0.4) < 1e-12);
    assert_true(one.n == 2 && one.precision == 0 && one.recall == 0 && one.f1 == 0);
    // bins 10: 0.7 right; 9: 0.6 wrong; 14: 1 wrong; 7: 0.5 (the tie's first class) wrong
    assert_true(fabs(calibration_error(p, labels, 4, 2) - (0.3 + 0.6 + 1 + 0.5) / 4) < 1e-6);
    // what is no number is never right, whichever class has it
    const float none[] = {NAN, NAN, NAN, 0.6f, 0.4f, NAN};
    const int all[] = {0, 1, 0};
    const struct metrics of_none = metrics_of(none, all, 3, 2);
    assert_true(isnan(of_none.log_loss) && of_none.top1 == 0 && of_none.top5 == 0);
    assert_true(isfinite(calibration_error(none, all, 3, 2)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_metrics),
                                       cmocka_unit_test(test_end_to_end),
                                       cmocka_unit_test(test_cancel_writes_a_checkpoint),
                                       cmocka_unit_test(test_checkpoint_holds_the_velocity),
                                       cmocka_unit_test(test_no_save_leaves_events_only),
                                       cmocka_unit_test(test_large_batch_is_clipped),
                                       cmocka_unit_test(test_without_validation),
                                       cmocka_unit_test(test_histograms)};
    return cmocka_run_group_tests_name("train", tests, toy_setup, toy_teardown);
}
