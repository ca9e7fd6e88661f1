// weights/safetensors.c: reads and writes safetensors files.
// In: bounded bytes (base/bytes.h).  Out: named tensors that borrow those bytes, in the header's order.
// Grammar:  u64 little-endian N | N bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin, end)}} | data
//           "__metadata__" is an object of strings; offsets count from the data's start, cover it without holes or
//           overlaps; zero-size tensors are fine.
// Source:   the format's README; its reference reader's limit of the header (100 MB), our TENSOR_LIMIT.

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"
#include "weights/readers.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100 * 1000 * 1000, SEAL_SIZE = 8 };
static const char metadata_key[] = "__metadata__";

struct range {
    uint64_t begin, end; // within the data
    const char *name;
};

static graft_status shape_parse(const json_t *array, const char *name, struct shape *out)
{
    *out = (struct shape){0};
    if (!json_is_array(array) || json_array_size(array) > MAX_RANK)
        return fail(GRAFT_BAD_FILE, "tensor '%s': 'shape' must be a list of at most %d numbers", name, MAX_RANK);
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *dim = json_array_get(array, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return fail(GRAFT_BAD_FILE, "tensor '%s': dimension %zu of its shape is not a whole number >= 0", name, i);
        out->dim[out->rank++] = json_integer_value(dim);
    }
    return GRAFT_OK;
}

static graft_status range_parse(const json_t *array, size_t size, struct range *out)
{
    const json_t *begin = json_array_get(array, 0), *end = json_array_get(array, 1);
    if (json_array_size(array) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return fail(GRAFT_BAD_FILE, "tensor '%s': 'data_offsets' must be [begin, end] with 0 <= begin <= end",
                    out->name);
    out->begin = (uint64_t)json_integer_value(begin);
    out->end = (uint64_t)json_integer_value(end);
    if (out->end > size)
        return fail(GRAFT_BAD_FILE, "tensor '%s' ends at byte %" PRIu64 " of the data, which has %zu: file cut short?",
                    out->name, out->end, size);
    return GRAFT_OK;
}

// One tensor's row of the header.  Fails on an unknown dtype, a shape that overflows, offsets outside the data.
static graft_status entry_parse(const json_t *row, const char *name, bytes data, struct range *range,
                                struct tensor_set *out)
{
    if (!json_is_object(row) || json_object_size(row) != 3)
        return fail(GRAFT_BAD_FILE, "tensor '%s': expected exactly dtype, shape and data_offsets", name);
    struct shape shape;
    range->name = name;
    TRY(shape_parse(json_object_get(row, "shape"), name, &shape));
    TRY(range_parse(json_object_get(row, "data_offsets"), data.size, range));
    const char *spelled = json_string_value(json_object_get(row, "dtype"));
    enum dtype dtype = spelled ? dtype_from_name(spelled) : DTYPE_UNKNOWN;
    if (dtype == DTYPE_UNKNOWN)
        return fail(GRAFT_BAD_FILE, "tensor '%s' has dtype '%s'; graft reads F32, F16, BF16, F64, I64, I32 and U8",
                    name, spelled ? spelled : "(not a text)");
    return weights_add(out, name, dtype, shape, (bytes){data.ptr + range->begin, range->end - range->begin});
}

static graft_status metadata_check(const json_t *object)
{
    if (!json_is_object(object))
        return fail(GRAFT_BAD_FILE, "metadata must be a JSON object of texts");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (!json_is_string(value))
            return fail(GRAFT_BAD_FILE, "metadata '%s' must be a text", key);
    }
    return GRAFT_OK;
}

