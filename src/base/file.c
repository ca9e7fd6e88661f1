// base/file.c: mapping, hashing, locks, folders, paths; what writes is in file_write.c.

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapping.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

graft_status fail_system(const char *verb, const char *path)
{
    const int error = errno;
    const bool ours = error == ENOSPC || error == EDQUOT || error == EIO || error == EROFS || error == ENOMEM;
    return fail(ours ? GRAFT_NO_RESOURCE : GRAFT_BAD_FILE, "cannot %s '%s': %s", verb, path, strerror(error));
}

static graft_status read_whole(int fd, const char *path, struct file_map *out)
{
    uint8_t *copy = mem_alloc(out->data.size);
    size_t at = 0;
    if (copy == NULL)
        return fail_memory(path);
    while (at < out->data.size) {
        const ssize_t got = read(fd, copy + at, out->data.size - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            mem_free(copy);
            return got == 0 ? fail(GRAFT_BAD_FILE, "'%s' shrank while it was read", path) : fail_system("read", path);
        }
        at += (size_t)got;
    }
    out->data.ptr = copy;
    return GRAFT_OK;
}

// Files up to `copied` bytes are read into memory, larger ones mapped, those of more than `most` refused.
static graft_status open_whole(const char *path, size_t copied, size_t most, struct file_map *out)
{
    *out = (struct file_map){0};
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); // a FIFO without a writer must not hang us
    if (fd < 0)
        return fail_system("open", path);
    struct stat st;
    graft_status status = GRAFT_OK;
    if (fstat(fd, &st) != 0)
        status = fail_system("inspect", path);
    else if (S_ISDIR(st.st_mode))
        status = fail(GRAFT_BAD_FILE, "'%s' is a folder; expected a file", path);
    else if (!S_ISREG(st.st_mode))
        status = fail(GRAFT_BAD_FILE, "'%s' is not a regular file (a pipe, socket or device)", path);
    else if ((uint64_t)st.st_size > most)
        status = fail(GRAFT_BAD_FILE, "'%s' is too large: %.0f MB, at most %.0f are read", path,
                      (double)st.st_size / 1e6, (double)most / 1e6);
    else {
        out->data.size = (size_t)st.st_size;
        void *mapping = MAP_FAILED;
        if ((size_t)st.st_size > copied)
            mapping = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapping != MAP_FAILED && !mapping_guard(mapping, (size_t)st.st_size)) {
            munmap(mapping, (size_t)st.st_size);
            mapping = MAP_FAILED;
        }
        if (mapping != MAP_FAILED) {
            out->mapping = mapping;
            out->data.ptr = mapping;
        } else
            status = read_whole(fd, path, out);
    }
    close(fd);
    if (status != GRAFT_OK)
        *out = (struct file_map){0};
    return status;
}

graft_status file_map_open(const char *path, struct file_map *out)
{
    return open_whole(path, 1 << 20, SIZE_MAX, out); // small files are cheaper copied, and cannot vanish under us
}

graft_status file_read(const char *path, size_t most, struct file_map *out)
{
    return open_whole(path, most, most, out);
}

void file_map_close(struct file_map *map)
{
    if (map->mapping != NULL) {
        mapping_forget(map->mapping);
        munmap(map->mapping, map->data.size);
    } else
        mem_free((void *)map->data.ptr);
    *map = (struct file_map){0};
}

uint64_t file_space(const char *folder)
{
    struct statvfs disk;
    return statvfs(folder, &disk) == 0 ? (uint64_t)disk.f_bavail * disk.f_frsize : UINT64_MAX;
}

graft_status file_size(const char *path, uint64_t *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return fail_system("inspect", path);
    *out = (uint64_t)st.st_size;
    return GRAFT_OK;
}

graft_status file_hash(const char *path, uint64_t *out, uint8_t *tail, size_t tail_size)
{
    return file_hash_from(path, 0, out, tail, tail_size);
}

