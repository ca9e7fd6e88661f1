// base/protobuf.c: Protocol Buffers' wire format.
// Grammar:  varint: 7 bits a byte, least significant first, the high bit says that more follow; 64-bit and 32-bit
//           values are little-endian; bytes, texts and messages are varint length | content.
// Source:   the format's public documentation.  A generated parser would need the schemas of ONNX and Caffe and would
//           hold all weights in memory a second time; this borrows and streams them.

#include "base/protobuf.h"
#include "base/memory.h"
#include <string.h>

uint64_t pb_varint_read(struct reader *r)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = read_u8(r);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    r->failed = true;
    return 0;
}

graft_status pb_next(struct reader *r, struct pb_field *out, bool *more)
{
    const size_t at = r->at;
    *out = (struct pb_field){0};
    *more = !r->failed && reader_left(r) > 0;
    if (!*more)
        return GRAFT_OK;
    const uint64_t key = pb_varint_read(r);
    if (!r->failed && (key >> 3 == 0 || key >> 3 >= 1u << 29))
        return fail(GRAFT_BAD_FILE, "protobuf: field number %llu at byte %zu", (unsigned long long)(key >> 3), at);
    out->number = (uint32_t)(key >> 3);
    out->wire = (enum pb_wire)(key & 7);
    switch (out->wire) {
    case PB_VARINT:
        out->value = pb_varint_read(r);
        break;
    case PB_FIXED64:
        out->value = read_u64(r);
        break;
    case PB_FIXED32:
        out->value = read_u32(r);
        break;
    case PB_BYTES: {
        const uint64_t size = pb_varint_read(r);
        out->data = read_bytes(r, size);
        break;
    }
    default:
        return fail(GRAFT_BAD_FILE, "protobuf: field %u at byte %zu has wire type %u", out->number, at,
                    (unsigned)out->wire);
    }
    if (r->failed)
        return fail(GRAFT_BAD_FILE,
                    "protobuf: field at byte %zu runs past the end of its message of %zu bytes: cut short?", at,
                    r->data.size);
    return GRAFT_OK;
}

static void put(struct pb_writer *w, const void *data, size_t size)
{
    if (w->failed || size == 0)
        return;
    if (!mem_grow(&w->data, &w->capacity, w->size + size, 1)) {
        w->failed = true;
        return;
    }
    memcpy(w->data + w->size, data, size);
    w->size += size;
}

static void put_varint(struct pb_writer *w, uint64_t value)
{
    uint8_t text[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        text[n++] = (uint8_t)(value | 0x80);
    text[n++] = (uint8_t)value;
    put(w, text, n);
}

static void put_key(struct pb_writer *w, uint32_t number, enum pb_wire wire)
{
    put_varint(w, (uint64_t)number << 3 | wire);
}

void pb_int(struct pb_writer *w, uint32_t number, int64_t value)
{
    put_key(w, number, PB_VARINT);
    put_varint(w, (uint64_t)value);
}

static void put_double(struct pb_writer *w, double value)
{
    uint64_t bits;
    uint8_t text[8];
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++)
        text[i] = (uint8_t)(bits >> (8 * i));
    put(w, text, sizeof text);
}

void pb_double(struct pb_writer *w, uint32_t number, double value)
{
    put_key(w, number, PB_FIXED64);
    put_double(w, value);
}

void pb_doubles(struct pb_writer *w, uint32_t number, const double *values, size_t n)
{
    pb_begin(w, number, n * 8);
    for (size_t i = 0; i < n; i++)
        put_double(w, values[i]);
}

void pb_float(struct pb_writer *w, uint32_t number, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint8_t text[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
    put_key(w, number, PB_FIXED32);
    put(w, text, sizeof text);
}

void pb_begin(struct pb_writer *w, uint32_t number, uint64_t size)
{
    put_key(w, number, PB_BYTES);
    put_varint(w, size);
}

void pb_bytes(struct pb_writer *w, uint32_t number, const void *data, size_t size)
{
    pb_begin(w, number, size);
    put(w, data, size);
}

void pb_text(struct pb_writer *w, uint32_t number, const char *text) { pb_bytes(w, number, text, strlen(text)); }

void pb_message(struct pb_writer *w, uint32_t number, struct pb_writer *take_inner)
{
    pb_bytes(w, number, take_inner->data, take_inner->size);
    w->failed |= take_inner->failed;
    pb_writer_fini(take_inner);
}

graft_status pb_finish(const struct pb_writer *w) { return w->failed ? fail_memory("a message") : GRAFT_OK; }

void pb_writer_fini(struct pb_writer *w)
{
    mem_free(w->data);
    *w = (struct pb_writer){0};
}
