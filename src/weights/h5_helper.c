// weights/h5_helper.c: the program graft-h5, the only code that links HDF5.  Lists a Keras .h5 file; reads no tensor.
// In: argv[1], a path.  Out: lines of JSON on standard output (grammar in h5.c); exit code 0, or 3 after "error".
// It trusts nothing: memory 1 GiB, 20 s of processor time, no file written, and once the file is open no other can be.
// Accepted: hard links only; contiguous, little-endian float16/32/64 datasets that lie in this file.
// Grammar:  attributes of the root or of /model_weights: layer_names = texts, keras_version, backend = text
//           group LAYER: weight_names = texts; dataset LAYER/WEIGHT, either part may contain slashes
//           texts: fixed or variable length; an attribute too long for HDF5 is split into NAME0, NAME1, ...
// Source:   Keras's legacy_h5_format; HDF5 1.10 reference manual.

#include <fcntl.h>
#include <hdf5.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#if defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#endif

enum { NAMES_LIMIT = 100 * 1000, TEXT_LIMIT = 64 << 20, SPLIT_LIMIT = 1000, PATH_LIMIT = 4096, RANK_LIMIT = 8 };

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
};

static void names_add(struct names *names, const char *text, size_t length, const char *attribute)
{
    if (names->count == NAMES_LIMIT || length == 0 || length >= PATH_LIMIT / 2)
        stop("attribute %s: a name is empty or longer than %d bytes, or there are over %d", attribute, PATH_LIMIT / 2,
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

static void dataset_list(hid_t dataset, const char *name)
{
    hsize_t dims[H5S_MAX_RANK];
    layout_check(dataset, name);
    hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    const char *dtype = type < 0 ? NULL : float_name(type);
    if (rank < 0 || rank > RANK_LIMIT || H5Sget_simple_extent_type(space) == H5S_NULL ||
        H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        stop("dataset '%s' is empty, damaged or has over %d dimensions", name, RANK_LIMIT);
    if (!dtype)
        stop("dataset '%s' does not hold little-endian float16, float32 or float64", name);
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

static json_t *text_attribute(hid_t object, const char *name)
{
    struct names texts = {0};
    if (H5Aexists(object, name) <= 0)
        return NULL;
    attribute_read(object, name, &texts);
    return texts.count == 1 ? json_string(texts.items[0]) : NULL;
}

static void limit(int resource, rlim_t value)
{
    struct rlimit limits = {value, value};
    if (setrlimit(resource, &limits) != 0)
        stop("cannot set the limits under which HDF5 files are opened");
}

static void file_list(hid_t file)
{
    struct names layers;
    hid_t root = file;
    int model = 0;
    if (!names_read(file, "layer_names", &layers)) {
        root = walk(file, "model_weights");
        model = root >= 0;
        if (!model && H5Aexists(file, "nb_layers") > 0)
            stop("this is the format of Keras 0.x (nb_layers); load and save it once with Keras 1.2 or 2");
        if (!model && (H5Lexists(file, "layers", H5P_DEFAULT) > 0 ||
                       H5Lexists(file, "_layer_checkpoint_dependencies", H5P_DEFAULT) > 0))
            stop("this is Keras 3's .weights.h5; save the model once more as .h5: model.save('x.h5')");
        if (!model || H5Iget_type(root) != H5I_GROUP || !names_read(root, "layer_names", &layers))
            stop("HDF5, but not Keras's: neither it nor /model_weights has the attribute layer_names");
    }
    json_t *version = text_attribute(root, "keras_version"), *backend = text_attribute(root, "backend");
    json_t *head = json_pack("{s:o, s:b}", "keras_version", version ? version : json_string("1"), "model", model);
    if (backend)
        json_object_set_new(head, "backend", backend);
    say(head);
    size_t count = 0;
    for (size_t i = 0; i < layers.count; i++) {
        count += layer_list(root, layers.items[i]);
        if (count > NAMES_LIMIT)
            stop("more than %d weights", NAMES_LIMIT);
    }
    say(json_pack("{s:I}", "end", (json_int_t)count));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: graft-h5 FILE.h5\nLists the weights of a Keras file for graft; not for people.\n");
        return 2;
    }
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    limit(RLIMIT_CPU, 20);
#ifndef SANITIZED // its shadow memory alone is terabytes of address space
    limit(RLIMIT_AS, (rlim_t)1 << 30);
#endif
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1); // read-only, perhaps from a read-only or network file system
    setenv("HDF5_PLUGIN_PRELOAD", "::", 1);      // no filters from elsewhere
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = H5Fopen(argv[1], H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0)
        stop("HDF5 cannot open it: damaged or cut short");
    limit(RLIMIT_NOFILE, 0); // from here on no link and no dataset can open another file
    file_list(file);
    if (fflush(stdout) != 0)
        return 4;
    _Exit(0); // HDF5's own tidying of a hostile file is a risk without a use
}
