// data/fingerprint.h: what two versions of one picture share, and finding such pairs.
#pragma once

#include "data/data.h"

enum { FINGERPRINT_SIDE = 16 };
struct fingerprint {
    uint64_t hash;                                       // signs of low frequencies
    uint8_t grey[FINGERPRINT_SIDE * FINGERPRINT_SIDE];
    uint8_t state; // FINGERPRINT_*
};
enum { FINGERPRINT_NONE, FINGERPRINT_FLAT, FINGERPRINT_GOOD }; // not taken; nothing in it to compare
void fingerprint_take(const struct picture *p, struct fingerprint *out);
bool fingerprint_alike(const struct fingerprint *a, const struct fingerprint *b);

// Sets of samples that are the same picture: of the same content, or alike.
struct clusters {
    uint32_t *root;  // by sample: the first of its set; itself when alone
    bool *exact;     // by sample: its content is that of the root
};
// `content` NULL: only likeness; 0 in it: not known.
graft_status clusters_find(const struct fingerprint *prints, const uint64_t *content, size_t n, struct clusters *out);
void clusters_free(struct clusters *c);

// Across the parts of a data set, from what was loaded since dataset_prints_keep: pictures held out that look like one
// to train on, each with the first such.  *out: heap.
struct twins {
    uint32_t held_out, trained;
};
graft_status twins_find(const struct dataset *d, struct twins **out, size_t *n);
