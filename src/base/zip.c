// base/zip.c: ZIP archives through libzip, over bounded bytes.  Members are inflated into blocks of their own, under a
// limit that is checked against the stated size first; libzip checks the CRC while reading.
// libzip does not say where a stored member lies, so zip_borrow looks it up in the directory itself:
//   end: "PK" 5 6, +10 entries, +12 size, +16 offset of the directory | entry: "PK" 1 2, +10 method, +16 CRC, +20 size,
//   +28 lengths of name, extra, comment, +42 offset of the member's head, +46 name | head: "PK" 3 4, +26 lengths, name

#include "base/zip.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

struct zip_archive {
    zip_t *zip;
    char *what;
    bytes data;
};

graft_status zip_open_bytes(bytes data, const char *what, struct zip_archive **out)
{
    zip_error_t error;
    *out = NULL;
    if (data.size == 0) // libzip would take it for an archive without members
        return fail(GRAFT_BAD_FILE, "%s: not a sound ZIP archive: it is empty", what);
    struct zip_archive *a = mem_zero(1, sizeof *a);
    char *name = mem_text(what);
    if (a == NULL || name == NULL) {
        mem_free(a);
        mem_free(name);
        return fail_memory("an archive");
    }
    a->what = name;
    a->data = data;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(data.ptr, data.size, 0, &error);
    if (source != NULL)
        a->zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    if (a->zip == NULL) {
        fail(GRAFT_BAD_FILE, "%s: not a sound ZIP archive: %s", what, zip_error_strerror(&error));
        if (source != NULL)
            zip_source_free(source);
        zip_error_fini(&error);
        zip_archive_free(a);
        return GRAFT_BAD_FILE;
    }
    zip_error_fini(&error);
    *out = a;
    return GRAFT_OK;
}

void zip_archive_free(struct zip_archive *a)
{
    if (a == NULL)
        return;
    if (a->zip != NULL)
        zip_discard(a->zip);
    mem_free(a->what);
    mem_free(a);
}

size_t zip_count(const struct zip_archive *a)
{
    const zip_int64_t n = zip_get_num_entries(a->zip, 0);
    return n > 0 ? (size_t)n : 0;
}

const char *zip_name(const struct zip_archive *a, size_t index)
{
    const char *name = zip_get_name(a->zip, index, ZIP_FL_ENC_RAW);
    return name != NULL ? name : "";
}

graft_status zip_member(struct zip_archive *a, size_t index, size_t limit, bytes *out, void **owned)
{
    zip_stat_t st;
    *out = (bytes){0};
    *owned = NULL;
    if (zip_stat_index(a->zip, index, 0, &st) != 0 || !(st.valid & ZIP_STAT_SIZE))
        return fail(GRAFT_BAD_FILE, "%s: member %zu has no stated size", a->what, index);
    if (st.size > limit)
        return fail(GRAFT_BAD_FILE, "%s: member '%s' is %llu bytes, more than the %zu expected", a->what,
                    zip_name(a, index), (unsigned long long)st.size, limit);
    if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
        return fail(GRAFT_BAD_FILE, "%s: member '%s' is encrypted", a->what, zip_name(a, index));
    uint8_t *block = mem_alloc((size_t)st.size);
    if (block == NULL)
        return fail_memory(a->what);
    zip_file_t *file = zip_fopen_index(a->zip, index, 0);
    zip_int64_t got = -1;
    char extra;
    if (file != NULL) {
        got = zip_fread(file, block, st.size);
        if (got == (zip_int64_t)st.size && zip_fread(file, &extra, 1) != 0) // the end checks the CRC
            got = -1;
        zip_fclose(file);
    }
    if (got != (zip_int64_t)st.size) {
        mem_free(block);
        return fail(GRAFT_BAD_FILE, "%s: member '%s' is damaged (size or checksum)", a->what, zip_name(a, index));
    }
    *out = (bytes){block, (size_t)st.size};
    *owned = block;
    return GRAFT_OK;
}

static uint32_t number_at(bytes data, size_t at, int size)
{
    struct reader r = {.data = data, .at = at};
    return size == 2 ? read_u16(&r) : read_u32(&r);
}

// The directory: from `*at` to `*end`; false when it is not where a plain archive has it.
static bool directory_find(bytes data, size_t *at, size_t *end)
{
    enum { END_SIZE = 22, COMMENT_MOST = UINT16_MAX };
    for (size_t back = END_SIZE; back <= data.size && back <= END_SIZE + COMMENT_MOST; back++) {
        *end = data.size - back;
        if (number_at(data, *end, 4) != 0x06054b50 || number_at(data, *end + 20, 2) != back - END_SIZE)
            continue;
        const size_t size = number_at(data, *end + 12, 4), last = *end;
        *at = number_at(data, last + 16, 4);
        *end = *at + size; // torch has the records of ZIP64 between the two, whether it needs them or not
        return *at <= last && size <= last - *at;
    }
    return false;
}

graft_status zip_borrow(struct zip_archive *a, size_t index, bytes *out, bool *found)
{
    enum { ENTRY_SIZE = 46, HEAD_SIZE = 30 };
    const char *name = zip_name(a, index);
    const size_t length = strlen(name);
    size_t at, end;
    *found = false;
    *out = (bytes){0};
    if (!directory_find(a->data, &at, &end))
        return GRAFT_OK;
    const size_t begin = at;
    for (size_t i = 0; i < index && at + ENTRY_SIZE <= end; i++)
        at += ENTRY_SIZE + (size_t)number_at(a->data, at + 28, 2) + number_at(a->data, at + 30, 2) +
              number_at(a->data, at + 32, 2);
    if (at + ENTRY_SIZE + length > end || number_at(a->data, at + 28, 2) != length ||
        memcmp(a->data.ptr + at + ENTRY_SIZE, name, length) != 0)
        return fail(GRAFT_BAD_FILE, "%s: the directory does not list member '%s' in its place", a->what, name);
    const uint32_t size = number_at(a->data, at + 24, 4), head = number_at(a->data, at + 42, 4);
    const bool stored = number_at(a->data, at + 10, 2) == 0 && (number_at(a->data, at + 8, 2) & 1) == 0;
    if (!stored || size == UINT32_MAX || head == UINT32_MAX)
        return GRAFT_OK;
    size_t data = (size_t)head + HEAD_SIZE;
    if (data > begin || number_at(a->data, head, 4) != 0x04034b50 || number_at(a->data, head + 26, 2) != length)
        return fail(GRAFT_BAD_FILE, "%s: member '%s' is not where the directory says", a->what, name);
    data += length + number_at(a->data, head + 28, 2);
    if (data > begin || size > begin - data || memcmp(a->data.ptr + head + HEAD_SIZE, name, length) != 0)
        return fail(GRAFT_BAD_FILE, "%s: member '%s' is not where the directory says", a->what, name);
    *out = (bytes){a->data.ptr + data, size};
    if (crc32_z(crc32_z(0, NULL, 0), out->ptr, out->size) != number_at(a->data, at + 16, 4))
        return fail(GRAFT_BAD_FILE, "%s: member '%s' is damaged (checksum)", a->what, name);
    *found = true;
    return GRAFT_OK;
}
