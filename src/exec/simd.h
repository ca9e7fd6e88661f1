// exec/simd.h: for the files that are compiled once per instruction set: `vec`, W floats in one register, as GCC and clang
// generalise them (+ - * by element, a float operand is spread), V lanes of the blocked layouts, and names of one's own.
// The build defines SET (avx512, avx2, plain), ISA_NAME, LANES and REGISTER (bytes of a vector register).
#pragma once

enum { V = LANES, W = REGISTER / 4, PARTS = V / W }; // PARTS: registers that hold one block's lanes
typedef float vec __attribute__((vector_size(REGISTER), may_alias));
typedef int vec_mask __attribute__((vector_size(REGISTER))); // of a comparison: all ones where it holds

#define SET_PASTE(name, set) name##_##set
#define SET_EXPAND(name, set) SET_PASTE(name, set)
#define FOR_SET(name) SET_EXPAND(name, SET)

#define INLINE static inline __attribute__((always_inline))

INLINE vec vec_load(const float *p) { return *(const vec *)p; } // aligned
INLINE void vec_store(float *p, vec x) { *(vec *)p = x; }
INLINE vec vec_zero(void) { return (vec){0}; }
INLINE vec vec_spread(float x) { return x - (vec){0}; }
INLINE vec vec_choose(vec_mask mask, vec a, vec b) { return (vec)(((vec_mask)a & mask) | ((vec_mask)b & ~mask)); }
