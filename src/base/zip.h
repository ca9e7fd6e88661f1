// base/zip.h: reading ZIP archives (.pth, .npz, .keras) from bounded bytes through libzip.
// Stored members can be borrowed without a copy; compressed ones are inflated under a limit.
#pragma once

#include "base/bytes.h"

struct zip_archive;
graft_status zip_open_bytes(bytes data, const char *what, struct zip_archive **out);
void zip_archive_free(struct zip_archive *archive);
size_t zip_count(const struct zip_archive *archive);
const char *zip_name(const struct zip_archive *archive, size_t index);
// Member's bytes, CRC checked when inflated.  `*owned` is heap to mem_free, or NULL when `out` borrows the archive's
// bytes.  Refuses encrypted members and those larger than `limit`.
graft_status zip_member(struct zip_archive *archive, size_t index, size_t limit, bytes *out, void **owned);
