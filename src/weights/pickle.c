// weights/pickle.c: the data-only pickle machine.
// In: bounded bytes.  Out: values in memory (pickle.h); nothing is executed.
// Grammar: opcodes of Python's pickletools, protocol 2, those that torch.save writes (enum below); others are refused.
//   GLOBAL names one of the rows of `globals`; REDUCE "calls" one of them by the machine's own code; BUILD's state
//   (an OrderedDict's _metadata) is dropped; a persistent id is ("storage", class, key, device, elements[, None]).
// Bounds: 500,000 values, 16,384 on the stack, memo below 2^20, containers 64 deep.  Every operand's kind is checked.
// Source: Python's pickletools.py, torch/serialization.py; the allow-list follows torch's weights-only unpickler.

#include "weights/pickle.h"
#include "base/memory.h"
#include <string.h>

enum { VALUE_LIMIT = 500 * 1000, STACK_LIMIT = 16384, MEMO_LIMIT = 1 << 20, DEPTH_LIMIT = 64, BLOCK = 1024 };

// clang-format off
enum opcode {
    OP_MARK = '(', OP_STOP = '.', OP_NONE = 'N', OP_EMPTY_TUPLE = ')', OP_EMPTY_LIST = ']', OP_EMPTY_DICT = '}',
    OP_TUPLE = 't', OP_TUPLE1 = 0x85, OP_TUPLE2 = 0x86, OP_TUPLE3 = 0x87, OP_NEWTRUE = 0x88, OP_NEWFALSE = 0x89,
    OP_BININT = 'J', OP_BININT1 = 'K', OP_BININT2 = 'M', OP_LONG1 = 0x8a, OP_BINFLOAT = 'G', OP_BINUNICODE = 'X',
    OP_BINSTRING = 'T', OP_SHORT_BINSTRING = 'U', // text of Python 2
    OP_GLOBAL = 'c', OP_REDUCE = 'R', OP_BUILD = 'b', OP_BINPERSID = 'Q', OP_SETITEM = 's', OP_SETITEMS = 'u',
    OP_APPEND = 'a', OP_APPENDS = 'e', OP_BINPUT = 'q', OP_LONG_BINPUT = 'r', OP_BINGET = 'h', OP_LONG_BINGET = 'j',
    OP_PROTO = 0x80,
};
// clang-format on

enum role { ROLE_DICT, ROLE_TENSOR, ROLE_TENSOR_OLD, ROLE_PARAMETER, ROLE_STORAGE };
struct pickle_global {
    const char *module, *name;
    enum role role;
    enum dtype dtype; // storages
};
static const struct pickle_global globals[] = {
    {"collections", "OrderedDict", ROLE_DICT, DTYPE_UNKNOWN},
    {"torch._utils", "_rebuild_tensor_v2", ROLE_TENSOR, DTYPE_UNKNOWN},
    {"torch._utils", "_rebuild_tensor", ROLE_TENSOR_OLD, DTYPE_UNKNOWN},
    {"torch._utils", "_rebuild_parameter", ROLE_PARAMETER, DTYPE_UNKNOWN},
    {"torch", "FloatStorage", ROLE_STORAGE, DTYPE_F32},
    {"torch", "HalfStorage", ROLE_STORAGE, DTYPE_F16},
    {"torch", "BFloat16Storage", ROLE_STORAGE, DTYPE_BF16},
    {"torch", "DoubleStorage", ROLE_STORAGE, DTYPE_F64},
    {"torch", "LongStorage", ROLE_STORAGE, DTYPE_I64},
    {"torch", "IntStorage", ROLE_STORAGE, DTYPE_I32},
    {"torch", "ByteStorage", ROLE_STORAGE, DTYPE_U8},
};

static const char *kind_name(enum pickle_kind kind)
{
    static const char *const names[] = {"mark",  "None", "bool", "number", "long number", "float", "text",
                                        "tuple", "list", "dict", "global", "storage",     "tensor"};
    return names[kind];
}

