// data/decode_bmp.c: own reader of uncompressed BMP (1, 4, 8, 16, 24, 32 bits a pixel, palettes and bit fields).
// Grammar, little-endian:  "BM" u32 size, u32 0, u32 offset of the rows
//   | u32 header size (12: u16 w, h, planes, bits; >= 40: i32 w, h, u16 planes, bits, u32 compression, ..., u32
//   colours) | masks (compression 3, header of 40) | palette (b, g, r[, 0]) | rows padded to 4 bytes, bottom up unless
//   h < 0.
// Run-length compression is refused by name.  Alpha is dropped.

#include "data/decode.h"
#include <string.h>

struct layout {
    int w, h, bits;
    bool top_down;
    uint32_t mask[3], colours;
    int entry; // bytes of a palette entry
    bytes palette, rows;
};

bool bmp_recognises(bytes data) { return data.size >= 26 && data.ptr[0] == 'B' && data.ptr[1] == 'M'; }

static graft_status header_parse(bytes data, const char *name, struct layout *l)
{
    struct reader r = reader_of(data);
    read_bytes(&r, 10);
    const uint32_t offset = read_u32(&r), header = read_u32(&r);
    const bool core = header == 12;
    uint32_t compression = 0;
    int64_t w, h;
    *l = (struct layout){.entry = core ? 3 : 4};
    if (!core && (header < 40 || header > 4096))
        return fail(GRAFT_BAD_FILE, "%s: damaged BMP: a header of %u bytes", name, header);
    w = core ? read_u16(&r) : (int32_t)read_u32(&r);
    h = core ? read_u16(&r) : (int32_t)read_u32(&r);
    read_u16(&r);
    l->bits = read_u16(&r);
    if (!core) {
        compression = read_u32(&r);
        read_bytes(&r, 12);
        l->colours = read_u32(&r);
        read_u32(&r);
    }
    l->top_down = h < 0;
    h = h < 0 ? -h : h;
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE)
        return fail(GRAFT_BAD_FILE, "%s: a BMP of %lldx%lld; sides up to %d are read", name, (long long)w, (long long)h,
                    MAX_SIDE);
    if (compression == 1 || compression == 2)
        return fail(GRAFT_BAD_FILE, "%s: a run-length compressed BMP, which graft does not read; save it as PNG", name);
    if ((compression != 0 && compression != 3 && compression != 6) ||
        (compression != 0 && l->bits != 16 && l->bits != 32) ||
        (l->bits != 1 && l->bits != 4 && l->bits != 8 && l->bits != 16 && l->bits != 24 && l->bits != 32))
        return fail(GRAFT_BAD_FILE, "%s: damaged BMP: %d bits a pixel, compression %u", name, l->bits, compression);
    l->w = (int)w;
    l->h = (int)h;
    for (int k = 0; k < 3; k++) {
        if (compression != 0) // in the header or, of 40 bytes, right after it: the same place
            l->mask[k] = read_u32(&r);
        else
            l->mask[k] = l->bits == 16 ? 0x1fu << 5 * (2 - k) : 0xffu << 8 * (2 - k);
    }
    if (l->bits <= 8) {
        const uint32_t most = 1u << l->bits;
        l->colours = l->colours == 0 || l->colours > most ? most : l->colours;
        r.at = 14 + header < data.size ? 14 + header : data.size;
        l->palette = read_bytes(&r, (size_t)l->colours * (size_t)l->entry);
    }
    const size_t stride = ((size_t)l->w * (size_t)l->bits + 31) / 32 * 4;
    if (r.failed || offset > data.size || (data.size - offset) / stride < (size_t)l->h)
        return fail(GRAFT_BAD_FILE, "%s: truncated BMP: %dx%d with %d bits a pixel needs %zu bytes of rows", name, l->w,
                    l->h, l->bits, stride * (size_t)l->h);
    l->rows = (bytes){data.ptr + offset, stride * (size_t)l->h};
    return GRAFT_OK;
}

// The mask's bits, scaled to 0..255.
static uint8_t field_of(uint32_t pixel, uint32_t mask)
{
    if (mask == 0)
        return 0;
    const int shift = __builtin_ctz(mask);
    return (uint8_t)((uint64_t)((pixel & mask) >> shift) * 255 / (mask >> shift));
}

static void row_read(const struct layout *l, const uint8_t *src, uint8_t *dst)
{
    for (int x = 0; x < l->w; x++, dst += 3)
        if (l->bits <= 8) {
            const int bit = x * l->bits;
            const uint32_t i = (uint32_t)(src[bit / 8] >> (8 - l->bits - bit % 8)) & ((1u << l->bits) - 1);
            for (int k = 0; k < 3; k++)
                dst[k] = i < l->colours ? l->palette.ptr[i * (uint32_t)l->entry + 2 - k] : 0;
        } else if (l->bits == 24) {
            for (int k = 0; k < 3; k++)
                dst[k] = src[3 * x + 2 - k];
        } else {
            uint32_t pixel = 0;
            for (int k = l->bits / 8 - 1; k >= 0; k--)
                pixel = pixel << 8 | src[x * (l->bits / 8) + k];
            for (int k = 0; k < 3; k++)
                dst[k] = field_of(pixel, l->mask[k]);
        }
}

graft_status bmp_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    struct layout l;
    (void)job; // its work is bounded by its size
    TRY(header_parse(data, name, &l));
    out->traits = l.bits > 8 ? 0 : l.bits == 1 ? TRAIT_BILEVEL : TRAIT_PALETTE;
    TRY(picture_new(l.w, l.h, name, out));
    const size_t stride = l.rows.size / (size_t)l.h;
    for (int y = 0; y < l.h; y++)
        row_read(&l, l.rows.ptr + stride * (size_t)(l.top_down ? y : l.h - 1 - y), out->rgb + (size_t)y * l.w * 3);
    return GRAFT_OK;
}
