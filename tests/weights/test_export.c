// weights/test_export.c: the writers of whole models, on a network of every operation.
// In: golden/weights/every_op.*: hashes of files that this test wrote once (with GRAFT_MAKE_GOLDENS=FOLDER it writes them
// again), and their outputs by ONNX Runtime and Keras, made by tools/ref/run_exports.py.

#include "every_op.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "exec/plan.h"
#include "weights/keras_layers.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *golden(const char *name)
{
    static char path[4][4096];
    static int next;
    const char *folder = getenv("GRAFT_GOLDEN");
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], "%s/weights/%s", folder ? folder : GRAFT_SOURCE "/tests/golden", name);
    return out;
}

static const char *scratch(const char *name)
{
    static char path[2][4096];
    static int next;
    const char *folder = getenv("GRAFT_MAKE_GOLDENS"), *tmp = getenv("TMPDIR");
    char *out = path[next++ % 2];
    if (folder)
        snprintf(out, sizeof path[0], "%s/%s", folder, name);
    else
        snprintf(out, sizeof path[0], "%s/graft-test-%d-%s", tmp ? tmp : "/tmp", (int)getpid(), name);
    return out;
}

static void discard(const char *path)
{
    if (!getenv("GRAFT_MAKE_GOLDENS"))
        unlink(path);
}

static void open_map(const char *path, struct file_map *out)
{
    if (file_map_open(path, out) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

// The golden outputs of another runtime equal graft's own.
static void check_outputs(bool lrn, const char *name)
{
    struct every_op e;
    struct file_map expected;
    float logits[EVERY_BATCH * EVERY_CLASSES], largest = 0;
    every_op_init(&e, lrn);
    if (getenv("GRAFT_MAKE_GOLDENS"))
        assert_int_equal(file_write_all(scratch("every_op.input.f32"), e.input,
                                        EVERY_BATCH * 3 * EVERY_SIZE * EVERY_SIZE * sizeof(float)), GRAFT_OK);
    every_op_run(&e, logits);
    open_map(golden(name), &expected);
    assert_int_equal(expected.data.size, sizeof logits);
    float values[EVERY_BATCH * EVERY_CLASSES];
    memcpy(values, expected.data.ptr, sizeof values);
    for (size_t i = 0; i < COUNT_OF(values); i++)
        largest = fmaxf(largest, fabsf(values[i]));
    for (size_t i = 0; i < COUNT_OF(values); i++)
        if (!(fabsf(values[i] - logits[i]) <= 1e-5f * largest)) // float32, sums of at most 200 products
            fail_msg("%s: logit %zu is %.8g, expected %.8g", name, i, (double)logits[i], (double)values[i]);
    file_map_close(&expected);
    every_op_fini(&e);
}

static void test_outputs(void **state)
{
    (void)state;
    check_outputs(true, "every_op.onnx.f32");
    check_outputs(false, "every_op.keras.f32");
    check_outputs(false, "every_op.h5.f32");
}

static graft_status write_keras(const char *path, const struct exported *e) { return keras_write(path, e, KERAS_ARCHIVE); }
static graft_status write_h5(const char *path, const struct exported *e) { return keras_write(path, e, KERAS_H5); }
static graft_status write_weights(const char *path, const struct exported *e) { return keras_write(path, e, KERAS_WEIGHTS); }
static const struct writer {
    const char *name;
    bool lrn;
    graft_status (*write)(const char *path, const struct exported *e);
} writers[] = {{"every_op.onnx", true, onnx_write}, {"every_op.keras", false, write_keras}, {"every_op.h5", false, write_h5}};

// Written as they were when the other tools ran them: every_op.hashes has a line "NAME XXH64" a file.
static void test_bytes(void **state)
{
    (void)state;
    struct every_op e;
    struct file_map map, expected;
    char found[512] = "";
    for (size_t i = 0; i < COUNT_OF(writers); i++) {
        every_op_init(&e, writers[i].lrn);
        const struct exported exported = every_op_exported(&e);
        const char *path = scratch(writers[i].name);
        if (writers[i].write(path, &exported) != GRAFT_OK)
            fail_msg("%s", graft_message());
        open_map(path, &map);
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s %016llx\n", writers[i].name,
                 (unsigned long long)hash_of(map.data));
        file_map_close(&map);
        discard(path);
        every_op_fini(&e);
    }
    if (getenv("GRAFT_MAKE_GOLDENS"))
        assert_int_equal(file_write_all(scratch("every_op.hashes"), found, strlen(found)), GRAFT_OK);
    open_map(golden("every_op.hashes"), &expected);
    if (expected.data.size != strlen(found) || memcmp(expected.data.ptr, found, expected.data.size) != 0)
        fail_msg("written files changed: now\n%sLet run_exports.py look at them and keep their outputs", found);
    file_map_close(&expected);
}

// What Keras cannot compute is refused, and nothing is left behind.
static void test_keras_refused(void **state)
{
    (void)state;
    struct every_op e;
    struct stat st;
    every_op_init(&e, true);
    struct exported exported = every_op_exported(&e);
    const char *path = scratch("refused.keras");
    assert_int_equal(write_keras(path, &exported), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "LRN"));
    assert_int_not_equal(stat(path, &st), 0);

    static const struct { struct pool_attr pool; bool largest, relu; graft_status status; } rows[] = {
        {{3, 3, 2, 2, 1, 1, 1, 1, false}, true, false, GRAFT_BAD_FILE},  // 14 -> 7: Keras's "same" is 0 and 1
        {{3, 3, 2, 2, 1, 1, 1, 1, false}, true, true, GRAFT_OK},         // nothing below zero: zeros do
        {{3, 3, 2, 2, 0, 0, 1, 1, false}, true, false, GRAFT_OK},        // "same"
        {{3, 3, 2, 2, 1, 1, 1, 1, false}, false, true, GRAFT_BAD_FILE},  // an average without its padding
        {{3, 3, 2, 2, 0, 0, 1, 1, false}, false, true, GRAFT_BAD_FILE},  // likewise, "same" on one backend only
        {{3, 3, 2, 2, 1, 1, 1, 1, true}, false, false, GRAFT_OK},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct graph g;
        struct keras_model model;
        graph_init(&g, 3, 14, 14);
        const int v = rows[i].relu ? graph_relu(&g, 0) : 0;
        const int pool = rows[i].largest ? graph_maxpool(&g, v, rows[i].pool) : graph_avgpool(&g, v, rows[i].pool);
        assert_int_equal(graph_finish(&g, graph_dense(&g, pool, "head", 2, true)), GRAFT_OK);
        exported.graph = &g;
        const graft_status status = keras_layers_make(&exported, &model);
        if (status != rows[i].status)
            fail_msg("row %zu: status %d, expected %d", i, status, rows[i].status);
        if (status == GRAFT_OK)
            keras_layers_fini(&model);
        graph_fini(&g);
    }
    every_op_fini(&e);
}

