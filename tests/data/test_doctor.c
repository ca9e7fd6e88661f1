// data/test_doctor.c: looking through a data set: what is found, duplicates, the page, the quarantine.

#include "data/fixture.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/colour.h"
#include "data/encode.h"
#include "data/exam.h"
#include "data/sources.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct picture golden_picture(const char *name)
{
    struct picture p;
    if (picture_read(golden(name), false, &p) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return p;
}

static struct picture resized(const struct picture *p, int w, int h)
{
    struct picture out;
    assert_int_equal(picture_resize(p, w, h, FILTER_BILINEAR, &out), GRAFT_OK);
    return out;
}

static struct fingerprint print_of(const struct picture *p)
{
    struct fingerprint out;
    fingerprint_take(p, &out);
    return out;
}

static struct picture part_of_picture(const struct picture *p, int x, int y, int w, int h)
{
    struct picture out = {.rgb = mem_alloc((size_t)w * h * 3), .w = w, .h = h};
    for (int row = 0; row < h; row++)
        memcpy(out.rgb + (size_t)row * w * 3, p->rgb + ((size_t)(y + row) * p->w + x) * 3, (size_t)w * 3);
    return out;
}

static void fingerprints(void **state)
{
    (void)state;
    static const char *const names[] = {"augment/coffee.png", "augment/chelsea.png"};
    struct fingerprint first = {0};
    for (int i = 0; i < 2; i++) {
        struct picture p = golden_picture(names[i]), big = resized(&p, 300, 200), other;
        const struct fingerprint own = print_of(&p);
        assert_int_equal(own.state, FINGERPRINT_GOOD);
        for (int k = 0; k < 6; k++) { // resized, squashed, grey, darker, blurred, recompressed
            bytes jpeg = {0};
            other = resized(&big, k == 1 ? 90 : 150, 100);
            if (k == 2)
                assert_int_equal(colour_apply(&other, COLOUR_GREY, 0), GRAFT_OK);
            else if (k == 3)
                assert_int_equal(colour_apply(&other, COLOUR_BRIGHTNESS, 0.85), GRAFT_OK);
            else if (k == 4)
                assert_int_equal(colour_apply(&other, COLOUR_BLUR, 2), GRAFT_OK);
            else if (k == 5) {
                assert_int_equal(picture_to_jpeg(&other, 30, &jpeg), GRAFT_OK);
                picture_free(&other);
                assert_int_equal(picture_decode(jpeg, "again", &other), GRAFT_OK);
                mem_free((void *)jpeg.ptr);
            }
            const struct fingerprint its = print_of(&other);
            if (!fingerprint_alike(&own, &its))
                fail_msg("%s: version %d is not found", names[i], k);
            picture_free(&other);
        }
        other = part_of_picture(&p, 12, 9, 36, 27); // another part of the scene is another picture
        const struct fingerprint part = print_of(&other);
        assert_false(fingerprint_alike(&own, &part));
        picture_free(&other);
        if (i == 1)
            assert_false(fingerprint_alike(&own, &first));
        first = own;
        memset(p.rgb, 100, (size_t)p.w * p.h * 3);
        const struct fingerprint flat = print_of(&p);
        assert_int_equal(flat.state, FINGERPRINT_FLAT);
        assert_false(fingerprint_alike(&flat, &flat));
        picture_free(&p);
        picture_free(&big);
    }
    struct picture dot = {.rgb = mem_alloc(3), .w = 1, .h = 1};
    memset(dot.rgb, 7, 3);
    assert_int_equal(print_of(&dot).state, FINGERPRINT_FLAT);
    picture_free(&dot);
}

// The search by bands, which serves sets too large for all pairs, against all pairs.
static void many_fingerprints(void **state)
{
    (void)state;
    enum { N = 50400, COPIES = 300 };
    struct fingerprint *prints = mem_zero(N, sizeof *prints);
    for (size_t i = 0; i < N; i++) {
        const size_t of = i >= N - COPIES ? i - (N - COPIES) : i;
        prints[i].hash = rng_hash(RNG_TEST, of, 0, 0);
        prints[i].state = FINGERPRINT_GOOD;
        for (int k = 0; k < 256; k++)
            prints[i].grey[k] = (uint8_t)(rng_hash(RNG_TEST, of, (uint64_t)k, 1) >> 8);
        if (of != i)
            prints[i].hash ^= (uint64_t)7 << of % 50; // three bits: some band is whole
    }
    struct clusters c;
    assert_int_equal(clusters_find(prints, NULL, N, &c), GRAFT_OK);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(c.root[i], i >= N - COPIES ? i - (N - COPIES) : i);
    clusters_free(&c);
    mem_free(prints);
}

static void write_png(const char *name, const struct picture *p)
{
    bytes png;
    assert_int_equal(picture_to_png(p, &png), GRAFT_OK);
    put(name, png.ptr, png.size);
    mem_free((void *)png.ptr);
}

// A set with one of everything.
static const char *sick(void)
{
    static const char *root;
    if (root != NULL)
        return root;
    root = folder("sick");
    folder("sick/a");
    folder("sick/b<i>");
    struct picture coffee = golden_picture("augment/coffee.png"), cat = golden_picture("augment/chelsea.png");
    struct picture small = resized(&coffee, 44, 40), blank = {.rgb = mem_alloc(40 * 40 * 3), .w = 40, .h = 40};
    struct picture tiny = resized(&cat, 20, 15), other = resized(&coffee, 44, 40);
    memset(blank.rgb, 9, 40 * 40 * 3);
    assert_int_equal(colour_apply(&other, COLOUR_EQUALIZE, 0), GRAFT_OK);
    copy_to("augment/coffee.png", "sick/a/coffee.png");
    copy_to("augment/coffee.png", "sick/a/again.png");
    copy_to("augment/chelsea.png", "sick/a/cat.jpg"); // its name lies
    copy_to("augment/chelsea.png", "sick/b<i>/cat.png");
    write_png("sick/b<i>/small.png", &small);
    write_png("sick/b<i>/blank.png", &blank);
    write_png("sick/b<i>/tiny.png", &tiny);
    copy_to("cmyk.jpg", "sick/b<i>/cmyk.jpg");
    copy_to("rgb16.png", "sick/b<i>/deep.png");
    put("sick/a/empty.jpg", "", 0);
    put("sick/a/page.jpg", "<html>", 6);
    symlink("loop.jpg", text("%s/sick/a/loop.jpg", scratch));
    mkdir(text("%s/sick/b<i>/folder.png", scratch), 0700);
    struct picture *const all[] = {&coffee, &cat, &small, &blank, &tiny, &other};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        picture_free(all[i]);
    return root;
}

static struct dataset open_data(const char *path)
{
    struct dataset d;
    if (dataset_open(&(struct data_options){.paths = &path, .n_paths = 1}, &d) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return d;
}

static const json_t *finding(const json_t *all, const char *kind)
{
    const json_t *list = json_object_get(all, "findings"), *f;
    size_t i;
    json_array_foreach(list, i, f)
        if (strcmp(json_string_value(json_object_get(f, "kind")), kind) == 0)
            return f;
    return NULL;
}

// The finding lists exactly these file names, in this order (sets: one after another).
static void lists_files(const json_t *all, const char *kind, const char *expected)
{
    const json_t *f = finding(all, kind), *pictures = json_object_get(f, "pictures"),
                 *sets = json_object_get(f, "sets"), *item, *one;
    char got[1024] = "";
    size_t i, k;
    json_array_foreach(pictures, i, item)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s ",
                 path_name(json_string_value(json_object_get(item, "path"))));
    json_array_foreach(sets, i, item)
        json_array_foreach(item, k, one)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s ",
                     path_name(json_string_value(json_object_get(one, "path"))));
    if (strcmp(got, expected) != 0)
        fail_msg("%s: found '%s', expected '%s'", kind, got, expected);
}

