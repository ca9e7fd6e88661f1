// fetch/test_fetch.c: downloads from a server that misbehaves (server.c), two at once, interrupted, with every system
// call and allocation failing; the caches of Keras and PyTorch; records of first use.
// `test_fetch serve FILE` is that server as a program: it prints its port and serves until its input ends.

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "fetch/cache.h"
#include "fetch/download.h"
#include "fetch/http.h"
#include "server.h"
#include "weights/weights.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char scratch[64], cache[128]; // HOME, and our folder in it
static struct file_map served;       // what the server has: a small weight file
static int port;
static char digest[DIGEST_TEXT];
static char hashed[32];              // "data-XXXXXXXX.pth": a name that holds the digest's beginning
static char logged[16384];           // log lines since the test began
static graft_progress last;
static int progressed;
static volatile sig_atomic_t interrupted;

// --- scaffolding -----------------------------------------------------------------------------------------------------

static void on_log(void *user, graft_level level, const char *text)
{
    (void)user, (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", text);
}
static void on_progress(void *user, const graft_progress *p)
{
    (void)user;
    last = *p;
    progressed++;
}
static int on_cancelled(void *user)
{
    (void)user;
    return interrupted;
}
static const graft_hooks hooks = {.log = on_log, .progress = on_progress, .cancelled = on_cancelled};

static void check_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' lacks '%s'", text, part);
}
static void check_message(const char *part) { check_text(graft_message(), part); }
static void check_logged(const char *part) { check_text(logged, part); }

static void folder_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char path[512];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            folder_remove(path);
        else
            unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

static int fresh(void **state) // before each test
{
    (void)state;
    folder_remove(scratch);
    mkdir(scratch, 0777);
    server_forget();
    logged[0] = '\0';
    interrupted = progressed = 0;
    download_limits = (struct download_limits){.attempts = 3, .first_wait = 0.01, .longest_wait = 0.05};
    unsetenv("GRAFT_MIRROR");
    hooks_set(&hooks);
    return 0;
}

static bool there(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return file_exists(path);
}

static off_t size_of(const char *name)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void put_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_make_folder(folder), GRAFT_OK);
    assert_int_equal(file_write_all(path, data, size), GRAFT_OK);
}

// A file under this name, asked for with this manner of the server.
static struct published offered(const char *manner, const char *name)
{
    static char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s/%s", port, manner, name);
    return (struct published){.file = name, .url = url};
}

static graft_status get(const char *manner, const char *name, struct found_file *out)
{
    const struct published p = offered(manner, name);
    return download(&p, cache, false, out);
}

// The file came whole, and nothing else is left in the folder.
static void assert_whole(const char *name, struct found_file *f)
{
    struct file_map map;
    char record[64], part[64], note[64];
    assert_non_null(f->path);
    assert_int_equal(file_map_open(f->path, &map), GRAFT_OK);
    assert_int_equal(map.data.size, served.data.size);
    assert_memory_equal(map.data.ptr, served.data.ptr, served.data.size);
    file_map_close(&map);
    assert_int_equal(f->size, served.data.size);
    assert_string_equal(f->digest, digest);
    snprintf(record, sizeof record, "%s.json", name);
    snprintf(part, sizeof part, "%s.part", name);
    snprintf(note, sizeof note, "%s.part.json", name);
    assert_true(there(name));
    assert_true(there(record));
    assert_false(there(part));
    assert_false(there(note));
    found_file_free(f);
}

static void assert_gets(const char *manner, const char *name)
{
    struct found_file f;
    const graft_status status = get(manner, name, &f);
    if (status != GRAFT_OK)
        fail_msg("%s: %s", manner, graft_message());
    assert_whole(name, &f);
}

static void assert_fails(const char *manner, const char *name, const char *reason, int hits)
{
    struct found_file f;
    assert_int_equal(get(manner, name, &f), GRAFT_BAD_FILE);
    check_message(reason);
    assert_null(f.path);
    assert_false(there(name));
    assert_int_equal(server_hits(manner), hits);
}

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
        file_ops = (struct file_table){bad_open, bad_write, bad_fsync, bad_close, bad_rename, bad_unlink, bad_truncate};
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

// --- networks --------------------------------------------------------------------------------------------------------

static graft_status want(const struct network *net, bool offline, bool again, struct found_file *out)
{
    return fetch_weights(net, &(struct fetch_request){.offline = offline, .again = again}, out);
}

