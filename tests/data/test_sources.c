// data/test_sources.c: where pictures come from: folders, lists, IDX, arrays, CIFAR; the split; the queue of batches;
// memory that runs out on the way.

#include "data/fixture.h"
#include "base/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct dataset open_data(const char *path, int num_classes)
{
    struct dataset d;
    const struct data_options options = {
        .paths = (const char *const[]){path}, .n_paths = 1, .num_classes = num_classes};
    if (dataset_open(&options, &d) != GRAFT_OK)
        fail_msg("%s", graft_message());
    return d;
}

static void open_fails(const char *path, const char *reason)
{
    struct dataset d;
    const struct data_options options = {.paths = (const char *const[]){path}, .n_paths = 1};
    assert_int_equal(dataset_open(&options, &d), GRAFT_BAD_FILE);
    if (strstr(graft_message(), reason) == NULL)
        fail_msg("'%s' does not say '%s'", graft_message(), reason);
    assert_null(d.samples);
}

static size_t part_count(const struct dataset *d, enum part part, int label)
{
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        n += d->samples[i].part == part && (label < 0 || d->samples[i].label == label);
    return n;
}

static void folders(void **state)
{
    (void)state;
    const char *root = folder("plain");
    open_fails(root, "no picture");
    folder("plain/Zebra");
    copy_to("base.jpg", "plain/Zebra/1.jpg");
    open_fails(root, "only one class");
    struct dataset one = open_data(root, 3);
    assert_int_equal(one.n_classes, 3);
    dataset_free(&one);
    folder("plain/ant");
    folder("plain/empty");
    folder("plain/.hidden");
    copy_to("rgb.png", "plain/ant/2.png");
    copy_to("rgb.bmp", "plain/ant/1");
    put("plain/notes.txt", "x", 1);
    struct dataset d = open_data(root, 0);
    assert_int_equal(d.n_classes, 3);
    assert_string_equal(d.classes[0], "Zebra"); // bytewise: capitals first
    assert_string_equal(d.classes[1], "ant");
    assert_int_equal(d.count, 3);
    assert_non_null(strstr(d.samples[1].path, "plain/ant/1"));
    float input[3 * 16 * 16];
    for (size_t i = 0; i < d.count; i++)
        assert_int_equal(sample_load(&d, i, &crop_spec, NULL, input), GRAFT_OK);
    dataset_free(&d);

    static const char *const names[] = {"ant", "x", "Zebra", "empty"}; // matched by name, never by position
    const struct data_options options = {
        .paths = (const char *const[]){root}, .n_paths = 1, .classes = names, .n_classes = 4};
    assert_int_equal(dataset_open(&options, &d), GRAFT_OK);
    assert_int_equal(d.samples[0].label, 2);
    assert_int_equal(d.samples[1].label, 0);
    dataset_free(&d);
    const struct data_options wrong = {
        .paths = (const char *const[]){root}, .n_paths = 1, .classes = names, .n_classes = 2};
    assert_int_equal(dataset_open(&wrong, &d), GRAFT_BAD_FILE);

    static const char *const parts[] = {"train", "validation", "test"};
    root = folder("parts");
    for (int i = 0; i < 3; i++) {
        folder(text("parts/%s", parts[i]));
        for (int c = i == 1; c < 2; c++) { // validation lacks the first class
            folder(text("parts/%s/%c", parts[i], 'a' + c));
            copy_to("base.jpg", text("parts/%s/%c/1.jpg", parts[i], 'a' + c));
        }
    }
    d = open_data(root, 0);
    assert_true(d.has_val && d.has_test);
    assert_int_equal(part_count(&d, PART_TRAIN, -1), 2);
    assert_int_equal(part_count(&d, PART_VAL, 1), 1);
    assert_int_equal(part_count(&d, PART_TEST, -1), 2);
    assert_int_equal(dataset_split(&d, "0", 0, 1), GRAFT_OK);
    assert_int_equal(part_count(&d, PART_VAL, -1), 0);
    assert_false(d.has_val);
    dataset_free(&d);
    folder("parts/test/unknown");
    open_fails(root, "unknown");
    open_fails(text("%s/absent", scratch), "No such file");
}

