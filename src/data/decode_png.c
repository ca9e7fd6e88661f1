// data/decode_png.c: PNG through libpng's low-level reader; 16 bits scaled by dropping the low byte, alpha dropped, as
// Pillow's convert("RGB") does.

#include "data/decode.h"
#include "base/memory.h"
#include "data/icc.h"
#include <png.h>
#include <string.h>

struct source {
    struct reader reader;
    double until;
    bool expired;
    char text[128];
};

static void take(png_structp png, png_bytep out, size_t size)
{
    struct source *s = png_get_io_ptr(png);
    const bytes part = read_bytes(&s->reader, size);
    if (s->reader.failed)
        png_error(png, "the file ends too early");
    memcpy(out, part.ptr, size);
}

static void watch(png_structp png, png_uint_32 row, int pass)
{
    struct source *s = png_get_io_ptr(png);
    (void)pass;
    if (row % 64 == 0 && thread_seconds() > s->until) {
        s->expired = true;
        png_error(png, "too slow");
    }
}

static void stop(png_structp png, png_const_charp text)
{
    struct source *s = png_get_error_ptr(png);
    strncpy(s->text, text, sizeof s->text - 1);
    png_longjmp(png, 1);
}

// Of the pixels' own chunks a warning is damage ("IDAT: Too much image data"); an ornament's is not.
static void warn(png_structp png, png_const_charp text)
{
    if (strncmp(text, "IDAT", 4) == 0)
        png_error(png, text);
}

bool png_recognises(bytes data) { return data.size >= 8 && memcmp(data.ptr, "\x89PNG\r\n\x1a\n", 8) == 0; }

// Of the eXIf chunk.  A chunk: u32 big-endian length, four letters, data, checksum.
static int orientation_of(bytes data)
{
    struct reader r = reader_of(data);
    read_bytes(&r, 8);
    while (reader_left(&r) >= 12 && !r.failed) {
        const uint32_t length = read_u32_be(&r);
        const bytes kind = read_bytes(&r, 4), body = read_bytes(&r, length);
        if (!r.failed && memcmp(kind.ptr, "eXIf", 4) == 0)
            return exif_orientation(body);
        read_u32_be(&r);
    }
    return 1;
}

static void profile_apply(png_structp png, png_infop info, const struct decode_job *job, struct picture *out)
{
    png_charp title;
    png_bytep profile;
    png_uint_32 size;
    int compression;
    if (!job->icc || (out->traits & (TRAIT_GREY | TRAIT_BILEVEL)) != 0 ||
        png_get_iCCP(png, info, &title, &compression, &profile, &size) == 0)
        return;
    struct icc *icc = icc_open((bytes){profile, size}, 3);
    if (icc != NULL)
        icc_convert(icc, out->rgb, out->rgb, (size_t)out->w * out->h);
    icc_close(icc);
}

graft_status png_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    struct source source = {.reader = reader_of(data), .until = job->until};
    graft_status status = GRAFT_OK;
    png_bytep *volatile rows = NULL;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, stop, warn);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    if (info == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        return fail_memory(name);
    }
    if (setjmp(png_jmpbuf(png)) != 0) {
        status = source.expired ? decode_expired(name) : fail(GRAFT_BAD_FILE, "%s: damaged PNG: %s", name, source.text);
        goto done;
    }
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_read_fn(png, &source, take);
    png_set_read_status_fn(png, watch);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); // texts: skipped, not inflated
    if (job->icc)
        png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "iCCP", 1);
    png_read_info(png, info);
    const int type = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
    out->traits =
        (type == PNG_COLOR_TYPE_PALETTE       ? TRAIT_PALETTE
         : (type & PNG_COLOR_MASK_COLOR) != 0 ? 0
         : depth == 1                         ? TRAIT_BILEVEL
                                              : TRAIT_GREY) |
        ((type & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png, info, PNG_INFO_tRNS) != 0 ? TRAIT_ALPHA : 0) |
        (depth == 16 ? TRAIT_DEEP : 0);
    png_set_strip_16(png);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    status = picture_new((int)png_get_image_width(png, info), (int)png_get_image_height(png, info), name, out);
    if (status != GRAFT_OK)
        goto done;
    // deflate packs 1032 to 1 at best
    if (png_get_rowbytes(png, info) / 1040 * png_get_image_height(png, info) > source.reader.data.size)
        png_error(png, "too short for its size");
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (size_t)out->w * 3)
        png_error(png, "unexpected row size");
    rows = mem_alloc((size_t)out->h * sizeof *rows);
    if (rows == NULL) {
        status = fail_memory(name);
        goto done;
    }
    for (int y = 0; y < out->h; y++)
        rows[y] = out->rgb + (size_t)y * out->w * 3;
    png_read_image(png, rows);
    png_read_end(png, NULL);
    profile_apply(png, info, job, out);
    status = picture_orient(out, orientation_of(source.reader.data));
done:
    mem_free(rows);
    png_destroy_read_struct(&png, &info, NULL);
    return status;
}