static void finds_everything(void **state)
{
    (void)state;
    static const int workers[] = {1, 3};
    char *first = NULL;
    for (int w = 0; w < 2; w++) {
        struct dataset d = open_data(sick());
        struct exam *exams;
        json_t *found;
        assert_int_equal(exams_make(&d, workers[w], &exams), GRAFT_OK);
        assert_int_equal(findings_make(&d, exams, &found), GRAFT_OK);
        assert_int_equal(json_integer_value(json_object_get(found, "pictures")), 13);
        assert_int_equal(json_integer_value(json_object_get(found, "broken")), 4);
        lists_files(found, "broken", "empty.jpg loop.jpg page.jpg folder.png ");
        lists_files(found, "type", "cat.jpg ");
        lists_files(found, "tiny", "cmyk.jpg deep.png tiny.png ");
        lists_files(found, "blank", "blank.png ");
        lists_files(found, "mode", "cmyk.jpg deep.png ");
        // again.png's set has a resized copy of another label; cat.jpg's a smaller one
        lists_files(found, "near-labels", "again.png coffee.png small.png cat.jpg cat.png tiny.png ");
        assert_null(finding(found, "huge"));
        assert_null(finding(found, "groups"));
        char *said = json_text(found);
        if (w == 0)
            first = said;
        else {
            assert_string_equal(first, said); // threads change nothing
            mem_free(said);
        }
        const char *page = text("%s/page.html", scratch);
        assert_int_equal(findings_page(&d, found, "<sick>", page), GRAFT_OK);
        struct file_map map;
        assert_int_equal(file_map_open(page, &map), GRAFT_OK);
        assert_non_null(memmem(map.data.ptr, map.data.size, "&lt;sick&gt;", 12));
        assert_non_null(memmem(map.data.ptr, map.data.size, "b&lt;i&gt;", 10));
        assert_null(memmem(map.data.ptr, map.data.size, "b<i>", 4));
        assert_null(memmem(map.data.ptr, map.data.size, "http", 4)); // needs nothing from elsewhere
        assert_non_null(memmem(map.data.ptr, map.data.size, "data:image/jpeg;base64,", 23));
        assert_non_null(memmem(map.data.ptr, map.data.size, "no picture", 10));
        file_map_close(&map);
        json_decref(found);
        exams_free(exams, d.count);
        dataset_free(&d);
    }
    mem_free(first);
}

