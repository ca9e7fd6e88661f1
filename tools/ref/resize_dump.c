// ref/resize_dump.c: graft's resize of a picture as raw 8-bit RGB on stdout, for tools/ref/resize_compare.py.
// Usage: resize_dump FILE SIDE bilinear|bicubic

#include "data/data.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct picture p, small;
    if (argc != 4)
        return 2;
    const int side = atoi(argv[2]);
    const enum filter filter = strcmp(argv[3], "bicubic") == 0 ? FILTER_BICUBIC : FILTER_BILINEAR;
    if (picture_read(argv[1], false, &p) != GRAFT_OK || picture_resize(&p, side, side, filter, &small) != GRAFT_OK) {
        fprintf(stderr, "%s\n", graft_message());
        return 3;
    }
    fwrite(small.rgb, 3, (size_t)side * (size_t)side, stdout);
    picture_free(&p);
    picture_free(&small);
    return 0;
}
