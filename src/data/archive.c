// data/archive.c: members of tar and zip archives, read by position.
// tar: a header of 512 bytes a member (name 0..99, size at 124 in octal or, its top bit set, in binary, checksum at
//   148, type at 156, prefix at 345), then the data padded to 512.  Types: 0 or NUL a file; L GNU's long name of the
//   next; x pax records "LENGTH key=value\n" for the next; others are passed over.  A zero block ends it.
// zip: the end record (PK\5\6, at most 65,557 bytes before the end; zip64's before it) gives the central directory,
//   whose entries (PK\1\2) give method, checksum, sizes, name and the local header (PK\3\4) before the data.
// Both are little trusted: offsets and sizes must lie inside the file, names have no zero bytes.

#include "data/archive.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct archive {
    char *path;
    int fd;
    uint64_t size;
    struct member *members;
    size_t n, capacity;
};
enum { MOST_NAME = 4096 };

// Exactly `size` bytes at `offset`.
static graft_status take(const struct archive *a, uint64_t offset, void *out, size_t size)
{
    for (size_t at = 0; at < size;) {
        const ssize_t got = pread(a->fd, (char *)out + at, size - at, (off_t)(offset + at));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_system("read", a->path);
        if (got == 0)
            return fail(GRAFT_BAD_FILE, "'%s' is truncated", a->path);
        at += (size_t)got;
    }
    return GRAFT_OK;
}

static graft_status member_add(struct archive *a, struct member m, const char *name, size_t length)
{
    if (m.offset > a->size || m.packed > a->size - m.offset)
        return fail(GRAFT_BAD_FILE, "'%s' is damaged: a member ends beyond it", a->path);
    if (length == 0 || length > MOST_NAME || memchr(name, '\0', length) != NULL)
        return fail(GRAFT_BAD_FILE, "'%s' is damaged: a member's name of %zu bytes", a->path, length);
    if (name[length - 1] == '/') // a folder
        return GRAFT_OK;
    m.archive = a;
    m.name = mem_format("%.*s", (int)length, name);
    if (m.name == NULL || !mem_grow(&a->members, &a->capacity, a->n + 1, sizeof *a->members)) {
        mem_free(m.name);
        return fail_memory("an archive's list");
    }
    a->members[a->n++] = m;
    return GRAFT_OK;
}

// --- tar -------------------------------------------------------------------------------------------------------------

enum { BLOCK = 512, MOST_RECORDS = 1 << 20 };

static bool tar_number(const uint8_t *field, size_t n, uint64_t *out)
{
    *out = 0;
    if (field[0] & 0x80) { // binary, big-endian
        for (size_t i = 0; i < n; i++) {
            if (*out >> 56 != 0)
                return false;
            *out = *out << 8 | (i == 0 ? field[0] & 0x7f : field[i]);
        }
        return true;
    }
    for (size_t i = 0; i < n && field[i] != '\0' && field[i] != ' '; i++) {
        if (field[i] < '0' || field[i] > '7')
            return false;
        *out = *out << 3 | (uint64_t)(field[i] - '0');
    }
    return true;
}

static bool tar_sum(const uint8_t *header)
{
    uint64_t stated, sum = 0;
    const uint8_t *field = header + 148;
    while (*field == ' ' && field < header + 155)
        field++;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : header[i];
    return tar_number(field, (size_t)(header + 156 - field), &stated) && stated == sum;
}

// What a header said about the next one.
struct ahead {
    char name[MOST_NAME + 1];
    size_t length;
    uint64_t size;
    bool sized;
};

// "LENGTH key=value\n"...
static graft_status pax_read(const struct archive *a, char *text, size_t size, struct ahead *next)
{
    for (size_t at = 0; at < size;) {
        size_t length = 0, digits = at;
        while (digits < size && text[digits] >= '0' && text[digits] <= '9' && length < MOST_RECORDS)
            length = 10 * length + (size_t)(text[digits++] - '0');
        if (length < 5 || length > size - at || digits >= at + length || text[digits] != ' ' ||
            text[at + length - 1] != '\n')
            return fail(GRAFT_BAD_FILE, "'%s' is damaged: a pax record", a->path);
        const char *key = text + digits + 1, *end = text + at + length - 1,
                   *equals = memchr(key, '=', (size_t)(end - key));
        if (equals != NULL && equals - key == 4 && memcmp(key, "path", 4) == 0) {
            next->length = (size_t)(end - equals - 1);
            if (next->length > MOST_NAME)
                return fail(GRAFT_BAD_FILE, "'%s': a member's name of %zu bytes", a->path, next->length);
            memcpy(next->name, equals + 1, next->length);
        } else if (equals != NULL && equals - key == 4 && memcmp(key, "size", 4) == 0) {
            next->sized = true;
            next->size = 0;
            for (const char *c = equals + 1; c < end && *c >= '0' && *c <= '9'; c++)
                if (__builtin_mul_overflow(next->size, 10u, &next->size) ||
                    __builtin_add_overflow(next->size, (uint64_t)(*c - '0'), &next->size))
                    return fail(GRAFT_BAD_FILE, "'%s' is damaged: a member's size", a->path);
        }
        at += length;
    }
    return GRAFT_OK;
}

