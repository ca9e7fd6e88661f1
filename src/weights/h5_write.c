// weights/h5_write.c: a writer of the HDF5 that h5py writes by default, as far as Keras files need it.
// In: a tree of groups, float32 datasets and text attributes.  Out: bytes in order: superblock, headers, then the data.
// Grammar (version 0 superblock, version 1 objects; little-endian; addresses and lengths of 8 bytes):
//   superblock  89 "HDF" 0d 0a 1a 0a | versions | K of leaves, K of trees | base, free, end, driver | root's entry
//   object      version 1, messages, references, size | message: type, size, flags | its data, padded to 8
//   group       object with a symbol table message (B-tree, heap), then its attributes
//   B-tree      "TREE" type level used left right | key child key child ... key     keys: offsets of names in the heap
//   leaf        "SNOD" version count | entry: name's offset, object's address, cache  sorted by name, 2 K at most
//   heap        "HEAP" version, size, free list, address | names, each padded to 8; the empty one first
//   dataset     object with dataspace, datatype, fill value and contiguous layout messages
//   global heap "GCOL" version, size | index, references, size, text ...            texts of variable length
// Source:   the HDF Group's file format specification, version 1; h5py's own files.  A writer of our own because the
//           library could not write through file_writer, and lives in another process (h5_helper.c).

#include "weights/h5_write.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAF_K = 4, TREE_K = 16, SPLIT_LIMIT = 64512, HEAP_LEAST = 4096 };
enum { LEAF_SIZE = 8 + 2 * LEAF_K * 40, TREE_SIZE = 24 + (2 * TREE_K + 1) * 8 + 2 * TREE_K * 8, SUPERBLOCK_SIZE = 96 };
enum message { DATASPACE = 0x01, DATATYPE = 0x03, FILL_VALUE = 0x05, LAYOUT = 0x08, ATTRIBUTE = 0x0c, SYMBOL_TABLE = 0x11 };

struct h5_object {
    char *name;
    int parent;
    bool dataset;
    struct shape shape;
    int tag;
    struct h5_buffer attributes; // messages
    int n_attributes;
    size_t address;
};

// ---- bytes

static void put(struct h5_buffer *b, const void *data, size_t size)
{
    if (b->failed || size == 0)
        return;
    if (!mem_grow(&b->data, &b->capacity, b->size + size, 1)) {
        b->failed = true;
        return;
    }
    if (data != NULL)
        memcpy(b->data + b->size, data, size);
    else
        memset(b->data + b->size, 0, size);
    b->size += size;
}

static void put_number(struct h5_buffer *b, uint64_t value, int size)
{
    uint8_t bytes[8];
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    put(b, bytes, (size_t)size);
}
#define PUT(b, ...) put(b, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void put_u64(struct h5_buffer *b, uint64_t value) { put_number(b, value, 8); }
static void pad(struct h5_buffer *b) { put(b, NULL, (8 - b->size % 8) % 8); }
static size_t padded(size_t size) { return (size + 7) / 8 * 8; }

static void set_u64(struct h5_buffer *b, size_t at, uint64_t value)
{
    for (int i = 0; i < 8 && !b->failed; i++)
        b->data[at + (size_t)i] = (uint8_t)(value >> (8 * i));
}

// ---- describing

static int object_add(struct h5_writer *h, int parent, const char *name, size_t length)
{
    char *copy = mem_format("%.*s", (int)length, name);
    if (h->failed || copy == NULL || !mem_grow(&h->objects, &h->capacity, h->count + 1, sizeof *h->objects)) {
        mem_free(copy);
        h->failed = true;
        return 0;
    }
    h->objects[h->count] = (struct h5_object){.name = copy, .parent = parent};
    return (int)h->count++;
}

static int child_find(const struct h5_writer *h, int parent, const char *name, size_t length)
{
    for (size_t i = h->count; i-- > 1;) // what is looked for was mostly made just before
        if (h->objects[i].parent == parent && strlen(h->objects[i].name) == length &&
            memcmp(h->objects[i].name, name, length) == 0)
            return (int)i;
    return -1;
}

