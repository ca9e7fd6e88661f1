// tests/report/test_runs.c: the table of runs, removing one, following one, through graft.h.

#include "folder.h"
#include "base/json.h"
#include "report/runs.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct seen {
    char results[8192], log[4096], question[512];
    int answer, progress, stop_after;
};

static void add(char *text, size_t size, const char *line)
{
    const size_t used = strlen(text);
    snprintf(text + used, size - used, "%s\n", line);
}
static void on_log(void *user, graft_level level, const char *text)
{
    (void)level;
    add(((struct seen *)user)->log, sizeof((struct seen *)user)->log, text);
}
static void on_result(void *user, const char *json)
{
    add(((struct seen *)user)->results, sizeof((struct seen *)user)->results, json);
}
static void on_progress(void *user, const graft_progress *p)
{
    assert_string_equal(p->stage, "train");
    assert_true(p->step == 3 && p->steps == 9 && p->loss == 0.5);
    ((struct seen *)user)->progress++;
}
static int confirm(void *user, const char *question)
{
    struct seen *s = user;
    snprintf(s->question, sizeof s->question, "%s", question);
    return s->answer;
}
static int cancelled(void *user)
{
    const struct seen *s = user;
    return s->stop_after > 0 && s->progress >= s->stop_after;
}

static graft_status run(const char *command, struct seen *seen, const char *const *inputs, const char *sort)
{
    graft_options *o = graft_options_new(command);
    assert_non_null(o);
    for (; *inputs != NULL; inputs++)
        assert_int_equal(graft_options_add_input(o, *inputs), GRAFT_OK);
    if (sort != NULL)
        assert_int_equal(graft_options_set(o, "sort", sort), GRAFT_OK);
    const graft_hooks hooks = {.user = seen,
                               .log = on_log,
                               .progress = on_progress,
                               .result = on_result,
                               .confirm = confirm,
                               .cancelled = cancelled};
    const graft_status status = graft_run(o, &hooks);
    graft_options_free(o);
    return status;
}
#define RUN(command, seen, sort, ...) run(command, seen, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL}, sort)

static void events(const char *folder, const char *start, double loss, double top1, double seconds, bool ended)
{
    char text[1024], path[256];
    assert_int_equal(file_make_folder(folder), GRAFT_OK);
    snprintf(path, sizeof path, "%s/events.jsonl", folder);
    snprintf(text, sizeof text,
             "{\"event\":\"start\",\"network\":\"vgg16\",\"time\":%s}\n"
             "{\"event\":\"epoch\",\"epoch\":1,\"train_loss\":1,\"val_loss\":%g,\"val_log_loss\":%g,\"val_top1\":%g,"
             "\"val_top5\":1,\"lr\":0.1,\"seconds\":%g}\n%s",
             start, loss, loss, top1, seconds, ended ? "{\"event\":\"end\",\"seconds\":1}\n" : "");
    file_put_text(path, text);
}

// The folders in the order of their results.
static void expect_order(const char *sort, const char *const names[4])
{
    struct seen seen = {0};
    assert_int_equal(RUN("runs", &seen, sort, "all"), GRAFT_OK);
    const char *at = seen.results;
    for (int i = 0; i < 4; i++) {
        char wanted[64];
        snprintf(wanted, sizeof wanted, "\"run\":\"%s\"", names[i]);
        at = strstr(at, wanted);
        if (at == NULL)
            fail_msg("%s is not place %d by %s:\n%s", names[i], i, sort, seen.results);
    }
}

