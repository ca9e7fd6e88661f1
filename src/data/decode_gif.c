// data/decode_gif.c: the first frame of a GIF through giflib, read line by line: later frames cost nothing.
// The canvas is the logical screen, grown to hold the frame; what the frame leaves bare shows the transparent index's
// colour, or index 0's, as Pillow's convert("RGB") does.  Transparent pixels keep their palette colour.

#include "data/decode.h"
#include "base/memory.h"
#include <gif_lib.h>
#include <string.h>

bool gif_recognises(bytes data)
{
    return data.size >= 6 && (memcmp(data.ptr, "GIF87a", 6) == 0 || memcmp(data.ptr, "GIF89a", 6) == 0);
}

static int take(GifFileType *gif, GifByteType *out, int size)
{
    struct reader *r = gif->UserData;
    const size_t left = reader_left(r);
    const bytes part = read_bytes(r, (size_t)size < left ? (size_t)size : left);
    if (part.size > 0)
        memcpy(out, part.ptr, part.size);
    return (int)part.size;
}

static void colour(const ColorMapObject *map, int index, uint8_t *rgb)
{
    const bool known = index < map->ColorCount;
    rgb[0] = known ? map->Colors[index].Red : 0;
    rgb[1] = known ? map->Colors[index].Green : 0;
    rgb[2] = known ? map->Colors[index].Blue : 0;
}

static void canvas_fill(const ColorMapObject *map, int index, struct picture *p)
{
    for (int x = 0; x < p->w; x++)
        colour(map, index, p->rgb + (size_t)x * 3);
    for (int y = 1; y < p->h; y++)
        memcpy(p->rgb + (size_t)y * p->w * 3, p->rgb, (size_t)p->w * 3);
}

static bool lines_read(GifFileType *gif, const ColorMapObject *map, double until, GifByteType *line, struct picture *p)
{
    static const int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2}; // the four passes of interlacing
    const GifImageDesc *f = &gif->Image;
    for (int pass = 0; pass < (f->Interlace ? 4 : 1); pass++)
        for (int y = f->Interlace ? first[pass] : 0; y < f->Height; y += f->Interlace ? step[pass] : 1) {
            if (DGifGetLine(gif, line, f->Width) == GIF_ERROR || (y % 64 == 0 && thread_seconds() > until))
                return false;
            for (int x = 0; x < f->Width; x++)
                colour(map, line[x], p->rgb + ((size_t)(f->Top + y) * p->w + f->Left + x) * 3);
        }
    return true;
}

static graft_status damaged(const char *name, int error)
{
    const char *text = GifErrorString(error);
    return fail(GRAFT_BAD_FILE, "%s: damaged GIF: %s", name, text != NULL ? text : "no frame in it");
}

// Skips to the first frame's descriptor; gives the transparent index on the way (-1: none).
static bool frame_find(GifFileType *gif, int *transparent)
{
    GifRecordType type;
    *transparent = -1;
    do {
        GifByteType *block;
        int code;
        if (DGifGetRecordType(gif, &type) == GIF_ERROR || type == TERMINATE_RECORD_TYPE)
            return false;
        if (type != EXTENSION_RECORD_TYPE)
            continue;
        if (DGifGetExtension(gif, &code, &block) == GIF_ERROR)
            return false;
        while (block != NULL) {
            if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && (block[1] & 1))
                *transparent = block[4];
            if (DGifGetExtensionNext(gif, &block) == GIF_ERROR)
                return false;
        }
    } while (type != IMAGE_DESC_RECORD_TYPE);
    return DGifGetImageDesc(gif) != GIF_ERROR;
}

graft_status gif_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    struct reader reader = reader_of(data);
    int error = 0, transparent;
    GifByteType *line = NULL;
    graft_status status = GRAFT_OK;
    GifFileType *gif = DGifOpen(&reader, take, &error);
    if (gif == NULL)
        return damaged(name, error);
    if (!frame_find(gif, &transparent))
        TRY_GOTO(damaged(name, gif->Error));
    out->traits = TRAIT_PALETTE | (transparent >= 0 ? TRAIT_ALPHA : 0);
    const GifImageDesc *f = &gif->Image;
    const ColorMapObject *map = f->ColorMap != NULL ? f->ColorMap : gif->SColorMap;
    if (map == NULL || f->Width < 1 || f->Height < 1 || f->Left < 0 || f->Top < 0)
        TRY_GOTO(fail(GRAFT_BAD_FILE, "%s: damaged GIF: %s", name, map == NULL ? "no colours" : "an empty frame"));
    const int right = f->Left + f->Width, bottom = f->Top + f->Height;
    const int w = right > gif->SWidth ? right : gif->SWidth, h = bottom > gif->SHeight ? bottom : gif->SHeight;
    TRY_GOTO(size_check_whole(w, h, name, "a GIF")); // of a few bytes it may be
    TRY_GOTO(picture_new(w, h, name, out));
    if (f->Width < w || f->Height < h)
        canvas_fill(map, transparent >= 0 ? transparent : 0, out);
    line = mem_alloc((size_t)f->Width);
    if (line == NULL)
        TRY_GOTO(fail_memory(name));
    if (!lines_read(gif, map, job->until, line, out))
        status = thread_seconds() > job->until ? decode_expired(name) : damaged(name, gif->Error);
done:
    mem_free(line);
    DGifCloseFile(gif, &error);
    return status;
}
