// data/pixels_vnni.c: the sums of a resize for processors with AVX-512's products of bytes (VNNI).
// A weight w of 22 bits is a 2^16 + b 2^8 + c with signed bytes a, b, c, so that three exact sums of bytes make one.

#include "data/pixels_vnni.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>
#define VNNI __attribute__((target("avx2,avx512f,avx512vl,avx512vnni")))

static inline void digits_of(int32_t weight, int8_t digit[3])
{
    digit[2] = (int8_t)weight;
    digit[1] = (int8_t)((weight - digit[2]) >> 8);
    digit[0] = (int8_t)((weight - digit[2] - digit[1] * 256) >> 16);
}

// The digits a, b and c of four weights of a pixel and of the next but one: 32 bytes each, of which a pixel has half,
// its four weights once a channel.
void vnni_arrange(const int32_t *weight, int most, const int *count, int n, int quads, void *out)
{
    for (int i = 0; i < n; i++, weight += most) {
        int8_t *pixel = (int8_t *)out + (size_t)(i / 4 * 2 + i % 2) * 96 * (size_t)quads + i % 4 / 2 * 16;
        for (int k = 0; k < count[i]; k++) {
            int8_t digit[3];
            digits_of(weight[k], digit);
            for (int d = 0; d < 3; d++)
                for (int c = 0; c < 4; c++)
                    pixel[k / 4 * 96 + d * 32 + 4 * c + k % 4] = digit[d];
        }
    }
}

// The bytes of four pixels from p on and of four from q on, a half each, a channel's side by side.
VNNI static inline __m256i channels_of(const uint8_t *p, const uint8_t *q)
{
    const __m256i order = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, //
                                           0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                                 _mm_loadu_si128((const __m128i *)q), 1);
    return _mm256_shuffle_epi8(both, order);
}

enum { FEW = 2, HALF = 1 << (RESIZE_BITS - 1) };

// Two pixels of the result, a half each, not yet clipped.  A digit's sum, shifted, is the start of the next one.
VNNI static inline __m256i weigh_few(const uint8_t *p, const uint8_t *q, const int8_t *weight, int quads)
{
    const __m256i *w = (const __m256i *)weight;
    __m256i bytes[FEW], sum = _mm256_set1_epi32(HALF >> 16);
    for (int k = 0; k < quads; k++)
        bytes[k] = channels_of(p + 16 * k, q + 16 * k);
    for (int d = 0; d < 3; d++) {
        sum = d > 0 ? _mm256_slli_epi32(sum, 8) : sum;
        for (int k = 0; k < quads; k++)
            sum = _mm256_dpbusd_epi32(sum, bytes[k], _mm256_loadu_si256(w + 3 * k + d));
    }
    return _mm256_srai_epi32(sum, RESIZE_BITS);
}

VNNI static inline __m256i weigh(const uint8_t *p, const uint8_t *q, const int8_t *weight, int quads)
{
    __m256i a = _mm256_setzero_si256(), b = a, c = _mm256_set1_epi32(HALF);
    for (int k = 0; k < quads; k++, p += 16, q += 16, weight += 96) {
        const __m256i *w = (const __m256i *)weight, bytes = channels_of(p, q);
        a = _mm256_dpbusd_epi32(a, bytes, _mm256_loadu_si256(w));
        b = _mm256_dpbusd_epi32(b, bytes, _mm256_loadu_si256(w + 1));
        c = _mm256_dpbusd_epi32(c, bytes, _mm256_loadu_si256(w + 2));
    }
    const __m256i upper = _mm256_add_epi32(_mm256_slli_epi32(a, 8), b);
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(upper, 8), c), RESIZE_BITS);
}

