// data/archive.h: private to data/: members of tar and zip archives, read one by one without unpacking.
#pragma once

#include "base/file.h"

struct archive;
struct member {
    const struct archive *archive;
    char *name;              // as the archive has it, '/' between folders
    uint64_t offset, packed; // of its bytes (tar) or its local header (zip)
    uint64_t size;
    uint32_t crc;
    uint16_t method; // zip's: 0 stored, 8 deflated; tar: METHOD_TAR
    bool encrypted;
};
enum { METHOD_TAR = 0xffff };
// Lists regular files in the archive's order.  *out keeps the file open: members are read by position, so that a file
// that is cut meanwhile is an error, not a signal.
graft_status archive_open(const char *path, struct archive **out);
void archive_free(struct archive *a);
const struct member *archive_members(const struct archive *a, size_t *n);
// Whole in memory, checked against its checksum; `name` is for messages.  Refuses more than `most` bytes.  Any thread.
graft_status member_read(const struct member *m, const char *name, size_t most, struct file_map *out);
bool archive_recognises(const char *path); // by the name: .zip, .tar
