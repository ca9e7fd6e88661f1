// data/data.h: labelled pictures from any source, decoded, resized, split, and served in batches by a background queue.
#pragma once

#include "base/file.h"
#include "base/names.h"
#include "data/augment.h"
#include "zoo/zoo.h"

enum part { PART_TRAIN, PART_VAL, PART_TEST, PART_NONE, PART_PSEUDO }; // PSEUDO: data/pseudo.h
struct fingerprint; // data/fingerprint.h
struct picture_cache;
struct member;      // data/archive.h
struct archive;
struct sample {
    char *path; // as shown to people; arrays: "file#index"
    int label;  // -1: unlabelled
    enum part part;
    int group;        // of what must not be split (a person, a patient): groups[group - 1]; 0: none
    int copy;         // 0: the picture itself; k: its k-th version, the same in every epoch
    int round;        // of balancing: 0: always seen
    uint32_t origin;  // of a copy or a repeat: the sample it is one of
    const float *box;  // left, top, width, height as parts of the picture: all that is seen of it; NULL: the whole
    const float *soft; // (classes): the target in place of the label's; borrowed; NULL: none
    const void *data; // arrays: borrowed element; NULL: a file to decode
    const struct member *member; // the file is in an archive; NULL: it is not
};
struct dataset {
    struct sample *samples;
    size_t count, capacity;
    char **classes, **groups;
    int n_classes, n_groups;
    struct name_index class_names, group_names;
    bool numbered;                 // the source knows its classes by number only
    bool grouped;                  // some source has the column of groups
    int array_c, array_h, array_w; // arrays: the map of an element, else 0
    bool array_float;              // float32 (h, w, c), preprocessed already
    bool array_planar;             // uint8 (c, h, w): CIFAR; else (h, w, c)
    bool has_val, has_test;
    double shrink;                 // training decodes JPEGs no larger than this many times what is needed; 0: whole
    size_t balanced;               // pictures of every class an epoch; 0: as they are
    float *weights;                // by class, of the loss; NULL: 1
    uint32_t pseudo_share;         // millionths of every stretch of an epoch that are PART_PSEUDO
    struct picture_cache *cache;   // of decoded pictures; NULL: none
    struct fingerprint *prints;    // by sample, filled as files are loaded; NULL: not wanted
    void **owned;                  // heap blocks the samples borrow
    size_t n_owned, owned_capacity;
    struct file_map *maps;         // files the samples borrow
    size_t n_maps, map_capacity;
    struct archive **archives;
    size_t n_archives, archive_capacity;
};
struct data_options {
    const char *const *paths; // one set together
    int n_paths;
    int num_classes;            // 0: as many as the data has
    const char *const *classes; // matched by name, or NULL: the data's own, sorted
    int n_classes;
    const char *classes_from;   // who says so, for messages; NULL: the model
    const char *group;          // CSV's column of groups; NULL: group or subject; "none": there are none
};
// A path is a folder per class, train/ val/ test/ of such, a .tar or .zip of either, a CSV (or a folder with State
// Farm's), a folder of IDX, CIFAR or x.npy and y.npy, or an .npz.  Arrays go together only with arrays of the same
// shape.
graft_status dataset_open(const struct data_options *options, struct dataset *out);
void dataset_free(struct dataset *d);
graft_status class_list_read(const char *path, char ***out, int *n); // a name a line; heap: names and the list
// A .npy of float32 (n, h, w, c), preprocessed, as unlabelled samples that borrow `map` (the caller closes it).
graft_status array_open(const char *path, struct file_map *map, struct dataset *out);
// What a .npy of float32 (n, width) begins with; its rows follow.
graft_status npy_head_write(struct file_writer *w, size_t n, int width);
// Unlabelled pictures: files, folders (with the folders in them), archives, CSVs with a column of paths.
graft_status inputs_open(const char *const *paths, size_t n, struct dataset *out);
// The same with the groups of CSVs; `group` as in data_options.
graft_status inputs_open_grouped(const char *const *paths, size_t n, const char *group, struct dataset *out);
graft_status inputs_add(const char *path, struct dataset *out); // appends

