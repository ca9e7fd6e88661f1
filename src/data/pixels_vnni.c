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

// Sums of digits to a value of 8 bits, not yet clipped.
VNNI static inline __m256i total(__m256i a, __m256i b, __m256i c)
{
    const __m256i upper = _mm256_add_epi32(_mm256_slli_epi32(a, 8), b);
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(upper, 8), c), RESIZE_BITS);
}

// Two pixels, a half each.
VNNI static inline __m256i weigh(const uint8_t *p, const uint8_t *q, const int8_t *weight, int quads)
{
    const __m256i channels = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, //
                                              0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m256i a = _mm256_setzero_si256(), b = a, c = _mm256_set1_epi32(1 << (RESIZE_BITS - 1));
    for (int k = 0; k < quads; k++, p += 16, q += 16, weight += 96) {
        const __m256i *w = (const __m256i *)weight;
        const __m256i bytes = _mm256_shuffle_epi8(
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)p)),
                                    _mm_loadu_si128((const __m128i *)q), 1),
            channels);
        a = _mm256_dpbusd_epi32(a, bytes, _mm256_loadu_si256(w));
        b = _mm256_dpbusd_epi32(b, bytes, _mm256_loadu_si256(w + 1));
        c = _mm256_dpbusd_epi32(c, bytes, _mm256_loadu_si256(w + 2));
    }
    return total(a, b, c);
}

VNNI static inline void row_across(const uint8_t *src, const int *first, const int8_t *weight, int quads, int n,
                                   uint8_t *dst)
{
    for (int i = 0; i < n; i += 4, dst += 16, weight += 192 * quads) {
        const int *f = first + i;
        const __m256i even = weigh(src + 4 * (size_t)f[0], src + 4 * (size_t)f[2], weight, quads);
        const __m256i odd = weigh(src + 4 * (size_t)f[1], src + 4 * (size_t)f[3], weight + 96 * quads, quads);
        const __m256i words = _mm256_packs_epi32(even, odd);
        _mm_storeu_si128((__m128i *)dst,
                         _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
}

VNNI void vnni_across(const uint8_t *src, const int *first, const void *weights, int quads, int n, uint8_t *dst)
{
    switch (quads) { // the compiler unrolls what it knows
    case 1:
        row_across(src, first, weights, 1, n, dst);
        break;
    case 2:
        row_across(src, first, weights, 2, n, dst);
        break;
    default:
        row_across(src, first, weights, quads, n, dst);
    }
}

// Adds four rows' bytes times their weights to the sums of digits a, b, c at 32 places.
struct sums {
    __m256i a[4], b[4], c[4]; // of a half's places 0-3, 4-7, 8-11, 12-15
};

VNNI static inline void add_four(struct sums *s, const uint8_t *const *rows, int at, const int32_t digits[3])
{
    __m256i row[4], pair[4], four[4];
    for (int i = 0; i < 4; i++)
        row[i] = _mm256_loadu_si256((const __m256i *)(rows[i] + at));
    for (int i = 0; i < 2; i++) {
        pair[i] = _mm256_unpacklo_epi8(row[2 * i], row[2 * i + 1]);
        pair[2 + i] = _mm256_unpackhi_epi8(row[2 * i], row[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        four[2 * i] = _mm256_unpacklo_epi16(pair[2 * i], pair[2 * i + 1]);
        four[2 * i + 1] = _mm256_unpackhi_epi16(pair[2 * i], pair[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        s->a[i] = _mm256_dpbusd_epi32(s->a[i], four[i], _mm256_set1_epi32(digits[0]));
        s->b[i] = _mm256_dpbusd_epi32(s->b[i], four[i], _mm256_set1_epi32(digits[1]));
        s->c[i] = _mm256_dpbusd_epi32(s->c[i], four[i], _mm256_set1_epi32(digits[2]));
    }
}

VNNI static inline void put_eight(const struct sums *s, uint8_t *rgb)
{
    const __m256i close = _mm256_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, //
                                           0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const __m256i low = _mm256_packs_epi32(total(s->a[0], s->b[0], s->c[0]), total(s->a[1], s->b[1], s->c[1]));
    const __m256i high = _mm256_packs_epi32(total(s->a[2], s->b[2], s->c[2]), total(s->a[3], s->b[3], s->c[3]));
    const __m256i pixels = _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), close);
    _mm_storeu_si128((__m128i *)rgb, _mm256_castsi256_si128(pixels));
    _mm_storeu_si128((__m128i *)(rgb + 12), _mm256_extracti128_si256(pixels, 1));
}

VNNI void vnni_down(const uint8_t *const *rows, const int32_t *weight, int count, int n, uint8_t *rgb)
{
    const uint8_t *padded[VNNI_ROWS];
    int8_t digits[VNNI_ROWS / 4][3][4] = {0};
    int32_t words[VNNI_ROWS / 4][3];
    const int fours = (count + 3) / 4;
    for (int k = 0; k < 4 * fours; k++) {
        int8_t digit[3] = {0};
        padded[k] = rows[k < count ? k : 0];
        if (k < count)
            digits_of(weight[k], digit);
        for (int d = 0; d < 3; d++)
            digits[k / 4][d][k % 4] = digit[d];
    }
    memcpy(words, digits, sizeof words);
    const __m256i none = _mm256_setzero_si256(), half = _mm256_set1_epi32(1 << (RESIZE_BITS - 1));
    for (int at = 0; at < 4 * n; at += 32, rgb += 24) {
        struct sums s = {{none, none, none, none}, {none, none, none, none}, {half, half, half, half}};
        for (int k = 0; k < fours; k++)
            add_four(&s, padded + 4 * k, at, words[k]);
        put_eight(&s, rgb);
    }
}
#endif
