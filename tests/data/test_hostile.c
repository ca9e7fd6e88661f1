// data/test_hostile.c: a folder of broken and hostile files, made here: nothing crashes, hangs or takes memory without
// bounds, and every file is accounted for, whoever reads them, also while they vanish.

#include "data/fixture.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/exam.h"
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

// One of every kind that some decoder here reads.
static const char *const seeds[] = {"base.jpg",
                                    "progressive.jpg",
                                    "cmyk.jpg",
                                    "grey.jpg",
                                    "oriented.jpg",
                                    "rgb.png",
                                    "palette.png",
                                    "rgb16.png",
                                    "alpha.png",
                                    "rgb.bmp",
                                    "palette.bmp",
                                    "lossy.webp",
                                    "lossless.webp",
                                    "animated.webp",
                                    "animated.gif",
                                    "formats/lzw.tif",
                                    "formats/deflate.tif",
                                    "formats/jpeg.tif",
                                    "formats/fax.tif",
                                    "formats/palette.tif",
                                    "formats/tiles.tif",
                                    "formats/lossy.avif",
                                    "formats/photo.heic",
                                    "formats/profile.jpg",
                                    "formats/profile.png"};
static int made; // files in hostile/a

static uint32_t draw(void)
{
    static uint64_t n;
    return (uint32_t)(rng_hash(RNG_TEST, n++, 0, 0) >> 32);
}

static void drop(const void *data, size_t size, const char *end)
{
    put(text("hostile/a/%04d%s", made++, end), data, size);
}

static void corrupt(const char *seed)
{
    struct file_map map = map_of(seed);
    const size_t size = map.data.size;
    uint8_t *copy = mem_alloc(size + 1000);
    const char *end = strrchr(seed, '.');
    static const int tenths[] = {1, 5, 9};
    for (size_t i = 0; i < COUNT_OF(tenths); i++)
        drop(map.data.ptr, size * (size_t)tenths[i] / 10, end); // cut
    for (int i = 0; i < 8; i++) { // some bytes overwritten
        memcpy(copy, map.data.ptr, size);
        for (int k = 0; k < 1 << (i % 6); k++)
            copy[draw() % size] = (uint8_t)draw();
        drop(copy, size, end);
    }
    for (int i = 0; i < 8; i++) { // a number near the beginning is as large as can be
        memcpy(copy, map.data.ptr, size);
        const size_t at = 4 + draw() % (size < 600 ? size - 8 : 600);
        memset(copy + at, 0xff, i < 4 ? 4 : 2);
        drop(copy, size, end);
    }
    memcpy(copy, map.data.ptr, size); // half of it never arrived
    memset(copy + size / 2, 0, size - size / 2);
    drop(copy, size, end);
    memcpy(copy, map.data.ptr, size);
    memset(copy + size, 'x', 1000); // something behind it
    drop(copy, size + 1000, end);
    drop(map.data.ptr, size, ".txt"); // as it is, by another name
    mem_free(copy);
    file_map_close(&map);
}

