// tests/report/test_tensorboard.c: event files read back record by record: lengths, checksums, tags, values.
// The real TensorBoard reads them in tools/ref/tensorboard_check.py.

#include "folder.h"
#include "base/hash.h"
#include "base/protobuf.h"
#include "report/tensorboard.h"
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// RFC 3720, B.4, and the check value of every CRC catalogue.
static void test_crc32c(void **state)
{
    (void)state;
    uint8_t data[32];
    assert_int_equal(crc32c((bytes){(const uint8_t *)"123456789", 9}), 0xe3069283u);
    memset(data, 0, sizeof data);
    assert_int_equal(crc32c((bytes){data, 32}), 0x8a9136aau);
    memset(data, 0xff, sizeof data);
    assert_int_equal(crc32c((bytes){data, 32}), 0x62a8ab43u);
    for (int i = 0; i < 32; i++)
        data[i] = (uint8_t)i;
    assert_int_equal(crc32c((bytes){data, 32}), 0x46dd794eu);
}

static uint32_t masked(bytes data)
{
    const uint32_t crc = crc32c(data);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

struct value {
    char tag[96];
    double scalar, time;
    long long step;
    bool image, hparams;
};
enum { MOST = 256 };

static bool next(struct reader *r, struct pb_field *f)
{
    bool more;
    assert_int_equal(pb_next(r, f, &more), GRAFT_OK);
    return more;
}

static int event_read(bytes event, struct value *v)
{
    struct reader r = reader_of(event);
    struct pb_field f;
    *v = (struct value){.scalar = NAN};
    bool version = false;
    while (next(&r, &f)) {
        if (f.number == 1)
            memcpy(&v->time, &f.value, sizeof v->time);
        if (f.number == 2)
            v->step = (long long)f.value;
        if (f.number == 3)
            version = f.data.size == 13 && memcmp(f.data.ptr, "brain.Event:2", 13) == 0;
        if (f.number != 5)
            continue;
        struct reader summary = reader_of(f.data);
        struct pb_field value, part;
        assert_true(next(&summary, &value) && value.number == 1);
        struct reader inside = reader_of(value.data);
        while (next(&inside, &part)) {
            if (part.number == 1)
                snprintf(v->tag, sizeof v->tag, "%.*s", (int)part.data.size, (const char *)part.data.ptr);
            if (part.number == 2) {
                const uint32_t bits = (uint32_t)part.value;
                float scalar;
                memcpy(&scalar, &bits, sizeof scalar);
                v->scalar = scalar;
            }
            v->image |= part.number == 4;
            v->hparams |= part.number == 9;
        }
    }
    return version ? 0 : 1;
}

// The one event file of a folder; returns how many values it has.
static int read_folder(const char *folder, struct value values[MOST])
{
    char path[512] = "";
    int n = 0, files = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, "tfevents") != NULL) {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            files++;
        }
    closedir(d);
    assert_int_equal(files, 1);
    struct file_map map;
    assert_int_equal(file_map_open(path, &map), GRAFT_OK);
    struct reader r = reader_of(map.data);
    for (bool first = true; reader_left(&r) > 0; first = false) {
        const bytes length_bytes = {map.data.ptr + r.at, 8};
        const uint64_t length = read_u64(&r);
        assert_int_equal(read_u32(&r), masked(length_bytes));
        const bytes event = read_bytes(&r, length);
        assert_int_equal(read_u32(&r), masked(event));
        assert_false(r.failed);
        assert_true(n < MOST);
        assert_int_equal(event_read(event, &values[n]), first ? 0 : 1); // the version stands first and only there
        n += !first;
    }
    file_map_close(&map);
    return n;
}

static const struct value *find(const struct value *values, int n, const char *tag, long long step)
{
    for (int i = 0; i < n; i++)
        if (strcmp(values[i].tag, tag) == 0 && values[i].step == step)
            return &values[i];
    fail_msg("no '%s' at step %lld", tag, step);
    return NULL;
}

static void test_files(void **state)
{
    (void)state;
    static struct value values[MOST];
    struct tensorboard *t;
    for (int again = 0; again < 2; again++) { // the second time the first files are gone
        run_make("run");
        assert_int_equal(tensorboard_new("run", &t), GRAFT_OK);
        assert_int_equal(tensorboard_follow(t, false), GRAFT_OK);
        assert_int_equal(tensorboard_follow(t, false), GRAFT_OK); // nothing new
        if (tensorboard_follow(t, true) != GRAFT_OK)
            fail_msg("%s", graft_message());
        tensorboard_free(t);
        int n = read_folder("run/tb/train", values);
        assert_int_equal(n, 8); // a step's loss and rate; two epochs' loss, rate and seconds
        assert_true(find(values, n, "epoch_loss", 2)->scalar == (float)0.9);
        assert_true(find(values, n, "batch_loss", 1)->scalar == 1.5);
        n = read_folder("run/tb/validation", values);
        assert_int_equal(n, 8);
        assert_true(find(values, n, "epoch_top1", 2)->scalar == (float)0.7);
        n = read_folder("run/tb", values);
        assert_true(find(values, n, "_hparams_/experiment", 0)->hparams);
        assert_true(find(values, n, "_hparams_/session_start_info", 0)->hparams);
        assert_true(find(values, n, "_hparams_/session_end_info", 0)->hparams);
        assert_true(find(values, n, "confusion_matrix", 2)->image);
    }
    assert_int_equal(tensorboard_new("nowhere/\x01", &t), GRAFT_OK); // the folder is made: train makes runs anywhere
    assert_int_equal(tensorboard_follow(t, false), GRAFT_BAD_FILE);  // but it is no run
    tensorboard_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crc32c), cmocka_unit_test(test_files)};
    return cmocka_run_group_tests_name("tensorboard", tests, folder_setup, folder_teardown);
}
