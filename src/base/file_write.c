// base/file_write.c: files that appear whole or not at all, files that grow.  All writing goes through the table, so
// tests can fail any call.

#include "base/file.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_file(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
// link() would make another name of a symbolic link, which leads nowhere from another folder.
static int link_file(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
}
struct file_table file_ops = {open_file, write, fsync, close, rename, unlink, truncate, link_file};
static const char temporary_mark[] = ".tmp-";

// Removes what writers of this very file have left that died here.
static graft_status sweep_of(const char *path)
{
    const char *name = path_name(path);
    const size_t length = strlen(name);
    char *folder = name > path ? mem_format("%.*s", (int)(name - path), path) : mem_text(".");
    if (folder == NULL)
        return fail_memory("a path");
    graft_status status = GRAFT_OK;
    DIR *d = opendir(folder);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, name, length) != 0 ||
            strncmp(e->d_name + length, temporary_mark, sizeof temporary_mark - 1) != 0)
            continue;
        char *end;
        const long process = strtol(e->d_name + length + sizeof temporary_mark - 1, &end, 10);
        if (*end != '\0' || process <= 0 || kill((pid_t)process, 0) == 0 || errno != ESRCH)
            continue;
        char *left = path_join(folder, e->d_name);
        if (left == NULL) {
            status = fail_memory("a path");
            break;
        }
        file_ops.unlink(left);
        mem_free(left);
    }
    if (d != NULL)
        closedir(d);
    mem_free(folder);
    return status;
}

void file_sweep(const char *folder)
{
    DIR *d = opendir(folder);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char *path = strstr(e->d_name, temporary_mark) != NULL ? path_join(folder, e->d_name) : NULL;
        if (path != NULL)
            file_ops.unlink(path);
        mem_free(path);
    }
    if (d != NULL)
        closedir(d);
}

bool file_special(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

graft_status file_writable(const char *path)
{
    struct stat st;
    const bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return fail(GRAFT_BAD_FILE, "cannot write '%s': it is a folder; a file is expected", path);
    if (file_special(path))
        return access(path, W_OK) == 0 ? GRAFT_OK : fail_system("write", path);
    const int folder = (int)(path_name(path) - path);
    char *in = folder > 0 ? mem_format("%.*s", folder, path) : mem_text(".");
    if (in == NULL)
        return fail_memory("a path");
    const graft_status status = access(in, W_OK | X_OK) == 0 ? GRAFT_OK : fail_system("write", path);
    mem_free(in);
    return status;
}

// Everything but the file.
static graft_status writer_begin(const char *path, bool direct, struct file_writer *out)
{
    *out = (struct file_writer){.fd = -1, .direct = direct};
    out->path = mem_text(path);
    out->temporary = out->direct ? mem_text(path) : mem_format("%s%s%ld", path, temporary_mark, (long)getpid());
    if (out->path == NULL || out->temporary == NULL) {
        file_writer_abandon(out);
        return fail_memory("a file name");
    }
    const graft_status swept = out->direct ? GRAFT_OK : sweep_of(path);
    if (swept != GRAFT_OK) {
        file_writer_abandon(out);
        return swept;
    }
    return GRAFT_OK;
}

static graft_status writer_create(struct file_writer *w)
{
    w->fd = file_ops.open(w->temporary, O_WRONLY | O_CLOEXEC | (w->direct ? 0 : O_CREAT | O_TRUNC), 0666);
    if (w->fd >= 0)
        return GRAFT_OK;
    const graft_status status = fail_system(w->direct ? "open" : "create", w->path); // not our scratch file
    mem_free(w->temporary);
    w->temporary = NULL;
    file_writer_abandon(w);
    return status;
}

graft_status file_writer_open(const char *path, struct file_writer *out)
{
    TRY(writer_begin(path, file_special(path), out));
    return writer_create(out);
}

// All of it is on the disk.
static graft_status writer_end(struct file_writer *w)
{
    if (w->fd < 0)
        return GRAFT_OK;
    if (!w->direct && file_ops.fsync(w->fd) != 0)
        return fail_system("flush", w->temporary);
    const int fd = w->fd;
    w->fd = -1;
    return file_ops.close(fd) == 0 ? GRAFT_OK : fail_system("close", w->temporary);
}

graft_status file_writer_copy(const char *from, const char *path, struct file_writer *out)
{
    struct file_map map = {0};
    graft_status status = GRAFT_OK;
    TRY(writer_begin(path, false, out));
    file_ops.unlink(out->temporary); // of a process that had our number, on another machine
    if (file_ops.link(from, out->temporary) == 0)
        return GRAFT_OK;
    TRY_GOTO(file_map_open(from, &map));
    TRY_GOTO(writer_create(out));
    TRY_GOTO(file_writer_put(out, map.data.ptr, map.data.size));
    TRY_GOTO(writer_end(out));
done:
    file_map_close(&map);
    if (status != GRAFT_OK)
        file_writer_abandon(out);
    return status;
}

graft_status file_put(int fd, const char *path, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        const ssize_t put = file_ops.write(fd, at, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = ENOSPC; // took nothing and says no reason: asking again would spin
        if (put <= 0)
            return fail_system("write", path);
        at += put;
        size -= (size_t)put;
    }
    return GRAFT_OK;
}

graft_status file_writer_put(struct file_writer *w, const void *data, size_t size)
{
    w->size += size;
    return file_put(w->fd, w->temporary, data, size);
}

// Filesystems that cannot flush a folder say EINVAL; that is not a failure of the write.
graft_status file_flush_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? mem_text(".") : mem_format("%.*s", (int)(slash - path + 1), path);
    if (folder == NULL)
        return fail_memory("a folder name");
    graft_status status = GRAFT_OK;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (file_ops.fsync(fd) != 0 && errno != EINVAL))
        status = fail_system("flush", folder);
    if (fd >= 0)
        close(fd);
    mem_free(folder);
    return status;
}