static void test_caches_of_others(void **state)
{
    static const struct { const char *folder; enum place place; } places[] = {
        {".cache/graft", PLACE_CACHE}, {".keras/models", PLACE_KERAS}, {".cache/torch/hub/checkpoints", PLACE_TORCH}};
    const char *const files[] = {hashed, NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = files};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char folder[256], path[512];
        struct found_file f;
        fresh(state);
        snprintf(folder, sizeof folder, "%s/%s", scratch, places[i].folder);
        snprintf(path, sizeof path, "%s/%s", folder, hashed);
        assert_int_equal(want(&net, true, false, &f), GRAFT_BAD_FILE);
        check_message("nobody offers no single file of net: put data-");
        put_file(folder, hashed, served.data.ptr, served.data.size);
        assert_int_equal(fetch_locate(&net, &(struct fetch_request){0}, &f), GRAFT_OK);
        assert_string_equal(f.path, path);
        found_file_free(&f);
        assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
        assert_string_equal(f.path, path); // used where it lies
        assert_int_equal(f.place, places[i].place);
        assert_true(f.publishers);
        found_file_free(&f);
        // another file under that name
        put_file(folder, hashed, "something else", 14);
        assert_int_equal(want(&net, true, false, &f), GRAFT_BAD_FILE);
        check_text(places[i].place == PLACE_CACHE ? graft_message() : logged,
                   "is not the file that is published under that name");
        assert_true(file_exists(path));
    }
}

static void test_folders_by_variables(void **state)
{
    static const struct { const char *variable, *below; } places[] = {
        {"XDG_CACHE_HOME", "graft"}, {"KERAS_HOME", "models"}, {"TORCH_HOME", "hub/checkpoints"},
        {"XDG_CACHE_HOME", "torch/hub/checkpoints"}};
    const char *const files[] = {hashed, NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = files};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char folder[256], value[128];
        struct found_file f;
        fresh(state);
        snprintf(value, sizeof value, "%s/elsewhere", scratch);
        snprintf(folder, sizeof folder, "%s/%s", value, places[i].below);
        put_file(folder, hashed, served.data.ptr, served.data.size);
        setenv(places[i].variable, value, 1);
        const graft_status status = want(&net, true, false, &f);
        unsetenv(places[i].variable);
        assert_int_equal(status, GRAFT_OK);
        found_file_free(&f);
    }
    unsetenv("HOME");
    struct found_file f;
    assert_int_equal(want(zoo_find("vgg16"), true, false, &f), GRAFT_BAD_FILE);
    setenv("HOME", scratch, 1);
    check_message("neither XDG_CACHE_HOME nor HOME");
}

static void test_hub(void **state)
{
    char folder[256];
    struct found_file f;
    (void)state;
    const struct network *lite = zoo_find("efficientnet_lite0");
    snprintf(folder, sizeof folder, "%s/.cache/huggingface/hub/models--timm--tf_efficientnet_lite0.in1k/refs", scratch);
    put_file(folder, "main", "0123abc\n", 8);
    assert_int_equal(want(lite, true, false, &f), GRAFT_BAD_FILE);
    snprintf(folder, sizeof folder,
             "%s/.cache/huggingface/hub/models--timm--tf_efficientnet_lite0.in1k/snapshots/0123abc", scratch);
    put_file(folder, "model.safetensors", served.data.ptr, served.data.size);
    assert_int_equal(want(lite, true, false, &f), GRAFT_OK);
    assert_int_equal(f.place, PLACE_HUB);
    check_text(f.path, "/snapshots/0123abc/model.safetensors");
    assert_string_equal(f.file, "tf_efficientnet_lite0.safetensors");
    found_file_free(&f);
}

static void test_first_use_is_remembered(void **state)
{
    const char *const files[] = {"plain.safetensors", NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = files};
    struct found_file f;
    (void)state;
    put_file(cache, "plain.safetensors", served.data.ptr, served.data.size);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    assert_false(f.publishers);
    assert_string_equal(f.digest, digest);
    found_file_free(&f);
    assert_true(there("plain.safetensors.json"));
    // a byte is turned, the length stays
    char *bent = mem_alloc(served.data.size);
    memcpy(bent, served.data.ptr, served.data.size);
    bent[served.data.size / 2] ^= 1;
    put_file(cache, "plain.safetensors", bent, served.data.size);
    assert_int_equal(want(&net, true, false, &f), GRAFT_BAD_FILE);
    check_message("has changed since it was first used");
    check_message(digest);
    // the same with the old time: only a check of the bytes finds it, which `pull` makes
    char path[512];
    snprintf(path, sizeof path, "%s/plain.safetensors", cache);
    put_file(cache, "plain.safetensors", served.data.ptr, served.data.size);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    found_file_free(&f);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    fseek(file, 100, SEEK_SET);
    fputc('!', file);
    fclose(file);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    found_file_free(&f);
    assert_int_equal(want(&net, true, true, &f), GRAFT_BAD_FILE);
    // a damaged record is as good as none
    put_file(cache, "plain.safetensors", bent, served.data.size);
    put_file(cache, "plain.safetensors.json", "{\"path\"", 7);
    assert_int_equal(want(&net, true, false, &f), GRAFT_OK);
    found_file_free(&f);
    mem_free(bent);
}

