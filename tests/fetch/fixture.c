// fetch/fixture.c: a home of this process, a server in it, log lines and progress, what is asked of every download.

#include "fixture.h"
#include "base/memory.h"
#include "fetch/http.h"
#include "scratch.h"
#include "server.h"
#include "weights/weights.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char scratch[64], cache[128]; // HOME, and our folder in it
struct file_map served;       // what the server has: a small weight file
int port;
char digest[DIGEST_TEXT];
char hashed[32];              // "data-XXXXXXXX.pth": a name that holds the digest's beginning
char logged[16384];           // log lines since the test began
graft_progress last;
int progressed;
volatile sig_atomic_t interrupted;

static void on_log(void *user, graft_level level, const char *text)
{
    (void)user, (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", text);
}
static void on_progress(void *user, const graft_progress *p)
{
    (void)user;
    last = *p;
    progressed++;
}
static int on_cancelled(void *user)
{
    (void)user;
    return interrupted;
}
static const graft_hooks hooks = {.log = on_log, .progress = on_progress, .cancelled = on_cancelled};

void check_text(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' lacks '%s'", text, part);
}
void check_message(const char *part) { check_text(graft_message(), part); }
void check_logged(const char *part) { check_text(logged, part); }

void folder_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char path[512];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            folder_remove(path);
        else
            unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

int fresh(void **state)
{
    (void)state;
    folder_remove(scratch);
    mkdir(scratch, 0777);
    server_forget();
    logged[0] = '\0';
    interrupted = progressed = 0;
    download_limits = (struct download_limits){.attempts = 3, .first_wait = 0.01, .longest_wait = 0.05};
    unsetenv("GRAFT_MIRROR");
    hooks_set(&hooks);
    return 0;
}

bool there(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return file_exists(path);
}

off_t size_of(const char *name)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return stat(path, &st) == 0 ? st.st_size : -1;
}

void put_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_make_folder(folder), GRAFT_OK);
    assert_int_equal(file_write_all(path, data, size), GRAFT_OK);
}

struct published offered(const char *manner, const char *name)
{
    static char url[256];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/%s/%s", port, manner, name);
    return (struct published){.file = name, .url = url};
}

graft_status get(const char *manner, const char *name, struct found_file *out)
{
    const struct published p = offered(manner, name);
    return download(&p, cache, false, out);
}

void assert_whole(const char *name, struct found_file *f)
{
    struct file_map map;
    char record[64], part[64], note[64];
    assert_non_null(f->path);
    assert_int_equal(file_map_open(f->path, &map), GRAFT_OK);
    assert_int_equal(map.data.size, served.data.size);
    assert_memory_equal(map.data.ptr, served.data.ptr, served.data.size);
    file_map_close(&map);
    assert_int_equal(f->size, served.data.size);
    assert_string_equal(f->digest, digest);
    snprintf(record, sizeof record, "%s.json", name);
    snprintf(part, sizeof part, "%s.part", name);
    snprintf(note, sizeof note, "%s.part.json", name);
    assert_true(there(name));
    assert_true(there(record));
    assert_false(there(part));
    assert_false(there(note));
    found_file_free(f);
}

void assert_gets(const char *manner, const char *name)
{
    struct found_file f;
    const graft_status status = get(manner, name, &f);
    if (status != GRAFT_OK)
        fail_msg("%s: %s", manner, graft_message());
    assert_whole(name, &f);
}

void assert_fails(const char *manner, const char *name, const char *reason, int hits)
{
    struct found_file f;
    assert_int_equal(get(manner, name, &f), GRAFT_BAD_FILE);
    check_message(reason);
    assert_null(f.path);
    assert_false(there(name));
    assert_int_equal(server_hits(manner), hits);
}

void prepare(void)
{
    enum { VALUES = 200000 };
    char path[128];
    struct tensor_set set = {0};
    float *values = mem_alloc(VALUES * sizeof *values);
    for (int i = 0; i < VALUES; i++)
        values[i] = (float)i * 0.37f;
    if (temporary_make(scratch, sizeof scratch) != 0)
        exit(1);
    snprintf(path, sizeof path, "%s/served", scratch);
    snprintf(cache, sizeof cache, "%s/.cache/graft", scratch);
    if (tensor_set_add(&set, "x", DTYPE_F32, SHAPE(VALUES), values) != GRAFT_OK ||
        safetensors_write(path, &set, NULL) != GRAFT_OK || file_map_open(path, &served) != GRAFT_OK ||
        digest_file(path, DIGEST_SHA256, digest) != GRAFT_OK)
        exit(1);
    tensor_set_free(&set);
    mem_free(values);
    snprintf(hashed, sizeof hashed, "data-%.8s.pth", digest);
    static const char *const variables[] = {"XDG_CACHE_HOME", "KERAS_HOME", "TORCH_HOME",  "HF_HOME",
                                            "HF_HUB_CACHE",   "http_proxy", "https_proxy", "HTTPS_PROXY",
                                            "all_proxy",      "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    setenv("HOME", scratch, 1);
    port = server_start(served.data.ptr, served.data.size);
    http_limits = (struct http_limits){.connect_seconds = 5, .stall_seconds = 1, .redirects = 5};
}