static void object_need_root(struct h5_writer *h)
{
    if (h->count == 0)
        object_add(h, -1, "", 0);
}

int h5_group(struct h5_writer *h, int parent, const char *path)
{
    object_need_root(h);
    while (*path != '\0' && !h->failed) {
        const size_t length = strcspn(path, "/");
        ASSERT(length > 0);
        const int known = child_find(h, parent, path, length);
        parent = known >= 0 ? known : object_add(h, parent, path, length);
        path += length + (path[length] == '/');
    }
    return h->failed ? 0 : parent;
}

void h5_dataset(struct h5_writer *h, int parent, const char *path, struct shape shape, int tag)
{
    const size_t before = h->count;
    const int object = h5_group(h, parent, path);
    if (h->failed)
        return;
    ASSERT(h->count > before && object == (int)h->count - 1); // new
    h->objects[object].dataset = true;
    h->objects[object].shape = shape;
    h->objects[object].tag = tag;
}

static void dataspace_put(struct h5_buffer *b, const int64_t *dims, int rank)
{
    PUT(b, 1, (uint8_t)rank, 0, 0, 0, 0, 0, 0);
    for (int i = 0; i < rank; i++)
        put_u64(b, (uint64_t)dims[i]);
}

static void message_put(struct h5_buffer *b, enum message type, const struct h5_buffer *data)
{
    put_number(b, type, 2);
    put_number(b, padded(data->size), 2);
    put(b, NULL, 4); // flags
    put(b, data->data, data->size);
    pad(b);
    b->failed |= data->failed;
}

// An attribute whose data are `take_data`, of a datatype of these bytes.
static void attribute_put(struct h5_writer *h, int object, const char *name, const uint8_t *type, size_t type_size,
                          const int64_t *dims, int rank, struct h5_buffer *take_data)
{
    struct h5_buffer message = {0};
    const size_t name_size = strlen(name) + 1, space_size = 8 + 8 * (size_t)rank;
    PUT(&message, 1, 0);
    put_number(&message, name_size, 2);
    put_number(&message, type_size, 2);
    put_number(&message, space_size, 2);
    put(&message, name, name_size);
    pad(&message);
    put(&message, type, type_size);
    pad(&message);
    dataspace_put(&message, dims, rank);
    put(&message, take_data->data, take_data->size);
    message.failed |= take_data->failed;
    if (!h->failed) {
        message_put(&h->objects[object].attributes, ATTRIBUTE, &message);
        h->objects[object].n_attributes++;
        h->failed = h->objects[object].attributes.failed;
    }
    mem_free(message.data);
    mem_free(take_data->data);
}

// The text goes into the global heap, whose address is known: it follows the superblock.
void h5_text(struct h5_writer *h, int object, const char *name, const char *text)
{
    static const uint8_t type[] = {0x19, 1, 1, 0, 16, 0, 0, 0, 0x10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0}; // UTF-8
    struct h5_buffer data = {0};
    const size_t length = strlen(text);
    object_need_root(h);
    ASSERT(h->n_texts < UINT16_MAX && length <= UINT32_MAX);
    put_number(&h->texts, (uint64_t)++h->n_texts, 2);
    put_number(&h->texts, 1, 2); // references
    put_number(&h->texts, 0, 4);
    put_u64(&h->texts, length);
    put(&h->texts, text, length);
    pad(&h->texts);
    h->failed |= h->texts.failed;
    put_number(&data, length, 4);
    put_u64(&data, SUPERBLOCK_SIZE);
    put_number(&data, (uint64_t)h->n_texts, 4);
    attribute_put(h, object, name, type, sizeof type, NULL, 0, &data);
}

static void texts_put(struct h5_writer *h, int object, const char *name, const char *const *texts, size_t count, size_t size)
{
    const uint8_t type[] = {0x13, 0x11, 0, 0, (uint8_t)size, (uint8_t)(size >> 8), 0, 0}; // UTF-8, padded by zeros
    struct h5_buffer data = {0};
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(texts[i]);
        put(&data, texts[i], length);
        put(&data, NULL, size - length);
    }
    attribute_put(h, object, name, type, sizeof type, &(int64_t){(int64_t)count}, 1, &data);
}

