// data/canvas.c: drawing into an 8-bit picture: rectangles, pictures, text in a 5x7 font.

#include "data/canvas.h"
#include "base/memory.h"
#include <string.h>

// ASCII from the space on: 7 rows of 5 bits, the top left one highest.  Some letters hang two rows lower.
static const char hanging[] = "gpqy";
static const uint64_t font[] = {
    0x000000000, 0x108421004, 0x294000000, 0x295f57d4a, 0x11f4717c4, 0x632222263, 0x32544564d, 0x108000000,
    0x088842082, 0x208210888, 0x009575480, 0x0084f9080, 0x000003088, 0x0000f8000, 0x00000018c, 0x002222200,
    0x3a33ae62e, 0x11842108e, 0x3a211111f, 0x7c441062e, 0x08ca97c42, 0x7e1e0862e, 0x1910f462e, 0x7c2222108,
    0x3a317462e, 0x3a317844c, 0x018c03180, 0x018c03088, 0x088882082, 0x001f07c00, 0x208208888, 0x3a2111004,
    0x3a37ade0e, 0x3a318fe31, 0x7a31f463e, 0x3a308422e, 0x72518c65c, 0x7e10f421f, 0x7e10f4210, 0x3a30bc62f,
    0x4631fc631, 0x38842108e, 0x1c4210a4c, 0x4654c5251, 0x42108421f, 0x4775ac631, 0x4639ace31, 0x3a318c62e,
    0x7a31f4210, 0x3a318d64d, 0x7a31f5251, 0x3e107043e, 0x7c8421084, 0x46318c62e, 0x46318c544, 0x4631ad6aa,
    0x462a22a31, 0x463151084, 0x7c222221f, 0x39084210e, 0x020820820, 0x38421084e, 0x115100000, 0x00000001f,
    0x208000000, 0x000e0be2f, 0x4216cc63e, 0x000e8422e, 0x042d9c62f, 0x000e8fe0e, 0x1928e2108, 0x3e318bc2e,
    0x4216cc631, 0x100c2108e, 0x080610a4c, 0x4212a6292, 0x30842108e, 0x001aad631, 0x0016cc631, 0x000e8c62e,
    0x7a318fa10, 0x3e318bc21, 0x0016cc210, 0x000e8383e, 0x211c42126, 0x00118c66d, 0x00118c544, 0x00118d6aa,
    0x001151151, 0x46318bc2e, 0x001f1111f, 0x088441082, 0x108421084, 0x208411088, 0x0008a8800};

static const uint64_t unknown = 0x7fffffc63; // a block

graft_status canvas_new(int w, int h, uint32_t colour, struct picture *out)
{
    *out = (struct picture){mem_alloc((size_t)w * h * 3), w, h};
    if (out->rgb == NULL)
        return fail_memory("a sheet of pictures");
    canvas_fill(out, 0, 0, w, h, colour);
    return GRAFT_OK;
}

static void dot(struct picture *c, int x, int y, uint32_t colour)
{
    if (x < 0 || y < 0 || x >= c->w || y >= c->h)
        return;
    uint8_t *rgb = c->rgb + ((size_t)y * c->w + x) * 3;
    rgb[0] = (uint8_t)(colour >> 16);
    rgb[1] = (uint8_t)(colour >> 8);
    rgb[2] = (uint8_t)colour;
}

void canvas_fill(struct picture *c, int x, int y, int w, int h, uint32_t colour)
{
    for (int dy = 0; dy < h; dy++)
        for (int dx = 0; dx < w; dx++)
            dot(c, x + dx, y + dy, colour);
}

void canvas_put(struct picture *c, const struct picture *p, int x, int y, int scale)
{
    for (int dy = 0; dy < p->h * scale; dy++)
        for (int dx = 0; dx < p->w * scale; dx++) {
            const uint8_t *rgb = p->rgb + ((size_t)(dy / scale) * p->w + dx / scale) * 3;
            dot(c, x + dx, y + dy, (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2]);
        }
}

static void letter(struct picture *c, uint64_t shape, int x, int y, int scale, uint32_t colour)
{
    for (int row = 0; row < 7; row++)
        for (int column = 0; column < 5; column++)
            if (shape >> (34 - 5 * row - column) & 1)
                canvas_fill(c, x + column * scale, y + row * scale, scale, scale, colour);
}

// Letters of UTF-8 text: bytes that do not go on with one.
static int letters(const char *text)
{
    int n = 0;
    for (; *text != '\0'; text++)
        n += ((uint8_t)*text & 0xc0) != 0x80;
    return n;
}

int canvas_text_width(const char *text, int scale) { return letters(text) * TEXT_WIDTH * scale; }

void canvas_text(struct picture *c, const char *text, int x, int y, int most, int scale, uint32_t colour)
{
    const int fit = most / (TEXT_WIDTH * scale), n = letters(text);
    int at = 0;
    for (; *text != '\0' && at < fit; text++) {
        const uint8_t byte = (uint8_t)*text;
        if ((byte & 0xc0) == 0x80)
            continue;
        const bool cut = n > fit && at >= fit - 2; // ends in two dots
        const uint64_t shape = cut ? font['.' - ' '] : byte >= ' ' && byte < 127 ? font[byte - ' '] : unknown;
        const int lower = !cut && strchr(hanging, byte) != NULL ? 2 * scale : 0;
        letter(c, shape, x + at * TEXT_WIDTH * scale, y + lower, scale, colour);
        at++;
    }
}
