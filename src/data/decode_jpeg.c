// data/decode_jpeg.c: JPEG through libjpeg-turbo.  Any warning of the library means damage: a picture is whole or
// refused.

#include "data/decode.h"
#include "base/memory.h"
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>

struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
};

static void stop(j_common_ptr info)
{
    struct failure *f = (struct failure *)info->err;
    info->err->format_message(info, f->text);
    longjmp(f->jump, 1);
}

static void message(j_common_ptr info, int level)
{
    if (level < 0) // corrupt data, a premature end
        stop(info);
}

static void watch_scans(j_common_ptr info)
{
    const j_decompress_ptr jpeg = (j_decompress_ptr)info;
    struct failure *f = (struct failure *)info->err;
    if (jpeg->input_scan_number > MAX_SCANS) {
        snprintf(f->text, sizeof f->text, "more than %d progressive scans", MAX_SCANS);
        longjmp(f->jump, 1);
    }
}

bool jpeg_recognises(bytes data) { return data.size > 2 && memcmp(data.ptr, "\xff\xd8\xff", 3) == 0; }

static int orientation_of(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && memcmp(m->data, "Exif\0\0", 6) == 0)
            return exif_orientation((bytes){m->data + 6, m->data_length - 6});
    return 1;
}

// Adobe stores CMYK inverted, and Pillow takes every CMYK JPEG for Adobe's: r = c k / 255 of the stored values,
// rounded.
static void from_cmyk(const uint8_t *src, uint8_t *dst, int w)
{
    for (int x = 0; x < w; x++)
        for (int k = 0; k < 3; k++) {
            const int product = src[4 * x + k] * src[4 * x + 3] + 128;
            dst[3 * x + k] = (uint8_t)((product + (product >> 8)) >> 8);
        }
}

graft_status jpeg_decode(bytes data, const char *name, struct picture *out)
{
    struct jpeg_decompress_struct jpeg = {0};
    struct failure failure;
    struct jpeg_progress_mgr progress = {.progress_monitor = watch_scans};
    graft_status status = GRAFT_OK;
    uint8_t *volatile row = NULL;
    jpeg.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = stop;
    failure.manager.emit_message = message;
    if (setjmp(failure.jump) != 0) {
        status = fail(GRAFT_BAD_FILE, "%s: damaged JPEG: %s", name, failure.text);
        goto done;
    }
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &progress;
    jpeg_mem_src(&jpeg, data.ptr, data.size);
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&jpeg, TRUE);
    const bool cmyk = jpeg.num_components == 4;
    const int orientation = orientation_of(&jpeg); // finishing drops the markers
    out->traits = cmyk ? TRAIT_CMYK : jpeg.num_components == 1 ? TRAIT_GREY : 0;
    jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    status = picture_new((int)jpeg.image_width, (int)jpeg.image_height, name, out);
    if (status != GRAFT_OK)
        goto done;
    if (cmyk && (row = mem_alloc((size_t)jpeg.image_width * 4)) == NULL) {
        status = fail_memory(name);
        goto done;
    }
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
        uint8_t *line = out->rgb + (size_t)jpeg.output_scanline * out->w * 3;
        JSAMPROW target = cmyk ? row : line;
        jpeg_read_scanlines(&jpeg, &target, 1);
        if (cmyk)
            from_cmyk(row, line, out->w);
    }
    jpeg_finish_decompress(&jpeg);
    status = picture_orient(out, orientation);
done:
    mem_free(row);
    jpeg_destroy_decompress(&jpeg);
    return status;
}