// Parts as numpy's array_split makes them: the first ones longer by one.
void h5_texts(struct h5_writer *h, int object, const char *name, const char *const *texts, size_t count)
{
    size_t size = 1, parts = 1, at = 0;
    object_need_root(h);
    for (size_t i = 0; i < count; i++)
        size = strlen(texts[i]) > size ? strlen(texts[i]) : size;
    ASSERT(size <= 4096);
    while ((count + parts - 1) / parts * size > SPLIT_LIMIT)
        parts++;
    if (parts == 1) {
        texts_put(h, object, name, texts, count, size);
        return;
    }
    for (size_t i = 0; i < parts; i++) {
        const size_t n = count / parts + (i < count % parts);
        char part[64];
        snprintf(part, sizeof part, "%s%zu", name, i);
        texts_put(h, object, part, texts + at, n, size);
        at += n;
    }
}

// ---- writing: children before their group, so that addresses are known

struct child {
    int parent, object;
    const char *name;
};
struct out {
    struct h5_writer *h;
    struct h5_buffer meta; // from the file's first byte
    struct child *children; // sorted by parent and name
    size_t *layouts, n_layouts; // where datasets' addresses go in `meta`, in the order of `datasets`
    int *datasets;
};

static int child_compare(const void *a, const void *b)
{
    const struct child *x = a, *y = b;
    return x->parent != y->parent ? (x->parent < y->parent ? -1 : 1) : strcmp(x->name, y->name);
}

static size_t dataset_bytes(const struct h5_object *o)
{
    size_t count;
    ASSERT(shape_count(o->shape, &count));
    return count * sizeof(float);
}

// Returns where the object will be.
static size_t object_begin(struct h5_buffer *b, int n_messages, size_t size)
{
    pad(b);
    const size_t at = b->size;
    PUT(b, 1, 0);
    put_number(b, (uint64_t)n_messages, 2);
    put_number(b, 1, 4);
    put_number(b, size, 4);
    put(b, NULL, 4);
    return at;
}

static void dataset_put(struct out *o, int index)
{
    static const uint8_t float32[] = {0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0};
    struct h5_object *object = &o->h->objects[index];
    struct h5_buffer messages = {0}, space = {0}, layout = {0};
    const struct h5_buffer type = {.data = (uint8_t *)float32, .size = sizeof float32},
                           fill = {.data = (uint8_t[]){2, 2, 2, 1, 0, 0, 0, 0}, .size = 8};
    dataspace_put(&space, object->shape.dim, object->shape.rank);
    message_put(&messages, DATASPACE, &space);
    message_put(&messages, DATATYPE, &type);
    message_put(&messages, FILL_VALUE, &fill);
    PUT(&layout, 3, 1);
    put_u64(&layout, UINT64_MAX); // set once known; stays where there is nothing to store
    put_u64(&layout, dataset_bytes(object));
    message_put(&messages, LAYOUT, &layout);
    object->address = object_begin(&o->meta, 4, messages.size);
    put(&o->meta, messages.data, messages.size);
    o->layouts[o->n_layouts] = o->meta.size - padded(layout.size) + 2;
    o->datasets[o->n_layouts++] = index;
    o->meta.failed |= messages.failed;
    mem_free(messages.data);
    mem_free(space.data);
    mem_free(layout.data);
}

