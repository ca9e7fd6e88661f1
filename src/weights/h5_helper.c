// weights/h5_helper.c: the program graft-h5, the only code that links HDF5.  Lists a Keras .h5 file; reads no tensor.
// In: argv[1], a path; argv[2] and [3], where in it the HDF5 file begins and how many bytes it has
// (a member of .keras).
// Out: lines of JSON on standard output (grammar in h5.c); exit code 0, or 3 after "error".
// It trusts nothing: memory 1 GiB, 3 s of processor time, no file written, and once the file is open no other can be.
// Accepted: hard links only; contiguous, little-endian float16/32/64 or bfloat16 datasets that lie in this file.
// Grammar:  .h5  attributes of the root or of /model_weights: layer_names = texts, keras_version, backend = text
//           group LAYER: weight_names = texts; dataset LAYER/WEIGHT, either part may contain slashes
//           texts: fixed or variable length; an attribute too long for HDF5 is split into NAME0, NAME1, ...
//           .weights.h5 and .keras (Keras 3, and tf.keras 2.13 under another name): group layers/CLASS[_N]/vars of
//           datasets 0, 1, ...; attribute name = the layer's (from Keras 3.6 on); layers may hold layers
//           Keras 0.x: attribute nb_layers of the root; group layer_N: attribute nb_params, datasets param_0, ...
// A layer without a name is listed as CLASS@N: the N-th of its class in Keras's order, or of all ("layer") in Keras
// 0.x.
// Source:   Keras's legacy_h5_format; HDF5 1.10 reference manual.

#include <fcntl.h>
#include <hdf5.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif

enum { NAMES_LIMIT = 100 * 1000, TEXT_LIMIT = 64 << 20, SPLIT_LIMIT = 1000, PATH_LIMIT = 4096, RANK_LIMIT = 8 };
enum { METADATA_LIMIT = 1 << 20, NEST_LIMIT = 8, GROUPS_LIMIT = 20 * 1000 };

static void say(json_t *take_line)
{
    if (!take_line || json_dumpf(take_line, stdout, JSON_COMPACT) != 0 || putchar('\n') == EOF)
        exit(4);
    json_decref(take_line);
}

// The process ends with its first error: nothing is released.
static _Noreturn void stop(const char *format, ...)
{
    char text[2 * PATH_LIMIT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = text; *c; c++) // JSON wants UTF-8, hostile names are not
        if (*c < ' ' || *c > '~')
            *c = '?';
    say(json_pack("{s:s}", "error", text));
    fflush(stdout);
    _Exit(3);
}

static void *allocate(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    if (!block)
        stop("HDF5 needs more memory than graft allows for reading it");
    return block;
}

struct names {
    char **items;
    size_t count;
    size_t longest; // 0: of a path
};

static void names_add(struct names *names, const char *text, size_t length, const char *attribute)
{
    const size_t longest = names->longest ? names->longest : PATH_LIMIT / 2;
    if (names->count == NAMES_LIMIT || length == 0 || length >= longest)
        stop("attribute %s: a name is empty or longer than %zu bytes, or there are over %d", attribute, longest,
             NAMES_LIMIT);
    if (names->count % 1024 == 0) {
        names->items = realloc(names->items, (names->count + 1024) * sizeof *names->items);
        if (!names->items)
            stop("HDF5 needs more memory than graft allows for reading it");
    }
    char *copy = allocate(length + 1, 1);
    memcpy(copy, text, length);
    names->items[names->count++] = copy;
}

// Fixed-length texts: padded by zeros or spaces.
static void fixed_read(hid_t attribute, hid_t type, size_t count, const char *name, struct names *out)
{
    size_t size = H5Tget_size(type);
    if (size == 0 || count > TEXT_LIMIT / size)
        stop("attribute %s is too large", name);
    char *block = allocate(count, size);
    if (H5Aread(attribute, type, block) < 0)
        stop("attribute %s is damaged", name);
    for (size_t i = 0; i < count; i++) {
        size_t length = strnlen(block + i * size, size);
        while (length && H5Tget_strpad(type) == H5T_STR_SPACEPAD && block[i * size + length - 1] == ' ')
            length--;
        names_add(out, block + i * size, length, name);
    }
    free(block);
}

static void variable_read(hid_t attribute, hid_t type, size_t count, const char *name, struct names *out)
{
    char **texts = allocate(count, sizeof *texts);
    if (H5Aread(attribute, type, texts) < 0)
        stop("attribute %s is damaged", name);
    for (size_t i = 0; i < count; i++) {
        if (!texts[i])
            stop("attribute %s: name %zu is missing", name, i);
        names_add(out, texts[i], strlen(texts[i]), name);
        H5free_memory(texts[i]);
    }
    free(texts);
}