// Promises of 65,500 x 65,500 pixels and of 4 GB, in so many bytes.
static void bombs_make(void)
{
    static const struct { const char *name; size_t at; const char *value; size_t size; } lies[] = {
        {"rgb.png", 16, "\0\0\xff\xdc\0\0\xff\xdc", 8},  // sides
        {"rgb.png", 8, "\xff\xff\xff\xff", 4},           // length of a chunk
        {"rgb.png", 33, "\xff\xff\xff\xff", 4},          // of the next one
        {"rgb.bmp", 18, "\xdc\xff\0\0\xdc\xff\0\0", 8},  // sides
        {"rgb.bmp", 10, "\xff\xff\xff\xff", 4},          // where the rows are
        {"lossy.webp", 4, "\xff\xff\xff\xff", 4},        // length of the file
        {"lossy.webp", 16, "\xff\xff\xff\xff", 4},       // length of a chunk
        {"lossy.webp", 26, "\xff\x3f\xff\x3f", 4},       // sides
        {"animated.webp", 24, "\xff\xff\xff\xff\xff\xff", 6}, // of the canvas
        {"animated.gif", 6, "\xdc\xff\xdc\xff", 4},      // of the screen
        {"formats/lzw.tif", 4, "\xff\xff\xff\xff", 4},   // where the directory is
        {"formats/lossy.avif", 0, "\xff\xff\xff\xff", 4}, // length of a box
        {"formats/lossy.avif", 32, "\xff\xff\xff\xff", 4}};
    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        struct file_map map = map_of(lies[i].name);
        uint8_t *copy = mem_alloc(map.data.size);
        memcpy(copy, map.data.ptr, map.data.size);
        memcpy(copy + lies[i].at, lies[i].value, lies[i].size);
        drop(copy, map.data.size, ".bomb");
        mem_free(copy);
        file_map_close(&map);
    }
    static const char *const sided[] = {"base.jpg", "progressive.jpg"};
    for (size_t i = 0; i < COUNT_OF(sided); i++) {
        struct file_map map = map_of(sided[i]);
        uint8_t *copy = mem_alloc(map.data.size);
        size_t at = 0;
        memcpy(copy, map.data.ptr, map.data.size);
        while (copy[at] != 0xff || (copy[at + 1] & 0xfd) != 0xc0)
            at++;
        memcpy(copy + at + 5, "\xff\xdc\xff\xdc", 4);
        drop(copy, map.data.size, ".jpg");
        mem_free(copy);
        file_map_close(&map);
    }
}

// What is no picture, or not a file.
static void oddities_make(void)
{
    static const char *const texts[] = {"",
                                        "x",
                                        "\xff\xd8\xff",
                                        "\x89PNG\r\n\x1a\n",
                                        "GIF89a",
                                        "BM",
                                        "RIFF\x10\0\0\0WEBP",
                                        "II*",
                                        "<svg xmlns='http://www.w3.org/2000/svg'/>",
                                        "%PDF-1.7",
                                        "<!DOCTYPE html>"};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        drop(texts[i], strlen(texts[i]), ".jpg");
    char here[80];
    snprintf(here, sizeof here, "%s/hostile/a", scratch);
    assert_int_equal(symlink("loop.jpg", text("%s/loop.jpg", here)), 0);
    assert_int_equal(symlink("nowhere.jpg", text("%s/dangling.jpg", here)), 0);
    assert_int_equal(symlink("..", text("%s/up", here)), 0);
    assert_int_equal(symlink("/dev/zero", text("%s/zero.jpg", here)), 0);
    assert_int_equal(mkfifo(text("%s/pipe.jpg", here), 0600), 0);
    assert_int_equal(mkdir(text("%s/folder.jpg", here), 0700), 0);
    made += 6;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && strlen(here) + 8 < sizeof address.sun_path) {
        snprintf(address.sun_path, sizeof address.sun_path, "%.90s/socket", here);
        made += bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    }
    if (fd >= 0)
        close(fd);
    copy_to("base.jpg", "hostile/a/unreadable.jpg");
    assert_int_equal(chmod(text("%s/unreadable.jpg", here), 0), 0); // but by root
    made++;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void folder_make(void)
{
    folder("hostile");
    folder("hostile/a");
    folder("hostile/b");
    for (size_t i = 0; i < COUNT_OF(seeds); i++)
        corrupt(seeds[i]);
    bombs_make();
    oddities_make();
    copy_to("base.jpg", "hostile/b/0.jpg");
    copy_to("rgb.png", "hostile/b/1.png");
}

