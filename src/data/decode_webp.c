// data/decode_webp.c: WebP through libwebp; alpha dropped; of an animation the first frame.

#include "data/decode.h"
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

graft_status webp_decode(bytes data, const char *name, struct picture *out)
{
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(data.ptr, data.size, &features) != VP8_STATUS_OK)
        return fail(GRAFT_BAD_FILE, "%s: damaged WebP: bad header", name);
    if (!features.has_animation)
        return frame_decode(data, name, out);
    const WebPData whole = {data.ptr, data.size};
    WebPDemuxer *demuxer = WebPDemux(&whole);
    WebPIterator it;
    graft_status status;
    if (demuxer != NULL && WebPDemuxGetFrame(demuxer, 1, &it)) {
        status = frame_decode((bytes){it.fragment.bytes, it.fragment.size}, name, out);
        WebPDemuxReleaseIterator(&it);
    } else
        status = fail(GRAFT_BAD_FILE, "%s: damaged or truncated animated WebP", name);
    WebPDemuxDelete(demuxer);
    return status;
}
