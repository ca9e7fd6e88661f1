// weights/test_weights.c: every reader on files of the real frameworks, on damaged files and on hostile ones.
// In: golden/weights/, made by tools/ref/make_weight_files.py: element i of a file's tensor n is i / 8 + n.
// Values are compared exactly: they are multiples of 1/8 below 64, which every dtype used here holds.

#include "fixture.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "weights/tfjs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void check_state_dict(const char *file, const char *format)
{
    struct tensor_set set;
    read_ok(file, &set);
    assert_string_equal(set.format, format);
    assert_int_equal(set.count, 9);
    assert_string_equal(set.items[0].name, "conv.weight");
    check_ramp(&set, "conv.weight", DTYPE_F32, SHAPE(4, 3, 3, 3), 0);
    check_ramp(&set, "conv.bias", DTYPE_F32, SHAPE(4), 1);
    check_ramp(&set, "fc.weight", DTYPE_F32, SHAPE(5, 7), 2); // not contiguous
    check_ramp(&set, "half", DTYPE_F16, SHAPE(2, 3), 3);
    check_ramp(&set, "bf16", DTYPE_BF16, SHAPE(2, 3), 4);
    check_ramp(&set, "slice", DTYPE_F32, SHAPE(8), 5); // at an offset of its storage
    check_ramp(&set, "double", DTYPE_F64, SHAPE(3), 6);
    check_ramp(&set, "bn.num_batches_tracked", DTYPE_I64, (struct shape){0}, 7);
    check_ramp(&set, "empty", DTYPE_F32, SHAPE(0, 3), 0);
    tensor_set_free(&set);
}

static void test_pth(void **state)
{
    (void)state;
    struct tensor_set set;
    read_ok("zip.pth", &set);
    size_t borrowed = 0;
    const bytes file = ((struct file_map *)set.mapping)->data;
    for (size_t i = 0; i < set.count; i++)
        borrowed +=
            (const uint8_t *)set.items[i].data >= file.ptr && (const uint8_t *)set.items[i].data < file.ptr + file.size;
    assert_int_equal(borrowed, 7); // the strided one is a copy, the empty one is nowhere
    tensor_set_free(&set);
    check_state_dict("zip.pth", "PyTorch .pth (zip)");
    check_state_dict("legacy.pth", "PyTorch .pth (legacy)");
    check_state_dict("checkpoint.pth", "PyTorch .pth (zip)"); // {"state_dict"} and 'module.'
    check_state_dict("checkpoint_legacy.pth", "PyTorch .pth (legacy)");
}

static void test_safetensors(void **state)
{
    (void)state;
    struct tensor_set set, again;
    read_ok("small.safetensors", &set);
    assert_string_equal(set.format, "safetensors");
    assert_string_equal(set.metadata, "{\"made\":\"by safetensors\"}");
    check_ramp(&set, "a", DTYPE_F32, SHAPE(2, 3), 0);
    check_ramp(&set, "b", DTYPE_F32, SHAPE(4), 1);
    check_ramp(&set, "c", DTYPE_F32, SHAPE(0, 2), 0);
    tensor_set_free(&set);

    read_ok("zip.pth", &set); // all dtypes, a scalar, an empty one
    const char *path = scratch("round.safetensors");
    assert_int_equal(safetensors_write(path, &set, "{\"graft\": \"1\"}"), GRAFT_OK);
    assert_int_equal(weights_read(path, &again), GRAFT_OK);
    assert_string_equal(again.metadata, "{\"graft\":\"1\"}");
    assert_int_equal(again.count, set.count);
    for (size_t i = 0; i < set.count; i++) {
        size_t count;
        assert_string_equal(again.items[i].name, set.items[i].name);
        assert_int_equal(again.items[i].dtype, set.items[i].dtype);
        assert_true(shape_equal(again.items[i].shape, set.items[i].shape));
        assert_true(shape_count(set.items[i].shape, &count));
        assert_memory_equal(again.items[i].data, set.items[i].data, count * dtype_size(set.items[i].dtype));
    }
    struct file_map map;
    assert_int_equal(file_map_open(path, &map), GRAFT_OK);
    assert_int_equal(map.data.ptr[0] % 8, 0);
    file_map_close(&map);
    tensor_set_free(&again);
    assert_int_not_equal(safetensors_write(path, &set, "{\"graft\": 1}"), GRAFT_OK);
    assert_int_not_equal(safetensors_write(path, &set, "not JSON"), GRAFT_OK);
    unlink(path);
    assert_int_not_equal(safetensors_write("/nonexistent/x.safetensors", &set, NULL), GRAFT_OK);
    tensor_set_free(&set);
}