// L and x: their data are about the next header.
static graft_status tar_ahead(const struct archive *a, uint64_t offset, uint64_t size, uint8_t type, struct ahead *next)
{
    if (size > MOST_RECORDS || size > a->size - offset)
        return fail(GRAFT_BAD_FILE, "'%s' is damaged: %llu bytes about a member's name", a->path,
                    (unsigned long long)size);
    char *text = mem_alloc(size + 1);
    if (text == NULL)
        return fail_memory("an archive's list");
    graft_status status = take(a, offset, text, size);
    text[size] = '\0';
    if (status == GRAFT_OK && type == 'x')
        status = pax_read(a, text, size, next);
    else if (status == GRAFT_OK) {
        next->length = strlen(text);
        if (next->length > MOST_NAME)
            status = fail(GRAFT_BAD_FILE, "'%s': a member's name of %zu bytes", a->path, next->length);
        else
            memcpy(next->name, text, next->length);
    }
    mem_free(text);
    return status;
}

static graft_status tar_list(struct archive *a)
{
    uint8_t header[BLOCK];
    static const uint8_t zero[BLOCK];
    struct ahead *next = mem_zero(1, sizeof *next);
    graft_status status = next != NULL ? GRAFT_OK : fail_memory("an archive's list");
    if (status == GRAFT_OK && a->size < BLOCK)
        status = fail(GRAFT_BAD_FILE, "'%s' is no archive: %llu bytes", a->path, (unsigned long long)a->size);
    for (uint64_t at = 0; status == GRAFT_OK && a->size - at >= BLOCK;) {
        uint64_t size = 0;
        TRY_GOTO(take(a, at, header, BLOCK));
        if (memcmp(header, zero, BLOCK) == 0)
            break;
        if (!tar_sum(header) || !tar_number(header + 124, 12, &size))
            TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is damaged, or no tar archive: a header's checksum at byte %llu",
                          a->path, (unsigned long long)at));
        const uint8_t type = header[156];
        if (next->sized && type != 'x' && type != 'L')
            size = next->size;
        at += BLOCK;
        if (size > a->size - at)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is truncated: a member ends beyond it", a->path));
        if (type == 'L' || type == 'x')
            TRY_GOTO(tar_ahead(a, at, size, type, next));
        else {
            if (next->length == 0) { // "prefix/name", neither ended by a zero when full
                const bool ustar = memcmp(header + 257, "ustar", 5) == 0;
                const size_t prefix = ustar ? strnlen((char *)header + 345, 155) : 0,
                             name = strnlen((char *)header, 100);
                memcpy(next->name, header + 345, prefix);
                next->name[prefix] = '/';
                next->length = prefix + (prefix > 0) + name;
                memcpy(next->name + prefix + (prefix > 0), header, name);
            }
            if (type == '0' || type == '\0')
                TRY_GOTO(member_add(a,
                                    (struct member){.offset = at, .packed = size, .size = size, .method = METHOD_TAR},
                                    next->name, next->length));
            *next = (struct ahead){0};
        }
        const uint64_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
        at = padded > a->size - at ? a->size : at + padded;
    }
done:
    mem_free(next);
    return status;
}

// --- zip -------------------------------------------------------------------------------------------------------------

struct directory {
    uint64_t offset, size;
};

static graft_status zip_damaged(const struct archive *a, const char *what)
{
    return fail(GRAFT_BAD_FILE, "'%s' is damaged, or no zip archive: %s", a->path, what);
}