static struct dataset hostile(void)
{
    struct dataset d;
    const char *const path = text("%s/hostile", scratch);
    const struct data_options options = {.paths = &path, .n_paths = 1};
    if (dataset_open(&options, &d) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return d;
}

static const struct input_spec spec = {32, 36, RESIZE_CROP, FILTER_BILINEAR, {0}, {1, 1, 1}, false};

// How many of them were read; all others were named.
static size_t read_all(const struct dataset *d, const struct augmentation *how)
{
    struct queue *q;
    uint32_t *order = mem_alloc(d->count * sizeof *order);
    size_t good = 0, bad = 0;
    for (size_t i = 0; i < d->count; i++)
        order[i] = (uint32_t)i;
    assert_int_equal(queue_new(d, &spec, how, order, d->count, 8, 3, &q), GRAFT_OK);
    for (bool end = false; !end;) {
        struct batch b;
        assert_int_equal(queue_next(q, &b, &end), GRAFT_OK);
        good += (size_t)b.n;
        bad += (size_t)b.n_failed;
        for (int i = 0; i < b.n_failed; i++)
            if (strstr(b.failed[i].message, path_name(d->samples[b.failed[i].index].path)) == NULL)
                fail_msg("'%s' does not name '%s'", b.failed[i].message, d->samples[b.failed[i].index].path);
    }
    queue_free(q);
    mem_free(order);
    assert_int_equal(good + bad, d->count);
    return good;
}

static void all_accounted_for(void **state)
{
    (void)state;
    const double begun = seconds();
    folder_make();
    struct dataset d = hostile();
    assert_int_equal(d.count, made + 2);
    const uint64_t before = mem_resident_peak();
    struct augment a;
    assert_int_equal(augment_parse("standard", &a), GRAFT_OK);
    const struct augmentation how = {&a, 1, 1};
    const size_t good = read_all(&d, NULL);
    assert_in_range(good, 50, d.count - 250); // the renamed, those with something behind, some of the overwritten
    d.shrink = 2;
    read_all(&d, &how);
    assert_int_equal(dataset_prints_keep(&d), GRAFT_OK);
    assert_int_equal(read_all(&d, NULL), good); // whole instead of row by row
    assert_int_equal(picture_cache_open(NULL, 0, 1, d.count, &d.cache), GRAFT_OK);
    assert_int_equal(read_all(&d, NULL), good);
    assert_int_equal(read_all(&d, NULL), good);
    struct exam *exams;
    assert_int_equal(exams_make(&d, 3, &exams), GRAFT_OK);
    size_t examined = 0;
    for (size_t i = 0; i < d.count; i++) {
        assert_true((exams[i].error != NULL) != (exams[i].w > 0));
        examined += exams[i].w > 0;
    }
    assert_int_equal(examined, good);
    exams_free(exams, d.count);
    dataset_free(&d);
    if (getenv("GRAFT_SANITIZED") == NULL) {
        assert_true(mem_resident_peak() - before < (uint64_t)100 << 20);
        assert_true(seconds() - begun < 60); // some seconds; a hang is longer
    }
}

static atomic_bool done;

// Files are cut, emptied, taken away and put back.
static void *vanish(void *argument)
{
    (void)argument;
    char path[200], other[sizeof path + 8];
    while (!atomic_load(&done)) {
        snprintf(path, sizeof path, "%s/vanish/b/%u.jpg", scratch, draw() % 20);
        snprintf(other, sizeof other, "%s.away", path);
        switch (draw() % 3) {
        case 0:
            if (truncate(path, draw() % 3000) != 0)
                sched_yield();
            break;
        case 1:
            rename(path, other);
            break;
        default:
            rename(other, path);
        }
    }
    return NULL;
}

static void vanishing(void **state)
{
    (void)state;
    pthread_t thread;
    folder("vanish");
    folder("vanish/a");
    folder("vanish/b");
    for (int i = 0; i < 20; i++) {
        copy_to("formats/profile.jpg", text("vanish/a/%d.jpg", i));
        copy_to("base.jpg", text("vanish/b/%d.jpg", i));
    }
    struct dataset d;
    const char *const path = text("%s/vanish", scratch);
    assert_int_equal(dataset_open(&(struct data_options){.paths = &path, .n_paths = 1}, &d), GRAFT_OK);
    assert_int_equal(d.count, 40);
    assert_int_equal(pthread_create(&thread, NULL, vanish, NULL), 0);
    for (int pass = 0; pass < 30; pass++) {
        if (pass == 15)
            assert_int_equal(picture_cache_open(NULL, 0, 1, d.count, &d.cache), GRAFT_OK);
        assert_true(read_all(&d, NULL) >= 20);
    }
    atomic_store(&done, true);
    pthread_join(thread, NULL);
    dataset_free(&d);
}

// Pictures with 10 MB of EXIF and of a colour profile: as without them, and nearly for free.
enum { EXTRA = 10 << 20 };

static void big_endian(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

// Segments of `marker`, each with that text first, behind the first marker of the file.
static size_t jpeg_fatten(bytes jpeg, uint8_t marker, const char *text, size_t text_size, uint8_t *out)
{
    enum { SEGMENT = 65535 };
    size_t n = 2;
    memcpy(out, jpeg.ptr, 2);
    for (size_t done = 0; done < EXTRA; done += SEGMENT + 2, n += SEGMENT + 2) {
        memset(out + n, 'p', SEGMENT + 2);
        memcpy(out + n, (const uint8_t[]){0xff, marker, SEGMENT >> 8, SEGMENT & 0xff}, 4);
        memcpy(out + n + 4, text, text_size);
    }
    memcpy(out + n, jpeg.ptr + 2, jpeg.size - 2);
    return n + jpeg.size - 2;
}

// One chunk behind the header.
static size_t png_fatten(bytes png, const char *kind, const char *text, size_t text_size, uint8_t *out)
{
    enum { HEADER = 8 + 25 };
    memcpy(out, png.ptr, HEADER);
    big_endian(out + HEADER, EXTRA);
    memcpy(out + HEADER + 4, kind, 4);
    memset(out + HEADER + 8, 'p', EXTRA);
    memcpy(out + HEADER + 8, text, text_size);
    big_endian(out + HEADER + 8 + EXTRA, (uint32_t)crc32(0, out + HEADER + 4, EXTRA + 4));
    memcpy(out + HEADER + 12 + EXTRA, png.ptr + HEADER, png.size - HEADER);
    return png.size + 12 + EXTRA;
}

static void fat_metadata(void **state)
{
    (void)state;
    static const struct { bool png; uint8_t marker; const char *kind, *text; size_t text_size; } rows[] = {
        {false, 0xe1, NULL, "Exif\0\0MM\0*\0\0\0\x8", 14}, // a directory of 28,784 entries
        {false, 0xe1, NULL, "Exif\0\0garbage", 13},
        {false, 0xe2, NULL, "ICC_PROFILE\0\1\1", 14},
        {false, 0xfe, NULL, "comment", 7},
        {true, 0, "eXIf", "MM\0*\0\0\0\x8", 8},
        {true, 0, "iCCP", "name\0", 6}, // not even deflated
        {true, 0, "zTXt", "key\0", 5}};
    uint8_t *fat = mem_alloc(2 * EXTRA);
    const uint64_t before = mem_resident_peak();
    const double begun = seconds();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct file_map map = map_of(rows[i].png ? "rgb.png" : "base.jpg");
        struct picture plain, p;
        const size_t size =
            rows[i].png ? png_fatten(map.data, rows[i].kind, rows[i].text, rows[i].text_size, fat)
                        : jpeg_fatten(map.data, rows[i].marker, rows[i].text, rows[i].text_size, fat);
        assert_int_equal(picture_decode(map.data, "plain", &plain), GRAFT_OK);
        if (picture_decode((bytes){fat, size}, "fat", &p) != GRAFT_OK)
            fail_msg("row %zu: %s", i, graft_message());
        same(&p, &plain, 0, "fat");
        picture_free(&p);
        picture_free(&plain);
        file_map_close(&map);
    }
    mem_free(fat);
    if (getenv("GRAFT_SANITIZED") == NULL) {
        assert_true(mem_resident_peak() - before < (uint64_t)50 << 20); // twice the file, with what was made here
        assert_true(seconds() - begun < 5);
    }
}

// JPEGs of 12 bits and with arithmetic coding, which the markers only claim to be; 10,000 frames cost one.
static void rare_jpegs(void **state)
{
    (void)state;
    struct file_map map = map_of("base.jpg");
    uint8_t *copy = mem_alloc(map.data.size);
    memcpy(copy, map.data.ptr, map.data.size);
    uint8_t *frame = memmem(copy, map.data.size, "\xff\xc0", 2);
    struct picture p;
    assert_non_null(frame);
    frame[4] = 12;
    assert_int_equal(picture_decode((bytes){copy, map.data.size}, "twelve.jpg", &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "twelve.jpg"));
    frame[4] = 8;
    frame[1] = 0xc9;
    assert_int_equal(picture_decode((bytes){copy, map.data.size}, "arithmetic.jpg", &p), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "arithmetic.jpg"));
    mem_free(copy);
    file_map_close(&map);
}

