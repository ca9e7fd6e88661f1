// base/zip.h: ZIP archives: reading (.pth, .npz, .keras) from bounded bytes through libzip, and writing (.keras).
// Stored members can be borrowed without a copy; any can be copied, or inflated, under a limit.
#pragma once

#include "base/file.h"

struct zip_archive;
graft_status zip_open_bytes(bytes data, const char *what, struct zip_archive **out);
void zip_archive_free(struct zip_archive *archive);
size_t zip_count(const struct zip_archive *archive);
const char *zip_name(const struct zip_archive *archive, size_t index);
// Member's bytes, their checksum checked, as a copy: `*owned` is heap to mem_free.  Refuses encrypted members and those
// larger than `limit`.
graft_status zip_member(struct zip_archive *archive, size_t index, size_t limit, bytes *out, void **owned);
// The same without a copy, where the member is stored: `out` lies in the archive's bytes, at any alignment.  `*found` is
// false where it is compressed, or too large for the plain format.
graft_status zip_borrow(struct zip_archive *archive, size_t index, bytes *out, bool *found);

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
