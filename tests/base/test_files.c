// base/test_files.c: atomic files with every call failing, locks, sweeping, refusals, paths, digests of files.

#include "fixture.h"
#include "base/digest.h"
#include "base/hash.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct file_table kept_files;
static const char *failed_call; // the name of the call that was failed
static bool file_fails(const char *name)
{
    if (!fails())
        return false;
    failed_call = name;
    errno = ENOSPC;
    return true;
}
static int bad_open(const char *path, int flags, mode_t mode)
{
    return file_fails("open") ? -1 : kept_files.open(path, flags, mode);
}
static ssize_t bad_write(int fd, const void *data, size_t size) // three bytes at most: short writes are not failures
{
    return file_fails("write") ? -1 : kept_files.write(fd, data, size < 3 ? size : 3);
}
static int bad_fsync(int fd)
{
    struct stat st;
    const bool of_folder = fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return file_fails(of_folder ? "fsync of the folder" : "fsync") ? -1 : kept_files.fsync(fd);
}
static int bad_close(int fd)
{
    const int result = kept_files.close(fd); // as the system does: closed even when it says otherwise
    return file_fails("close") ? -1 : result;
}
static int bad_rename(const char *from, const char *to)
{
    return file_fails("rename") ? -1 : kept_files.rename(from, to);
}

// Each call of the table fails in turn.  The old file is whole after any of them, no scratch file is left, the message
// names the file; only a folder that cannot be flushed comes after the rename, with the new file whole.
static void test_atomic_write(void **state)
{
    char *path = path_join(folder, "model");
    (void)state;
    kept_files = file_ops;
    graft_status status = GRAFT_FAILED;
    long n = 0;
    for (; status != GRAFT_OK && n < 100; n++) {
        fail_at = -1;
        assert_int_equal(file_write_all(path, "old text", 8), GRAFT_OK);
        file_ops = (struct file_table){bad_open, bad_write, bad_fsync, bad_close, bad_rename, unlink, truncate, link};
        fail_at = n;
        call_number = 0;
        failed_call = "none";
        status = file_write_all(path, "new text!", 9);
        file_ops = kept_files;
        const bool renamed = status == GRAFT_OK || strcmp(failed_call, "fsync of the folder") == 0;
        check_file(path, renamed ? "new text!" : "old text");
        if (status != GRAFT_OK) {
            assert_int_equal(status, GRAFT_NO_RESOURCE);
            check_message(renamed ? folder : path);
            check_message("No space left");
        }
        assert_int_equal(entries(false), 1);
    }
    fail_at = -1;
    assert_int_equal(status, GRAFT_OK);
    assert_int_equal(n, 9); // open, three writes, fsync, close, rename, fsync of the folder; then none
    mem_free(path);
}

static ssize_t no_write(int fd, const void *data, size_t size)
{
    (void)fd, (void)data, (void)size;
    return 0;
}