// ---- back again

// Random weights of a network of the zoo.
static void network_init(const char *name, struct every_op *e)
{
    const struct network *net = zoo_find(name);
    assert_non_null(net);
    *e = (struct every_op){.network = *net};
    assert_int_equal(net->build(net, &e->graph, net->input.size, EVERY_CLASSES, net->dropout), GRAFT_OK);
    assert_int_equal(graph_freeze(&e->graph, 0, BN_TRAIN), GRAFT_OK);
    every_op_draw(e);
}

static void check_same_tensors(const struct every_op *e, const struct tensor_set *set)
{
    for (int i = 0; i < e->params.count; i++) {
        const struct param_entry *entry = &e->params.entries[i];
        const struct named_tensor *t = tensor_find(set, entry->name);
        size_t count;
        if (t == NULL || !shape_equal(t->shape, entry->shape))
            fail_msg("%s: '%s' is %s, expected %s", e->network.name, entry->name, t ? shape_text(t->shape) : "missing",
                     shape_text(entry->shape));
        assert_true(shape_count(entry->shape, &count));
        float *expected = malloc(count * sizeof *expected), *found = malloc(count * sizeof *found);
        param_to_canonical(&e->params, i, expected);
        assert_int_equal(tensor_to_f32(t, found), GRAFT_OK);
        assert_memory_equal(found, expected, count * sizeof *found);
        free(expected);
        free(found);
    }
    assert_int_equal(set->count, e->params.count);
}

// Takes the layers' names away: such files tell layers by class and number alone.
static void make_nameless(const char *path)
{
    struct file_map file;
    open_map(path, &file);
    uint8_t *copy = malloc(file.data.size);
    memcpy(copy, file.data.ptr, file.data.size);
    for (size_t i = 0; i + 8 < file.data.size && i < 1 << 20; i++) // an attribute's name, padded to 8
        if (memcmp(copy + i, "name\0\0\0\0\x19\x01", 10) == 0)
            copy[i] = 'N';
    assert_int_equal(file_write_all(path, copy, file.data.size), GRAFT_OK);
    file_map_close(&file);
    free(copy);
}

