// weights/pth.c: reads PyTorch state dictionaries.
// In: bounded bytes.  Out: named tensors that borrow them; copies where a tensor is not contiguous or not aligned.
// Grammar:  zip (PyTorch >= 1.6):  STEM/data.pkl  STEM/data/KEY ...  [STEM/byteorder = "little"]
//           legacy:  pickle 0x1950a86a20f9469cfc6c | pickle 1001 | pickle {"little_endian": True, ...} | pickle object
//                    | pickle [KEY, ...] | per key, in that order: i64 elements, raw bytes
//           object:  {NAME: tensor, ...}, or the same under "state_dict" or "model"
// A "module." that begins every name (DataParallel) is dropped.  Tensors are named as the file has them otherwise.
// Source:   torch/serialization.py; limits ours.

#include "base/memory.h"
#include "base/zip.h"
#include "weights/pickle.h"
#include "weights/readers.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LIMIT = 1024, PICKLE_LIMIT = 16 << 20, COPY_SLACK = 64 << 20 };
static const char module_prefix[] = "module.";

// What the pickle says of a storage, once per key, and its bytes once found.
struct storage {
    bytes key;
    enum dtype dtype;
    size_t count;
    bytes data;
    bool found;
};
struct storages {
    struct storage *items; // sorted by key
    size_t count;
};

static int key_compare(const void *a, const void *b)
{
    const struct storage *x = a, *y = b;
    size_t shorter = x->key.size < y->key.size ? x->key.size : y->key.size;
    int order = shorter ? memcmp(x->key.ptr, y->key.ptr, shorter) : 0;
    return order ? order : (x->key.size > y->key.size) - (x->key.size < y->key.size);
}

static struct storage *storage_find(const struct storages *all, bytes key)
{
    struct storage wanted = {.key = key};
    return all->count ? bsearch(&wanted, all->items, all->count, sizeof wanted, key_compare) : NULL;
}

static graft_status storages_collect(const struct pickle *machine, struct storages *out)
{
    out->items = mem_zero(machine->n_storages + 1, sizeof *out->items);
    if (!out->items)
        return fail_memory("storages");
    for (size_t i = 0; i < machine->n_storages; i++) {
        const struct pickle_value *value = machine->storages[i];
        out->items[i] = (struct storage){value->storage.key, value->storage.dtype, value->storage.count, {0}, false};
    }
    qsort(out->items, machine->n_storages, sizeof *out->items, key_compare);
    for (size_t i = 0; i < machine->n_storages; i++) {
        struct storage *last = out->count ? &out->items[out->count - 1] : NULL;
        if (!last || key_compare(last, &out->items[i]) != 0)
            out->items[out->count++] = out->items[i];
        else if (last->dtype != out->items[i].dtype || last->count != out->items[i].count)
            return fail(GRAFT_BAD_FILE, "storage '%.*s' is described in two ways", (int)(last->key.size % NAME_LIMIT),
                        (const char *)last->key.ptr);
    }
    return GRAFT_OK;
}

static graft_status storage_fill(struct storage *storage, bytes data)
{
    size_t size;
    if (storage->found || !mul_size(storage->count, dtype_size(storage->dtype), &size) || size != data.size)
        return fail(GRAFT_BAD_FILE, "storage '%.*s' is there twice, or its %zu bytes are not %zu elements of %s",
                    (int)(storage->key.size % NAME_LIMIT), (const char *)storage->key.ptr, data.size, storage->count,
                    dtype_name(storage->dtype));
    storage->data = data;
    storage->found = true;
    return GRAFT_OK;
}

// Copies a strided tensor into C order; offsets are checked already.
static void gather(const uint8_t *src, size_t size, struct shape shape, const int64_t *stride, size_t count,
                   uint8_t *dst)
{
    int64_t index[MAX_RANK] = {0};
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        for (int d = 0; d < shape.rank; d++)
            at += (size_t)index[d] * (size_t)stride[d];
        memcpy(dst + i * size, src + at * size, size);
        for (int d = shape.rank - 1; d >= 0 && ++index[d] == shape.dim[d]; d--)
            index[d] = 0;
    }
}

