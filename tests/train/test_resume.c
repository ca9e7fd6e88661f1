// tests/train/test_resume.c: a run that is killed, starved or cancelled at any moment ends, once taken up again, with
// the same bits as one that was never stopped.  GRAFT_LONG=1: every call of a run fails in every way, and 200 kills.

#include "toy.h"
#include "tiny.h"
#include "base/memory.h"
#include "data/sources.h"
#include "train/twins.h"
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

// The best model is gone or another: said loudly, and the next epoch's stands in.
static void test_best_model_is_lost(void **state)
{
    (void)state;
    struct tiny t = tiny_of("bestless");
    t.epochs = 1;
    tiny_expect(&t, GRAFT_OK);
    assert_int_equal(unlink("bestless/model.safetensors"), 0);
    t.epochs = 2;
    tiny_expect(&t, GRAFT_OK);
    char *log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "warning: bestless/model.safetensors is not the model of epoch 1"));
    free(log);
    assert_true(file_exists("bestless/model.safetensors"));
}

// What the best model says of itself may change, as `val --calibrate` does it: it stays the best.  Another model of the
// same epoch is not it.
static void test_best_model_says_otherwise(void **state)
{
    (void)state;
    uint64_t tensors, after;
    struct tiny t = tiny_of("retold");
    t.epochs = 1;
    tiny_expect(&t, GRAFT_OK);
    assert_int_equal(model_hash("retold/model.safetensors", &tensors), GRAFT_OK);
    assert_int_equal(model_retell("retold/model.safetensors", "{\"epoch\": 1, \"temperature\": 2.5}"), GRAFT_OK);
    assert_int_equal(model_hash("retold/model.safetensors", &after), GRAFT_OK);
    assert_int_equal(tensors, after);
    t.epochs = 2;
    tiny_expect(&t, GRAFT_OK);
    char *log = text_of_file("tiny.log");
    assert_null(strstr(log, "is not the model"));
    free(log);
    FILE *file = fopen("retold/model.safetensors", "r+b");
    assert_non_null(file);
    assert_true(fseek(file, -1, SEEK_END) == 0 && fputc(0x55, file) == 0x55 && fclose(file) == 0);
    t.epochs = 3;
    tiny_expect(&t, GRAFT_OK);
    log = text_of_file("tiny.log");
    assert_non_null(strstr(log, "is not the model of epoch"));
    free(log);
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

// ---- through graft.h

#define BASE "data", "set", "weights", "none", "val", "0.4", "batch", "5", "lr", "0.02", "threads", "1"

static char *bytes_differ(const char *a, const char *b)
{
    uint64_t x, y;
    assert_int_equal(file_hash(a, &x, NULL, 0), GRAFT_OK);
    assert_int_equal(file_hash(b, &y, NULL, 0), GRAFT_OK);
    return x == y ? NULL : "differ";
}

static void expect_changed(const char *text, const char *const *arguments)
{
    struct seen seen = {0};
    if (toy_run("train", &seen, arguments) != GRAFT_BAD_FILE || strstr(graft_message(), text) == NULL ||
        strstr(graft_message(), "--force") == NULL)
        fail_msg("expected a refusal with '%s': %s", text, graft_message());
}
#define CHANGED(text, ...) expect_changed(text, (const char *const[]){__VA_ARGS__, NULL})

// The epoch's seconds count those before a stop, and so do its parts.
static double backward_before(const char *checkpoint)
{
    static const char mark[] = "epoch_times\\\":[";
    struct file_map map;
    double wait, forward, backward = -1;
    assert_int_equal(file_map_open(checkpoint, &map), GRAFT_OK);
    const char *at = memmem(map.data.ptr, map.data.size, mark, sizeof mark - 1);
    assert_non_null(at);
    assert_int_equal(sscanf(at + sizeof mark - 1, "%lf,%lf,%lf", &wait, &forward, &backward), 3);
    file_map_close(&map);
    return backward;
}

static double backward_of(const char *events, int epoch)
{
    char mark[64], *text = text_of_file(events);
    snprintf(mark, sizeof mark, "{\"event\":\"epoch\",\"epoch\":%d,", epoch);
    const char *row = strstr(text, mark), *at = row != NULL ? strstr(row, "\"backward_seconds\":") : NULL;
    assert_non_null(at);
    const double seconds = strtod(strchr(at, ':') + 1, NULL);
    free(text);
    return seconds;
}

static void test_from_outside(void **state)
{
    (void)state;
    struct seen whole = {0}, first = {.stop_after = 7}, second = {0};
    assert_int_equal(RUN("train", &whole, BASE, "epochs", "3", "output", "whole"), GRAFT_OK);
    assert_int_equal(RUN("train", &first, BASE, "epochs", "3", "output", "parted"), GRAFT_CANCELLED);
    assert_non_null(strstr(graft_message(), "graft train --resume parted"));
    const double before_stop = backward_before("parted/last.ckpt.safetensors");
    assert_int_equal(RUN("train", &second, BASE, "epochs", "3", "output", "parted"), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "--resume parted"));
    static const char *const others[][2] = {
        {"folds.csv", "--resume kept"}, {"svm.json", "-o"}, {"ensemble.json", "-o"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) { // what other commands have made stays
        char path[64];
        tiny_clear("kept");
        assert_int_equal(file_make_folder("kept"), GRAFT_OK);
        snprintf(path, sizeof path, "kept/%s", others[i][0]);
        assert_int_equal(file_write_all(path, "{}", 2), GRAFT_OK);
        assert_int_equal(RUN("train", &second, BASE, "epochs", "1", "output", "kept"), GRAFT_BAD_OPTION);
        assert_non_null(strstr(graft_message(), others[i][0]));
        assert_non_null(strstr(graft_message(), others[i][1]));
        assert_int_equal(RUN("train", &second, "data", "set", "weights", "none", "folds", "2", "output", "kept"),
                         GRAFT_BAD_OPTION);
        assert_false(file_exists("kept/args.json"));
    }

    CHANGED("--lr 0.03 (was 0.02)", "resume", "parted", "lr", "0.03");
    CHANGED("--model vgg16 (was not set)", "resume", "parted", "model", "vgg16");
    CHANGED("--dropout 0.1 (was not set)", "resume", "parted", "dropout", "0.1");
    CHANGED("--bn stats (was train)", "resume", "parted", "bn", "stats");
    CHANGED("--data given otherwise", "resume", "parted", "data", "set", "data", "set");
    toy_set("set", TOY_N - 2, TOY_SIDE);
    CHANGED("are gone (x.npy#38, ...)", "resume", "parted");
    toy_set("set", TOY_N, TOY_SIDE + 1);
    CHANGED("x.npy#0: content or date, ...)", "resume", "parted");
    toy_set("set", TOY_N, TOY_SIDE);
    CHANGED("of the classes 1 is new (2)", "resume", "parted", "num-classes", "3");
    CHANGED("A run cannot go on with other classes", "resume", "parted", "num-classes", "3", "force", "");
    assert_int_equal(RUN("train", &second, "resume", "parted", "model", "vgg16", "force", ""), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "efficientnet_lite0"));
    assert_int_equal(RUN("train", &second, "resume", "parted", "output", "x"), GRAFT_BAD_OPTION);
    assert_int_equal(RUN("train", &second, BASE, "force", ""), GRAFT_BAD_OPTION);
    assert_int_equal(RUN("train", &second, "resume", "set"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "not the folder of a run"));
    assert_int_equal(RUN("train", &second, "resume", "nowhere"), GRAFT_BAD_FILE);

    second = (struct seen){0};
    assert_int_equal(RUN("train", &second, "resume", "parted", "lr", "2e-2", "workers", "1"),
                     GRAFT_OK); // the same rate
    assert_int_equal(whole.steps, first.steps + second.steps);
    assert_true(before_stop > 0 && backward_of("parted/events.jsonl", 2) > before_stop);
    assert_null(bytes_differ("whole/model.safetensors", "parted/model.safetensors"));
    assert_null(bytes_differ("whole/val_predictions.csv", "parted/val_predictions.csv"));
    second = (struct seen){0};
    assert_int_equal(RUN("train", &second, "resume", "parted"), GRAFT_OK);
    assert_int_equal(second.steps, 0);
    assert_non_null(strstr(second.log, "finished after 3 epochs"));
    // Forced: another rate takes effect, and what was best stays.
    assert_int_equal(RUN("train", &second, "resume", "parted", "epochs", "4", "lr", "0.001", "force", ""), GRAFT_OK);
    assert_non_null(strstr(second.warnings, "--lr 0.001 (was 2e-2)"));
    char *args = text_of_file("parted/args.json");
    assert_non_null(strstr(args, "\"lr\":\"0.001\""));
    assert_non_null(strstr(args, "\"epochs\":\"4\""));
    free(args);
    // Forced, with a picture gone and one come: who was held out stays so, and the new one is trained on.
    char *before = text_of_file("parted/split.csv");
    toy_set("set", TOY_N - 1, TOY_SIDE);
    CHANGED("of the pictures 1 is gone (x.npy#39).", "resume", "parted", "epochs", "5");
    assert_int_equal(RUN("train", &second, "resume", "parted", "epochs", "5", "force", ""), GRAFT_OK);
    char *gone = text_of_file("parted/split.csv");
    assert_int_equal(strncmp(before, gone, strlen(gone)), 0);
    toy_set("set", TOY_N, TOY_SIDE);
    assert_int_equal(RUN("train", &second, "resume", "parted", "epochs", "6", "force", ""), GRAFT_OK);
    assert_non_null(strstr(second.warnings, "of the new pictures 1 are trained on, 0 validated, 0 left aside"));
    char *back = text_of_file("parted/split.csv");
    assert_int_equal(strncmp(back, gone, strlen(gone)), 0);
    assert_non_null(strstr(back + strlen(gone), ",train,"));
    free(before);
    free(gone);
    free(back);
}

