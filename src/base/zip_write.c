// base/zip_write.c: ZIP archives of stored members, in one pass through file_writer.
// Grammar:  member: "PK" 3 4 head, name, data, "PK" 7 8 descriptor (checksum and sizes, which the head could not know)
//           directory: "PK" 1 2 entry a member, then "PK" 5 6 with their number, size and place
// Source:   PKWARE's APPNOTE; without ZIP64: members and archives of less than 4 GiB.  libzip would write to a file of its
//           own choosing, past the file table.

#include "base/memory.h"
#include "base/zip.h"
#include <string.h>
#include <zlib.h>

enum { VERSION = 20, FLAG_DESCRIPTOR = 1 << 3, FLAG_UTF8 = 1 << 11, DATE_1980 = 1 << 5 | 1, HEAD_LIMIT = 64 };
static const int flags = FLAG_DESCRIPTOR | FLAG_UTF8;

struct zip_entry {
    char *name;
    uint64_t at, size;
    uint32_t crc;
};
struct head {
    uint8_t bytes[HEAD_LIMIT];
    size_t size;
};

static void put(struct head *h, uint64_t value, int size)
{
    ASSERT(h->size + (size_t)size <= HEAD_LIMIT);
    for (int i = 0; i < size; i++)
        h->bytes[h->size++] = (uint8_t)(value >> (8 * i));
}

// What a member's head and its directory entry share.
static void put_common(struct head *h, uint32_t crc, uint64_t size, size_t name)
{
    put(h, VERSION, 2);
    put(h, (uint64_t)flags, 2);
    put(h, 0, 2); // stored
    put(h, 0, 2); // no time: the same model gives the same file
    put(h, DATE_1980, 2);
    put(h, crc, 4);
    put(h, size, 4);
    put(h, size, 4);
    put(h, name, 2);
    put(h, 0, 2); // no extra field
}

static graft_status member_end(struct zip_writer *w)
{
    if (w->count == 0)
        return GRAFT_OK;
    const struct zip_entry *e = &w->entries[w->count - 1];
    struct head h = {0};
    if (w->file->size >= UINT32_MAX)
        return fail(GRAFT_BAD_FILE, "a ZIP archive of 4 GiB or more is not written");
    put(&h, 0x08074b50, 4);
    put(&h, e->crc, 4);
    put(&h, e->size, 4);
    put(&h, e->size, 4);
    return file_writer_put(w->file, h.bytes, h.size);
}

graft_status zip_writer_member(struct zip_writer *w, const char *name)
{
    TRY(member_end(w));
    char *copy = mem_text(name);
    if (copy == NULL || !mem_grow(&w->entries, &w->capacity, w->count + 1, sizeof *w->entries)) {
        mem_free(copy);
        return fail_memory("an archive");
    }
    w->entries[w->count++] = (struct zip_entry){.name = copy, .at = w->file->size, .crc = (uint32_t)crc32(0, NULL, 0)};
    struct head h = {0};
    put(&h, 0x04034b50, 4);
    put_common(&h, 0, 0, strlen(name));
    TRY(file_writer_put(w->file, h.bytes, h.size));
    return file_writer_put(w->file, name, strlen(name));
}

graft_status zip_writer_put(struct zip_writer *w, const void *data, size_t size)
{
    ASSERT(w->count > 0);
    struct zip_entry *e = &w->entries[w->count - 1];
    e->crc = (uint32_t)crc32_z(e->crc, data, size);
    e->size += size;
    return file_writer_put(w->file, data, size);
}

graft_status zip_writer_finish(struct zip_writer *w)
{
    TRY(member_end(w));
    const uint64_t begin = w->file->size;
    for (size_t i = 0; i < w->count; i++) {
        const struct zip_entry *e = &w->entries[i];
        struct head h = {0};
        put(&h, 0x02014b50, 4);
        put(&h, VERSION, 2);
        put_common(&h, e->crc, e->size, strlen(e->name));
        put(&h, 0, 2); // no comment
        put(&h, 0, 2); // disk
        put(&h, 0, 2); // attributes
        put(&h, 0, 4);
        put(&h, e->at, 4);
        TRY(file_writer_put(w->file, h.bytes, h.size));
        TRY(file_writer_put(w->file, e->name, strlen(e->name)));
    }
    struct head h = {0};
    put(&h, 0x06054b50, 4);
    put(&h, 0, 4); // disks
    put(&h, w->count, 2);
    put(&h, w->count, 2);
    put(&h, w->file->size - begin, 4);
    put(&h, begin, 4);
    put(&h, 0, 2); // no comment
    return file_writer_put(w->file, h.bytes, h.size);
}

void zip_writer_fini(struct zip_writer *w)
{
    for (size_t i = 0; i < w->count; i++)
        mem_free(w->entries[i].name);
    mem_free(w->entries);
    *w = (struct zip_writer){0};
}
