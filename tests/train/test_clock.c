// tests/train/test_clock.c: a clock that jumps, as when the network sets it or the battery is empty: every look at it
// is thirty years before or behind the last.  Runs come to the same bits, what waits does so no longer than it should,
// reports and lists are made.

#include "toy.h"
#include "tiny.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/encode.h"
#include "data/exam.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static enum { STEADY, JUMPS, AHEAD } jumps;

int clock_gettime(clockid_t clock, struct timespec *out) // in place of the C library's
{
    static int looks;
    const int result = (int)syscall(SYS_clock_gettime, clock, out);
    if (jumps && clock == CLOCK_REALTIME) {
        const int way = jumps == AHEAD ? 1 : __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) % 3 - 1;
        out->tv_sec += way * 30L * 365 * 86400;
    }
    return result;
}

static void jumping(void *user)
{
    (void)user;
    jumps = JUMPS;
}

static void test_runs(void **state)
{
    (void)state;
    struct tiny t = tiny_of("jumped");
    t.before = jumping;
    for (int code = GRAFT_CANCELLED; code != GRAFT_OK;) { // five steps at a time
        t.stop_after = 5;
        code = tiny_run(&t);
        assert_true(code == GRAFT_OK || code == GRAFT_CANCELLED);
    }
    tiny_compare("jumped", "reference");
    jumps = JUMPS;
    struct seen seen = {0};
    assert_int_equal(RUN("report", &seen, "", "jumped"), GRAFT_OK);
    assert_int_equal(RUN("watch", &seen, "", "jumped"), GRAFT_OK);
    assert_int_equal(RUN("runs", &seen, "", "."), GRAFT_OK);
    jumps = STEADY;
}

static int cancelled(void *user)
{
    (void)user;
    return 1;
}

// Looking through pictures asks several times a second whether to stop, by a clock that does not jump.
static void test_stops(void **state)
{
    (void)state;
    enum { N = 60, SIDE = 2000 }; // seconds of work
    struct picture p = {mem_zero((size_t)SIDE * SIDE, 3), SIDE, SIDE};
    struct dataset d;
    struct exam *exams = NULL;
    bytes png;
    assert_int_equal(picture_to_png(&p, &png), GRAFT_OK);
    assert_int_equal(file_make_folder("large/a"), GRAFT_OK);
    assert_int_equal(file_make_folder("large/b"), GRAFT_OK);
    assert_int_equal(file_write_all("large/a/0.png", png.ptr, png.size), GRAFT_OK);
    for (int i = 1; i < N; i++) {
        char path[64];
        snprintf(path, sizeof path, "large/%c/%d.png", 'a' + i % 2, i);
        assert_int_equal(link("large/a/0.png", path), 0);
    }
    const struct data_options options = {.paths = (const char *const[]){"large"}, .n_paths = 1};
    assert_int_equal(dataset_open(&options, &d), GRAFT_OK);
    const graft_hooks hooks = {.cancelled = cancelled};
    hooks_set(&hooks);
    jumps = AHEAD; // and set right again while it waits
    const graft_status status = exams_make(&d, 1, &exams);
    jumps = STEADY;
    hooks_set(NULL);
    assert_int_equal(status, GRAFT_CANCELLED);
    if (strstr(graft_message(), "60 of 60") != NULL)
        fail_msg("only at the end: %s", graft_message());
    assert_null(exams);
    dataset_free(&d);
    picture_free(&p);
    mem_free((void *)png.ptr);
}

static int setup(void **state) { return toy_setup(state) != 0 ? -1 : tiny_reference(); }

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_runs), cmocka_unit_test(test_stops)};
    return cmocka_run_group_tests_name("clock", tests, setup, toy_teardown);
}