static void test_networks_are_pulled(void **state)
{
    char mirror[128];
    struct found_file f;
    const struct network *lite = zoo_find("efficientnet_lite0");
    (void)state;
    assert_int_equal(want(lite, true, false, &f), GRAFT_BAD_FILE);
    check_message("--offline forbids");
    check_message("tf_efficientnet_lite0-0aa007d2.pth from https://github.com/");
    check_message(cache);
    assert_int_equal(server_hits("hub"), 0);
    // the first of its files is not to be had, the second is
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/hub", port);
    setenv("GRAFT_MIRROR", mirror, 1);
    assert_int_equal(want(lite, false, false, &f), GRAFT_OK);
    assert_int_equal(f.place, PLACE_DOWNLOADED);
    assert_int_equal(server_hits("hub"), 2);
    assert_whole("tf_efficientnet_lite0.safetensors", &f);
    // damaged: what uses it refuses it, a pull replaces it
    put_file(cache, "tf_efficientnet_lite0.safetensors", "damage", 6);
    assert_int_equal(want(lite, false, false, &f), GRAFT_BAD_FILE);
    check_message("`graft pull` replaces it");
    assert_int_equal(want(lite, false, true, &f), GRAFT_OK);
    assert_whole("tf_efficientnet_lite0.safetensors", &f);
    // torchvision's second file of the network is other weights: nobody is given those instead
    assert_int_equal(want(zoo_find("resnet50"), false, false, &f), GRAFT_BAD_FILE);
    assert_int_equal(server_hits("hub"), 5); // one more than before: the first file only
    // a server without any of them
    fresh(state);
    snprintf(mirror, sizeof mirror, "http://127.0.0.1:%d/missing", port);
    setenv("GRAFT_MIRROR", mirror, 1);
    assert_int_equal(want(lite, false, false, &f), GRAFT_BAD_FILE);
    check_message("cannot download tf_efficientnet_lite0-0aa007d2.pth: the server answers 404");
    check_message("By hand: put tf_efficientnet_lite0-0aa007d2.pth");
}

