// tensor/tensor.h: dtypes, shapes, named tensors as files hold them.
#pragma once

#include "base/bytes.h"

enum dtype { DTYPE_UNKNOWN, DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_U8 };
size_t dtype_size(enum dtype dtype);
const char *dtype_name(enum dtype dtype); // safetensors' spelling: F32, F16, BF16, F64, I64, I32, U8
enum dtype dtype_from_name(const char *name);

enum { MAX_RANK = 8 };
struct shape {
    int rank;
    int64_t dim[MAX_RANK];
};
#define SHAPE(...)                                                                                                     \
    ((struct shape){(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})
bool shape_equal(struct shape a, struct shape b);
bool shape_count(struct shape shape, size_t *out);  // elements; false on overflow or a negative dimension
const char *shape_text(struct shape shape);         // "(64, 3, 7, 7)"; one of 4 per-thread buffers

// How a file holds the elements of a tensor (out, in, places) whose shape says C order: element (o, i, p) is number
// o * step_o + i * step_i + p * step_p, the places counted backwards where `turned`.  places 0: as the shape says.
struct file_order {
    size_t out, in, places, step_o, step_i, step_p;
    bool turned;
};
// A tensor as a file holds it: borrowed bytes, little-endian, in C order or in `order`.
struct named_tensor {
    char *name; // owned by the set
    enum dtype dtype;
    struct shape shape;
    const void *data;
    struct file_order order;
};

// Tensors of a file, in the file's own order, with what keeps their bytes alive.
struct tensor_set {
    struct named_tensor *items;
    size_t count, capacity;
    uint32_t *index;   // open addressing by the name's hash: an item's number + 1, 0: free
    size_t index_size, indexed; // slots, a power of two; items in it
    char *metadata; // JSON object text (safetensors __metadata__) or NULL
    char *format;   // for people: "PyTorch .pth (zip)", "Keras 2 .h5 (weights)", ...
    void **owned;   // heap blocks released with the set
    size_t n_owned, owned_capacity;
    void *mapping;  // struct file_map *, or NULL
};
// After the last use of its data: fails where the file of that name was cut meanwhile, and zeros were used.
graft_status tensor_set_whole(const struct tensor_set *set, const char *path);
void tensor_set_free(struct tensor_set *set);  // contents; a zeroed one is fine
graft_status tensor_set_add(struct tensor_set *set, const char *name, enum dtype dtype, struct shape shape,
                            const void *data);         // copies the name; refuses a duplicate (bad file); no
                                                               // name may be changed between adds
graft_status tensor_set_own(struct tensor_set *set, void *take_block); // frees the block when it cannot keep it
const struct named_tensor *tensor_find(const struct tensor_set *set, const char *name);
// Converts to float32 in C order; `dst` holds shape_count floats.  Refuses integer dtypes other than I64/I32.
graft_status tensor_to_f32(const struct named_tensor *tensor, float *dst);
bool floats_finite(const float *x, size_t n); // every one is a number, and none infinite