bool bytes_equal(bytes a, const char *text) { return a.size == strlen(text) && memcmp(a.ptr, text, a.size) == 0; }

const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    ASSERT(dict->kind == PICKLE_DICT);
    for (size_t i = 0; i + 1 < dict->list.count; i += 2)
        if (dict->list.items[i]->kind == PICKLE_TEXT && bytes_equal(dict->list.items[i]->text, key))
            return dict->list.items[i + 1];
    return NULL;
}

void pickle_fini(struct pickle *m)
{
    for (size_t i = 0; i < m->n_values; i++) {
        struct pickle_value *value = &m->blocks[i / BLOCK][i % BLOCK];
        if (value->kind == PICKLE_TUPLE || value->kind == PICKLE_LIST || value->kind == PICKLE_DICT)
            mem_free(value->list.items);
    }
    for (size_t i = 0; i < m->n_blocks; i++)
        mem_free(m->blocks[i]);
    mem_free(m->blocks);
    mem_free(m->stack);
    mem_free(m->memo);
    mem_free(m->storages);
    *m = (struct pickle){0};
}

static graft_status value_push(struct pickle *m, struct pickle_value *value)
{
    if (m->n_stack == STACK_LIMIT)
        return fail(GRAFT_BAD_FILE, "pickle nests too deep: over %d values wait on its stack", STACK_LIMIT);
    if (!mem_grow(&m->stack, &m->stack_capacity, m->n_stack + 1, sizeof *m->stack))
        return fail_memory("a pickle");
    m->stack[m->n_stack++] = value;
    return GRAFT_OK;
}

// A new value, also pushed.
static graft_status value_new(struct pickle *m, enum pickle_kind kind, struct pickle_value **out)
{
    if (m->n_values == VALUE_LIMIT)
        return fail(GRAFT_BAD_FILE, "pickle holds more than %d values", VALUE_LIMIT);
    if (m->n_values == m->n_blocks * BLOCK) {
        if (!mem_grow(&m->blocks, &m->blocks_capacity, m->n_blocks + 1, sizeof *m->blocks))
            return fail_memory("a pickle");
        struct pickle_value *block = mem_zero(BLOCK, sizeof *block);
        if (!block)
            return fail_memory("a pickle");
        m->blocks[m->n_blocks++] = block;
    }
    struct pickle_value *value = &m->blocks[m->n_values / BLOCK][m->n_values % BLOCK];
    m->n_values++;
    value->kind = kind;
    *out = value;
    return value_push(m, value);
}

static graft_status value_pop(struct pickle *m, struct pickle_value **out)
{
    if (m->n_stack == 0 || m->stack[m->n_stack - 1]->kind == PICKLE_MARK)
        return fail(GRAFT_BAD_FILE, "a value is missing on the stack");
    *out = m->stack[--m->n_stack];
    return GRAFT_OK;
}

static graft_status pop_kind(struct pickle *m, enum pickle_kind kind, struct pickle_value **out)
{
    TRY(value_pop(m, out));
    if ((*out)->kind != kind)
        return fail(GRAFT_BAD_FILE, "expected a %s, found a %s", kind_name(kind), kind_name((*out)->kind));
    return GRAFT_OK;
}

// The index of the topmost mark.
static graft_status mark_find(const struct pickle *m, size_t *out)
{
    for (size_t i = m->n_stack; i-- > 0;)
        if (m->stack[i]->kind == PICKLE_MARK)
            return *out = i, GRAFT_OK;
    return fail(GRAFT_BAD_FILE, "a mark is missing on the stack");
}

