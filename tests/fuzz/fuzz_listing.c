// fuzz/fuzz_listing.c: libFuzzer's entry over what the parent reads of the HDF5 helper, which a hostile Keras file may
// make say anything.  In: the listing, a NUL, the bytes of the file it speaks of.  A crash, a leak, a tensor outside
// the file or more tensors than the file has bytes for is the bug.  Seeds: listing.zip.

#include "fuzz/touch.h"
#include "weights/readers.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_set set = {0};
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t length = end != NULL ? (size_t)(end - data) : size;
    const bytes file = {data + length, size - length};
    bool ended = false;
    size_t total = 0;
    if (h5_listing_read((bytes){data, length}, file, &ended, &set) == GRAFT_OK) {
        for (size_t i = 0; i < set.count; i++) {
            size_t count;
            const uint8_t *at = set.items[i].data;
            ASSERT(shape_count(set.items[i].shape, &count));
            const size_t bytes_of = count * dtype_size(set.items[i].dtype);
            total += bytes_of;
            const bool borrowed = at >= file.ptr && at + bytes_of <= file.ptr + file.size;
            ASSERT(bytes_of == 0 || borrowed || set.n_owned > 0); // a copy where it is not aligned
        }
        ASSERT(total <= file.size);
        tensors_touch(&set);
    }
    tensor_set_free(&set);
    return 0;
}
