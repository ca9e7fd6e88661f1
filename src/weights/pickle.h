// weights/pickle.h: a pickle machine for data only.  Nothing a pickle says is executed, imported or called: opcodes and
// globals outside a short list are refused.  Room-private.
#pragma once

#include "tensor/tensor.h"

// clang-format off
enum pickle_kind {
    PICKLE_MARK, PICKLE_NONE, PICKLE_BOOL, PICKLE_INT, PICKLE_LONG, PICKLE_FLOAT, PICKLE_TEXT, PICKLE_TUPLE,
    PICKLE_LIST, PICKLE_DICT, PICKLE_GLOBAL, PICKLE_STORAGE, PICKLE_TENSOR,
};
// clang-format on

// Values refer to each other freely (a list may hold itself), so nobody may walk them without a bound.
struct pickle_value {
    enum pickle_kind kind;
    int depth; // of containers below, when it was filled
    union {
        int64_t integer; // BOOL, INT
        bytes text;      // TEXT, and LONG: little-endian two's complement of more than 8 bytes; borrowed
        const struct pickle_global *global;
        struct {
            struct pickle_value **items; // DICT: key, value, key, value, ...
            size_t count, capacity;
        } list; // TUPLE, LIST, DICT
        struct {
            enum dtype dtype;
            bytes key;
            size_t count; // elements
        } storage;
        struct {
            const struct pickle_value *storage, *size, *stride; // size and stride: tuples of as many whole numbers >= 0
            size_t offset;                                      // elements
        } tensor;
    };
};

// Owns every value of the pickles it has read.  Zeroed is ready for use.
struct pickle {
    struct pickle_value **blocks;
    size_t n_blocks, blocks_capacity, n_values;
    struct pickle_value **stack, **memo;
    size_t n_stack, stack_capacity, memo_capacity;
    const struct pickle_value **storages; // every persistent id seen
    size_t n_storages, storages_capacity;
};

// Reads one pickle, up to and with its STOP.  `*out` lives as long as the machine and the bytes.
graft_status pickle_load(struct pickle *machine, struct reader *r, const struct pickle_value **out);
void pickle_fini(struct pickle *machine);
// The value of a text key, or NULL.  `dict` must be a DICT.
const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);
bool bytes_equal(bytes a, const char *text);
