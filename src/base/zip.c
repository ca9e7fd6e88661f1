// base/zip.c: ZIP archives through libzip, over bounded bytes.  Members are inflated into blocks of their own, under a
// limit that is checked against the stated size first; libzip checks the CRC while reading.

#include "base/zip.h"
#include "base/memory.h"
#include <stdlib.h>
#include <zip.h>

struct zip_archive {
    zip_t *zip;
    char *what;
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
