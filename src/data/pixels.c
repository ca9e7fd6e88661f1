// data/pixels.c: the inner loops over pixels in plain C and for AVX2.
// Integers up to the last step, and no fused multiply-add in it, so that every processor gives the same bits.

#include "data/pixels.h"
#include <stdbool.h>
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

enum { LOW_BITS = 11 }; // of a weight

void weight_set(int16_t *weights, int k, int32_t weight)
{
    int16_t *high = weights + k / 4 * 32 + k % 4 / 2 * 8 + k % 2;
    for (int c = 0; c < 4; c++, high += 2) {
        high[0] = (int16_t)(weight >> LOW_BITS);
        high[16] = (int16_t)(weight & ((1 << LOW_BITS) - 1));
    }
}

static void across_plain(const uint8_t *src, const int *first, const int16_t *weight, int quads, int n, uint8_t *dst)
{
    for (int i = 0; i < n; i++, weight += 32 * quads, dst += 4) {
        const uint8_t *p = src + 4 * (size_t)first[i];
        int32_t sum[4] = {0};
        for (int k = 0; k < 4 * quads; k++) {
            const int16_t *high = weight + k / 4 * 32 + k % 4 / 2 * 8 + k % 2;
            for (int c = 0; c < 4; c++)
                sum[c] += p[4 * k + c] * (high[0] * (1 << LOW_BITS) + high[16]);
        }
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

static inline bool span_inside(const struct warp_span *s, int64_t sx, int64_t sy)
{
    const uint64_t right = (uint64_t)(s->w > 2 ? s->w - 2 : 0) << WARP_POSITION;
    const uint64_t bottom = (uint64_t)(s->h - 1) << WARP_POSITION;
    return (uint64_t)sx < right && (uint64_t)sy < bottom; // negative ones are huge
}

static int warp_plain(const struct warp_span *s, uint8_t *rgb)
{
    const int one = 1 << WARP_WEIGHT;
    const size_t stride = (size_t)s->w * 3;
    int64_t sx = s->sx, sy = s->sy;
    int x = 0;
    for (; x < s->n && span_inside(s, sx, sy); x++, rgb += 3, sx += s->dx, sy += s->dy) {
        const int fx = (int)(sx >> (WARP_POSITION - WARP_WEIGHT)) & (one - 1);
        const int fy = (int)(sy >> (WARP_POSITION - WARP_WEIGHT)) & (one - 1);
        const uint8_t *p = s->src + (size_t)(sy >> WARP_POSITION) * stride + (size_t)(sx >> WARP_POSITION) * 3;
        const uint8_t *q = p + stride;
        for (int c = 0; c < 3; c++) {
            const int above = p[c] * (one - fx) + p[c + 3] * fx, below = q[c] * (one - fx) + q[c + 3] * fx;
            rgb[c] = (uint8_t)((above * (one - fy) + below * fy + (1 << (2 * WARP_WEIGHT - 1))) >> (2 * WARP_WEIGHT));
        }
    }
    return x;
}

static void normalise_plain(const uint8_t *rgb, size_t n, const float mean[3], const float scale[3],
                            float *const plane[3])
{
    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < n; i++)
            plane[c][i] = (rgb[3 * i + (size_t)c] - mean[c]) * scale[c];
}

const struct pixel_kernels pixels_plain = {"plain C",  widen_plain, across_plain,
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

// One pixel's sums in both halves.  They wrap around 32 bits on the way; their total does not.
AVX2 static inline __m256i weigh(const uint8_t *p, const int16_t *weight, int quads)
{
    const __m128i pairs = _mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    __m256i high = _mm256_setzero_si256(), low = high;
    for (int k = 0; k < quads; k++, p += 16, weight += 32) {
        const __m128i bytes = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), pairs);
        const __m256i words = _mm256_cvtepu8_epi16(bytes);
        high = _mm256_add_epi32(high, _mm256_madd_epi16(words, _mm256_loadu_si256((const __m256i *)weight)));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(words, _mm256_loadu_si256((const __m256i *)(weight + 16))));
    }
    return _mm256_add_epi32(_mm256_slli_epi32(high, LOW_BITS), low);
}

