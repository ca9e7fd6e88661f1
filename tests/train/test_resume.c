// tests/train/test_resume.c: a run that is killed, starved or cancelled at any moment ends, once taken up again, with
// the same bits as one that was never stopped.  GRAFT_LONG=1: every call of a run fails in every way, and 200 kills.

#include "toy.h"
#include "tiny.h"
#include "base/memory.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KILLED = 128 + SIGKILL };

// ---- faults: calls of the file table counted from the start of a run; call number `at` goes wrong

enum fault { COUNT, KILL_BEFORE, KILL_AFTER, POWER_CUT, FULL, BROKEN, N_FAULTS };
struct plan_of_fault {
    enum fault fault;
    long at;
    long *calls; // shared with the parent: calls so far
};
static struct plan_of_fault plan;
static struct file_table kept;

// What a power cut may take back: bytes appended since the last fsync of their file, a rename whose folder was not
// flushed.  `undo` is a second name of the file that the rename has replaced.
static struct { int fd; char path[128]; off_t synced; } written[32];
static int n_written;
static struct { bool pending, replaced; char from[128], to[128]; } renamed;

static void cut_power(void)
{
    for (int i = 0; i < n_written; i++)
        if (truncate(written[i].path, written[i].synced) != 0 && errno != ENOENT)
            _exit(99);
    if (renamed.pending) {
        if (rename(renamed.to, renamed.from) != 0 || (renamed.replaced && rename("undo", renamed.to) != 0))
            _exit(99);
    }
}

static bool goes_wrong(bool after)
{
    const bool now = *plan.calls == plan.at;
    if (now && plan.fault == POWER_CUT && after)
        cut_power();
    if (now &&
        ((plan.fault == KILL_BEFORE && !after) || ((plan.fault == KILL_AFTER || plan.fault == POWER_CUT) && after)))
        kill(getpid(), SIGKILL);
    if (now && (plan.fault == FULL || plan.fault == BROKEN) && !after) {
        ++*plan.calls;
        errno = plan.fault == FULL ? ENOSPC : EIO;
        return true;
    }
    if (after)
        ++*plan.calls;
    return false;
}

static int fault_open(const char *path, int flags, mode_t mode)
{
    if (goes_wrong(false))
        return -1;
    const int fd = kept.open(path, flags, mode);
    if (plan.fault == POWER_CUT && fd >= 0) {
        struct stat st;
        assert_true(n_written < 32 && fstat(fd, &st) == 0);
        written[n_written].fd = fd;
        written[n_written].synced = st.st_size;
        snprintf(written[n_written++].path, sizeof written[0].path, "%s", path);
    }
    goes_wrong(true);
    return fd;
}
static ssize_t fault_write(int fd, const void *data, size_t size)
{
    if (goes_wrong(false))
        return -1;
    const bool torn = *plan.calls == plan.at && plan.fault == KILL_AFTER && size > 1; // half of it arrives
    const ssize_t put = kept.write(fd, data, torn ? size / 2 : size);
    goes_wrong(true);
    return put;
}
static int fault_fsync(int fd)
{
    struct stat st;
    if (goes_wrong(false))
        return -1;
    const char *path = NULL;
    for (int i = 0; i < n_written; i++)
        if (written[i].fd == fd)
            path = written[i].path;
    for (int i = 0; i < n_written && path != NULL; i++) // whoever wrote to it
        if (strcmp(written[i].path, path) == 0 && fstat(fd, &st) == 0)
            written[i].synced = st.st_size;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        renamed.pending = false;
        unlink("undo");
    }
    goes_wrong(true);
    return 0;
}
static int fault_close(int fd)
{
    const bool wrong = goes_wrong(false);
    for (int i = n_written; i-- > 0;) {
        struct stat st;
        if (written[i].fd == fd)
            written[i].fd = -1; // its unsynced bytes stay at risk under its path
        if (written[i].fd == -1 && (stat(written[i].path, &st) != 0 || st.st_size <= written[i].synced))
            written[i] = written[--n_written];
    }
    const int result = kept.close(fd);
    if (wrong)
        return -1;
    goes_wrong(true);
    return result;
}
static int fault_rename(const char *from, const char *to)
{
    if (goes_wrong(false))
        return -1;
    if (plan.fault == POWER_CUT) {
        renamed.replaced = link(to, "undo") == 0;
        renamed.pending = true;
        snprintf(renamed.from, sizeof renamed.from, "%s", from);
        snprintf(renamed.to, sizeof renamed.to, "%s", to);
    }
    const int result = kept.rename(from, to);
    for (int i = n_written; result == 0 && i-- > 0;) // what is at risk under the old name is now under the new one
        if (strcmp(written[i].path, to) == 0)
            written[i] = written[--n_written];
        else if (strcmp(written[i].path, from) == 0)
            snprintf(written[i].path, sizeof written[i].path, "%s", to);
    goes_wrong(true);
    return result;
}
static int fault_unlink(const char *path) { return kept.unlink(path); }
static int fault_truncate(const char *path, off_t size)
{
    if (goes_wrong(false))
        return -1;
    const int result = kept.truncate(path, size);
    goes_wrong(true);
    return result;
}

