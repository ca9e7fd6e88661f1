// data/colour.c: changes of colour and sharpness, torchvision's definitions on 8-bit pictures (within 1 of 255).
// A blend is factor * picture + (1 - factor) * other, clamped, cut to a whole number; `other` is black (brightness),
// the mean of grey (contrast), grey (saturation), or the smoothed picture (sharpness).

#include "data/colour.h"
#include "base/memory.h"
#include <math.h>
#include <string.h>

static inline uint8_t cut(float x) { return x <= 0 ? 0 : x >= 255 ? 255 : (uint8_t)x; }
static inline uint8_t grey_of(const uint8_t *rgb)
{
    return (uint8_t)(0.2989f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2]);
}
static size_t pixels(const struct picture *p) { return (size_t)p->w * p->h; }

// table (channel, value)
static void look_up(struct picture *p, uint8_t table[3][256])
{
    uint8_t *at = p->rgb;
    for (size_t i = 0; i < pixels(p); i++, at += 3)
        for (int c = 0; c < 3; c++)
            at[c] = table[c][at[c]];
}

// The same table for all channels: brightness, contrast, posterize, solarize.
static void change_values(struct picture *p, enum colour op, float value)
{
    uint8_t table[3][256];
    float other = 0;
    if (op == COLOUR_CONTRAST) {
        uint64_t sum = 0;
        for (size_t i = 0; i < pixels(p); i++)
            sum += grey_of(p->rgb + 3 * i);
        other = (float)((double)sum / (double)pixels(p));
    }
    const int mask = op == COLOUR_POSTERIZE ? 0xff & ~((1 << (8 - (int)value)) - 1) : 0;
    for (int i = 0; i < 256; i++) {
        table[0][i] = op == COLOUR_POSTERIZE  ? (uint8_t)(i & mask)
                      : op == COLOUR_SOLARIZE ? (uint8_t)((float)i >= value ? 255 - i : i)
                                              : cut(value * (float)i + (1 - value) * other);
        table[1][i] = table[2][i] = table[0][i];
    }
    look_up(p, table);
}

// Each channel's values from its smallest to its largest spread over 0..255.
static void autocontrast(struct picture *p)
{
    uint8_t table[3][256];
    for (int c = 0; c < 3; c++) {
        int least = 255, most = 0;
        for (size_t i = 0; i < pixels(p); i++) {
            const int v = p->rgb[3 * i + c];
            least = v < least ? v : least;
            most = v > most ? v : most;
        }
        const float scale = most > least ? 255.0f / (float)(most - least) : 1;
        const int base = most > least ? least : 0;
        for (int i = 0; i < 256; i++)
            table[c][i] = cut((float)(i - base) * scale);
    }
    look_up(p, table);
}

// Each channel's histogram made as even as a table of values can.
static void equalize(struct picture *p)
{
    uint8_t table[3][256];
    for (int c = 0; c < 3; c++) {
        uint32_t count[256] = {0}, below = 0;
        int last = 0;
        for (size_t i = 0; i < pixels(p); i++)
            count[p->rgb[3 * i + c]]++;
        for (int i = 0; i < 256; i++)
            last = count[i] > 0 ? i : last;
        const uint32_t step = ((uint32_t)pixels(p) - count[last]) / 255;
        for (int i = 0; i < 256; i++) {
            const uint32_t value = step > 0 ? (below + step / 2) / step : (uint32_t)i;
            table[c][i] = value > 255 ? 255 : (uint8_t)value;
            below += count[i];
        }
    }
    look_up(p, table);
}

static void saturate(struct picture *p, float factor, bool grey)
{
    uint8_t *at = p->rgb;
    for (size_t i = 0; i < pixels(p); i++, at += 3) {
        const uint8_t other = grey_of(at);
        for (int c = 0; c < 3; c++)
            at[c] = grey ? other : cut(factor * (float)at[c] + (1 - factor) * (float)other);
    }
}

// Through hue, saturation, value, each 0..1.
static void turn_hue(struct picture *p, float turns)
{
    uint8_t *at = p->rgb;
    for (size_t i = 0; i < pixels(p); i++, at += 3) {
        const float r = (float)at[0] / 255, g = (float)at[1] / 255, b = (float)at[2] / 255;
        const float most = fmaxf(r, fmaxf(g, b)), range = most - fminf(r, fminf(g, b));
        if (range == 0)
            continue; // no hue to turn
        const float s = range / most, rc = (most - r) / range, gc = (most - g) / range, bc = (most - b) / range;
        float h = most == r ? bc - gc : most == g ? 2 + rc - bc : 4 + gc - rc;
        h = h / 6 + 1 + turns;
        h = (h - floorf(h)) * 6;
        const int sector = (int)h % 6;
        const float f = h - floorf(h);
        const float low = most * (1 - s), falls = most * (1 - s * f), rises = most * (1 - s * (1 - f));
        const float to[6][3] = {{most, rises, low}, {falls, most, low}, {low, most, rises},
                                {low, falls, most}, {rises, low, most}, {most, low, falls}};
        for (int c = 0; c < 3; c++)
            at[c] = cut(to[sector][c] * 255.999f);
    }
}

