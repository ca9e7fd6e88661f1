// data/decode.c: the table of picture formats, found by content; limits; EXIF orientation.

#include "data/decode.h"
#include "base/file.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct decoder decoders[] = {
    {"JPEG", jpeg_recognises, jpeg_decode}, {"PNG", png_recognises, png_decode}, {"WebP", webp_recognises, webp_decode},
#ifdef GRAFT_GIF
    {"GIF", gif_recognises, gif_decode},
#endif
    {"BMP", bmp_recognises, bmp_decode},
#ifdef GRAFT_TIFF
    {"TIFF", tiff_recognises, tiff_decode},
#endif
#ifdef GRAFT_HEIF
    {"HEIF", heif_recognises, heif_decode},
#endif
};

// What this build cannot read, by the bytes at a place.
static const struct absent {
    const char *name, *library, *magic;
    size_t at;
} absent[] = {
#ifndef GRAFT_GIF
    {"GIF", "giflib", "GIF8", 0},
#endif
#ifndef GRAFT_TIFF
    {"TIFF", "libtiff", "II*\0", 0}, {"TIFF", "libtiff", "MM\0*", 0},
#endif
#ifndef GRAFT_HEIF
    {"HEIF", "libheif", "ftyp", 4},
#endif
    {NULL, NULL, NULL, 0}};

graft_status size_check(int w, int h, const char *name)
{
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE || (int64_t)w * h > MAX_PIXELS)
        return fail(GRAFT_BAD_FILE, "%s: a picture of %dx%d; graft takes up to %d pixels", name, w, h, MAX_PIXELS);
    return GRAFT_OK;
}

graft_status size_check_whole(int w, int h, const char *name, const char *what)
{
    TRY(size_check(w, h, name));
    if ((int64_t)w * h > MAX_PIXELS_WHOLE)
        return fail(GRAFT_BAD_FILE,
                    "%s: %s of %dx%d, which is decoded whole in memory; graft takes up to %d pixels of that "
                    "kind",
                    name, what, w, h, MAX_PIXELS_WHOLE);
    return GRAFT_OK;
}

graft_status picture_new(int w, int h, const char *name, struct picture *out)
{
    *out = (struct picture){.w = w, .h = h, .full_w = w, .full_h = h, .traits = out->traits};
    TRY(size_check(w, h, name));
    out->rgb = mem_alloc((size_t)w * h * 3);
    return out->rgb != NULL ? GRAFT_OK : fail_memory(name);
}

void picture_free(struct picture *p)
{
    mem_free(p->rgb);
    *p = (struct picture){0};
}

double thread_seconds(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0 ? (double)now.tv_sec + (double)now.tv_nsec * 1e-9 : 0;
}

graft_status decode_expired(const char *name)
{
    return fail(GRAFT_BAD_FILE, "%s: not decoded after %d seconds of work; that is no picture to train on", name,
                MAX_SECONDS);
}

// "JPEG, PNG, ..."
static const char *formats(void)
{
    static _Thread_local char list[96];
    list[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(decoders); i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i > 0 ? ", " : "", decoders[i].name);
    return list;
}

graft_status picture_decode_as(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    struct decode_job own = *job;
    *out = (struct picture){0};
    own.until = thread_seconds() + MAX_SECONDS;
    if (data.size == 0)
        return fail(GRAFT_BAD_FILE, "%s: the file is empty", name);
    for (size_t i = 0; i < COUNT_OF(decoders); i++)
        if (decoders[i].recognises(data)) {
            const graft_status status = decoders[i].decode(data, name, &own, out);
            if (status != GRAFT_OK)
                picture_free(out);
            else
                out->format = decoders[i].name;
            return status;
        }
    for (const struct absent *a = absent; a->name != NULL; a++)
        if (data.size >= a->at + 4 && memcmp(data.ptr + a->at, a->magic, 4) == 0)
            return fail(GRAFT_BAD_FILE, "%s: %s, which this graft cannot read: it was built without %s", name, a->name,
                        a->library);
    return fail(GRAFT_BAD_FILE, "%s: not a picture graft reads (%s); it begins with 0x%02x 0x%02x", name, formats(),
                data.ptr[0], data.size > 1 ? data.ptr[1] : 0);
}

graft_status picture_decode(bytes data, const char *name, struct picture *out)
{
    return picture_decode_as(data, name, &(struct decode_job){0}, out);
}

graft_status picture_read(const char *path, bool icc, struct picture *out)
{
    struct file_map map;
    *out = (struct picture){0};
    TRY(file_read(path, MAX_FILE, &map));
    const graft_status status = picture_decode_as(map.data, path, &(struct decode_job){.icc = icc}, out);
    file_map_close(&map);
    return status;
}

// TIFF header: "II*\0" or "MM\0*", offset of the first directory; an entry is tag(2) type(2) count(4) value(4).
int exif_orientation(bytes tiff)
{
    struct reader r = reader_of(tiff);
    const uint16_t order = read_u16(&r);
    const bool big = order == 0x4d4d;
    if ((!big && order != 0x4949) || (big ? read_u16_be(&r) : read_u16(&r)) != 42)
        return 1;
    const uint32_t first = big ? read_u32_be(&r) : read_u32(&r);
    if (first > tiff.size)
        return 1;
    r.at = first;
    const int n = big ? read_u16_be(&r) : read_u16(&r);
    for (int i = 0; i < n && !r.failed; i++) {
        const uint16_t tag = big ? read_u16_be(&r) : read_u16(&r);
        const uint16_t type = big ? read_u16_be(&r) : read_u16(&r);
        read_u32(&r);
        const uint16_t value = big ? read_u16_be(&r) : read_u16(&r);
        read_u16(&r);
        if (tag == 0x112 && type == 3 && !r.failed && value >= 1 && value <= 8)
            return value;
    }
    return 1;
}

// Orientation o: bit pattern of (transpose, mirror columns, mirror rows) that brings the picture upright.
graft_status picture_orient(struct picture *p, int orientation)
{
    if (orientation <= 1 || orientation > 8)
        return GRAFT_OK;
    const bool transpose = orientation >= 5;
    const int w = transpose ? p->h : p->w, h = transpose ? p->w : p->h;
    uint8_t *rgb = mem_alloc((size_t)w * h * 3);
    if (rgb == NULL)
        return fail_memory("a picture");
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int sx = transpose ? y : x, sy = transpose ? x : y;
            if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
                sx = p->w - 1 - sx;
            if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7)
                sy = p->h - 1 - sy;
            memcpy(rgb + ((size_t)y * w + x) * 3, p->rgb + ((size_t)sy * p->w + sx) * 3, 3);
        }
    mem_free(p->rgb);
    p->rgb = rgb;
    p->w = w;
    p->h = h;
    if (transpose) {
        const int kept = p->full_w;
        p->full_w = p->full_h;
        p->full_h = kept;
    }
    p->traits |= TRAIT_TURNED;
    return GRAFT_OK;
}