static void fault_begin(void *user)
{
    (void)user;
    kept = file_ops;
    file_ops = (struct file_table){fault_open, fault_write, fault_fsync, fault_close, fault_rename, fault_unlink,
                                   fault_truncate, link};
}

// The run with one call going wrong, then taken up again as often as it takes, then compared.
static void check_fault(enum fault fault, long at, const char *reference)
{
    struct tiny t = tiny_of("faulty");
    tiny_clear("faulty");
    unlink("undo");
    *plan.calls = 0;
    plan.fault = fault;
    plan.at = at;
    t.before = fault_begin;
    const int code = tiny_run(&t);
    if (fault == KILL_BEFORE || fault == KILL_AFTER || fault == POWER_CUT)
        assert_int_equal(code, KILLED);
    else // once: the second attempt at a checkpoint may have helped
        assert_true(code == GRAFT_NO_RESOURCE || code == GRAFT_OK);
    t.before = NULL;
    tiny_expect(&t, GRAFT_OK);
    tiny_compare("faulty", reference);
}

// Every call around the end of an epoch (checkpoint, best model, checkpoint again), and others at intervals.
static void test_every_call_goes_wrong(void **state)
{
    (void)state;
    struct tiny t = tiny_of("counted");
    t.before = fault_begin;
    plan.fault = COUNT;
    *plan.calls = 0;
    tiny_expect(&t, GRAFT_OK);
    tiny_compare("counted", "reference");
    const long all = *plan.calls;
    assert_true(all > 300);
    print_message("%ld calls in a run\n", all);
    for (enum fault fault = KILL_BEFORE; fault < N_FAULTS; fault++)
        for (long at = 0; at < all; at += tiny_long() || (at >= all / 3 && at < all / 3 + all / 12) ? 1 : 61)
            check_fault(fault, at, "reference");
}

static void test_random_kills(void **state)
{
    (void)state;
    struct timespec begin, end;
    struct tiny t = tiny_of("timed");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    tiny_expect(&t, GRAFT_OK);
    clock_gettime(CLOCK_MONOTONIC, &end);
    const double whole = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    const int wanted = tiny_long() ? 200 : 12;
    unsigned random = 1;
    for (int kills = 0, run = 0; kills < wanted; run++) {
        struct tiny again = tiny_of("random");
        tiny_clear("random");
        for (int code = KILLED, tries = 0; code != GRAFT_OK; tries++) {
            const int process = tiny_start(&again);
            random = random * 1103515245u + 12345u;
            if (tries < 5) { // then it may end
                usleep((useconds_t)(whole * 1e6 * (random >> 16 & 0x7fff) / 0x8000));
                kill(process, SIGKILL);
            }
            code = tiny_wait(process);
            assert_true(code == KILLED || code == GRAFT_OK);
            kills += code == KILLED;
        }
        tiny_compare("random", "reference");
    }
}

// Stopped at every step, each time by a new process; and in a longer run after the end of a shorter.
static void test_cancelled_at_every_step(void **state)
{
    (void)state;
    struct tiny t = tiny_of("stepwise");
    t.stop_after = 1;
    t.checkpoint_seconds = 0;
    int code = GRAFT_CANCELLED, n = 0;
    for (; code == GRAFT_CANCELLED && n < 1000; n++)
        code = tiny_run(&t);
    assert_int_equal(code, GRAFT_OK);
    assert_true(n > 3 * TINY_EPOCHS);
    tiny_compare("stepwise", "reference");
}

