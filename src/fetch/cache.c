// fetch/cache.c: our folder, and the records beside the files.

#include "fetch/cache.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

graft_status cache_folder(char **out)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *out = NULL;
    if (cache != NULL && cache[0] == '/') // the standard: a relative one is to be ignored
        *out = mem_format("%s/graft", cache);
    else if (home != NULL && home[0] == '/')
        *out = mem_format("%s/.cache/graft", home);
    else
        return fail(GRAFT_BAD_FILE,
                    "there is no place for published weights: neither XDG_CACHE_HOME nor HOME is a folder");
    return *out != NULL ? GRAFT_OK : fail_memory("a folder name");
}

static int64_t time_of(const struct stat *st) { return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec; }

static graft_status record_path(const char *file, char **out)
{
    char *folder;
    TRY(cache_folder(&folder));
    *out = mem_format("%s/%s.json", folder, file);
    mem_free(folder);
    return *out != NULL ? GRAFT_OK : fail_memory("a file name");
}

graft_status cache_record(const char *path, const char *file, const struct found_file *checked)
{
    struct stat st;
    char *name = NULL, *folder = NULL, *absolute = realpath(path, NULL); // Keras's and PyTorch's folders may be links
    json_t *record = NULL;
    graft_status status = GRAFT_OK;
    if (absolute == NULL || stat(absolute, &st) != 0)
        TRY_GOTO(fail_system("inspect", path));
    record = json_pack("{s:s, s:I, s:I, s:s}", "path", absolute, "size", (json_int_t)st.st_size, "mtime_ns",
                       (json_int_t)time_of(&st), digest_name(checked->kind), checked->digest);
    if (record == NULL)
        TRY_GOTO(fail(GRAFT_FAILED, "'%s' cannot be recorded: its name is not UTF-8, or memory ran out", path));
    TRY_GOTO(record_path(file, &name));
    TRY_GOTO(cache_folder(&folder));
    TRY_GOTO(file_make_folder(folder));
    status = json_write_file(name, record);
done:
    json_decref(record);
    mem_free(folder);
    mem_free(name);
    free(absolute);
    return status;
}

// The digest recorded of this path, or NULL; `*fresh` where size and time are as they were then.  `*record` owns it.
static const char *recorded(const char *path, const char *file, const struct stat *st, enum digest_kind kind,
                            bool *fresh, json_t **record)
{
    char *name, *absolute = realpath(path, NULL);
    *record = NULL;
    *fresh = false;
    const bool named = record_path(file, &name) == GRAFT_OK;
    const bool read = named && absolute != NULL && file_exists(name) && json_read_file(name, record) == GRAFT_OK;
    if (named)
        mem_free(name);
    const char *of = json_string_value(json_object_get(*record, "path"));
    const char *digest = json_string_value(json_object_get(*record, digest_name(kind)));
    const bool same = read && of != NULL && strcmp(of, absolute) == 0;
    free(absolute);
    if (!same || digest == NULL || strlen(digest) >= DIGEST_TEXT)
        return NULL; // a damaged record, or one of another file, is as good as none
    *fresh = json_integer_value(json_object_get(*record, "size")) == st->st_size &&
             json_integer_value(json_object_get(*record, "mtime_ns")) == time_of(st);
    return digest;
}

graft_status cache_check(const char *path, const char *file, bool again, struct found_file *out)
{
    struct stat st;
    char expected[DIGEST_TEXT];
    json_t *record;
    bool fresh;
    if (stat(path, &st) != 0)
        return fail_system("inspect", path);
    out->size = (uint64_t)st.st_size;
    out->kind = published_kind(file);
    const char *before = recorded(path, file, &st, out->kind, &fresh, &record);
    graft_status status = GRAFT_OK;
    const bool known = before != NULL && fresh && !again;
    if (known)
        memcpy(out->digest, before, strlen(before) + 1);
    else
        TRY_GOTO(digest_file(path, out->kind, out->digest));
    const enum published_match match = published_match(file, out->digest, expected);
    out->publishers = match == PUBLISHED_SAME;
    if (match == PUBLISHED_DIFFERS)
        TRY_GOTO(fail(GRAFT_BAD_FILE,
                      "'%s' is not the file that is published under that name: its %s is %s, expected %s%s", path,
                      digest_name(out->kind), out->digest, strlen(expected) < 32 ? "to begin with " : "", expected));
    if (match == PUBLISHED_UNKNOWN && before != NULL && strcmp(before, out->digest) != 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "'%s' has changed since it was first used: its %s is %s, expected %s", path,
                      digest_name(out->kind), out->digest, before));
    if (!known) // where the record cannot be written, the next use takes the digest once more
        (void)cache_record(path, file, out);
done:
    json_decref(record);
    return status;
}
