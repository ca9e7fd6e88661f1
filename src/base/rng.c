// base/rng.c: the counter hash.  Each word is added to a running state that splitmix64's finaliser then mixes.

#include "base/rng.h"

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t rng_hash(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    return mix(mix(mix(mix(a + golden) + b + golden) + c + golden) + d + golden);
}

void rng_shuffle(uint32_t *items, uint32_t n, uint64_t a, uint64_t b, uint64_t c)
{
    for (uint32_t i = n; i > 1; i--) {
        const uint32_t k = (uint32_t)(((__uint128_t)rng_hash(a, b, c, i) * i) >> 64);
        const uint32_t kept = items[i - 1];
        items[i - 1] = items[k];
        items[k] = kept;
    }
}