AVX2 static void across_avx2(const uint8_t *src, const int *first, const int16_t *weight, int quads, int n,
                             uint8_t *dst)
{
    const __m256i half = _mm256_set1_epi32(1 << (RESIZE_BITS - 1));
    for (int i = 0; i < n; i += 2, dst += 8, weight += 64 * quads) {
        const __m256i a = weigh(src + 4 * (size_t)first[i], weight, quads);
        const __m256i b = weigh(src + 4 * (size_t)first[i + 1], weight + 32 * quads, quads);
        __m256i both = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
        both = _mm256_srai_epi32(_mm256_add_epi32(both, half), RESIZE_BITS);
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        _mm_storel_epi64((__m128i *)dst, _mm_packus_epi16(words, words));
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

AVX2 static int warp_avx2(const struct warp_span *s, uint8_t *rgb)
{
    // Of eight bytes r g b R G B . . the words r R g G b B, in both halves.
    const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
                                           0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    const __m128i half = _mm_set1_epi32(1 << (2 * WARP_WEIGHT - 1));
    const int one = 1 << WARP_WEIGHT;
    const size_t stride = (size_t)s->w * 3;
    int64_t sx = s->sx, sy = s->sy;
    int x = 0;
    for (; x < s->n && span_inside(s, sx, sy); x++, rgb += 3, sx += s->dx, sy += s->dy) {
        const int fx = (int)(sx >> (WARP_POSITION - WARP_WEIGHT)) & (one - 1);
        const int fy = (int)(sy >> (WARP_POSITION - WARP_WEIGHT)) & (one - 1);
        const uint8_t *p = s->src + (size_t)(sy >> WARP_POSITION) * stride + (size_t)(sx >> WARP_POSITION) * 3;
        const __m256i rows = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)p)),
                                                     _mm_loadl_epi64((const __m128i *)(p + stride)), 1);
        const __m256i mixed =
            _mm256_madd_epi16(_mm256_shuffle_epi8(rows, pairs), _mm256_set1_epi32(fx << 16 | (one - fx)));
        const __m128i sum = _mm_add_epi32(_mm_mullo_epi32(_mm256_castsi256_si128(mixed), _mm_set1_epi32(one - fy)),
                                          _mm_mullo_epi32(_mm256_extracti128_si256(mixed, 1), _mm_set1_epi32(fy)));
        const __m128i words = _mm_srli_epi32(_mm_add_epi32(sum, half), 2 * WARP_WEIGHT);
        const int pixel =
            _mm_cvtsi128_si32(_mm_shuffle_epi8(words, _mm_setr_epi8(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)));
        memcpy(rgb, &pixel, 4);
    }
    return x;
}

AVX2 static void normalise_avx2(const uint8_t *rgb, size_t n, const float mean[3], const float scale[3],
                                float *const plane[3])
{
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
            const __m256 from_mean = _mm256_sub_ps(_mm256_cvtepi32_ps(values), _mm256_set1_ps(mean[c]));
            _mm256_storeu_ps(plane[c] + i, _mm256_mul_ps(from_mean, _mm256_set1_ps(scale[c])));
        }
    }
    float *const rest[3] = {plane[0] + i, plane[1] + i, plane[2] + i};
    normalise_plain(rgb + 3 * i, n - i, mean, scale, rest);
}

static const struct pixel_kernels pixels_avx2 = {"AVX2", widen_avx2, across_avx2, down_avx2, warp_avx2, normalise_avx2};

const struct pixel_kernels *pixels_best(void)
{
    return __builtin_cpu_supports("avx2") ? &pixels_avx2 : &pixels_plain;
}
#else
const struct pixel_kernels *pixels_best(void) { return &pixels_plain; }
#endif
