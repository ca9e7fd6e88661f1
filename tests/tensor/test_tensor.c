// tensor/test_tensor.c: overflowing shapes, conversions, sets of tensors, and parameters into the kernels' layouts and
// back.

#include "base/memory.h"
#include "tensor/params.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_message(const char *part)
{
    if (strstr(graft_message(), part) == NULL)
        fail_msg("the message '%s' lacks '%s'", graft_message(), part);
}

static void test_shapes(void **state)
{
    size_t count = 0;
    (void)state;
    assert_true(shape_count(SHAPE(64, 3, 7, 7), &count) && count == 9408);
    assert_true(shape_count((struct shape){0}, &count) && count == 1); // a scalar
    assert_true(shape_count(SHAPE(5, 0, 2), &count) && count == 0);
    assert_false(shape_count(SHAPE(-1, 4), &count));
    assert_false(shape_count(SHAPE(INT64_MAX, 4), &count));
    assert_false(shape_count(SHAPE(1 << 30, 1 << 30, 1 << 30), &count));
    assert_true(shape_equal(SHAPE(1, 2), SHAPE(1, 2)));
    assert_false(shape_equal(SHAPE(1, 2), SHAPE(1, 2, 1)));
    assert_false(shape_equal(SHAPE(1, 2), SHAPE(2, 1)));
    const char *first = shape_text(SHAPE(64, 3, 7, 7));
    assert_string_equal(shape_text(SHAPE(10)), "(10)");
    assert_string_equal(shape_text((struct shape){0}), "()");
    assert_string_equal(first, "(64, 3, 7, 7)"); // buffers of their own
    struct shape longest = {.rank = MAX_RANK};
    for (int i = 0; i < MAX_RANK; i++)
        longest.dim[i] = INT64_MIN;
    const char *text = shape_text(longest);
    assert_true(strlen(text) < 200 && text[strlen(text) - 1] == ')');
    for (int d = DTYPE_F32; d <= DTYPE_U8; d++)
        assert_int_equal(dtype_from_name(dtype_name((enum dtype)d)), d);
    assert_int_equal(dtype_from_name("F8"), DTYPE_UNKNOWN);
    assert_int_equal(dtype_from_name("?"), DTYPE_UNKNOWN);
}

static void check_conversion(enum dtype dtype, const void *data, size_t count, const float *expected)
{
    uint8_t unaligned[256];
    float found[16];
    memcpy(unaligned + 1, data, count * dtype_size(dtype));
    const struct named_tensor tensor = {"t", dtype, SHAPE((int64_t)count), unaligned + 1};
    assert_int_equal(tensor_to_f32(&tensor, found), GRAFT_OK);
    assert_memory_equal(found, expected, count * sizeof *expected); // bits: signs of zero and NaN as well
}

static void test_conversions(void **state)
{
    // IEEE half: one, the largest, the smallest normal, the smallest, minus zero, infinity.
    static const uint16_t half[] = {0x3c00, 0x7bff, 0x0400, 0x0001, 0x8000, 0xfc00};
    static const uint16_t brain[] = {0x3f80, 0xc000, 0x7f80, 0x0001};
    static const double doubles[] = {0.1, -2, 1e300};
    static const int64_t integers[] = {-3, 1 << 24};
    static const int32_t small[] = {-3, 7};
    (void)state;
    check_conversion(DTYPE_F16, half, 6, (float[]){1, 65504, 0x1p-14f, 0x1p-24f, -0.0f, -__builtin_inff()});
    check_conversion(DTYPE_BF16, brain, 4, (float[]){1, -2, __builtin_inff(), 0x1p-133f});
    check_conversion(DTYPE_F64, doubles, 3, (float[]){0.1f, -2, __builtin_inff()});
    check_conversion(DTYPE_I64, integers, 2, (float[]){-3, 1 << 24});
    check_conversion(DTYPE_I32, small, 2, (float[]){-3, 7});
    check_conversion(DTYPE_F32, (float[]){1.5f, -0.0f}, 2, (float[]){1.5f, -0.0f});

    float found[4];
    assert_int_equal(tensor_to_f32(&(struct named_tensor){"u", DTYPE_U8, SHAPE(4), half}, found), GRAFT_BAD_FILE);
    check_message("'u' has dtype U8");
    assert_int_equal(tensor_to_f32(&(struct named_tensor){"n", DTYPE_F32, SHAPE(-4), half}, found), GRAFT_BAD_FILE);
    check_message("(-4)");
}

