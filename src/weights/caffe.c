// weights/caffe.c: reads the weights of Caffe models (.caffemodel).
// In: bounded bytes.  Out: named tensors LAYER.weight, LAYER.bias (a third blob: LAYER.2, ...) that borrow them where they
// are aligned; slashes of a layer's name are dots, as graft's canonical names of Caffe's networks have it.
// Grammar (field numbers of the published caffe.proto):
//   Net:    1 name, 2 V1Layer, 100 Layer         V1Layer: 4 name, 5 type, 6 Blob         Layer: 1 name, 2 type, 7 Blob
//   Blob:   1 to 4 num, channels, height, width, or 7 BlobShape {1 dims}; 5 float data, 8 double data, packed or not
// Caffe is row-major, (out, in, kh, kw) and (out, in), and correlates: PyTorch's layout.  Old files write a vector of n as
// (1, 1, 1, n) and a matrix as (1, 1, m, n): a bias has one dimension, an inner product's weights have two.

#include "base/memory.h"
#include "base/protobuf.h"
#include "weights/readers.h"
#include <stdio.h>
#include <string.h>

enum { NET_NAME = 1, NET_V1_LAYER = 2, NET_LAYER = 100, V1_INNER_PRODUCT = 14, NAME_LIMIT = 512 };

// Where a layer message of either kind keeps what we read.
struct layer_fields { uint32_t name, type, blob; };
static const struct layer_fields v1_layer = {4, 5, 6}, layer = {1, 2, 7};

bool caffe_recognises(bytes data)
{
    // Fields of NetParameter: name, layers, inputs and their shapes, state, debugging, layer.
    static const enum pb_wire wires[] = {[1] = PB_BYTES, PB_BYTES, PB_BYTES, PB_BYTES, PB_VARINT, PB_BYTES, PB_VARINT, PB_BYTES};
    struct reader r = reader_of(data);
    struct pb_field f;
    bool more, layers = false;
    do {
        if (pb_next(&r, &f, &more) != GRAFT_OK)
            return false;
        if (!more)
            return layers;
        layers |= f.number == NET_V1_LAYER || f.number == NET_LAYER;
    } while (f.number == NET_LAYER ? f.wire == PB_BYTES
                                   : f.number < COUNT_OF(wires) && (f.wire == wires[f.number] || f.number == 4));
    return false;
}

static graft_status dims_read(bytes message, struct shape *shape)
{
    struct reader r = reader_of(message);
    struct pb_field f;
    bool more;
    for (;;) {
        TRY(pb_next(&r, &f, &more));
        if (!more)
            return GRAFT_OK;
        if (f.number != 1 || (f.wire != PB_VARINT && f.wire != PB_BYTES))
            continue;
        struct reader packed = reader_of(f.data);
        do {
            if (shape->rank == MAX_RANK)
                return fail(GRAFT_BAD_FILE, "a blob has over %d dimensions", MAX_RANK);
            shape->dim[shape->rank++] = (int64_t)(f.wire == PB_BYTES ? pb_varint_read(&packed) : f.value);
        } while (f.wire == PB_BYTES && !packed.failed && reader_left(&packed) > 0);
        if (packed.failed)
            return fail(GRAFT_BAD_FILE, "a blob's shape is damaged");
    }
}

// Numbers of a blob: one packed run is borrowed, anything else is put together in `owned`.
struct numbers {
    bytes data;
    uint8_t *owned;
    size_t size, capacity;
};

static graft_status numbers_add(struct numbers *n, const struct pb_field *f)
{
    uint8_t loose[8];
    bytes part = f->data;
    if (f->wire != PB_BYTES) {
        part = (bytes){loose, f->wire == PB_FIXED32 ? 4 : 8};
        for (size_t i = 0; i < part.size; i++)
            loose[i] = (uint8_t)(f->value >> (8 * i));
    } else if (n->data.size == 0 && n->size == 0) {
        n->data = part;
        return GRAFT_OK;
    }
    const size_t before = n->size == 0 ? n->data.size : 0; // a borrowed run that now needs company
    if (!mem_grow(&n->owned, &n->capacity, n->size + before + part.size + 1, 1))
        return fail_memory("a blob");
    if (before > 0)
        memcpy(n->owned, n->data.ptr, before);
    memcpy(n->owned + n->size + before, part.ptr, part.size);
    n->size += before + part.size;
    return GRAFT_OK;
}

struct blob {
    struct shape shape, old; // old: num, channels, height, width
    struct numbers numbers;
    enum dtype dtype;
};