static void header_refused(const char *header, size_t data_size, const char *words)
{
    size_t length = strlen(header);
    uint8_t *file = calloc(1, 8 + length + data_size);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    bytes_refused(file, 8 + length + data_size, words);
    free(file);
}

static void test_safetensors_hostile(void **state)
{
    (void)state;
    bytes_refused("\0\0\0\0\0\0\0\x80{}", 10, "header of 9223372036854775808 bytes");
    bytes_refused("\xff\0\0\0\0\0\0\0{}", 10, "header of 255 bytes");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
                   6, "overlap");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
                   12, "hole");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "the tensors end at byte 4");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "cut short");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
                   "too large");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
                   "too large");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "dimension 0");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "dimension 0");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "at most 8");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "data_offsets");
    header_refused("{\"a\":{\"dtype\":\"F8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "has dtype 'F8'");
    header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, "");
    header_refused("{\"__metadata__\":{\"a\":1}}", 0, "must be a text");
    header_refused("{\"a\":[]}", 0, "expected exactly");
    header_refused("{\"a\":", 0, "");
    char *deep = calloc(1, 1000001);
    memset(deep, '[', 1000000);
    memcpy(deep, "{\"a\":", 5);
    header_refused(deep, 0, "");
    free(deep);
}

static void test_sniff(void **state)
{
    (void)state;
    bytes_refused("", 0, "empty");
    bytes_refused("<html>", 6, "web page");
    bytes_refused("{\"modelTopology\"", 16, "JSON");
    bytes_refused("version https://git-lfs.github.com/spec/v1", 42, "git lfs pull");
    bytes_refused("\x1f\x8b", 2, "gzip");
    bytes_refused("abc", 3, "begins with 61 62 63; expected safetensors, PyTorch .pth");
    bytes_refused("\x89HDF\r\n\x1a\n", 8, "files only");
    struct tensor_set set;
    check_refused(weights_read("/nonexistent/x.pth", &set), &set, "/nonexistent/x.pth");
}

// The file cut at every byte is refused, or where its format cannot tell (`cuts_show` false) has fewer tensors; with
// each bit flipped it is read or refused, within its bytes.
static void damage(const char *name, bool cuts_show)
{
    struct file_map map;
    struct tensor_set set;
    read_ok(name, &set);
    const size_t whole = set.count;
    tensor_set_free(&set);
    assert_int_equal(file_map_open(golden(name), &map), GRAFT_OK);
    size_t size = map.data.size;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, map.data.ptr, cut);
        graft_status status = weights_read_bytes((bytes){copy, cut}, "cut", &set);
        if (status == GRAFT_OK && (cuts_show || set.count >= whole))
            fail_msg("%s cut to %zu bytes is accepted", name, cut);
        if (status == GRAFT_OK)
            tensor_set_free(&set);
        free(copy);
    }
    uint8_t *copy = malloc(size);
    memcpy(copy, map.data.ptr, size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (weights_read_bytes((bytes){copy, size}, "flip", &set) == GRAFT_OK) {
            for (size_t i = 0; i < set.count; i++) {
                size_t count;
                assert_true(shape_count(set.items[i].shape, &count));
                float *values = mem_zero(count + 1, sizeof *values);
                if (set.items[i].dtype != DTYPE_U8)
                    assert_int_equal(tensor_to_f32(&set.items[i], values), GRAFT_OK);
                mem_free(values);
            }
            tensor_set_free(&set);
        }
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(copy);
    file_map_close(&map);
}

