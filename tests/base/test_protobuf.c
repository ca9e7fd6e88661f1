// base/test_protobuf.c: the wire format: written and read back, and every way it can be broken.

#include "base/memory.h"
#include "base/protobuf.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_round_trip(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, 127, 128, 300, INT32_MAX, INT64_MAX, -1, INT64_MIN};
    struct pb_writer w = {0}, inner = {0};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        pb_int(&w, (uint32_t)i + 1, numbers[i]);
    pb_float(&w, 16, -0.5f);
    pb_text(&w, 2000, "text");
    pb_text(&inner, 1, "");
    pb_message(&w, (1 << 29) - 1, &inner);
    assert_null(inner.data);
    assert_int_equal(pb_finish(&w), GRAFT_OK);
    struct reader r = reader_of((bytes){w.data, w.size});
    struct pb_field f;
    bool more;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        assert_int_equal(pb_next(&r, &f, &more), GRAFT_OK);
        assert_true(more && f.number == i + 1 && f.wire == PB_VARINT && (int64_t)f.value == numbers[i]);
    }
    assert_int_equal(pb_next(&r, &f, &more), GRAFT_OK);
    assert_true(f.number == 16 && f.wire == PB_FIXED32 && f.value == 0xbf000000);
    assert_int_equal(pb_next(&r, &f, &more), GRAFT_OK);
    assert_true(f.number == 2000 && f.wire == PB_BYTES && f.data.size == 4 && memcmp(f.data.ptr, "text", 4) == 0);
    assert_int_equal(pb_next(&r, &f, &more), GRAFT_OK);
    assert_true(f.number == (1 << 29) - 1 && f.data.size == 2);
    assert_int_equal(pb_next(&r, &f, &more), GRAFT_OK);
    assert_false(more);
    pb_writer_fini(&w);
}

// As the format's documentation encodes them.
static void test_known_bytes(void **state)
{
    (void)state;
    struct pb_writer w = {0};
    pb_int(&w, 1, 150);
    pb_text(&w, 2, "testing");
    assert_int_equal(w.size, 12);
    assert_memory_equal(w.data, "\x08\x96\x01\x12\x07testing", 12);
    pb_writer_fini(&w);
    struct reader r = reader_of((bytes){(const uint8_t *)"\x09\1\0\0\0\0\0\0\0", 9});
    struct pb_field f;
    bool more;
    assert_int_equal(pb_next(&r, &f, &more), GRAFT_OK);
    assert_true(f.number == 1 && f.wire == PB_FIXED64 && f.value == 1);
}

static void test_hostile(void **state)
{
    (void)state;
#define ROW(text, words)                                                                                               \
    {                                                                                                                  \
        text, sizeof(text) - 1, words                                                                                  \
    }
    static const struct {
        const char *text;
        size_t size;
        const char *words;
    } rows[] = {
        ROW("\x08", "past the end"),
        ROW("\x08\x80", "past the end"),
        ROW("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "past the end"),   // 65 bits
        ROW("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", "past the end"), // no end in ten bytes
        ROW("\x0a\x05text", "past the end"),
        ROW("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01text", "past the end"), // 2^64 - 1 bytes
        ROW("\x0d\0\0\0", "past the end"),
        ROW("\x09\0\0\0\0\0\0\0", "past the end"),
        ROW("\0\1", "field number 0"),
        ROW("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", "field number"),
        ROW("\x0b", "wire type 3"), // a group
        ROW("\x0f", "wire type 7"),
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char *copy = malloc(rows[i].size); // exact size: the sanitizer sees a read past the end
        memcpy(copy, rows[i].text, rows[i].size);
        struct reader r = reader_of((bytes){(const uint8_t *)copy, rows[i].size});
        struct pb_field f;
        bool more;
        assert_int_equal(pb_next(&r, &f, &more), GRAFT_BAD_FILE);
        if (!strstr(graft_message(), rows[i].words))
            fail_msg("row %zu: '%s' does not say '%s'", i, graft_message(), rows[i].words);
        free(copy);
    }
}

static void *no_memory(void *old, size_t size)
{
    (void)old;
    (void)size;
    return NULL;
}

static void test_no_memory(void **state)
{
    (void)state;
    const struct memory_table kept = memory;
    struct pb_writer w = {0}, inner = {0};
    memory.resize = no_memory;
    pb_text(&inner, 1, "x");
    memory = kept;
    pb_text(&w, 1, "y");
    pb_message(&w, 2, &inner);
    assert_int_equal(pb_finish(&w), GRAFT_NO_RESOURCE); // the inner one's failure is not lost
    pb_writer_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_known_bytes),
                                       cmocka_unit_test(test_hostile), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests_name("protobuf", tests, NULL, NULL);
}
