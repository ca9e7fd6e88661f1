// weights/test_export.c: the writers of whole models, on a network of every operation.
// In: golden/weights/every_op.*: files that this test wrote once (with GRAFT_MAKE_GOLDENS=FOLDER it writes them again) and
// their outputs by ONNX Runtime, made by tools/ref/run_exports.py, which also has the format's own checker look at them.

#include "every_op.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/protobuf.h"
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

static void map(const char *path, struct file_map *out)
{
    if (file_map_open(path, out) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

// The golden outputs of another runtime equal graft's own.
static void check_outputs(const char *name)
{
    struct every_op e;
    struct file_map expected;
    float logits[EVERY_BATCH * EVERY_CLASSES], largest = 0;
    every_op_init(&e, true);
    if (getenv("GRAFT_MAKE_GOLDENS"))
        assert_int_equal(file_write_all(scratch("every_op.input.f32"), e.input,
                                        EVERY_BATCH * 3 * EVERY_SIZE * EVERY_SIZE * sizeof(float)), GRAFT_OK);
    every_op_run(&e, logits);
    map(golden(name), &expected);
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

static void test_onnx_outputs(void **state)
{
    (void)state;
    check_outputs("every_op.onnx.f32");
}

enum { PRODUCER_VERSION = 3 };

// Written as it was when ONNX Runtime ran it, but for the producer's version.
static void test_onnx_bytes(void **state)
{
    (void)state;
    struct every_op e;
    struct file_map found, expected;
    every_op_init(&e, true);
    const struct exported exported = every_op_exported(&e);
    const char *path = scratch("every_op.onnx");
    if (onnx_write(path, &exported) != GRAFT_OK)
        fail_msg("%s", graft_message());
    map(path, &found);
    map(golden("every_op.onnx"), &expected);
    struct reader a = reader_of(found.data), b = reader_of(expected.data);
    struct pb_field x, y;
    bool more = true, more_expected;
    while (more) {
        assert_int_equal(pb_next(&a, &x, &more), GRAFT_OK);
        assert_int_equal(pb_next(&b, &y, &more_expected), GRAFT_OK);
        assert_int_equal(more, more_expected);
        assert_int_equal(x.number, y.number);
        assert_int_equal(x.wire, y.wire);
        if (x.number == PRODUCER_VERSION)
            continue;
        assert_true(x.value == y.value);
        assert_int_equal(x.data.size, y.data.size);
        if (x.data.size > 0)
            assert_memory_equal(x.data.ptr, y.data.ptr, x.data.size);
    }
    file_map_close(&found);
    file_map_close(&expected);
    discard(path);
    every_op_fini(&e);
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
static void check_failures(const char *name, graft_status (*write)(const char *, const struct exported *), bool files)
{
    struct every_op e;
    struct stat st;
    char temporary[4200];
    every_op_init(&e, true);
    const struct exported exported = every_op_exported(&e);
    const char *path = scratch(name);
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
        status = write(path, &exported);
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

static void test_onnx_failures(void **state)
{
    (void)state;
    check_failures("fail.onnx", onnx_write, false);
    check_failures("fail.onnx", onnx_write, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onnx_bytes),
        cmocka_unit_test(test_onnx_outputs),
        cmocka_unit_test(test_onnx_failures),
    };
    return cmocka_run_group_tests_name("export", tests, NULL, NULL);
}
