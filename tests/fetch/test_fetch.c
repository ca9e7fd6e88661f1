// fetch/test_fetch.c: downloads from a server that misbehaves (server.c), two at once, interrupted, with every system
// call and allocation failing.
// `test_fetch serve FILE` is that server as a program: it prints its port and serves until its input ends.

#include "fixture.h"
#include "base/memory.h"
#include "fetch/cache.h"
#include "fetch/http.h"
#include "server.h"
#include "weights/weights.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// --- what comes ------------------------------------------------------------------------------------------------------

static void test_plain(void **state)
{
    (void)state;
    assert_gets("plain", hashed);
    assert_int_equal(server_hits("plain"), 1);
    assert_string_equal(server_last().range, "");
    check_logged("downloading data-");
    check_logged(", as published");
    assert_true(progressed > 0);
    assert_string_equal(last.stage, "download");
    assert_string_equal(last.file, hashed);
    assert_true(last.bytes_total == (double)served.data.size && last.bytes <= last.bytes_total);
    // it is there now: nothing is asked for
    struct found_file f;
    assert_int_equal(get("missing", hashed, &f), GRAFT_OK);
    assert_int_equal(f.place, PLACE_CACHE);
    assert_true(f.publishers);
    assert_whole(hashed, &f);
    assert_int_equal(server_hits("missing"), 0);
}

static void test_lengths_not_said(void **state)
{
    (void)state;
    assert_gets("chunks", hashed);
    fresh(state);
    assert_gets("close", hashed);
    fresh(state);
    assert_gets("cutchunks", hashed);
    assert_int_equal(server_hits("cutchunks"), 2);
}

static void test_cut_off(void **state)
{
    static const struct { const char *manner, *validator; } kinds[] = {
        {"cut", "\"v1\""}, {"reset", "\"v1\""}, {"weak", "Mon, 01 Jan 2024 00:00:00 GMT"},
        {"dated", "Mon, 01 Jan 2024 00:00:00 GMT"}, {"bare", ""}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        char range[64];
        fresh(state);
        assert_gets(kinds[i].manner, hashed);
        assert_int_equal(server_hits(kinds[i].manner), 2);
        snprintf(range, sizeof range, "bytes=%zu-", served.data.size / 2);
        assert_string_equal(server_last().range, range);
        assert_string_equal(server_last().if_range, kinds[i].validator);
        check_logged("trying again");
    }
}

static void test_many_pieces(void **state) // each attempt brings something: they are not counted
{
    (void)state;
    assert_gets("pieces", hashed);
    assert_true(server_hits("pieces") > download_limits.attempts);
}

static void test_nothing_ever_comes(void **state)
{
    (void)state;
    assert_fails("nothing", hashed, "given up after 3 attempts", 3);
}

static void test_stalls(void **state)
{
    (void)state;
    assert_gets("stall", hashed);
    assert_int_equal(server_hits("stall"), 2);
    fresh(state);
    download_limits.attempts = 1;
    assert_fails("mute", hashed, "given up after 1 attempts", 1);
}

static void test_a_changed_file_is_begun_again(void **state)
{
    (void)state;
    assert_gets("changed", hashed);
    assert_int_equal(server_hits("changed"), 2);
    assert_string_equal(server_last().if_range, "\"v1\"");
    check_logged("from the beginning");
}

static void test_ranges_ignored_or_wrong(void **state)
{
    (void)state;
    assert_gets("norange", hashed);
    check_logged("from the beginning");
    fresh(state);
    assert_gets("badbegin", hashed);
    check_logged("another part than it was asked for");
    assert_int_equal(server_hits("badbegin"), 3);
    fresh(state);
    assert_gets("badtotal", hashed);
    check_logged("another part than it was asked for");
}

static void test_busy_servers(void **state)
{
    (void)state;
    assert_gets("busy", hashed);
    assert_int_equal(server_hits("busy"), 3);
    check_logged("503: not available now; trying again");
    fresh(state);
    const double begin = now_seconds();
    assert_gets("limited", hashed);
    assert_true(now_seconds() - begin >= 1); // Retry-After
    fresh(state);
    assert_fails("down", hashed, "given up after 3 attempts: the server answers 500", 3);
}

