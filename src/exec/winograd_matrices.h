// exec/winograd_matrices.h: the one-dimensional transforms of Winograd's F(4,3), points 0, +-5/8, +-3/2, infinity.
// For every filter g of 3, data d of 6, and the outputs y of 4 of their correlation, and for the gradient e of y:
//   y = A' [(G g) . (B' d)]        gradient of g = G' [(A e) . (B' d)]
// Both dimensions one after the other give F(4x4,3x3).  B' and A are exact in float; G is rounded once.
// A pair +-a of points shares the even and the odd part of its polynomial.  The functions read and write vectors at
// strides (in vectors); a vector holds channels, each transformed for itself.
// Included by the files that are compiled once per instruction set: `vec` is W floats.
#pragma once

#ifndef WINO_REAL // the tests' is double
#define WINO_REAL float
#endif
#define WINO_P 0.625f
#define WINO_Q 1.5f
#define WINO_PP (WINO_P * WINO_P)
#define WINO_QQ (WINO_Q * WINO_Q)
// 1 / product of the differences to the other points: of 0, +-p, +-q (1 at infinity)
#define WINO_N0 ((WINO_REAL)(256.0 / 225))
#define WINO_NP ((WINO_REAL)(-2048.0 / 2975))
#define WINO_NQ ((WINO_REAL)(128.0 / 1071))
#define WINO_P_NP ((WINO_REAL)(-256.0 / 595))
#define WINO_Q_NQ ((WINO_REAL)(64.0 / 357))
#define WINO_PP_NP ((WINO_REAL)(-32.0 / 119))
#define WINO_QQ_NQ ((WINO_REAL)(32.0 / 119))

INLINE void wino_data(const vec *d, const int ds, vec *out, const int os) // B': 6 -> 6
{
    const vec d0 = d[0], d1 = d[ds], d2 = d[2 * ds], d3 = d[3 * ds], d4 = d[4 * ds], d5 = d[5 * ds];
    const vec even_p = d4 - d2 * WINO_QQ, odd_p = d3 - d1 * WINO_QQ;
    const vec even_q = d4 - d2 * WINO_PP, odd_q = d3 - d1 * WINO_PP;
    out[0] = d0 * (WINO_PP * WINO_QQ) + (d4 - d2 * (WINO_PP + WINO_QQ));
    out[os] = even_p + odd_p * WINO_P;
    out[2 * os] = even_p - odd_p * WINO_P;
    out[3 * os] = even_q + odd_q * WINO_Q;
    out[4 * os] = even_q - odd_q * WINO_Q;
    out[5 * os] = d1 * (WINO_PP * WINO_QQ) + (d5 - d3 * (WINO_PP + WINO_QQ));
}

INLINE void wino_filter(const vec *g, const int gs, vec *out, const int os) // G: 3 -> 6
{
    const vec g0 = g[0], g1 = g[gs], g2 = g[2 * gs];
    const vec even_p = g0 * WINO_NP + g2 * WINO_PP_NP, odd_p = g1 * WINO_P_NP;
    const vec even_q = g0 * WINO_NQ + g2 * WINO_QQ_NQ, odd_q = g1 * WINO_Q_NQ;
    out[0] = g0 * WINO_N0;
    out[os] = even_p + odd_p;
    out[2 * os] = even_p - odd_p;
    out[3 * os] = even_q + odd_q;
    out[4 * os] = even_q - odd_q;
    out[5 * os] = g2;
}

INLINE void wino_output(const vec *m, const int ms, vec *out, const int os) // A': 6 -> 4
{
    const vec sum_p = m[ms] + m[2 * ms], difference_p = m[ms] - m[2 * ms];
    const vec sum_q = m[3 * ms] + m[4 * ms], difference_q = m[3 * ms] - m[4 * ms];
    out[0] = m[0] + sum_p + sum_q;
    out[os] = difference_p * WINO_P + difference_q * WINO_Q;
    out[2 * os] = sum_p * WINO_PP + sum_q * WINO_QQ;
    out[3 * os] = difference_p * (WINO_P * WINO_PP) + (difference_q * (WINO_Q * WINO_QQ) + m[5 * ms]);
}

INLINE void wino_gradient(const vec *e, const int es, vec *out, const int os) // A: 4 -> 6
{
    const vec e0 = e[0], e1 = e[es], e2 = e[2 * es], e3 = e[3 * es];
    const vec even_p = e0 + e2 * WINO_PP, odd_p = (e1 + e3 * WINO_PP) * WINO_P;
    const vec even_q = e0 + e2 * WINO_QQ, odd_q = (e1 + e3 * WINO_QQ) * WINO_Q;
    out[0] = e0;
    out[os] = even_p + odd_p;
    out[2 * os] = even_p - odd_p;
    out[3 * os] = even_q + odd_q;
    out[4 * os] = even_q - odd_q;
    out[5 * os] = e3;
}

INLINE void wino_filter_gradient(const vec *u, const int us, vec *out, const int os) // G': 6 -> 3
{
    const vec sum_p = u[us] + u[2 * us], difference_p = u[us] - u[2 * us];
    const vec sum_q = u[3 * us] + u[4 * us], difference_q = u[3 * us] - u[4 * us];
    out[0] = u[0] * WINO_N0 + (sum_p * WINO_NP + sum_q * WINO_NQ);
    out[os] = difference_p * WINO_P_NP + difference_q * WINO_Q_NQ;
    out[2 * os] = sum_p * WINO_PP_NP + (sum_q * WINO_QQ_NQ + u[5 * us]);
}
