// base/text.h: text that grows as it is written to.  A failed allocation sticks; text_status reports it once, at the
// end.
#pragma once

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>

// Length of the well-formed UTF-8 character at `s`, 0: there is none (overlong forms and surrogates are none).
int utf8_length(const unsigned char *s);
// For messages, whose file names are anybody's: on one line, without control characters; what is none or not UTF-8
// becomes \xNN, a newline \n.  Cut to fit.
void line_of(const char *text, char *out, size_t size);

struct text { // zeroed is ready for use; `data` ends with a zero byte once something was put
    char *data;
    size_t size, capacity;
    bool broken; // memory ran out
    bool quotes; // text_put_field quotes every field
};
void text_put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_put_bytes(struct text *t, const void *data, size_t size);
void text_put_field(struct text *t, const char *field); // of a CSV: quoted where it must be
// All of it into a file, atomically (file.h), and ends it.  `path` NULL: there was no memory for it.
graft_status text_write(struct text *t, const char *path);
graft_status text_status(const struct text *t);
void text_fini(struct text *t);