static void lists(void **state)
{
    (void)state;
    static const char good[] = "\xef\xbb\xbf" "\r\nlabel,extra,path,split\r\n\"b, \"\"c\"\"\",,plain/ant/1,\r\n"
                               "a,1,plain/Zebra/1.jpg,val\r\n\r\na,2,plain/ant/2.png,train";
    struct dataset d = open_data(put("good.csv", good, sizeof good - 1), 0);
    assert_int_equal(d.count, 3);
    assert_string_equal(d.classes[0], "a");
    assert_string_equal(d.classes[1], "b, \"c\"");
    assert_int_equal(d.samples[0].label, 1);
    assert_int_equal(d.samples[1].part, PART_VAL);
    assert_int_equal(d.samples[2].label, 0);
    float input[3 * 16 * 16];
    for (size_t i = 0; i < d.count; i++)
        assert_int_equal(sample_load(&d, i, &crop_spec, NULL, input), GRAFT_OK);
    dataset_free(&d);
    static const struct { const char *text, *reason; } bad[] = {{"", "empty"},
               {"\n\n", "empty"},
               {"a,b\n1,2\n", ":1:"},
               {"path,label\n\"x,1\n", ":2:"},
               {"path,label\nx\n", ":2:"},
               {"path,label,split\nx,1,no\n", "split"},
               {"path,label\n,1\n", ":2:"},
               {"path,label\nx,1\n", "only one class"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        open_fails(put("bad.csv", bad[i].text, strlen(bad[i].text)), bad[i].reason);

    // State Farm's: drivers are groups, never split between the parts.
    folder("imgs");
    folder("imgs/train");
    char list[8192] = "subject,classname,img\n";
    for (int c = 0; c < 2; c++) {
        folder(text("imgs/train/c%d", c));
        for (int i = 0; i < 30; i++) {
            copy_to("oriented.jpg", text("imgs/train/c%d/img_%d.jpg", c, i));
            strcat(list, text("p%d,c%d,img_%d.jpg\n", i / 5, c, i));
        }
    }
    d = open_data(put("drivers.csv", list, strlen(list)), 0);
    assert_int_equal(d.count, 60);
    assert_int_equal(sample_load(&d, 59, &crop_spec, NULL, input), GRAFT_OK);
    assert_int_equal(dataset_split(&d, "0.34", 0, 5), GRAFT_OK);
    assert_int_equal(part_count(&d, PART_VAL, -1), 20);
    for (size_t i = 0; i < d.count; i++)
        for (size_t k = 0; k < d.count; k++)
            if (d.samples[i].group == d.samples[k].group)
                assert_int_equal(d.samples[i].part, d.samples[k].part);
    dataset_free(&d);
}

// What predict takes: a picture, a folder with its folders, a CSV; labels play no part.
static void inputs(void **state)
{
    (void)state;
    static const char csv[] = "img,label\r\nplain/Zebra/1.jpg\n\"plain/ant/1\",b\n", no_path[] = "file,label\nx,y\n";
    struct dataset d = {0};
    folder("tree");
    folder("tree/b");
    copy_to("oriented.jpg", "tree/b/2.jpg");
    copy_to("oriented.jpg", "tree/a.jpg");
    copy_to("oriented.jpg", "tree/.hidden.jpg");
    assert_int_equal(symlink("..", text("%s/tree/b/up", scratch)), 0); // a loop, if it were followed
    assert_int_equal(symlink("2.jpg", text("%s/tree/b/link.jpg", scratch)), 0);
    assert_int_equal(inputs_add(text("%s/tree", scratch), &d), GRAFT_OK);
    assert_int_equal(inputs_add(put("list.csv", csv, sizeof csv - 1), &d), GRAFT_OK);
    assert_int_equal(inputs_add("absent.jpg", &d), GRAFT_OK); // is found out when it is read
    static const char *const expected[] = {"tree/a.jpg", "tree/b/2.jpg", "tree/b/link.jpg", "plain/Zebra/1.jpg",
                                           "plain/ant/1"};
    assert_int_equal(d.count, 6);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(d.samples[i].path, text("%s/%s", scratch, expected[i]));
        assert_int_equal(d.samples[i].label, -1);
    }
    assert_int_equal(d.n_classes, 0);
    assert_int_equal(inputs_add(put("bad.csv", no_path, sizeof no_path - 1), &d), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "bad.csv:1: the header needs the column path"));
    assert_int_equal(inputs_add(text("%s/none.csv", scratch), &d), GRAFT_BAD_FILE);
    dataset_free(&d);
}