// Appends `count` values to a container.
static graft_status container_add(struct pickle_value *to, struct pickle_value *const *values, size_t count)
{
    if (count == 0)
        return GRAFT_OK;
    for (size_t i = 0; i < count; i++)
        if (values[i]->depth + 1 > to->depth)
            to->depth = values[i]->depth + 1;
    if (to->depth > DEPTH_LIMIT)
        return fail(GRAFT_BAD_FILE, "containers nest more than %d deep", DEPTH_LIMIT);
    if (!mem_grow(&to->list.items, &to->list.capacity, to->list.count + count, sizeof *to->list.items))
        return fail_memory("a pickle");
    memcpy(to->list.items + to->list.count, values, count * sizeof *values);
    to->list.count += count;
    return GRAFT_OK;
}

static graft_status dict_add(struct pickle_value *dict, struct pickle_value *const *pairs, size_t count)
{
    if (dict->kind != PICKLE_DICT)
        return fail(GRAFT_BAD_FILE, "items are set on a %s, which is not a dict", kind_name(dict->kind));
    if (count % 2 != 0)
        return fail(GRAFT_BAD_FILE, "a key without a value");
    for (size_t i = 0; i < count; i += 2)
        if (pairs[i]->kind != PICKLE_TEXT && pairs[i]->kind != PICKLE_INT)
            return fail(GRAFT_BAD_FILE, "a %s as a dict's key; expected text or a number", kind_name(pairs[i]->kind));
    return container_add(dict, pairs, count);
}

// Replaces the top `count` values by a tuple of them.
static graft_status tuple_make(struct pickle *m, size_t count, bool with_mark)
{
    if (m->n_stack < count)
        return fail(GRAFT_BAD_FILE, "a value is missing on the stack");
    struct pickle_value *tuple, **from = m->stack + m->n_stack - count;
    for (size_t i = 0; i < count; i++)
        if (from[i]->kind == PICKLE_MARK)
            return fail(GRAFT_BAD_FILE, "a value is missing on the stack");
    TRY(value_new(m, PICKLE_TUPLE, &tuple)); // may move the stack
    from = m->stack + m->n_stack - 1 - count;
    TRY(container_add(tuple, from, count));
    m->n_stack -= count + 1 + with_mark;
    return value_push(m, tuple);
}

static graft_status global_push(struct pickle *m, struct reader *r)
{
    bytes word[2];
    for (int i = 0; i < 2; i++) {
        size_t length = 0, left = reader_left(r);
        const uint8_t *from = r->data.ptr + r->at;
        while (length < left && length < 256 && from[length] != '\n')
            length++;
        if (length == left || length == 256)
            return fail(GRAFT_BAD_FILE, "a global's name does not end");
        word[i] = read_bytes(r, length);
        read_u8(r);
    }
    for (size_t i = 0; i < COUNT_OF(globals); i++)
        if (bytes_equal(word[0], globals[i].module) && bytes_equal(word[1], globals[i].name)) {
            struct pickle_value *value;
            TRY(value_new(m, PICKLE_GLOBAL, &value));
            value->global = &globals[i];
            return GRAFT_OK;
        }
    char text[160];
    size_t n = 0;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < word[i].size + (i == 0) && n + 1 < sizeof text; k++) {
            uint8_t c = k < word[i].size ? word[i].ptr[k] : '.';
            text[n++] = c >= ' ' && c < 0x7f ? (char)c : '?';
        }
    text[n] = 0;
    return fail(GRAFT_BAD_FILE,
                "it asks for '%s', which graft never runs; only tensors in dicts are read: "
                "save model.state_dict() with torch.save",
                text);
}

static bool whole_tuple(const struct pickle_value *value)
{
    if (value->kind != PICKLE_TUPLE || value->list.count > MAX_RANK)
        return false;
    for (size_t i = 0; i < value->list.count; i++)
        if (value->list.items[i]->kind != PICKLE_INT || value->list.items[i]->integer < 0)
            return false;
    return true;
}

