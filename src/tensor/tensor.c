// tensor/tensor.c: dtypes, shapes, sets of named tensors.

#include "tensor/tensor.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mapping.h"
#include "base/memory.h"
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

static const struct { const char *name; size_t size; } dtypes[] = {
    [DTYPE_UNKNOWN] = {"?", 0}, [DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2}, [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_F64] = {"F64", 8},   [DTYPE_I64] = {"I64", 8}, [DTYPE_I32] = {"I32", 4}, [DTYPE_U8] = {"U8", 1},
};

size_t dtype_size(enum dtype dtype) { return dtypes[dtype].size; }
const char *dtype_name(enum dtype dtype) { return dtypes[dtype].name; }

enum dtype dtype_from_name(const char *name)
{
    for (size_t i = 1; i < COUNT_OF(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return (enum dtype)i;
    return DTYPE_UNKNOWN;
}

bool shape_equal(struct shape a, struct shape b)
{
    return a.rank == b.rank && memcmp(a.dim, b.dim, (size_t)a.rank * sizeof a.dim[0]) == 0;
}

bool shape_count(struct shape shape, size_t *out)
{
    size_t count = 1;
    for (int i = 0; i < shape.rank; i++)
        if (shape.dim[i] < 0 || !mul_size(count, (size_t)shape.dim[i], &count))
            return false;
    *out = count;
    return true;
}

const char *shape_text(struct shape shape)
{
    static _Thread_local char texts[4][160];
    static _Thread_local int turn;
    char *text = texts[turn = (turn + 1) % 4];
    int at = snprintf(text, sizeof texts[0], "(");
    for (int i = 0; i < shape.rank && at < 150; i++)
        at += snprintf(text + at, sizeof texts[0] - (size_t)at, i > 0 ? ", %lld" : "%lld", (long long)shape.dim[i]);
    snprintf(text + at, sizeof texts[0] - (size_t)at, ")");
    return text;
}

graft_status tensor_set_whole(const struct tensor_set *set, const char *path)
{
    const struct file_map *map = set->mapping;
    return map != NULL && mapping_was_cut(map->mapping) ? fail(GRAFT_BAD_FILE, "'%s' shrank while it was read", path)
                                                        : GRAFT_OK;
}

void tensor_set_free(struct tensor_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        mem_free(set->items[i].name);
    for (size_t i = 0; i < set->n_owned; i++)
        mem_free(set->owned[i]);
    mem_free(set->items);
    mem_free(set->index);
    mem_free(set->owned);
    mem_free(set->metadata);
    mem_free(set->format);
    if (set->mapping != NULL)
        file_map_close(set->mapping);
    mem_free(set->mapping);
    *set = (struct tensor_set){0};
}

// Keyed with bytes that are new in every process, so that no file can be made whose names all fall together.
static size_t name_slot(const struct tensor_set *set, const char *name)
{
    const void *key = (const void *)getauxval(AT_RANDOM); // 16 bytes from the kernel
    struct hash h;
    hash_init(&h);
    if (key != NULL)
        hash_put(&h, key, 16);
    hash_put(&h, name, strlen(name));
    return (size_t)hash_end(&h) & (set->index_size - 1);
}

// The slot that holds `name`, or the free one where it belongs.
static uint32_t *index_place(const struct tensor_set *set, const char *name)
{
    size_t at = name_slot(set, name);
    while (set->index[at] != 0 && strcmp(set->items[set->index[at] - 1].name, name) != 0)
        at = (at + 1) & (set->index_size - 1);
    return &set->index[at];
}

// Room for one more at no more than half full.  false: no memory.
static bool index_grow(struct tensor_set *set)
{
    if (set->indexed == set->count && 2 * (set->count + 1) <= set->index_size)
        return true;
    size_t size = 64;
    while (size < 4 * (set->count + 1))
        size *= 2;
    uint32_t *index = mem_zero(size, sizeof *index);
    if (index == NULL)
        return false;
    mem_free(set->index);
    set->index = index;
    set->index_size = size;
    for (size_t i = 0; i < set->count; i++)
        *index_place(set, set->items[i].name) = (uint32_t)(i + 1);
    set->indexed = set->count;
    return true;
}

graft_status tensor_set_add(struct tensor_set *set, const char *name, enum dtype dtype, struct shape shape,
                            const void *data)
{
    if (!index_grow(set))
        return fail_memory("the tensors' names");
    uint32_t *place = index_place(set, name);
    if (*place != 0)
        return fail(GRAFT_BAD_FILE, "tensor '%s' is there twice", name);
    char *copy = mem_text(name);
    if (copy == NULL || !mem_grow(&set->items, &set->capacity, set->count + 1, sizeof *set->items)) {
        mem_free(copy);
        return fail_memory("a tensor's name");
    }
    set->items[set->count++] = (struct named_tensor){copy, dtype, shape, data};
    set->indexed = set->count;
    *place = (uint32_t)set->count;
    return GRAFT_OK;
}

graft_status tensor_set_own(struct tensor_set *set, void *take_block)
{
    if (!mem_grow(&set->owned, &set->owned_capacity, set->n_owned + 1, sizeof *set->owned)) {
        mem_free(take_block);
        return fail_memory("a tensor's data");
    }
    set->owned[set->n_owned++] = take_block;
    return GRAFT_OK;
}

const struct named_tensor *tensor_find(const struct tensor_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0)
            return &set->items[i];
    return NULL;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) {
        const float tiny = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -tiny : tiny;
    }
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

// Where element `i` of the shape's order is.
static size_t place_in_file(const struct file_order *order, size_t i)
{
    if (order->places == 0)
        return i;
    const size_t p = i % order->places, row = i / order->places;
    return row / order->in * order->step_o + row % order->in * order->step_i +
           (order->turned ? order->places - 1 - p : p) * order->step_p;
}

bool floats_finite(const float *x, size_t n)
{
    const uint32_t exponent = 0x7f800000; // all ones: infinite or not a number
    uint32_t wrong = 0;
    for (size_t i = 0; i < n; i++) { // without a way out, so that compilers make vectors of it
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        wrong |= (bits & exponent) == exponent;
    }
    return wrong == 0;
}

graft_status tensor_to_f32(const struct named_tensor *tensor, float *dst)
{
    size_t count;
    if (!shape_count(tensor->shape, &count))
        return fail(GRAFT_BAD_FILE, "tensor '%s' has an impossible shape %s", tensor->name, shape_text(tensor->shape));
    const uint8_t *src = tensor->data; // may be unaligned
    if (tensor->dtype == DTYPE_F32 && tensor->order.places == 0) {
        memcpy(dst, src, count * sizeof *dst);
        return GRAFT_OK;
    }
#define CONVERT(type, expression)                                                                                      \
    for (size_t i = 0; i < count; i++) {                                                                               \
        type x;                                                                                                        \
        memcpy(&x, src + place_in_file(&tensor->order, i) * sizeof x, sizeof x);                                       \
        dst[i] = (float)(expression);                                                                                  \
    }                                                                                                                  \
    return GRAFT_OK
    switch (tensor->dtype) {
    case DTYPE_F32: CONVERT(float, x);
    case DTYPE_F16: CONVERT(uint16_t, from_half(x));
    case DTYPE_BF16: CONVERT(uint16_t, from_bits((uint32_t)x << 16));
    case DTYPE_F64: CONVERT(double, x);
    case DTYPE_I64: CONVERT(int64_t, x);
    case DTYPE_I32: CONVERT(int32_t, x);
    default:
        return fail(GRAFT_BAD_FILE, "tensor '%s' has dtype %s; graft reads F32, F16, BF16, F64, I64 and I32",
                    tensor->name, dtype_name(tensor->dtype));
    }
#undef CONVERT
}
