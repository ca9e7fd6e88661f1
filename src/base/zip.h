// base/zip.h: ZIP archives: reading (.pth, .npz, .keras) from bounded bytes through libzip, and writing (.keras).
// Stored members can be borrowed without a copy; compressed ones are inflated under a limit.
#pragma once

#include "base/file.h"

struct zip_archive;
graft_status zip_open_bytes(bytes data, const char *what, struct zip_archive **out);
void zip_archive_free(struct zip_archive *archive);
size_t zip_count(const struct zip_archive *archive);
const char *zip_name(const struct zip_archive *archive, size_t index);
// Member's bytes, CRC checked when inflated.  `*owned` is heap to mem_free, or NULL when `out` borrows the archive's
// bytes.  Refuses encrypted members and those larger than `limit`.
graft_status zip_member(struct zip_archive *archive, size_t index, size_t limit, bytes *out, void **owned);

// Writing one, of stored members whose sizes need not be known before, through an open file_writer.
struct zip_writer {
    struct file_writer *file; // borrowed
    struct zip_entry *entries;
    size_t count, capacity;
};
graft_status zip_writer_member(struct zip_writer *w, const char *name); // ends the one before
graft_status zip_writer_put(struct zip_writer *w, const void *data, size_t size);
graft_status zip_writer_finish(struct zip_writer *w); // the directory; the file is the caller's to commit
void zip_writer_fini(struct zip_writer *w);
