// data/picture_cache.h: private to data/: decoded, resized pictures kept in memory or in a folder.
#pragma once

#include "data/data.h"

// The picture of a sample that has a file, whole as it was decoded, but no larger than the network's input and the
// augmentation's zoom need.  *kept: out->rgb belongs to the cache; else free it.  `plain`: nothing will be changed.
graft_status picture_cache_get(struct picture_cache *c, const struct dataset *d, size_t index,
                               const struct input_spec *spec, bool plain, struct picture *out, bool *kept);
