// data/pixels.c: the inner loops over pixels in plain C and for AVX2, and which sets of them a processor takes.
// Integers up to the last step, and no fused multiply-add in it, so that every processor gives the same bits.

#include "data/pixels_vnni.h"
#include <string.h>

static inline uint8_t clip(int32_t sum)
{
    sum >>= RESIZE_BITS;
    return sum < 0 ? 0 : sum > 255 ? 255 : (uint8_t)sum;
}

static void widen_plain(const uint8_t *rgb, int n, uint8_t *rgbx)
{
    for (int i = 0; i < n; i++, rgb += 3, rgbx += 4) {
        memcpy(rgbx, rgb, 3);
        rgbx[3] = 0;
    }
}

static void arrange_plain(const int32_t *weight, int most, const int *count, int n, int quads, void *out)
{
    for (int i = 0; i < n; i++)
        memcpy((int32_t *)out + (size_t)i * 4 * (size_t)quads, weight + (size_t)i * (size_t)most,
               (size_t)count[i] * sizeof *weight);
}

static void across_plain(const uint8_t *src, const int *first, const void *weights, int quads, int n, uint8_t *dst)
{
    const int32_t *weight = weights;
    for (int i = 0; i < n; i++, weight += 4 * quads, dst += 4) {
        const uint8_t *p = src + 4 * (size_t)first[i];
        int32_t sum[4] = {0};
        for (int k = 0; k < 4 * quads; k++)
            for (int c = 0; c < 4; c++)
                sum[c] += p[4 * k + c] * weight[k];
        for (int c = 0; c < 4; c++)
            dst[c] = clip(sum[c] + (1 << (RESIZE_BITS - 1)));
    }
}

static void down_plain(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb)
{
    enum { BLOCK = 64 };
    for (int at = 0; at < 4 * n; at += BLOCK) {
        int32_t sum[BLOCK];
        const int size = 4 * n - at < BLOCK ? 4 * n - at : BLOCK;
        for (int i = 0; i < size; i++)
            sum[i] = 1 << (RESIZE_BITS - 1);
        for (int k = 0; k < count; k++)
            for (int i = 0; i < size; i++)
                sum[i] += rows[k][at + i] * weight[k];
        for (int i = 0; i < size; i += 4, rgb += 3)
            for (int c = 0; c < 3; c++)
                rgb[c] = clip(sum[i + c]);
    }
}

static void warp_plain(const struct warp_span *s, uint8_t *rgb)
{
    const int one = 1 << WARP_WEIGHT;
    const size_t stride = (size_t)s->w * 3;
    int64_t sx = s->sx, sy = s->sy;
    for (int x = 0; x < s->n; x++, rgb += 3, sx += s->dx, sy += s->dy) {
        const int fx = (int)(sx >> (WARP_POSITION - WARP_WEIGHT)) & (one - 1);
        const int fy = (int)(sy >> (WARP_POSITION - WARP_WEIGHT)) & (one - 1);
        const uint8_t *p = s->src + (size_t)(sy >> WARP_POSITION) * stride + (size_t)(sx >> WARP_POSITION) * 3;
        const uint8_t *q = p + stride;
        for (int c = 0; c < 3; c++) {
            const int above = p[c] * (one - fx) + p[c + 3] * fx, below = q[c] * (one - fx) + q[c + 3] * fx;
            rgb[c] = (uint8_t)((above * (one - fy) + below * fy + (1 << (2 * WARP_WEIGHT - 1))) >> (2 * WARP_WEIGHT));
        }
    }
}

static void normalise_plain(const uint8_t *rgb, size_t n, const float mean[3], const float scale[3],
                            float *const plane[3])
{
    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < n; i++)
            plane[c][i] = (rgb[3 * i + (size_t)c] - mean[c]) * scale[c];
}

static const struct pixel_kernels pixels_plain = {"plain C",  widen_plain, arrange_plain,  across_plain,
                                           down_plain, warp_plain,  normalise_plain};