static void idx(void **state)
{
    (void)state;
    struct dataset d = open_data(golden("idx"), 0);
    assert_int_equal(d.count, 30);
    assert_int_equal(d.n_classes, 5);
    assert_string_equal(d.classes[4], "4");
    assert_int_equal(part_count(&d, PART_TEST, -1), 10);
    for (size_t i = 0; i < d.count; i++) {
        assert_int_equal(*(const uint8_t *)d.samples[i].data, i % 20);
        assert_int_equal(d.samples[i].label, i % 20 % 5);
    }
    static const struct input_spec plain = {4, 4, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, 0};
    float input[3 * 16];
    assert_int_equal(sample_load(&d, 7, &plain, NULL, input), GRAFT_OK);
    for (int i = 0; i < 16; i++)
        for (int c = 0; c < 3; c++)
            assert_true(input[16 * c + i] == ((const uint8_t *)d.samples[7].data)[i]);
    assert_int_equal(dataset_split(&d, "4", 15, 1), GRAFT_OK); // the first 4 of the test part
    assert_int_equal(part_count(&d, PART_VAL, -1), 4);
    assert_int_equal(part_count(&d, PART_TRAIN, -1), 15);
    for (size_t i = 20; i < 24; i++)
        assert_int_equal(d.samples[i].part, PART_VAL);
    dataset_free(&d);
    d = open_data(golden("idx"), 0);
    assert_int_equal(dataset_split(&d, "11", 0, 1), GRAFT_BAD_OPTION);
    dataset_free(&d);

    const char *root = folder("idx");
    copy_to("idx/train-labels-idx1-ubyte", "idx/train-labels-idx1-ubyte");
    struct file_map map = map_of("idx/train-images-idx3-ubyte.gz");
    for (size_t cut = 0; cut < map.data.size; cut++) {
        put("idx/train-images-idx3-ubyte.gz", map.data.ptr, cut);
        open_fails(root, "train-images");
    }
    file_map_close(&map);
    unlink(text("%s/train-images-idx3-ubyte.gz", root));
    assert_int_equal(mkfifo(text("%s/train-images-idx3-ubyte", root), 0600), 0);
    struct dataset none;
    const struct data_options options = {.paths = (const char *const[]){root}, .n_paths = 1};
    assert_int_not_equal(dataset_open(&options, &none), GRAFT_OK); // and no hang
}

static void arrays(void **state)
{
    (void)state;
    struct dataset a = open_data(golden("stored.npz"), 0), b = open_data(golden("packed.npz"), 0);
    assert_int_equal(a.count, 6);
    assert_int_equal(a.n_classes, 3);
    for (size_t i = 0; i < 6; i++) {
        assert_memory_equal(a.samples[i].data, b.samples[i].data, 75);
        assert_int_equal(a.samples[i].label, i % 3);
        assert_int_equal(b.samples[i].label, i % 3);
    }
    dataset_free(&a);
    dataset_free(&b);
    a = open_data(golden("float.npz"), 0);
    float input[27];
    assert_true(a.array_float);
    assert_int_equal(sample_load(&a, 1, &crop_spec, NULL, input), GRAFT_OK);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 9; i++)
            assert_true(input[9 * c + i] == (float)(27 + 3 * i + c));
    float changed[27] = {0};
    changed[3 * 4 + 2] = NAN;
    const void *const kept = a.samples[1].data;
    a.samples[1].data = changed;
    assert_int_equal(sample_load(&a, 1, &crop_spec, NULL, input), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "no number: row 1, column 1, channel 2"));
    a.samples[1].data = kept;
    dataset_free(&a);

    // CIFAR-10: 3 records in a batch, 2 in the test batch.
    const char *root = folder("cifar");
    static uint8_t records[3 * 3073];
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = (uint8_t)(i % 3073 == 0 ? i / 3073 * 4 : i * 7);
    put("cifar/data_batch_1.bin", records, sizeof records);
    put("cifar/test_batch.bin", records, 2 * 3073);
    put("cifar/batches.meta.txt", "airplane\nautomobile\n", 20);
    a = open_data(root, 0);
    assert_int_equal(a.n_classes, 10);
    assert_string_equal(a.classes[1], "automobile");
    assert_string_equal(a.classes[9], "9");
    assert_int_equal(a.samples[2].label, 8);
    assert_int_equal(part_count(&a, PART_TEST, -1), 2);
    static const struct input_spec plain = {32, 32, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, 0};
    static float planes[3072];
    assert_int_equal(sample_load(&a, 1, &plain, NULL, planes), GRAFT_OK);
    for (int i = 0; i < 3072; i++)
        assert_true(planes[i] == records[3073 + 1 + i]);
    dataset_free(&a);
    put("cifar/data_batch_2.bin", records, 3000);
    open_fails(root, "not whole");
    unlink(text("%s/data_batch_2.bin", root));
}

