// tests/train/test_trained.c: what model files say of how they came about.

#include "toy.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/memory.h"
#include "weights/weights.h"
#include <string.h>

static json_t *trained_of(const char *path)
{
    struct tensor_set set;
    json_t *meta, *trained;
    assert_int_equal(weights_read(path, &set), GRAFT_OK);
    assert_int_equal(json_parse((bytes){(const uint8_t *)set.metadata, strlen(set.metadata)}, path, &meta), GRAFT_OK);
    const char *text = json_string_value(json_object_get(meta, "graft.trained"));
    assert_non_null(text);
    assert_int_equal(json_parse((bytes){(const uint8_t *)text, strlen(text)}, path, &trained), GRAFT_OK);
    json_decref(meta);
    tensor_set_free(&set);
    return trained;
}

static const char *string_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void train_to(const char *weights, const char *folder, const char *epochs)
{
    struct seen seen = {0};
    assert_int_equal(RUN("train", &seen, "data", "set/", "weights", weights, "epochs", epochs, "imgsz", "32", "val",
                         "0.25", "batch", "16", "model", "efficientnet_lite0", "output", folder, "threads", "2"),
                     GRAFT_OK);
}

static void test_model_says_its_source(void **state)
{
    char digest[DIGEST_TEXT];
    (void)state;
    train_to("none", "first", "1");
    json_t *first = trained_of("first/model.safetensors");
    assert_string_equal(string_of(first, "weights"), "none");
    assert_null(json_object_get(first, "sha256"));
    assert_int_equal(json_integer_value(json_object_get(first, "epoch")), 1);
    assert_true(json_real_value(json_object_get(first, "val_log_loss")) > 0);
    const json_t *options = json_object_get(first, "options");
    assert_string_equal(string_of(options, "data"), "set");
    assert_string_equal(string_of(options, "imgsz"), "32");
    assert_string_equal(string_of(options, "lr"), "0.001"); // a default is said too
    assert_null(json_object_get(options, "output"));
    assert_null(json_object_get(options, "threads"));
    assert_null(json_object_get(options, "resize")); // not set, and without a default
    json_decref(first);
    // another run from that model, by its path: the name alone is kept, and whose bytes they were
    train_to("./first/model.safetensors", "second", "1");
    assert_int_equal(digest_file("first/model.safetensors", DIGEST_SHA256, digest), GRAFT_OK);
    json_t *second = trained_of("second/model.safetensors");
    assert_string_equal(string_of(second, "weights"), "model.safetensors");
    assert_string_equal(string_of(second, "sha256"), digest);
    assert_string_equal(string_of(json_object_get(second, "options"), "weights"), "model.safetensors");
    json_decref(second);
    // from a checkpoint: that run's beginning
    train_to("second/last.ckpt.safetensors", "third", "1");
    json_t *third = trained_of("third/model.safetensors");
    assert_string_equal(string_of(third, "sha256"), digest);
    assert_string_equal(string_of(json_object_get(third, "options"), "weights"), "last.ckpt.safetensors");
    json_decref(third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_model_says_its_source, toy_setup, toy_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
