// tests/fuzz/replay.c: a main for the fuzz targets where there is no libFuzzer: each file named goes in once.

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