// The same with every kind of state that a recipe keeps.
static void test_recipes_go_on(void **state)
{
    (void)state;
    const struct recipe plain = tiny_guide(TINY_EPOCHS);
    struct recipe recipes[4] = {plain, plain, plain, plain};
    recipes[0].optim = (struct optim_options){.name = "adamw",
                                              .rules = RULES_TORCH,
                                              .beta1 = 0.9,
                                              .beta2 = 0.99,
                                              .rho = -1,
                                              .epsilon = -1,
                                              .weight_decay = 0.1,
                                              .clip_norm = 0.5,
                                              .accumulate = 3};
    recipes[0].schedule.kind = SCHEDULE_ONECYCLE;
    recipes[0].schedule.momentum = 0.9;
    recipes[0].schedule.cycles_momentum = true;
    recipes[0].ema = 0.8;
    recipes[0].unfreeze = "2:all";
    recipes[1].optim = (struct optim_options){.name = "rmsprop",
                                              .momentum = 0.5,
                                              .rho = -1,
                                              .epsilon = -1,
                                              .clip_value = 0.1,
                                              .weight_decay = 0.01,
                                              .decay_all = true,
                                              .accumulate = 1};
    recipes[1].schedule.kind = SCHEDULE_PLATEAU;
    recipes[1].schedule.step_epochs = 1;
    recipes[1].schedule.gamma = 0.5;
    recipes[1].schedule.momentum = 0.5;
    recipes[1].swa = 2;
    recipes[2].schedule.kind = SCHEDULE_COSINE;
    recipes[2].schedule.warmup = 0.5;
    recipes[2].label_smoothing = 0.2;
    recipes[2].layer_decay = 0.5;
    recipes[2].monitor = MONITOR_TOP1;
    recipes[3].schedule.kind = SCHEDULE_STEP;
    recipes[3].schedule.step_epochs = 1;
    recipes[3].schedule.gamma = 0.5;
    recipes[3].optim.accumulate = 2;
    recipes[3].monitor = MONITOR_TRAIN_LOSS;
    for (int i = 0; i < 4; i++) {
        struct tiny whole = tiny_of("recipe"), parted = tiny_of("recipe_parted");
        tiny_clear("recipe");
        tiny_clear("recipe_parted");
        whole.recipe = parted.recipe = &recipes[i];
        whole.freeze = parted.freeze = recipes[i].unfreeze != NULL ? 1 : 0;
        tiny_expect(&whole, GRAFT_OK);
        parted.stop_after = 1;
        int code = GRAFT_CANCELLED;
        for (int n = 0; code == GRAFT_CANCELLED && n < 1000; n++)
            code = tiny_run(&parted);
        assert_int_equal(code, GRAFT_OK);
        tiny_compare("recipe_parted", "recipe");
    }
}

// What goes on beyond an --unfreeze-epoch says what trains there, and makes plans of nothing else.
static void test_goes_on_in_its_phase(void **state)
{
    (void)state;
    struct recipe recipe = tiny_guide(TINY_EPOCHS);
    struct tiny t = tiny_of("phased");
    recipe.unfreeze = "2:all";
    t.recipe = &recipe;
    t.freeze = 1;
    t.stop_after = 6; // of four steps an epoch
    tiny_expect(&t, GRAFT_CANCELLED);
    char *log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "training: head; from epoch 2 on all layers"));
    assert_non_null(strstr(log, "\nepoch 2: "));
    free(log);
    t.stop_after = 0;
    tiny_expect(&t, GRAFT_OK);
    log = text_of_file("tiny.log");
    if (strstr(log, "training: all layers (") == NULL || strstr(log, "\nepoch 2: ") != NULL)
        fail_msg("%s", log);
    free(log);
}

static void test_finished_goes_on(void **state)
{
    (void)state;
    struct tiny t = tiny_of("longer");
    t.epochs = 1;
    tiny_expect(&t, GRAFT_OK);
    char *before = text_of_file("longer/events.jsonl");
    tiny_expect(&t, GRAFT_OK); // finished: says so and touches nothing
    char *log = text_of_file("tiny.log"), *after = text_of_file("longer/events.jsonl");
    assert_non_null(strstr(log, "is finished after 1 epoch; more --epochs go on"));
    assert_string_equal(before, after);
    free(before);
    free(after);
    free(log);
    t.epochs = TINY_EPOCHS;
    tiny_expect(&t, GRAFT_OK);
    tiny_compare("longer", "reference");
}

static void wait_for_ever(void *user)
{
    (void)user;
    fclose(fopen("waiting", "w")); // it logs nothing any more: the log is the other's
    for (;;)
        pause();
}

