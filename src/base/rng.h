// base/rng.h: counter-based random numbers.  A draw is a pure function of its key, so results never depend on threads.
#pragma once

#include <stdint.h>

// Well mixed 64 bits from a key of four words (splitmix64 finaliser over a running sum).
uint64_t rng_hash(uint64_t a, uint64_t b, uint64_t c, uint64_t d);
// What a key's first word stands for, so that streams never meet.
enum rng_stream { RNG_INIT = 1, RNG_SHUFFLE, RNG_SPLIT, RNG_DROPOUT, RNG_AUGMENT, RNG_BENCH, RNG_TEST,
                  RNG_BOOTSTRAP, RNG_BALANCE, RNG_PSEUDO };

static inline float rng_unit(uint64_t hash) { return (float)(hash >> 40) * 0x1p-24f; } // [0, 1)
// Fisher-Yates over `n` indices, keyed.
void rng_shuffle(uint32_t *items, uint32_t n, uint64_t a, uint64_t b, uint64_t c);
