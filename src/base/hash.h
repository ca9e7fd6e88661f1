// base/hash.h: XXH64, a 64-bit checksum for our own files and for telling whether data changed, and CRC-32C, which
// TensorBoard's files have.  Not for signatures.
#pragma once

#include "base/bytes.h"

struct hash {
    uint64_t lane[4], total;
    uint8_t tail[32]; // bytes that do not yet fill a stripe: total % 32 of them
};
void hash_init(struct hash *h);
void hash_put(struct hash *h, const void *data, size_t size);
uint64_t hash_end(const struct hash *h); // of all bytes put so far; more may follow
uint64_t hash_of(bytes data);
uint32_t crc32c(bytes data); // Castagnoli's polynomial, reflected; that of "123456789" is 0xe3069283