static void test_variants_and_heads(void **state)
{
    const char *const own[] = {"one.safetensors", NULL}, *const notop[] = {"one_notop.h5", "one.h5", NULL};
    const struct network net = {.name = "net", .publisher = "nobody", .files = own};
    const struct network other = {.name = "other", .publisher = "nobody", .files = notop};
    struct found_file f;
    (void)state;
    put_file(cache, "one_notop.h5", "x", 1);
    assert_int_equal(fetch_locate(&net, &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_null(f.path);
    assert_int_equal(fetch_locate(&other, &(struct fetch_request){.head = true}, &f), GRAFT_OK);
    assert_null(f.path);
    assert_int_equal(fetch_locate(&other, &(struct fetch_request){0}, &f), GRAFT_OK);
    assert_non_null(f.path);
    found_file_free(&f);
    // vgg16 takes Keras's file too where any variant will do
    put_file(cache, "vgg16_weights_tf_dim_ordering_tf_kernels.h5", "x", 1);
    assert_int_equal(fetch_locate(zoo_find("vgg16"), &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_non_null(f.path);
    found_file_free(&f);
    assert_int_equal(fetch_locate(zoo_find("vgg16"), &(struct fetch_request){0}, &f), GRAFT_OK);
    assert_null(f.path);
    // but another width is another network
    put_file(cache, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224.h5", "x", 1);
    assert_int_equal(fetch_locate(zoo_find("mobilenet_v2"), &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_null(f.path);
    put_file(cache, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", "x", 1);
    assert_int_equal(fetch_locate(zoo_find("mobilenet_v2"), &(struct fetch_request){.variants = true}, &f), GRAFT_OK);
    assert_non_null(f.path);
    found_file_free(&f);
}

static void test_published_table(void **state)
{
    char expected[DIGEST_TEXT];
    (void)state;
    assert_int_equal(published_match("vgg16-397923af.pth", "397923af00", expected), PUBLISHED_SAME);
    assert_int_equal(published_match("vgg16-397923af.pth", "397923ae00", expected), PUBLISHED_DIFFERS);
    assert_string_equal(expected, "397923af");
    assert_int_equal(published_match("own-1234567.pth", "12345670", expected), PUBLISHED_UNKNOWN); // seven digits
    assert_int_equal(published_match("inception-v4_1234abcd.pth", "1234abcd", expected), PUBLISHED_UNKNOWN);
    // one name, two files: Keras 0.5's and 0.2's
    const char *name = "resnet50_weights_tf_dim_ordering_tf_kernels.h5";
    assert_int_equal(published_match(name, "2cb95161c43110f7111970584f804107", expected), PUBLISHED_SAME);
    assert_int_equal(published_match(name, "a7b3fe01876f51b976af0dea6bc144eb", expected), PUBLISHED_SAME);
    assert_int_equal(published_match(name, "a7b3fe01876f51b976af0dea6bc144ec", expected), PUBLISHED_DIFFERS);
    assert_string_equal(expected, "2cb95161c43110f7111970584f804107");
    assert_int_equal(published_kind(name), DIGEST_MD5);
    assert_int_equal(published_kind("vgg16-397923af.pth"), DIGEST_SHA256);
    // every network either can be pulled, or says in its row where its file is from
    for (int i = 0; i < zoo_count(); i++)
        for (int k = 0; zoo_at(i)->files != NULL && zoo_at(i)->files[k] != NULL; k++) {
            const struct published *p = published_find(zoo_at(i)->files[k]);
            if (p != NULL && p->url != NULL)
                assert_true(strncmp(p->url, "https://", 8) == 0 || strstr(p->url, "caffe") != NULL);
        }
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

static void prepare(void)
{
    enum { VALUES = 200000 };
    char path[128];
    struct tensor_set set = {0};
    float *values = mem_alloc(VALUES * sizeof *values);
    for (int i = 0; i < VALUES; i++)
        values[i] = (float)i * 0.37f;
    snprintf(scratch, sizeof scratch, "/tmp/graft-fetch-XXXXXX");
    if (mkdtemp(scratch) == NULL)
        exit(1);
    snprintf(path, sizeof path, "%s/served", scratch);
    snprintf(cache, sizeof cache, "%s/.cache/graft", scratch);
    if (tensor_set_add(&set, "x", DTYPE_F32, SHAPE(VALUES), values) != GRAFT_OK ||
        safetensors_write(path, &set, NULL) != GRAFT_OK || file_map_open(path, &served) != GRAFT_OK ||
        digest_file(path, DIGEST_SHA256, digest) != GRAFT_OK)
        exit(1);
    tensor_set_free(&set);
    mem_free(values);
    snprintf(hashed, sizeof hashed, "data-%.8s.pth", digest);
    static const char *const variables[] = {"XDG_CACHE_HOME", "KERAS_HOME", "TORCH_HOME",  "HF_HOME",
                                            "HF_HUB_CACHE",   "http_proxy", "https_proxy", "HTTPS_PROXY",
                                            "all_proxy",      "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    setenv("HOME", scratch, 1);
    port = server_start(served.data.ptr, served.data.size);
    http_limits = (struct http_limits){.connect_seconds = 5, .stall_seconds = 1, .redirects = 5};
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)
int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        serve_until_closed(argv[2]);
        return 0;
    }
    prepare();
    const struct CMUnitTest offline[] = {TEST(test_caches_of_others), TEST(test_folders_by_variables), TEST(test_hub),
                                         TEST(test_first_use_is_remembered), TEST(test_variants_and_heads),
                                         TEST(test_published_table)};
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
                                        TEST(test_proxy),
                                        TEST(test_networks_are_pulled)};
    int failed = cmocka_run_group_tests_name("caches", offline, NULL, NULL);
    if (http_ready() == GRAFT_OK)
        failed += cmocka_run_group_tests_name("downloads", online, NULL, NULL);
    else
        fprintf(stderr, "no downloads are tested: %s\n", graft_message());
    folder_remove(scratch);
    file_map_close(&served);
    return failed;
}
