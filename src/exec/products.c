// exec/products.c: register tiles of matrix products; see exec/products.h.  The arrays `sum` live in registers: every
// loop over them is unrolled, bounds are constant where the functions are inlined. AVX-512 (32 registers): 14 x 2,
// gradient 8 x 3.  AVX2 (16): 6 x 2, 4 x 3.  Plain C (4 floats a register): 3 x 4, 2 x 6.

#include "exec/products.h"
#include "exec/simd.h"

#if LANES == 16
enum { ROWS = 14, GRADIENT_ROWS = 8 };
#elif REGISTER == 32
enum { ROWS = 6, GRADIENT_ROWS = 4 };
#else
enum { ROWS = 3, GRADIENT_ROWS = 2 };
#endif
#define UNROLL _Pragma("GCC unroll 16")

INLINE void tiles_times_weights(const int rows, const int columns, const float *a, size_t a_block, const float *w,
                                int blocks, float *c, size_t c_row, bool add)
{
    vec sum[ROWS][2 * PARTS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int k = 0; k < columns; k++)
            sum[r][k] = add ? vec_load(c + r * c_row + k * W) : vec_zero();
    for (int b = 0; b < blocks; b++, a += a_block, w += V * columns * W) {
        _Pragma("GCC unroll 4") for (int i = 0; i < V; i++) {
            vec x[2 * PARTS];
            UNROLL for (int k = 0; k < columns; k++)
                x[k] = vec_load(w + (i * columns + k) * W);
            UNROLL for (int r = 0; r < rows; r++) {
                const vec s = vec_spread(a[r * V + i]);
                UNROLL for (int k = 0; k < columns; k++)
                    sum[r][k] += s * x[k];
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int k = 0; k < columns; k++)
            vec_store(c + r * c_row + k * W, sum[r][k]);
}

// Starts from zero and adds what c held at the end: the loads are not in the way of the first products.
INLINE void source_times_gradient(const int columns, const float *a, const float *b, size_t b_block, int tiles,
                                  float *c, bool add)
{
    vec sum[GRADIENT_ROWS][3 * PARTS];
    UNROLL for (int r = 0; r < GRADIENT_ROWS; r++)
        UNROLL for (int k = 0; k < columns; k++)
            sum[r][k] = vec_zero();
    _Pragma("GCC unroll 4") for (int t = 0; t < tiles; t++) {
        vec x[3 * PARTS];
        UNROLL for (int k = 0; k < columns; k++)
            x[k] = vec_load(b + (size_t)(k / PARTS) * b_block + (size_t)t * V + k % PARTS * W);
        UNROLL for (int r = 0; r < GRADIENT_ROWS; r++) {
            const vec s = vec_spread(a[(size_t)t * V + r]);
            UNROLL for (int k = 0; k < columns; k++)
                sum[r][k] += s * x[k];
        }
    }
    UNROLL for (int r = 0; r < GRADIENT_ROWS; r++)
        UNROLL for (int k = 0; k < columns; k++) {
            float *at = c + (r * columns + k) * W;
            if (add)
                sum[r][k] += vec_load(at);
            vec_store(at, sum[r][k]);
        }
}

#define TILE_PRODUCT(rows, columns)                                                                                    \
    static void tiles_##rows##_##columns(const float *a, size_t a_block, const float *w, int blocks, float *c,         \
                                         size_t c_row, bool add)                                                       \
    {                                                                                                                  \
        tiles_times_weights(rows, columns *PARTS, a, a_block, w, blocks, c, c_row, add);                               \
    }
#define EACH_ROWS_3(each) each(1) each(2) each(3)
#define EACH_ROWS_6(each) EACH_ROWS_3(each) each(4) each(5) each(6)
#define EACH_ROWS_14(each) EACH_ROWS_6(each) each(7) each(8) each(9) each(10) each(11) each(12) each(13) each(14)
#if LANES == 16
#define EACH_ROWS EACH_ROWS_14
#elif REGISTER == 32
#define EACH_ROWS EACH_ROWS_6
#else
#define EACH_ROWS EACH_ROWS_3
#endif
#define BOTH_PRODUCTS(rows) TILE_PRODUCT(rows, 1) TILE_PRODUCT(rows, 2)
#define BOTH_NAMES(rows) [rows] = {tiles_##rows##_1, tiles_##rows##_2},
EACH_ROWS(BOTH_PRODUCTS)

#define GRADIENT_PRODUCT(columns)                                                                                      \
    static void gradient_##columns(const float *a, const float *b, size_t b_block, int tiles, float *c, bool add)      \
    {                                                                                                                  \
        source_times_gradient(columns *PARTS, a, b, b_block, tiles, c, add);                                           \
    }
GRADIENT_PRODUCT(1)
GRADIENT_PRODUCT(2)
GRADIENT_PRODUCT(3)

static double multiply(long rounds)
{
    enum { CHAINS = 12 }; // enough for two units of latency five
    vec x[CHAINS];
    volatile float start = 1;
    const vec factor = vec_spread(start * 0.5f);
    UNROLL for (int i = 0; i < CHAINS; i++)
        x[i] = vec_spread(start + i);
    for (long r = 0; r < rounds; r++)
        UNROLL for (int i = 0; i < CHAINS; i++)
            x[i] = x[i] * factor + factor;
    UNROLL for (int i = 1; i < CHAINS; i++)
        x[0] += x[i];
    start = x[0][0];
    return 2.0 * rounds * CHAINS * W;
}

static const tile_product tile_products[ROWS + 1][2] = {EACH_ROWS(BOTH_NAMES)};
const struct products FOR_SET(products) = {
    .rows = ROWS, .gradient_rows = GRADIENT_ROWS, .tiles = tile_products,
    .gradient = {gradient_1, gradient_2, gradient_3}, .multiply = multiply,
};
