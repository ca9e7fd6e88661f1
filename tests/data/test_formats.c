// data/test_formats.c: TIFF, HEIC and AVIF, colour profiles, JPEGs shrunk while decoding, limits of size and time.
// In: golden/data/formats/, made by tools/ref/make_formats.py: NAME and what Pillow makes of it, NAME.ppm.

#include "data/fixture.h"
#include "base/memory.h"
#include "data/decode.h"
#include "data/encode.h"
#include "data/resize.h"
#include "data/sources.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *here(const char *name) { return text("formats/%s", name); }

static void decode(const char *name, const char *expected, bool icc, int tolerance)
{
    struct file_map map = map_of(here(name));
    struct picture p, q = ppm_read(here(expected));
    if (picture_decode_as(map.data, name, &(struct decode_job){.icc = icc}, &p) != GRAFT_OK)
        fail_msg("%s", graft_message());
    same(&p, &q, tolerance, expected);
    picture_free(&p);
    picture_free(&q);
    file_map_close(&map);
}

static bool readable(const char *name) // by this build, on this machine
{
#ifndef GRAFT_TIFF
    if (strstr(name, ".tif") != NULL)
        return false;
#endif
#ifndef GRAFT_HEIF
    if (strstr(name, ".heic") != NULL || strstr(name, ".avif") != NULL)
        return false;
#else
    if (strstr(name, ".heic") != NULL || strstr(name, ".avif") != NULL) {
        struct picture p;
        const graft_status status = picture_read(golden(here(name)), false, &p);
        picture_free(&p);
        return status == GRAFT_OK ||
               (strstr(graft_message(), "libheif") == NULL && strstr(graft_message(), "decoder") == NULL);
    }
#endif
    return true;
}

// Lossless ones exactly; the others within what libraries' conversions of chroma differ by.
static const struct { const char *name; int tolerance; }
    files[] = {{"lzw.tif", 0},    {"deflate.tif", 0}, {"jpeg.tif", 2},  {"grey.tif", 0},   {"palette.tif", 0},
             {"fax.tif", 0},    {"alpha.tif", 0},   {"cmyk.tif", 1},  {"turned.tif", 0}, {"pages.tif", 0},
             {"grey16.tif", 0}, {"tiles.tif", 0},   {"lossy.avif", 3},  {"photo.heic", 1}};

static void decodes(void **state)
{
    (void)state;
    int read = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (readable(files[i].name)) {
            decode(files[i].name, text("%s.ppm", files[i].name), false, files[i].tolerance);
            read++;
        }
#if defined GRAFT_TIFF && defined GRAFT_HEIF
    assert_true(read >= 12); // codecs of HEIF are plugins, which may be missing
#endif
}

static void damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        if (!readable(files[i].name))
            continue;
        struct file_map map = map_of(here(files[i].name));
        const bool whole_early = strcmp(files[i].name, "pages.tif") == 0; // the first page may be whole
        const size_t step = strstr(files[i].name, ".tif") != NULL ? map.data.size / 400 + 1 : map.data.size / 40 + 1;
        for (size_t size = 0; size < map.data.size; size += step) {
            uint8_t *exact = mem_alloc(size); // of that size, so that the sanitizer sees a read past the end
            struct picture p;
            memcpy(exact, map.data.ptr, size);
            if (picture_decode((bytes){exact, size}, "cut", &p) == GRAFT_OK) {
                // libtiff's directory lies behind the pixels: cut in the directory's ornaments all pixels are there
                if (!whole_early && size < map.data.size * 9 / 10)
                    fail_msg("%s: decoded from %zu of %zu bytes", files[i].name, size, map.data.size);
                picture_free(&p);
            } else
                assert_non_null(strstr(graft_message(), "cut"));
            mem_free(exact);
        }
        uint8_t *copy = mem_alloc(map.data.size);
        memcpy(copy, map.data.ptr, map.data.size);
        for (size_t at = 0; at < map.data.size; at += step) { // any bit may be wrong: no crash, no hang
            struct picture p;
            copy[at] ^= (uint8_t)(1 << at % 8);
            if (picture_decode((bytes){copy, map.data.size}, "turned", &p) == GRAFT_OK)
                picture_free(&p);
            copy[at] ^= (uint8_t)(1 << at % 8);
        }
        mem_free(copy);
        file_map_close(&map);
    }
}

