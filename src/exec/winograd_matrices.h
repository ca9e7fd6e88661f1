// exec/winograd_matrices.h: the one-dimensional transforms of Winograd's F(m,r): m outputs of a filter of r taps out of
// m + r - 1 products, one for each of the points 0, some pairs +-a, and infinity.
// For every filter g of r, data d, and the outputs y of their correlation, and for the gradient e of y:
//   y = A' [(G g) . (B' d)]        gradient of g = G' [(A e) . (B' d)]
// Both dimensions one after the other give F(m x m, r x r); the line of one tap leaves its dimension alone.  B' and A
// are exact in float; G is rounded once.  Row i of B' is the polynomial whose roots are the other points; a pair's two
// share their even and their odd part.  The functions read and write vectors at strides (in vectors); a vector holds
// channels, each transformed for itself.
// Included by the files that are compiled once per instruction set: `vec` is W floats.
#pragma once

#ifndef WINO_REAL // the tests' is double
#define WINO_REAL float
#endif

enum { WINO_PAIRS_MOST = 4, WINO_TAPS_MOST = 7, WINO_OUT_MOST = 4, WINO_LINE_MOST = 10, WINO_POINTS_MOST = 36 };
struct wino_line {
    int taps, out, pairs, points;
    WINO_REAL all[WINO_PAIRS_MOST + 1];                      // product of (x^2 - a^2) over the pairs: its coefficients
    WINO_REAL others[WINO_PAIRS_MOST][WINO_PAIRS_MOST];      // over all pairs but this one
    WINO_REAL power[WINO_PAIRS_MOST][WINO_OUT_MOST];         // a^j
    WINO_REAL zero, filter[WINO_PAIRS_MOST][WINO_TAPS_MOST]; // G: 1 / N of the point 0, a^k / N of a pair
};

// Coefficients of the product of (x^2 - a), ...
#define WINO_PRODUCT_1(a) {-(a), 1}
#define WINO_PRODUCT_2(a, b) {(a) * (b), -((a) + (b)), 1}
#define WINO_PRODUCT_3(a, b, c) {-(a) * (b) * (c), (a) * (b) + (a) * (c) + (b) * (c), -((a) + (b) + (c)), 1}
#define WINO_PRODUCT_4(a, b, c, d)                                                                                     \
    {(a) * (b) * (c) * (d), -((a) * (b) * (c) + (a) * (b) * (d) + (a) * (c) * (d) + (b) * (c) * (d)),                  \
     (a) * (b) + (a) * (c) + (a) * (d) + (b) * (c) + (b) * (d) + (c) * (d), -((a) + (b) + (c) + (d)), 1}
#define WINO_POWERS(a) {1, a, (a) * (a), (a) * (a) * (a)}
// n: the product of a's differences to all other points
#define WINO_FILTER(a, n)                                                                                              \
    {1 / (n), (a) / (n), (a) * (a) / (n), (a) * (a) * (a) / (n), (a) * (a) * (a) * (a) / (n),                          \
     (a) * (a) * (a) * (a) * (a) / (n), (a) * (a) * (a) * (a) * (a) * (a) / (n)}
#define WINO_N2(a, b) (2 * (a) * (a) * ((a) * (a) - (b) * (b)))
#define WINO_N4(a, b, c, d) (WINO_N2(a, b) * ((a) * (a) - (c) * (c)) * ((a) * (a) - (d) * (d)))
#define WINO_LINE_6(r, m, a, b)                                                                                        \
    {.taps = r, .out = m, .pairs = 2, .points = 6, .all = WINO_PRODUCT_2((a) * (a), (b) * (b)),                        \
     .others = {WINO_PRODUCT_1((b) * (b)), WINO_PRODUCT_1((a) * (a))}, .power = {WINO_POWERS(a), WINO_POWERS(b)},      \
     .zero = 1 / ((a) * (a) * (b) * (b)),                                                                              \
     .filter = {WINO_FILTER(a, WINO_N2(a, b)), WINO_FILTER(b, WINO_N2(b, a))}}
#define WINO_LINE_10(r, m, a, b, c, d)                                                                                 \
    {.taps = r, .out = m, .pairs = 4, .points = 10,                                                                    \
     .all = WINO_PRODUCT_4((a) * (a), (b) * (b), (c) * (c), (d) * (d)),                                                \
     .others = {WINO_PRODUCT_3((b) * (b), (c) * (c), (d) * (d)), WINO_PRODUCT_3((a) * (a), (c) * (c), (d) * (d)),      \
                WINO_PRODUCT_3((a) * (a), (b) * (b), (d) * (d)), WINO_PRODUCT_3((a) * (a), (b) * (b), (c) * (c))},     \
     .power = {WINO_POWERS(a), WINO_POWERS(b), WINO_POWERS(c), WINO_POWERS(d)},                                        \
     .zero = 1 / ((a) * (a) * (b) * (b) * (c) * (c) * (d) * (d)),                                                      \
     .filter = {WINO_FILTER(a, WINO_N4(a, b, c, d)), WINO_FILTER(b, WINO_N4(b, a, c, d)),                              \
                WINO_FILTER(c, WINO_N4(c, a, b, d)), WINO_FILTER(d, WINO_N4(d, a, b, c))}}

