// data/decode_heif.c: HEIC and AVIF through libheif, which turns the picture upright itself; alpha dropped; of several
// the primary one. The library is opened when the first such file comes: with its codecs it is larger than graft, and a
// program that never meets one should not carry it.

#include "data/decode.h"
#include "base/memory.h"
#include "data/icc.h"
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <libheif/heif.h>

#define USED(use)                                                                                                      \
    use(heif_context_alloc) use(heif_context_free) use(heif_context_read_from_memory_without_copy)                     \
    use(heif_context_set_maximum_image_size_limit) use(heif_context_set_max_decoding_threads)                          \
    use(heif_context_get_primary_image_handle) use(heif_image_handle_release) use(heif_image_handle_get_width)         \
    use(heif_image_handle_get_height) use(heif_image_handle_has_alpha_channel)                                         \
    use(heif_image_handle_get_luma_bits_per_pixel) use(heif_image_handle_get_raw_color_profile_size)                   \
    use(heif_image_handle_get_raw_color_profile) use(heif_decode_image) use(heif_image_release)                        \
    use(heif_decoding_options_alloc) use(heif_decoding_options_free) use(heif_image_get_width)                         \
    use(heif_image_get_height) use(heif_image_get_plane_readonly)

#define DECLARE(name) __typeof__(name) *name;
static struct {
    void *library; // stays open
    USED(DECLARE)
} heif;

static void heif_open(void)
{
    void *library = dlopen("libheif.so.1", RTLD_NOW | RTLD_LOCAL);
    bool all = library != NULL;
#define FIND(symbol)                                                                                                   \
    if (all) {                                                                                                         \
        void *found = dlsym(library, #symbol);                                                                         \
        memcpy(&heif.symbol, &found, sizeof found);                                                                    \
        all = found != NULL;                                                                                           \
    }
    USED(FIND)
    if (all)
        heif.library = library;
}

// An ISO media file ("ftyp" after its first four bytes) of a brand that holds pictures.
bool heif_recognises(bytes data)
{
    static const char *const brands[] = {"heic", "heix", "hevc", "heim", "heis", "mif1", "msf1", "avif", "avis"};
    if (data.size < 16 || memcmp(data.ptr + 4, "ftyp", 4) != 0)
        return false;
    for (size_t i = 0; i < COUNT_OF(brands); i++)
        if (memcmp(data.ptr + 8, brands[i], 4) == 0)
            return true;
    return false;
}

static graft_status damaged(const char *name, struct heif_error error)
{
    return fail(GRAFT_BAD_FILE, "%s: damaged HEIF, or one for which libheif has no decoder here: %s", name,
                error.message);
}

static void profile_apply(const struct heif_image_handle *handle, struct picture *p)
{
    const size_t size = heif.heif_image_handle_get_raw_color_profile_size(handle);
    uint8_t *profile = size > 0 && size < 1 << 24 ? mem_alloc(size) : NULL;
    if (profile != NULL && heif.heif_image_handle_get_raw_color_profile(handle, profile).code == heif_error_Ok) {
        struct icc *icc = icc_open((bytes){profile, size}, 3);
        if (icc != NULL)
            icc_convert(icc, p->rgb, p->rgb, (size_t)p->w * p->h);
        icc_close(icc);
    }
    mem_free(profile);
}

static graft_status copy(const struct heif_image *image, const char *name, struct picture *out)
{
    int stride;
    const int w = heif.heif_image_get_width(image, heif_channel_interleaved);
    const int h = heif.heif_image_get_height(image, heif_channel_interleaved);
    const uint8_t *plane = heif.heif_image_get_plane_readonly(image, heif_channel_interleaved, &stride);
    if (plane == NULL || stride < 3 * w)
        return fail(GRAFT_BAD_FILE, "%s: damaged HEIF: no pixels in it", name);
    TRY(picture_new(w, h, name, out));
    for (int y = 0; y < h; y++)
        memcpy(out->rgb + (size_t)y * w * 3, plane + (size_t)y * stride, (size_t)w * 3);
    return GRAFT_OK;
}

static graft_status handle_decode(const struct heif_image_handle *handle, const char *name,
                                  const struct decode_job *job, struct picture *out)
{
    enum { STRICT_SINCE = 3 };
    struct heif_image *image = NULL;
    TRY(size_check_whole(heif.heif_image_handle_get_width(handle), heif.heif_image_handle_get_height(handle), name,
                         "a HEIF picture"));
    out->traits = (heif.heif_image_handle_has_alpha_channel(handle) ? TRAIT_ALPHA : 0) |
                  (heif.heif_image_handle_get_luma_bits_per_pixel(handle) > 8 ? TRAIT_DEEP : 0);
    struct heif_decoding_options *options = heif.heif_decoding_options_alloc();
    if (options != NULL && options->version >= STRICT_SINCE)
        options->strict_decoding = 1; // warnings are damage
    const struct heif_error error =
        heif.heif_decode_image(handle, &image, heif_colorspace_RGB, heif_chroma_interleaved_RGB, options);
    heif.heif_decoding_options_free(options);
    const graft_status status = error.code == heif_error_Ok ? copy(image, name, out) : damaged(name, error);
    if (image != NULL)
        heif.heif_image_release(image);
    if (status == GRAFT_OK && job->icc)
        profile_apply(handle, out);
    return status;
}

graft_status heif_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out)
{
    enum { LARGEST_SIDE = 16384 };
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct heif_image_handle *handle = NULL;
    graft_status status;
    pthread_once(&once, heif_open);
    if (heif.library == NULL)
        return fail(GRAFT_BAD_FILE, "%s: HEIC and AVIF need libheif, which is not on this machine (Debian: libheif1)",
                    name);
    struct heif_context *context = heif.heif_context_alloc();
    if (context == NULL)
        return fail_memory(name);
    heif.heif_context_set_maximum_image_size_limit(context, LARGEST_SIDE);
    heif.heif_context_set_max_decoding_threads(context, 0); // we have threads of our own
    struct heif_error error = heif.heif_context_read_from_memory_without_copy(context, data.ptr, data.size, NULL);
    if (error.code == heif_error_Ok)
        error = heif.heif_context_get_primary_image_handle(context, &handle);
    status = error.code == heif_error_Ok ? handle_decode(handle, name, job, out) : damaged(name, error);
    if (handle != NULL)
        heif.heif_image_handle_release(handle);
    heif.heif_context_free(context);
    return status;
}