static graft_status zip_end(const struct archive *a, struct directory *out)
{
    enum { END = 22, LONGEST = END + 65535, LOCATOR = 20, END64 = 56 };
    const size_t size = a->size < LONGEST ? (size_t)a->size : LONGEST;
    uint8_t *tail = mem_alloc(size + 1), end64[END64];
    if (tail == NULL)
        return fail_memory("an archive's list");
    graft_status status = take(a, a->size - size, tail, size);
    size_t at = size >= END ? size - END + 1 : 0;
    // The comment, which may look like anything, reaches to the end.
    while (status == GRAFT_OK && at > 0 &&
           (memcmp(tail + at - 1, "PK\5\6", 4) != 0 ||
            at - 1 + END + (tail[at + 19] | (size_t)tail[at + 20] << 8) != size))
        at--;
    if (status == GRAFT_OK && at == 0)
        status = zip_damaged(a, "no end record");
    if (status == GRAFT_OK) {
        struct reader r = reader_of((bytes){tail, size});
        r.at = at - 1 + 12;
        out->size = read_u32(&r);
        out->offset = read_u32(&r);
        if (at - 1 >= LOCATOR && memcmp(tail + at - 1 - LOCATOR, "PK\6\7", 4) == 0) { // zip64
            r.at = at - 1 - LOCATOR + 8;
            const uint64_t where = read_u64(&r);
            if (a->size < END64 || where > a->size - END64)
                status = zip_damaged(a, "its zip64 record lies beyond it");
            if (status == GRAFT_OK)
                status = take(a, where, end64, END64);
            if (status == GRAFT_OK && memcmp(end64, "PK\6\6", 4) != 0)
                status = zip_damaged(a, "no zip64 record");
            struct reader r64 = reader_of((bytes){end64, END64});
            r64.at = 40;
            out->size = read_u64(&r64);
            out->offset = read_u64(&r64);
        }
    }
    mem_free(tail);
    if (status == GRAFT_OK && (out->offset > a->size || out->size > a->size - out->offset))
        status = zip_damaged(a, "its directory lies beyond it");
    return status;
}

// Values that did not fit into 32 bits, in their order.
static void zip64_read(bytes extra, uint64_t *const *values, int n)
{
    struct reader r = reader_of(extra);
    while (reader_left(&r) >= 4 && !r.failed) {
        const uint16_t kind = read_u16(&r);
        struct reader body = reader_of(read_bytes(&r, read_u16(&r)));
        for (int i = 0; kind == 1 && i < n; i++) {
            const uint64_t value = read_u64(&body);
            if (!body.failed)
                *values[i] = value;
        }
    }
}

static graft_status zip_entry(struct archive *a, struct reader *r)
{
    struct member m = {0};
    const bytes signature = read_bytes(r, 4);
    if (signature.size != 4 || memcmp(signature.ptr, "PK\1\2", 4) != 0)
        return zip_damaged(a, "a directory entry");
    read_u32(r);
    m.encrypted = (read_u16(r) & 1) != 0;
    m.method = read_u16(r);
    read_u32(r);
    m.crc = read_u32(r);
    m.packed = read_u32(r);
    m.size = read_u32(r);
    const uint16_t name_length = read_u16(r), extra_length = read_u16(r), comment_length = read_u16(r);
    read_u32(r);
    read_u32(r);
    m.offset = read_u32(r);
    const bytes name = read_bytes(r, name_length), extra = read_bytes(r, extra_length);
    read_bytes(r, comment_length);
    if (r->failed)
        return zip_damaged(a, "its directory is cut");
    uint64_t *wide[3];
    int n = 0;
    uint64_t *const all[] = {&m.size, &m.packed, &m.offset};
    for (int i = 0; i < 3; i++)
        if (*all[i] == UINT32_MAX)
            wide[n++] = all[i];
    zip64_read(extra, wide, n);
    return member_add(a, m, (const char *)name.ptr, name.size);
}

static graft_status zip_list(struct archive *a)
{
    struct directory d = {0};
    TRY(zip_end(a, &d));
    uint8_t *directory = mem_alloc(d.size + 1);
    if (directory == NULL)
        return fail_memory("an archive's list");
    graft_status status = take(a, d.offset, directory, d.size);
    struct reader r = reader_of((bytes){directory, d.size});
    while (status == GRAFT_OK && reader_left(&r) > 0)
        status = zip_entry(a, &r);
    mem_free(directory);
    return status;
}