static void split(void **state)
{
    (void)state;
    static const int sizes[] = {50, 20, 10, 1}; // of the classes
    uint8_t images[81 * 4], labels[8 + 81] = {0, 0, 8, 1, 0, 0, 0, 81},
                                       file[16 + sizeof images] = {0, 0, 8, 3, 0, 0, 0, 81};
    int at = 0;
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < sizes[c]; i++)
            labels[8 + at++] = (uint8_t)c;
    memset(images, 0, sizeof images);
    file[11] = file[15] = 2;
    const char *root = folder("split");
    put("split/train-images-idx3-ubyte", file, sizeof file);
    put("split/train-labels-idx1-ubyte", labels, sizeof labels);
    struct dataset d[3];
    for (int k = 0; k < 3; k++) {
        d[k] = open_data(root, 0);
        assert_int_equal(dataset_split(&d[k], NULL, 0, k == 2 ? 9 : 8), GRAFT_OK);
        assert_true(d[k].has_val);
        for (int c = 0; c < 4; c++)
            assert_int_equal(part_count(&d[k], PART_VAL, c), sizes[c] / 5); // the class of one stays in training
    }
    int moved = 0;
    for (size_t i = 0; i < 81; i++) {
        assert_int_equal(d[0].samples[i].part, d[1].samples[i].part);
        moved += d[0].samples[i].part != d[2].samples[i].part;
    }
    assert_true(moved > 5); // another seed, another split
    for (int k = 0; k < 3; k++)
        dataset_free(&d[k]);
    d[0] = open_data(root, 0);
    static const char *const bad[] = {"", "x", "-1", "1.5", "81", "nan", "inf", "0.2x", "1e3"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(dataset_split(&d[0], bad[i], 0, 1), GRAFT_BAD_OPTION);
    assert_int_equal(dataset_split(&d[0], "16", 7, 1), GRAFT_OK);
    assert_int_equal(part_count(&d[0], PART_VAL, -1), 16);
    assert_int_equal(part_count(&d[0], PART_TRAIN, -1), 7);
    dataset_free(&d[0]);
}

// The same batches, bit for bit, from any number of workers; what fails is named and the next one takes its place:
// every batch is full but the last, and with its failures stands for as many entries of the order.  `bad` are their
// places.
static void check_queue(struct dataset *d, const uint32_t *order, size_t n, const bool *bad, const float *expected)
{
    enum { BATCH = 4, ITEM = 3 * 16 * 16 };
    static const int workers[] = {1, 2, 7};
    size_t good = 0;
    for (size_t i = 0; i < n; i++)
        good += !bad[i];
    for (size_t w = 0; w < COUNT_OF(workers); w++) {
        struct queue *q;
        struct batch b;
        bool end;
        size_t seen = 0, left = good;
        assert_int_equal(queue_new(d, &crop_spec, NULL, order, n, BATCH, workers[w], &q), GRAFT_OK);
        for (;;) {
            assert_int_equal(queue_next(q, &b, &end), GRAFT_OK);
            if (end)
                break;
            assert_int_equal(b.n, left < BATCH ? left : BATCH);
            int k = 0, f = 0;
            for (int i = 0; i < b.n + b.n_failed; i++, seen++)
                if (bad[seen]) {
                    assert_int_equal(b.failed[f].index, order[seen]);
                    assert_non_null(strstr(b.failed[f++].message, "page.jpg"));
                } else {
                    assert_int_equal(b.index[k], order[seen]);
                    assert_memory_equal(b.input + (size_t)k++ * ITEM, expected + order[seen] * ITEM,
                                        ITEM * sizeof(float));
                }
            assert_true(k == b.n && f == b.n_failed);
            left -= (size_t)b.n;
        }
        assert_int_equal(seen, n);
        queue_free(q);
        assert_int_equal(queue_new(d, &crop_spec, NULL, order, n, BATCH, workers[w], &q), GRAFT_OK);
        assert_int_equal(queue_next(q, &b, &end), GRAFT_OK); // left in the middle
        queue_free(q);
    }
}