// Duplicates and groups across the parts, classes of very different sizes, arrays.
static void finds_leaks(void **state)
{
    (void)state;
    struct dataset d = {0};
    static const struct { const char *name; int label; enum part part; const char *group; } samples[] = {
        {"augment/coffee.png", 0, PART_TRAIN, "x"}, {"augment/coffee.png", 0, PART_VAL, "y"},
        {"augment/chelsea.png", 1, PART_TRAIN, "y"}, {"augment/chelsea.png", 1, PART_TRAIN, ""}};
    struct exam *exams;
    json_t *found;
    assert_int_equal(class_add(&d, "a"), GRAFT_OK);
    assert_int_equal(class_add(&d, "b"), GRAFT_OK);
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        assert_int_equal(sample_add(&d, golden(samples[i].name), samples[i].label, samples[i].part, NULL), GRAFT_OK);
        assert_int_equal(group_find(&d, samples[i].group, &d.samples[i].group), GRAFT_OK);
    }
    assert_int_equal(exams_make(&d, 2, &exams), GRAFT_OK);
    assert_int_equal(findings_make(&d, exams, &found), GRAFT_OK);
    lists_files(found, "same-parts", "coffee.png coffee.png ");
    lists_files(found, "same", "chelsea.png chelsea.png ");
    const json_t *groups = json_object_get(finding(found, "groups"), "groups");
    assert_int_equal(json_array_size(groups), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(groups, 0), "group")), "y");
    json_decref(found);
    exams_free(exams, d.count);
    // The same from loading pictures as training does.
    static const struct input_spec spec = {16, 16, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
    float input[3 * 16 * 16];
    struct twins *pairs;
    size_t n;
    assert_int_equal(twins_find(&d, &pairs, &n), GRAFT_OK);
    assert_int_equal(n, 0); // nothing was loaded
    assert_int_equal(dataset_prints_keep(&d), GRAFT_OK);
    for (size_t i = 0; i < d.count; i++)
        assert_int_equal(sample_load(&d, i, &spec, NULL, input), GRAFT_OK);
    assert_int_equal(twins_find(&d, &pairs, &n), GRAFT_OK);
    assert_int_equal(n, 1);
    assert_true(pairs[0].held_out == 1 && pairs[0].trained == 0);
    mem_free(pairs);
    dataset_free(&d);

    d = open_data(golden("idx"));
    assert_int_equal(exams_make(&d, 2, &exams), GRAFT_OK);
    for (size_t i = 0; i < d.count; i++)
        if (i % 20 < 13) // most of class 4
            d.samples[i].label = 4;
    memcpy((void *)d.samples[1].data, d.samples[0].data, 16);
    exams_free(exams, d.count);
    assert_int_equal(exams_make(&d, 2, &exams), GRAFT_OK);
    assert_int_equal(findings_make(&d, exams, &found), GRAFT_OK);
    assert_int_equal(json_array_size(json_object_get(finding(found, "same"), "sets")), 1);
    const json_t *classes = json_object_get(finding(found, "imbalance"), "classes");
    assert_true(json_array_size(classes) >= 3);
    assert_null(finding(found, "tiny")); // digits are small by nature
    json_decref(found);
    exams_free(exams, d.count);
    dataset_free(&d);
}