// args: storage, offset, size, stride, and from v2 on requires_grad, hooks and perhaps metadata.
static graft_status tensor_rebuild(struct pickle *m, const struct pickle_value *args, bool old)
{
    struct pickle_value **arg = args->list.items;
    size_t n = args->list.count;
    if ((old ? n != 4 : n != 6 && n != 7) || arg[0]->kind != PICKLE_STORAGE || arg[1]->kind != PICKLE_INT ||
        arg[1]->integer < 0 || !whole_tuple(arg[2]) || !whole_tuple(arg[3]) ||
        arg[2]->list.count != arg[3]->list.count ||
        (!old && (arg[4]->kind != PICKLE_BOOL || arg[5]->kind != PICKLE_DICT || arg[5]->list.count != 0)))
        return fail(GRAFT_BAD_FILE, "a tensor needs a storage, an offset, a size and a stride of at most %d dimensions",
                    MAX_RANK);
    struct pickle_value *value;
    TRY(value_new(m, PICKLE_TENSOR, &value));
    value->tensor.storage = arg[0];
    value->tensor.offset = (size_t)arg[1]->integer;
    value->tensor.size = arg[2];
    value->tensor.stride = arg[3];
    return GRAFT_OK;
}

// OrderedDict() or, from Python 2, OrderedDict([[key, value], ...]).
static graft_status dict_rebuild(struct pickle *m, const struct pickle_value *args)
{
    struct pickle_value *dict;
    if (args->list.count > 1 || (args->list.count == 1 && args->list.items[0]->kind != PICKLE_LIST))
        return fail(GRAFT_BAD_FILE, "an OrderedDict takes nothing or a list of pairs");
    TRY(value_new(m, PICKLE_DICT, &dict));
    for (size_t i = 0; args->list.count == 1 && i < args->list.items[0]->list.count; i++) {
        const struct pickle_value *pair = args->list.items[0]->list.items[i];
        if ((pair->kind != PICKLE_LIST && pair->kind != PICKLE_TUPLE) || pair->list.count != 2)
            return fail(GRAFT_BAD_FILE, "an OrderedDict's list must hold pairs");
        TRY(dict_add(dict, pair->list.items, 2));
    }
    return GRAFT_OK;
}

static graft_status op_reduce(struct pickle *m)
{
    struct pickle_value *args = NULL, *callable = NULL;
    TRY(pop_kind(m, PICKLE_TUPLE, &args));
    TRY(pop_kind(m, PICKLE_GLOBAL, &callable));
    switch (callable->global->role) {
    case ROLE_DICT:
        return dict_rebuild(m, args);
    case ROLE_TENSOR:
        return tensor_rebuild(m, args, false);
    case ROLE_TENSOR_OLD:
        return tensor_rebuild(m, args, true);
    case ROLE_PARAMETER:
        if (args->list.count != 3 || args->list.items[0]->kind != PICKLE_TENSOR)
            return fail(GRAFT_BAD_FILE, "a parameter needs a tensor and two more values");
        return value_push(m, args->list.items[0]);
    case ROLE_STORAGE:
        break;
    }
    return fail(GRAFT_BAD_FILE, "it calls %s.%s, which graft does not", callable->global->module,
                callable->global->name);
}

static graft_status op_persistent(struct pickle *m)
{
    struct pickle_value *id = NULL, *value;
    TRY(pop_kind(m, PICKLE_TUPLE, &id));
    struct pickle_value **item = id->list.items;
    size_t n = id->list.count;
    if ((n != 5 && n != 6) || item[0]->kind != PICKLE_TEXT || !bytes_equal(item[0]->text, "storage") ||
        item[1]->kind != PICKLE_GLOBAL || item[1]->global->role != ROLE_STORAGE || item[2]->kind != PICKLE_TEXT ||
        item[3]->kind != PICKLE_TEXT || item[4]->kind != PICKLE_INT || item[4]->integer < 0)
        return fail(GRAFT_BAD_FILE, "a persistent id must be (\"storage\", class, key, device, elements)");
    if (n == 6 && item[5]->kind != PICKLE_NONE)
        return fail(GRAFT_BAD_FILE, "a view into a storage; save the state dict again with a newer PyTorch");
    TRY(value_new(m, PICKLE_STORAGE, &value));
    value->storage.dtype = item[1]->global->dtype;
    value->storage.key = item[2]->text;
    value->storage.count = (size_t)item[4]->integer;
    if (!mem_grow(&m->storages, &m->storages_capacity, m->n_storages + 1, sizeof *m->storages))
        return fail_memory("a pickle");
    m->storages[m->n_storages++] = value;
    return GRAFT_OK;
}