// A level's nodes: `addresses` and the names' offsets of their last entries, replaced by those of the level above.
static void tree_level(struct h5_buffer *b, int level, size_t *addresses, size_t *last, size_t *count)
{
    const size_t n = *count, nodes = n == 0 ? 1 : (n + 2 * TREE_K - 1) / (2 * TREE_K);
    const size_t first = b->size;
    size_t at = 0;
    for (size_t i = 0; i < nodes; i++) {
        const size_t used = n / nodes + (i < n % nodes), end = b->size + TREE_SIZE;
        put(b, "TREE", 4);
        PUT(b, 0, (uint8_t)level);
        put_number(b, used, 2);
        put_u64(b, i > 0 ? first + (i - 1) * TREE_SIZE : UINT64_MAX);
        put_u64(b, i + 1 < nodes ? first + (i + 1) * TREE_SIZE : UINT64_MAX);
        put_u64(b, at > 0 ? last[at - 1] : 0);
        for (size_t k = 0; k < used; k++) {
            put_u64(b, addresses[at + k]);
            put_u64(b, last[at + k]);
        }
        at += used;
        put(b, NULL, b->failed ? 0 : end - b->size);
        addresses[i] = first + i * TREE_SIZE; // behind what is still to be read: i nodes had at least as many entries
        last[i] = at > 0 ? last[at - 1] : 0;
    }
    *count = nodes;
}

// Heap, leaves and tree of a group's children.
static void links_put(struct out *o, const struct child *children, size_t n, size_t *tree, size_t *heap)
{
    struct h5_buffer *b = &o->meta, names = {0};
    size_t n_leaves = (n + 2 * LEAF_K - 1) / (2 * LEAF_K), at = 0;
    size_t *addresses = mem_zero(n_leaves + 1, sizeof *addresses), *last = mem_zero(n_leaves + 1, sizeof *last);
    size_t *offsets = mem_zero(n + 1, sizeof *offsets);
    if (addresses == NULL || last == NULL || offsets == NULL) {
        b->failed = true;
        goto done;
    }
    put(&names, NULL, 8);
    for (size_t i = 0; i < n; i++) {
        offsets[i] = names.size;
        put(&names, children[i].name, strlen(children[i].name) + 1);
        pad(&names);
    }
    pad(b);
    *heap = b->size;
    put(b, "HEAP", 4);
    put_number(b, 0, 4);
    put_u64(b, names.size);
    put_u64(b, 1); // no free list
    put_u64(b, *heap + 32);
    put(b, names.data, names.size);
    b->failed |= names.failed;
    for (size_t i = 0; i < n_leaves; i++) {
        const size_t used = n / n_leaves + (i < n % n_leaves), end = b->size + LEAF_SIZE;
        addresses[i] = b->size;
        put(b, "SNOD", 4);
        PUT(b, 1, 0);
        put_number(b, used, 2);
        for (size_t k = 0; k < used; k++, at++) {
            put_u64(b, offsets[at]);
            put_u64(b, o->h->objects[children[at].object].address);
            put(b, NULL, 24); // nothing cached
        }
        last[i] = offsets[at - 1];
        put(b, NULL, b->failed ? 0 : end - b->size);
    }
    size_t count = n_leaves;
    int level = 0;
    do
        tree_level(b, level++, addresses, last, &count);
    while (count > 1);
    *tree = addresses[0];
done:
    mem_free(names.data);
    mem_free(addresses);
    mem_free(last);
    mem_free(offsets);
}

static void group_put(struct out *o, int index)
{
    const struct h5_object *object = &o->h->objects[index];
    const struct child wanted = {.parent = index, .name = ""};
    size_t begin = 0, end, tree = 0, heap = 0, n = o->h->count - 1;
    while (begin < n && child_compare(&o->children[begin], &wanted) < 0)
        begin++;
    for (end = begin; end < n && o->children[end].parent == index; end++)
        if (o->h->objects[o->children[end].object].dataset)
            dataset_put(o, o->children[end].object);
        else
            group_put(o, o->children[end].object);
    links_put(o, o->children + begin, end - begin, &tree, &heap);
    struct h5_buffer table = {0}, message = {0};
    put_u64(&table, tree);
    put_u64(&table, heap);
    message_put(&message, SYMBOL_TABLE, &table);
    o->h->objects[index].address = object_begin(&o->meta, 1 + object->n_attributes, message.size + object->attributes.size);
    put(&o->meta, message.data, message.size);
    put(&o->meta, object->attributes.data, object->attributes.size);
    o->meta.failed |= message.failed;
    mem_free(table.data);
    mem_free(message.data);
    if (index == 0) { // into the superblock: the object's address, that its B-tree and heap are cached, and these
        set_u64(&o->meta, 64, object->address);
        set_u64(&o->meta, 72, 1);
        set_u64(&o->meta, 80, tree);
        set_u64(&o->meta, 88, heap);
    }
}

