// data/encode_jpeg.c: a picture as a baseline JPEG in memory.

#include "data/encode.h"
#include "base/memory.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf jump;
};

static void on_error(j_common_ptr cinfo) { longjmp(((struct failure *)cinfo->err)->jump, 1); }

graft_status picture_to_jpeg(const struct picture *p, int quality, bytes *out)
{
    struct jpeg_compress_struct c;
    struct failure failure;
    unsigned char *volatile data = NULL; // the library's own allocation, from malloc
    unsigned long size = 0;
    *out = (bytes){0};
    c.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = on_error;
    if (setjmp(failure.jump) != 0) {
        jpeg_destroy_compress(&c);
        free(data);
        return fail_memory("a JPEG"); // nothing else fails: there is no file, and the picture's size is checked
    }
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, (unsigned char **)&data, &size);
    c.image_width = (JDIMENSION)p->w;
    c.image_height = (JDIMENSION)p->h;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, quality, TRUE);
    for (int i = 0; i < 3; i++)
        c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = 1;
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < c.image_height) {
        JSAMPROW row = p->rgb + (size_t)c.next_scanline * (size_t)p->w * 3;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    uint8_t *copy = mem_alloc(size);
    if (copy != NULL)
        memcpy(copy, data, size);
    free(data);
    *out = (bytes){copy, copy != NULL ? size : 0};
    return copy != NULL ? GRAFT_OK : fail_memory("a JPEG");
}
