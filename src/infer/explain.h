// infer/explain.h: Grad-CAM: which part of a picture speaks for a class.
#pragma once

#include "data/data.h"
#include "infer/model.h"

struct explainer;
// GRAFT_BAD_OPTION when the map that enters the head is a single place, so that there is nothing to show.
graft_status explainer_check(const struct model *m);
// Of that map.  `arena` is shared with other plans of `m` and grows if it must.
graft_status explainer_new(struct model *m, struct arena *arena, int batch, struct explainer **out);
void explainer_free(struct explainer *e);
int explainer_batch(const struct explainer *e);
void explainer_map(const struct explainer *e, int *h, int *w);
// heat (batch, h, w) of input (batch, 3, size, size): 0 to 1, all 0 where nothing speaks for the class.  A class of -1
// is the likeliest; it is put in its place.  probabilities (batch, classes), or NULL.
graft_status explainer_run(struct explainer *e, const float *input, int *classes, float *heat, float *probabilities);

// What the network saw, as a picture again.  `stretch`: values of unknown range (arrays), the least to black, the most
// to white.
graft_status picture_of_input(const float *input, const struct input_spec *spec, bool stretch, struct picture *out);
// The picture in grey under the heat's colours: black, purple, red, orange, light yellow.
// `part` (left, top, width, height): where in the picture the heat lies, the rest stays as it is; NULL: everywhere.
graft_status picture_with_heat(const struct picture *p, const float *heat, int h, int w, const double *part,
                               struct picture *out);
void picture_frame(struct picture *p, const double *box); // a green line around that part of it