static void many_frames(void **state)
{
    (void)state;
    enum { TIMES = 5000 };
    for (int webp = 0; webp < 2; webp++) {
        struct file_map map = map_of(webp ? "animated.webp" : "animated.gif");
        // GIF: header and table of 256 colours, frames, one byte; WebP: RIFF, VP8X and ANIM, then chunks.
        const size_t head = webp ? 12 + 18 + 14 : 13 + 3 * 256, size = map.data.size, end = webp ? 0 : 1,
                     body = size - head - end;
        const double begun = seconds();
        struct picture one, many;
        if (picture_decode(map.data, "one", &one) != GRAFT_OK) { // built without it
            file_map_close(&map);
            continue;
        }
        uint8_t *data = mem_alloc(head + TIMES * body + end);
        memcpy(data, map.data.ptr, head);
        for (size_t i = 0; i < TIMES; i++)
            memcpy(data + head + i * body, map.data.ptr + head, body);
        if (webp)
            for (int i = 0; i < 4; i++)
                data[4 + i] = (uint8_t)((head + TIMES * body - 8) >> 8 * i);
        else
            data[head + TIMES * body] = ';';
        if (picture_decode((bytes){data, head + TIMES * body + end}, "many", &many) != GRAFT_OK)
            fail_msg("%s", graft_message());
        same(&many, &one, 0, "many frames");
        picture_free(&many);
        picture_free(&one);
        mem_free(data);
        file_map_close(&map);
        if (getenv("GRAFT_SANITIZED") == NULL)
            assert_true(seconds() - begun < 2); // hundredths; all of them would take more
    }
}

static void odd_names(void **state)
{
    (void)state;
    folder("names");
    folder("names/a");
    folder("names/b");
    copy_to("base.jpg", "names/a/new\nline.jpg");
    copy_to("base.jpg", "names/a/latin\xe9.jpg");
    put("names/b/bad\nerror: \x1b[31m\xe9.jpg", "x", 1);
    struct dataset d;
    const char *const path = text("%s/names", scratch);
    assert_int_equal(dataset_open(&(struct data_options){.paths = &path, .n_paths = 1}, &d), GRAFT_OK);
    assert_int_equal(d.count, 3);
    static float input[3 * 32 * 32];
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(sample_load(&d, i, &spec, NULL, input), GRAFT_OK);
    assert_int_equal(sample_load(&d, 2, &spec, NULL, input), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "/b/bad\\nerror: \\x1b[31m\\xe9.jpg: "));
    dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_accounted_for), cmocka_unit_test(vanishing),
                                       cmocka_unit_test(fat_metadata), cmocka_unit_test(rare_jpegs),
                                       cmocka_unit_test(many_frames), cmocka_unit_test(odd_names)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
