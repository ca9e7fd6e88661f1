// weights/tfjs.h: TensorFlow.js layers models from any source of shards: files, or bytes in memory.  Room-private.
#pragma once

#include "weights/readers.h"

// Where shards come from.  `open` gives the bytes of the shard `name`, which stay until the next call.
struct tfjs_shards {
    void *user;
    graft_status (*open)(void *user, const char *name, bytes *out);
};
graft_status tfjs_read_shards(bytes json, const struct tfjs_shards *shards, struct tensor_set *out);
