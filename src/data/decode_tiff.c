// data/decode_tiff.c: the first picture of a TIFF through libtiff.
// Plain 8-bit RGB is read row by row, further samples (alpha) dropped, as Pillow's convert("RGB") does; everything else
// goes through the library's RGBA reader.  16 bits of grey keep their high byte.  What the library cannot decode whole
// is refused.

#include "data/decode.h"
#include "base/memory.h"
#include "data/icc.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

struct source {
    bytes data;
    size_t at;
    double until;
    bool expired, cut; // cut: something lies beyond the end, of which the library may only warn
    char text[160];    // the first error
};
enum { MAX_BLOCK = 1 << 30 }; // an allocation of the library's

bool tiff_recognises(bytes data)
{
    return data.size >= 8 && (memcmp(data.ptr, "II*\0", 4) == 0 || memcmp(data.ptr, "MM\0*", 4) == 0 ||
                              memcmp(data.ptr, "II+\0", 4) == 0 || memcmp(data.ptr, "MM\0+", 4) == 0);
}

static tmsize_t take(thandle_t handle, void *out, tmsize_t size)
{
    struct source *s = handle;
    const size_t left = s->data.size - s->at, n = (size_t)size < left ? (size_t)size : left;
    s->expired = s->expired || thread_seconds() > s->until;
    if (s->expired)
        return 0;
    s->cut = s->cut || n < (size_t)size;
    memcpy(out, s->data.ptr + s->at, n);
    s->at += n;
    return (tmsize_t)n;
}

static tmsize_t put_nothing(thandle_t handle, void *data, tmsize_t size)
{
    (void)handle;
    (void)data;
    (void)size;
    return 0;
}

static toff_t seek(thandle_t handle, toff_t offset, int whence)
{
    struct source *s = handle;
    const toff_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? s->at : s->data.size;
    s->at = offset > s->data.size - from ? s->data.size : (size_t)(from + offset);
    return s->at;
}

static int stay_open(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t size_of(thandle_t handle) { return ((struct source *)handle)->data.size; }

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    struct source *s = user;
    (void)tiff;
    (void)module;
    if (s->text[0] == '\0')
        vsnprintf(s->text, sizeof s->text, format, args);
    return 1;
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    (void)tiff;
    (void)user;
    (void)module;
    (void)format;
    (void)args;
    return 1; // unknown tags and the like; damage is an error
}

static graft_status damaged(const struct source *s, const char *name)
{
    if (s->expired)
        return decode_expired(name);
    return fail(GRAFT_BAD_FILE, "%s: damaged TIFF: %s", name, s->text[0] != '\0' ? s->text
                                                              : s->cut            ? "it ends too early"
                                                                                  : "it cannot be decoded");
}

struct layout {
    uint32_t w, h;
    uint16_t bits, samples, photometric, planar, orientation;
};

// 8-bit RGB rows, or grey of 16 bits; false: damaged.
static bool rows_read(TIFF *tiff, const struct layout *l, struct picture *out)
{
    uint8_t *row = mem_alloc((size_t)TIFFScanlineSize(tiff));
    bool whole = row != NULL;
    for (uint32_t y = 0; y < l->h && whole; y++) {
        uint8_t *rgb = out->rgb + (size_t)y * l->w * 3;
        whole = TIFFReadScanline(tiff, row, y, 0) == 1;
        for (uint32_t x = 0; x < l->w && whole; x++)
            for (int c = 0; c < 3; c++) {
                uint16_t wide;
                memcpy(&wide, row + 2 * (size_t)x * l->samples * (l->bits == 16), sizeof wide);
                rgb[3 * x + c] = l->bits == 16 ? (uint8_t)(wide >> 8) : row[(size_t)x * l->samples + c];
            }
    }
    mem_free(row);
    return whole;
}