static int range_compare(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

// Sorts.  The ranges must follow each other from 0 to `size`.
static graft_status ranges_check(struct range *ranges, size_t count, size_t size)
{
    qsort(ranges, count, sizeof *ranges, range_compare);
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].begin != at)
            return fail(GRAFT_BAD_FILE, "tensor '%s' begins at byte %" PRIu64 " of the data, expected %" PRIu64 ": %s",
                        ranges[i].name, ranges[i].begin, at, ranges[i].begin > at ? "a hole" : "tensors overlap");
        at = ranges[i].end;
    }
    if (at != size)
        return fail(GRAFT_BAD_FILE, "the tensors end at byte %" PRIu64 " of the data, which has %zu", at, size);
    return GRAFT_OK;
}

graft_status safetensors_read(bytes data, struct tensor_set *out)
{
    struct reader r = reader_of(data);
    uint64_t length = read_u64(&r);
    if (r.failed || length > HEADER_LIMIT || length > reader_left(&r))
        return fail(GRAFT_BAD_FILE,
                    "safetensors header of %" PRIu64 " bytes; the file has %zu bytes after the length, the limit is %d",
                    length, reader_left(&r), HEADER_LIMIT);
    bytes header = read_bytes(&r, length), body = read_bytes(&r, reader_left(&r));
    json_t *root = NULL;
    struct range *ranges = NULL;
    size_t count = 0;
    graft_status status = json_parse(header, "safetensors header", &root);
    if (status != GRAFT_OK)
        return status;
    if (!json_is_object(root) || json_object_size(root) > TENSOR_LIMIT + 1) {
        status = fail(GRAFT_BAD_FILE, "the safetensors header must be an object of at most %d tensors", TENSOR_LIMIT);
        goto done;
    }
    ranges = mem_zero(json_object_size(root) + 1, sizeof *ranges);
    out->format = mem_text("safetensors");
    if (!ranges || !out->format) {
        status = fail_memory("a safetensors header");
        goto done;
    }
    const char *name;
    json_t *row;
    json_object_foreach(root, name, row)
    {
        if (strcmp(name, metadata_key) == 0) {
            TRY_GOTO(metadata_check(row));
            out->metadata = json_text(row);
            if (!out->metadata)
                TRY_GOTO(fail_memory("safetensors metadata"));
            continue;
        }
        TRY_GOTO(entry_parse(row, name, body, &ranges[count], out));
        count++;
    }
    status = ranges_check(ranges, count, body.size);
done:
    mem_free(ranges);
    json_decref(root);
    return status;
}

// The header of `set`, whose tensors lie one after the other.  `*out` is heap; its length a multiple of 8.
static graft_status header_make(const struct tensor_set *set, const char *metadata, bool sealed, char **out,
                                size_t *out_size)
{
    graft_status status = GRAFT_OK;
    char *text = NULL;
    json_t *root = json_object(), *object = NULL;
    if (!root)
        return fail_memory("a safetensors header");
    if (metadata) {
        TRY_GOTO(json_parse((bytes){(const uint8_t *)metadata, strlen(metadata)}, "metadata", &object));
        TRY_GOTO(metadata_check(object));
        if (json_object_set(root, metadata_key, object) != 0)
            TRY_GOTO(fail_memory("a safetensors header"));
    }
    size_t at = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct named_tensor *tensor = &set->items[i];
        size_t count, size, end;
        ASSERT(tensor->order.places == 0); // the bytes are written as they lie
        ASSERT(shape_count(tensor->shape, &count) && mul_size(count, dtype_size(tensor->dtype), &size) &&
               add_size(at, size, &end) && end <= INT64_MAX);
        ASSERT(strcmp(tensor->name, metadata_key) != 0 && !json_object_get(root, tensor->name));
        json_t *shape = json_array();
        for (int d = 0; shape && d < tensor->shape.rank; d++)
            json_array_append_new(shape, json_integer(tensor->shape.dim[d]));
        json_t *row = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype_name(tensor->dtype), "shape", shape,
                                "data_offsets", (json_int_t)at, (json_int_t)end);
        if (!row || json_array_size(json_object_get(row, "shape")) != (size_t)tensor->shape.rank ||
            json_object_set_new(root, tensor->name, row) != 0)
            TRY_GOTO(
                fail(GRAFT_FAILED, "cannot write tensor '%s': its name is not UTF-8, or memory ran out", tensor->name));
        at = end;
    }
    if (sealed) {
        json_t *row = json_pack("{s:s, s:[i], s:[I, I]}", "dtype", "U8", "shape", SEAL_SIZE, "data_offsets",
                                (json_int_t)at, (json_int_t)(at + SEAL_SIZE));
        if (!row || json_object_set_new(root, SAFETENSORS_SEAL, row) != 0)
            TRY_GOTO(fail_memory("a safetensors header"));
    }
    text = json_text(root);
    size_t length = text ? strlen(text) : 0, padded = (length + 7) / 8 * 8;
    char *header = text ? mem_resize(text, padded + 1, 1) : NULL;
    if (!header)
        TRY_GOTO(fail_memory("a safetensors header"));
    memset(header + length, ' ', padded - length);
    *out = header;
    *out_size = padded;
    text = NULL;