// One tensor of the state dict.  `*copy_budget` bounds what strided tensors may make of a small file.
static graft_status tensor_add(struct tensor_set *out, const char *name, const struct pickle_value *tensor,
                               const struct storages *storages, size_t *copy_budget)
{
    struct shape shape = {.rank = (int)tensor->tensor.size->list.count};
    int64_t stride[MAX_RANK] = {0};
    size_t count, last = tensor->tensor.offset;
    for (int d = 0; d < shape.rank; d++) {
        shape.dim[d] = tensor->tensor.size->list.items[d]->integer;
        stride[d] = tensor->tensor.stride->list.items[d]->integer;
    }
    if (!shape_count(shape, &count))
        return fail(GRAFT_BAD_FILE, "tensor '%s': shape %s is too large", name, shape_text(shape));
    const struct pickle_value *id = tensor->tensor.storage;
    if (count == 0)
        return weights_add(out, name, id->storage.dtype, shape, (bytes){0});
    const struct storage *storage = storage_find(storages, id->storage.key);
    ASSERT(storage && storage->found);
    bool contiguous = true, inside = true;
    size_t expected = 1;
    for (int d = shape.rank - 1; d >= 0; d--) {
        size_t reach;
        inside =
            inside && mul_size((size_t)shape.dim[d] - 1, (size_t)stride[d], &reach) && add_size(last, reach, &last);
        contiguous = contiguous && (shape.dim[d] == 1 || (size_t)stride[d] == expected);
        expected *= (size_t)shape.dim[d];
    }
    if (!inside || last >= storage->count)
        return fail(GRAFT_BAD_FILE, "tensor '%s' %s reaches past its storage of %zu elements", name, shape_text(shape),
                    storage->count);
    size_t size = dtype_size(storage->dtype);
    bytes data = {storage->data.ptr + tensor->tensor.offset * size, 0};
    bool aligned = (uintptr_t)data.ptr % size == 0;
    if (contiguous)
        data.size = count * size;
    if (contiguous && aligned)
        return weights_add(out, name, storage->dtype, shape, data);
    size_t need;
    if (!mul_size(count, size, &need) || need > *copy_budget)
        return fail(GRAFT_BAD_FILE, "tensor '%s' %s: strided tensors unfold to more than the file holds", name,
                    shape_text(shape));
    *copy_budget -= need;
    if (contiguous)
        return weights_add(out, name, storage->dtype, shape, data);
    uint8_t *copy = mem_aligned(need);
    if (!copy)
        return fail_memory("a tensor");
    gather(data.ptr, size, shape, stride, count, copy);
    TRY(tensor_set_own(out, copy));
    return weights_add(out, name, storage->dtype, shape, (bytes){copy, need});
}

// The dict of tensors within what was saved.
static graft_status state_dict_find(const struct pickle_value *root, const struct pickle_value **out)
{
    if (root->kind != PICKLE_DICT)
        return fail(GRAFT_BAD_FILE, "it does not hold a dict of tensors: save model.state_dict() with torch.save");
    static const char *const keys[] = {"state_dict", "model"};
    *out = root;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const struct pickle_value *inner = pickle_get(root, keys[i]);
        if (inner && inner->kind == PICKLE_DICT)
            return *out = inner, GRAFT_OK;
    }
    return GRAFT_OK;
}

static graft_status state_dict_read(const struct pickle_value *root, const struct storages *storages, size_t file_size,
                                    struct tensor_set *out)
{
    const struct pickle_value *dict = NULL;
    TRY(state_dict_find(root, &dict));
    size_t copy_budget = file_size + COPY_SLACK, skip = sizeof module_prefix - 1;
    if (dict->list.count == 0)
        return fail(GRAFT_BAD_FILE, "its state dict is empty");
    for (size_t i = 0; i < dict->list.count; i += 2) {
        const struct pickle_value *key = dict->list.items[i];
        if (key->kind != PICKLE_TEXT || key->text.size == 0 || key->text.size > NAME_LIMIT ||
            memchr(key->text.ptr, 0, key->text.size))
            return fail(GRAFT_BAD_FILE, "entry %zu of its state dict has no usable name", i / 2);
        if (key->text.size < sizeof module_prefix ||
            memcmp(key->text.ptr, module_prefix, sizeof module_prefix - 1) != 0)
            skip = 0;
    }
    for (size_t i = 0; i < dict->list.count; i += 2) {
        bytes text = dict->list.items[i]->text;
        char name[NAME_LIMIT + 1];
        memcpy(name, text.ptr + skip, text.size - skip);
        name[text.size - skip] = 0;
        if (dict->list.items[i + 1]->kind != PICKLE_TENSOR)
            return fail(GRAFT_BAD_FILE, "entry '%s' of its state dict is not a tensor", name);
        TRY(tensor_add(out, name, dict->list.items[i + 1], storages, &copy_budget));
    }
    return GRAFT_OK;
}