graft_status file_writer_commit(struct file_writer *w)
{
    graft_status status = GRAFT_OK;
    const bool copied = w->fd < 0;
    TRY_GOTO(writer_end(w));
    if (!w->direct && file_ops.rename(w->temporary, w->path) != 0)
        TRY_GOTO(fail_system("rename", w->temporary));
    if (copied)
        file_ops.unlink(w->temporary); // rename() leaves both of two names of the same file
    mem_free(w->temporary);
    w->temporary = NULL;
    status = w->direct || w->loose ? GRAFT_OK : file_flush_folder(w->path);
done:
    file_writer_abandon(w);
    return status;
}

void file_writer_abandon(struct file_writer *w)
{
    if (w->temporary != NULL) {
        if (w->fd >= 0)
            file_ops.close(w->fd);
        if (!w->direct)
            file_ops.unlink(w->temporary);
    }
    mem_free(w->path);
    mem_free(w->temporary);
    *w = (struct file_writer){.fd = -1};
}

static graft_status write_all(const char *path, const void *data, size_t size, bool loose)
{
    struct file_writer w;
    TRY(file_writer_open(path, &w));
    w.loose = loose;
    const graft_status status = file_writer_put(&w, data, size);
    if (status != GRAFT_OK) {
        file_writer_abandon(&w);
        return status;
    }
    return file_writer_commit(&w);
}

graft_status file_write_all(const char *path, const void *data, size_t size)
{
    return write_all(path, data, size, false);
}

graft_status file_write_loose(const char *path, const void *data, size_t size)
{
    return write_all(path, data, size, true);
}

graft_status file_append(const char *path, const void *data, size_t size)
{
    const int fd = file_ops.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_system("open", path);
    graft_status status = file_put(fd, path, data, size);
    if (file_ops.close(fd) != 0 && status == GRAFT_OK)
        status = fail_system("close", path);
    return status;
}

graft_status file_rename(const char *from, const char *to)
{
    if (file_ops.rename(from, to) != 0)
        return fail_system("rename", from);
    return file_flush_folder(to);
}

graft_status file_flush(const char *path)
{
    const int fd = file_ops.open(path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fail_system("open", path);
    graft_status status = file_ops.fsync(fd) == 0 ? GRAFT_OK : fail_system("flush", path);
    if (file_ops.close(fd) != 0 && status == GRAFT_OK)
        status = fail_system("close", path);
    return status;
}

graft_status file_trim(const char *path, uint64_t size)
{
    return file_ops.truncate(path, (off_t)size) == 0 ? GRAFT_OK : fail_system("shorten", path);
}