static void test_tensor_sets(void **state)
{
    struct tensor_set set = {0};
    char name[16];
    (void)state;
    tensor_set_free(&set); // a zeroed one is fine
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(tensor_set_add(&set, name, DTYPE_F32, SHAPE(i), NULL), GRAFT_OK);
    }
    assert_int_equal(tensor_set_add(&set, "t7", DTYPE_F32, SHAPE(1), NULL), GRAFT_BAD_FILE);
    check_message("'t7'");
    assert_int_equal(set.count, 50);
    assert_int_equal(tensor_find(&set, "t49")->shape.dim[0], 49);
    assert_null(tensor_find(&set, "t"));
    // items dropped from outside (a checkpoint's slots) are forgotten, and may come again
    while (set.count > 20)
        mem_free(set.items[--set.count].name);
    assert_int_equal(tensor_set_add(&set, "t19", DTYPE_F32, SHAPE(1), NULL), GRAFT_BAD_FILE);
    assert_int_equal(tensor_set_add(&set, "t20", DTYPE_F32, SHAPE(1), NULL), GRAFT_OK);
    tensor_set_free(&set);
    assert_int_equal(set.count, 0);
    assert_null(set.index);
    // many names take no longer each: a search one by one of these would need minutes
    for (int i = 0; i < 200000; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(tensor_set_add(&set, name, DTYPE_F32, SHAPE(1), NULL), GRAFT_OK);
    }
    assert_int_equal(tensor_set_add(&set, "t123456", DTYPE_F32, SHAPE(1), NULL), GRAFT_BAD_FILE);
    tensor_set_free(&set);
}

static struct param_entry entry_of(enum param_layout layout, struct shape shape, int c, int h, int w)
{
    return (struct param_entry){"p", shape, layout, PARAM_TRAINABLE, c, h, w, 0, 0};
}

// The same numbers from a file that holds them in another order make the same block: Keras's (place, in, out), Theano's
// dense (in, place, out), and a torch kernel turned round.
static void check_orders(struct params *p, const float *src, size_t count)
{
    const struct param_entry *e = &p->entries[0];
    const size_t out = (size_t)e->shape.dim[0],
                 in = e->layout == LAYOUT_DENSE ? (size_t)e->c : e->shape.rank > 1 ? (size_t)e->shape.dim[1] : 1,
                 places = count / out / in;
    const struct file_order orders[] = {{out, in, places, 1, out, in * out, false},
                                        {out, in, places, 1, out, in * out, true},
                                        {out, in, places, 1, places * out, out, false},
                                        {out, in, places, in * places, places, 1, true}};
    float *expected = mem_alloc(p->size * sizeof *expected), *file = mem_alloc(count * sizeof *file),
          *back = mem_alloc(count * sizeof *back);
    memcpy(expected, p->block, p->size * sizeof *expected);
    for (size_t k = 0; k < COUNT_OF(orders); k++) {
        const struct file_order *s = &orders[k];
        for (size_t i = 0; i < count; i++) {
            const size_t x = i % places, there = s->turned ? places - 1 - x : x;
            file[i / places / in * s->step_o + i / places % in * s->step_i + there * s->step_p] = src[i];
        }
        for (size_t i = 0; i < e->size; i++)
            p->block[e->offset + i] = -7;
        param_from_file(p, 0, file, s);
        assert_memory_equal(p->block, expected, p->size * sizeof *expected);
        assert_int_equal(tensor_to_f32(&(struct named_tensor){"t", DTYPE_F32, e->shape, file, *s}, back), GRAFT_OK);
        assert_memory_equal(back, src, count * sizeof *src);
    }
    mem_free(expected);
    mem_free(file);
    mem_free(back);
}

// Canonical values 1, 2, ...: back as they were; the padding around them is zero, so the sum of the block is theirs.
static void check_layout(struct param_entry entry, int lanes)
{
    enum { MARGIN = 16 };
    size_t count;
    assert_true(shape_count(entry.shape, &count));
    entry.size = param_entry_size(&entry, lanes);
    entry.offset = MARGIN;
    assert_true(entry.size >= count);
    assert_int_equal(entry.size % (size_t)lanes, 0);
    struct params p = {.lanes = lanes, .entries = mem_alloc(sizeof entry), .count = 1};
    p.size = entry.size + 2 * MARGIN;
    p.block = mem_aligned(p.size * sizeof *p.block);
    p.entries[0] = entry;
    float *src = mem_alloc(count * sizeof *src), *dst = mem_alloc(count * sizeof *dst);
    for (size_t i = 0; i < count; i++)
        src[i] = (float)(i + 1);
    for (size_t i = 0; i < p.size; i++)
        p.block[i] = -7;
    param_from_canonical(&p, 0, src);
    param_to_canonical(&p, 0, dst);
    assert_memory_equal(src, dst, count * sizeof *src);
    double sum = 0;
    size_t zeros = 0;
    for (size_t i = 0; i < entry.size; i++) {
        sum += p.block[MARGIN + i];
        zeros += p.block[MARGIN + i] == 0;
    }
    assert_true(sum == (double)count * (double)(count + 1) / 2);
    assert_int_equal(zeros, entry.size - count);
    for (int i = 0; i < MARGIN; i++) // neighbours untouched
        assert_true(p.block[i] == -7 && p.block[p.size - 1 - (size_t)i] == -7);
    check_orders(&p, src, count);
    mem_free(src);
    mem_free(dst);
    params_fini(&p);
}