// The index of the one member whose name ends in "/data.pkl"; *stem is what comes before "data.pkl", in bytes.
static graft_status data_pkl_find(const struct zip_archive *zip, size_t *index, size_t *stem)
{
    static const char wanted[] = "/data.pkl";
    bool found = false;
    for (size_t i = 0; i < zip_count(zip); i++) {
        const char *name = zip_name(zip, i);
        size_t length = strlen(name);
        if (length < sizeof wanted || strcmp(name + length - (sizeof wanted - 1), wanted) != 0)
            continue;
        if (found)
            return fail(GRAFT_BAD_FILE, "two members named data.pkl; expected one");
        found = true;
        *index = i;
        *stem = length - (sizeof wanted - 2);
    }
    return found ? GRAFT_OK : fail(GRAFT_BAD_FILE, "a zip archive without data.pkl; expected PyTorch's .pth");
}

// Borrowed from the file where it can be; torch stores its members, aligned.
static graft_status member_read(struct zip_archive *zip, size_t index, size_t limit, struct tensor_set *out,
                                bytes *data)
{
    void *owned = NULL;
    bool found;
    TRY(zip_borrow(zip, index, data, &found));
    if (found)
        return GRAFT_OK;
    TRY(zip_member(zip, index, limit, data, &owned));
    return owned ? tensor_set_own(out, owned) : GRAFT_OK;
}

static graft_status zip_storages_fill(struct zip_archive *zip, const char *stem, size_t stem_size, size_t budget,
                                      const struct storages *storages, struct tensor_set *out)
{
    for (size_t i = 0; i < zip_count(zip); i++) {
        const char *name = zip_name(zip, i);
        if (strncmp(name, stem, stem_size) != 0)
            continue;
        name += stem_size;
        bytes data;
        if (strcmp(name, "byteorder") == 0) {
            TRY(member_read(zip, i, 16, out, &data));
            if (!bytes_equal(data, "little"))
                return fail(GRAFT_BAD_FILE, "it is big-endian; graft reads little-endian files");
        }
        if (strncmp(name, "data/", 5) != 0)
            continue;
        struct storage *storage = storage_find(storages, (bytes){(const uint8_t *)name + 5, strlen(name + 5)});
        size_t size;
        if (!storage) // of an optimiser, or nobody's
            continue;
        if (!mul_size(storage->count, dtype_size(storage->dtype), &size) || size > budget)
            return fail(GRAFT_BAD_FILE, "storage '%s' claims more bytes than the file has", name + 5);
        budget -= size; // torch stores its members: together they are no larger than the file
        TRY(member_read(zip, i, size, out, &data));
        TRY(storage_fill(storage, data));
    }
    return GRAFT_OK;
}

static graft_status storages_check(const struct storages *storages)
{
    for (size_t i = 0; i < storages->count; i++)
        if (!storages->items[i].found)
            return fail(GRAFT_BAD_FILE, "storage '%.*s' is missing", (int)(storages->items[i].key.size % NAME_LIMIT),
                        (const char *)storages->items[i].key.ptr);
    return GRAFT_OK;
}

