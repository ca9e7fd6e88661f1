// weights/readers.h: one reader per format, called by weights.c once it knows the content.  Room-private.
// Each adds tensors that borrow `data` to a set that may be half filled on failure; weights.c frees it then.
// Messages do not name the file: weights.c puts it in front.
#pragma once

#include "weights/weights.h"

graft_status safetensors_read(bytes data, struct tensor_set *out);
graft_status pth_zip_read(bytes data, struct tensor_set *out);
graft_status pth_legacy_read(bytes data, struct tensor_set *out);
// `data` lies at `offset` of the mapped file `path`; a helper process opens the file once more and lists it.
graft_status h5_read(const char *path, bytes data, size_t offset, struct tensor_set *out);
// What the helper says of the file `data`; `*ended`: to its last line.
graft_status h5_listing_read(bytes listing, bytes data, bool *ended, struct tensor_set *out);
// A ZIP archive that is no Keras model leaves `*is_keras` false and `out` as it was.
graft_status keras_zip_read(const char *path, bytes data, struct tensor_set *out, bool *is_keras);
bool caffe_recognises(bytes data); // protobuf has no magic: the whole file must be fields of a Caffe network
graft_status caffe_read(bytes data, struct tensor_set *out);
graft_status tfjs_read(const char *path, bytes data, struct tensor_set *out); // model.json; its shards lie beside it
graft_status keras_metadata(struct tensor_set *set, const json_t *more); // adds the texts of an object to the set's
extern int h5_helper_seconds; // how long the helper may take (30); tests shorten it

// Of one file.  The largest networks have under 5,000.
enum { TENSOR_LIMIT = 100 * 1000 };
// Adds a tensor whose bytes must be exactly what its shape needs.  Copies them when they are not aligned to the dtype.
graft_status weights_add(struct tensor_set *out, const char *name, enum dtype dtype, struct shape shape, bytes data);