graft_status file_hash_from(const char *path, uint64_t begin, uint64_t *out, uint8_t *tail, size_t tail_size)
{
    enum { PIECE = 1 << 18 };
    struct hash h;
    graft_status status = GRAFT_OK;
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    uint8_t *piece = NULL;
    size_t held = 0; // in the piece, not yet hashed: what may turn out to be the tail
    hash_init(&h);
    if (fd < 0)
        TRY_GOTO(fail_system("open", path));
    if (begin > 0 && (begin > INT64_MAX || lseek(fd, (off_t)begin, SEEK_SET) < 0))
        TRY_GOTO(fail_system("read", path));
    piece = mem_alloc(PIECE + tail_size);
    if (piece == NULL)
        TRY_GOTO(fail_memory(path));
    for (;;) {
        const ssize_t got = read(fd, piece + held, PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            TRY_GOTO(fail_system("read", path));
        if (got == 0)
            break;
        held += (size_t)got;
        if (held > tail_size) {
            hash_put(&h, piece, held - tail_size);
            memmove(piece, piece + held - tail_size, tail_size);
            held = tail_size;
        }
    }
    if (held < tail_size)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is cut short: %zu bytes", path, held));
    if (tail_size > 0)
        memcpy(tail, piece, tail_size);
    *out = hash_end(&h);
done:
    mem_free(piece);
    if (fd >= 0)
        close(fd);
    return status;
}

graft_status file_lock(const char *folder, int *fd)
{
    char *path = path_join(folder, ".lock"), holder[32] = "";
    graft_status status = GRAFT_OK;
    *fd = -1;
    if (path == NULL)
        return fail_memory("a path");
    *fd = file_ops.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        TRY_GOTO(fail_system("create", path));
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
        const int length = snprintf(holder, sizeof holder, "%ld\n", (long)getpid());
        if (file_ops.truncate(path, 0) != 0 || file_ops.write(*fd, holder, (size_t)length) != length)
            status = fail_system("write", path);
    } else if (errno == EWOULDBLOCK) {
        const ssize_t got = read(*fd, holder, sizeof holder - 1);
        status =
            fail(GRAFT_BAD_FILE, "'%s' is in use by another run (process %ld); wait for it, or name another folder",
                 folder, got > 0 ? strtol(holder, NULL, 10) : 0);
    } else // a filesystem without locks
        log_warning("'%s' cannot be locked (%s); do not start a second run in it", folder, strerror(errno));
done:
    if (status != GRAFT_OK) {
        file_unlock(*fd);
        *fd = -1;
    }
    mem_free(path);
    return status;
}

void file_unlock(int fd)
{
    if (fd >= 0)
        file_ops.close(fd);
}

long file_holder(const char *folder)
{
    char *path = path_join(folder, ".lock"), text[32] = "";
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    mem_free(path);
    if (file == NULL)
        return -1;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const long process = strtol(text, NULL, 10);
    return process > 0 && (kill((pid_t)process, 0) == 0 || errno == EPERM) ? process : 0;
}

graft_status file_make_folder(const char *path)
{
    char *copy = mem_text(path);
    graft_status status = GRAFT_OK;
    if (copy == NULL)
        return fail_memory("a folder name");
    for (char *at = copy + 1; status == GRAFT_OK; at++) {
        const char kept = *at;
        if (kept != '/' && kept != '\0')
            continue;
        *at = '\0';
        struct stat st;
        if (mkdir(copy, 0777) != 0 && (errno != EEXIST || stat(copy, &st) != 0 || !S_ISDIR(st.st_mode))) {
            errno = errno == EEXIST ? ENOTDIR : errno;
            status = fail_system("create folder", copy);
        }
        *at = kept;
        if (kept == '\0')
            break;
    }
    mem_free(copy);
    return status;
}

graft_status file_make_new_folder(const char *path, bool *made)
{
    *made = mkdir(path, 0777) == 0;
    return *made || errno == EEXIST ? GRAFT_OK : fail_system("create folder", path);
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

char *path_join(const char *folder, const char *name)
{
    if (name[0] == '/' || folder[0] == '\0')
        return mem_text(name);
    return mem_format(folder[strlen(folder) - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

bool path_has_suffix(const char *path, const char *suffix)
{
    const size_t a = strlen(path), b = strlen(suffix);
    return a >= b && strcasecmp(path + a - b, suffix) == 0;
}

graft_status path_listed(const char *path, const char *folder, char **out)
{
    const char *name = path_name(path);
    char *parent = name > path ? mem_format("%.*s", (int)(name - path), path) : mem_text(".");
    char *there = parent != NULL ? realpath(parent, NULL) : NULL, *here = realpath(folder, NULL);
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (parent == NULL)
        status = fail_memory("a path");
    else if (there == NULL || here == NULL)
        status = fail_system("find", there == NULL ? parent : folder);
    if (status == GRAFT_OK) {
        const size_t length = strcmp(here, "/") == 0 ? 0 : strlen(here);
        const bool below = strncmp(there, here, length) == 0 && (there[length] == '/' || there[length] == '\0');
        const char *rest = there + length + (there[length] == '/');
        *out = below ? mem_format("%s%s%s", rest, rest[0] != '\0' ? "/" : "", name)
                     : mem_format("%s/%s", strcmp(there, "/") == 0 ? "" : there, name);
        status = *out != NULL ? GRAFT_OK : fail_memory("a path");
    }
    free(there);
    free(here);
    mem_free(parent);
    return status;
}

graft_status cache_folder(char **out)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *out = NULL;
    if (cache != NULL && cache[0] == '/') // the standard: a relative one is to be ignored
        *out = mem_format("%s/graft", cache);
    else if (home != NULL && home[0] == '/')
        *out = mem_format("%s/.cache/graft", home);
    else
        return fail(GRAFT_BAD_FILE, "there is no folder for caches: neither XDG_CACHE_HOME nor HOME is one");
    return *out != NULL ? GRAFT_OK : fail_memory("a folder name");
}