static void superblock_put(struct out *o)
{
    struct h5_buffer *b = &o->meta;
    put(b, "\x89HDF\r\n\x1a\n", 8);
    PUT(b, 0, 0, 0, 0, 0, 8, 8, 0, LEAF_K, 0, TREE_K, 0, 0, 0, 0, 0);
    put_u64(b, 0);          // base
    put_u64(b, UINT64_MAX); // no free space
    put_u64(b, 0);          // end: set once known
    put_u64(b, UINT64_MAX); // no driver
    put(b, NULL, 40);       // root's entry: group_put
    if (o->h->n_texts == 0)
        return;
    const size_t used = 16 + o->h->texts.size, size = used + 16 < HEAP_LEAST ? HEAP_LEAST : padded(used + 16);
    put(b, "GCOL", 4);
    PUT(b, 1, 0, 0, 0);
    put_u64(b, size);
    put(b, o->h->texts.data, o->h->texts.size);
    put_u64(b, 0); // object 0: what is free
    put_u64(b, size - used);
    put(b, NULL, size - used - 16);
}

static graft_status data_put(const struct out *o, const struct h5_target *target)
{
    for (size_t i = 0; i < o->n_layouts; i++) {
        const struct h5_object *object = &o->h->objects[o->datasets[i]];
        const float *data;
        const size_t size = dataset_bytes(object);
        if (size == 0)
            continue;
        TRY(target->data(target->user, object->tag, &data));
        TRY(target->put(target->user, data, size));
        TRY(target->put(target->user, (const uint8_t[8]){0}, padded(size) - size));
    }
    return GRAFT_OK;
}

graft_status h5_write(struct h5_writer *h, const struct h5_target *target)
{
    struct out o = {.h = h};
    graft_status status = GRAFT_OK;
    object_need_root(h);
    o.children = mem_zero(h->count + 1, sizeof *o.children);
    o.layouts = mem_zero(h->count + 1, sizeof *o.layouts);
    o.datasets = mem_zero(h->count + 1, sizeof *o.datasets);
    if (h->failed || o.children == NULL || o.layouts == NULL || o.datasets == NULL)
        TRY_GOTO(fail_memory("an HDF5 file"));
    for (size_t i = 1; i < h->count; i++)
        o.children[i - 1] = (struct child){h->objects[i].parent, (int)i, h->objects[i].name};
    qsort(o.children, h->count - 1, sizeof *o.children, child_compare);
    superblock_put(&o);
    group_put(&o, 0);
    pad(&o.meta);
    size_t at = o.meta.size;
    for (size_t i = 0; i < o.n_layouts; i++) {
        const size_t size = dataset_bytes(&h->objects[o.datasets[i]]);
        if (size > 0)
            set_u64(&o.meta, o.layouts[i], at);
        at += padded(size);
    }
    set_u64(&o.meta, 40, at);
    if (o.meta.failed)
        TRY_GOTO(fail_memory("an HDF5 file"));
    TRY_GOTO(target->put(target->user, o.meta.data, o.meta.size));
    TRY_GOTO(data_put(&o, target));
done:
    mem_free(o.meta.data);
    mem_free(o.children);
    mem_free(o.layouts);
    mem_free(o.datasets);
    return status;
}

void h5_writer_fini(struct h5_writer *h)
{
    for (size_t i = 0; i < h->count; i++) {
        mem_free(h->objects[i].name);
        mem_free(h->objects[i].attributes.data);
    }
    mem_free(h->objects);
    mem_free(h->texts.data);
    *h = (struct h5_writer){0};
}
