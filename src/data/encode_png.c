// data/encode_png.c: a picture as a PNG in memory, by libpng's simplified interface.

#include "data/encode.h"
#include "base/memory.h"

#include <png.h>

graft_status picture_to_png(const struct picture *p, bytes *out)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)p->w, .height = (png_uint_32)p->h,
                       .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image); // an upper bound: one pass writes it
    uint8_t *data = mem_alloc(size);
    *out = (bytes){0};
    if (data == NULL)
        return fail_memory("a PNG");
    if (!png_image_write_to_memory(&image, data, &size, 0, p->rgb, 0, NULL)) {
        mem_free(data);
        return fail(GRAFT_FAILED, "cannot make a PNG of %dx%d: %s", p->w, p->h, image.message);
    }
    *out = (bytes){data, size};
    return GRAFT_OK;
}