#ifdef __x86_64__
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))

// Bytes r g b r g b ... to r g b 0 ..., and back.
#define SPREAD _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1)
#define CLOSE _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)

AVX2 static void widen_avx2(const uint8_t *rgb, int n, uint8_t *rgbx)
{
    int i = 0;
    for (; i + 6 <= n; i += 4) // 16 bytes are read, of which 12 are used
        _mm_storeu_si128((__m128i *)(rgbx + 4 * (size_t)i),
                         _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(rgb + 3 * (size_t)i)), SPREAD));
    widen_plain(rgb + 3 * (size_t)i, n - i, rgbx + 4 * (size_t)i);
}

// A weight of 22 bits is cut in two of 11, so that products of 16 bits do.  Of four weights of a pixel and of the next
// but one, 16 numbers each: the upper halves of the first two weights, of the other two, then the lower halves so.
// They stand once a channel, a pixel in eight of the 16: r0 r1 g0 g1 b0 b1 x0 x1.
enum { LOW_BITS = 11 };

static void arrange_avx2(const int32_t *weight, int most, const int *count, int n, int quads, void *out)
{
    for (int i = 0; i < n; i++, weight += most) {
        int16_t *pixel = (int16_t *)out + (size_t)(i / 4 * 2 + i % 2) * 64 * (size_t)quads + i % 4 / 2 * 8;
        for (int k = 0; k < count[i]; k++)
            for (int c = 0; c < 4; c++) {
                int16_t *to = pixel + k / 4 * 64 + k % 4 / 2 * 16 + 2 * c + k % 2;
                to[0] = (int16_t)(weight[k] >> LOW_BITS);
                to[32] = (int16_t)(weight[k] & ((1 << LOW_BITS) - 1));
            }
    }
}

// Two pixels' sums, a half each.  They wrap around 32 bits on the way; their total does not.
AVX2 static inline __m256i weigh(const uint8_t *p, const uint8_t *q, const int16_t *weight, int quads)
{
    const __m256i first = _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1, //
                                           0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1);
    const __m256i second = _mm256_setr_epi8(8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1, //
                                            8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
    __m256i high = _mm256_setzero_si256(), low = _mm256_set1_epi32(1 << (RESIZE_BITS - 1));
    for (int k = 0; k < quads; k++, p += 16, q += 16, weight += 64) {
        const __m256i *w = (const __m256i *)weight;
        const __m256i bytes = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)), _mm_loadu_si128((const __m128i *)q), 1);
        const __m256i a = _mm256_shuffle_epi8(bytes, first), b = _mm256_shuffle_epi8(bytes, second);
        high = _mm256_add_epi32(high, _mm256_madd_epi16(a, _mm256_loadu_si256(w)));
        high = _mm256_add_epi32(high, _mm256_madd_epi16(b, _mm256_loadu_si256(w + 1)));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(a, _mm256_loadu_si256(w + 2)));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(b, _mm256_loadu_si256(w + 3)));
    }
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, LOW_BITS), low), RESIZE_BITS);
}

AVX2 static void across_avx2(const uint8_t *src, const int *first, const void *weights, int quads, int n, uint8_t *dst)
{
    const int16_t *weight = weights;
    for (int i = 0; i < n; i += 4, dst += 16, weight += 128 * quads) {
        const int *f = first + i;
        const __m256i even = weigh(src + 4 * (size_t)f[0], src + 4 * (size_t)f[2], weight, quads);
        const __m256i odd = weigh(src + 4 * (size_t)f[1], src + 4 * (size_t)f[3], weight + 64 * quads, quads);
        const __m256i words = _mm256_packs_epi32(even, odd);
        _mm_storeu_si128((__m128i *)dst,
                         _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
}

AVX2 static void down_avx2(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb)
{
    const __m256i half = _mm256_set1_epi32(1 << (RESIZE_BITS - 1));
    for (int at = 0; at < 4 * n; at += 16, rgb += 12) {
        __m256i a = half, b = half;
        for (int k = 0; k < count; k++) {
            const __m128i pixels = _mm_loadu_si128((const __m128i *)(rows[k] + at));
            const __m256i w = _mm256_set1_epi32(weight[k]);
            a = _mm256_add_epi32(a, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(pixels), w));
            b = _mm256_add_epi32(b, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(_mm_srli_si128(pixels, 8)), w));
        }
        a = _mm256_srai_epi32(a, RESIZE_BITS);
        b = _mm256_srai_epi32(b, RESIZE_BITS);
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8); // packing works by halves
        const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)rgb, _mm_shuffle_epi8(bytes, CLOSE));
    }
}

