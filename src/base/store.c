// base/store.c: a folder of blobs by key.
// A file:  "graftblb" | u64 key a, b | u64 size | u64 XXH64 of the blob | the blob.  Little-endian machines only share
// with their like: a foreign byte order fails the checks.  Files appear whole, by renaming; they are not flushed, since
// one that a power cut left damaged fails its checksum.

#include "base/store.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { RESCANS = 16, STALE_SECONDS = 3600 }; // a writer that takes an hour for one blob is dead
enum { SPARE_SHARE = 32 };                   // of the disk: left free
struct head {
    char magic[8];
    struct store_key key;
    uint64_t size, hash;
};
struct store {
    char *folder;
    uint64_t most;
    time_t opened;
    long salt; // of temporary names: a process's number is not unique where containers share a folder
    atomic_uint_fast64_t used, since_scan, number;
    atomic_bool full;
    pthread_mutex_t scanning;
};
struct entry {
    char name[48];
    time_t used;
    uint64_t size;
};

static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->used != y->used ? (x->used > y->used) - (x->used < y->used) : strcmp(x->name, y->name);
}

// What is there, and, where that is too much, less of it.  Under the lock.
static void scan(struct store *s, uint64_t room)
{
    DIR *dir = opendir(s->folder);
    struct entry *entries = NULL;
    size_t n = 0, capacity = 0;
    uint64_t used = 0;
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        struct stat st;
        const bool temporary = strstr(e->d_name, ".tmp") != NULL, blob = path_has_suffix(e->d_name, ".blob");
        if ((!temporary && !blob) || strlen(e->d_name) >= sizeof entries->name ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (temporary) {
            if (st.st_mtime + STALE_SECONDS < time(NULL))
                unlinkat(dirfd(dir), e->d_name, 0);
            continue;
        }
        used += (uint64_t)st.st_size;
        if (st.st_mtime < s->opened && mem_grow(&entries, &capacity, n + 1, sizeof *entries)) {
            strcpy(entries[n].name, e->d_name);
            entries[n].used = st.st_mtime;
            entries[n++].size = (uint64_t)st.st_size;
        }
    }
    if (n > 0)
        qsort(entries, n, sizeof *entries, by_age);
    for (size_t i = 0; i < n && used + room > s->most; i++)
        if (unlinkat(dirfd(dir), entries[i].name, 0) == 0 || errno == ENOENT)
            used -= entries[i].size;
    mem_free(entries);
    if (dir != NULL)
        closedir(dir);
    atomic_store(&s->used, used);
    atomic_store(&s->since_scan, 0);
    atomic_store(&s->full, used + room > s->most || file_space(s->folder) < s->most / SPARE_SHARE);
}

graft_status store_open(const char *folder, uint64_t most, struct store **out)
{
    *out = NULL;
    TRY(file_make_folder(folder));
    struct store *s = mem_zero(1, sizeof *s);
    if (s == NULL || (s->folder = mem_text(folder)) == NULL) {
        mem_free(s);
        return fail_memory("a cache");
    }
    s->most = most;
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    s->opened = now.tv_sec;
    s->salt = now.tv_nsec;
    pthread_mutex_init(&s->scanning, NULL);
    scan(s, 0);
    *out = s;
    return GRAFT_OK;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    pthread_mutex_destroy(&s->scanning);
    mem_free(s->folder);
    mem_free(s);
}

static char *path_of(const struct store *s, struct store_key key)
{
    return mem_format("%s/%016llx%016llx.blob", s->folder, (unsigned long long)key.a, (unsigned long long)key.b);
}

static bool read_exactly(int fd, void *out, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t got = read(fd, (char *)out + at, size - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

// The blob of an open file; NULL: damaged, or no memory.
static void *blob_read(int fd, const struct stat *st, struct store_key key, size_t *size)
{
    struct head head;
    if (!S_ISREG(st->st_mode) || (uint64_t)st->st_size < sizeof head || !read_exactly(fd, &head, sizeof head) ||
        memcmp(head.magic, "graftblb", 8) != 0 || head.key.a != key.a || head.key.b != key.b ||
        head.size != (uint64_t)st->st_size - sizeof head)
        return NULL;
    void *blob = mem_alloc((size_t)head.size);
    if (blob == NULL || !read_exactly(fd, blob, (size_t)head.size) ||
        hash_of((bytes){blob, (size_t)head.size}) != head.hash) {
        mem_free(blob);
        return NULL;
    }
    *size = (size_t)head.size;
    return blob;
}

bool store_get(struct store *s, struct store_key key, bytes *out)
{
    char *path = path_of(s, key);
    const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    struct stat st;
    void *blob = NULL;
    size_t size = 0;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        blob = blob_read(fd, &st, key, &size);
        if (blob == NULL)
            unlink(path);
        else if (st.st_mtime < s->opened)
            futimens(fd, NULL); // in use: another process's store may not throw it away as old
    }
    if (fd >= 0)
        close(fd);
    mem_free(path);
    *out = (bytes){blob, size};
    return blob != NULL;
}

static bool room_for(struct store *s, uint64_t size)
{
    if (atomic_load(&s->full))
        return false;
    if (atomic_load(&s->used) + size > s->most || atomic_fetch_add(&s->since_scan, size) + size > s->most / RESCANS) {
        pthread_mutex_lock(&s->scanning);
        if (atomic_load(&s->used) + size > s->most || atomic_load(&s->since_scan) > s->most / RESCANS)
            scan(s, size);
        pthread_mutex_unlock(&s->scanning);
    }
    return !atomic_load(&s->full);
}

void store_put(struct store *s, struct store_key key, const void *head, size_t head_size, const void *tail,
               size_t tail_size)
{
    struct head h = {"graftblb", key, head_size + tail_size, 0};
    struct hash hash;
    if (!room_for(s, sizeof h + h.size))
        return;
    hash_init(&hash);
    hash_put(&hash, head, head_size);
    hash_put(&hash, tail, tail_size);
    h.hash = hash_end(&hash);
    char *path = path_of(s, key);
    char *temporary = mem_format("%s/%ld-%ld-%llu.tmp", s->folder, (long)getpid(), s->salt,
                                 (unsigned long long)atomic_fetch_add(&s->number, 1));
    const int fd = path != NULL && temporary != NULL
                       ? open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        const bool whole = file_put(fd, temporary, &h, sizeof h) == GRAFT_OK &&
                           file_put(fd, temporary, head, head_size) == GRAFT_OK &&
                           file_put(fd, temporary, tail, tail_size) == GRAFT_OK;
        if (close(fd) == 0 && whole && rename(temporary, path) == 0)
            atomic_fetch_add(&s->used, sizeof h + h.size);
        else {
            unlink(temporary);
            atomic_store(&s->full, true); // the disk, most likely
        }
    }
    mem_free(path);
    mem_free(temporary);
}
