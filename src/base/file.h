// base/file.h: the one file-operation table, whole-file mapping, atomic writing, paths.
// Messages name the file and the system's reason.
#pragma once

#include "base/bytes.h"
#include <sys/types.h>

struct file_table { // system calls of writing; tests replace them to fail any call
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *data, size_t size);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*truncate)(const char *path, off_t size);
    int (*link)(const char *from, const char *to); // of what `from` leads to
};
extern struct file_table file_ops;
// "cannot VERB 'PATH': errno's text"; GRAFT_NO_RESOURCE where the disk or the memory is the reason, else
// GRAFT_BAD_FILE.
graft_status fail_system(const char *verb, const char *path);

// A regular file mapped read-only (or read into memory when mapping fails or the file is small).  What is cut off it
// meanwhile reads as zeros (base/mapping.h).
struct file_map {
    bytes data;
    void *mapping; // NULL: `data` is a heap copy
};
graft_status file_map_open(const char *path, struct file_map *out); // refuses what is not a regular file; never blocks
// The same, always into memory: nobody can change or cut it while it is used.  Refuses more than `most` bytes.
graft_status file_read(const char *path, size_t most, struct file_map *out);
void file_map_close(struct file_map *map);                          // a zeroed one is fine

// Whether a file could be written there, before the work whose result goes into it; changes nothing.
graft_status file_writable(const char *path);
bool file_special(const char *path); // it is there and neither a file nor a folder: /dev/stdout, a pipe
// Writes to "path.tmp-PID", flushes, renames over `path`, flushes the folder.  The old file stays on any failure.  What
// such a writer left that was killed goes when the next one begins.  What is there and no file (/dev/stdout, a pipe) is
// written to as it is.
struct file_writer {
    char *path, *temporary;
    bool direct; // temporary is path
    bool loose;  // the folder is not flushed
    int fd;      // -1: of a copy, which is whole already
    uint64_t size;
};
graft_status file_writer_open(const char *path, struct file_writer *out);
// One that has the content of the file `from` already: by a link to it where the disk allows, else copied and flushed.
// `from` may be `path`, or be replaced by another writer's commit meanwhile.
graft_status file_writer_copy(const char *from, const char *path, struct file_writer *out);
graft_status file_writer_put(struct file_writer *w, const void *data, size_t size);
graft_status file_writer_commit(struct file_writer *w); // releases in any case
void file_writer_abandon(struct file_writer *w);        // after a failed put; a zeroed one is fine

// The steps of the above, for files that grow in place.
graft_status file_put(int fd, const char *path, const void *data, size_t size); // all of it, where the file stands
graft_status file_flush_folder(const char *path); // of the file `path`: makes a rename durable

graft_status file_write_all(const char *path, const void *data, size_t size); // atomic, by the above
// Atomic as well; but which of the two, whole either way, a power cut leaves is open until the folder's next flush.
graft_status file_write_loose(const char *path, const void *data, size_t size);
graft_status file_append(const char *path, const void *data, size_t size);
graft_status file_rename(const char *from, const char *to); // durable: the folder is flushed
graft_status file_flush(const char *path);                  // what was appended so far is on the disk
graft_status file_trim(const char *path, uint64_t size);    // cuts off what is past `size`
uint64_t file_space(const char *folder);                     // bytes left on its disk for us; UINT64_MAX: not known
graft_status file_size(const char *path, uint64_t *out);
// XXH64 of the content but its last `tail_size` bytes, which go to `tail`.  Read in pieces, so no memory is taken.
graft_status file_hash(const char *path, uint64_t *out, uint8_t *tail, size_t tail_size);
// The same of what follows the first `begin` bytes.
graft_status file_hash_from(const char *path, uint64_t begin, uint64_t *out, uint8_t *tail, size_t tail_size);
// Takes the folder for this process: `*fd` holds it until it is closed or the process dies, however it dies.  Fails
// with GRAFT_BAD_FILE when another process has it.
graft_status file_lock(const char *folder, int *fd);
void file_unlock(int fd); // -1 is fine
// The process that holds the folder, by what it wrote down: 0: none does any more; -1: nobody ever took it.  Takes
// nothing itself, so that it cannot get in the way of one who does.
long file_holder(const char *folder);
void file_sweep(const char *folder);                        // removes what writers that died have left in it
graft_status file_make_folder(const char *path);                              // and its parents; existing is fine
graft_status file_make_new_folder(const char *path, bool *made);              // false: something is there already
bool file_exists(const char *path);
char *path_join(const char *folder, const char *name); // heap; an absolute `name` wins; NULL: no memory
const char *path_name(const char *path);               // after the last slash
bool path_has_suffix(const char *path, const char *suffix); // ignoring case
// How a list in `folder` names a file that is there: what lies below the folder relative
// to it, so that both may move together, anything else absolutely.  *out: heap.
graft_status path_listed(const char *path, const char *folder, char **out);
// $XDG_CACHE_HOME/graft, else ~/.cache/graft: heap; need not exist.
graft_status cache_folder(char **out);
