// base/html.c: escaping, base64, figures as people read them.

#include "base/html.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put_escaped(struct text *t, const char *text, size_t most)
{
    static const char replacement[] = "\xef\xbf\xbd";
    const char *end = text + strnlen(text, most);
    while (text < end) {
        const int length = utf8_length((const unsigned char *)text);
        const char *entity = *text == '&'    ? "&amp;"
                             : *text == '<'  ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;
        const bool control = (unsigned char)*text < 0x20 ? *text != '\n' && *text != '\t' : *text == 0x7f;
        if (length > end - text)
            break; // a character that the precision cuts
        if (entity != NULL)
            text_put_bytes(t, entity, strlen(entity));
        else if (length == 0 || control)
            text_put_bytes(t, replacement, sizeof replacement - 1);
        else
            text_put_bytes(t, text, (size_t)length);
        text += length > 0 ? length : 1;
    }
}

void html_text(struct text *t, const char *text) { put_escaped(t, text, strlen(text)); }

void html_put(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    while (*format != '\0') {
        const size_t plain = strcspn(format, "%");
        text_put_bytes(t, format, plain);
        format += plain;
        if (*format == '\0')
            break;
        char spec[16];
        const size_t length = 2 + strspn(format + 1, "-+ 0123456789.z");
        ASSERT(length < sizeof spec);
        memcpy(spec, format, length);
        spec[length] = '\0';
        const char *dot = strchr(spec, '.');
        int precision = -1;
        switch (spec[length - 1]) {
        case '%':
            text_put_bytes(t, "%", 1);
            break;
        case 's':
            if (dot != NULL && sscanf(dot + 1, "%d", &precision) != 1)
                precision = 0;
            put_escaped(t, va_arg(args, const char *), precision < 0 ? SIZE_MAX : (size_t)precision);
            break;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // a piece of a format that the caller's compiler has checked
        case 'd':
            text_put(t, spec, va_arg(args, int));
            break;
        case 'u':
            text_put(t, spec, va_arg(args, size_t));
            break;
        case 'f':
        case 'g':
            text_put(t, spec, va_arg(args, double));
            break;
#pragma GCC diagnostic pop
        default:
            bug(__FILE__, __LINE__, format);
        }
        format += length;
    }
    va_end(args);
}

void html_base64(struct text *t, bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < data.size; i += 3) {
        const size_t left = data.size - i;
        const uint32_t bits = (uint32_t)data.ptr[i] << 16 | (left > 1 ? (uint32_t)data.ptr[i + 1] << 8 : 0) |
                              (left > 2 ? data.ptr[i + 2] : 0);
        const char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63], left > 1 ? digits[bits >> 6 & 63] : '=',
                              left > 2 ? digits[bits & 63] : '='};
        text_put_bytes(t, four, 4);
    }
}

void html_share(struct text *t, double share)
{
    if (isfinite(share))
        text_put(t, "%.1f&nbsp;%%", share * 100);
    else
        text_put(t, "&ndash;");
}

void html_duration(struct text *t, double seconds)
{
    const long whole = seconds > 0 && seconds < 1e12 ? lround(seconds) : 0;
    if (whole < 10)
        text_put(t, "%.1f&nbsp;s", seconds > 0 ? seconds : 0);
    else if (whole < 60)
        text_put(t, "%ld&nbsp;s", whole);
    else if (whole < 3600)
        text_put(t, "%ld&nbsp;min %02ld&nbsp;s", whole / 60, whole % 60);
    else
        text_put(t, "%ld&nbsp;h %02ld&nbsp;min", whole / 3600, whole / 60 % 60);
}
