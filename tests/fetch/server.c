// fetch/server.c: the misbehaving HTTP server.  A thread a connection, a connection a request.
// Every manner that is not about ranges understands them, with a strong entity tag, as servers of weights do.

#include "server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MANNERS = 64, PIECE = 16384 };

static struct {
    const char *data;
    size_t size;
    int listener;
    pthread_mutex_t lock;
    struct { char name[32]; int hits; } manners[MANNERS];
    struct server_seen seen;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int *hits_of(const char *manner) // under the lock
{
    int i = 0;
    while (i < MANNERS - 1 && server.manners[i].name[0] != '\0' && strcmp(server.manners[i].name, manner) != 0)
        i++;
    snprintf(server.manners[i].name, sizeof server.manners[i].name, "%s", manner);
    return &server.manners[i].hits;
}

int server_hits(const char *manner)
{
    pthread_mutex_lock(&server.lock);
    const int hits = *hits_of(manner);
    pthread_mutex_unlock(&server.lock);
    return hits;
}

void server_forget(void)
{
    pthread_mutex_lock(&server.lock);
    memset(server.manners, 0, sizeof server.manners);
    memset(&server.seen, 0, sizeof server.seen);
    pthread_mutex_unlock(&server.lock);
}

struct server_seen server_last(void)
{
    pthread_mutex_lock(&server.lock);
    const struct server_seen seen = server.seen;
    pthread_mutex_unlock(&server.lock);
    return seen;
}

static void put(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        const ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return; // the other side has gone
        at += sent;
        size -= (size_t)sent;
    }
}

static void say(int fd, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put(fd, text, strlen(text));
}

static void until_closed(int fd) // as a hanging server does
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        ;
}

static void header_copy(const char *request, const char *name, char *out, size_t size)
{
    const char *at = strcasestr(request, name);
    snprintf(out, size, "%.*s", at != NULL ? (int)strcspn(at + strlen(name), "\r\n") : 0,
             at != NULL ? at + strlen(name) : "");
}

struct reply {
    int fd, n; // n: the manner's hits
    size_t from;
    const char *tag, *if_range, *validators;
};

// Head and body from r->from on, or from the beginning where the client has an older version; `length` bytes of it are
// sent, `said` more than are left are promised.
static void send_part(const struct reply *r, size_t length, long said, bool wrong)
{
    const bool current = r->if_range[0] == '\0' || strstr(r->validators, r->if_range) != NULL;
    const size_t from = current ? r->from : 0, left = server.size - (from < server.size ? from : server.size);
    if (from > 0 && from >= server.size) {
        say(r->fd,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */%zu\r\nContent-Length: 6\r\n\r\nno more",
            server.size);
        return;
    }
    if (from > 0)
        say(r->fd, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\n", from, server.size - 1,
            server.size);
    else
        say(r->fd, "HTTP/1.1 200 OK\r\n");
    say(r->fd, "Content-Type: application/octet-stream\r\nContent-Length: %ld\r\n%s\r\n", (long)left + said,
        r->validators);
    if (length > left)
        length = left;
    if (!wrong)
        put(r->fd, server.data + from, length);
    for (size_t i = 0; wrong && i < length; i++) {
        const char c = (char)~server.data[from + i];
        put(r->fd, &c, 1);
    }
}

static void send_all(const struct reply *r) { send_part(r, server.size, 0, false); }
static void send_half(const struct reply *r) { send_part(r, server.size / 2, 0, false); }

static void send_chunks(const struct reply *r, size_t length)
{
    say(r->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < length; at += PIECE) {
        const size_t n = length - at < PIECE ? length - at : PIECE;
        say(r->fd, "%zx\r\n", n);
        put(r->fd, server.data + at, n);
        say(r->fd, "\r\n");
    }
    if (length == server.size)
        say(r->fd, "0\r\n\r\n");
}

static void send_slowly(const struct reply *r)
{
    say(r->fd, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%zu/%zu\r\n%s\r\n",
        r->from > 0 ? "206 Partial Content" : "200 OK", server.size - r->from, r->from, server.size - 1, server.size,
        r->validators);
    for (size_t at = r->from; at < server.size; at += PIECE) {
        put(r->fd, server.data + at, server.size - at < PIECE ? server.size - at : PIECE);
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000L}, NULL);
    }
}

