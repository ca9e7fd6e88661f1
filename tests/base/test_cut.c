// base/test_cut.c: files that are cut while they are mapped: an error, never a signal; other bus errors stay fatal.
// A CSV and a JSON of gigabytes cost what a row costs.

#include "base/csv.h"
#include "base/json.h"
#include "base/mapping.h"
#include "base/memory.h"
#include "data/data.h"
#include "scratch.h"
#include "tensor/tensor.h"
#include "weights/weights.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 4 << 20, PAGE = 4096 };

// A file of `size` bytes of that letter, behind a beginning.
static void file_of(const char *name, const char *begin, char letter, size_t size)
{
    uint8_t *data = mem_alloc(size);
    memset(data, letter, size);
    memcpy(data, begin, strlen(begin));
    assert_int_equal(file_write_all(name, data, size), GRAFT_OK);
    mem_free(data);
}

static uint64_t sum_of(bytes data)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < data.size; i++)
        sum += data.ptr[i];
    return sum;
}

static void test_zeros_and_a_mark(void **state)
{
    (void)state;
    struct file_map cut, other;
    file_of("cut", "", 1, SIZE);
    file_of("other", "", 1, SIZE);
    assert_int_equal(file_map_open("cut", &cut), GRAFT_OK);
    assert_int_equal(file_map_open("other", &other), GRAFT_OK);
    assert_non_null(cut.mapping);
    assert_int_equal(truncate("cut", SIZE / 2 + 1), 0);
    assert_false(mapping_was_cut(cut.data.ptr));       // nobody has read there yet
    assert_int_equal(sum_of(cut.data), SIZE / 2 + 1);  // the rest of a page reads as zeros without a fault
    assert_true(mapping_was_cut(cut.data.ptr));
    assert_true(mapping_was_cut(cut.data.ptr + SIZE - 1));
    assert_false(mapping_was_cut(cut.data.ptr - 1));
    assert_int_equal(truncate("cut", 0), 0);           // what lies before the first fault is missed later
    assert_int_equal(sum_of(cut.data), 0);
    assert_int_equal(sum_of(other.data), SIZE);
    assert_false(mapping_was_cut(other.data.ptr));
    const void *place = cut.data.ptr;
    file_map_close(&cut);
    file_map_close(&other);
    assert_false(mapping_was_cut(place)); // the place may be another file's by now
}

// A handler that was there before gets what is not ours; without one the process ends as it would have.
static void took(int number)
{
    (void)number;
    _exit(7);
}

