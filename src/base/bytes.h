// base/bytes.h: bounded bytes, and a reader over them that cannot run past the end.
#pragma once

#include "base/status.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct bytes {
    const uint8_t *ptr;
    size_t size;
} bytes;

// Reads in order; after the first read past the end `failed` stays set and every read gives 0.
struct reader {
    bytes data;
    size_t at;
    bool failed;
};

struct reader reader_of(bytes data);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r); // little-endian, as are the next two
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
uint16_t read_u16_be(struct reader *r);
uint32_t read_u32_be(struct reader *r);
bytes read_bytes(struct reader *r, size_t count); // borrows; empty when past the end
static inline size_t reader_left(const struct reader *r) { return r->data.size - r->at; }

// false on overflow.
static inline bool mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