// Sizes that are lies cost nothing.
static void bombs(void **state)
{
    (void)state;
#ifdef GRAFT_TIFF
    struct file_map map = map_of(here("lzw.tif"));
    uint8_t *copy = mem_alloc(map.data.size);
    memcpy(copy, map.data.ptr, map.data.size);
    uint32_t directory;
    memcpy(&directory, copy + 4, 4);
    static const struct { uint16_t tag; uint32_t value; const char *says; } lies[] = {{256, 65500, "graft takes"},
                {256, 70000, "graft takes"},
                {279, 0xfffffff0u, "damaged TIFF"},
                {273, 0xfffffff0u, "damaged TIFF"},
                {258, 0xfffffff0u, "damaged TIFF"}};
    for (size_t k = 0; k < COUNT_OF(lies); k++) {
        memcpy(copy, map.data.ptr, map.data.size);
        for (uint8_t *entry = copy + directory + 2; entry + 12 <= copy + map.data.size; entry += 12) {
            uint16_t tag;
            memcpy(&tag, entry, 2);
            if (tag == lies[k].tag || (tag == 257 && lies[k].tag == 256)) {
                memcpy(entry + 2, "\4\0\1\0\0\0", 6); // one long
                memcpy(entry + 8, &lies[k].value, 4);
            }
        }
        const uint64_t before = mem_resident_peak();
        struct picture p;
        assert_int_equal(picture_decode((bytes){copy, map.data.size}, "bomb", &p), GRAFT_BAD_FILE);
        if (strstr(graft_message(), lies[k].says) == NULL)
            fail_msg("'%s' does not say '%s'", graft_message(), lies[k].says);
        assert_true(mem_resident_peak() - before < (uint64_t)64 << 20);
    }
    mem_free(copy);
    file_map_close(&map);
#endif
}

// lcms2 of another version may round otherwise; JPEG's and WebP's own pixels first.
static void profiles(void **state)
{
    static const char *const names[] = {"profile.jpg", "profile.png", "profile.webp", "profile.tif"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (!readable(names[i]))
            continue;
        decode(names[i], text("%s.ppm", names[i]), false, 0); // ignored, as Pillow does
#ifdef GRAFT_LCMS
        decode(names[i], text("%s.srgb.ppm", names[i]), true, 1);
        struct picture a = ppm_read(here(text("%s.ppm", names[i]))), b = ppm_read(here(text("%s.srgb.ppm", names[i])));
        assert_true(memcmp(a.rgb, b.rgb, (size_t)a.w * a.h * 3) != 0);
        picture_free(&a);
        picture_free(&b);
        struct file_map map = map_of(here(names[i])); // a damaged profile is an ornament that is missing
        uint8_t *copy = mem_alloc(map.data.size);
        memcpy(copy, map.data.ptr, map.data.size);
        uint8_t *signature = memmem(copy, map.data.size, "acsp", 4);
        if (signature != NULL) {
            memcpy(signature, "xxxx", 4);
            struct picture p, q = ppm_read(here(text("%s.ppm", names[i])));
            assert_int_equal(
                picture_decode_as((bytes){copy, map.data.size}, "p", &(struct decode_job){.icc = true}, &p), GRAFT_OK);
            same(&p, &q, 0, names[i]);
            picture_free(&p);
            picture_free(&q);
        }
        mem_free(copy);
        file_map_close(&map);
#endif
    }
}

// A photograph, 480 x 360 and turned on its side, as JPEG.
static bytes photograph(bool turned)
{
    struct picture p, big;
    bytes jpeg;
    assert_int_equal(picture_read(golden("augment/chelsea.png"), false, &p), GRAFT_OK);
    assert_int_equal(picture_resize(&p, 480, 360, FILTER_BICUBIC, &big), GRAFT_OK);
    assert_int_equal(picture_to_jpeg(&big, 92, &jpeg), GRAFT_OK);
    picture_free(&p);
    picture_free(&big);
    if (!turned)
        return jpeg;
    static const uint8_t exif[] = {0xff, 0xe1, 0,    34, 'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0,
                                   1,    0,    0x12, 1,  3,   0,   1,   0,   0, 0, 6,   0,   0,  0, 0, 0, 0, 0};
    uint8_t *whole = mem_alloc(jpeg.size + sizeof exif);
    memcpy(whole, jpeg.ptr, 2);
    memcpy(whole + 2, exif, sizeof exif);
    memcpy(whole + 2 + sizeof exif, jpeg.ptr + 2, jpeg.size - 2);
    mem_free((void *)jpeg.ptr);
    return (bytes){whole, jpeg.size + sizeof exif};
}

struct wish {
    double across, down;
    int w, h; // what it was told
};

static void wish_tell(void *user, int w, int h, double *across, double *down)
{
    struct wish *wish = user;
    *across = wish->across;
    *down = wish->down;
    wish->w = w;
    wish->h = h;
}

static void shrinks(void **state)
{
    (void)state;
    static const struct { double across, down; int eighths; }
        cases[] = {{480, 360, 8}, {241, 100, 8}, {240, 180, 4}, {100, 100, 4}, {120, 90, 2},
                 {100, 91, 4},  {60, 45, 1},   {10, 10, 1},   {1000, 10, 8}};
    for (int turned = 0; turned < 2; turned++) {
        const bytes jpeg = photograph(turned);
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
            struct wish wish = {turned ? cases[i].down : cases[i].across, turned ? cases[i].across : cases[i].down, 0,
                                0};
            struct picture p;
            const struct decode_job job = {.wanted = wish_tell, .user = &wish};
            if (picture_decode_as(jpeg, "photograph", &job, &p) != GRAFT_OK)
                fail_msg("%s", graft_message());
            assert_int_equal(wish.w, turned ? 360 : 480);
            assert_int_equal(p.full_w, turned ? 360 : 480);
            assert_int_equal(p.full_h, turned ? 480 : 360);
            assert_int_equal(p.w, (turned ? 360 : 480) * cases[i].eighths / 8);
            picture_free(&p);
        }
        mem_free((void *)jpeg.ptr);
    }
}

