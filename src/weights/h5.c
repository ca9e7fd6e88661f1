// weights/h5.c: reads Keras .h5 files through the helper process of h5_helper.c.
// In: a path and its mapped bytes.  Out: named tensors "LAYER//WEIGHT" that borrow those bytes, in Keras's order
// (both parts may hold slashes; a layer's tensors follow each other in the order of its weights).
// HDF5's library does not claim to survive hostile files, so it runs elsewhere: the helper opens the file under limits
// and lists it; this side checks every number against the mapped bytes.  A helper that dies or hangs is an error.
// Grammar of the listing, one JSON object a line:
//   {"keras_version": TEXT, "kind": TEXT[, "backend": TEXT][, "graft": TEXT]}        first
//   {"name": TEXT, "dtype": TEXT, "shape": [...], "offset": INT, "size": INT}        per tensor
//   {"end": COUNT}   or   {"error": TEXT}                                            last

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "weights/readers.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
int h5_helper_seconds = 30;
enum { LISTING_LIMIT = 64 << 20, CHUNK = 1 << 16 };

struct listing {
    char *text;
    size_t size, capacity;
};

// $GRAFT_HELPER, else graft-h5 beside the program, else ../libexec/graft/graft-h5.  `*out` is heap.
static graft_status helper_find(char **out)
{
    const char *set = getenv("GRAFT_HELPER");
    char program[PATH_MAX];
    if (set && *set)
        return (*out = mem_text(set)) ? GRAFT_OK : fail_memory("a path");
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = 0;
    static const char *const places[] = {"graft-h5", "../libexec/graft/graft-h5"};
    for (size_t i = 0; slash && i < COUNT_OF(places); i++) {
        char *path = path_join(program, places[i]);
        if (!path)
            return fail_memory("a path");
        if (access(path, X_OK) == 0)
            return *out = path, GRAFT_OK;
        mem_free(path);
    }
    return fail(GRAFT_FAILED, "Keras .h5 files need the program graft-h5, which is neither beside this program nor in "
                              "../libexec/graft; install it or set GRAFT_HELPER to its path");
}

