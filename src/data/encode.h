// data/encode.h: pictures into bytes, for people to look at.
#pragma once

#include "data/data.h"

// Baseline JPEG without chroma subsampling (thumbnails are small and full of edges); `out` is heap (mem_free the ptr).
graft_status picture_to_jpeg(const struct picture *p, int quality, bytes *out);
graft_status picture_to_png(const struct picture *p, bytes *out); // 8-bit RGB