// Appends the attribute's texts; an empty list may have any type (h5py writes float64).
static void attribute_read(hid_t object, const char *name, struct names *out)
{
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    hid_t space = attribute < 0 ? -1 : H5Aget_space(attribute), type = attribute < 0 ? -1 : H5Aget_type(attribute);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (count < 0 || type < 0 || H5Sget_simple_extent_ndims(space) > 1)
        stop("attribute %s is damaged", name);
    if (count > NAMES_LIMIT)
        stop("attribute %s lists %lld names; at most %d are read", name, (long long)count, NAMES_LIMIT);
    if (count > 0 && H5Tget_class(type) != H5T_STRING)
        stop("attribute %s does not hold texts", name);
    if (count > 0 && H5Tis_variable_str(type) > 0)
        variable_read(attribute, type, (size_t)count, name, out);
    else if (count > 0)
        fixed_read(attribute, type, (size_t)count, name, out);
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(attribute);
}

// NAME, or NAME0, NAME1, ...  Returns whether there was any.
static int names_read(hid_t object, const char *name, struct names *out)
{
    char part[64];
    *out = (struct names){0};
    if (H5Aexists(object, name) > 0)
        return attribute_read(object, name, out), 1;
    int i = 0;
    for (; i < SPLIT_LIMIT; i++) {
        snprintf(part, sizeof part, "%s%d", name, i);
        if (H5Aexists(object, part) <= 0)
            break;
        attribute_read(object, part, out);
    }
    return i > 0;
}

// Opens PATH below `from` link by link, each of which must be hard; -1 when there is none of that name.
static hid_t walk(hid_t from, const char *path)
{
    char part[PATH_LIMIT];
    hid_t at = from;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length == 0) {
            path++;
            continue;
        }
        if (length >= sizeof part)
            stop("a name is too long");
        memcpy(part, path, length);
        part[length] = 0;
        path += length;
        H5L_info_t link;
        if (H5Iget_type(at) != H5I_GROUP && H5Iget_type(at) != H5I_FILE)
            return -1;
        if (H5Lexists(at, part, H5P_DEFAULT) <= 0)
            return -1;
        if (H5Lget_info(at, part, &link, H5P_DEFAULT) < 0)
            stop("link '%s' is damaged", part);
        if (link.type != H5L_TYPE_HARD)
            stop("'%s' is %s link; graft follows none", part, link.type == H5L_TYPE_SOFT ? "a soft" : "an external");
        hid_t next = H5Oopen(at, part, H5P_DEFAULT);
        if (next < 0)
            stop("object '%s' is damaged", part);
        if (at != from)
            H5Oclose(at);
        at = next;
    }
    return at == from ? -1 : at;
}