done:
    mem_free(text);
    json_decref(object);
    json_decref(root);
    return status;
}

static void little_endian(uint64_t value, uint8_t out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

struct tensor_sink {
    struct file_writer writer;
    struct hash hash;
    uint64_t size;
};

graft_status tensor_sink_put(struct tensor_sink *sink, const void *data, size_t size)
{
    hash_put(&sink->hash, data, size);
    sink->size += size;
    return file_writer_put(&sink->writer, data, size);
}

static graft_status put_held(void *set, size_t item, struct tensor_sink *sink)
{
    const struct named_tensor *tensor = &((const struct tensor_set *)set)->items[item];
    size_t count;
    ASSERT(shape_count(tensor->shape, &count));
    return count > 0 ? tensor_sink_put(sink, tensor->data, count * dtype_size(tensor->dtype)) : GRAFT_OK;
}

graft_status safetensors_write_pieces(const char *path, const struct tensor_set *set, const char *metadata, bool sealed,
                                      tensor_pieces pieces, void *user)
{
    struct tensor_sink sink = {.writer.fd = -1};
    char *header = NULL;
    size_t length = 0;
    TRY(header_make(set, metadata, sealed, &header, &length));
    graft_status status = file_writer_open(path, &sink.writer);
    if (status != GRAFT_OK) {
        mem_free(header);
        return status;
    }
    uint8_t number[8];
    hash_init(&sink.hash);
    little_endian(length, number);
    TRY_GOTO(tensor_sink_put(&sink, number, sizeof number));
    TRY_GOTO(tensor_sink_put(&sink, header, length));
    for (size_t i = 0; i < set->count; i++) {
        const struct named_tensor *tensor = &set->items[i];
        const uint64_t before = sink.size;
        size_t count;
        TRY_GOTO(pieces(user, i, &sink));
        ASSERT(shape_count(tensor->shape, &count) && sink.size - before == count * dtype_size(tensor->dtype));
    }
    little_endian(hash_end(&sink.hash), number);
    if (sealed)
        TRY_GOTO(file_writer_put(&sink.writer, number, sizeof number));
done:
    mem_free(header);
    if (status == GRAFT_OK)
        return file_writer_commit(&sink.writer);
    file_writer_abandon(&sink.writer);
    return status;
}

graft_status safetensors_write(const char *path, const struct tensor_set *set, const char *metadata)
{
    return safetensors_write_pieces(path, set, metadata, false, put_held, (void *)set);
}

graft_status safetensors_verify(const char *path)
{
    uint8_t tail[SEAL_SIZE], found[SEAL_SIZE];
    uint64_t hash;
    TRY(file_hash(path, &hash, tail, sizeof tail));
    little_endian(hash, found);
    if (memcmp(found, tail, sizeof found) != 0)
        return fail(GRAFT_BAD_FILE, "%s does not match its checksum: it is damaged or cut short", path);
    return GRAFT_OK;
}