static void test_folder_is_taken(void **state)
{
    (void)state;
    struct tiny t = tiny_of("taken"), other = tiny_of("taken");
    t.on_step = wait_for_ever;
    const int process = tiny_start(&t);
    while (!file_exists("waiting"))
        usleep(1000);
    tiny_expect(&other, GRAFT_BAD_FILE);
    char *log = text_of_file("tiny.log"), number[32];
    snprintf(number, sizeof number, "process %d", process);
    assert_non_null(strstr(log, "is in use by another run"));
    assert_non_null(strstr(log, number));
    free(log);
    kill(process, SIGKILL);
    assert_int_equal(tiny_wait(process), KILLED);
    tiny_expect(&other, GRAFT_OK);
    tiny_compare("taken", "reference");
}

// ---- memory: allocation number `at` of a run fails, or it and all after it

static long *allocations, failing_at;
static bool failing_on;
static struct memory_table memory_kept;

static bool memory_is_out(void)
{
    const long now = __atomic_fetch_add(allocations, 1, __ATOMIC_RELAXED);
    return now == failing_at || (failing_on && now > failing_at);
}
static void *out_alloc(size_t size) { return memory_is_out() ? NULL : memory_kept.alloc(size); }
static void *out_resize(void *old, size_t size) { return memory_is_out() ? NULL : memory_kept.resize(old, size); }
static void *out_aligned(size_t alignment, size_t size)
{
    return memory_is_out() ? NULL : memory_kept.alloc_aligned(alignment, size);
}
static void memory_begin(void *user)
{
    (void)user;
    memory_kept = memory;
    memory = (struct memory_table){out_alloc, out_resize, out_aligned, memory.release};
}

// Every 37th (GRAFT_LONG: every) allocation of a run: it says so or does without, and goes on with the same bits.
static void test_memory_runs_out(void **state)
{
    (void)state;
    struct tiny t = tiny_of("starved");
    t.before = memory_begin;
    *allocations = 0;
    failing_at = -1;
    tiny_expect(&t, GRAFT_OK);
    tiny_compare("starved", "reference");
    const long all = *allocations;
    assert_true(all > 200);
    print_message("%ld allocations in a run\n", all);
    for (int on = 0; on < 2; on++)
        for (long at = on; at < all; at += tiny_long() ? 1 : 37 + on * 60) {
            tiny_clear("starved");
            *allocations = 0;
            failing_at = at;
            failing_on = on;
            t.before = memory_begin;
            const int code = tiny_run(&t);
            if (code != GRAFT_NO_RESOURCE && code != GRAFT_OK) {
                char *log = text_of_file("tiny.log");
                fail_msg("allocation %ld%s fails: exit code %d: %s", at, on ? " and all after it" : "", code, log);
            }
            t.before = NULL;
            tiny_expect(&t, GRAFT_OK);
            tiny_compare("starved", "reference");
        }
}

// The step on which the expected time is measured leaves nothing behind, at the start as when going on.
static void test_estimate_changes_nothing(void **state)
{
    (void)state;
    struct tiny t = tiny_of("long"), parted = tiny_of("longparted");
    t.epochs = parted.epochs = 12;
    tiny_expect(&t, GRAFT_OK);
    parted.stop_after = 7;
    tiny_expect(&parted, GRAFT_CANCELLED);
    char *log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "time: about"));
    free(log);
    parted.stop_after = 0;
    tiny_expect(&parted, GRAFT_OK);
    log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "time: about"));
    free(log);
    tiny_compare("longparted", "long");
}

static int setup(void **state)
{
    if (toy_setup(state) != 0)
        return -1;
    plan.calls = mmap(NULL, sizeof *plan.calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan.calls == MAP_FAILED)
        return -1;
    allocations = mmap(NULL, sizeof *allocations, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (allocations == MAP_FAILED)
        return -1;
    return tiny_reference();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_call_goes_wrong),   cmocka_unit_test(test_random_kills),
        cmocka_unit_test(test_cancelled_at_every_step), cmocka_unit_test(test_recipes_go_on),
        cmocka_unit_test(test_goes_on_in_its_phase),    cmocka_unit_test(test_finished_goes_on),
        cmocka_unit_test(test_folder_is_taken),         cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_estimate_changes_nothing)};
    cmocka_set_test_filter(getenv("GRAFT_ONLY")); // NULL: all
    return cmocka_run_group_tests_name("resume", tests, setup, toy_teardown);
}
