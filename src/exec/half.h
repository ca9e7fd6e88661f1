// exec/half.h: for the files that are compiled once per instruction set: bf16, 16 bits a number, to and from `vec`.
#pragma once

#include "exec/kernels.h"
#include "exec/simd.h"
#include <math.h>
#include <stdint.h>

typedef uint32_t vec_bits __attribute__((vector_size(REGISTER), may_alias));
typedef uint16_t vec_half __attribute__((vector_size(REGISTER / 2), may_alias, aligned(2)));

INLINE vec widened(vec_half x) { return (vec)(__builtin_convertvector(x, vec_bits) << 16); }

// To the nearest, ties to the even.
INLINE vec_half rounded(vec x)
{
#if defined __AVX512BF16__
    return (vec_half)_mm512_cvtneps_pbh((__m512)x);
#else
    const vec_bits bits = (vec_bits)x, up = bits + 0x7fff + ((bits >> 16) & 1);
    const vec_bits nan = bits | 0x400000; // stays one when its low half is gone
    const vec_mask is_nan = x != x;
    return __builtin_convertvector(((nan & (vec_bits)is_nan) | (up & ~(vec_bits)is_nan)) >> 16, vec_half);
#endif
}

// `count` channels from p on, W at most, none where it is not positive; what lies past them is not touched.
INLINE vec some_load(const uint16_t *p, int count)
{
    if (count >= W)
        return widened(*(const vec_half *)p);
    vec_half half = {0};
    for (int l = 0; l < count; l++)
        half[l] = p[l];
    return widened(half);
}
INLINE void some_store(uint16_t *p, vec x, int count)
{
    const vec_half half = rounded(x);
    if (count >= W)
        *(vec_half *)p = half;
    else
        for (int l = 0; l < count; l++)
            p[l] = half[l];
}

INLINE vec activated(vec x, enum dnn_act act)
{
    if (act == ACT_NONE)
        return x;
    x = vec_choose(x < 0, vec_zero(), x); // as act_value
    return act == ACT_RELU6 ? vec_choose(x > 6, vec_spread(6), x) : x;
}
INLINE vec masked(vec made, vec diff, enum dnn_act act)
{
    const vec limit = vec_spread(act == ACT_RELU6 ? 6 : INFINITY);
    return vec_choose((made > 0) & (made < limit), diff, vec_zero());
}
