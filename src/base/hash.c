// base/hash.c: XXH64 with seed 0, byte order independent.
// Stripes of 32 bytes feed four lanes; the lanes, the total and the tail are mixed at the end.
// Source: the algorithm's published specification (xxhash_spec.md, XXH64); a single changed bit always changes the
// result of its stripe's lane, for each step of a lane is a bijection.

#include "base/hash.h"
#include <string.h>

static const uint64_t P1 = 0x9e3779b185ebca87u, P2 = 0xc2b2ae3d27d4eb4fu, P3 = 0x165667b19e3779f9u,
                      P4 = 0x85ebca77c2b2ae63u, P5 = 0x27d4eb2f165667c5u;

static uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static uint64_t little(const uint8_t *at, int size)
{
    uint64_t value = 0;
    for (int i = size; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static uint64_t round_of(uint64_t lane, uint64_t input) { return rotate(lane + input * P2, 31) * P1; }

void hash_init(struct hash *h) { *h = (struct hash){.lane = {P1 + P2, P2, 0, 0 - P1}}; }

static void stripe(struct hash *h, const uint8_t *at)
{
    for (int i = 0; i < 4; i++)
        h->lane[i] = round_of(h->lane[i], little(at + 8 * i, 8));
}

void hash_put(struct hash *h, const void *data, size_t size)
{
    const uint8_t *at = data;
    const size_t held = h->total % sizeof h->tail;
    h->total += size;
    if (held > 0) {
        const size_t part = size < sizeof h->tail - held ? size : sizeof h->tail - held;
        memcpy(h->tail + held, at, part);
        if (held + part < sizeof h->tail)
            return;
        stripe(h, h->tail);
        at += part;
        size -= part;
    }
    for (; size >= sizeof h->tail; at += sizeof h->tail, size -= sizeof h->tail)
        stripe(h, at);
    if (size > 0)
        memcpy(h->tail, at, size);
}

uint64_t hash_end(const struct hash *h)
{
    const uint64_t *v = h->lane;
    uint64_t x = P5; // fewer bytes than a stripe: no lane was used
    if (h->total >= sizeof h->tail) {
        x = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18);
        for (int i = 0; i < 4; i++)
            x = (x ^ round_of(0, v[i])) * P1 + P4;
    }
    x += h->total;
    const uint8_t *at = h->tail;
    size_t left = h->total % sizeof h->tail;
    for (; left >= 8; at += 8, left -= 8)
        x = rotate(x ^ round_of(0, little(at, 8)), 27) * P1 + P4;
    if (left >= 4) {
        x = rotate(x ^ little(at, 4) * P1, 23) * P2 + P3;
        at += 4;
        left -= 4;
    }
    for (; left > 0; at++, left--)
        x = rotate(x ^ *at * P5, 11) * P1;
    x = (x ^ x >> 33) * P2;
    x = (x ^ x >> 29) * P3;
    return x ^ x >> 32;
}

uint64_t hash_of(bytes data)
{
    struct hash h;
    hash_init(&h);
    hash_put(&h, data.ptr, data.size);
    return hash_end(&h);
}
