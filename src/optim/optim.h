// optim/optim.h: update rules on flat ranges of the parameter block, exactly Keras 3's or PyTorch's.
// The gradients of a step come entry by entry.  Each entry is updated at once, unless a norm over all of them
// (clip_norm) or a sum over several batches (accumulate) must be known first; then they are gathered.
#pragma once

#include "tensor/params.h"

enum rules { RULES_KERAS, RULES_TORCH };
struct optim_options {
    const char *name;          // a row of the table in optim.c: "sgd", "adam", "adamw", "rmsprop"
    enum rules rules;
    double momentum;           // sgd, rmsprop
    bool nesterov;             // sgd
    double beta1, beta2;       // adam, adamw
    double rho;                // rmsprop; PyTorch calls it alpha.  Negative: the rules' own, as with the next two
    double epsilon;            // all but sgd
    double weight_decay;       // decoupled (w -= rate decay w): Keras's rules, adamw; else coupled (g += decay w)
    bool decay_all;            // else neither biases nor BatchNorm decay
    double clip_norm, clip_value; // 0: none; the norm is over all gradients.  Before the decay
    int accumulate;            // batches an update, their gradients' mean over the pictures
};

enum { OPTIM_SLOTS = 2 };
struct rule_step;
struct optim_rule {
    const char *name;
    const char *slots[OPTIM_SLOTS]; // names in checkpoints; NULL: fewer
    void (*update[2])(const struct rule_step *step); // by enum rules
    double epsilon[2], rho[2], weight_decay[2];      // defaults
    bool decoupled[2];
};
const struct optim_rule *optim_rule_find(const char *name); // NULL: none
const char *const *optim_names(void);                       // NULL-ended

struct optim_entry {
    double scale;   // of the rate
    bool decays;
    bool gathered;  // since the last update
    uint64_t first; // updates before its first gradient; OPTIM_NEVER
};
#define OPTIM_NEVER UINT64_MAX
struct optimizer {
    struct optim_options options; // with the defaults put in
    const struct optim_rule *rule;
    struct params *params;
    float *slot[OPTIM_SLOTS]; // laid out as the trainable group
    float *gathered;          // the same; NULL: updates at once
    struct optim_entry *entries;
    double rate, momentum;    // of this step; momentum: beta1 of adam
    uint64_t updates;
    int batches, pictures;    // gathered since the last update
    int batch_pictures;       // of the present batch
};
graft_status optimizer_init(struct optimizer *o, const struct optim_options *options, struct params *params);
void optimizer_fini(struct optimizer *o); // a zeroed one is fine
size_t optimizer_blocks(const struct optim_options *options); // times the trainable group: what it will take in memory
// A step: begin, optimizer_gradient for each entry (a grad_ready hook; it may change the gradient), end.
void optimizer_begin(struct optimizer *o, double rate, double momentum, int pictures);
void optimizer_gradient(void *optimizer, struct gradient g);
void optimizer_end(struct optimizer *o);
void optimizer_flush(struct optimizer *o); // the end of an epoch: updates with the batches gathered, if there are any

// What a rule sees of one entry.  `g` is its to change.
struct rule_step {
    const struct optim_options *options;
    float *w, *g, *slot[OPTIM_SLOTS];
    size_t n;
    double rate, momentum;
    uint64_t t; // this update's number, from 1
};
void sgd_keras(const struct rule_step *s);
void sgd_torch(const struct rule_step *s);
void adam_keras(const struct rule_step *s);
void adam_torch(const struct rule_step *s);
void rmsprop_keras(const struct rule_step *s);
void rmsprop_torch(const struct rule_step *s);