// Adds what lies above `from` on the stack to the container below it; `skip` marks lie between.
static graft_status op_extend(struct pickle *m, size_t from, size_t skip, bool dict)
{
    if (from < skip + 1 || from > m->n_stack)
        return fail(GRAFT_BAD_FILE, "a value is missing on the stack");
    struct pickle_value *to = m->stack[from - skip - 1];
    for (size_t i = from; i < m->n_stack; i++)
        if (m->stack[i]->kind == PICKLE_MARK)
            return fail(GRAFT_BAD_FILE, "a value is missing on the stack");
    if (dict)
        TRY(dict_add(to, m->stack + from, m->n_stack - from));
    else if (to->kind != PICKLE_LIST)
        return fail(GRAFT_BAD_FILE, "items are appended to a %s, which is not a list", kind_name(to->kind));
    else
        TRY(container_add(to, m->stack + from, m->n_stack - from));
    m->n_stack = from - skip;
    return GRAFT_OK;
}

static graft_status op_put(struct pickle *m, uint32_t index)
{
    if (m->n_stack == 0 || m->stack[m->n_stack - 1]->kind == PICKLE_MARK || index >= MEMO_LIMIT)
        return fail(GRAFT_BAD_FILE, "nothing to remember, or its index %u is not below %d", index, MEMO_LIMIT);
    size_t old = m->memo_capacity;
    if (!mem_grow(&m->memo, &m->memo_capacity, (size_t)index + 1, sizeof *m->memo))
        return fail_memory("a pickle");
    for (size_t i = old; i < m->memo_capacity; i++)
        m->memo[i] = NULL;
    m->memo[index] = m->stack[m->n_stack - 1];
    return GRAFT_OK;
}

static graft_status op_get(struct pickle *m, uint32_t index)
{
    if (index >= m->memo_capacity || !m->memo[index])
        return fail(GRAFT_BAD_FILE, "it recalls value %u, which it never stored", index);
    return value_push(m, m->memo[index]);
}

static graft_status push_int(struct pickle *m, enum pickle_kind kind, int64_t integer)
{
    struct pickle_value *value;
    TRY(value_new(m, kind, &value));
    value->integer = integer;
    return GRAFT_OK;
}

static graft_status push_text(struct pickle *m, enum pickle_kind kind, bytes text)
{
    struct pickle_value *value;
    TRY(value_new(m, kind, &value));
    value->text = text;
    return GRAFT_OK;
}

static graft_status op_long(struct pickle *m, bytes digits)
{
    if (digits.size > 8)
        return push_text(m, PICKLE_LONG, digits);
    uint64_t bits = digits.size && digits.ptr[digits.size - 1] & 0x80 ? UINT64_MAX : 0;
    for (size_t i = digits.size; i-- > 0;)
        bits = bits << 8 | digits.ptr[i];
    return push_int(m, PICKLE_INT, (int64_t)bits);
}