static void queue_order(void **state)
{
    (void)state;
    enum { N = 45, ITEM = 3 * 16 * 16 };
    static float expected[60][ITEM];
    struct dataset d = open_data(text("%s/drivers.csv", scratch), 0);
    put("page.jpg", "<html>", 6);
    assert_true(d.count >= 60);
    for (size_t i = 0; i < 60; i++)
        assert_int_equal(sample_load(&d, i, &crop_spec, NULL, expected[i]), GRAFT_OK);
    uint32_t order[N];
    bool bad[N] = {0};
    for (uint32_t i = 0; i < N; i++)
        order[i] = i * 7 % 60;
    check_queue(&d, order, N, bad, expected[0]);
    check_queue(&d, order, 0, bad, expected[0]);
    // One in the middle; then the first, the last, and more in a row than a batch and its neighbours hold.
    static const size_t places[] = {13, 0, 44, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        struct sample *s = &d.samples[order[places[i]]];
        mem_free(s->path);
        s->path = mem_text(text("%s/page.jpg", scratch));
        bad[places[i]] = true;
        check_queue(&d, order, N, bad, expected[0]);
    }
    check_queue(&d, order + 20, 10, bad + 20, expected[0]); // none can be read
    dataset_free(&d);
}

// Every allocation fails once: an error, nothing lost (the sanitizer counts), never a crash.
static struct memory_table whole;
static long allowed;
static void *alloc_limited(size_t size)
{
    return __atomic_fetch_sub(&allowed, 1, __ATOMIC_RELAXED) > 0 ? whole.alloc(size) : NULL;
}
static void *resize_limited(void *old, size_t size)
{
    return __atomic_fetch_sub(&allowed, 1, __ATOMIC_RELAXED) > 0 ? whole.resize(old, size) : NULL;
}

static graft_status load_all(const char *path, bool queued)
{
    struct dataset d;
    struct picture p;
    const struct data_options options = {.paths = (const char *const[]){path}, .n_paths = 1};
    const char *dot = strrchr(path, '.');
    float input[3 * 16 * 16];
    if (dot != NULL && strcmp(dot, ".csv") != 0 && strcmp(dot, ".npz") != 0) {
        TRY(picture_read(path, false, &p));
        const graft_status status = picture_prepare(&p, &crop_spec, input);
        picture_free(&p);
        return status;
    }
    TRY(dataset_open(&options, &d));
    graft_status status = dataset_split(&d, NULL, 0, 1);
    struct queue *q = NULL;
    const uint32_t order[] = {0, 1, 2};
    if (status == GRAFT_OK && queued)
        status = queue_new(&d, &crop_spec, NULL, order, 3, 2, 2, &q);
    for (bool end = false; status == GRAFT_OK && q != NULL;) {
        struct batch b;
        status = queue_next(q, &b, &end);
        if (end)
            break;
        if (b.n_failed > 0 && status == GRAFT_OK)
            status = GRAFT_NO_RESOURCE;
    }
    queue_free(q);
    dataset_free(&d);
    return status;
}

static void memory_runs_out(void **state)
{
    (void)state;
    static const char *const files[] = {"base.jpg", "cmyk.jpg",     "oriented.jpg", "rgb.png",    "animated.webp",
                                        "rgb.bmp",  "animated.gif", "idx",          "stored.npz", "packed.npz"};
    static const char *const made[] = {"drivers.csv", "cifar", "plain", "parts"};
    char kept[COUNT_OF(files) + COUNT_OF(made)][4096];
    int n = 0;
    for (size_t i = 0; i < COUNT_OF(files); i++)
        snprintf(kept[n++], sizeof kept[0], "%s", golden(files[i]));
    for (size_t i = 0; i < COUNT_OF(made); i++)
        snprintf(kept[n++], sizeof kept[0], "%s/%s", scratch, made[i]);
    rmdir(text("%s/parts/test/unknown", scratch));
    whole = memory;
    for (int i = 0; i < n; i++) {
#ifndef GRAFT_GIF
        if (strstr(kept[i], ".gif") != NULL)
            continue;
#endif
        graft_status status = GRAFT_NO_RESOURCE;
        for (long k = 0; status != GRAFT_OK && k < 2000; k++) {
            allowed = k;
            memory.alloc = alloc_limited;
            memory.resize = resize_limited;
            status = load_all(kept[i], i >= n - 2);
            memory = whole;
            if (status != GRAFT_OK && status != GRAFT_NO_RESOURCE)
                fail_msg("%s: status %d after %ld allocations: %s", kept[i], (int)status, k, graft_message());
        }
        if (status != GRAFT_OK)
            fail_msg("%s: %s", kept[i], graft_message());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { // in this order: later ones use the earlier ones' files
        cmocka_unit_test(folders), cmocka_unit_test(lists), cmocka_unit_test(inputs), cmocka_unit_test(idx),
        cmocka_unit_test(arrays), cmocka_unit_test(split), cmocka_unit_test(queue_order),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
