// base/text.c: text that grows.

#include "base/text.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int utf8_length(const unsigned char *s)
{
    const int length = s[0] < 0x80                   ? 1
                       : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                       : (s[0] & 0xf0) == 0xe0       ? 3
                       : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                     : 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return length;
}

void line_of(const char *text, char *out, size_t size)
{
    size_t at = 0;
    while (*text != '\0') {
        const unsigned char *s = (const unsigned char *)text;
        int length = utf8_length(s);
        if ((*s < 0x20 && *s != '\t') || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) // C0, delete, C1
            length = 0;
        char escaped[5];
        if (length == 0)
            snprintf(escaped, sizeof escaped, *s == '\n' ? "\\n" : "\\x%02x", *s);
        const size_t more = length > 0 ? (size_t)length : strlen(escaped);
        if (at + more >= size)
            break;
        memcpy(out + at, length > 0 ? text : escaped, more);
        at += more;
        text += length > 0 ? length : 1;
    }
    out[at] = '\0';
}

static bool reserve(struct text *t, size_t more)
{
    t->broken = t->broken || !mem_grow(&t->data, &t->capacity, t->size + more + 1, 1);
    return !t->broken;
}

void text_put(struct text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    ASSERT(n >= 0);
    if (reserve(t, (size_t)n)) {
        vsnprintf(t->data + t->size, (size_t)n + 1, format, again);
        t->size += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void text_put_bytes(struct text *t, const void *data, size_t size)
{
    if (!reserve(t, size))
        return;
    memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = '\0';
}

void text_put_field(struct text *t, const char *field)
{
    if (!t->quotes && strpbrk(field, ",\"\n\r") == NULL) {
        text_put_bytes(t, field, strlen(field));
        return;
    }
    text_put_bytes(t, "\"", 1);
    for (; *field != '\0'; field++) {
        if (*field == '"')
            text_put_bytes(t, "\"", 1);
        text_put_bytes(t, field, 1);
    }
    text_put_bytes(t, "\"", 1);
}

graft_status text_status(const struct text *t) { return t->broken ? fail_memory("a text") : GRAFT_OK; }

graft_status text_write(struct text *t, const char *path)
{
    graft_status status = path != NULL ? text_status(t) : fail_memory("a path");
    if (status == GRAFT_OK)
        status = file_write_all(path, t->data, t->size);
    text_fini(t);
    return status;
}

void text_fini(struct text *t)
{
    mem_free(t->data);
    *t = (struct text){0};
}