// F16, F32, F64 when the bits are IEEE's, little-endian; else NULL.
static const char *float_name(hid_t type)
{
    static const struct {
        size_t size, exponent_at, exponent_size, mantissa_size, bias;
        const char *name;
    } rows[] = {{2, 10, 5, 10, 15, "F16"}, {4, 23, 8, 23, 127, "F32"}, {8, 52, 11, 52, 1023, "F64"}};
    size_t sign, exponent_at, exponent_size, mantissa_at, mantissa_size;
    if (H5Tget_class(type) != H5T_FLOAT || H5Tget_order(type) != H5T_ORDER_LE ||
        H5Tget_fields(type, &sign, &exponent_at, &exponent_size, &mantissa_at, &mantissa_size) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (H5Tget_size(type) == rows[i].size && sign == rows[i].size * 8 - 1 && mantissa_at == 0 &&
            exponent_at == rows[i].exponent_at && exponent_size == rows[i].exponent_size &&
            mantissa_size == rows[i].mantissa_size && H5Tget_ebias(type) == rows[i].bias && H5Tget_offset(type) == 0 &&
            H5Tget_precision(type) == 8 * rows[i].size && H5Tget_norm(type) == H5T_NORM_IMPLIED)
            return rows[i].name;
    return NULL;
}

static void layout_check(hid_t dataset, const char *name)
{
    hid_t properties = H5Dget_create_plist(dataset);
    H5D_layout_t layout = properties < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(properties);
    if (layout == H5D_CHUNKED)
        stop("dataset '%s' is chunked or compressed; graft reads contiguous ones, which is what Keras saves by default",
             name);
    if (layout == H5D_VIRTUAL)
        stop("dataset '%s' is virtual, made from other data; graft reads contiguous ones", name);
    if (layout != H5D_CONTIGUOUS)
        stop("dataset '%s' is not contiguous; graft reads contiguous ones", name);
    if (H5Pget_external_count(properties) != 0)
        stop("dataset '%s' keeps its data in another file; graft opens none", name);
    H5Pclose(properties);
}

// NULL: there is no such attribute.
static json_t *text_attribute(hid_t object, const char *name, size_t longest)
{
    struct names texts = {.longest = longest};
    if (H5Aexists(object, name) <= 0)
        return NULL;
    attribute_read(object, name, &texts);
    return texts.count == 1 ? json_string(texts.items[0]) : NULL;
}

// Keras keeps bfloat16, which HDF5 has no name for, as two opaque bytes and says so.
static const char *dtype_name(hid_t dataset, hid_t type)
{
    if (H5Tget_class(type) != H5T_OPAQUE || H5Tget_size(type) != 2)
        return float_name(type);
    json_t *text = text_attribute(dataset, "dtype", 0);
    return text && strcmp(json_string_value(text), "bfloat16") == 0 ? "BF16" : NULL;
}

static void dataset_list(hid_t dataset, const char *name)
{
    hsize_t dims[H5S_MAX_RANK];
    layout_check(dataset, name);
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    const char *dtype = type < 0 ? NULL : dtype_name(dataset, type);
    if (rank < 0 || rank > RANK_LIMIT || H5Sget_simple_extent_type(space) == H5S_NULL ||
        H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        stop("dataset '%s' is empty, damaged or has over %d dimensions", name, RANK_LIMIT);
    if (!dtype)
        stop("dataset '%s' does not hold little-endian float16, float32, float64 or bfloat16", name);
    json_t *shape = json_array();
    hsize_t size = H5Tget_size(type);
    for (int i = 0; i < rank; i++) {
        if (dims[i] > INT64_MAX || __builtin_mul_overflow(size, dims[i], &size) || size > INT64_MAX)
            stop("dataset '%s': its shape is too large", name);
        json_array_append_new(shape, json_integer((json_int_t)dims[i]));
    }
    haddr_t offset = size ? H5Dget_offset(dataset) : 0;
    if (offset == HADDR_UNDEF || offset > INT64_MAX)
        stop("dataset '%s' has no data in the file", name);
    json_t *line = json_pack("{s:s, s:s, s:o, s:I, s:I}", "name", name, "dtype", dtype, "shape", shape, "offset",
                             (json_int_t)offset, "size", (json_int_t)size);
    if (!line)
        stop("the name of a dataset is not UTF-8");
    say(line);
    H5Tclose(type);
    H5Sclose(space);
}

// Returns how many weights the layer has.
static size_t layer_list(hid_t root, const char *layer)
{
    char name[PATH_LIMIT];
    struct names weights;
    hid_t group = walk(root, layer);
    if (group < 0 || H5Iget_type(group) != H5I_GROUP)
        stop("layer '%s' is listed in layer_names, but has no group", layer);
    if (!names_read(group, "weight_names", &weights))
        stop("layer '%s' has no attribute weight_names", layer);
    for (size_t i = 0; i < weights.count; i++) {
        snprintf(name, sizeof name, "%s//%s", layer, weights.items[i]);
        hid_t dataset = walk(group, weights.items[i]);
        if (dataset < 0 || H5Iget_type(dataset) != H5I_DATASET)
            stop("weight '%s' is listed, but has no dataset", name);
        dataset_list(dataset, name);
        H5Dclose(dataset);
        free(weights.items[i]);
    }
    free(weights.items);
    H5Gclose(group);
    return weights.count;
}

static void limit(int resource, rlim_t value)
{
    struct rlimit limits = {value, value + (resource == RLIMIT_CPU)}; // the first second too many has its own signal
    if (setrlimit(resource, &limits) != 0)
        stop("cannot set the limits under which HDF5 files are opened");
}

// --- the three kinds of file ---

static void head_say(const char *version, const char *kind, hid_t root)
{
    json_t *head = json_pack("{s:s, s:s}", "keras_version", version, "kind", kind);
    json_t *backend = text_attribute(root, "backend", 0), *graft = text_attribute(root, "graft", METADATA_LIMIT);
    if (backend)
        json_object_set_new(head, "backend", backend);
    if (graft)
        json_object_set_new(head, "graft", graft);
    say(head);
}

static size_t named_layers_list(hid_t root, const struct names *layers)
{
    size_t count = 0;
    for (size_t i = 0; i < layers->count; i++) {
        count += layer_list(root, layers->items[i]);
        if (count > NAMES_LIMIT)
            stop("more than %d weights", NAMES_LIMIT);
    }
    return count;
}

// NAME//0, NAME//1, ...: datasets PREFIX0, PREFIX1, ... of the group, which are `wanted`; -1: as many as there are.
static size_t numbered_list(hid_t group, const char *prefix, long long wanted, const char *name)
{
    char part[64], whole[PATH_LIMIT + 64];
    size_t i = 0;
    for (; wanted < 0 || i < (size_t)wanted; i++) {
        snprintf(part, sizeof part, "%s%zu", prefix, i);
        hid_t dataset = walk(group, part);
        if (dataset < 0 && wanted < 0)
            break;
        if (dataset < 0 || H5Iget_type(dataset) != H5I_DATASET || i > NAMES_LIMIT)
            stop("weight '%s' of layer '%s' is missing", part, name);
        snprintf(whole, sizeof whole, "%s//%zu", name, i);
        dataset_list(dataset, whole);
        H5Dclose(dataset);
    }
    return i;
}

// The layer's own variables, if it has any.  `place` is its group's name: the class, and its number unless it is 0.
static size_t vars_list(hid_t vars, const char *place)
{
    char name[PATH_LIMIT];
    json_t *said = text_attribute(vars, "name", 0);
    const char *number = strrchr(place, '_');
    const int numbered = number && number[1] && strspn(number + 1, "0123456789") == strlen(number + 1);
    H5G_info_t info;
    if (said)
        snprintf(name, sizeof name, "%s", json_string_value(said));
    else
        snprintf(name, sizeof name, "%.*s@%s", (int)(numbered ? number - place : (long)strlen(place)), place,
                 numbered ? number + 1 : "0");
    const size_t count = numbered_list(vars, "", -1, name);
    if (H5Gget_info(vars, &info) < 0 || info.nlinks != count)
        stop("layer '%s' has other things among its variables than 0, 1, ...", name);
    json_decref(said);
    return count;
}

// Every group with "vars" is a layer; groups in groups are layers of nested models.
static size_t containers_list(hid_t group, const char *place, int depth)
{
    static size_t visited; // groups; one may be reached by any number of ways
    H5G_info_t info;
    size_t count = 0;
    char name[PATH_LIMIT / 2];
    if (depth > NEST_LIMIT || H5Gget_info(group, &info) < 0 || info.nlinks > NAMES_LIMIT)
        stop("layers nest more than %d deep, or there are over %d in one", NEST_LIMIT, NAMES_LIMIT);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        const ssize_t length =
            H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
        if (length <= 0 || (size_t)length >= sizeof name)
            stop("the name of a layer is damaged or too long");
        if (strcmp(name, "seed_generator") == 0) // a random state, no weight
            continue;
        if (++visited > GROUPS_LIMIT)
            stop("more than %d groups of layers, or a group that is reached by many ways", GROUPS_LIMIT);
        hid_t inner = walk(group, name);
        if (inner < 0 || H5Iget_type(inner) != H5I_GROUP)
            stop("'%s' is no group of a layer", name);
        count += strcmp(name, "vars") == 0 ? vars_list(inner, place) : containers_list(inner, name, depth + 1);
        if (count > NAMES_LIMIT)
            stop("more than %d weights", NAMES_LIMIT);
        H5Gclose(inner);
    }
    return count;
}

static long long number_attribute(hid_t object, const char *name)
{
    long long value = -1;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), space = attribute < 0 ? -1 : H5Aget_space(attribute),
          type = attribute < 0 ? -1 : H5Aget_type(attribute);
    if (space < 0 || type < 0 || H5Sget_simple_extent_npoints(space) != 1 || H5Tget_class(type) != H5T_INTEGER ||
        H5Aread(attribute, H5T_NATIVE_LLONG, &value) < 0 || value < 0 || value > NAMES_LIMIT)
        stop("attribute %s is not a number from 0 to %d", name, NAMES_LIMIT);
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(attribute);
    return value;
}