graft_status pth_zip_read(bytes data, struct tensor_set *out)
{
    struct zip_archive *zip = NULL;
    struct pickle machine = {0};
    struct storages storages = {0};
    const struct pickle_value *root;
    size_t index = 0, stem = 0;
    bytes text;
    TRY(zip_open_bytes(data, "PyTorch .pth", &zip));
    graft_status status = GRAFT_OK;
    TRY_GOTO(data_pkl_find(zip, &index, &stem));
    TRY_GOTO(member_read(zip, index, PICKLE_LIMIT, out, &text));
    struct reader r = reader_of(text);
    TRY_GOTO(pickle_load(&machine, &r, &root));
    TRY_GOTO(storages_collect(&machine, &storages));
    TRY_GOTO(zip_storages_fill(zip, zip_name(zip, index), stem, data.size, &storages, out));
    TRY_GOTO(storages_check(&storages));
    TRY_GOTO(state_dict_read(root, &storages, data.size, out));
    out->format = mem_text("PyTorch .pth (zip)");
    if (!out->format)
        status = fail_memory("a format's name");
done:
    mem_free(storages.items);
    pickle_fini(&machine);
    zip_archive_free(zip);
    return status;
}

static graft_status legacy_head_read(struct pickle *machine, struct reader *r)
{
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const struct pickle_value *value;
    TRY(pickle_load(machine, r, &value));
    if (value->kind != PICKLE_LONG || !bytes_equal(value->text, magic))
        return fail(GRAFT_BAD_FILE, "a pickle, but not PyTorch's: its magic number is missing");
    TRY(pickle_load(machine, r, &value));
    if (value->kind != PICKLE_INT || value->integer != 1001)
        return fail(GRAFT_BAD_FILE, "an unknown version of PyTorch's legacy format; expected 1001");
    TRY(pickle_load(machine, r, &value));
    const struct pickle_value *little = value->kind == PICKLE_DICT ? pickle_get(value, "little_endian") : NULL;
    if (!little || little->kind != PICKLE_BOOL || !little->integer)
        return fail(GRAFT_BAD_FILE, "it is big-endian or does not say; graft reads little-endian files");
    return GRAFT_OK;
}

static graft_status legacy_storages_fill(struct reader *r, const struct pickle_value *keys,
                                         const struct storages *storages)
{
    if (keys->kind != PICKLE_LIST)
        return fail(GRAFT_BAD_FILE, "the fifth pickle must be a list of storages");
    for (size_t i = 0; i < keys->list.count; i++) {
        const struct pickle_value *key = keys->list.items[i];
        struct storage *storage = key->kind == PICKLE_TEXT ? storage_find(storages, key->text) : NULL;
        if (!storage)
            return fail(GRAFT_BAD_FILE, "storage %zu of the file belongs to no tensor", i);
        uint64_t count = read_u64(r);
        size_t size;
        if (r->failed || count != storage->count || !mul_size(count, dtype_size(storage->dtype), &size) ||
            size > reader_left(r))
            return fail(GRAFT_BAD_FILE, "storage %zu has %" PRIu64 " elements, expected %zu; %zu bytes are left", i,
                        count, storage->count, reader_left(r));
        TRY(storage_fill(storage, read_bytes(r, size)));
    }
    if (reader_left(r) != 0)
        return fail(GRAFT_BAD_FILE, "%zu bytes follow the last storage", reader_left(r));
    return GRAFT_OK;
}

graft_status pth_legacy_read(bytes data, struct tensor_set *out)
{
    struct pickle machine = {0};
    struct storages storages = {0};
    const struct pickle_value *root, *keys;
    struct reader r = reader_of(data);
    graft_status status = GRAFT_OK;
    TRY_GOTO(legacy_head_read(&machine, &r));
    TRY_GOTO(pickle_load(&machine, &r, &root));
    TRY_GOTO(pickle_load(&machine, &r, &keys));
    TRY_GOTO(storages_collect(&machine, &storages));
    TRY_GOTO(legacy_storages_fill(&r, keys, &storages));
    TRY_GOTO(storages_check(&storages));
    TRY_GOTO(state_dict_read(root, &storages, data.size, out));
    out->format = mem_text("PyTorch .pth (legacy)");
    if (!out->format)
        status = fail_memory("a format's name");
done:
    mem_free(storages.items);
    pickle_fini(&machine);
    return status;
}