// A folder belongs to one process: another is refused by name, and gets it as soon as the first is killed.
static void test_lock(void **state)
{
    int fd, pipes[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (file_lock(folder, &fd) != GRAFT_OK || write(pipes[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    char number[32];
    snprintf(number, sizeof number, "process %ld", (long)child);
    assert_int_equal(file_lock(folder, &fd), GRAFT_BAD_FILE);
    check_message(number);
    check_message(folder);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(file_lock(folder, &fd), GRAFT_OK);
    file_unlock(fd);
    assert_int_equal(file_lock(folder, &fd), GRAFT_OK);
    file_unlock(fd);
    file_unlock(-1);
    assert_int_equal(file_lock("/nowhere", &fd), GRAFT_BAD_FILE);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_trim_and_sweep(void **state)
{
    char *path = path_join(folder, "log"), *old = path_join(folder, "a.tmp-7"), *other = path_join(folder, "other");
    uint64_t size, hash;
    (void)state;
    assert_int_equal(file_append(path, "one\ntwo\n", 8), GRAFT_OK);
    assert_int_equal(file_flush(path), GRAFT_OK);
    assert_int_equal(file_trim(path, 4), GRAFT_OK);
    check_file(path, "one\n");
    assert_true(file_size(path, &size) == GRAFT_OK && size == 4);
    assert_true(file_hash(path, &hash, NULL, 0) == GRAFT_OK && hash == hash_of((bytes){(const uint8_t *)"one\n", 4}));
    uint8_t tail[5];
    assert_true(file_hash(path, &hash, tail, 3) == GRAFT_OK && hash == hash_of((bytes){(const uint8_t *)"o", 1}));
    assert_memory_equal(tail, "ne\n", 3);
    assert_int_equal(file_hash(path, &hash, tail, 5), GRAFT_BAD_FILE);
    check_message("cut short: 4 bytes");
    assert_int_equal(file_write_all(old, "half", 4), GRAFT_OK);
    file_sweep(folder);
    assert_false(file_exists(old));
    assert_int_equal(file_rename(path, other), GRAFT_OK);
    check_file(other, "one\n");
    assert_int_equal(file_rename(path, other), GRAFT_BAD_FILE);
    assert_int_equal(file_flush(path), GRAFT_BAD_FILE);
    assert_int_equal(file_trim(path, 0), GRAFT_BAD_FILE);
    assert_int_equal(file_size(path, &size), GRAFT_BAD_FILE);
    mem_free(path);
    mem_free(old);
    mem_free(other);
}

// What a killed writer of the same file left goes; what is of another file, of a living process or of nobody stays.
static void test_orphans(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    char names[4][32];
    snprintf(names[0], sizeof names[0], "x.tmp-%d", (int)child);
    snprintf(names[1], sizeof names[1], "y.tmp-%d", (int)child);
    snprintf(names[2], sizeof names[2], "x.tmp-%d", (int)getppid());
    snprintf(names[3], sizeof names[3], "x.tmp-%dx", (int)child);
    for (int i = 0; i < 4; i++) {
        char *path = path_join(folder, names[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
        mem_free(path);
    }
    char *path = path_join(folder, "x");
    assert_int_equal(file_write_all(path, "new", 3), GRAFT_OK);
    check_file(path, "new");
    mem_free(path);
    assert_int_equal(entries(false), 4);
    path = path_join(folder, names[0]);
    assert_false(file_exists(path));
    mem_free(path);
}

static void test_file_refusals(void **state)
{
    char *path = path_join(folder, "fifo");
    struct file_map map;
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(file_map_open(path, &map), GRAFT_BAD_FILE); // and does not wait for a writer
    check_message("not a regular file");
    file_map_close(&map);
    const int reader = open(path, O_RDONLY | O_NONBLOCK); // what is no file is written to, not replaced
    char text[8] = "";
    struct stat st;
    assert_int_equal(file_write_all(path, "abc", 3), GRAFT_OK);
    assert_int_equal(read(reader, text, sizeof text), 3);
    assert_string_equal(text, "abc");
    assert_true(stat(path, &st) == 0 && S_ISFIFO(st.st_mode));
    close(reader);
    assert_int_equal(file_write_all("/dev/full", "abc", 3), GRAFT_NO_RESOURCE);
    assert_true(stat("/dev/full", &st) == 0 && S_ISCHR(st.st_mode));
    assert_int_equal(file_write_all("/dev/null", "abc", 3), GRAFT_OK);
    assert_true(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    assert_int_equal(file_map_open(folder, &map), GRAFT_BAD_FILE);
    check_message("is a folder");
    assert_int_equal(file_map_open("/nowhere/at all", &map), GRAFT_BAD_FILE);
    check_message("'/nowhere/at all'");
    assert_null(map.data.ptr);
    mem_free(path);

    path = path_join(folder, "empty");
    assert_int_equal(file_write_all(path, "", 0), GRAFT_OK);
    check_file(path, "");
    assert_int_equal(file_append(path, "a\n", 2), GRAFT_OK);
    assert_int_equal(file_append(path, "b\n", 2), GRAFT_OK);
    check_file(path, "a\nb\n");
    kept_files = file_ops;
    file_ops.write = no_write; // a disk that takes nothing must end, not spin
    const graft_status status = file_append(path, "c\n", 2);
    file_ops = kept_files;
    assert_int_equal(status, GRAFT_NO_RESOURCE);
    mem_free(path);

    path = path_join(folder, "large"); // over the size that is mapped
    const size_t size = (1 << 20) + 5;
    uint8_t *data = mem_zero(size, 1);
    data[size - 1] = 9;
    assert_int_equal(file_write_all(path, data, size), GRAFT_OK);
    assert_int_equal(file_map_open(path, &map), GRAFT_OK);
    assert_non_null(map.mapping);
    assert_int_equal(map.data.size, size);
    assert_int_equal(map.data.ptr[size - 1], 9);
    file_map_close(&map);
    file_map_close(&map); // a zeroed one is fine
    mem_free(data);
    mem_free(path);
}

static void test_paths(void **state)
{
    static const char *const joins[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"}, {"", "b", "b"}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(joins); i++) {
        char *joined = path_join(joins[i][0], joins[i][1]);
        assert_string_equal(joined, joins[i][2]);
        mem_free(joined);
    }
    assert_string_equal(path_name("a/b/c.h5"), "c.h5");
    assert_string_equal(path_name("c.h5"), "c.h5");
    assert_true(path_has_suffix("X.PTH", ".pth"));
    assert_false(path_has_suffix("h5", ".weights.h5"));

    char *deep = path_join(folder, "p"), *file = path_join(folder, "p/file");
    assert_int_equal(file_make_folder(deep), GRAFT_OK);
    assert_int_equal(file_make_folder(deep), GRAFT_OK); // existing is fine
    assert_true(file_exists(deep));
    assert_int_equal(file_write_all(file, "x", 1), GRAFT_OK);
    assert_int_equal(file_make_folder(file), GRAFT_BAD_FILE); // but not an existing file
    check_message("create folder");
    unlink(file);
    mem_free(deep);
    mem_free(file);
}

static void test_digest_of_files(void **state)
{
    char path[300], text[DIGEST_TEXT];
    (void)state;
    snprintf(path, sizeof path, "%s/data", folder);
    assert_int_equal(file_write_all(path, "abc", 3), GRAFT_OK);
    assert_int_equal(digest_file(path, DIGEST_MD5, text), GRAFT_OK);
    assert_string_equal(text, "900150983cd24fb0d6963f7d28e17f72");
    assert_int_equal(digest_file(folder, DIGEST_MD5, text), GRAFT_BAD_FILE);
    check_message("Is a directory");
    snprintf(path, sizeof path, "%s/none", folder);
    assert_int_equal(digest_file(path, DIGEST_SHA256, text), GRAFT_BAD_FILE);
    check_message("none': No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_atomic_write, folder_empty),
                                       cmocka_unit_test_teardown(test_file_refusals, folder_empty),
                                       cmocka_unit_test_teardown(test_lock, folder_empty),
                                       cmocka_unit_test_teardown(test_trim_and_sweep, folder_empty),
                                       cmocka_unit_test_teardown(test_orphans, folder_empty),
                                       cmocka_unit_test_teardown(test_paths, folder_empty),
                                       cmocka_unit_test_teardown(test_digest_of_files, folder_empty)};
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}