// What all pixels of a warp share.
struct warping {
    const uint8_t *src;
    size_t stride;
    __m256i pairs; // of eight bytes r g b R G B . . the words r R g G b B, in both halves
    __m256i half;  // of what is cut off
};

// Two pixels of the result, a half each, from the four pixels at p and the four at q; of the eight weights in `across`
// (words 1 - f, f) and `down` the k-th and the k + 4th.
AVX2 static inline __m256i mix(const struct warping *to, const uint8_t *p, const uint8_t *q, __m256i across,
                               __m256i down, int k)
{
    const __m256i mine = _mm256_setr_epi32(k, k, k, k, k + 4, k + 4, k + 4, k + 4);
    const __m256i above = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                                  _mm_loadu_si128((const __m128i *)q), 1);
    const __m256i below =
        _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(p + to->stride))),
                                _mm_loadu_si128((const __m128i *)(q + to->stride)), 1);
    const __m256i x = _mm256_permutevar8x32_epi32(across, mine), y = _mm256_permutevar8x32_epi32(down, mine);
    const __m256i upper = _mm256_madd_epi16(_mm256_shuffle_epi8(above, to->pairs), x);
    const __m256i lower = _mm256_madd_epi16(_mm256_shuffle_epi8(below, to->pairs), x);
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(upper, WARP_WEIGHT), to->half),
                                         _mm256_mullo_epi32(_mm256_sub_epi32(lower, upper), y));
    return _mm256_srli_epi32(sum, 2 * WARP_WEIGHT);
}

// Eight pixels; `x` and `y` are their places.
AVX2 static inline void warp_eight(const struct warping *to, __m256i x, __m256i y, uint8_t *rgb)
{
    const __m256i below_one = _mm256_set1_epi32((1 << WARP_WEIGHT) - 1), one = _mm256_set1_epi32(1 << WARP_WEIGHT);
    const __m256i fx = _mm256_and_si256(_mm256_srli_epi32(x, WARP_POSITION - WARP_WEIGHT), below_one);
    const __m256i down = _mm256_and_si256(_mm256_srli_epi32(y, WARP_POSITION - WARP_WEIGHT), below_one);
    const __m256i across = _mm256_or_si256(_mm256_slli_epi32(fx, 16), _mm256_sub_epi32(one, fx));
    const __m256i column = _mm256_srli_epi32(x, WARP_POSITION), row = _mm256_srli_epi32(y, WARP_POSITION);
    const __m256i place = _mm256_add_epi32(_mm256_mullo_epi32(row, _mm256_set1_epi32((int)to->stride)),
                                           _mm256_add_epi32(column, _mm256_add_epi32(column, column)));
    uint32_t at[8];
    _mm256_storeu_si256((__m256i *)at, place);
    __m256i two[4];
    for (int k = 0; k < 4; k++)
        two[k] = mix(to, to->src + at[k], to->src + at[k + 4], across, down, k);
    const __m256i pixels = _mm256_packus_epi16(_mm256_packs_epi32(two[0], two[1]), _mm256_packs_epi32(two[2], two[3]));
    const __m256i closed = _mm256_shuffle_epi8(pixels, _mm256_broadcastsi128_si256(CLOSE));
    _mm_storeu_si128((__m128i *)rgb, _mm256_castsi256_si128(closed));
    _mm_storeu_si128((__m128i *)(rgb + 12), _mm256_extracti128_si256(closed, 1));
}