// 3x3 of ones with a 5 in the middle; the outermost pixels stay.
static graft_status sharpen(struct picture *p, float factor)
{
    const int w = p->w, h = p->h;
    if (w <= 2 || h <= 2)
        return GRAFT_OK;
    const size_t row = (size_t)w * 3;
    uint8_t *copy = mem_alloc(row * (size_t)h);
    if (copy == NULL)
        return fail_memory("a picture");
    memcpy(copy, p->rgb, row * (size_t)h);
    for (int y = 0; y < h; y++)
        for (size_t i = 0; i < row; i++) {
            const size_t at = (size_t)y * row + i;
            float other = copy[at];
            if (y > 0 && y < h - 1 && i >= 3 && i < row - 3) {
                int sum = 4 * copy[at];
                for (int dy = -1; dy <= 1; dy++)
                    for (int dx = -3; dx <= 3; dx += 3)
                        sum += copy[(size_t)((ptrdiff_t)at + dy * (ptrdiff_t)row + dx)];
                other = rintf((float)sum / 13);
            }
            p->rgb[at] = cut(factor * (float)copy[at] + (1 - factor) * other);
        }
    mem_free(copy);
    return GRAFT_OK;
}

static int mirrored(int i, int n) // the edge pixel once
{
    if (n == 1)
        return 0;
    const int period = 2 * n - 2, at = (i % period + period) % period;
    return at < n ? at : period - at;
}

// Gaussian of radius 3 sigma, columns then rows.
static graft_status blur(struct picture *p, float sigma)
{
    const int radius = (int)ceilf(3 * sigma), w = p->w, h = p->h;
    const size_t row = (size_t)w * 3, wide = ((size_t)w + 2 * (size_t)radius) * 3;
    float *weight = mem_alloc((2 * (size_t)radius + 1) * sizeof *weight), *padded = mem_alloc(wide * sizeof *padded);
    float *middle = mem_alloc(row * (size_t)h * sizeof *middle), *sum = mem_alloc(row * sizeof *sum);
    graft_status status = GRAFT_OK;
    if (weight == NULL || padded == NULL || middle == NULL || sum == NULL)
        TRY_GOTO(fail_memory("a picture"));
    float total = 0;
    for (int k = -radius; k <= radius; k++)
        total += weight[k + radius] = expf(-0.5f * ((float)k / sigma) * ((float)k / sigma));
    for (int k = 0; k <= 2 * radius; k++)
        weight[k] /= total;
    for (int y = 0; y < h; y++) {
        for (int x = -radius; x < w + radius; x++)
            for (int c = 0; c < 3; c++)
                padded[(x + radius) * 3 + c] = p->rgb[(size_t)y * row + (size_t)mirrored(x, w) * 3 + c];
        float *out = middle + (size_t)y * row;
        memset(out, 0, row * sizeof *out);
        for (int k = 0; k <= 2 * radius; k++)
            for (size_t i = 0; i < row; i++)
                out[i] += weight[k] * padded[i + 3 * k];
    }
    for (int y = 0; y < h; y++) {
        memset(sum, 0, row * sizeof *sum);
        for (int k = 0; k <= 2 * radius; k++) {
            const float *in = middle + (size_t)mirrored(y + k - radius, h) * row;
            for (size_t i = 0; i < row; i++)
                sum[i] += weight[k] * in[i];
        }
        for (size_t i = 0; i < row; i++)
            p->rgb[(size_t)y * row + i] = cut(rintf(sum[i]));
    }
done:
    mem_free(weight);
    mem_free(padded);
    mem_free(middle);
    mem_free(sum);
    return status;
}

graft_status colour_apply(struct picture *p, enum colour op, double value)
{
    switch (op) {
    case COLOUR_BRIGHTNESS:
    case COLOUR_CONTRAST:
    case COLOUR_POSTERIZE:
    case COLOUR_SOLARIZE:
        change_values(p, op, (float)value);
        break;
    case COLOUR_SATURATION:
    case COLOUR_GREY:
        saturate(p, (float)value, op == COLOUR_GREY);
        break;
    case COLOUR_HUE:
        turn_hue(p, (float)value);
        break;
    case COLOUR_AUTOCONTRAST:
        autocontrast(p);
        break;
    case COLOUR_EQUALIZE:
        equalize(p);
        break;
    case COLOUR_SHARPNESS:
        return sharpen(p, (float)value);
    case COLOUR_BLUR:
        return blur(p, (float)value);
    }
    return GRAFT_OK;
}