// Each of graft's files is read back by graft: under its names, and where there are none by Keras's order.
static void test_back(void **state)
{
    (void)state;
    static const char *const networks[] = {"efficientnet_lite0", "densenet121.keras", "resnet18"};
    static const struct { const char *file; graft_status (*write)(const char *, const struct exported *); bool nameless; }
        rows[] = {{"back.h5", write_h5, false}, {"back.keras", write_keras, false}, {"back.weights.h5", write_weights, true}};
    for (size_t n = 0; n < COUNT_OF(networks); n++) {
        struct every_op e;
        network_init(networks[n], &e);
        const struct exported exported = every_op_exported(&e);
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            struct tensor_set set;
            const struct network *found;
            const char *path = scratch(rows[i].file);
            if (rows[i].write(path, &exported) != GRAFT_OK)
                fail_msg("%s", graft_message());
            if (rows[i].nameless)
                make_nameless(path);
            if (weights_read(path, &set) != GRAFT_OK ||
                zoo_match(&set, &(struct match_request){.hint = zoo_find(networks[n]), .exact = true}, &found) != GRAFT_OK)
                fail_msg("%s", graft_message());
            check_same_tensors(&e, &set);
            if (strcmp(rows[i].file, "back.h5") == 0)
                assert_int_equal(set.n_owned, 0); // nothing was copied: the tensors are the mapped file's bytes
            tensor_set_free(&set);
            unlink(path);
        }
        every_op_fini(&e);
    }
}

// ---- failing calls: call number `fail_at` fails; -1: none

static long fail_at = -1, call_number;
static bool fails(void) { return call_number++ == fail_at; }

static struct memory_table kept_memory;
static void *failing_alloc(size_t size) { return fails() ? NULL : kept_memory.alloc(size); }
static void *failing_resize(void *old, size_t size) { return fails() ? NULL : kept_memory.resize(old, size); }
static void *failing_aligned(size_t alignment, size_t size)
{
    return fails() ? NULL : kept_memory.alloc_aligned(alignment, size);
}
static struct file_table kept_files;
static ssize_t failing_write(int fd, const void *data, size_t size)
{
    return fails() ? -1 : kept_files.write(fd, data, size);
}
static int failing_fsync(int fd) { return fails() ? -1 : kept_files.fsync(fd); }
static int failing_rename(const char *from, const char *to) { return fails() ? -1 : kept_files.rename(from, to); }

// The k-th allocation, or the k-th call of a file, fails: the old file stays as it was and no other one is left.
static void check_failures(const struct writer *writer, bool files)
{
    struct every_op e;
    struct stat st;
    char temporary[4200];
    every_op_init(&e, writer->lrn);
    const struct exported exported = every_op_exported(&e);
    const char *path = scratch("failing");
    snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid());
    assert_int_equal(file_write_all(path, "old", 3), GRAFT_OK);
    kept_memory = memory;
    kept_files = file_ops;
    graft_status status = GRAFT_FAILED;
    for (fail_at = 0; status != GRAFT_OK && fail_at < 5000; fail_at++) {
        call_number = 0;
        if (files) {
            file_ops.write = failing_write;
            file_ops.fsync = failing_fsync;
            file_ops.rename = failing_rename;
        } else
            memory = (struct memory_table){failing_alloc, failing_resize, failing_aligned, kept_memory.release};
        status = writer->write(path, &exported);
        memory = kept_memory;
        file_ops = kept_files;
        if (call_number <= fail_at) // nothing failed any more
            break;
        if (status == GRAFT_OK)
            fail_msg("call %ld failed unnoticed", fail_at);
        assert_int_equal(stat(path, &st), 0);
        assert_int_not_equal(stat(temporary, &st), 0);
        status = GRAFT_FAILED;
    }
    assert_int_equal(status, GRAFT_OK);
    assert_true(fail_at > 5);
    fail_at = -1;
    unlink(path);
    every_op_fini(&e);
}

static void test_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(writers); i++) {
        check_failures(&writers[i], false);
        check_failures(&writers[i], true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_keras_refused),
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_failures),
    };
    exec_set_threads(1); // the parallel loops are short here
    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