// Anything the library knows, without its own idea of turning it upright.
static bool rgba_read(TIFF *tiff, const struct layout *l, struct source *s, struct picture *out)
{
    TIFFRGBAImage image;
    char text[1024] = "";
    uint16_t n, *extra;
    // The library would multiply the colours by this kind of alpha; as the other kind they stay what they are.
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &n, &extra) == 1 && n == 1 && extra[0] == EXTRASAMPLE_UNASSALPHA)
        TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &(uint16_t){EXTRASAMPLE_UNSPECIFIED});
    uint32_t *raster = mem_alloc((size_t)l->w * l->h * sizeof *raster);
    bool whole = raster != NULL && TIFFRGBAImageBegin(&image, tiff, 1, text) == 1;
    if (whole) {
        image.req_orientation = image.orientation;
        whole = TIFFRGBAImageGet(&image, raster, l->w, l->h) == 1;
        TIFFRGBAImageEnd(&image);
    } else if (s->text[0] == '\0')
        snprintf(s->text, sizeof s->text, "%.150s", text);
    for (size_t i = 0; whole && i < (size_t)l->w * l->h; i++) {
        out->rgb[3 * i] = (uint8_t)TIFFGetR(raster[i]);
        out->rgb[3 * i + 1] = (uint8_t)TIFFGetG(raster[i]);
        out->rgb[3 * i + 2] = (uint8_t)TIFFGetB(raster[i]);
    }
    mem_free(raster);
    return whole && s->text[0] == '\0';
}

static void profile_apply(TIFF *tiff, struct picture *p)
{
    uint32_t size = 0;
    void *profile = NULL;
    if (TIFFGetField(tiff, TIFFTAG_ICCPROFILE, &size, &profile) != 1)
        return;
    struct icc *icc = icc_open((bytes){profile, size}, 3);
    if (icc != NULL)
        icc_convert(icc, p->rgb, p->rgb, (size_t)p->w * p->h);
    icc_close(icc);
}

static graft_status tiff_read(TIFF *tiff, struct source *s, const char *name, const struct decode_job *job,
                              struct picture *out)
{
    struct layout l = {0};
    if (TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l.w) != 1 || TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l.h) != 1)
        return damaged(s, name);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &l.bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &l.samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &l.planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &l.orientation);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l.photometric);
    const bool grey = l.photometric == PHOTOMETRIC_MINISBLACK || l.photometric == PHOTOMETRIC_MINISWHITE;
    out->traits = (grey ? l.bits == 1 ? TRAIT_BILEVEL : TRAIT_GREY : 0) |
                  (l.photometric == PHOTOMETRIC_PALETTE ? TRAIT_PALETTE : 0) |
                  (l.photometric == PHOTOMETRIC_SEPARATED ? TRAIT_CMYK : 0) | (l.bits > 8 ? TRAIT_DEEP : 0) |
                  (l.photometric == PHOTOMETRIC_RGB && l.samples > 3 ? TRAIT_ALPHA : 0);
    if (l.w > MAX_SIDE || l.h > MAX_SIDE)
        return fail(GRAFT_BAD_FILE, "%s: a picture of %ux%u; graft takes sides up to %d", name, l.w, l.h, MAX_SIDE);
    const bool contiguous = l.planar == PLANARCONFIG_CONTIG && !TIFFIsTiled(tiff);
    const bool rgb = l.photometric == PHOTOMETRIC_RGB && l.bits == 8 && l.samples >= 3;
    const bool deep_grey = l.photometric == PHOTOMETRIC_MINISBLACK && l.bits == 16;
    const bool rows = contiguous && (rgb || deep_grey);
    if (!rows)
        TRY(size_check_whole((int)l.w, (int)l.h, name,
                             "a TIFF of this kind (neither 8-bit RGB nor 16-bit grey in rows)"));
    TRY(picture_new((int)l.w, (int)l.h, name, out));
    if (rows ? !rows_read(tiff, &l, out) || s->text[0] != '\0' : !rgba_read(tiff, &l, s, out))
        return damaged(s, name);
    if (s->cut)
        return damaged(s, name);
    if (job->icc && !grey)
        profile_apply(tiff, out);
    return picture_orient(out, l.orientation);
}

graft_status tiff_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    struct source source = {.data = data, .until = job->until};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    graft_status status = GRAFT_OK;
    if (options == NULL)
        return fail_memory(name);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, &source);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, &source);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, MAX_BLOCK);
    TIFF *tiff =
        TIFFClientOpenExt(name, "rm", &source, take, put_nothing, seek, stay_open, size_of, NULL, NULL, options);
    status = tiff != NULL ? tiff_read(tiff, &source, name, job, out) : damaged(&source, name);
    if (tiff != NULL)
        TIFFClose(tiff);
    TIFFOpenOptionsFree(options);
    return status;
}
