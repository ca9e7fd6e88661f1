// train/feature_store.c: see train/feature_store.h.
// File:  "graftfea" | u64 key | u64 floats | u64 bytes of a number: 4, fp32, or 2, bf16 | u64 XXH64 of what precedes |
//        row...
// Row:   u64 picture | u64 XXH64 of picture and values | values[floats]
// Rows are appended under a lock of the file and never changed; of two with the same picture the later one counts.  A
// row that a process did not finish is no whole row, and is written over.  Numbers are the machine's own: the file
// never leaves it. Rows are read by calls, not through a mapping: a file that is cut meanwhile is then a row that is
// not there, not a signal, and what is read counts as no memory of the process.

#include "train/feature_store.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRESH = 1 << 12 };
static const char MAGIC[] = "graftfea", SUFFIX[] = ".features";
struct file_head { char magic[8]; uint64_t key, floats, width, check; };
struct row_head { uint64_t picture, check; };

struct place { uint64_t picture; uint32_t row; bool used; }; // of a table with open addressing
struct feature_store {
    int fd;
    char *path;
    uint64_t key;
    size_t floats, width, rows; // of a row; bytes of a number; of the file, as far as they are known
    struct place *table;
    size_t capacity, count; // a power of two; pictures with a row
    uint8_t *row;           // one, as in the file
};

static size_t width_of(bool bf16) { return bf16 ? sizeof(uint16_t) : sizeof(float); }
size_t feature_row_bytes(size_t floats, bool bf16) { return sizeof(struct row_head) + floats * width_of(bf16); }
static size_t row_bytes(const struct feature_store *s) { return sizeof(struct row_head) + s->floats * s->width; }
const char *feature_store_path(const struct feature_store *s) { return s->path; }
size_t feature_store_count(const struct feature_store *s) { return s->count; }

// ---- the table

static struct place *place_of(const struct feature_store *s, uint64_t picture)
{
    size_t at = (size_t)(picture * 0x9e3779b97f4a7c15u >> 32) & (s->capacity - 1);
    while (s->table[at].used && s->table[at].picture != picture)
        at = (at + 1) & (s->capacity - 1);
    return &s->table[at];
}

static graft_status table_add(struct feature_store *s, uint64_t picture, uint32_t row)
{
    if (2 * (s->count + 1) > s->capacity) {
        struct feature_store larger = *s;
        larger.capacity = s->capacity > 0 ? 2 * s->capacity : FRESH;
        larger.table = mem_zero(larger.capacity, sizeof *larger.table);
        if (larger.table == NULL)
            return fail_memory("the table of features");
        for (size_t i = 0; i < s->capacity; i++)
            if (s->table[i].used)
                *place_of(&larger, s->table[i].picture) = s->table[i];
        mem_free(s->table);
        *s = larger;
    }
    struct place *place = place_of(s, picture);
    s->count += !place->used || place->row == UINT32_MAX;
    *place = (struct place){picture, row, true};
    return GRAFT_OK;
}

static struct place *place_with_row(const struct feature_store *s, uint64_t picture)
{
    struct place *place = s->capacity > 0 ? place_of(s, picture) : NULL;
    return place != NULL && place->used && place->row != UINT32_MAX ? place : NULL;
}

bool feature_store_has(const struct feature_store *s, uint64_t picture) { return place_with_row(s, picture) != NULL; }

// ---- the file

static off_t offset_of(const struct feature_store *s, size_t row)
{
    return (off_t)(sizeof(struct file_head) + row * row_bytes(s));
}

static graft_status lock(const struct feature_store *s)
{
    while (flock(s->fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return fail_system("lock", s->path);
    return GRAFT_OK;
}

// Learns of rows that others have added.  Under the lock.
static graft_status rows_learn(struct feature_store *s)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0)
        return fail_system("look at", s->path);
    const size_t size = (size_t)st.st_size, head = sizeof(struct file_head);
    const size_t rows = size > head ? (size - head) / row_bytes(s) : 0;
    if (rows < s->rows) { // cut by somebody: what was known is void
        memset(s->table, 0, s->capacity * sizeof *s->table);
        s->rows = s->count = 0;
    }
    for (; s->rows < rows && s->rows < UINT32_MAX; s->rows++) {
        struct row_head row;
        if (pread(s->fd, &row, sizeof row, offset_of(s, s->rows)) != (ssize_t)sizeof row)
            return fail_system("read", s->path);
        TRY(table_add(s, row.picture, (uint32_t)s->rows));
    }
    return GRAFT_OK;
}

