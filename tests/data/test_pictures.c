// data/test_pictures.c: pictures decoded and resized beside Pillow, written again; damaged, hostile and false ones.
// In: golden/data/, made by tools/ref/make_pictures.py: NAME and what Pillow makes of it, NAME.ppm.
// Decoding is compared exactly (the same libraries' integer arithmetic), lossy WebP within 1, resizes within 1.

#include "data/fixture.h"
#include "base/memory.h"
#include "data/encode.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void decode(const char *name, const char *expected, int tolerance)
{
    struct picture p, q = ppm_read(expected);
    if (picture_read(golden(name), false, &p) != GRAFT_OK)
        fail_msg("%s", graft_message());
    same(&p, &q, tolerance, name);
    picture_free(&p);
    picture_free(&q);
}

static void refused(bytes data, const char *what)
{
    struct picture p;
    if (picture_decode(data, what, &p) == GRAFT_OK)
        fail_msg("%s: decoded", what);
    assert_null(p.rgb);
    assert_non_null(strstr(graft_message(), what));
}

static void decodes_like_pillow(void **state)
{
    static const char *const names[] = {"base.jpg",  "progressive.jpg", "cmyk.jpg",   "grey.jpg",    "rgb.png",
                                        "bits.png",  "palette.png",     "alpha.png",  "rgb16.png",   "grey16.png",
                                        "rgb.bmp",   "palette.bmp",     "lossy.webp", "lossless.webp", "animated.webp",
#ifdef GRAFT_GIF
                                        "animated.gif",
#endif
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        decode(names[i], text("%s.ppm", names[i]), strcmp(names[i], "lossy.webp") == 0);
}

static void orientations(void **state)
{
    (void)state;
    struct file_map map = map_of("oriented.jpg");
    uint8_t *copy = mem_alloc(map.data.size);
    memcpy(copy, map.data.ptr, map.data.size);
    size_t at = 0; // the entry: tag 0x112, a short, one of it
    while (at + 12 < map.data.size && memcmp(copy + at, "\x01\x12\x00\x03\x00\x00\x00\x01", 8) != 0 &&
           memcmp(copy + at, "\x12\x01\x03\x00\x01\x00\x00\x00", 8) != 0)
        at++;
    assert_true(at + 12 < map.data.size);
    const size_t value = at + (copy[at] == 1 ? 9 : 8);
    struct picture small = ppm_read("oriented1.ppm");
    for (int o = 1; o <= 8; o++) {
        struct picture p, q = ppm_read(text("oriented%d.ppm", o));
        copy[value] = (uint8_t)o;
        if (picture_decode((bytes){copy, map.data.size}, "oriented", &p) != GRAFT_OK)
            fail_msg("%s", graft_message());
        same(&p, &q, 0, text("JPEG orientation %d", o));
        picture_free(&p);
        picture_free(&q);
    }
    struct picture first, p;
    assert_int_equal(picture_read(golden("upright1.png"), false, &first), GRAFT_OK);
    assert_int_equal(first.w, small.w);
    for (int o = 2; o <= 8; o++) {
        assert_int_equal(picture_read(golden(text("upright%d.png", o)), false, &p), GRAFT_OK);
        same(&p, &first, 0, text("PNG orientation %d", o));
        picture_free(&p);
    }
    picture_free(&first);
    picture_free(&small);
    mem_free(copy);
    file_map_close(&map);
}

// A picture is whole or refused: cut at each tenth, and at every byte without a crash.
static void truncation(void **state)
{
    static const char *const names[] = {"base.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "palette.png", "rgb.bmp",
                                        "palette.bmp", "lossy.webp", "lossless.webp", "animated.webp",
#ifdef GRAFT_GIF
                                        "animated.gif",
#endif
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct file_map map = map_of(names[i]);
        const bool many = strncmp(names[i], "animated", 8) == 0; // the first frame may be whole
        for (int tenth = 0; tenth < (many ? 2 : 10); tenth++)
            refused((bytes){map.data.ptr, map.data.size * (size_t)tenth / 10}, names[i]);
        for (size_t size = 0; size < map.data.size; size++) {
            uint8_t *exact = mem_alloc(size); // of that size, so that the sanitizer sees a read past the end
            struct picture p;
            memcpy(exact, map.data.ptr, size);
            if (picture_decode((bytes){exact, size}, names[i], &p) == GRAFT_OK) {
                if (!many && size + 16 < map.data.size)
                    fail_msg("%s: decoded from %zu of %zu bytes", names[i], size, map.data.size);
                picture_free(&p);
            }
            mem_free(exact);
        }
        file_map_close(&map);
    }
}

// What is no picture fails at once, with the reason; nothing hangs.
static void not_pictures(void **state)
{
    (void)state;
    static const char html[] = "<!DOCTYPE html><html><body>404</body></html>";
    struct picture p;
    refused((bytes){(const uint8_t *)"", 0}, "nothing.jpg");
    refused((bytes){(const uint8_t *)html, sizeof html - 1}, "page.jpg");
    const char *page = put("page.jpg", html, sizeof html - 1), *pipe = text("%s/pipe.jpg", scratch);
    assert_int_equal(picture_read(page, false, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "not a picture"));
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(picture_read(pipe, false, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "not a regular file"));
    assert_int_equal(picture_read(scratch, false, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "folder"));
    const char *loop = text("%s/loop.jpg", scratch);
    assert_int_equal(symlink(loop, loop), 0);
    assert_int_equal(picture_read(loop, false, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "symbolic links"));
    assert_int_equal(picture_read(text("%s/absent.jpg", scratch), false, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "No such file"));
    unlink(pipe);
    unlink(loop);
}

// Headers that promise 65,500 x 65,500 pixels, and a JPEG of 101 scans, cost nothing.
static void bombs(void **state)
{
    (void)state;
    static const struct { const char *name; size_t at; int big; } sides[] = {{"base.jpg", 0, 1}, {"rgb.png", 16, 1},
                                                                             {"rgb.bmp", 18, 0}};
    for (size_t i = 0; i < COUNT_OF(sides); i++) {
        struct file_map map = map_of(sides[i].name);
        uint8_t *copy = mem_alloc(map.data.size);
        memcpy(copy, map.data.ptr, map.data.size);
        size_t at = sides[i].at;
        if (i == 0) { // the frame header: FF C0, length, precision, height, width
            while (copy[at] != 0xff || copy[at + 1] != 0xc0)
                at++;
            memcpy(copy + at + 5, "\xff\xdc\xff\xdc", 4);
        } else
            for (int k = 0; k < 2; k++)
                memcpy(copy + at + 4 * k, sides[i].big ? "\x00\x00\xff\xdc" : "\xdc\xff\x00\x00", 4);
        if (i == 1) // its checksum, so that the size is what is refused
            memcpy(copy + 29, "\x1c\x35\x81\x4c", 4);
        const uint64_t before = mem_resident_peak();
        refused((bytes){copy, map.data.size}, sides[i].name);
        assert_non_null(strstr(graft_message(), "65500x65500"));
        assert_true(mem_resident_peak() - before < (uint64_t)64 << 20);
        mem_free(copy);
        file_map_close(&map);
    }
    struct file_map map = map_of("progressive.jpg");
    const uint8_t *ptr = map.data.ptr;
    size_t scan = 0, end;
    while (ptr[scan] != 0xff || ptr[scan + 1] != 0xda) // the first scan: DC, up to the next marker
        scan++;
    for (end = scan + 2; ptr[end] != 0xff || ptr[end + 1] == 0; end++)
        ;
    const size_t length = end - scan, size = scan + 150 * length + 2;
    uint8_t *many = mem_alloc(size);
    memcpy(many, ptr, scan);
    for (size_t k = 0; k < 150; k++) {
        memcpy(many + scan + k * length, ptr + scan, length);
        many[scan + k * length + 13] = 0; // all bits at once, which a later scan may repeat
    }
    memcpy(many + size - 2, "\xff\xd9", 2);
    struct picture few;
    memcpy(many + scan + 90 * length, "\xff\xd9", 2);
    assert_int_equal(picture_decode((bytes){many, scan + 90 * length + 2}, "scans.jpg", &few), GRAFT_OK);
    picture_free(&few);
    memcpy(many + scan + 90 * length, ptr + scan, 2);
    refused((bytes){many, size}, "scans.jpg");
    assert_non_null(strstr(graft_message(), "progressive scans"));
    mem_free(many);
    file_map_close(&map);
}

static void resizes_like_pillow(void **state)
{
    static const int sizes[][2] = {{17, 11}, {43, 33}, {32, 7}};
    (void)state;
    struct picture p = ppm_read("rgb.png.ppm");
    for (int f = 0; f < 2; f++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            const int w = sizes[i][0], h = sizes[i][1];
            const char *name = text("%s_%dx%d.ppm", f == 0 ? "bilinear" : "bicubic", w, h);
            struct picture got, expected = ppm_read(name);
            assert_int_equal(picture_resize(&p, w, h, f == 0 ? FILTER_BILINEAR : FILTER_BICUBIC, &got), GRAFT_OK);
            same(&got, &expected, 1, name);
            picture_free(&got);
            picture_free(&expected);
        }
    picture_free(&p);
}

static const struct input_spec squash = {16,        16,  RESIZE_SQUASH, FILTER_BILINEAR, {103.5f, 116.75f, 123.25f},
                                         {1, 1, 1}, true};

static void prepares(void **state)
{
    (void)state;
    struct picture p = ppm_read("rgb.png.ppm");
    float got[3 * 16 * 16], expected[3 * 16 * 16];
    for (int k = 0; k < 2; k++) {
        struct file_map map = map_of(k == 0 ? "crop.f32" : "squash.f32");
        const float level = k == 0 ? 1 / 128.f : 1;
        memcpy(expected, map.data.ptr, sizeof expected);
        assert_int_equal(picture_prepare(&p, k == 0 ? &crop_spec : &squash, got), GRAFT_OK);
        for (size_t i = 0; i < COUNT_OF(got); i++)
            assert_float_equal(got[i], expected[i], 1.01f * level);
        file_map_close(&map);
    }
    picture_free(&p);
    // A hair of a picture is cropped without ever being resized whole.
    p = (struct picture){mem_zero(65500, 3), 65500, 1};
    const uint64_t before = mem_resident_peak();
    assert_int_equal(picture_prepare(&p, &crop_spec, got), GRAFT_OK);
    assert_true(mem_resident_peak() - before < (uint64_t)16 << 20);
    p.w = 1;
    p.h = 65500;
    assert_int_equal(picture_prepare(&p, &crop_spec, got), GRAFT_OK);
    picture_free(&p);
}

// PNG keeps every pixel; JPEG of a smooth picture comes back within a few levels.
static void encodes(void **state)
{
    (void)state;
    enum { EW = 37, EH = 21 };
    static uint8_t rgb[EW * EH * 3];
    const struct picture p = {rgb, EW, EH};
    struct picture back;
    bytes data;
    for (int y = 0; y < EH; y++)
        for (int x = 0; x < EW; x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * EW + x) * 3 + c] = (uint8_t)(3 * x + 2 * y + 40 * c);
    assert_int_equal(picture_to_png(&p, &data), GRAFT_OK);
    assert_int_equal(picture_decode(data, "png", &back), GRAFT_OK);
    assert_true(back.w == EW && back.h == EH);
    assert_memory_equal(back.rgb, rgb, sizeof rgb);
    picture_free(&back);
    mem_free((void *)data.ptr);
    assert_int_equal(picture_to_jpeg(&p, 95, &data), GRAFT_OK);
    assert_int_equal(picture_decode(data, "jpeg", &back), GRAFT_OK);
    assert_true(back.w == EW && back.h == EH);
    for (size_t i = 0; i < sizeof rgb; i++)
        assert_true(abs(back.rgb[i] - rgb[i]) <= 6); // a gradient in 8x8 blocks at quality 95: measured 4
    picture_free(&back);
    mem_free((void *)data.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_like_pillow), cmocka_unit_test(orientations), cmocka_unit_test(truncation),
        cmocka_unit_test(not_pictures), cmocka_unit_test(bombs), cmocka_unit_test(resizes_like_pillow),
        cmocka_unit_test(prepares), cmocka_unit_test(encodes),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