static void reset(int fd) // the line breaks, rather than ends
{
    const struct linger hard = {1, 0};
    nanosleep(&(struct timespec){.tv_nsec = 100 * 1000000L}, NULL); // what was sent arrives first
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

static void answer(struct reply *r, const char *manner, const char *name)
{
    const size_t left = server.size - (r->from < server.size ? r->from : server.size);
#define IS(text) (strcmp(manner, text) == 0)
    if (IS("dated"))
        r->validators = "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
    else if (IS("weak"))
        r->validators = "ETag: W/\"v1\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n";
    else if (IS("bare"))
        r->validators = "";
    else if (IS("changed") && r->n > 1)
        r->validators = "ETag: \"v2\"\r\n";

    if (IS("plain"))
        send_all(r);
    else if (IS("cut") || IS("dated") || IS("weak") || IS("bare") || IS("changed"))
        r->n == 1 ? send_half(r) : send_all(r);
    else if (IS("pieces")) // closes after 100,000 bytes, each time
        send_part(r, 100000, 0, false);
    else if (IS("nothing")) // a head and no body, each time
        send_part(r, 0, 0, false);
    else if (IS("reset")) {
        r->n == 1 ? send_half(r) : send_all(r);
        if (r->n == 1)
            reset(r->fd);
    } else if (IS("stall")) {
        r->n == 1 ? send_half(r) : send_all(r);
        until_closed(r->fd);
    } else if (IS("mute"))
        until_closed(r->fd);
    else if (IS("missing"))
        say(r->fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot here\n");
    else if (IS("forbidden"))
        say(r->fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    else if (IS("busy") && r->n < 3)
        say(r->fd, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater");
    else if (IS("limited") && r->n == 1)
        say(r->fd, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n");
    else if (IS("busy") || IS("limited"))
        send_all(r);
    else if (IS("down"))
        say(r->fd, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    else if (IS("unsatisfied")) // will not hear of ranges
        r->from > 0 ? say(r->fd, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n") : send_all(r);
    else if (IS("wrong"))
        send_part(r, server.size, 0, true);
    else if (IS("norange")) {
        r->from = 0;
        r->n == 1 ? send_half(r) : send_all(r);
    } else if (IS("badbegin") || IS("badtotal")) {
        if (r->n == 1)
            send_half(r);
        else if (r->n == 2 && r->from > 0) {
            const size_t begin = IS("badbegin") ? 0 : r->from, total = IS("badtotal") ? server.size + 5 : server.size;
            say(r->fd,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n\r\n",
                begin, server.size - 1, total, left);
            put(r->fd, server.data, left);
        } else
            send_all(r);
    } else if (IS("page"))
        say(r->fd,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 13\r\n\r\n<html>log in.");
    else if (IS("text")) // what is no weight file, and does not say so
        say(r->fd, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html>log in.");
    else if (IS("huge"))
        say(r->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n%512s", "x");
    else if (IS("endless")) {
        say(r->fd, "HTTP/1.1 200 OK\r\n\r\n");
        for (int i = 0; i < 4096; i++)
            put(r->fd, server.data, PIECE);
    } else if (IS("less")) { // says half of what it sends
        say(r->fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", server.size / 2);
        put(r->fd, server.data, server.size);
    } else if (IS("more")) // says more than there is
        send_part(r, server.size, 1000, false);
    else if (IS("chunks"))
        send_chunks(r, server.size);
    else if (IS("cutchunks"))
        send_chunks(r, r->n == 1 ? server.size / 2 : server.size);
    else if (IS("close")) { // no length: the end is the connection's
        say(r->fd, "HTTP/1.1 200 OK\r\n\r\n");
        put(r->fd, server.data, server.size);
    } else if (IS("slow"))
        send_slowly(r);
    else if (IS("hop"))
        say(r->fd,
            "HTTP/1.1 302 Found\r\nLocation: /plain/%s\r\nETag: \"of the redirect\"\r\nContent-Length: 0\r\n\r\n",
            name);
    else if (IS("loop"))
        say(r->fd, "HTTP/1.1 302 Found\r\nLocation: /loop/%s\r\nContent-Length: 0\r\n\r\n", name);
    else if (IS("tofile"))
        say(r->fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    else if (IS("garbage"))
        say(r->fd, "SSH-2.0-OpenSSH_9.2\r\n");
    else if (IS("empty"))
        say(r->fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    else if (IS("hub") && strstr(name, ".safetensors") != NULL) // has one kind of file only
        send_all(r);
    else
        say(r->fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
#undef IS
}

static void *connection(void *user)
{
    const int fd = (int)(long)user;
    char request[8192], manner[32] = "", name[256] = "", if_range[128];
    size_t size = 0;
    request[0] = '\0';
    while (size < sizeof request - 1 && strstr(request, "\r\n\r\n") == NULL) {
        const ssize_t got = recv(fd, request + size, sizeof request - 1 - size, 0);
        if (got <= 0)
            break;
        request[size += (size_t)got] = '\0';
    }
    const char *path = request + strcspn(request, " ") + 1;
    if (strncmp(path, "http://", 7) == 0) // we are taken for a proxy
        path += 7 + strcspn(path + 7, "/");
    if (size > 0 && sscanf(path, "/%31[^/ ]/%255[^ ]", manner, name) == 2) {
        pthread_mutex_lock(&server.lock);
        snprintf(server.seen.line, sizeof server.seen.line, "%.*s", (int)strcspn(request, "\r\n"), request);
        header_copy(request, "\r\nRange: ", server.seen.range, sizeof server.seen.range);
        header_copy(request, "\r\nIf-Range: ", server.seen.if_range, sizeof server.seen.if_range);
        snprintf(if_range, sizeof if_range, "%s", server.seen.if_range);
        struct reply r = {.fd = fd, .n = ++*hits_of(manner), .if_range = if_range, .validators = "ETag: \"v1\"\r\n"};
        sscanf(server.seen.range, "bytes=%zu-", &r.from);
        pthread_mutex_unlock(&server.lock);
        answer(&r, manner, name);
    }
    shutdown(fd, SHUT_WR);
    close(fd);
    return NULL;
}

static void *accept_all(void *user)
{
    (void)user;
    for (;;) {
        pthread_t thread;
        const int fd = accept(server.listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (pthread_create(&thread, NULL, connection, (void *)(long)fd) == 0)
            pthread_detach(thread);
    }
}

int server_start(const void *data, size_t size)
{
    pthread_t thread;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server.data = data;
    server.size = size;
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.listener < 0 || bind(server.listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server.listener, 16) != 0 || getsockname(server.listener, (struct sockaddr *)&address, &length) != 0 ||
        pthread_create(&thread, NULL, accept_all, NULL) != 0) {
        perror("the test's server");
        exit(1);
    }
    pthread_detach(thread);
    return ntohs(address.sin_port);
}