static void test_table(void **state)
{
    (void)state;
    events("all/train2", "300", 0.5, 0.80, 50, true);
    events("all/train10", "200", 0.4, 0.70, 60, false);
    events("all/deep/er/a", "100", 0.9, 0.90, 40, true);
    assert_int_equal(file_make_folder("all/young"), GRAFT_OK);
    file_put_text("all/young/events.jsonl",
                  "{\"event\":\"start\",\"network\":\"vgg16\",\"time\":400}\n"); // no epoch yet
    file_put_text("all/note.txt", "no run");
    expect_order("date", (const char *const[]){"all/young", "all/train2", "all/train10", "all/deep/er/a"});
    expect_order("name", (const char *const[]){"all/deep/er/a", "all/train2", "all/train10", "all/young"});
    expect_order("top1", (const char *const[]){"all/deep/er/a", "all/train2", "all/train10", "all/young"});
    expect_order("log-loss", (const char *const[]){"all/train10", "all/train2", "all/deep/er/a", "all/young"});
    expect_order("time", (const char *const[]){"all/deep/er/a", "all/train2", "all/train10", "all/young"});
    struct seen seen = {0};
    assert_int_equal(RUN("runs", &seen, NULL, "all/train10"), GRAFT_OK); // a run itself
    assert_non_null(strstr(seen.results, "\"state\":\"stopped\""));
    assert_int_equal(RUN("runs", &seen, NULL, "nowhere"), GRAFT_BAD_FILE);
    assert_int_equal(RUN("runs", &seen, "luck", "all"), GRAFT_BAD_OPTION);
}

static void test_remove(void **state)
{
    (void)state;
    struct seen seen = {0};
    run_make("gone");
    assert_int_equal(file_make_folder("gone/tb/train"), GRAFT_OK);
    file_put_text("gone/tb/train/events.out.tfevents.1.x", "x");
    file_put_text("gone/media/val-00.jpg", "x");
    file_put_text("gone/near_duplicates.csv", "held_out,trained\n");
    file_put_text("gone/model.safetensors.tmp-4711", "x"); // the writer was killed
    assert_int_equal(RUN("runs", &seen, NULL, "rm", "gone"), GRAFT_OK); // the answer is no
    assert_non_null(strstr(seen.question, "'gone'"));
    assert_true(file_exists("gone/events.jsonl"));
    seen.answer = 1;
    file_put_text("gone/thesis.doc", "x");
    assert_int_equal(RUN("runs", &seen, NULL, "rm", "gone"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "thesis.doc"));
    assert_true(file_exists("gone/events.jsonl") && file_exists("gone/media/val-00.jpg")); // nothing was touched
    assert_int_equal(remove("gone/thesis.doc"), 0);
    file_put_text("gone/media/diary.txt", "x");
    assert_int_equal(RUN("runs", &seen, NULL, "rm", "gone"), GRAFT_BAD_FILE);
    assert_int_equal(remove("gone/media/diary.txt"), 0);
    char text[32];
    snprintf(text, sizeof text, "%ld\n", (long)getpid());
    file_put_text("gone/.lock", text); // someone who is alive
    assert_int_equal(RUN("runs", &seen, NULL, "rm", "gone"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "in use"));
    file_put_text("gone/.lock", "999999999\n");
    assert_int_equal(symlink("../elsewhere", "gone/model.safetensors"), 0);
    assert_int_equal(file_make_folder("elsewhere"), GRAFT_OK);
    file_put_text("elsewhere/kept", "x");
    assert_int_equal(RUN("runs", &seen, NULL, "rm", "gone"), GRAFT_OK);
    assert_false(file_exists("gone"));
    assert_true(file_exists("elsewhere/kept")); // a link is removed, not what it leads to
    assert_int_equal(RUN("runs", &seen, NULL, "rm", "elsewhere"), GRAFT_BAD_FILE);
    assert_int_equal(RUN("runs", &seen, NULL, "rm"), GRAFT_BAD_OPTION);
}

static void *grow(void *user)
{
    (void)user;
    nanosleep(&(struct timespec){.tv_nsec = 600000000}, NULL);
    FILE *file = fopen("live/events.jsonl", "a");
    fprintf(file, "{\"event\":\"epoch\",\"epoch\":2,\"train_loss\":0.5,\"lr\":0.1,\"seconds\":1}\n");
    fclose(file);
    nanosleep(&(struct timespec){.tv_nsec = 600000000}, NULL);
    file = fopen("live/events.jsonl", "a");
    fprintf(file, "{\"event\":\"end\",\"seconds\":2}\n");
    fclose(file);
    return NULL;
}