static size_t keras0_list(hid_t file)
{
    const long long n = number_attribute(file, "nb_layers");
    size_t count = 0, with_weights = 0;
    char name[64];
    for (long long i = 0; i < n; i++) {
        snprintf(name, sizeof name, "layer_%lld", i);
        hid_t group = walk(file, name);
        if (group < 0 || H5Iget_type(group) != H5I_GROUP)
            stop("group '%s' is missing", name);
        const long long weights = number_attribute(group, "nb_params");
        snprintf(name, sizeof name, "layer@%zu", with_weights);
        count += numbered_list(group, "param_", weights, name);
        with_weights += weights > 0;
        H5Gclose(group);
    }
    return count;
}

static void file_list(hid_t file)
{
    static const char *const containers[][2] = {{"layers", "3"}, {"_layer_checkpoint_dependencies", "2"}};
    struct names layers;
    size_t count = 0;
    hid_t root = file;
    const int weights = names_read(file, "layer_names", &layers);
    if (!weights)
        root = walk(file, "model_weights");
    if (weights || (root >= 0 && H5Iget_type(root) == H5I_GROUP && names_read(root, "layer_names", &layers))) {
        json_t *version = text_attribute(root, "keras_version", 0);
        head_say(version ? json_string_value(version) : "1", weights ? "h5 (weights)" : "h5 (model)",
                 weights ? root : file);
        count = named_layers_list(root, &layers);
    } else if (H5Aexists(file, "nb_layers") > 0) {
        head_say("0", "h5 (nb_layers)", file);
        count = keras0_list(file);
    } else {
        hid_t group = -1;
        for (size_t i = 0; group < 0 && i < sizeof containers / sizeof *containers; i++) {
            group = walk(file, containers[i][0]);
            if (group >= 0 && H5Iget_type(group) == H5I_GROUP)
                head_say(containers[i][1], "weights.h5", file);
        }
        if (group < 0 || H5Iget_type(group) != H5I_GROUP)
            stop("HDF5, but not Keras's: it has neither the attribute layer_names, nor /model_weights with it, nor "
                 "/layers");
        count = containers_list(group, "", 0);
    }
    say(json_pack("{s:I}", "end", (json_int_t)count));
}

