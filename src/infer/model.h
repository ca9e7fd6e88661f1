// infer/model.h: a network with its weights, ready for plans: from a graft model, a weight file, or its publisher.
#pragma once

#include "base/json.h"
#include "exec/plan.h"
#include "zoo/zoo.h"

enum head_rule { HEAD_AUTO, HEAD_KEEP, HEAD_NEW };
enum predicting {
    PREDICT_AS_SAVED,
    PREDICT_MEAN,
    PREDICT_MAIN
}; // which heads of several: the file's word, else the network's
struct model_request {
    const char *network;  // -m, or NULL: the file decides
    const char *weights;  // a file, "imagenet" (published: from the caches, else downloaded), "none" (random)
    bool offline;         // "imagenet" never touches the network
    enum kernels kernels; // of a Keras file
    enum head_rule head;
    char *const *classes; // of the data; NULL: the file's own
    int n_classes;
    int size;             // 0: the file's, else the network's
    float dropout;        // negative: the network's
    float drop_path;      // of residual branches while training; 0: none
    int resize;           // enum resize_rule, or -1: the network's
    int freeze;           // rows; -1: all but the head
    const char *freeze_name;
    enum bn_mode bn;
    const float *aux_weights; // by auxiliary head of the network; NULL: its own
    int n_aux_weights;
    enum predicting predicting;
    uint64_t seed;
    const struct input_spec *array; // preprocessed arrays: the input they fix, or NULL
};
struct model {
    const struct network *network;
    struct graph graph;
    struct params params;
    struct input_spec input;
    char **classes;
    int n_classes;
    bool main_only; // of several heads that predict only the main one does
    char *source; // weights: file, or "none"
    bool checkpoint; // the file is a run's state, not its result
    char *trained; // JSON text: what a graft model file says of its training; NULL: nothing
};
graft_status model_open(const struct model_request *request, struct model *out);
void model_close(struct model *m);
// The values of a graft model file of the same network, classes and input into the parameters.
// The temperature that its training left in what the file says; 0: none.
double model_temperature(const struct model *m);
graft_status model_set_temperature(struct model *m, double temperature); // replaces it there (m->trained)
// The file says `trained` of its training from now on; all else in it stays as it is.  Atomic.
graft_status model_retell(const char *path, const char *trained);
// XXH64 of a safetensors file's tensors alone, whatever is said of them.  Read in pieces, so no memory is taken.
graft_status model_hash(const char *path, uint64_t *out);
graft_status model_reload(struct model *m, const char *path);
// The canonical tensors and graft's metadata, atomically.  `trained` (JSON text) describes the training; may be NULL.
graft_status model_save(const struct model *m, const char *path, const char *trained);
// For files that hold more: values laid out as the parameter block, of the trainable group alone or (`whole`) of all,
// whose tensors carry the parameters' names after a prefix.  Written in pieces, so that no second copy is in memory.
struct model_part { const char *prefix; const float *values; bool whole; };
graft_status model_write(const struct model *m, const char *path, const struct model_part *parts, int n_parts,
                         const json_t *meta, bool sealed);
graft_status model_metadata(const struct model *m, const char *trained, json_t **out);
// Optimizer slots in a checkpoint are named by this prefix; model_forget_slots drops them and the checksum, leaving the
// model.
#define MODEL_SLOT_PREFIX "optimizer."
void model_forget_slots(struct tensor_set *set);
