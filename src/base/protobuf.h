// base/protobuf.h: Protocol Buffers' wire format: a bounded reader, and a writer into memory.
// A message is a run of fields, each `key value`; key = varint(number << 3 | wire).
#pragma once

#include "base/bytes.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };
struct pb_field {
    uint32_t number;
    enum pb_wire wire;
    uint64_t value; // varints and fixed ones
    bytes data;     // PB_BYTES: borrowed
};
// The next field of a message; `*more` is false at its end.  Groups (long deprecated) are refused.
graft_status pb_next(struct reader *r, struct pb_field *out, bool *more);
uint64_t pb_varint_read(struct reader *r); // of a packed field; r->failed past the end or beyond 64 bits

// Grows as it is written to; a failed allocation sticks and is reported once, by pb_finish.  Zeroed is ready for use.
struct pb_writer {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
};
void pb_int(struct pb_writer *w, uint32_t number, int64_t value);
void pb_double(struct pb_writer *w, uint32_t number, double value);
void pb_doubles(struct pb_writer *w, uint32_t number, const double *values, size_t n); // packed
void pb_float(struct pb_writer *w, uint32_t number, float value);
void pb_bytes(struct pb_writer *w, uint32_t number, const void *data, size_t size);
void pb_text(struct pb_writer *w, uint32_t number, const char *text);
void pb_message(struct pb_writer *w, uint32_t number, struct pb_writer *take_inner); // leaves `take_inner` zeroed
// The key and length of a field whose `size` bytes the caller writes elsewhere, after what `w` holds.
void pb_begin(struct pb_writer *w, uint32_t number, uint64_t size);
graft_status pb_finish(const struct pb_writer *w);
void pb_writer_fini(struct pb_writer *w);
