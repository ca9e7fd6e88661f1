// train/media.h: the pictures that a report shows, left in RUN/media/: the first batch as it entered the network, and
// the best epoch's most confident mistakes with what spoke for them (Grad-CAM). They may cost 1 % of the run's time and
// never fail a run: what goes wrong is a warning, once.
#pragma once

#include "data/data.h"
#include "infer/explain.h"

enum { MEDIA_MOST = 48 };
enum { MEDIA_FIRST = 100 }; // seconds from the start: writing takes about one
struct media {
    const char *folder; // of the run; NULL: nothing is kept
    struct model *model;
    const struct dataset *data;
    struct arena *arena;
    struct explainer *explainer;
    bool asked, broken; // asked: for the explainer, which not every input size has
    struct {
        uint32_t index;
        int predicted;
    } chosen[MEDIA_MOST];
    int n_chosen;
    bool stale;  // the chosen are not written yet
    double next; // when they may be
};
void media_batch(struct media *m, const struct batch *b);
// The model's weights are those of a new best epoch, with these predictions.
void media_best(struct media *m, const uint32_t *index, const int *labels, const float *probabilities, size_t n);
// Writes what is still owed, by the weights in the file: the model's own are replaced.
void media_end(struct media *m, const char *best_model);
void media_fini(struct media *m);
