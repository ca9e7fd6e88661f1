// fuzz/fuzz_decode.c: libFuzzer's entry over the picture decoders and what follows them.
// In: any bytes.  A crash, a leak, a hang or a read outside them is the bug; a refusal is fine.  Seeds: golden/data/.

#include "data/data.h"

// Debian 12's libheif loses the plugin's picture where that is not what the file said, and its dav1d 40 bytes of some
// damaged files.  Of a C++ library's leak no more is seen than operator new; ours of its pictures are test_formats'.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libdav1d\nleak:libstdc++\n"; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct input_spec spec = {16, 20, RESIZE_CROP, FILTER_BICUBIC, {127, 127, 127}, {1, 1, 1}, false};
    static float input[3 * 16 * 16];
    struct picture p;
    if (picture_decode((bytes){data, size}, "fuzz", &p) != GRAFT_OK)
        return 0;
    ASSERT(p.rgb != NULL && p.w > 0 && p.h > 0);
    if (p.w < 4096 && p.h < 4096)
        ASSERT(picture_prepare(&p, &spec, input) == GRAFT_OK);
    picture_free(&p);
    return 0;
}
