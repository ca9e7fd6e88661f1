// data/encode.c: 8-bit RGB to PNG (contact sheets) and JPEG (thumbnails), in memory.

#include "data/data.h"
#include "base/memory.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <png.h>

graft_status picture_to_png(const struct picture *p, uint8_t **out, size_t *size)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = (png_uint_32)p->w, .height = (png_uint_32)p->h,
                       .format = PNG_FORMAT_RGB};
    png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(image);
    *out = mem_alloc(bytes);
    if (*out == NULL)
        return fail_memory("a PNG");
    if (png_image_write_to_memory(&image, *out, &bytes, 0, p->rgb, p->w * 3, NULL) == 0) {
        mem_free(*out);
        *out = NULL;
        return fail(GRAFT_FAILED, "cannot write a PNG of %dx%d: %s", p->w, p->h, image.message);
    }
    *size = bytes;
    return GRAFT_OK;
}

struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf jump;
};

static void stop(j_common_ptr info) { longjmp(((struct failure *)info->err)->jump, 1); }

graft_status picture_to_jpeg(const struct picture *p, int quality, uint8_t **out, size_t *size)
{
    struct jpeg_compress_struct jpeg = {0};
    struct failure failure;
    unsigned char *volatile taken = NULL;
    unsigned char *block = NULL; // the library's
    unsigned long bytes = 0;
    *out = NULL;
    jpeg.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = stop;
    if (setjmp(failure.jump) == 0) {
        jpeg_create_compress(&jpeg);
        jpeg_mem_dest(&jpeg, &block, &bytes);
        jpeg.image_width = (JDIMENSION)p->w;
        jpeg.image_height = (JDIMENSION)p->h;
        jpeg.input_components = 3;
        jpeg.in_color_space = JCS_RGB;
        jpeg_set_defaults(&jpeg);
        jpeg_set_quality(&jpeg, quality, TRUE);
        jpeg_start_compress(&jpeg, TRUE);
        for (int y = 0; y < p->h; y++) {
            JSAMPROW row = p->rgb + (size_t)y * p->w * 3;
            jpeg_write_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_compress(&jpeg);
        taken = block;
    }
    jpeg_destroy_compress(&jpeg);
    if (taken != NULL && (*out = mem_alloc(bytes)) != NULL) {
        memcpy(*out, taken, bytes);
        *size = bytes;
    }
    free(taken);
    return *out != NULL ? GRAFT_OK : fail_memory("a thumbnail");
}
