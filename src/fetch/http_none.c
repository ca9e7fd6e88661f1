// fetch/http_none.c: stands in for http_curl.c in a graft that was built without libcurl.

#include "fetch/http.h"

struct http_limits http_limits;

graft_status http_ready(void)
{
    return fail(GRAFT_BAD_FILE, "this graft was built without libcurl and cannot download (Debian: install "
                                "libcurl4-openssl-dev and build again)");
}

graft_status http_get(const struct http_request *request, struct http_head *head, bool *again, bool *reached)
{
    (void)request;
    *head = (struct http_head){0};
    *again = *reached = false;
    return http_ready();
}
