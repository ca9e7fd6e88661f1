// fetch/download.c: one published file, however often the line breaks.
// FILE.part grows; FILE.part.json {"url", "validator", "total"} says what it is the beginning of, so that a later
// attempt, of this process or the next, asks for the rest: "Range: bytes=SIZE-", "If-Range: VALIDATOR".  The part is
// the lock: its holder has flock on it.  Complete, it is flushed, checked against the publisher's digest (or, where
// none is known, read as the weight file it should be), renamed to FILE.  A part whose digest is wrong is removed; if
// some of it came from an earlier run, the whole is asked for once more.

#include "fetch/download.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "fetch/cache.h"
#include "fetch/http.h"
#include "weights/weights.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { PATIENT_STEP_MS = 100, UNKNOWN_LIMIT_MIB = 2048 };
struct download_limits download_limits = {.attempts = 5, .first_wait = 1, .longest_wait = 60};

struct job {
    const struct published *file;
    const char *folder;
    char *url, *shown_url;     // the same, without a password
    char *path, *part, *note;
    int fd;                    // of the part, locked
    uint64_t have, total;      // bytes; total 0: not known
    char validator[HTTP_TEXT]; // of what we have: an entity tag or a date; "" where the server gave none
    bool resumed;              // some bytes are of an earlier run
    // of the present attempt
    bool begun;                // its answer is the file, and is being written
    bool again, stale;         // it may succeed if repeated; what we have is of no use to it
    int retry_after;
    double since, shown;       // for the rate
    uint64_t from;
};

static double megabytes(uint64_t bytes) { return (double)bytes / 1e6; }

static void show(void *user)
{
    struct job *j = user;
    const double now = now_seconds(), spent = now - j->since;
    if (!j->begun || now - j->shown < 0.1)
        return;
    j->shown = now;
    const double rate = spent > 0 ? (double)(j->have - j->from) / spent : 0;
    const double left = j->total > 0 && rate > 0 ? (double)(j->total - j->have) / rate : -1;
    hooks_progress(&(graft_progress){.stage = "download", .file = j->file->file, .bytes = (double)j->have,
                                     .bytes_total = (double)j->total, .bytes_per_second = rate, .seconds_left = left});
}

// --- the part --------------------------------------------------------------------------------------------------------

static graft_status part_empty(struct job *j)
{
    j->have = j->total = 0;
    j->validator[0] = '\0';
    j->resumed = false;
    if (file_ops.truncate(j->part, 0) != 0 || lseek(j->fd, 0, SEEK_SET) != 0)
        return fail_system("empty", j->part);
    return GRAFT_OK;
}

// What the part is the beginning of; nothing known, or of another URL: it is emptied.
static graft_status note_read(struct job *j)
{
    json_t *note = NULL;
    const off_t end = lseek(j->fd, 0, SEEK_END);
    if (end < 0)
        return fail_system("read", j->part);
    const bool read = end > 0 && file_exists(j->note) && json_read_file(j->note, &note) == GRAFT_OK;
    const char *url = json_string_value(json_object_get(note, "url"));
    const char *validator = json_string_value(json_object_get(note, "validator"));
    const json_int_t total = json_integer_value(json_object_get(note, "total"));
    const bool same = read && url != NULL && strcmp(url, j->shown_url) == 0 && validator != NULL &&
                      strlen(validator) < HTTP_TEXT && total >= 0 && (total == 0 || end <= total);
    if (same) {
        j->have = (uint64_t)end;
        j->total = (uint64_t)total;
        j->resumed = end > 0;
        memcpy(j->validator, validator, strlen(validator) + 1);
    }
    json_decref(note);
    return same ? GRAFT_OK : part_empty(j);
}

static graft_status note_write(const struct job *j)
{
    json_t *note =
        json_pack("{s:s, s:s, s:I}", "url", j->shown_url, "validator", j->validator, "total", (json_int_t)j->total);
    const graft_status status = note != NULL ? json_write_file(j->note, note) : fail_memory(j->note);
    json_decref(note);
    return status;
}

