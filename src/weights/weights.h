// weights/weights.h: weight files <-> named tensors; whole models into other frameworks' files.
#pragma once

#include "tensor/params.h"
#include "zoo/zoo.h"

// Reads by content, not by name: safetensors, PyTorch .pth (zip, legacy), Keras .h5.  Tensors borrow the mapped file.
graft_status weights_read(const char *path, struct tensor_set *out);
// The same on bytes in memory, which must outlive the set.  `name` is for messages.  HDF5 needs a file and is refused.
graft_status weights_read_bytes(bytes data, const char *name, struct tensor_set *out);
// safetensors, atomically.  `metadata` is a JSON object of strings, or NULL.
graft_status safetensors_write(const char *path, const struct tensor_set *set, const char *metadata);
// The same of tensors that are not in memory as the file holds them (their `data` is not read): `pieces` gives those of
// tensor `item` to tensor_sink_put, in order.  `sealed`: with a tensor "graft.checksum" (U8, 8) at the end, the XXH64,
// little-endian, of every byte before it.
#define SAFETENSORS_SEAL "graft.checksum"
struct tensor_sink;
graft_status tensor_sink_put(struct tensor_sink *sink, const void *data, size_t size);
typedef graft_status (*tensor_pieces)(void *user, size_t item, struct tensor_sink *sink);
graft_status safetensors_write_pieces(const char *path, const struct tensor_set *set, const char *metadata, bool sealed,
                                      tensor_pieces pieces, void *user);
graft_status safetensors_verify(const char *path); // of a sealed file

// A network with its weights, as the writers of whole models see it.
struct exported {
    const struct network *network;
    const struct graph *graph;
    const struct params *params; // entry i is the graph's parameter i
    const struct input_spec *input;
    char *const *classes;
    int n_classes;
    const char *metadata; // graft's own: a JSON object of texts
};
graft_status onnx_write(const char *path, const struct exported *model); // opset 17, atomically
// Whole models (.keras, .h5), which Keras opens by themselves; weights for a model that is there already (.weights.h5 and
// .h5 without a configuration).
enum keras_file { KERAS_ARCHIVE, KERAS_H5, KERAS_WEIGHTS, KERAS_H5_WEIGHTS };
graft_status keras_write(const char *path, const struct exported *model, enum keras_file kind); // atomically