static bool there(const char *path) { return access(path, F_OK) == 0 || readlink(path, (char[8]){0}, 8) > 0; }

// What is broken moves, nothing else does, nothing is overwritten.
static void quarantines(void **state)
{
    (void)state;
    struct dataset d = open_data(sick());
    struct exam *exams;
    size_t moved;
    const char *folder = text("%s/quarantine", scratch);
    char kept[256];
    snprintf(kept, sizeof kept, "%s", folder);
    mkdir(kept, 0700);
    mkdir(text("%s/a", kept), 0700);
    put("quarantine/a/page.jpg", "mine", 4);
    assert_int_equal(exams_make(&d, 2, &exams), GRAFT_OK);
    assert_int_equal(quarantine(&d, exams, kept, &moved), GRAFT_OK);
    assert_int_equal(moved, 4);
    static const char *const gone[] = {"a/empty.jpg", "a/page.jpg", "a/loop.jpg", "b<i>/folder.png"};
    static const char *const arrived[] = {"a/empty.jpg", "a/page.jpg.1", "a/loop.jpg", "b<i>/folder.png"};
    for (int i = 0; i < 4; i++) {
        assert_false(there(text("%s/sick/%s", scratch, gone[i])));
        if (!there(text("%s/%s", kept, arrived[i])))
            fail_msg("%s is nowhere", arrived[i]);
    }
    struct file_map map;
    assert_int_equal(file_map_open(text("%s/a/page.jpg", kept), &map), GRAFT_OK);
    assert_int_equal(map.data.size, 4);
    file_map_close(&map);
    assert_int_equal(file_map_open(text("%s/quarantine.csv", kept), &map), GRAFT_OK);
    assert_non_null(memmem(map.data.ptr, map.data.size, "from,to,reason\n", 15));
    assert_non_null(memmem(map.data.ptr, map.data.size, "a/page.jpg.1,", 13));
    file_map_close(&map);
    assert_int_equal(quarantine(&d, exams, kept, &moved), GRAFT_OK); // gone already: warnings
    assert_int_equal(moved, 0);
    exams_free(exams, d.count);
    dataset_free(&d);
    d = open_data(sick());
    assert_int_equal(d.count, 9);
    // A label that is a path leads nowhere else.
    mem_free(d.classes[0]);
    d.classes[0] = mem_text("../../x");
    exams = mem_zero(d.count, sizeof *exams);
    exams[0].error = mem_text("broken");
    assert_int_equal(quarantine(&d, exams, kept, &moved), GRAFT_OK);
    assert_int_equal(moved, 1);
    assert_true(there(text("%s/_./../x", kept)) || there(text("%s/_._.._x/%s", kept, path_name(d.samples[0].path))));
    exams_free(exams, d.count);
    dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fingerprints), cmocka_unit_test(many_fingerprints),
                                       cmocka_unit_test(finds_everything), cmocka_unit_test(finds_leaks),
                                       cmocka_unit_test(quarantines)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