// `val`: "0.2" a fraction, "100" a count, "0" none, NULL: 0.2 if the data has no validation part.  Stratified, keyed by
// `seed`, whole groups where samples name them; a count takes the first of the test part where the format has one (IDX,
// CIFAR), "keep": as the parts are.  A validation part that the data have stays, unless "0".  `limit` > 0: the first n
// training samples, taken after the split.
graft_status dataset_split(struct dataset *d, const char *val, long limit, uint64_t seed);
// The parts as a run's split.csv says.  Pictures are matched by path or, when none is, by folder and name; those that
// only one side knows are counted in a warning; another label is an error.
graft_status dataset_split_read(struct dataset *d, const char *path);
// The same for a run that goes on, whose data may have changed: who was trained on is never validated.  Pictures that
// split.csv does not know go with their group, else where the data have them (a validation part), else into training
// up to `limit`; another label is no error here.  matched = 0: the data have none of its pictures, and stay as they
// were.
struct split_kept {
    size_t matched, val_gone;      // val_gone: validated then, and not there any more
    size_t n_new[PART_PSEUDO + 1]; // by part
};
graft_status dataset_split_keep(struct dataset *d, const char *path, long limit, struct split_kept *out);
// Fails, naming groups, when one has pictures in two parts.
graft_status dataset_groups_check(const struct dataset *d);
// K versions of every training picture beside it, to be augmented alike in every epoch.
graft_status dataset_copies(struct dataset *d, int copies);
// Small classes are seen again until every class has as many pictures an epoch as the largest; which ones are seen once
// more than the others changes with the epoch.  After dataset_copies.
graft_status dataset_balance(struct dataset *d);
// `rule`: "balanced" (n / (classes * n of the class)) or a CSV of class,weight.
graft_status dataset_weights(struct dataset *d, const char *rule);
// What an epoch trains on, shuffled: a function of (seed, epoch) alone.  order: (dataset_order_most).
size_t dataset_order_most(const struct dataset *d);
graft_status dataset_order(const struct dataset *d, uint64_t seed, uint64_t epoch, uint32_t *order, size_t *n);
// From now on loading a picture leaves its fingerprint: near duplicates across the parts are found without reading
// twice.
graft_status dataset_prints_keep(struct dataset *d);
// Every training sample's fold 0..k-1, -1 for the others; stratified, whole groups, keyed by `seed`.  fold: (count).
graft_status dataset_folds(const struct dataset *d, int k, uint64_t seed, int *fold);
void dataset_fold_use(struct dataset *d, const int *fold, int held_out); // that fold is the validation part

// What a picture's file held before it became 8-bit RGB.
enum trait {
    TRAIT_GREY = 1, TRAIT_CMYK = 2, TRAIT_PALETTE = 4, TRAIT_ALPHA = 8, TRAIT_DEEP = 16, // over 8 bits a channel
    TRAIT_BILEVEL = 32, TRAIT_ANIMATED = 64, TRAIT_TURNED = 128 // by its EXIF orientation
};
struct picture {
    uint8_t *rgb; // (h, w, 3), heap
    int w, h;
    int full_w, full_h; // before it was shrunk while decoding; 0: w, h
    unsigned traits;
    const char *format; // "JPEG"; NULL: not decoded from a file
};
// Decodes a picture (JPEG, PNG, WebP, GIF, BMP: by content, whatever its name) to 8-bit RGB, upright by its EXIF
// orientation, alpha dropped, of an animation the first frame.  Fails naming the file and the damage; never a part.
graft_status picture_read(const char *path, bool icc, struct picture *out); // icc: as input_spec has it
graft_status picture_decode(bytes data, const char *name, struct picture *out);
void picture_free(struct picture *p);
// Pillow's anti-aliased resize, within 1 of 255.
graft_status picture_resize(const struct picture *src, int w, int h, enum filter filter, struct picture *out);
// Fails where colour profiles are to be converted and this build cannot.
graft_status profiles_check(const struct input_spec *spec);
// What enters the network: resized and cropped by the rule, (x - mean) * scale; dst (3, size, size), b g r when asked.
graft_status picture_prepare(const struct picture *src, const struct input_spec *spec, float *dst);
// Tells whether a picture changed: of a file its size and time of change, of an array's element its bytes.  0: not
// there.
uint64_t sample_stamp(const struct dataset *d, size_t index);
// How an epoch's pictures are changed; a pure function of (seed, epoch, sample).
struct augmentation {
    const struct augment *augment;
    uint64_t seed, epoch;
    bool fixed; // originals stay as they are, copies change, but not with the epoch
    bool alike; // every picture of an epoch draws the same numbers
};
graft_status picture_augment(const struct picture *src, const struct input_spec *spec, const struct augmentation *how,
                             uint64_t sample, float *dst);
