// base/bytes.c: the bounded reader.

#include "base/bytes.h"
#include <string.h>

struct reader reader_of(bytes data) { return (struct reader){.data = data}; }

bytes read_bytes(struct reader *r, size_t count)
{
    if (r->failed || count > reader_left(r)) {
        r->failed = true;
        return (bytes){0};
    }
    const bytes part = {r->data.ptr + r->at, count};
    r->at += count;
    return part;
}

static uint64_t little(struct reader *r, size_t count)
{
    const bytes part = read_bytes(r, count);
    uint64_t value = 0;
    for (size_t i = part.size; i-- > 0;)
        value = value << 8 | part.ptr[i];
    return value;
}

uint8_t read_u8(struct reader *r) { return (uint8_t)little(r, 1); }
uint16_t read_u16(struct reader *r) { return (uint16_t)little(r, 2); }
uint32_t read_u32(struct reader *r) { return (uint32_t)little(r, 4); }
uint64_t read_u64(struct reader *r) { return little(r, 8); }
uint16_t read_u16_be(struct reader *r) { return __builtin_bswap16(read_u16(r)); }
uint32_t read_u32_be(struct reader *r) { return __builtin_bswap32(read_u32(r)); }