// --- opening ---

// An HDF5 file inside another one, mapped.  The callbacks hand HDF5 the mapping itself: nothing is copied.
static struct {
    void *data;
    size_t size;
} image;

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *user)
{
    (void)op;
    (void)user;
    return size == image.size ? image.data : NULL;
}
static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op, void *user)
{
    (void)op;
    (void)user;
    return to == from && size == image.size ? to : NULL;
}
static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t op, void *user)
{
    (void)op;
    (void)user;
    return size == image.size ? old : NULL;
}
static herr_t image_free(void *data, H5FD_file_image_op_t op, void *user)
{
    (void)data;
    (void)op;
    (void)user;
    return 0;
}
static void *user_copy(void *user) { return user; }
static herr_t user_free(void *user)
{
    (void)user;
    return 0;
}

static hid_t open_part(const char *path, const char *offset_text, const char *size_text)
{
    const unsigned long long offset = strtoull(offset_text, NULL, 10), size = strtoull(size_text, NULL, 10);
    const unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE), skip = offset % page;
    H5FD_file_image_callbacks_t callbacks = {image_malloc, image_memcpy, image_realloc, image_free,
                                             user_copy,    user_free,    &image};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || size == 0 || offset > (unsigned long long)st.st_size ||
        size > (unsigned long long)st.st_size - offset)
        stop("the file changed while it was read");
    char *map = mmap(NULL, (size_t)(size + skip), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, (off_t)(offset - skip));
    close(fd);
    if (map == MAP_FAILED)
        stop("HDF5 needs more memory than graft allows for reading it");
    image.data = map + skip;
    image.size = (size_t)size;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0 || H5Pset_fapl_core(access, 1 << 16, 0) < 0 || H5Pset_file_image_callbacks(access, &callbacks) < 0 ||
        H5Pset_file_image(access, image.data, image.size) < 0)
        stop("HDF5 cannot open a part of a file");
    return H5Fopen("/dev/null/image", H5F_ACC_RDONLY, access); // the driver wants a name that no file has
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 4) {
        fprintf(stderr,
                "usage: graft-h5 FILE [OFFSET SIZE]\nLists the weights of a Keras file for graft; not for people.\n");
        return 2;
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CPU, 3); // ten thousand tensors are listed in 0.2 s
#ifndef SANITIZED // its shadow memory alone is terabytes of address space
    limit(RLIMIT_AS,
          ((rlim_t)1 << 30) + (argc == 4 ? strtoull(argv[3], NULL, 10) % ((rlim_t)1 << 40) : 0)); // the mapping
#endif
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1); // read-only, perhaps from a read-only or network file system
    setenv("HDF5_PLUGIN_PRELOAD", "::", 1);      // no filters from elsewhere
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = argc == 4 ? open_part(argv[1], argv[2], argv[3]) : H5Fopen(argv[1], H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0)
        stop("HDF5 cannot open it: damaged or cut short");
    limit(RLIMIT_NOFILE, 0); // from here on no link and no dataset can open another file
    file_list(file);
    if (fflush(stdout) != 0)
        return 4;
    _Exit(0); // HDF5's own tidying of a hostile file is a risk without a use
}