static int lines(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static void test_watch(void **state)
{
    (void)state;
    struct seen seen = {0};
    char text[32];
    pthread_t thread;
    events("live", "100", 0.5, 0.8, 5, false);
    file_put_text("live/progress.json",
                  "{\"stage\":\"train\",\"epoch\":2,\"epochs\":2,\"step\":3,\"steps\":9,\"loss\":0.5}\n");
    snprintf(text, sizeof text, "%ld\n", (long)getpid());
    file_put_text("live/.lock", text);
    assert_int_equal(pthread_create(&thread, NULL, grow, NULL), 0);
    assert_int_equal(RUN("watch", &seen, NULL, "live"), GRAFT_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(lines(seen.results), 2); // each epoch once
    assert_non_null(strstr(seen.log, "finished"));
    assert_true(seen.progress > 0);

    events("live", "100", 0.5, 0.8, 5, false);
    seen = (struct seen){.stop_after = 1};
    assert_int_equal(RUN("watch", &seen, NULL, "live"), GRAFT_CANCELLED);
    file_put_text("live/.lock", "999999999\n"); // no such process
    seen = (struct seen){0};
    assert_int_equal(RUN("watch", &seen, NULL, "live"), GRAFT_FAILED);
    assert_non_null(strstr(graft_message(), "died in epoch 2"));
    assert_int_equal(lines(seen.results), 1);
    assert_int_equal(RUN("watch", &seen, NULL, "nowhere"), GRAFT_BAD_FILE);
}

// `train --crop cam`: the run on whole pictures, then the one on their boxes.
static void test_watch_crops(void **state)
{
    (void)state;
    static const char progress[] = "{\"stage\":\"train\",\"step\":3,\"steps\":9,\"loss\":0.5}\n";
    struct seen seen = {.stop_after = 1};
    char text[32];
    assert_int_equal(file_make_folder("cam"), GRAFT_OK);
    events("cam/whole", "100", 0.5, 0.8, 5, false);
    file_put_text("cam/events.jsonl", "");
    file_put_text("cam/whole/progress.json", progress);
    snprintf(text, sizeof text, "%ld\n", (long)getpid());
    file_put_text("cam/.lock", text);
    assert_int_equal(RUN("watch", &seen, NULL, "cam"), GRAFT_CANCELLED);
    assert_int_equal(lines(seen.results), 1);
    file_put_text("cam/.lock", "999999999\n");
    seen = (struct seen){0};
    assert_int_equal(RUN("watch", &seen, NULL, "cam"), GRAFT_FAILED);
    assert_non_null(strstr(graft_message(), "died in epoch 2 on whole pictures"));
    events("cam/whole", "100", 0.5, 0.8, 5, true);
    seen = (struct seen){0};
    assert_int_equal(RUN("watch", &seen, NULL, "cam"), GRAFT_FAILED);
    assert_int_equal(lines(seen.results), 1);
    assert_non_null(strstr(seen.log, "on whole pictures is finished"));
    assert_non_null(strstr(graft_message(), "died in epoch 1"));
    file_put_text("cam/boxes.csv", "path,left,top,width,height\n");
    events("cam", "100", 0.5, 0.8, 5, true);
    seen = (struct seen){0};
    assert_int_equal(RUN("watch", &seen, NULL, "cam"), GRAFT_OK);
    assert_int_equal(lines(seen.results), 1); // of the second run alone
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_remove),
                                       cmocka_unit_test(test_watch),
                                       cmocka_unit_test(test_watch_crops)};
    return cmocka_run_group_tests_name("runs", tests, folder_setup, folder_teardown);
}