typedef __m256i weighing(const uint8_t *p, const uint8_t *q, const int8_t *weight, int quads);
VNNI static inline void row_across(const uint8_t *src, const int *first, const int8_t *weight, int quads, int n,
                                   uint8_t *dst, weighing *weigh_two)
{
    for (int i = 0; i < n; i += 4, dst += 16, weight += 192 * quads) {
        const int *f = first + i;
        const __m256i even = weigh_two(src + 4 * (size_t)f[0], src + 4 * (size_t)f[2], weight, quads);
        const __m256i odd = weigh_two(src + 4 * (size_t)f[1], src + 4 * (size_t)f[3], weight + 96 * quads, quads);
        const __m256i words = _mm256_packs_epi32(even, odd);
        _mm_storeu_si128((__m128i *)dst,
                         _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
}

// The compiler unrolls what it knows.
VNNI void vnni_across(const uint8_t *src, const int *first, const void *weights, int quads, int n, uint8_t *dst)
{
    if (quads == 1)
        row_across(src, first, weights, 1, n, dst, weigh_few);
    else if (quads == FEW)
        row_across(src, first, weights, FEW, n, dst, weigh_few);
    else
        row_across(src, first, weights, quads, n, dst, weigh);
}

// Four rows' bytes at 32 places: those of a place side by side, of a half's places 0-3, 4-7, 8-11 and 12-15.
VNNI static inline void interleave(const uint8_t *const *rows, int at, __m256i four[4])
{
    __m256i row[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm256_loadu_si256((const __m256i *)(rows[i] + at));
    const __m256i low = _mm256_unpacklo_epi8(row[0], row[1]), low2 = _mm256_unpacklo_epi8(row[2], row[3]);
    const __m256i high = _mm256_unpackhi_epi8(row[0], row[1]), high2 = _mm256_unpackhi_epi8(row[2], row[3]);
    four[0] = _mm256_unpacklo_epi16(low, low2);
    four[1] = _mm256_unpackhi_epi16(low, low2);
    four[2] = _mm256_unpacklo_epi16(high, high2);
    four[3] = _mm256_unpackhi_epi16(high, high2);
}

VNNI static inline void put_eight(const __m256i sum[4], uint8_t *rgb)
{
    const __m256i close = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, //
                                           0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m256i words = _mm256_packs_epi32(sum[0], sum[1]), more = _mm256_packs_epi32(sum[2], sum[3]);
    const __m256i pixels = _mm256_shuffle_epi8(_mm256_packus_epi16(words, more), close);
    _mm_storeu_si128((__m128i *)rgb, _mm256_castsi256_si128(pixels));
    _mm_storeu_si128((__m128i *)(rgb + 12), _mm256_extracti128_si256(pixels, 1));
}

VNNI static inline void row_down(const uint8_t *const *rows, const int32_t digits[FEW][3], int fours, int n,
                                 uint8_t *rgb)
{
    for (int at = 0; at < 4 * n; at += 32, rgb += 24) {
        __m256i four[FEW][4], sum[4];
        for (int k = 0; k < fours; k++)
            interleave(rows + 4 * k, at, four[k]);
        for (int i = 0; i < 4; i++) {
            sum[i] = _mm256_set1_epi32(HALF >> 16);
            for (int d = 0; d < 3; d++) {
                sum[i] = d > 0 ? _mm256_slli_epi32(sum[i], 8) : sum[i];
                for (int k = 0; k < fours; k++)
                    sum[i] = _mm256_dpbusd_epi32(sum[i], four[k][i], _mm256_set1_epi32(digits[k][d]));
            }
            sum[i] = _mm256_srai_epi32(sum[i], RESIZE_BITS);
        }
        put_eight(sum, rgb);
    }
}

VNNI void vnni_down(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb)
{
    const uint8_t *padded[VNNI_ROWS];
    int8_t digits[FEW][3][4] = {0};
    int32_t words[FEW][3];
    for (int k = 0; k < VNNI_ROWS; k++) {
        int8_t digit[3] = {0};
        padded[k] = rows[k < count ? k : 0];
        if (k < count)
            digits_of(weight[k], digit);
        for (int d = 0; d < 3; d++)
            digits[k / 4][d][k % 4] = digit[d];
    }
    memcpy(words, digits, sizeof words);
    if (count <= 4)
        row_down(padded, words, 1, n, rgb);
    else
        row_down(padded, words, FEW, n, rgb);
}
#endif
