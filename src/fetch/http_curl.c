// fetch/http_curl.c: one HTTP request with libcurl, which stays out of every process that downloads nothing: linked, it
// and the 30 libraries behind it would add 8 ms and 6.5 MB to each start of graft.
// Proxies are libcurl's: http_proxy, https_proxy, all_proxy, no_proxy.

#include "fetch/http.h"
#include "base/log.h"
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct http_limits http_limits = {.connect_seconds = 20, .stall_seconds = 30, .redirects = 10};

// What graft uses of the library, by the header's types.
static struct {
    void *library;
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_easy_init) *init;
    __typeof__(curl_easy_setopt) *set;
    __typeof__(curl_easy_perform) *perform;
    __typeof__(curl_easy_getinfo) *info;
    __typeof__(curl_easy_strerror) *text;
    __typeof__(curl_easy_cleanup) *cleanup;
    __typeof__(curl_slist_append) *list_append;
    __typeof__(curl_slist_free_all) *list_free;
} curl;

static void curl_open(void)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    const struct { const char *name; void *place; } symbols[] = {
        {"curl_global_init", &curl.global_init}, {"curl_easy_init", &curl.init}, {"curl_easy_setopt", &curl.set},
        {"curl_easy_perform", &curl.perform}, {"curl_easy_getinfo", &curl.info}, {"curl_easy_strerror", &curl.text},
        {"curl_easy_cleanup", &curl.cleanup}, {"curl_slist_append", &curl.list_append},
        {"curl_slist_free_all", &curl.list_free}};
    void *library = NULL;
    for (size_t i = 0; library == NULL && i < COUNT_OF(names); i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library != NULL && i < COUNT_OF(symbols); i++) {
        void *symbol = dlsym(library, symbols[i].name);
        if (symbol == NULL)
            return;
        memcpy(symbols[i].place, &symbol, sizeof symbol);
    }
    if (library != NULL && curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        curl.library = library; // stays open: TLS libraries do not like to be closed
}

graft_status http_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, curl_open);
    if (curl.library == NULL)
        return fail(GRAFT_BAD_FILE,
                    "libcurl is not on this machine and nothing can be downloaded (Debian: install libcurl4)");
    return GRAFT_OK;
}

struct transfer {
    const struct http_request *request;
    struct http_head *head;
    graft_status status; // what `data` failed with
};

// After "Name:", the value, cut to what fits; "" when it is too long.
static bool header_is(const char *line, size_t size, const char *name, char value[HTTP_TEXT])
{
    const size_t length = strlen(name);
    if (size <= length || strncasecmp(line, name, length) != 0 || line[length] != ':')
        return false;
    const char *at = line + length + 1, *end = line + size;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && strchr("\r\n \t", end[-1]) != NULL)
        end--;
    snprintf(value, HTTP_TEXT, "%.*s", end - at < HTTP_TEXT ? (int)(end - at) : 0, at);
    return true;
}

static size_t on_header(char *line, size_t one, size_t size, void *user)
{
    struct transfer *t = user;
    struct http_head *head = t->head;
    char value[HTTP_TEXT];
    long long begin, total;
    (void)one;
    if (size > 5 && strncmp(line, "HTTP/", 5) == 0) { // another answer begins: a redirect's, a proxy's
        const char *space = memchr(line, ' ', size);
        *head = (struct http_head){.length = -1, .range_begin = -1, .range_total = -1};
        head->status = space != NULL ? atoi(space + 1) : 0; // the line ends in a newline
    } else if (header_is(line, size, "Content-Length", value))
        head->length = strtoll(value, NULL, 10);
    else if (header_is(line, size, "Content-Range", value)) {
        if (sscanf(value, "bytes %lld-%*d/%lld", &begin, &total) == 2) {
            head->range_begin = begin;
            head->range_total = total;
        } else if (sscanf(value, "bytes */%lld", &total) == 1)
            head->range_total = total;
    } else if (header_is(line, size, "Retry-After", value))
        head->retry_after = atoi(value);
    else if (!header_is(line, size, "ETag", head->etag) && !header_is(line, size, "Last-Modified", head->modified))
        header_is(line, size, "Content-Type", head->type);
    return size;
}

static size_t on_data(char *data, size_t one, size_t size, void *user)
{
    struct transfer *t = user;
    (void)one;
    t->status = t->request->data(t->request->user, t->head, data, size);
    return t->status == GRAFT_OK ? size : 0;
}

static int on_tick(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *t = user;
    (void)a, (void)b, (void)c, (void)d;
    if (t->request->tick != NULL)
        t->request->tick(t->request->user);
    return hooks_cancelled();
}

// Whether a later attempt may do better.  A server that was never there will hardly appear; one that answered may
// return.
static bool may_pass(CURLcode code, bool reached)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
        return reached;
    default:
        return false;
    }
}

// false: no memory, the only way that setting an option fails.
static bool request_prepare(CURL *handle, struct transfer *t, char *error, struct curl_slist **headers)
{
    const struct http_request *q = t->request;
    char range[64], line[HTTP_TEXT + 16];
    bool ok = true;
#define SET(option, value) ok = ok && curl.set(handle, (option), (value)) == CURLE_OK
    SET(CURLOPT_URL, q->url);
    SET(CURLOPT_ERRORBUFFER, error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "graft/" GRAFT_VERSION);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, strncasecmp(q->url, "https:", 6) == 0 ? "https" : "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, (long)http_limits.redirects);
    SET(CURLOPT_CONNECTTIMEOUT, (long)http_limits.connect_seconds);
    SET(CURLOPT_LOW_SPEED_LIMIT, 100L); // bytes a second: a trickle is a stall
    SET(CURLOPT_LOW_SPEED_TIME, (long)http_limits.stall_seconds);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_data);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_XFERINFOFUNCTION, on_tick);
    SET(CURLOPT_XFERINFODATA, t);
    SET(CURLOPT_NOPROGRESS, 0L);
    if (q->from > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)q->from);
        SET(CURLOPT_RANGE, range);
    }
    if (q->from > 0 && q->validator != NULL) {
        snprintf(line, sizeof line, "If-Range: %s", q->validator);
        *headers = curl.list_append(NULL, line);
        ok = ok && *headers != NULL;
        SET(CURLOPT_HTTPHEADER, *headers);
    }
#undef SET
    return ok;
}

graft_status http_get(const struct http_request *request, struct http_head *head, bool *again, bool *reached)
{
    struct transfer t = {.request = request, .head = head};
    char error[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    *head = (struct http_head){.length = -1, .range_begin = -1, .range_total = -1};
    *again = *reached = false;
    TRY(http_ready());
    CURL *handle = curl.init();
    if (handle == NULL || !request_prepare(handle, &t, error, &headers)) {
        curl.cleanup(handle);
        curl.list_free(headers);
        return fail_memory("a download");
    }
    const CURLcode code = curl.perform(handle);
    *reached = head->status > 0;
    *again = may_pass(code, *reached);
    curl.cleanup(handle);
    curl.list_free(headers);
    if (code == CURLE_OK)
        return GRAFT_OK;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return fail(GRAFT_CANCELLED, "stopped");
    if (code == CURLE_WRITE_ERROR && t.status != GRAFT_OK)
        return t.status; // its message stands
    if (code == CURLE_OUT_OF_MEMORY)
        return fail_memory("a download");
    return fail(GRAFT_BAD_FILE, "%s%s", error[0] != '\0' ? error : curl.text(code),
                code == CURLE_UNSUPPORTED_PROTOCOL && *reached ? " (a redirect to it is not followed)" : "");
}
