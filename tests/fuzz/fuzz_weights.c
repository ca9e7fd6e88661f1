// fuzz/fuzz_weights.c: libFuzzer's entry over the in-memory readers: safetensors, .pth zip and legacy.
// In: any bytes.  A crash, a leak or a read outside them is the bug; a refusal is fine.  Seeds: golden/weights/.
// With -DFUZZ_MAIN it is a program that runs the files it is given once, for compilers without libFuzzer.

#include "base/memory.h"
#include "weights/weights.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_set set;
    if (weights_read_bytes((bytes){data, size}, "fuzz", &set) != GRAFT_OK)
        return 0;
    for (size_t i = 0; i < set.count; i++) { // every byte a tensor claims is there
        size_t count;
        ASSERT(shape_count(set.items[i].shape, &count));
        float *values = count < 1 << 24 ? mem_zero(count + 1, sizeof *values) : NULL;
        if (values && set.items[i].dtype != DTYPE_U8)
            ASSERT(tensor_to_f32(&set.items[i], values) == GRAFT_OK);
        mem_free(values);
    }
    tensor_set_free(&set);
    return 0;
}

#ifdef FUZZ_MAIN
#include "base/file.h"
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct file_map map = {0};
        if (file_map_open(argv[i], &map) == GRAFT_OK)
            LLVMFuzzerTestOneInput(map.data.ptr, map.data.size);
        file_map_close(&map);
    }
    return 0;
}
#endif
