// data/icc.c: colours by an embedded profile through lcms2: 8 bits, perceptual, as Pillow's ImageCms does by default.
// A profile is an ornament of a picture: one that cannot be used leaves the colours as they are.

#include "data/icc.h"
#include "base/memory.h"
#include "data/data.h"

graft_status profiles_check(const struct input_spec *spec)
{
#ifndef GRAFT_LCMS
    if (spec->icc)
        return fail(GRAFT_BAD_OPTION,
                    "--icc, now or when the model was trained, needs lcms2, without which this graft was "
                    "built");
#endif
    (void)spec;
    return GRAFT_OK;
}

#ifdef GRAFT_LCMS
#include <lcms2.h>

struct icc {
    cmsContext context;
    cmsHTRANSFORM transform;
};
enum { MAX_PROFILE = 16 << 20 };

static void ignore(cmsContext context, cmsUInt32Number code, const char *text)
{
    (void)context;
    (void)code;
    (void)text;
}

struct icc *icc_open(bytes profile, int channels)
{
    struct icc *c;
    cmsHPROFILE from = NULL, to = NULL;
    if (profile.size < 128 || profile.size > MAX_PROFILE || (c = mem_zero(1, sizeof *c)) == NULL)
        return NULL;
    c->context = cmsCreateContext(NULL, NULL); // of our own: lcms2 has nothing else that threads share
    if (c->context != NULL) {
        cmsSetLogErrorHandlerTHR(c->context, ignore);
        from = cmsOpenProfileFromMemTHR(c->context, profile.ptr, (cmsUInt32Number)profile.size);
        to = cmsCreate_sRGBProfileTHR(c->context);
    }
    if (from != NULL && to != NULL && cmsGetColorSpace(from) == (channels == 4 ? cmsSigCmykData : cmsSigRgbData))
        c->transform = cmsCreateTransformTHR(c->context, from, channels == 4 ? TYPE_CMYK_8_REV : TYPE_RGB_8, to,
                                             TYPE_RGB_8, INTENT_PERCEPTUAL, 0);
    if (from != NULL)
        cmsCloseProfile(from);
    if (to != NULL)
        cmsCloseProfile(to);
    if (c->transform != NULL)
        return c;
    icc_close(c);
    return NULL;
}

void icc_convert(const struct icc *c, const uint8_t *src, uint8_t *rgb, size_t pixels)
{
    enum { CHUNK = 1 << 20 };
    const size_t step = cmsGetTransformInputFormat(c->transform) == TYPE_RGB_8 ? 3 : 4;
    for (size_t at = 0; at < pixels; at += CHUNK)
        cmsDoTransform(c->transform, src + at * step, rgb + 3 * at,
                       (cmsUInt32Number)(pixels - at < CHUNK ? pixels - at : CHUNK));
}

void icc_close(struct icc *c)
{
    if (c == NULL)
        return;
    if (c->transform != NULL)
        cmsDeleteTransform(c->transform);
    if (c->context != NULL)
        cmsDeleteContext(c->context);
    mem_free(c);
}
#else
struct icc *icc_open(bytes profile, int channels)
{
    (void)profile;
    (void)channels;
    return NULL;
}

void icc_convert(const struct icc *c, const uint8_t *src, uint8_t *rgb, size_t pixels)
{
    (void)c;
    (void)src;
    (void)rgb;
    (void)pixels;
}

void icc_close(struct icc *c) { (void)c; }
#endif