// wino_line_TAPS_OUT.  The points are those of the least rounding error among fractions whose products are exact.
// Beside F(4x4,3x3) the results' error is half with F(4,3) alone, the same with F(2x2,5x5), twice with F(4,7).
static const struct wino_line wino_line_1_1 = {.taps = 1, .out = 1, .points = 1};
static const struct wino_line wino_line_3_4 = WINO_LINE_6(3, 4, 0.625, 1.5);
static const struct wino_line wino_line_5_2 = WINO_LINE_6(5, 2, 0.625, 1.5);
static const struct wino_line wino_line_7_4 = WINO_LINE_10(7, 4, 0.4375, 0.8125, 1.25, 2.25);

#define WINO_UNROLL _Pragma("GCC unroll 10") // every loop goes over a line's constants

INLINE void wino_data(const struct wino_line *l, const vec *d, const int ds, vec *out, const int os) // B'
{
    const int pairs = l->pairs;
    if (l->points == 1) {
        out[0] = d[0];
        return;
    }
    vec first = d[2 * pairs * ds], last = d[(2 * pairs + 1) * ds];
    WINO_UNROLL for (int k = pairs - 1; k >= 0; k--) {
        first += d[2 * k * ds] * l->all[k];
        last += d[(2 * k + 1) * ds] * l->all[k];
    }
    WINO_UNROLL for (int i = 0; i < pairs; i++) {
        vec even = d[2 * pairs * ds], odd = d[(2 * pairs - 1) * ds];
        WINO_UNROLL for (int k = pairs - 2; k >= 0; k--) {
            even += d[(2 * k + 2) * ds] * l->others[i][k];
            odd += d[(2 * k + 1) * ds] * l->others[i][k];
        }
        out[(2 * i + 1) * os] = even + odd * l->power[i][1];
        out[(2 * i + 2) * os] = even - odd * l->power[i][1];
    }
    out[0] = first;
    out[(2 * pairs + 1) * os] = last;
}

INLINE void wino_filter(const struct wino_line *l, const vec *g, const int gs, vec *out, const int os) // G
{
    if (l->points == 1) {
        out[0] = g[0];
        return;
    }
    WINO_UNROLL for (int i = 0; i < l->pairs; i++) {
        vec even = g[0] * l->filter[i][0], odd = g[gs] * l->filter[i][1];
        WINO_UNROLL for (int k = 2; k < l->taps; k += 2)
            even += g[k * gs] * l->filter[i][k];
        WINO_UNROLL for (int k = 3; k < l->taps; k += 2)
            odd += g[k * gs] * l->filter[i][k];
        out[(2 * i + 1) * os] = even + odd;
        out[(2 * i + 2) * os] = even - odd;
    }
    out[(2 * l->pairs + 1) * os] = g[(l->taps - 1) * gs];
    out[0] = g[0] * l->zero;
}

INLINE void wino_output(const struct wino_line *l, const vec *m, const int ms, vec *out, const int os) // A'
{
    if (l->points == 1) {
        out[0] = m[0];
        return;
    }
    vec sum[WINO_PAIRS_MOST] = {0}, difference[WINO_PAIRS_MOST] = {0};
    WINO_UNROLL for (int i = 0; i < l->pairs; i++) {
        sum[i] = m[(2 * i + 1) * ms] + m[(2 * i + 2) * ms];
        difference[i] = m[(2 * i + 1) * ms] - m[(2 * i + 2) * ms];
    }
    WINO_UNROLL for (int j = 0; j < l->out; j++) {
        const vec *half = j % 2 == 0 ? sum : difference;
        vec y = half[0] * l->power[0][j];
        if (j == 0)
            y += m[0];
        if (j == l->out - 1)
            y += m[(2 * l->pairs + 1) * ms];
        WINO_UNROLL for (int i = 1; i < l->pairs; i++)
            y += half[i] * l->power[i][j];
        out[j * os] = y;
    }
}

INLINE void wino_gradient(const struct wino_line *l, const vec *e, const int es, vec *out, const int os) // A
{
    if (l->points == 1) {
        out[0] = e[0];
        return;
    }
    WINO_UNROLL for (int i = 0; i < l->pairs; i++) {
        vec even = e[0], odd = e[es] * l->power[i][1];
        WINO_UNROLL for (int j = 2; j < l->out; j += 2)
            even += e[j * es] * l->power[i][j];
        WINO_UNROLL for (int j = 3; j < l->out; j += 2)
            odd += e[j * es] * l->power[i][j];
        out[(2 * i + 1) * os] = even + odd;
        out[(2 * i + 2) * os] = even - odd;
    }
    out[(2 * l->pairs + 1) * os] = e[(l->out - 1) * es];
    out[0] = e[0];
}

INLINE void wino_filter_gradient(const struct wino_line *l, const vec *u, const int us, vec *out, const int os) // G'
{
    if (l->points == 1) {
        out[0] = u[0];
        return;
    }
    vec sum[WINO_PAIRS_MOST] = {0}, difference[WINO_PAIRS_MOST] = {0};
    WINO_UNROLL for (int i = 0; i < l->pairs; i++) {
        sum[i] = u[(2 * i + 1) * us] + u[(2 * i + 2) * us];
        difference[i] = u[(2 * i + 1) * us] - u[(2 * i + 2) * us];
    }
    WINO_UNROLL for (int k = 0; k < l->taps; k++) {
        const vec *half = k % 2 == 0 ? sum : difference;
        vec g = half[0] * l->filter[0][k];
        WINO_UNROLL for (int i = 1; i < l->pairs; i++)
            g += half[i] * l->filter[i][k];
        if (k == 0)
            g += u[0] * l->zero;
        if (k == l->taps - 1)
            g += u[(2 * l->pairs + 1) * us];
        out[k * os] = g;
    }
}