// In training a large JPEG is shrunk, in evaluation and for copies that are kept it is not; both show nearly the same.
static void shrinks_in_training(void **state)
{
    (void)state;
    enum { SIDE = 64, ITEM = 3 * SIDE * SIDE };
    static const struct input_spec spec = {SIDE, 72, RESIZE_CROP, FILTER_BILINEAR, {0}, {1, 1, 1}, false, false};
    static float exact[ITEM], got[ITEM];
    struct augment none = {0}, moves;
    assert_int_equal(augment_parse("crop=0.4-0.9,rotate=20,flip=h", &moves), GRAFT_OK);
    int shrunk = 0;
    for (int turned = 0; turned < 2; turned++) {
        const bytes jpeg = photograph(turned);
        struct dataset d = {0};
        assert_int_equal(sample_add(&d, put("photograph.jpg", jpeg.ptr, jpeg.size), 0, PART_TRAIN, NULL), GRAFT_OK);
        for (int k = 0; k < 2; k++) {
            const struct augment *a = k == 0 ? &none : &moves;
            for (uint64_t epoch = 1; epoch < 6; epoch++) {
                const struct augmentation how = {a, 1, epoch, false}, fixed = {a, 1, epoch, true};
                d.shrink = 0;
                assert_int_equal(sample_load(&d, 0, &spec, &how, exact), GRAFT_OK);
                d.shrink = 2;
                assert_int_equal(sample_load(&d, 0, &spec, &how, got), GRAFT_OK);
                double sum = 0;
                for (int i = 0; i < ITEM; i++)
                    sum += fabs(got[i] - exact[i]);
                assert_true(sum > 0 || k == 1); // a small crop may need all of it
                shrunk += k == 1 && sum > 0;
                // measured on ten photographs: a mean of 0.4 when twice the size is left, of 1.2 when once
                assert_true(sum / ITEM < 1.5);
                if (k == 0) {
                    assert_int_equal(sample_load(&d, 0, &spec, NULL, got), GRAFT_OK);
                    assert_memory_equal(got, exact, sizeof got);
                    assert_int_equal(sample_load(&d, 0, &spec, &fixed, got), GRAFT_OK);
                    assert_memory_equal(got, exact, sizeof got);
                }
            }
        }
        dataset_free(&d);
        mem_free((void *)jpeg.ptr);
    }
    assert_true(shrunk >= 4);
}

// A build without a library says so, and not that the file is none.
static void left_out(void **state)
{
    (void)state;
    static const char *const names[] = {"animated.gif", "formats/lzw.tif",
#ifndef GRAFT_HEIF
                                        "formats/lossy.avif"
#endif
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct picture p;
        if (picture_read(golden(names[i]), false, &p) != GRAFT_OK)
            assert_non_null(strstr(graft_message(), "built without"));
        picture_free(&p);
    }
    struct input_spec spec = {.icc = true};
#ifdef GRAFT_LCMS
    assert_int_equal(profiles_check(&spec), GRAFT_OK);
#else
    assert_int_equal(profiles_check(&spec), GRAFT_BAD_OPTION);
#endif
    spec.icc = false;
    assert_int_equal(profiles_check(&spec), GRAFT_OK);
}

// Whoever is out of time stops in the middle of the work.
static void time_is_limited(void **state)
{
    (void)state;
    struct picture big = {.rgb = mem_zero(1200, 1200 * 3), .w = 1200, .h = 1200}, p = {0};
    bytes data;
    const struct decode_job late = {.until = -1};
    assert_int_equal(picture_to_jpeg(&big, 90, &data), GRAFT_OK);
    assert_int_equal(jpeg_decode(data, "slow.jpg", &late, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "slow.jpg: not decoded after"));
    picture_free(&p);
    mem_free((void *)data.ptr);
    assert_int_equal(picture_to_png(&big, &data), GRAFT_OK);
    assert_int_equal(png_decode(data, "slow.png", &late, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "slow.png: not decoded after"));
    picture_free(&p);
    mem_free((void *)data.ptr);
#ifdef GRAFT_GIF
    struct file_map gif = map_of("animated.gif");
    assert_int_equal(gif_decode(gif.data, "slow.gif", &late, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "slow.gif: not decoded after"));
    picture_free(&p);
    file_map_close(&gif);
#endif
#ifdef GRAFT_TIFF
    struct file_map map = map_of(here("lzw.tif"));
    assert_int_equal(tiff_decode(map.data, "slow.tif", &late, &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "slow.tif: not decoded after"));
    picture_free(&p);
    file_map_close(&map);
#endif
    picture_free(&big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decodes), cmocka_unit_test(damaged), cmocka_unit_test(bombs),
                                       cmocka_unit_test(profiles), cmocka_unit_test(shrinks),
                                       cmocka_unit_test(shrinks_in_training), cmocka_unit_test(time_is_limited),
                                       cmocka_unit_test(left_out)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
