// fetch/http.h: private to fetch/: one HTTP request.  What to make of the answer is the caller's (download.c).
// http_curl.c does it with libcurl, which is opened when it is first needed; http_none.c where graft was built without.
#pragma once

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

enum { HTTP_TEXT = 256 };
// The head of the answer; of the last one where there were redirects.
struct http_head {
    int status;              // 200, 404, ...; 0: none came
    int64_t length;          // Content-Length; -1: not said
    int64_t range_begin, range_total; // Content-Range "bytes BEGIN-END/TOTAL", "bytes */TOTAL"; -1: not said
    char etag[HTTP_TEXT], modified[HTTP_TEXT], type[HTTP_TEXT]; // "" where not said or too long to be of use
    int retry_after;         // seconds; 0: not said
};
struct http_request {
    const char *url;         // http: or https:; an https: one is never redirected to http:
    uint64_t from;           // > 0: "Range: bytes=from-"
    const char *validator;   // of what we have so far, for If-Range, or NULL
    void *user;
    graft_status (*data)(void *user, const struct http_head *head, const void *data, size_t size);
    void (*tick)(void *user); // every second or more often
};
// GRAFT_OK: an answer came whole, whatever its status.  GRAFT_CANCELLED: hooks_cancelled.  What `data` fails with.
// GRAFT_BAD_FILE otherwise; then `*again` says whether the same request may succeed later, `*reached` whether the
// server answered at all.
graft_status http_get(const struct http_request *request, struct http_head *head, bool *again, bool *reached);
graft_status http_ready(void); // whether there is an HTTP client, or why not and what to do

// Patience; tests shorten it.  There is no limit on the whole: a slow line may take hours.
struct http_limits {
    int connect_seconds; // to a connection
    int stall_seconds;   // without a byte
    int redirects;
};
extern struct http_limits http_limits;