// Where the member's data begin: its local header has a name and extra fields of its own.
static graft_status zip_data(const struct member *m, uint64_t *offset)
{
    uint8_t local[30];
    TRY(take(m->archive, m->offset, local, sizeof local));
    if (memcmp(local, "PK\3\4", 4) != 0)
        return zip_damaged(m->archive, "a member's header");
    *offset =
        m->offset + sizeof local + (uint64_t)(local[26] | local[27] << 8) + (uint64_t)(local[28] | local[29] << 8);
    if (*offset > m->archive->size || m->packed > m->archive->size - *offset)
        return zip_damaged(m->archive, "a member ends beyond it");
    return GRAFT_OK;
}

static bool inflate_whole(const uint8_t *packed, size_t packed_size, uint8_t *out, size_t size)
{
    z_stream z = {.next_in = (Bytef *)packed, .avail_in = (uInt)packed_size, .next_out = out, .avail_out = (uInt)size};
    if (inflateInit2(&z, -15) != Z_OK)
        return false;
    const int result = inflate(&z, Z_FINISH);
    const bool whole = (result == Z_STREAM_END || (result == Z_BUF_ERROR && size == 0)) && z.total_out == size;
    inflateEnd(&z);
    return whole;
}

// --- both ------------------------------------------------------------------------------------------------------------

graft_status member_read(const struct member *m, const char *name, size_t most, struct file_map *out)
{
    uint64_t offset = m->offset;
    uint8_t *packed = NULL, *data = NULL;
    graft_status status = GRAFT_OK;
    *out = (struct file_map){0};
    if (m->encrypted || (m->method != METHOD_TAR && m->method != 0 && m->method != 8))
        return fail(GRAFT_BAD_FILE, "%s is %s, which graft does not read", name,
                    m->encrypted ? "encrypted" : "packed by another method than deflate");
    if (m->size > most || m->packed > most)
        return fail(GRAFT_BAD_FILE, "%s is too large: %.0f MB, at most %.0f are read", name, (double)m->size / 1e6,
                    (double)most / 1e6);
    if (m->method != 8 && m->packed != m->size)
        return zip_damaged(m->archive, "a stored member of two sizes");
    if (m->method == 8 && m->size / 1040 > m->packed + 64) // deflate packs 1032 to 1 at best
        return fail(GRAFT_BAD_FILE, "%s states an impossible size", name);
    if (m->method != METHOD_TAR)
        TRY(zip_data(m, &offset));
    data = mem_alloc(m->size + 1);
    packed = m->method == 8 ? mem_alloc(m->packed + 1) : data;
    if (data == NULL || packed == NULL)
        TRY_GOTO(fail_memory(name));
    TRY_GOTO(take(m->archive, offset, packed, m->packed));
    if ((m->method == 8 && !inflate_whole(packed, m->packed, data, m->size)) ||
        (m->method != METHOD_TAR && crc32(0, data, (uInt)m->size) != m->crc))
        TRY_GOTO(
            fail(GRAFT_BAD_FILE, "%s is damaged in its archive: it does not unpack to what its checksum says", name));
    out->data = (bytes){data, m->size};
    data = NULL;
done:
    if (packed != NULL && m->method == 8)
        mem_free(packed);
    mem_free(data);
    return status;
}

bool archive_recognises(const char *path) { return path_has_suffix(path, ".zip") || path_has_suffix(path, ".tar"); }

graft_status archive_open(const char *path, struct archive **out)
{
    struct archive *a = mem_zero(1, sizeof *a);
    struct stat st;
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (a == NULL)
        return fail_memory("an archive");
    a->path = mem_text(path);
    a->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (a->path == NULL)
        TRY_GOTO(fail_memory("an archive"));
    if (a->fd < 0)
        TRY_GOTO(fail_system("open", path));
    if (fstat(a->fd, &st) != 0 || !S_ISREG(st.st_mode))
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is not a regular file", path));
    a->size = (uint64_t)st.st_size;
    uint8_t magic[2] = {0};
    TRY_GOTO(take(a, 0, magic, a->size < 2 ? (size_t)a->size : 2));
    TRY_GOTO(memcmp(magic, "PK", 2) == 0 ? zip_list(a) : tar_list(a));
    *out = a;
    a = NULL;
done:
    archive_free(a);
    return status;
}

void archive_free(struct archive *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->n; i++)
        mem_free(a->members[i].name);
    mem_free(a->members);
    if (a->fd >= 0)
        close(a->fd);
    mem_free(a->path);
    mem_free(a);
}

const struct member *archive_members(const struct archive *a, size_t *n)
{
    *n = a->n;
    return a->members;
}