static graft_status wait_for(double seconds, const char *doing)
{
    for (double until = now_seconds() + seconds; now_seconds() < until;) {
        if (hooks_cancelled())
            return fail(GRAFT_CANCELLED, "stopped while %s", doing);
        nanosleep(&(struct timespec){.tv_nsec = PATIENT_STEP_MS * 1000000L}, NULL);
    }
    return GRAFT_OK;
}

// Opens the part and holds it alone.  A holder that finishes renames it, so the name is looked at again afterwards.
static graft_status part_lock(struct job *j)
{
    bool told = false;
    for (;;) {
        struct stat ours, named;
        if (j->fd < 0 && (j->fd = file_ops.open(j->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
            return fail_system("create", j->part);
        if (flock(j->fd, LOCK_EX | LOCK_NB) == 0) {
            if (fstat(j->fd, &ours) == 0 && stat(j->part, &named) == 0 && ours.st_ino == named.st_ino)
                return GRAFT_OK;
            file_ops.close(j->fd);
            j->fd = -1;
            continue;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            log_warning("'%s' cannot be locked (%s): do not pull the same file twice at once", j->part,
                        strerror(errno));
            return GRAFT_OK;
        }
        if (!told)
            log_info("another process is downloading %s; waiting for it", j->file->file);
        told = true;
        TRY(wait_for(0.2, "another process was downloading the file"));
    }
}

// --- an attempt ------------------------------------------------------------------------------------------------------

static const char *phrase(int status)
{
    static const struct { int status; const char *phrase; } phrases[] = {
        {400, "bad request"}, {401, "it wants a password"}, {403, "forbidden"}, {404, "not found"},
        {407, "the proxy wants a password"}, {408, "timed out"}, {410, "gone"}, {429, "too many requests"},
        {500, "its own failure"}, {502, "bad gateway"}, {503, "not available now"}, {504, "the gateway timed out"}};
    for (size_t i = 0; i < COUNT_OF(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "not what was asked for";
}

static graft_status check_room(const struct job *j)
{
    struct statvfs fs;
    const double limit = (j->file->mib > 0 ? 1.25 * j->file->mib + 1 : UNKNOWN_LIMIT_MIB) * 1048576;
    if ((double)j->total > limit || (double)j->have > limit)
        return fail(GRAFT_BAD_FILE, "the server offers %.0f MB; at most %.0f MB are expected of this file",
                    megabytes(j->total > j->have ? j->total : j->have), limit / 1e6);
    if (j->total > j->have && fstatvfs(j->fd, &fs) == 0 && fs.f_blocks > 0 &&
        (double)fs.f_bavail * (double)fs.f_frsize < (double)(j->total - j->have))
        return fail(GRAFT_NO_RESOURCE, "'%s' has %.0f MB of room; %.0f MB more are needed%s", j->folder,
                    (double)fs.f_bavail * (double)fs.f_frsize / 1e6, megabytes(j->total - j->have),
                    j->have > 0 ? " (what has come is kept)" : "");
    return GRAFT_OK;
}

// Whether the answer's body is what goes behind the bytes we have.
static graft_status judge(struct job *j, const struct http_head *h)
{
    const bool whole = h->status == 200;
    if (h->status == 416 && j->have > 0 && h->range_total == (int64_t)j->have)
        return GRAFT_OK; // there is nothing after what we have: it was complete
    if (!whole && !(h->status == 206 && j->have > 0)) {
        j->stale = h->status == 416 || h->status == 206;
        j->again = j->stale || h->status == 408 || h->status == 429 || h->status >= 500;
        j->retry_after = h->retry_after;
        return fail(GRAFT_BAD_FILE, "the server answers %d: %s", h->status, phrase(h->status));
    }
    if (strncasecmp(h->type, "text/html", 9) == 0)
        return fail(GRAFT_BAD_FILE, "the server answers with a web page, not with the file");
    if (whole && j->have > 0) {
        log_info("%s: the server sends it from the beginning", j->file->file);
        TRY(part_empty(j));
    }
    if (!whole && (h->range_begin != (int64_t)j->have || (j->total > 0 && h->range_total >= 0 &&
                                                          (uint64_t)h->range_total != j->total))) {
        j->stale = j->again = true;
        return fail(GRAFT_BAD_FILE, "the server sends another part than it was asked for");
    }
    const int64_t total = whole ? h->length : h->range_total;
    const char *validator = h->etag[0] != '\0' && strncmp(h->etag, "W/", 2) != 0 ? h->etag : h->modified;
    const bool news = j->from == 0 || j->have == 0 || (total > 0 && (uint64_t)total != j->total);
    j->total = total > 0 ? (uint64_t)total : j->total;
    if (news) {
        memcpy(j->validator, validator, strlen(validator) + 1);
        TRY(note_write(j));
    }
    TRY(check_room(j));
    if (j->have == 0 && j->total > 0)
        log_info("downloading %s, %.1f MB, from %s", j->file->file, megabytes(j->total), j->shown_url);
    else
        log_info("downloading %s from %s, %.1f MB are here", j->file->file, j->shown_url, megabytes(j->have));
    j->begun = true;
    j->since = now_seconds();
    j->from = j->have;
    return GRAFT_OK;
}

static graft_status take(void *user, const struct http_head *head, const void *data, size_t size)
{
    struct job *j = user;
    if (!j->begun)
        TRY(judge(j, head));
    if (!j->begun)
        return GRAFT_OK; // the text that goes with an answer of 416
    const graft_status status = file_put(j->fd, j->part, data, size);
    if (status != GRAFT_OK) {
        const off_t end = lseek(j->fd, 0, SEEK_END); // some of it may have gone in
        j->have = end > 0 ? (uint64_t)end : j->have;
        return status;
    }
    j->have += size;
    return j->total == 0 ? check_room(j) : GRAFT_OK;
}

static graft_status attempt(struct job *j, bool *reached)
{
    struct http_head head;
    bool again;
    j->begun = j->again = j->stale = false;
    j->retry_after = 0;
    j->from = j->have;
    const struct http_request request = {.url = j->url, .from = j->have, .user = j, .data = take, .tick = show,
                                         .validator = j->validator[0] != '\0' ? j->validator : NULL};
    if (j->have > 0 && j->have == j->total)
        return GRAFT_OK; // stopped between the last byte and its name
    graft_status status = http_get(&request, &head, &again, reached);
    if (status == GRAFT_OK && !j->begun)
        status = judge(j, &head); // an answer without a body
    j->again |= again;
    if (status == GRAFT_OK && j->total > 0 && j->have != j->total && head.status != 416) {
        j->again = true;
        status = fail(GRAFT_BAD_FILE, "the server sent %llu bytes and said %llu", (unsigned long long)j->have,
                      (unsigned long long)j->total);
    }
    if (j->have > j->from && file_ops.fsync(j->fd) != 0 && status != GRAFT_NO_RESOURCE)
        status = fail_system("flush", j->part);
    return status;
}

// Attempts until all is here.  A failure counts only if the attempt brought nothing that was not here before.
static graft_status attempts(struct job *j)
{
    uint64_t best = j->have;
    double pause = download_limits.first_wait;
    bool reached = false;
    for (int n = 1;; n++) {
        bool answered = false;
        const graft_status status = attempt(j, &answered);
        const bool again = j->again || (reached && status == GRAFT_BAD_FILE && !answered);
        reached |= answered;
        if (status == GRAFT_OK)
            return GRAFT_OK;
        if (status == GRAFT_CANCELLED)
            return fail(status, "stopped; %.1f MB of %s are kept and the next pull goes on from there",
                        megabytes(j->have), j->file->file);
        if (status == GRAFT_NO_RESOURCE)
            return fail_prefix(status, "%s: %.1f MB are kept in '%s' and the next pull goes on from there",
                               j->file->file, megabytes(j->have), j->part);
        if (!again)
            return status;
        if (j->have >= best + 65536) {
            best = j->have;
            n = 1;
            pause = download_limits.first_wait;
        }
        if (n >= download_limits.attempts)
            return fail_prefix(status, "given up after %d attempts", n);
        if (j->stale)
            TRY(part_empty(j));
        const double seconds = j->retry_after > pause ? (j->retry_after < 120 ? j->retry_after : 120) : pause;
        log_warning("%s: %s; trying again in %.0f s", j->file->file, graft_message(), seconds);
        TRY(wait_for(seconds, "waiting to try again"));
        pause = 2 * pause < download_limits.longest_wait ? 2 * pause : download_limits.longest_wait;
    }
}

// --- the whole -------------------------------------------------------------------------------------------------------

static graft_status check(struct job *j, struct found_file *out)
{
    char expected[DIGEST_TEXT];
    struct tensor_set set;
    out->kind = published_kind(j->file->file);
    out->size = j->have;
    TRY(digest_file(j->part, out->kind, out->digest));
    const enum published_match match = published_match(j->file->file, out->digest, expected);
    out->publishers = match == PUBLISHED_SAME;
    if (match == PUBLISHED_DIFFERS)
        return fail(GRAFT_BAD_FILE, "what %s sent (%llu bytes) is not the published file: its %s is %s, expected %s%s",
                    j->shown_url, (unsigned long long)j->have, digest_name(out->kind), out->digest,
                    strlen(expected) < 32 ? "to begin with " : "", expected);
    if (match == PUBLISHED_UNKNOWN) { // no digest to go by: it must at least be what it claims to be
        TRY(weights_read(j->part, &set));
        tensor_set_free(&set);
    }
    return GRAFT_OK;
}

static graft_status complete(struct job *j, struct found_file *out)
{
    for (;;) {
        TRY(attempts(j));
        const bool resumed = j->resumed;
        const graft_status status = check(j, out);
        if (status == GRAFT_OK)
            break;
        if (status != GRAFT_BAD_FILE)
            return status;
        if (!resumed) {
            file_ops.unlink(j->part);
            file_ops.unlink(j->note);
            return fail_prefix(status, "nothing was kept");
        }
        log_warning("%s: %s; asking for the whole file", j->file->file, graft_message());
        TRY(part_empty(j));
    }
    if (file_ops.rename(j->part, j->path) != 0)
        return fail_system("rename", j->part);
    file_ops.unlink(j->note);
    TRY(file_flush_folder(j->path));
    if (cache_record(j->path, j->file->file, out) != GRAFT_OK)
        log_warning("%s", graft_message());
    log_info("%s: %.1f MB are in '%s'; %s %s%s", j->file->file, megabytes(out->size), j->folder, digest_name(out->kind),
             out->digest, out->publishers ? ", as published" : ", recorded (the publisher names none)");
    return GRAFT_OK;
}

graft_status download(const struct published *p, const char *folder, bool again, struct found_file *out)
{
    struct job j = {.file = p, .folder = folder, .fd = -1};
    graft_status status = GRAFT_OK;
    *out = (struct found_file){.file = p->file, .place = PLACE_DOWNLOADED};
    TRY_GOTO(fetch_url(p, false, &j.url));
    TRY_GOTO(fetch_url(p, true, &j.shown_url));
    TRY_GOTO(http_ready());
    j.path = path_join(folder, p->file);
    j.part = j.path != NULL ? mem_format("%s.part", j.path) : NULL;
    j.note = j.path != NULL ? mem_format("%s.part.json", j.path) : NULL;
    if (j.part == NULL || j.note == NULL)
        TRY_GOTO(fail_memory("a file name"));
    TRY_GOTO(file_make_folder(folder));
    TRY_GOTO(part_lock(&j));
    if (file_exists(j.path) && cache_check(j.path, p->file, again, out) == GRAFT_OK) { // another process was faster
        file_ops.unlink(j.part);
        file_ops.unlink(j.note);
        out->place = PLACE_CACHE;
    } else {
        TRY_GOTO(note_read(&j));
        TRY_GOTO(complete(&j, out));
    }
    out->path = j.path;
    j.path = NULL;
done:
    if (j.fd >= 0)
        file_ops.close(j.fd); // and with it goes the lock
    mem_free(j.url);
    mem_free(j.shown_url);
    mem_free(j.path);
    mem_free(j.part);
    mem_free(j.note);
    return status;
}