static void test_damage(void **state)
{
    (void)state;
    damage("small.safetensors", true);
    damage("legacy.pth", true);
    damage("zip.pth", true);
    damage("v1.caffemodel", false);
    damage("v2.caffemodel", false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // fuzz/fuzz_weights.c

// What fuzzing found worth keeping: an input for each way through the readers (fuzz/weights.zip, of libFuzzer's
// -merge).
static void test_corpus(void **state)
{
    (void)state;
    replay("weights.zip", 250, LLVMFuzzerTestOneInput);
}

// The head of a legacy .pth, before its object.
#define LEGACY                                                                                                         \
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."                                                        \
    "\x80\x02M\xe9\x03."                                                                                               \
    "\x80\x02}U\x0dlittle_endian\x88s."

static void object_refused(const char *object, size_t size, const char *words)
{
    char file[1024] = LEGACY;
    size_t head = sizeof LEGACY - 1;
    assert_true(head + size <= sizeof file);
    memcpy(file, LEGACY, head);
    memcpy(file + head, object, size);
    bytes_refused(file, head + size, words);
}
// clang-format off: texts are split where a hexadecimal escape ends
#define OBJECT_REFUSED(object, words) object_refused(object, sizeof(object) - 1, words)

static void test_pickle_hostile(void **state)
{
    (void)state;
    OBJECT_REFUSED("\x80\x02"
                   "cos\nsystem\n(X\x04\0\0\0true\x85R.",
                   "'os.system', which graft never runs");
    OBJECT_REFUSED("\x80\x02"
                   "ccollections\nOrderedDict2\n)R.",
                   "never runs");
    OBJECT_REFUSED("\x80\x02i", "opcode 0x69");
    OBJECT_REFUSED("\x80\x02\x93", "opcode 0x93");
    OBJECT_REFUSED("\x80\x02]K\1K\2s.", "not a dict");
    OBJECT_REFUSED("\x80\x02}K\1a.", "not a list");
    OBJECT_REFUSED("\x80\x02}]K\2s.", "as a dict's key");
    OBJECT_REFUSED("\x80\x02}(K\1u.", "a key without a value");
    OBJECT_REFUSED("\x80\x02s.", "missing on the stack");
    OBJECT_REFUSED("\x80\x02"
                   "a.",
                   "missing on the stack");
    OBJECT_REFUSED("\x80\x02K\1\x87.", "missing on the stack");
    OBJECT_REFUSED("\x80\x02(K\1\x86.", "missing on the stack");
    OBJECT_REFUSED("\x80\x02u.", "a mark is missing");
    OBJECT_REFUSED("\x80\x02(.", "missing on the stack");
    OBJECT_REFUSED("\x80\x02K\1K\2.", "leaves 2 values");
    OBJECT_REFUSED("\x80\x02h\5.", "never stored");
    OBJECT_REFUSED("\x80\x02K\1r\xff\xff\xff\xff.", "not below");
    OBJECT_REFUSED("\x80\x02K\1)R.", "expected a global, found a number");
    OBJECT_REFUSED("\x80\x02"
                   "ctorch\nFloatStorage\n)R.",
                   "calls torch.FloatStorage");
    OBJECT_REFUSED("\x80\x02"
                   "ctorch._utils\n_rebuild_tensor_v2\n)R.",
                   "a tensor needs a storage");
    OBJECT_REFUSED("\x80\x02K\1}b.", "attributes");
    OBJECT_REFUSED("\x80\x02)Q.", "a persistent id must be");
    OBJECT_REFUSED("\x80\x02X\xff\xff\xff\xff"
                   "abc",
                   "cut short");
    OBJECT_REFUSED("\x80\x02"
                   "cos",
                   "does not end");
    OBJECT_REFUSED("\x80\x02}.\x80\x02].", "empty");
    OBJECT_REFUSED("\x80\x02].\x80\x02].", "does not hold a dict");
    OBJECT_REFUSED("\x80\x02}X\1\0\0\0aK\1s.\x80\x02].", "entry 'a' of its state dict is not a tensor");
    // A list that holds itself, and a memo cycle under a state dict: bounded, not followed.
    OBJECT_REFUSED("\x80\x02]q\0h\0a.\x80\x02].", "does not hold a dict");
    OBJECT_REFUSED("\x80\x02}q\0X\1\0\0\0ah\0s.\x80\x02].", "not a tensor");
    bytes_refused("\x80\x02}.", 4, "magic number");

    // A million nested: tuples in tuples, lists that wait.
    size_t head = sizeof LEGACY - 1, size = head + 1000010;
    char *file = malloc(size);
    memcpy(file, LEGACY, head);
    memcpy(file + head, "\x80\x02)", 3);
    memset(file + head + 3, '\x85', size - head - 3);
    bytes_refused(file, size, "64 deep");
    memset(file + head + 2, ']', size - head - 2);
    bytes_refused(file, size, "nests too deep");
    memset(file + head + 2, '(', size - head - 2);
    bytes_refused(file, size, "nests too deep");
    free(file);
}

// One float of storage "0" seen through `size` and `stride` (pickled tuples) at `offset`.
static void strided_refused(const char *tail, size_t tail_size, const char *words)
{
    static const char start[] = "\x80\x02}X\1\0\0\0w"
                                "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
                                "ctorch\nFloatStorage\nX\1\0\0\0"
                                "0X\3\0\0\0cpuK\1NtQ";
    static const char end[] = "\x89}tRs.\x80\x02]X\1\0\0\0"
                              "0a.\1\0\0\0\0\0\0\0\0\0\0\0";
    char object[512];
    size_t n = sizeof start - 1;
    memcpy(object, start, n);
    memcpy(object + n, tail, tail_size);
    n += tail_size;
    memcpy(object + n, end, sizeof end - 1);
    object_refused(object, n + sizeof end - 1, words);
}
#define STRIDED_REFUSED(tail, words) strided_refused(tail, sizeof(tail) - 1, words)

static void test_strides_hostile(void **state)
{
    (void)state;
    STRIDED_REFUSED("K\1K\1\x85K\1\x85", "past its storage");        // offset 1
    STRIDED_REFUSED("K\0K\2\x85K\1\x85", "past its storage");        // two elements
    STRIDED_REFUSED("K\0J\0\0\0\x7f\x85K\0\x85", "unfold to more");  // 2^31 elements of one
    STRIDED_REFUSED("K\0\x8a\x08\0\0\0\0\0\0\0\x7f\x85K\0\x85", ""); // 2^63
    STRIDED_REFUSED("K\0K\2\x85\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "past its storage");
    STRIDED_REFUSED("K\0K\1\x85J\xff\xff\xff\xff\x85", "a tensor needs"); // negative stride
    STRIDED_REFUSED("J\xff\xff\xff\xffK\1\x85K\1\x85", "a tensor needs"); // negative offset
    STRIDED_REFUSED("K\0K\1\x85K\1K\1\x86", "a tensor needs");            // ranks differ
}

// clang-format on

// The values of a ramp that went through `step` wide quantization are within half a step of it.
static void check_tfjs(const char *file, enum dtype dtype, float step)
{
    static const struct {
        const char *name;
        struct shape shape;
    } rows[] = {{"conv1//kernel", {4, {3, 3, 3, 4}}},
                {"conv1//bias", {1, {4}}},
                {"bn//gamma", {1, {4}}},
                {"bn//beta", {1, {4}}},
                {"bn//moving_mean", {1, {4}}},
                {"bn//moving_variance", {1, {4}}}};
    struct tensor_set set;
    float values[108];
    read_ok(file, &set);
    assert_string_equal(set.format, "TensorFlow.js layers model");
    assert_non_null(strstr(set.metadata, "\"convertedBy\":\"TensorFlow.js Converter"));
    assert_int_equal(set.count, 6);
    assert_string_equal(set.items[0].name, "bn//gamma"); // a layer's in Keras's order
    assert_string_equal(set.items[3].name, "bn//moving_variance");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct named_tensor *t = tensor_find(&set, rows[i].name);
        size_t count;
        assert_non_null(t);
        assert_int_equal(t->dtype, dtype);
        assert_true(shape_equal(t->shape, rows[i].shape));
        assert_true(shape_count(t->shape, &count));
        assert_int_equal(tensor_to_f32(t, values), GRAFT_OK);
        for (size_t k = 0; k < count; k++) {
            const float expected = (float)i + (float)k / 8, off = values[k] - expected;
            if (!(off <= step / 2 && off >= -step / 2))
                fail_msg("%s[%zu] is %g, expected %g", rows[i].name, k, (double)values[k], (double)expected);
        }
    }
    tensor_set_free(&set);
}

static void test_tfjs(void **state)
{
    (void)state;
    check_tfjs("tfjs/model.json", DTYPE_F32, 0); // shards of 150 bytes: tensors lie across them
    check_tfjs("tfjs_float16/model.json", DTYPE_F16, 0);
    check_tfjs("tfjs_uint8/model.json", DTYPE_F32, 13.5f / 255 * 1.001f); // the kernel's range, and float's rounding
    check_tfjs("tfjs_uint16/model.json", DTYPE_F32, 13.5f / 65535 * 1.1f);
}

static void check_caffe(const char *file, enum dtype dense)
{
    struct tensor_set set;
    read_ok(file, &set);
    assert_string_equal(set.format, "Caffe .caffemodel");
    assert_int_equal(set.count, 4);
    check_ramp(&set, "conv1.7x7_s2.weight", DTYPE_F32, SHAPE(2, 3, 3, 3), 0);
    check_ramp(&set, "conv1.7x7_s2.bias", DTYPE_F32, SHAPE(2), 1);
    check_ramp(&set, "fc.weight", dense, SHAPE(3, 5), 2);
    check_ramp(&set, "fc.bias", dense, SHAPE(3), 3);
    tensor_set_free(&set);
}

static void test_caffe(void **state)
{
    (void)state;
    check_caffe("v1.caffemodel", DTYPE_F32);
    check_caffe("v2.caffemodel", DTYPE_F64);
#define LAYER "\x0a\1a" // name
#define CAFFE_REFUSED(text, words) bytes_refused("\xa2\x06" text, sizeof("\xa2\x06" text) - 1, words)
    CAFFE_REFUSED("\x0d" LAYER "\x3a\x08\x08\1\x10\1\x18\1\x20\1", "needs 4 bytes"); // (1, 1, 1, 1), no numbers
    CAFFE_REFUSED("\x1b" LAYER "\x3a\x16\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\2\x18\2\x20\2\x2a\4\0\0\0\0",
                  "too large");
    CAFFE_REFUSED("\x0c" LAYER "\x3a\x07\x3a\x05\x0a\x03\x80\x80\x80", "damaged");
    CAFFE_REFUSED("\x02"
                  "\x3a\0",
                  "no name");
    CAFFE_REFUSED("\x03" LAYER, "without weights");
}

static graft_status any_shard(void *user, const char *name, bytes *out)
{
    (void)name;
    *out = *(bytes *)user;
    return GRAFT_OK;
}

// The manifest's one group, `shard` being each of its shards.
static void manifest_refused(const char *group, size_t shard_size, const char *words)
{
    static const uint8_t zeros[64];
    char *json = NULL;
    struct tensor_set set = {0};
    bytes shard = {zeros, shard_size};
    assert_true(asprintf(&json, "{\"weightsManifest\": [%s]}", group) > 0);
    assert_int_equal(
        tfjs_read_shards((bytes){(const uint8_t *)json, strlen(json)}, &(struct tfjs_shards){&shard, any_shard}, &set),
        GRAFT_BAD_FILE);
    if (!strstr(graft_message(), words))
        fail_msg("message '%s' does not say '%s'", graft_message(), words);
    tensor_set_free(&set);
    free(json);
}

static void test_tfjs_hostile(void **state)
{
    (void)state;
#define GROUP(paths, weights) "{\"paths\": [" paths "], \"weights\": [" weights "]}"
#define WEIGHT(shape, more) "{\"name\": \"l/kernel\", \"shape\": [" shape "], \"dtype\": \"float32\"" more "}"
    manifest_refused(GROUP("\"a\"", WEIGHT("2", "")), 4, "4 bytes more");
    manifest_refused(GROUP("\"a\"", WEIGHT("1", "")), 8, "more bytes than their tensors");
    manifest_refused(GROUP("\"a\"", WEIGHT("1", "") "," WEIGHT("1", "")), 8, "twice");
    manifest_refused(GROUP("\"a\", \"a\"", WEIGHT("2", "")), 4, "listed twice");
    manifest_refused(GROUP("\"../a\"", WEIGHT("1", "")), 4, "beside model.json");
    manifest_refused(GROUP("\"/etc/passwd\"", WEIGHT("1", "")), 4, "beside model.json");
    manifest_refused(GROUP("7", WEIGHT("1", "")), 4, "beside model.json");
    manifest_refused(GROUP("\"a\"", WEIGHT("-1", "")), 4, "dimension 0");
    manifest_refused(GROUP("\"a\"", WEIGHT("1.5", "")), 4, "dimension 0");
    manifest_refused(GROUP("\"a\"", WEIGHT("4294967296, 4294967296", "")), 4, "too large");
    manifest_refused(GROUP("\"a\"", WEIGHT("4611686018427387904", "")), 4, "too large");
    manifest_refused(GROUP("\"a\"", WEIGHT("1000000000000", "")), 4, "bytes more"); // asked for in pieces
    manifest_refused(GROUP("\"a\"", WEIGHT("1,1,1,1,1,1,1,1,1", "")), 4, "at most 8");
    manifest_refused(GROUP("\"a\"", WEIGHT("1", ", \"quantization\": {\"dtype\": \"uint4\"}")), 4,
                     "quantization must be");
    manifest_refused(GROUP("\"a\"", WEIGHT("1", ", \"quantization\": {\"dtype\": \"uint8\", \"scale\": \"x\"}")), 4,
                     "quantization must be");
    manifest_refused(GROUP("\"a\"", "{\"name\": \"l/k\", \"shape\": [1], \"dtype\": \"string\"}"), 4, "dtype 'string'");
    manifest_refused(GROUP("\"a\"", "{\"name\": \"\", \"shape\": [1], \"dtype\": \"float32\"}"), 4, "needs a name");
    manifest_refused(GROUP("\"a\"", "7"), 4, "needs a name");
    manifest_refused("{\"paths\": []}", 4, "paths and weights");
    manifest_refused("", 4, "no weights");
    struct tensor_set set = {0};
    bytes empty = {0};
    const struct tfjs_shards shards = {&empty, any_shard};
    static const char *const texts[][2] = {{"{\"format\": \"graph-model\", \"weightsManifest\": []}", "graph-model"},
                                           {"{\"a\": 1}", "weightsManifest is missing"},
                                           {"{\"a\": ", "bad JSON"}};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_int_equal(tfjs_read_shards((bytes){(const uint8_t *)texts[i][0], strlen(texts[i][0])}, &shards, &set),
                         GRAFT_BAD_FILE);
        assert_non_null(strstr(graft_message(), texts[i][1]));
        tensor_set_free(&set);
    }
    // model.json cut short at every byte, and shards that are not there.
    struct file_map map;
    assert_int_equal(file_map_open(golden("tfjs/model.json"), &map), GRAFT_OK);
    const char *path = scratch("cut.json");
    for (size_t cut = 0; cut < map.data.size; cut += 7) {
        assert_int_equal(file_write_all(path, map.data.ptr, cut), GRAFT_OK);
        check_refused(weights_read(path, &set), &set, "cut.json");
    }
    assert_int_equal(file_write_all(path, map.data.ptr, map.data.size), GRAFT_OK);
    check_refused(weights_read(path, &set), &set, "group1-shard1of");
    file_map_close(&map);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors),    cmocka_unit_test(test_safetensors_hostile),
        cmocka_unit_test(test_sniff),          cmocka_unit_test(test_pth),
        cmocka_unit_test(test_pickle_hostile), cmocka_unit_test(test_strides_hostile),
        cmocka_unit_test(test_damage),         cmocka_unit_test(test_tfjs),
        cmocka_unit_test(test_tfjs_hostile),   cmocka_unit_test(test_caffe),
        cmocka_unit_test(test_corpus),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
