// weights/weights.c: reads a weight file of any known format.
// In: a path, or bytes.  Out: named tensors that borrow the mapped file; the set owns the mapping.
// The content decides, never the name:
//   89 "HDF" 0d 0a 1a 0a at 0, 512, 1024, ...   Keras .h5          h5.c
//   "PK" 03 04                                  PyTorch >= 1.6     pth.c; with model.weights.h5: Keras 3    keras_read.c
//   80 02                                       PyTorch < 1.6      pth.c
//   u64 N, '{'                                  safetensors        safetensors.c
//   '{', in a file                              TensorFlow.js      tfjs.c
//   fields of a Caffe network to the end        .caffemodel        caffe.c

#include "weights/readers.h"
#include "base/file.h"
#include "base/memory.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum format { FORMAT_UNKNOWN, FORMAT_SAFETENSORS, FORMAT_ZIP, FORMAT_PTH_LEGACY, FORMAT_H5, FORMAT_JSON, FORMAT_CAFFE };

static bool begins(bytes data, size_t at, const char *magic, size_t size)
{
    return at <= data.size && size <= data.size - at && memcmp(data.ptr + at, magic, size) == 0;
}

static enum format format_of(bytes data)
{
    static const char hdf5[] = "\x89HDF\r\n\x1a\n";
    for (size_t at = 0; at < data.size; at = at ? 2 * at : 512) // HDF5 allows a user block of a power of two
        if (begins(data, at, hdf5, 8))
            return FORMAT_H5;
    if (begins(data, 0, "PK\3\4", 4))
        return FORMAT_ZIP;
    if (data.size > 1 && data.ptr[0] == 0x80 && data.ptr[1] <= 5)
        return FORMAT_PTH_LEGACY;
    if (data.size > 8 && data.ptr[8] == '{')
        return FORMAT_SAFETENSORS;
    if (data.size > 0 && data.ptr[0] == '{')
        return FORMAT_JSON;
    if (caffe_recognises(data))
        return FORMAT_CAFFE;
    return FORMAT_UNKNOWN;
}

// Says what the file looks like, so that the person can see what went wrong.
static graft_status fail_unknown(bytes data)
{
    static const char expected[] = "expected safetensors, PyTorch .pth (a state dictionary), Keras .h5 or .keras, "
                                   "TensorFlow.js's model.json, or .caffemodel";
    if (data.size == 0)
        return fail(GRAFT_BAD_FILE, "the file is empty; %s", expected);
    if (data.ptr[0] == '<')
        return fail(GRAFT_BAD_FILE, "this is a web page or XML, perhaps a failed download; %s", expected);
    if (begins(data, 0, "version https://git-lfs", 23))
        return fail(GRAFT_BAD_FILE, "this is a Git LFS pointer, not the file itself: run 'git lfs pull'; %s", expected);
    if (begins(data, 0, "\x1f\x8b", 2))
        return fail(GRAFT_BAD_FILE, "this is a gzip archive: unpack it first; %s", expected);
    if (begins(data, 0, "\x08", 1) && data.size > 2 && data.ptr[1] < 32 && (data.ptr[2] == 0x12 || data.ptr[2] == 0x1a))
        return fail(GRAFT_BAD_FILE, "this looks like ONNX, which graft writes but does not read; %s", expected);
    char text[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < data.size; i++)
        snprintf(text + 3 * i, 4, " %02x", data.ptr[i]);
    return fail(GRAFT_BAD_FILE, "unknown kind of file, it begins with%s; %s", text, expected);
}

graft_status weights_add(struct tensor_set *out, const char *name, enum dtype dtype, struct shape shape, bytes data)
{
    static const uint64_t nothing = 0;
    size_t count, size;
    if (out->count == TENSOR_LIMIT)
        return fail(GRAFT_BAD_FILE, "more than %d tensors", TENSOR_LIMIT);
    if (!shape_count(shape, &count) || !mul_size(count, dtype_size(dtype), &size))
        return fail(GRAFT_BAD_FILE, "tensor '%s': shape %s is negative or too large", name, shape_text(shape));
    if (size != data.size)
        return fail(GRAFT_BAD_FILE, "tensor '%s' %s of %s needs %zu bytes, the file gives %zu", name, shape_text(shape),
                    dtype_name(dtype), size, data.size);
    const void *at = size ? (const void *)data.ptr : &nothing;
    if ((uintptr_t)at % dtype_size(dtype) != 0) {
        void *copy = mem_aligned(size);
        if (!copy)
            return fail_memory("a tensor");
        memcpy(copy, at, size);
        TRY(tensor_set_own(out, copy));
        at = copy;
    }
    return tensor_set_add(out, name, dtype, shape, at);
}

static graft_status read_format(const char *path, bytes data, struct tensor_set *out)
{
    bool is_keras;
    switch (format_of(data)) {
    case FORMAT_SAFETENSORS:
        return safetensors_read(data, out);
    case FORMAT_ZIP:
        TRY(keras_zip_read(path, data, out, &is_keras));
        return is_keras ? GRAFT_OK : pth_zip_read(data, out);
    case FORMAT_PTH_LEGACY:
        return pth_legacy_read(data, out);
    case FORMAT_H5:
        if (!path)
            return fail(GRAFT_BAD_FILE, "HDF5 is read from files only, not from memory");
        return h5_read(path, data, 0, out);
    case FORMAT_JSON:
        if (!path)
            return fail(GRAFT_BAD_FILE, "JSON text; a TensorFlow.js model is read from files only, not from memory");
        return tfjs_read(path, data, out);
    case FORMAT_CAFFE:
        return caffe_read(data, out);
    case FORMAT_UNKNOWN:
        break;
    }
    return fail_unknown(data);
}

graft_status weights_read_bytes(bytes data, const char *name, struct tensor_set *out)
{
    *out = (struct tensor_set){0};
    graft_status status = read_format(NULL, data, out);
    if (status == GRAFT_OK)
        return GRAFT_OK;
    tensor_set_free(out);
    *out = (struct tensor_set){0};
    return fail_prefix(status, "%s", name);
}

graft_status weights_read(const char *path, struct tensor_set *out)
{
    *out = (struct tensor_set){0};
    struct file_map *map = mem_zero(1, sizeof *map);
    if (!map)
        return fail_memory("a file mapping");
    graft_status status = file_map_open(path, map);
    if (status != GRAFT_OK) {
        mem_free(map);
        return status;
    }
    out->mapping = map; // tensor_set_free closes it
    status = read_format(path, map->data, out);
    if (status == GRAFT_OK)
        return GRAFT_OK;
    tensor_set_free(out);
    *out = (struct tensor_set){0};
    return fail_prefix(status, "%s", path);
}
