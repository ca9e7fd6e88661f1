// tests/train/test_folds.c: what folds say together, beside NumPy's and scikit-learn's figures; the rest is in
// tests/cli/test_entry.sh.

#include "toy.h"
#include "base/json.h"
#include "train/folds.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(const char *name, const char *text)
{
    assert_int_equal(file_write_all(name, text, strlen(text)), GRAFT_OK);
}

static void fold_put(int f, double loss, double top1, const char *predictions, const char *skipped)
{
    char name[64], text[256];
    snprintf(name, sizeof name, "run/fold-%d", f);
    assert_int_equal(file_make_folder(name), GRAFT_OK);
    snprintf(name, sizeof name, "run/fold-%d/results.json", f);
    snprintf(text, sizeof text, "{\"best_epoch\": 1, \"val_log_loss\": %g, \"val_top1\": %g, \"n\": 2}", loss, top1);
    put(name, text);
    snprintf(name, sizeof name, "run/fold-%d/events.jsonl", f);
    put(name, "{\"event\":\"start\"}\n{\"event\":\"end\",\"seconds\":1.5}\n");
    snprintf(name, sizeof name, "run/fold-%d/val_predictions.csv", f);
    put(name, predictions);
    snprintf(name, sizeof name, "run/fold-%d/skipped.csv", f);
    put(name, skipped);
}

static double figure(const json_t *o, const char *name)
{
    assert_true(json_is_number(json_object_get(o, name)));
    return json_number_value(json_object_get(o, name));
}

// float32 probabilities of %.7g: log-losses agree to 1e-7
#define NEAR(found, wanted) assert_true(fabs((found) - (wanted)) < 1e-7)

static void test_figures(void **state)
{
    (void)state;
    json_t *r;
    int missing;
    assert_int_equal(file_make_folder("run"), GRAFT_OK);
    put("run/folds.csv", "path,label,fold,stamp\na,x,0,0\nb,y,1,0\nc,y,0,0\nd,y,2,0\ne,x,2,0\n");
    fold_put(0, 0.5, 0.9, "path,label,x,y\nc,y,0.6,0.4\na,x,0.7,0.3\n", "path,reason\n");
    fold_put(1, 0.8, 0.7, "path,label,y,x\nb,y,0.8,0.2\n", "path,reason\n"); // its classes in another order
    assert_int_equal(folds_collect("run", 3, &missing), GRAFT_OK);
    assert_int_equal(missing, 1);
    assert_false(file_exists("run/oof_predictions.csv"));
    fold_put(2, 0.6, 0.75, "path,label,x,y\nd,y,0.1,0.9\n", "path,reason\ne,broken\n");
    assert_int_equal(folds_collect("run", 3, &missing), GRAFT_OK);
    assert_int_equal(missing, 0);
    assert_int_equal(json_read_file("run/results.json", &r), GRAFT_OK);
    NEAR(figure(r, "val_log_loss"), 0.6333333333333333); // numpy.mean, numpy.std(ddof=1)
    NEAR(figure(r, "val_log_loss_std"), 0.15275252316519466);
    NEAR(figure(r, "val_top1"), 0.7833333333333332);
    NEAR(figure(r, "val_top1_std"), 0.10408329997330664);
    NEAR(figure(r, "oof_log_loss"), 0.40036744471379865); // sklearn.metrics.log_loss of the four
    NEAR(figure(r, "oof_top1"), 0.75);
    NEAR(figure(r, "n"), 4);
    NEAR(figure(r, "skipped"), 1);
    NEAR(figure(r, "seconds"), 4.5);
    json_decref(r);
    char *csv = text_of_file("run/oof_predictions.csv");
    assert_string_equal(csv, "path,label,fold,x,y\na,x,0,0.7,0.3\nb,y,1,0.2,0.8\nc,y,0,0.6,0.4\nd,y,2,0.1,0.9\n");
    free(csv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_figures)};
    return cmocka_run_group_tests(tests, toy_setup, toy_teardown);
}
