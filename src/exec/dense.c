// exec/dense.c: the matrix products of dense layers.  Compiled once per instruction set, see exec/simd.h.
// A batch is small beside the weights, which are more than the caches hold (VGG16's first layer: 411 MB): each pass
// reads or writes them once, in pieces of some kilobytes, and what it needs again for each piece stays in the caches.
// Every sum has one owner and one order, so results never depend on the thread count.

#include "exec/kernels.h"
#include "exec/simd.h"

#if LANES == 16
enum { PICTURES = 4, UNITS = 6, ROWS = 8, HALF = 4 }; // 24 sums in 32 registers
#else
enum { PICTURES = 3, UNITS = 4, ROWS = 4, HALF = 2 }; // 12 in 16
#endif
enum { COLUMNS = 3 };        // registers of a row of `products`
enum { DOT_PIECE = 1536 };   // floats of k: UNITS rows of weights in the first-level cache
enum { SUM_PIECE = 16 * COLUMNS * W, SUM_UNITS = 32 }; // of k, for a batch of sums in the second level; rows at a time
#define UNROLL _Pragma("GCC unroll 8")

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int parts_of(int size, int part) { return (size + part - 1) / part; }

INLINE float vec_total(vec x)
{
    vec_mask lane;
    UNROLL for (int i = 0; i < W; i++)
        lane[i] = i;
    UNROLL for (int half = W / 2; half > 0; half /= 2)
        x += __builtin_shuffle(x, lane ^ half);
    return x[0];
}

// y[p][u] (+)= sum over i < n of x[p][i] * w[u][i]; rows of x and w are k floats apart, of y `units`.
INLINE void dots(const int pictures, const int rows, struct dense_shape s, const float *x, const float *w, int n,
                 float *y, bool add)
{
    vec sum[PICTURES][UNITS];
    const size_t k = (size_t)s.k;
    int i = 0;
    UNROLL for (int p = 0; p < pictures; p++)
        UNROLL for (int u = 0; u < rows; u++)
            sum[p][u] = vec_zero();
    for (; i + W <= n; i += W) {
        vec in[PICTURES];
        UNROLL for (int p = 0; p < pictures; p++)
            in[p] = vec_load_any(x + p * k + i);
        UNROLL for (int u = 0; u < rows; u++) {
            const vec weight = vec_load_any(w + u * k + i);
            UNROLL for (int p = 0; p < pictures; p++)
                sum[p][u] += in[p] * weight;
        }
    }
    UNROLL for (int p = 0; p < pictures; p++)
        UNROLL for (int u = 0; u < rows; u++) {
            float total = vec_total(sum[p][u]), *at = y + (size_t)p * s.units + u;
            for (int tail = i; tail < n; tail++)
                total += x[p * k + tail] * w[u * k + tail];
            *at = add ? *at + total : total;
        }
}

// The same for any number of pictures, one or UNITS rows.
INLINE void dots_all(const int rows, struct dense_shape s, const float *x, const float *w, int n, float *y, bool add)
{
    for (int p = 0; p < s.n; p += PICTURES) {
        const float *in = x + (size_t)p * s.k;
        float *out = y + (size_t)p * s.units;
        switch (least(PICTURES, s.n - p)) {
        case 1: dots(1, rows, s, in, w, n, out, add); break;
        case 2: dots(2, rows, s, in, w, n, out, add); break;
        case 3: dots(3, rows, s, in, w, n, out, add); break;
        default: dots(PICTURES, rows, s, in, w, n, out, add); break;
        }
    }
}

static void forward(struct dense_shape s, const float *x, const float *w, const float *bias, float *y,
                    enum dnn_act act)
{
    const int groups = parts_of(s.units, UNITS), pieces = parts_of(s.k, DOT_PIECE);
#pragma omp parallel
    for (int piece = 0; piece < pieces; piece++) {
        const int begin = piece * DOT_PIECE, n = least(DOT_PIECE, s.k - begin);
#pragma omp for schedule(static) nowait // a group stays its thread's from piece to piece
        for (int g = 0; g < groups; g++) {
            const int first = g * UNITS, rows = least(UNITS, s.units - first);
            const float *from = w + (size_t)first * s.k + begin;
            if (rows == UNITS)
                dots_all(UNITS, s, x + begin, from, n, y + first, piece > 0);
            for (int u = 0; rows < UNITS && u < rows; u++)
                dots_all(1, s, x + begin, from + (size_t)u * s.k, n, y + first + u, piece > 0);
            for (int p = 0; piece == pieces - 1 && p < s.n; p++)
                for (int u = first; u < first + rows; u++) {
                    float *at = y + (size_t)p * s.units + u;
                    *at = act_value(*at + (bias != NULL ? bias[u] : 0), act);
                }
        }
    }
}

