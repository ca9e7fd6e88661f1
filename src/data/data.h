// data/data.h: labelled pictures from any source, decoded, resized, split, and served in batches by a background queue.
#pragma once

#include "zoo/zoo.h"

enum part { PART_TRAIN, PART_VAL, PART_TEST, PART_NONE };
struct sample {
    char *path;     // as shown to people; arrays: "file#index"
    int label;      // -1: unlabelled
    enum part part;
    const void *data; // arrays: borrowed element; NULL: a file to decode
};
struct dataset {
    struct sample *samples; size_t count, capacity;
    char **classes; int n_classes;
    int array_c, array_h, array_w; // arrays (else 0): raw elements of this map
    bool array_float;  // float32 (c, h, w order after load? no: h, w, c as stored), preprocessed already
    bool array_planar; // uint8 stored (c, h, w): CIFAR; else (h, w, c)
    bool has_val, has_test;
    void *owned;       // the room's own
};
struct data_options { const char *path; int num_classes; const char *const *classes; int n_classes; };
graft_status dataset_open(const struct data_options *options, struct dataset *out); // data_classes given: matched by name
void dataset_free(struct dataset *d);
// "0.2" a fraction, "100" a count, "0" none, NULL the default (0.2 if the data has no val part).  Stratified, keyed by
// seed.  `limit` > 0: the first n training samples, taken after the split.
graft_status dataset_split(struct dataset *d, const char *val, long limit, uint64_t seed);

// Decodes a picture file to 8-bit RGB, oriented.  Fails naming the file and the damage.
struct picture { uint8_t *rgb; int w, h; }; // (h, w, 3)
graft_status picture_read(const char *path, struct picture *out);
graft_status picture_decode(bytes data, const char *name, struct picture *out);
void picture_free(struct picture *p);
graft_status picture_resize(const struct picture *src, int w, int h, enum filter filter, struct picture *out);
graft_status picture_prepare(const struct picture *src, const struct input_spec *spec, float *dst); // dst (3, size, size)
// One sample whatever its source, into dst (c, size, size).
graft_status sample_load(const struct dataset *d, size_t index, const struct input_spec *spec, float *dst);

// Batches in order, prepared by worker threads.  `order` lists sample indices (borrowed).  A sample that fails is left
// out of its batch and reported through batch.failed; with `keep_last` false nothing changes but the last partial batch.
struct batch { float *input; const uint32_t *index; int n; struct { uint32_t index; char *message; } *failed; int n_failed; };
struct queue;
graft_status queue_new(const struct dataset *d, const struct input_spec *spec, const uint32_t *order, size_t n, int batch,
                       int workers, struct queue **out);
graft_status queue_next(struct queue *q, struct batch *out, bool *end); // valid until the next call; failed samples: message set
void queue_free(struct queue *q);