static int ends(bool handled, bool sent)
{
    const pid_t child = fork();
    if (child == 0) {
        struct file_map map;
        struct sigaction action = {.sa_handler = handled ? took : SIG_DFL};
        sigaction(SIGBUS, &action, NULL); // before our own is installed, at the first mapping
        if (file_map_open("large", &map) != GRAFT_OK)
            _exit(1);
        if (sent)
            raise(SIGBUS);
        else { // a mapping that is not ours
            FILE *file = fopen("short", "w+");
            volatile char *at = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fileno(file), 0);
            (void)*at;
        }
        _exit(2);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

static void test_others_signals(void **state)
{
    (void)state;
    file_of("large", "", 1, SIZE);
    for (int sent = 0; sent < 2; sent++) {
        assert_int_equal(ends(true, sent), 7);
        assert_int_equal(ends(false, sent), 128 + SIGBUS);
    }
}

static void test_readers(void **state)
{
    (void)state;
    struct csv csv;
    bool more;
    char *row = mem_alloc(SIZE);
    memset(row, 'x', SIZE);
    for (size_t i = 99; i < SIZE; i += 100)
        row[i] = '\n';
    assert_int_equal(file_write_all("rows.csv", row, SIZE), GRAFT_OK);
    mem_free(row);
    assert_int_equal(csv_open("rows.csv", &csv), GRAFT_OK);
    assert_int_equal(csv_next(&csv, &more), GRAFT_OK);
    assert_int_equal(truncate("rows.csv", SIZE / 2), 0);
    graft_status status;
    do
        status = csv_next(&csv, &more);
    while (status == GRAFT_OK && more);
    assert_int_equal(status, GRAFT_BAD_FILE);
    csv_close(&csv);
    struct tensor_set set = {0};
    static const char header[72] = // padded with blanks, so that the data are aligned and used where they lie
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[1048576],\"data_offsets\":[0,4194304]}}      ";
    uint8_t *file = mem_zero(8 + sizeof header + SIZE, 1);
    float *values = mem_alloc(SIZE);
    file[0] = sizeof header;
    memcpy(file + 8, header, sizeof header);
    assert_int_equal(file_write_all("w.safetensors", file, 8 + sizeof header + SIZE), GRAFT_OK);
    assert_int_equal(weights_read("w.safetensors", &set), GRAFT_OK);
    assert_int_equal(tensor_to_f32(tensor_find(&set, "w"), values), GRAFT_OK);
    assert_int_equal(tensor_set_whole(&set, "w.safetensors"), GRAFT_OK);
    assert_int_equal(truncate("w.safetensors", SIZE / 2), 0);
    assert_int_equal(tensor_to_f32(tensor_find(&set, "w"), values), GRAFT_OK);
    assert_int_equal(tensor_set_whole(&set, "w.safetensors"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "'w.safetensors' shrank"));
    tensor_set_free(&set);
    mem_free(file);
    mem_free(values);
}

// Arrays are borrowed for as long as a run lasts.
static void test_arrays(void **state)
{
    (void)state;
    enum { N = 1000, AREA = 32 * 32 * 3 };
    char *npy = mem_zero(128 + N * AREA, 1), *labels = mem_zero(128 + N * 8, 1);
    static const char *const heads[] = {"{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 32, 32, 3), }",
                                        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000,), }"};
    char *const files[] = {npy, labels};
    for (int i = 0; i < 2; i++) {
        memcpy(files[i], "\x93NUMPY\x01\x00\x76\x00", 10);
        memset(files[i] + 10, ' ', 117);
        memcpy(files[i] + 10, heads[i], strlen(heads[i]));
        files[i][127] = '\n';
    }
    for (int i = 0; i < N; i += 2)
        labels[128 + i * 8] = 1;
    assert_int_equal(file_make_folder("set"), GRAFT_OK);
    assert_int_equal(file_write_all("set/x.npy", npy, 128 + N * AREA), GRAFT_OK);
    assert_int_equal(file_write_all("set/y.npy", labels, 128 + N * 8), GRAFT_OK);
    struct dataset d;
    const char *const path = "set";
    static const struct input_spec spec = {16, 16, RESIZE_SQUASH, FILTER_BILINEAR, {0}, {1, 1, 1}, false};
    static float dst[3 * 16 * 16];
    if (dataset_open(&(struct data_options){.paths = &path, .n_paths = 1}, &d) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(sample_load(&d, N - 1, &spec, NULL, dst), GRAFT_OK);
    assert_int_equal(truncate("set/x.npy", 1 << 20), 0);
    assert_int_equal(sample_load(&d, N - 1, &spec, NULL, dst), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "x.npy#999"));
    assert_non_null(strstr(graft_message(), "shrank"));
    dataset_free(&d);
    mem_free(npy);
    mem_free(labels);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

// A gigabyte without a newline, a quote that is never closed, JSON of a gigabyte and of a million brackets.
static void test_gigabytes(void **state)
{
    (void)state;
    static const char *const begins[] = {"path,label\nx", "path,label\n\"x"};
    const uint64_t before = mem_resident_peak();
    const double begun = seconds();
    for (int i = 0; i < 2; i++) {
        struct csv csv;
        bool more;
        file_of("long.csv", begins[i], 'x', SIZE);
        assert_int_equal(truncate("long.csv", 1 << 30), 0); // the rest is a hole
        assert_int_equal(csv_open("long.csv", &csv), GRAFT_OK);
        assert_int_equal(csv_next(&csv, &more), GRAFT_OK);
        assert_int_equal(csv_next(&csv, &more), GRAFT_BAD_FILE);
        assert_non_null(strstr(graft_message(), "long.csv:2: a row of more than"));
        csv_close(&csv);
    }
    json_t *json;
    file_of("deep.json", "", '[', SIZE);
    assert_int_equal(json_read_file("deep.json", &json), GRAFT_BAD_FILE);
    assert_int_equal(truncate("deep.json", 1 << 30), 0);
    assert_int_equal(json_read_file("deep.json", &json), GRAFT_BAD_FILE);
    if (getenv("GRAFT_SANITIZED") == NULL) {
        assert_true(mem_resident_peak() - before < (uint64_t)64 << 20);
        assert_true(seconds() - begun < 5); // it takes hundredths; this machine may be busy
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_others_signals), // before our handler is there
                                       cmocka_unit_test(test_zeros_and_a_mark), cmocka_unit_test(test_readers),
                                       cmocka_unit_test(test_arrays), cmocka_unit_test(test_gigabytes)};
    return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