static void test_answers_that_are_final(void **state)
{
    (void)state;
    assert_fails("missing", hashed, "404: not found", 1);
    assert_fails("forbidden", hashed, "403: forbidden", 1);
    assert_fails("page", hashed, "a web page", 1);
    assert_fails("garbage", hashed, "", 1);
    assert_fails("huge", hashed, "1000000 MB", 1);
    assert_fails("tofile", hashed, "file", 1);
    assert_fails("loop", hashed, "redirects", http_limits.redirects + 1);
    assert_fails("empty", hashed, "nothing was kept", 1);
}

static void test_no_server(void **state)
{
    struct found_file f;
    (void)state;
    const struct published p = {.file = hashed, .url = "http://127.0.0.1:1/x"};
    const double begin = now_seconds();
    assert_int_equal(download(&p, cache, false, &f), GRAFT_BAD_FILE);
    check_message("127.0.0.1");
    assert_true(now_seconds() - begin < 1); // it was never there: not asked again
}

static void test_redirects(void **state)
{
    (void)state;
    assert_gets("hop", hashed);
    assert_int_equal(server_hits("hop"), 1);
    assert_int_equal(server_hits("plain"), 1);
}

static void test_wrong_files(void **state)
{
    (void)state;
    assert_fails("wrong", hashed, "is not the published file: its SHA-256 is ", 1);
    check_message("nothing was kept");
    check_message("expected ");
    assert_false(there("data.part"));
    assert_fails("less", hashed, "nothing was kept", 1); // says half of its length
    assert_int_equal(size_of(hashed), -1);
    char part[64];
    snprintf(part, sizeof part, "%s.part", hashed);
    assert_false(there(part));
    // without a digest to go by, it must be a weight file
    fresh(state);
    assert_fails("text", "plain.safetensors", "nothing was kept", 1);
    assert_fails("less", "plain.safetensors", "nothing was kept", 1);
    assert_gets("plain", "plain.safetensors");
    check_logged("recorded (the publisher names none)");
    // MD5, as Keras has it
    assert_fails("plain", "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "its MD5 is ", 2);
    check_message("expected 64373286793e3c8b2b4e3219cbf3544b");
}

static void test_a_length_too_long(void **state)
{
    (void)state;
    assert_gets("more", hashed); // says 1,000 bytes more than there are; asked for those, it says there are none
    assert_int_equal(server_hits("more"), 2);
}

static void test_size_limit_without_a_length(void **state)
{
    struct found_file f;
    (void)state;
    struct published p = offered("endless", hashed);
    p.mib = 8; // of 64 that the server would send
    assert_int_equal(download(&p, cache, false, &f), GRAFT_BAD_FILE);
    check_message("at most 12 MB are expected");
}

// --- what is left from before ----------------------------------------------------------------------------------------

static void leave_part(const char *url, const void *data, size_t size, size_t total)
{
    char part[64], note[64], text[512];
    snprintf(part, sizeof part, "%s.part", hashed);
    snprintf(note, sizeof note, "%s.part.json", hashed);
    const int n =
        snprintf(text, sizeof text, "{\"url\": \"%s\", \"validator\": \"\\\"v1\\\"\", \"total\": %zu}", url, total);
    put_file(cache, part, data, size);
    put_file(cache, note, text, (size_t)n);
}

static void test_a_part_is_continued(void **state)
{
    (void)state;
    leave_part(offered("plain", hashed).url, served.data.ptr, 1000, served.data.size);
    assert_gets("plain", hashed);
    assert_string_equal(server_last().range, "bytes=1000-");
    assert_string_equal(server_last().if_range, "\"v1\"");
    assert_int_equal(server_hits("plain"), 1);
}

static void test_a_part_that_is_complete(void **state)
{
    (void)state;
    leave_part(offered("plain", hashed).url, served.data.ptr, served.data.size, served.data.size);
    assert_gets("plain", hashed);
    assert_int_equal(server_hits("plain"), 0); // nothing is asked for
    fresh(state);
    leave_part(offered("plain", hashed).url, served.data.ptr, served.data.size, 0); // the length was not said then
    assert_gets("plain", hashed);
    assert_int_equal(server_hits("plain"), 1); // answered 416, "bytes */SIZE"
}

static void test_parts_of_no_use(void **state)
{
    (void)state;
    leave_part("http://127.0.0.1/elsewhere", served.data.ptr, 1000, served.data.size);
    assert_gets("plain", hashed);
    assert_string_equal(server_last().range, "");
    fresh(state);
    leave_part(offered("plain", hashed).url, "the wrong beginning", 19, served.data.size);
    assert_gets("plain", hashed); // its digest is wrong, so all of it is asked for once more
    assert_int_equal(server_hits("plain"), 2);
    check_logged("asking for the whole file");
    fresh(state);
    leave_part(offered("plain", hashed).url, served.data.ptr, 1000, 10); // longer than it can be
    assert_gets("plain", hashed);
    fresh(state);
    leave_part(offered("unsatisfied", hashed).url, served.data.ptr, 1000, 0);
    assert_gets("unsatisfied", hashed);
    assert_int_equal(server_hits("unsatisfied"), 2);
    fresh(state);
    char note[64];
    snprintf(note, sizeof note, "%s.part.json", hashed);
    leave_part(offered("plain", hashed).url, served.data.ptr, 1000, 10);
    put_file(cache, note, "{\"url\": 5", 9);
    assert_gets("plain", hashed);
}

// --- interruptions ---------------------------------------------------------------------------------------------------

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

// Downloads in a process of its own, which ends with the program's exit code.
static pid_t start(const char *manner)
{
    const pid_t child = fork();
    if (child != 0)
        return child;
    struct found_file f;
    signal(SIGINT, on_signal);
    const graft_status status = get(manner, hashed, &f);
    if (status == GRAFT_CANCELLED && strstr(graft_message(), "stopped") == NULL)
        _exit(99);
    _exit(status == GRAFT_CANCELLED ? 130 : (int)status);
}

static int wait_exit(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void wait_part(off_t size) // until the part has grown so far
{
    char part[64];
    snprintf(part, sizeof part, "%s.part", hashed);
    for (int i = 0; size_of(part) < size; i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
}

static void test_signals(void **state)
{
    static const struct { int signal, code; } kinds[] = {{SIGINT, 130}, {SIGKILL, 128 + SIGKILL}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        char part[64];
        struct found_file f;
        fresh(state);
        snprintf(part, sizeof part, "%s.part", hashed);
        const pid_t child = start("slow");
        wait_part(100000);
        kill(child, kinds[i].signal);
        assert_int_equal(wait_exit(child), kinds[i].code);
        const off_t kept = size_of(part);
        assert_true(kept >= 100000 && kept < (off_t)served.data.size);
        assert_int_equal(get("slow", hashed, &f), GRAFT_OK);
        assert_whole(hashed, &f);
        size_t from = 0;
        assert_int_equal(sscanf(server_last().range, "bytes=%zu-", &from), 1);
        assert_int_equal(from, kept);
    }
}

static void test_cancelled_while_it_waits(void **state)
{
    struct found_file f;
    (void)state;
    interrupted = 1;
    assert_int_equal(get("mute", hashed, &f), GRAFT_CANCELLED);
    assert_int_equal(get("plain", hashed, &f), GRAFT_CANCELLED);
}

static void test_two_at_once(void **state)
{
    struct found_file f;
    (void)state;
    const pid_t child = start("slow");
    wait_part(50000);
    assert_int_equal(get("slow", hashed, &f), GRAFT_OK);
    assert_int_equal(f.place, PLACE_CACHE); // the other's
    assert_whole(hashed, &f);
    check_logged("another process is downloading");
    assert_int_equal(wait_exit(child), 0);
    assert_int_equal(server_hits("slow"), 1);
    // the first is stopped while the second waits: that goes on
    fresh(state);
    const pid_t first = start("slow"), second = start("slow");
    wait_part(50000);
    usleep(300000);
    kill(first, SIGINT); // one of them holds the part, the other waits
    const int codes[2] = {wait_exit(first), wait_exit(second)};
    assert_int_equal(codes[0], 130);
    assert_int_equal(codes[1], 0);
    assert_int_equal(get("missing", hashed, &f), GRAFT_OK);
    assert_whole(hashed, &f);
}

// --- failing system calls and allocations ----------------------------------------------------------------------------

static struct file_table kept_files;
static size_t disk_left;
static ssize_t write_until_full(int fd, const void *data, size_t size)
{
    if (disk_left == 0) {
        errno = ENOSPC;
        return -1;
    }
    const size_t part = size < disk_left ? size : disk_left;
    disk_left -= part;
    return kept_files.write(fd, data, part);
}

static void test_full_disk(void **state)
{
    struct found_file f;
    char part[64];
    (void)state;
    snprintf(part, sizeof part, "%s.part", hashed);
    kept_files = file_ops;
    file_ops.write = write_until_full;
    disk_left = 300000;
    const graft_status status = get("plain", hashed, &f);
    file_ops = kept_files;
    assert_int_equal(status, GRAFT_NO_RESOURCE);
    check_message("No space left on device");
    check_message("the next pull goes on from there");
    const off_t kept = size_of(part);
    assert_true(kept > 290000 && kept <= 300000);
    assert_gets("plain", hashed);
    char range[64];
    snprintf(range, sizeof range, "bytes=%ld-", (long)kept);
    assert_string_equal(server_last().range, range);
}

static long fail_at, call_number;
static bool fails(void)
{
    if (call_number++ != fail_at)
        return false;
    errno = ENOSPC;
    return true;
}
static int bad_open(const char *path, int flags, mode_t mode)
{
    return fails() ? -1 : kept_files.open(path, flags, mode);
}
static ssize_t bad_write(int fd, const void *data, size_t size)
{
    return fails() ? -1 : kept_files.write(fd, data, size);
}
static int bad_fsync(int fd) { return fails() ? -1 : kept_files.fsync(fd); }
static int bad_close(int fd)
{
    const bool bad = fails();
    return kept_files.close(fd) != 0 || bad ? -1 : 0;
}
static int bad_rename(const char *from, const char *to) { return fails() ? -1 : kept_files.rename(from, to); }
static int bad_unlink(const char *path) { return fails() ? -1 : kept_files.unlink(path); }
static int bad_truncate(const char *path, off_t size) { return fails() ? -1 : kept_files.truncate(path, size); }

// Whatever call fails, the name holds the whole file or nothing, and the next pull makes it good.
static void test_every_call_fails(void **state)
{
    bool failed = true;
    kept_files = file_ops;
    for (fail_at = 0; failed; fail_at++) {
        struct found_file f = {0};
        fresh(state);
        call_number = 0;
        file_ops = (struct file_table){bad_open, bad_write, bad_fsync, bad_close, bad_rename, bad_unlink, bad_truncate,
                                       link};
        const graft_status status = get("plain", hashed, &f);
        file_ops = kept_files;
        failed = call_number > fail_at;
        assert_true(status == GRAFT_OK || status == GRAFT_NO_RESOURCE);
        if (status == GRAFT_OK)
            assert_int_equal(size_of(hashed), served.data.size);
        found_file_free(&f);
        assert_gets("plain", hashed);
    }
    assert_true(fail_at > 30); // writes of the part, of two notes, and what makes them durable
}

static struct memory_table kept_memory;
static void *bad_alloc(size_t size) { return fails() ? NULL : kept_memory.alloc(size); }
static void *bad_resize(void *old, size_t size) { return fails() ? NULL : kept_memory.resize(old, size); }
static void *bad_aligned(size_t alignment, size_t size)
{
    return fails() ? NULL : kept_memory.alloc_aligned(alignment, size);
}

static void test_every_allocation_fails(void **state)
{
    graft_status status = GRAFT_NO_RESOURCE;
    kept_memory = memory;
    for (fail_at = 0; status != GRAFT_OK; fail_at++) {
        struct found_file f = {0};
        fresh(state);
        call_number = 0;
        memory = (struct memory_table){bad_alloc, bad_resize, bad_aligned, kept_memory.release};
        status = get("plain", hashed, &f);
        memory = kept_memory;
        assert_true(status == GRAFT_OK || status == GRAFT_NO_RESOURCE);
        found_file_free(&f);
    }
    assert_true(fail_at > 10);
}

// --- addresses -------------------------------------------------------------------------------------------------------

static void test_mirror(void **state)
{
    char mirror[128];
    struct found_file f;
    (void)state;
    const struct published p = {.file = hashed, .url = "https://publisher.invalid/file"};
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/plain/", port);
    setenv("GRAFT_MIRROR", mirror, 1);
    assert_int_equal(download(&p, cache, false, &f), GRAFT_OK);
    assert_whole(hashed, &f);
    fresh(state);
    snprintf(mirror, sizeof mirror, "http://me:secret@127.0.0.1:%d/plain", port);
    setenv("GRAFT_MIRROR", mirror, 1);
    assert_int_equal(download(&p, cache, false, &f), GRAFT_OK);
    assert_whole(hashed, &f);
    assert_null(strstr(logged, "secret"));
    check_logged("from http://127.0.0.1:");
    static const char *const others[] = {"file:///tmp", "ftp://host/", "weights", "FILE:/tmp", "/tmp"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        fresh(state);
        setenv("GRAFT_MIRROR", others[i], 1);
        assert_int_equal(download(&p, cache, false, &f), GRAFT_BAD_OPTION);
        check_message("an http: or https: address is expected");
    }
}

static void test_other_protocols(void **state) // should a table ever hold one
{
    struct found_file f;
    char url[256];
    (void)state;
    put_file(scratch, "local", served.data.ptr, served.data.size);
    snprintf(url, sizeof url, "file://%s/local", scratch);
    const struct published p = {.file = hashed, .url = url};
    assert_int_equal(download(&p, cache, false, &f), GRAFT_BAD_FILE);
    check_message("file");
    assert_false(there(hashed));
}

static void test_proxy(void **state)
{
    char proxy[64];
    struct found_file f;
    (void)state;
    const struct published p = {.file = hashed, .url = "http://publisher.invalid/plain/data"};
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", port);
    setenv("http_proxy", proxy, 1);
    const graft_status status = download(&p, cache, false, &f);
    unsetenv("http_proxy");
    assert_int_equal(status, GRAFT_OK);
    assert_whole(hashed, &f);
    assert_string_equal(server_last().line, "GET http://publisher.invalid/plain/data HTTP/1.1");
}

// --- main ------------------------------------------------------------------------------------------------------------

static void serve_until_closed(const char *path)
{
    if (file_map_open(path, &served) != GRAFT_OK) {
        fprintf(stderr, "%s\n", graft_message());
        exit(1);
    }
    printf("%d\n", server_start(served.data.ptr, served.data.size));
    fclose(stdout);
    while (getchar() != EOF)
        ;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        serve_until_closed(argv[2]);
        return 0;
    }
    prepare();
    const struct CMUnitTest online[] = {TEST(test_plain),
                                        TEST(test_lengths_not_said),
                                        TEST(test_cut_off),
                                        TEST(test_many_pieces),
                                        TEST(test_nothing_ever_comes),
                                        TEST(test_stalls),
                                        TEST(test_a_changed_file_is_begun_again),
                                        TEST(test_ranges_ignored_or_wrong),
                                        TEST(test_busy_servers),
                                        TEST(test_answers_that_are_final),
                                        TEST(test_no_server),
                                        TEST(test_redirects),
                                        TEST(test_wrong_files),
                                        TEST(test_a_length_too_long),
                                        TEST(test_size_limit_without_a_length),
                                        TEST(test_a_part_is_continued),
                                        TEST(test_a_part_that_is_complete),
                                        TEST(test_parts_of_no_use),
                                        TEST(test_signals),
                                        TEST(test_cancelled_while_it_waits),
                                        TEST(test_two_at_once),
                                        TEST(test_full_disk),
                                        TEST(test_every_call_fails),
                                        TEST(test_every_allocation_fails),
                                        TEST(test_mirror),
                                        TEST(test_other_protocols),
                                        TEST(test_proxy)};
    int failed = 0;
    if (http_ready() == GRAFT_OK)
        failed = cmocka_run_group_tests_name("downloads", online, NULL, NULL);
    else
        fprintf(stderr, "no downloads are tested: %s\n", graft_message());
    folder_remove(scratch);
    file_map_close(&served);
    return failed;
}
