// weights/weights.h: weight files <-> named tensors.
#pragma once

#include "tensor/tensor.h"

// Reads by content, not by name: safetensors, PyTorch .pth (zip, legacy), Keras .h5.  Tensors borrow the mapped file.
graft_status weights_read(const char *path, struct tensor_set *out);
// The same on bytes in memory, which must outlive the set.  `name` is for messages.  HDF5 needs a file and is refused.
graft_status weights_read_bytes(bytes data, const char *name, struct tensor_set *out);
// safetensors, atomically.  `metadata` is a JSON object of strings, or NULL.
graft_status safetensors_write(const char *path, const struct tensor_set *set, const char *metadata);
