// fuzz/fuzz_weights.c: libFuzzer's entry over the readers: safetensors, .pth zip and legacy, Caffe's, TensorFlow.js,
// and what the HDF5 helper says of a Keras file. In: any bytes; of a model.json, what follows the first NUL are its
// shards, each one the same; after a byte of 255 the helper's listing, a NUL and the file.  A crash, a leak or a read
// outside them is the bug; a refusal is fine. Seeds: golden/weights/, weights.zip.

#include "base/memory.h"
#include "weights/readers.h"
#include "weights/tfjs.h"
#include <stdlib.h>
#include <string.h>

static graft_status shard(void *user, const char *name, bytes *out)
{
    (void)name;
    *out = *(const bytes *)user;
    return GRAFT_OK;
}

static graft_status read_json(const uint8_t *data, size_t size, struct tensor_set *set)
{
    const uint8_t *end = memchr(data, 0, size);
    bytes text = {data, end != NULL ? (size_t)(end - data) : size}, rest = {data + text.size, size - text.size};
    return tfjs_read_shards(text, &(struct tfjs_shards){&rest, shard}, set);
}

static graft_status read_listing(const uint8_t *data, size_t size, struct tensor_set *set)
{
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t length = end != NULL ? (size_t)(end - data) : size;
    bool ended = false;
    return h5_listing_read((bytes){data, length}, (bytes){data + length, size - length}, &ended, set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_set set = {0};
    const graft_status status = size > 0 && data[0] == '{'   ? read_json(data, size, &set)
                                : size > 0 && data[0] == 255 ? read_listing(data + 1, size - 1, &set)
                                                             : weights_read_bytes((bytes){data, size}, "fuzz", &set);
    if (status != GRAFT_OK) {
        tensor_set_free(&set);
        return 0;
    }
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