// One opcode other than STOP.
static graft_status step(struct pickle *m, struct reader *r, uint8_t op)
{
    struct pickle_value *value;
    size_t mark = 0;
    switch ((enum opcode)op) {
    case OP_PROTO:
        if (read_u8(r) > 5)
            return fail(GRAFT_BAD_FILE, "an unknown pickle protocol");
        return GRAFT_OK;
    case OP_MARK:
        return value_new(m, PICKLE_MARK, &value);
    case OP_NONE:
        return value_new(m, PICKLE_NONE, &value);
    case OP_NEWTRUE:
    case OP_NEWFALSE:
        return push_int(m, PICKLE_BOOL, op == OP_NEWTRUE);
    case OP_BININT:
        return push_int(m, PICKLE_INT, (int32_t)read_u32(r));
    case OP_BININT1:
        return push_int(m, PICKLE_INT, read_u8(r));
    case OP_BININT2:
        return push_int(m, PICKLE_INT, read_u16(r));
    case OP_LONG1:
        return op_long(m, read_bytes(r, read_u8(r)));
    case OP_BINFLOAT: // no tensor depends on one: kept as a kind only
        read_bytes(r, 8);
        return value_new(m, PICKLE_FLOAT, &value);
    case OP_BINUNICODE:
    case OP_BINSTRING:
        return push_text(m, PICKLE_TEXT, read_bytes(r, read_u32(r)));
    case OP_SHORT_BINSTRING:
        return push_text(m, PICKLE_TEXT, read_bytes(r, read_u8(r)));
    case OP_EMPTY_LIST:
        return value_new(m, PICKLE_LIST, &value);
    case OP_EMPTY_DICT:
        return value_new(m, PICKLE_DICT, &value);
    case OP_EMPTY_TUPLE:
        return value_new(m, PICKLE_TUPLE, &value);
    case OP_TUPLE1:
    case OP_TUPLE2:
    case OP_TUPLE3:
        return tuple_make(m, (size_t)op - OP_TUPLE1 + 1, false);
    case OP_TUPLE:
        TRY(mark_find(m, &mark));
        return tuple_make(m, m->n_stack - mark - 1, true);
    case OP_APPEND:
        return op_extend(m, m->n_stack - 1, 0, false);
    case OP_SETITEM:
        return op_extend(m, m->n_stack - 2, 0, true);
    case OP_APPENDS:
    case OP_SETITEMS:
        TRY(mark_find(m, &mark));
        return op_extend(m, mark + 1, 1, op == OP_SETITEMS);
    case OP_GLOBAL:
        return global_push(m, r);
    case OP_REDUCE:
        return op_reduce(m);
    case OP_BUILD:
        TRY(value_pop(m, &value));
        if (m->n_stack == 0 || m->stack[m->n_stack - 1]->kind != PICKLE_DICT)
            return fail(GRAFT_BAD_FILE, "it sets the attributes of something that is not an OrderedDict");
        return GRAFT_OK;
    case OP_BINPERSID:
        return op_persistent(m);
    case OP_BINPUT:
        return op_put(m, read_u8(r));
    case OP_LONG_BINPUT:
        return op_put(m, read_u32(r));
    case OP_BINGET:
        return op_get(m, read_u8(r));
    case OP_LONG_BINGET:
        return op_get(m, read_u32(r));
    case OP_STOP:
        break;
    }
    return fail(GRAFT_BAD_FILE, "opcode 0x%02x is not one that a state dict needs", op);
}

graft_status pickle_load(struct pickle *m, struct reader *r, const struct pickle_value **out)
{
    m->n_stack = 0;
    for (size_t i = 0; i < m->memo_capacity; i++)
        m->memo[i] = NULL;
    for (;;) {
        size_t at = r->at;
        uint8_t op = read_u8(r);
        if (!r->failed && op == OP_STOP)
            break;
        graft_status status = r->failed ? GRAFT_OK : step(m, r, op);
        if (r->failed)
            return fail(GRAFT_BAD_FILE, "the pickle is cut short at byte %zu", at);
        if (status != GRAFT_OK)
            return fail_prefix(status, "pickle, byte %zu", at);
    }
    struct pickle_value *value = NULL;
    TRY(value_pop(m, &value));
    if (m->n_stack != 0)
        return fail(GRAFT_BAD_FILE, "the pickle leaves %zu values on its stack; expected one", m->n_stack + 1);
    *out = value;
    return GRAFT_OK;
}