static graft_status blob_parse(bytes message, struct blob *b)
{
    enum { DATA = 5, SHAPE_FIELD = 7, DOUBLE_DATA = 8 };
    struct reader r = reader_of(message);
    struct pb_field f;
    bool more, shaped = false;
    b->old = SHAPE(0, 0, 0, 0);
    for (;;) {
        TRY(pb_next(&r, &f, &more));
        if (!more)
            break;
        if (f.number >= 1 && f.number <= 4 && f.wire == PB_VARINT)
            b->old.dim[f.number - 1] = (int64_t)f.value;
        else if (f.number == SHAPE_FIELD && f.wire == PB_BYTES) {
            shaped = true;
            TRY(dims_read(f.data, &b->shape));
        } else if ((f.number == DATA && f.wire != PB_FIXED64 && f.wire != PB_VARINT) ||
                   (f.number == DOUBLE_DATA && f.wire != PB_FIXED32 && f.wire != PB_VARINT)) {
            const enum dtype dtype = f.number == DATA ? DTYPE_F32 : DTYPE_F64;
            if (b->dtype != DTYPE_UNKNOWN && b->dtype != dtype)
                return fail(GRAFT_BAD_FILE, "a blob holds floats and doubles");
            b->dtype = dtype;
            TRY(numbers_add(&b->numbers, &f));
        }
    }
    if (!shaped)
        b->shape = b->old;
    return GRAFT_OK;
}

// Drops leading ones down to `rank` dimensions.
static void shape_trim(struct shape *shape, int rank)
{
    while (shape->rank > rank && shape->dim[0] == 1) {
        memmove(shape->dim, shape->dim + 1, (size_t)(shape->rank - 1) * sizeof *shape->dim);
        shape->rank--;
    }
}

static graft_status blob_add(struct tensor_set *out, const char *layer_name, size_t index, bool inner_product, bytes message)
{
    static const char *const suffixes[] = {".weight", ".bias"};
    char name[NAME_LIMIT + 32];
    struct blob b = {.dtype = DTYPE_UNKNOWN};
    graft_status status = blob_parse(message, &b);
    if (status == GRAFT_OK) {
        if (index < COUNT_OF(suffixes))
            snprintf(name, sizeof name, "%s%s", layer_name, suffixes[index]);
        else
            snprintf(name, sizeof name, "%s.%zu", layer_name, index);
        shape_trim(&b.shape, index > 0 ? 1 : inner_product ? 2 : 4);
        const bytes data = b.numbers.size > 0 ? (bytes){b.numbers.owned, b.numbers.size} : b.numbers.data;
        if (b.dtype == DTYPE_UNKNOWN)
            b.dtype = DTYPE_F32;
        if (b.numbers.owned != NULL) {
            status = tensor_set_own(out, b.numbers.owned);
            b.numbers.owned = NULL;
        }
        if (status == GRAFT_OK)
            return weights_add(out, name, b.dtype, b.shape, data);
    }
    mem_free(b.numbers.owned);
    return status;
}

// Blobs may stand before the name: it is looked for first.
static graft_status layer_read(bytes message, const struct layer_fields *fields, struct tensor_set *out)
{
    char name[NAME_LIMIT] = "";
    bool more = true, inner_product = false;
    size_t index = 0;
    struct pb_field f;
    struct reader r = reader_of(message);
    while (more) {
        TRY(pb_next(&r, &f, &more));
        if (!more)
            break;
        if (f.number == fields->name && f.wire == PB_BYTES) {
            if (f.data.size >= sizeof name || memchr(f.data.ptr, 0, f.data.size) != NULL)
                return fail(GRAFT_BAD_FILE, "a layer's name is longer than %d bytes, or holds a NUL", NAME_LIMIT);
            memcpy(name, f.data.ptr, f.data.size);
            name[f.data.size] = '\0';
        } else if (f.number == fields->type)
            inner_product = f.wire == PB_VARINT ? f.value == V1_INNER_PRODUCT
                                                : f.data.size == 12 && memcmp(f.data.ptr, "InnerProduct", 12) == 0;
    }
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '/' ? '.' : *c;
    r = reader_of(message);
    for (more = true; more;) {
        TRY(pb_next(&r, &f, &more));
        if (!more || f.number != fields->blob || f.wire != PB_BYTES)
            continue;
        if (name[0] == '\0')
            return fail(GRAFT_BAD_FILE, "a layer with weights has no name");
        const graft_status status = blob_add(out, name, index++, inner_product, f.data);
        if (status != GRAFT_OK)
            return fail_prefix(status, "layer '%s'", name);
    }
    return GRAFT_OK;
}

graft_status caffe_read(bytes data, struct tensor_set *out)
{
    struct reader r = reader_of(data);
    struct pb_field f;
    bool more;
    out->format = mem_text("Caffe .caffemodel");
    if (out->format == NULL)
        return fail_memory("a format's name");
    for (;;) {
        TRY(pb_next(&r, &f, &more));
        if (!more)
            break;
        if (f.wire == PB_BYTES && (f.number == NET_V1_LAYER || f.number == NET_LAYER))
            TRY(layer_read(f.data, f.number == NET_LAYER ? &layer : &v1_layer, out));
    }
    return out->count > 0 ? GRAFT_OK : fail(GRAFT_BAD_FILE, "a Caffe network without weights: give the .caffemodel");
}