static struct file_head head_of(const struct feature_store *s)
{
    struct file_head head = {.key = s->key, .floats = s->floats, .width = s->width};
    memcpy(head.magic, MAGIC, sizeof head.magic);
    head.check = hash_of((bytes){(const uint8_t *)&head, offsetof(struct file_head, check)});
    return head;
}

// Opens or makes the file; *sound is false when what is there is none of ours.
static graft_status file_take(struct feature_store *s, bool *sound)
{
    struct file_head found;
    const struct file_head head = head_of(s);
    s->fd = file_ops.open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->fd < 0)
        return fail_system("open", s->path);
    TRY(lock(s));
    graft_status status = GRAFT_OK;
    const ssize_t got = pread(s->fd, &found, sizeof found, 0);
    if (got == 0)
        status = file_put(s->fd, s->path, &head, sizeof head);
    *sound =
        status == GRAFT_OK && (got == 0 || (got == (ssize_t)sizeof head && memcmp(&found, &head, sizeof head) == 0));
    if (*sound)
        status = rows_learn(s);
    flock(s->fd, LOCK_UN);
    return status;
}

graft_status feature_store_open(const char *folder, uint64_t key, size_t floats, bool bf16, struct feature_store **out)
{
    struct feature_store *s = mem_zero(1, sizeof *s);
    char name[64];
    bool sound;
    graft_status status = GRAFT_OK;
    *out = NULL;
    if (s == NULL)
        return fail_memory("the features");
    s->fd = -1;
    s->key = key;
    s->floats = floats;
    s->width = width_of(bf16);
    snprintf(name, sizeof name, "%016llx%s", (unsigned long long)key, SUFFIX);
    s->path = path_join(folder, name);
    s->row = mem_alloc(row_bytes(s));
    if (s->path == NULL || s->row == NULL)
        TRY_GOTO(fail_memory("the features"));
    TRY_GOTO(file_make_folder(folder));
    TRY_GOTO(file_take(s, &sound));
    if (!sound) { // whoever has it open goes on with the old one
        log_warning("'%s' is damaged; it is made anew", s->path);
        file_ops.close(s->fd);
        s->fd = -1;
        if (file_ops.unlink(s->path) != 0)
            TRY_GOTO(fail_system("remove", s->path));
        TRY_GOTO(file_take(s, &sound));
        if (!sound)
            TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' is changed by somebody else", s->path));
    }
    *out = s;
    s = NULL;
done:
    feature_store_close(s);
    return status;
}

void feature_store_close(struct feature_store *s)
{
    if (s == NULL)
        return;
    if (s->fd >= 0)
        file_ops.close(s->fd);
    mem_free(s->path);
    mem_free(s->table);
    mem_free(s->row);
    mem_free(s);
}