static void test_layouts_round_trip(void **state)
{
    (void)state;
    for (int lanes = 8; lanes <= 16; lanes += 8) {
        const int64_t v = lanes;
        const int64_t channels[] = {1, 3, v - 1, v, v + 1, 2 * v + 5};
        for (size_t i = 0; i < COUNT_OF(channels); i++) {
            const int64_t o = channels[i];
            check_layout(entry_of(LAYOUT_PLAIN, SHAPE(o), 0, 0, 0), lanes);
            check_layout(entry_of(LAYOUT_GOIHW_DEPTHWISE, SHAPE(o, 1, 3, 5), 0, 0, 0), lanes);
            check_layout(entry_of(LAYOUT_OHWI_BLOCK, SHAPE(o, 3, 3, 2), 0, 0, 0), lanes);
            check_layout(entry_of(LAYOUT_GROUPED, SHAPE(o, 2, 3, 3), 0, 0, 0), lanes);
            for (size_t k = 0; k < COUNT_OF(channels); k++) {
                const int64_t c = channels[k];
                check_layout(entry_of(LAYOUT_OIHW_BLOCK, SHAPE(o, c, 2, 3), 0, 0, 0), lanes);
                check_layout(entry_of(LAYOUT_DENSE, SHAPE(o, c * 6), (int)c, 2, 3), lanes);
            }
        }
    }
}

// One element of each layout at the place that the header's formula gives, worked out by hand for v = 8.
static void test_layout_places(void **state)
{
    const struct {
        enum param_layout layout;
        struct shape shape;
        int c, h, w;
        size_t canonical, place, size;
    } rows[] = {
        // (o, i, y, x) = (9, 10, 1, 0) of (12, 11, 2, 2): block o 1, i 1, pixel 2, i % v 2, o % v 1
        {LAYOUT_OIHW_BLOCK, SHAPE(12, 11, 2, 2), 0, 0, 0, (9 * 11 + 10) * 4 + 2, ((1 * 2 + 1) * 4 + 2) * 64 + 2 * 8 + 1,
         2 * 2 * 4 * 64},
        // (9, 2, 1, 0) of (12, 3, 2, 2): block 1, pixel 2, input 2, lane 1
        {LAYOUT_OHWI_BLOCK, SHAPE(12, 3, 2, 2), 0, 0, 0, (9 * 3 + 2) * 4 + 2, ((1 * 4 + 2) * 3 + 2) * 8 + 1,
         2 * 4 * 3 * 8},
        {LAYOUT_GOIHW_DEPTHWISE, SHAPE(12, 1, 2, 2), 0, 0, 0, 9 * 4 + 2, (1 * 4 + 2) * 8 + 1, 2 * 4 * 8},
        // unit 3, channel 9, pixel 2 of 5 units over 12 x 2 x 2
        {LAYOUT_DENSE, SHAPE(5, 48), 12, 2, 2, 3 * 48 + 9 * 4 + 2, ((3 * 2 + 1) * 4 + 2) * 8 + 1, 5 * 2 * 4 * 8},
        {LAYOUT_PLAIN, SHAPE(12), 0, 0, 0, 9, 9, 16},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        float src[600] = {0}, block[1100] = {0};
        struct param_entry e = entry_of(rows[i].layout, rows[i].shape, rows[i].c, rows[i].h, rows[i].w);
        e.size = param_entry_size(&e, 8);
        assert_int_equal(e.size, rows[i].size);
        src[rows[i].canonical] = 1;
        const struct params p = {.lanes = 8, .entries = &e, .count = 1, .block = block, .size = e.size};
        param_from_canonical(&p, 0, src);
        assert_true(block[rows[i].place] == 1);
        assert_int_equal(params_find(&p, "p"), 0);
        assert_int_equal(params_find(&p, "q"), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_conversions),
                                       cmocka_unit_test(test_tensor_sets), cmocka_unit_test(test_layouts_round_trip),
                                       cmocka_unit_test(test_layout_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
