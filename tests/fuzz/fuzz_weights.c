// fuzz/fuzz_weights.c: libFuzzer's entry over the readers: safetensors, .pth zip and legacy, Caffe's, TensorFlow.js;
// fuzz_listing.c has Keras's HDF5. In: any bytes; of a model.json, what follows the first NUL are its shards, each one
// the same.  A crash, a leak or a read outside them is the bug; a refusal is fine. Seeds: golden/weights/, weights.zip.

#include "fuzz/touch.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tensor_set set = {0};
    const graft_status status = size > 0 && data[0] == '{' ? read_json(data, size, &set)
                                                           : weights_read_bytes((bytes){data, size}, "fuzz", &set);
    if (status != GRAFT_OK) {
        tensor_set_free(&set);
        return 0;
    }
    tensors_touch(&set);
    tensor_set_free(&set);
    return 0;
}