// To the nearest, ties to the even; a NaN stays one.
static uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((x != x ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float bf16_value(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The values in s->row, and back.
static void row_encode(struct feature_store *s, const struct feature_part *parts, int n_parts)
{
    uint8_t *at = s->row + sizeof(struct row_head);
    for (int k = 0; k < n_parts; at += parts[k++].floats * s->width)
        if (s->width == sizeof(float))
            memcpy(at, parts[k].values, parts[k].floats * sizeof(float));
        else
            for (size_t i = 0; i < parts[k].floats; i++)
                ((uint16_t *)at)[i] = bf16_of(parts[k].values[i]);
    ASSERT(at == s->row + row_bytes(s));
}

static void row_decode(const struct feature_store *s, const struct feature_part *parts, int n_parts)
{
    const uint8_t *at = s->row + sizeof(struct row_head);
    for (int k = 0; k < n_parts; at += parts[k++].floats * s->width)
        if (s->width == sizeof(float))
            memcpy(parts[k].values, at, parts[k].floats * sizeof(float));
        else
            for (size_t i = 0; i < parts[k].floats; i++)
                parts[k].values[i] = bf16_value(((const uint16_t *)at)[i]);
    ASSERT(at == s->row + row_bytes(s));
}

static uint64_t row_check(const struct feature_store *s, uint64_t picture)
{
    struct hash h;
    hash_init(&h);
    hash_put(&h, &picture, sizeof picture);
    hash_put(&h, s->row + sizeof(struct row_head), s->floats * s->width);
    return hash_end(&h);
}

bool feature_store_get(struct feature_store *s, uint64_t picture, const struct feature_part *parts, int n_parts)
{
    struct place *place = place_with_row(s, picture);
    const struct row_head *const head = (const struct row_head *)s->row;
    ssize_t got;
    if (place == NULL)
        return false;
    do
        got = pread(s->fd, s->row, row_bytes(s), offset_of(s, place->row));
    while (got < 0 && errno == EINTR);
    if (got == (ssize_t)row_bytes(s) && head->picture == picture && head->check == row_check(s, picture)) {
        row_decode(s, parts, n_parts);
        return true;
    }
    log_warning("'%s' is damaged; what is lost of it is made anew", s->path);
    place->row = UINT32_MAX;
    s->count--;
    return false;
}

graft_status feature_store_put(struct feature_store *s, uint64_t picture, const struct feature_part *parts, int n_parts)
{
    graft_status status = GRAFT_OK;
    row_encode(s, parts, n_parts);
    *(struct row_head *)s->row = (struct row_head){picture, row_check(s, picture)};
    TRY(lock(s));
    TRY_GOTO(rows_learn(s));
    if (feature_store_has(s, picture)) // of another process, meanwhile
        goto done;
    if (lseek(s->fd, offset_of(s, s->rows), SEEK_SET) < 0)
        TRY_GOTO(fail_system("write", s->path));
    TRY_GOTO(file_put(s->fd, s->path, s->row, row_bytes(s)));
    TRY_GOTO(table_add(s, picture, (uint32_t)s->rows));
    s->rows++;
done:
    flock(s->fd, LOCK_UN);
    return status;
}

// ---- the folder

struct other { char *path; uint64_t size; struct timespec when; };
struct others { struct other *items; size_t n, capacity; };

static int older(const void *left, const void *right)
{
    const struct timespec *a = &((const struct other *)left)->when, *b = &((const struct other *)right)->when;
    if (a->tv_sec != b->tv_sec)
        return a->tv_sec < b->tv_sec ? -1 : 1;
    return a->tv_nsec < b->tv_nsec ? -1 : a->tv_nsec > b->tv_nsec;
}

// What there is no memory for counts as not there.
static void others_list(const char *folder, const char *own, struct others *out)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        struct stat st;
        if (!path_has_suffix(e->d_name, SUFFIX) || strcmp(e->d_name, own) == 0 ||
            fstatat(dirfd(d), e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode) ||
            !mem_grow(&out->items, &out->capacity, out->n + 1, sizeof *out->items))
            continue;
        char *path = path_join(folder, e->d_name);
        if (path != NULL)
            out->items[out->n++] = (struct other){path, (uint64_t)st.st_size, st.st_mtim};
    }
    if (d != NULL)
        closedir(d);
}

uint64_t feature_folder_trim(const char *folder, uint64_t key, uint64_t most, bool remove)
{
    char own[64];
    struct others others = {0};
    uint64_t sum = 0, gone = 0;
    snprintf(own, sizeof own, "%016llx%s", (unsigned long long)key, SUFFIX);
    others_list(folder, own, &others);
    for (size_t i = 0; i < others.n; i++)
        sum += others.items[i].size;
    if (others.n > 0)
        qsort(others.items, others.n, sizeof *others.items, older);
    for (size_t i = 0; i < others.n; i++) {
        const struct other *o = &others.items[i];
        if (sum - gone > most && (!remove || file_ops.unlink(o->path) == 0))
            gone += o->size;
        mem_free(o->path);
    }
    mem_free(others.items);
    return gone;
}