// c[r][0..columns * W) (+)= sum over t < n of a[r * a_row + t * a_step] * b[t][..]; rows of b and c are k floats apart.
struct factors { const float *a; size_t a_row, a_step; const float *b; size_t k; int n; };

INLINE void products(const int rows, const int columns, struct factors f, float *c, bool add)
{
    vec sum[ROWS][COLUMNS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < columns; j++)
            sum[r][j] = add ? vec_load_any(c + r * f.k + j * W) : vec_zero();
    for (int t = 0; t < f.n; t++) {
        vec b[COLUMNS];
        UNROLL for (int j = 0; j < columns; j++)
            b[j] = vec_load_any(f.b + t * f.k + j * W);
        UNROLL for (int r = 0; r < rows; r++) {
            const vec a = vec_spread(f.a[r * f.a_row + t * f.a_step]);
            UNROLL for (int j = 0; j < columns; j++)
                sum[r][j] += a * b[j];
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < columns; j++)
            vec_store_any(c + r * f.k + j * W, sum[r][j]);
}

static void products_tail(int rows, int columns, struct factors f, float *c, bool add)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < columns; j++) {
            float sum = add ? c[r * f.k + j] : 0;
            for (int t = 0; t < f.n; t++)
                sum += f.a[r * f.a_row + t * f.a_step] * f.b[t * f.k + j];
            c[r * f.k + j] = sum;
        }
}

// Rows of any number.
INLINE void products_down(int rows, const int columns, struct factors f, float *c, bool add)
{
    for (; rows >= ROWS; rows -= ROWS, f.a += ROWS * f.a_row, c += ROWS * f.k)
        products(ROWS, columns, f, c, add);
    for (; rows >= HALF; rows -= HALF, f.a += HALF * f.a_row, c += HALF * f.k)
        products(HALF, columns, f, c, add);
    for (; rows > 0; rows--, f.a += f.a_row, c += f.k)
        products(1, columns, f, c, add);
}

// And of columns: a few at a time for all rows, while what they read of b is in the first-level cache.
static void products_all(int rows, int size, struct factors f, float *c, bool add)
{
    const float *b = f.b;
    int j = 0;
    for (; j + COLUMNS * W <= size; j += COLUMNS * W, f.b = b + j)
        products_down(rows, COLUMNS, f, c + j, add);
    for (; j + W <= size; j += W, f.b = b + j)
        products_down(rows, 1, f, c + j, add);
    products_tail(rows, size - j, f, c + j, add);
}

static void data(struct dense_shape s, const float *diff_y, const float *w, float *diff_x)
{
    const int pieces = parts_of(s.k, SUM_PIECE);
#pragma omp parallel for schedule(static)
    for (int piece = 0; piece < pieces; piece++) {
        const int begin = piece * SUM_PIECE, size = least(SUM_PIECE, s.k - begin);
        for (int u = 0; u < s.units; u += SUM_UNITS) {
            const struct factors f = {diff_y + u, (size_t)s.units, 1, w + (size_t)u * s.k + begin, (size_t)s.k,
                                      least(SUM_UNITS, s.units - u)};
            products_all(s.n, size, f, diff_x + begin, u > 0);
        }
    }
}

static void weights(struct dense_shape s, const float *diff_y, const float *x, int first, int rows, float *diff_w)
{
    const int groups = parts_of(rows, ROWS);
#pragma omp parallel for schedule(static)
    for (int g = 0; g < groups; g++) {
        const struct factors f = {diff_y + first + g * ROWS, 1, (size_t)s.units, x, (size_t)s.k, s.n};
        products_all(least(ROWS, rows - g * ROWS), s.k, f, diff_w + (size_t)g * ROWS * s.k, false);
    }
}

static void bias(struct dense_shape s, const float *diff_y, float *diff_bias)
{
    for (int u = 0; u < s.units; u++) {
        double sum = 0;
        for (int p = 0; p < s.n; p++)
            sum += diff_y[(size_t)p * s.units + u];
        diff_bias[u] = (float)sum;
    }
}

const struct dense_kernels FOR_SET(dense) = {.rows = ROWS, .forward = forward, .data = data, .weights = weights,
                                             .bias = bias};