// Starts `helper path [offset size]`; *out_fd is the reading end of its standard output.
static graft_status helper_start(const char *helper, const char *path, size_t offset, size_t size, pid_t *pid,
                                 int *out_fd)
{
    char offset_text[32], size_text[32];
    snprintf(offset_text, sizeof offset_text, "%zu", offset);
    snprintf(size_text, sizeof size_text, "%zu", size);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(GRAFT_NO_RESOURCE, "cannot make a pipe: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        if (error == 0)
            error = posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        if (error == 0)
            error = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        char *arguments[] = {(char *)helper, (char *)path, offset > 0 ? offset_text : NULL, size_text, NULL};
        if (error == 0)
            error = posix_spawn(pid, helper, &actions, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (error == 0)
        return *out_fd = ends[0], GRAFT_OK;
    close(ends[0]);
    return fail(GRAFT_FAILED, "cannot start %s: %s", helper, strerror(error));
}

static graft_status listing_receive(int fd, struct listing *out)
{
    double deadline = now_seconds() + h5_helper_seconds;
    for (;;) {
        double left = deadline - now_seconds();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&wait, 1, (int)(left * 1000) + 1) : 0;
        if (ready == 0)
            return fail(GRAFT_BAD_FILE, "HDF5 did not finish reading it in %d s", h5_helper_seconds);
        if (ready > 0) {
            if (out->size > LISTING_LIMIT)
                return fail(GRAFT_BAD_FILE, "its listing is over %d bytes", LISTING_LIMIT);
            if (!mem_grow(&out->text, &out->capacity, out->size + CHUNK, 1))
                return fail_memory("a listing");
            ssize_t got = read(fd, out->text + out->size, CHUNK);
            if (got == 0)
                return GRAFT_OK;
            if (got > 0)
                out->size += (size_t)got;
            else if (errno != EINTR)
                return fail(GRAFT_FAILED, "cannot read from graft-h5: %s", strerror(errno));
        } else if (errno != EINTR) {
            return fail(GRAFT_FAILED, "cannot wait for graft-h5: %s", strerror(errno));
        }
    }
}

// Runs the helper to its end.  `*how` is its wait status.
static graft_status helper_run(const char *path, size_t offset, size_t size, struct listing *out, int *how)
{
    char *helper = NULL;
    pid_t pid = 0;
    int fd = -1;
    TRY(helper_find(&helper));
    graft_status status = helper_start(helper, path, offset, size, &pid, &fd);
    mem_free(helper);
    if (status != GRAFT_OK)
        return status;
    status = listing_receive(fd, out);
    close(fd);
    if (status != GRAFT_OK)
        kill(pid, SIGKILL);
    *how = 0;
    while (waitpid(pid, how, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static graft_status tensor_read(const json_t *line, bytes data, size_t *total, struct tensor_set *out)
{
    const char *name = json_string_value(json_object_get(line, "name"));
    const char *spelled = json_string_value(json_object_get(line, "dtype"));
    const json_t *dims = json_object_get(line, "shape");
    json_int_t offset = json_integer_value(json_object_get(line, "offset"));
    json_int_t size = json_integer_value(json_object_get(line, "size"));
    enum dtype dtype = spelled ? dtype_from_name(spelled) : DTYPE_UNKNOWN;
    if (!name || dtype == DTYPE_UNKNOWN || !json_is_array(dims) || json_array_size(dims) > MAX_RANK)
        return fail(GRAFT_FAILED, "graft-h5 says something of another kind than expected");
    struct shape shape = {0};
    for (size_t i = 0; i < json_array_size(dims); i++)
        shape.dim[shape.rank++] = json_integer_value(json_array_get(dims, i));
    if (offset < 0 || size < 0 || (uint64_t)offset > data.size || (uint64_t)size > data.size - (uint64_t)offset)
        return fail(GRAFT_BAD_FILE, "tensor '%s': its %lld bytes at %lld lie outside the file of %zu: file cut short?",
                    name, (long long)size, (long long)offset, data.size);
    *total += (size_t)size;
    if (*total > data.size)
        return fail(GRAFT_BAD_FILE, "tensor '%s' overlaps others: together they are larger than the file", name);
    return weights_add(out, name, dtype, shape, (bytes){data.ptr + offset, (size_t)size});
}

static graft_status head_read(const json_t *line, struct tensor_set *out)
{
    const char *version = json_string_value(json_object_get(line, "keras_version"));
    const char *kind = json_string_value(json_object_get(line, "kind"));
    const char *graft = json_string_value(json_object_get(line, "graft"));
    if (!version || !kind)
        return fail(GRAFT_FAILED, "graft-h5 says something of another kind than expected");
    out->format = mem_format("Keras %c .%s", *version >= '0' && *version <= '9' ? *version : '1', kind);
    json_t *metadata = json_object(), *own = NULL;
    for (const char *const *key = (const char *const[]){"keras_version", "backend", NULL}; *key; key++)
        if (json_object_get(line, *key))
            json_object_set(metadata, *key, json_object_get(line, *key));
    graft_status status = keras_metadata(out, metadata);
    json_decref(metadata);
    if (status == GRAFT_OK && graft) { // a file of graft's own: what it says in .safetensors
        status = json_parse((bytes){(const uint8_t *)graft, strlen(graft)}, "attribute graft", &own);
        if (status == GRAFT_OK)
            status = keras_metadata(out, own);
        json_decref(own);
    }
    return status == GRAFT_OK && !out->format ? fail_memory("a listing") : status;
}

// `*ended` is set by the listing's last line.
static graft_status line_read(const json_t *line, bytes data, size_t *total, bool *ended, struct tensor_set *out)
{
    const json_t *error = json_object_get(line, "error"), *end = json_object_get(line, "end");
    if (error)
        return fail(GRAFT_BAD_FILE, "%s", json_is_string(error) ? json_string_value(error) : "unknown error");
    if (end) {
        *ended = json_integer_value(end) == (json_int_t)out->count;
        return GRAFT_OK;
    }
    return out->format ? tensor_read(line, data, total, out) : head_read(line, out);
}

graft_status h5_listing_read(bytes listing, bytes data, bool *ended, struct tensor_set *out)
{
    size_t total = 0, at = 0;
    while (!*ended && at < listing.size) {
        const uint8_t *from = listing.ptr + at, *newline = memchr(from, '\n', listing.size - at);
        if (!newline)
            return GRAFT_OK; // died while writing
        json_t *line;
        TRY(json_parse((bytes){from, (size_t)(newline - from)}, "graft-h5's answer", &line));
        graft_status status = line_read(line, data, &total, ended, out);
        json_decref(line);
        if (status != GRAFT_OK)
            return status;
        at = (size_t)(newline - listing.ptr) + 1;
    }
    return GRAFT_OK;
}

graft_status h5_read(const char *path, bytes data, size_t offset, struct tensor_set *out)
{
    struct listing listing = {0};
    int how = 0;
    bool ended = false;
    graft_status status = helper_run(path, offset, data.size, &listing, &how);
    if (status == GRAFT_OK)
        status = h5_listing_read((bytes){(const uint8_t *)listing.text, listing.size}, data, &ended, out);
    if (status == GRAFT_OK && !ended && WIFEXITED(how) && WEXITSTATUS(how) == 127)
        status = fail(GRAFT_FAILED, "graft-h5 does not start; is it or the HDF5 library missing?");
    else if (status == GRAFT_OK && !ended && WIFSIGNALED(how) && WTERMSIG(how) == SIGXCPU)
        status = fail(GRAFT_BAD_FILE, "HDF5 used up the processor time that graft allows for reading it: a damaged or "
                                      "hostile file");
    else if (status == GRAFT_OK && !ended)
        status = fail(GRAFT_BAD_FILE, "the HDF5 library died reading it (%s %d): a damaged or hostile file",
                      WIFSIGNALED(how) ? "signal" : "exit code", WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how));
    if (status == GRAFT_OK && out->count == 0)
        status = fail(GRAFT_BAD_FILE, "it has no weights");
    mem_free(listing.text);
    return status;
}
