// base/html.h: HTML whose texts are escaped by construction.
#pragma once

#include "base/bytes.h"
#include "base/text.h"

// As printf, but what a %s brings is escaped (&, <, >, quotes; bytes that are no UTF-8 and control characters become
// U+FFFD), so it may stand in elements and in quoted attributes.  Conversions: %s %d %zu %f %g %%, with flags and
// widths; %s takes a precision in bytes, too.
void html_put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void html_text(struct text *t, const char *text);
void html_base64(struct text *t, bytes data);
void html_share(struct text *t, double share);      // "62.3 %"; "-" where it is no number
void html_duration(struct text *t, double seconds); // "1 h 12 min", "15 s"