AVX2 static void warp_avx2(const struct warp_span *s, uint8_t *rgb)
{
    if (s->n < 8 || s->w >= 1 << 15 || s->h >= 1 << 15) { // places of 32 bits
        warp_plain(s, rgb);
        return;
    }
    const struct warping to = {s->src, (size_t)s->w * 3,
                               _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
                                                0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1),
                               _mm256_set1_epi32(1 << (2 * WARP_WEIGHT - 1))};
    const __m256i steps = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i xs = _mm256_mullo_epi32(_mm256_set1_epi32((int)s->dx), steps);
    const __m256i ys = _mm256_mullo_epi32(_mm256_set1_epi32((int)s->dy), steps);
    for (int at = 0; at < s->n; at += 8) {
        const int x = at < s->n - 8 ? at : s->n - 8; // the last eight, some of them again
        warp_eight(&to, _mm256_add_epi32(_mm256_set1_epi32((int)(s->sx + x * s->dx)), xs),
                   _mm256_add_epi32(_mm256_set1_epi32((int)(s->sy + x * s->dy)), ys), rgb + 3 * x);
    }
}

AVX2 static void normalise_avx2(const uint8_t *rgb, size_t n, const float mean[3], const float scale[3],
                                float *const plane[3])
{
    float *const to[3] = {plane[0], plane[1], plane[2]}; // copies, as what is written might be these
    const __m256 means[3] = {_mm256_set1_ps(mean[0]), _mm256_set1_ps(mean[1]), _mm256_set1_ps(mean[2])};
    const __m256 scales[3] = {_mm256_set1_ps(scale[0]), _mm256_set1_ps(scale[1]), _mm256_set1_ps(scale[2])};
    size_t i = 0;
    for (; i + 10 <= n; i += 8) { // 28 bytes are read, of which 24 are used
        const __m256i pixels = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(rgb + 3 * i))),
            _mm_loadu_si128((const __m128i *)(rgb + 3 * i + 12)), 1);
        for (int c = 0; c < 3; c++) {
            const __m128i pick = _mm_add_epi8(
                _mm_setr_epi8(0, -128, -128, -128, 3, -128, -128, -128, 6, -128, -128, -128, 9, -128, -128, -128),
                _mm_set1_epi8((char)c));
            const __m256i values = _mm256_shuffle_epi8(pixels, _mm256_broadcastsi128_si256(pick));
            const __m256 from_mean = _mm256_sub_ps(_mm256_cvtepi32_ps(values), means[c]);
            _mm256_storeu_ps(to[c] + i, _mm256_mul_ps(from_mean, scales[c]));
        }
    }
    float *const rest[3] = {plane[0] + i, plane[1] + i, plane[2] + i};
    normalise_plain(rgb + 3 * i, n - i, mean, scale, rest);
}

static const struct pixel_kernels pixels_avx2 = {"AVX2",    widen_avx2, arrange_avx2,  across_avx2,
                                                 down_avx2, warp_avx2,  normalise_avx2};

static void down_vnni(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb)
{
    (count > VNNI_ROWS ? down_avx2 : vnni_down)(rows, weight, count, n, rgb);
}

static const struct pixel_kernels pixels_vnni = {"AVX-512 VNNI", widen_avx2, vnni_arrange,  vnni_across,
                                                 down_vnni,      warp_avx2,  normalise_avx2};

const struct pixel_kernels *pixels_set(int i)
{
    const struct pixel_kernels *sets[4] = {NULL};
    int n = 0;
    if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
        sets[n++] = &pixels_vnni;
    if (__builtin_cpu_supports("avx2"))
        sets[n++] = &pixels_avx2;
    sets[n] = &pixels_plain;
    return sets[i];
}
#else
const struct pixel_kernels *pixels_set(int i) { return i == 0 ? &pixels_plain : NULL; }
#endif

const struct pixel_kernels *pixels_best(void) { return pixels_set(0); }
