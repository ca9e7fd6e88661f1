// fetch/server.h: an HTTP server on 127.0.0.1 that misbehaves on request.  One file, under any name:
// http://127.0.0.1:PORT/MANNER/NAME; the manners are listed in server.c.
#pragma once

#include <stddef.h>

// Serves `data` (borrowed) from threads of this process; gives the port.
int server_start(const void *data, size_t size);
// Requests of a manner since server_forget, which also forgets what was seen.
int server_hits(const char *manner);
void server_forget(void);
// Of the last request: "GET ... HTTP/1.1", the values of its Range and If-Range or "".
struct server_seen {
    char line[512], range[128], if_range[128];
};
struct server_seen server_last(void);
