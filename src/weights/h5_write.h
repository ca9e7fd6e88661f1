// weights/h5_write.h: an HDF5 file, described as a tree and then written in one pass.  Room-private.
#pragma once

#include "tensor/tensor.h"

struct h5_object;
struct h5_buffer {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
};
// Describe first; the first failure (memory) sticks and h5_write reports it.  Zeroed is ready for use; object 0 is the
// root, made with the first call.
struct h5_writer {
    struct h5_object *objects;
    size_t count, capacity;
    struct h5_buffer texts; // of variable length, as the global heap keeps them
    int n_texts;
    bool failed;
};
// The group `path` ("a/b") below `parent`, made with the groups between where it is not there yet.
int h5_group(struct h5_writer *h, int parent, const char *path);
// float32, little-endian, contiguous.  `tag` is what h5_write asks the data for by.  `path` as above; must be new.
void h5_dataset(struct h5_writer *h, int parent, const char *path, struct shape shape, int tag);
void h5_text(struct h5_writer *h, int object, const char *name, const char *text); // one text of variable length
// A list of texts of one length, padded by zeros; over 64,512 bytes it is split into NAME0, NAME1, ... as Keras does.
void h5_texts(struct h5_writer *h, int object, const char *name, const char *const *texts, size_t count);

struct h5_target {
    void *user;
    graft_status (*put)(void *user, const void *data, size_t size);
    graft_status (*data)(void *user, int tag, const float **out); // valid until the next call
};
graft_status h5_write(struct h5_writer *h, const struct h5_target *target);
void h5_writer_fini(struct h5_writer *h);
