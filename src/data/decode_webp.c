// data/decode_webp.c: WebP through libwebp; alpha dropped; of an animation the first frame.

#include "data/decode.h"
#include "data/icc.h"
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

bool webp_recognises(bytes data)
{
    return data.size >= 12 && memcmp(data.ptr, "RIFF", 4) == 0 && memcmp(data.ptr + 8, "WEBP", 4) == 0;
}

static graft_status frame_decode(bytes frame, const char *name, struct picture *out)
{
    int w, h;
    if (!WebPGetInfo(frame.ptr, frame.size, &w, &h))
        return fail(GRAFT_BAD_FILE, "%s: damaged WebP: no picture header", name);
    TRY(picture_new(w, h, name, out));
    if (WebPDecodeRGBInto(frame.ptr, frame.size, out->rgb, (size_t)w * h * 3, w * 3) == NULL)
        return fail(GRAFT_BAD_FILE, "%s: damaged or truncated WebP", name);
    return GRAFT_OK;
}

// Puts the frame at (left, top) of a black canvas.
static graft_status canvas_put(struct picture *p, int w, int h, int left, int top, const char *name)
{
    struct picture canvas;
    if (w == p->w && h == p->h)
        return GRAFT_OK;
    if (left < 0 || top < 0 || p->w > w - left || p->h > h - top)
        return fail(GRAFT_BAD_FILE, "%s: damaged WebP: its first frame lies outside the picture", name);
    canvas.traits = p->traits;
    TRY(picture_new(w, h, name, &canvas));
    memset(canvas.rgb, 0, (size_t)w * h * 3);
    for (int y = 0; y < p->h; y++)
        memcpy(canvas.rgb + ((size_t)(top + y) * w + left) * 3, p->rgb + (size_t)y * p->w * 3, (size_t)p->w * 3);
    picture_free(p);
    *p = canvas;
    return GRAFT_OK;
}

static int orientation_of(WebPDemuxer *demuxer)
{
    WebPChunkIterator it;
    int orientation = 1;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &it)) {
        bytes exif = {it.chunk.bytes, it.chunk.size};
        if (exif.size > 6 && memcmp(exif.ptr, "Exif\0\0", 6) == 0) // some writers keep JPEG's marker head
            exif = (bytes){exif.ptr + 6, exif.size - 6};
        orientation = exif_orientation(exif);
        WebPDemuxReleaseChunkIterator(&it);
    }
    return orientation;
}

static void profile_apply(WebPDemuxer *demuxer, struct picture *p)
{
    WebPChunkIterator it;
    if (!WebPDemuxGetChunk(demuxer, "ICCP", 1, &it))
        return;
    struct icc *icc = icc_open((bytes){it.chunk.bytes, it.chunk.size}, 3);
    if (icc != NULL)
        icc_convert(icc, p->rgb, p->rgb, (size_t)p->w * p->h);
    icc_close(icc);
    WebPDemuxReleaseChunkIterator(&it);
}

graft_status webp_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    const WebPData whole = {data.ptr, data.size};
    WebPDemuxer *demuxer = WebPDemux(&whole); // NULL unless every chunk is there
    WebPIterator it;
    graft_status status;
    if (demuxer == NULL || !WebPDemuxGetFrame(demuxer, 1, &it)) {
        status = fail(GRAFT_BAD_FILE, "%s: damaged or truncated WebP", name);
    } else {
        const uint32_t flags = WebPDemuxGetI(demuxer, WEBP_FF_FORMAT_FLAGS);
        out->traits = (flags & ANIMATION_FLAG ? TRAIT_ANIMATED : 0) | (flags & ALPHA_FLAG ? TRAIT_ALPHA : 0);
        status = frame_decode((bytes){it.fragment.bytes, it.fragment.size}, name, out);
        if (status == GRAFT_OK && job->icc)
            profile_apply(demuxer, out);
        if (status == GRAFT_OK)
            status = canvas_put(out, (int)WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH),
                                (int)WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT), it.x_offset, it.y_offset, name);
        if (status == GRAFT_OK)
            status = picture_orient(out, orientation_of(demuxer));
        WebPDemuxReleaseIterator(&it);
    }
    WebPDemuxDelete(demuxer);
    return status;
}
