// data/decode_jpeg.c: JPEG through libjpeg-turbo.  Any warning of the library means damage: a picture is whole or
// refused.  Where fewer pixels are wanted it is shrunk while decoding, to 1/2, 1/4 or 1/8: other eighths are less
// faithful.

#include "data/decode.h"
#include "base/memory.h"
#include "data/icc.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>


struct failure {
    struct jpeg_error_mgr manager;
    jmp_buf jump;
    double until;
    unsigned calls;
    bool expired, tolerant;
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
    if (level < 0 && !((struct failure *)info->err)->tolerant) // corrupt data, a premature end
        stop(info);
}

// Called for every row of blocks of every scan, and every row of pixels; the clock is a system call.
static void watch(j_common_ptr info)
{
    const j_decompress_ptr jpeg = (j_decompress_ptr)info;
    struct failure *f = (struct failure *)info->err;
    if (jpeg->input_scan_number > MAX_SCANS) {
        snprintf(f->text, sizeof f->text, "more than %d progressive scans", MAX_SCANS);
        longjmp(f->jump, 1);
    }
    if (f->calls++ % 32 == 0 && thread_seconds() > f->until) {
        f->expired = true;
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

// The profile's markers are an ornament: where they do not fit together there is none.
static struct icc *profile_open(struct jpeg_decompress_struct *jpeg, struct failure *f)
{
    JOCTET *data = NULL;
    unsigned size;
    struct icc *icc = NULL;
    f->tolerant = true;
    if (jpeg->num_components >= 3 && jpeg_read_icc_profile(jpeg, &data, &size)) {
        icc = icc_open((bytes){data, size}, jpeg->num_components == 4 ? 4 : 3);
        free(data);
    }
    f->tolerant = false;
    return icc;
}

// Eighths of its size that leave at least as many pixels as will be used.
static unsigned eighths(const struct jpeg_decompress_struct *jpeg, const struct decode_job *job, bool turned)
{
    double across, down;
    unsigned n = 8;
    if (job->wanted == NULL)
        return n;
    const int w = (int)jpeg->image_width, h = (int)jpeg->image_height;
    job->wanted(job->user, turned ? h : w, turned ? w : h, turned ? &down : &across, turned ? &across : &down);
    while (n > 1 && w * (n / 2) / 8.0 >= across && h * (n / 2) / 8.0 >= down)
        n /= 2;
    return n;
}

// The picture's size is known once decoding has begun.
static graft_status size_set(const struct jpeg_decompress_struct *jpeg, const char *name, struct picture *out)
{
    out->w = (int)jpeg->output_width;
    out->h = (int)jpeg->output_height;
    out->full_w = (int)jpeg->image_width;
    out->full_h = (int)jpeg->image_height;
    return size_check(out->w, out->h, name);
}

static graft_status rows_stream(struct jpeg_decompress_struct *jpeg, const char *name, const struct decode_job *job,
                                struct picture *out)
{
    struct resizer *to;
    jpeg->out_color_space = JCS_EXT_RGBX;
    jpeg_start_decompress(jpeg);
    TRY(size_set(jpeg, name, out));
    TRY(job->stream(job->user, out, &to));
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW target = resizer_row(to);
        jpeg_read_scanlines(jpeg, &target, 1);
        resizer_push(to);
    }
    return GRAFT_OK;
}

// *row: a row of CMYK, which the caller frees, as nothing returns here when the library jumps out.
static graft_status rows_read(struct jpeg_decompress_struct *jpeg, const char *name, struct icc *icc,
                              uint8_t *volatile *row, struct picture *out)
{
    const bool cmyk = jpeg->num_components == 4;
    jpeg_start_decompress(jpeg);
    TRY(picture_new((int)jpeg->output_width, (int)jpeg->output_height, name, out));
    TRY(size_set(jpeg, name, out));
    if (cmyk && (*row = mem_alloc((size_t)jpeg->output_width * 4)) == NULL)
        return fail_memory(name);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *line = out->rgb + (size_t)jpeg->output_scanline * out->w * 3;
        JSAMPROW target = cmyk ? *row : line;
        jpeg_read_scanlines(jpeg, &target, 1);
        if (icc != NULL)
            icc_convert(icc, target, line, (size_t)out->w);
        else if (cmyk)
            from_cmyk(*row, line, out->w);
    }
    return GRAFT_OK;
}

graft_status jpeg_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    struct jpeg_decompress_struct jpeg = {0};
    struct failure failure = {.until = job->until};
    struct jpeg_progress_mgr progress = {.progress_monitor = watch};
    graft_status status = GRAFT_OK;
    uint8_t *volatile row = NULL;
    struct icc *volatile icc = NULL;
    jpeg.err = jpeg_std_error(&failure.manager);
    failure.manager.error_exit = stop;
    failure.manager.emit_message = message;
    if (setjmp(failure.jump) != 0) {
        status =
            failure.expired ? decode_expired(name) : fail(GRAFT_BAD_FILE, "%s: damaged JPEG: %s", name, failure.text);
        goto done;
    }
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &progress;
    jpeg_mem_src(&jpeg, data.ptr, data.size);
    jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);
    if (job->icc)
        jpeg_save_markers(&jpeg, JPEG_APP0 + 2, 0xffff);
    jpeg_read_header(&jpeg, TRUE);
    const bool cmyk = jpeg.num_components == 4;
    const int orientation = orientation_of(&jpeg); // finishing drops the markers
    out->traits = cmyk ? TRAIT_CMYK : jpeg.num_components == 1 ? TRAIT_GREY : 0;
    jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    TRY_GOTO(size_check((int)jpeg.image_width, (int)jpeg.image_height, name));
    if (jpeg_has_multiple_scans(&jpeg)) // then its coefficients, 3 to 6 bytes a pixel, are kept
        TRY_GOTO(size_check_whole((int)jpeg.image_width, (int)jpeg.image_height, name, "a JPEG of several scans"));
    jpeg.scale_num = eighths(&jpeg, job, orientation >= 5);
    jpeg.scale_denom = 8;
    if (job->icc)
        icc = profile_open(&jpeg, &failure);
    if (job->stream != NULL && orientation <= 1 && !cmyk && icc == NULL)
        TRY_GOTO(rows_stream(&jpeg, name, job, out));
    else
        TRY_GOTO(rows_read(&jpeg, name, icc, &row, out));
    jpeg_finish_decompress(&jpeg);
    if (out->rgb != NULL)
        status = picture_orient(out, orientation);
done:
    icc_close(icc);
    mem_free(row);
    jpeg_destroy_decompress(&jpeg);
    return status;
}
