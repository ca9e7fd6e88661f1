// exec/simd.h: for the files that are compiled once per instruction set: `vec`, W floats in one register, as GCC and
// clang generalise them (+ - * by element, a float operand is spread), V lanes of the blocked layouts, and names of
// one's own. The build defines SET (avx512, avx2, plain), ISA_NAME, LANES and REGISTER (bytes of a vector register).
#pragma once

#if defined __AVX__
#include <immintrin.h>
#endif

enum { V = LANES, W = REGISTER / 4, PARTS = V / W }; // PARTS: registers that hold one block's lanes
typedef float vec __attribute__((vector_size(REGISTER), may_alias));
typedef float vec_any __attribute__((vector_size(REGISTER), may_alias, aligned(4))); // as it lies in memory
typedef int vec_mask __attribute__((vector_size(REGISTER))); // of a comparison: all ones where it holds
typedef unsigned char vec_bytes __attribute__((vector_size(REGISTER / 4), may_alias)); // a byte a lane

#define SET_PASTE(name, set) name##_##set
#define SET_EXPAND(name, set) SET_PASTE(name, set)
#define FOR_SET(name) SET_EXPAND(name, SET)

#define INLINE static inline __attribute__((always_inline))

INLINE vec vec_load(const float *p) { return *(const vec *)p; } // aligned
INLINE void vec_store(float *p, vec x) { *(vec *)p = x; }
INLINE vec vec_load_any(const float *p) { return *(const vec_any *)p; } // at any address
INLINE void vec_store_any(float *p, vec x) { *(vec_any *)p = x; }
INLINE vec vec_zero(void) { return (vec){0}; }
INLINE vec vec_spread(float x) { return x - (vec){0}; }
INLINE vec vec_choose(vec_mask mask, vec a, vec b) { return (vec)(((vec_mask)a & mask) | ((vec_mask)b & ~mask)); }
// Past the caches, for what is not read soon: whole cache lines, one register after the other, and a fence before
// others read.
INLINE void vec_stream(float *p, vec x)
{
#if REGISTER == 64
    _mm512_stream_ps(p, (__m512)x);
#elif REGISTER == 32
    _mm256_stream_ps(p, (__m256)x);
#else
    vec_store(p, x);
#endif
}
INLINE void vec_fence(void)
{
#if defined __AVX__
    _mm_sfence();
#endif
}