// The file of a sample that has one, whole in memory.
graft_status sample_open(const struct dataset *d, size_t index, struct file_map *out);
// Decoded, resized pictures in memory (`folder` NULL) or in a folder, up to `most` bytes (0: half of the memory that is
// left, or 20 GiB), for `count` samples of which training ones are magnified up to `zoom` times.  Put into a dataset's
// `cache`, which frees it.
graft_status picture_cache_open(const char *folder, uint64_t most, double zoom, size_t count,
                                struct picture_cache **out);
void picture_cache_close(struct picture_cache *c); // NULL is fine
double augment_zoom(const struct augment *a);      // how far it magnifies at most, as far as the cache goes along
// What augmentation draws by: of an original its index; of its copies and repeats the same wherever they stand, so
// that folds, whose training parts differ, make the same copies.
uint64_t sample_number(const struct dataset *d, size_t index);
// One sample whatever its source, but for float arrays, as a picture; whole.
graft_status sample_picture(const struct dataset *d, size_t index, struct picture *out);
// What enters the network, into dst (c, size, size).  `how` NULL: as in evaluation; else as in training, which may
// shrink while decoding, even where nothing is to change.  Float arrays never change.
graft_status sample_load(const struct dataset *d, size_t index, const struct input_spec *spec,
                         const struct augmentation *how, float *dst);

// Batches in order, prepared by worker threads two ahead.  `order` lists sample indices (borrowed).  A sample that
// fails is left out, reported in `failed`, and the next one takes its place: every batch but the last is full.  A batch
// stands for the next n + n_failed entries of `order`.  GRAFT_BAD_FILE where float arrays are not of the spec's size.
struct failed_sample {
    uint32_t index;
    char *message;
};
struct batch {
    float *input;          // (n, c, size, size)
    const uint32_t *index; // n samples
    int n;
    struct failed_sample *failed;
    int n_failed;
};
struct queue;
graft_status queue_new(const struct dataset *d, const struct input_spec *spec, const struct augmentation *how,
                       const uint32_t *order, size_t n, int batch, int workers, struct queue **out);
graft_status queue_next(struct queue *q, struct batch *out, bool *end); // valid until the next call
double queue_work_seconds(struct queue *q); // processor time that its workers took so far
void queue_free(struct queue *q);
// Rows of probabilities (n, classes) for the loss, (1 - smoothing) of the label, or of a sample's `soft`, and
// `smoothing` spread over all, times the weight of the label's class; then mixup and cutmix, which change the batch's
// pictures and targets.
void batch_targets(const struct dataset *d, int classes, double smoothing, const struct batch *b, float *targets);
void batch_mix(const struct augmentation *how, int size, int classes, struct batch *b, float *targets);

// A contact sheet of `rows` samples, classes in turn: as evaluation sees them, then as the first `columns` epochs
// would.
graft_status sheet_make(const struct dataset *d, const struct input_spec *spec, const struct augmentation *how,
                        int rows, int columns, struct picture *out);