// Near duplicates that the run had found stay in the list though this process has loaded none of them.
static void test_pairs_stay(void **state)
{
    (void)state;
    static const struct { const char *path; enum part part; } rows[] = {
        {"a/1", PART_VAL}, {"a/2", PART_TRAIN}, {"a/3", PART_VAL}, {"a/4", PART_TRAIN}};
    static const char had[] = "held_out,trained\na/3,a/4\na/gone,a/2\na/2,a/4\na/1,a/2\n"; // a/2 is held out no more
    struct dataset d = {0};
    int label;
    assert_int_equal(class_find(&d, "a", &label), GRAFT_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(sample_add(&d, rows[i].path, label, rows[i].part, NULL), GRAFT_OK);
    assert_int_equal(file_make_folder("pairs"), GRAFT_OK);
    assert_int_equal(file_write_all("pairs/near_duplicates.csv", had, strlen(had)), GRAFT_OK);
    const struct run_folder f = {.path = "pairs", .save = true};
    assert_int_equal(twins_report(&f, &d, true), GRAFT_OK);
    char *list = text_of_file("pairs/near_duplicates.csv");
    assert_string_equal(list, "held_out,trained\na/1,a/2\na/3,a/4\n");
    free(list);
    dataset_free(&d);
}

// Of a run that ended the checkpoints were removed: its model and results are not replaced unless somebody says so.
static void test_checkpoint_removed(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(RUN("train", &seen, BASE, "epochs", "1", "output", "lost"), GRAFT_OK);
    assert_int_equal(remove("lost/last.ckpt.safetensors"), 0);
    remove("lost/prev.ckpt.safetensors");
    char *had = text_of_file("lost/results.csv");
    assert_int_equal(RUN("train", &seen, "resume", "lost", "epochs", "2"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "last.ckpt.safetensors, is gone"));
    assert_int_equal(RUN("train", &seen, BASE, "epochs", "1", "output", "lost"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "graft train --resume lost --force"));
    char *still = text_of_file("lost/results.csv");
    assert_string_equal(still, had);
    free(still);
    assert_int_equal(RUN("train", &seen, "resume", "lost", "epochs", "2", "force", ""), GRAFT_OK);
    assert_non_null(strstr(seen.warnings, "the run begins again"));
    free(had);
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
        cmocka_unit_test(test_every_call_goes_wrong),    cmocka_unit_test(test_random_kills),
        cmocka_unit_test(test_cancelled_at_every_step),  cmocka_unit_test(test_recipes_go_on),
        cmocka_unit_test(test_goes_on_in_its_phase),
        cmocka_unit_test(test_finished_goes_on),         cmocka_unit_test(test_best_model_is_lost),
        cmocka_unit_test(test_best_model_says_otherwise),
        cmocka_unit_test(test_folder_is_taken),          cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_estimate_changes_nothing), cmocka_unit_test(test_from_outside),
        cmocka_unit_test(test_checkpoint_removed), cmocka_unit_test(test_pairs_stay)};
    cmocka_set_test_filter(getenv("GRAFT_ONLY")); // NULL: all
    return cmocka_run_group_tests_name("resume", tests, setup, toy_teardown);
}
