// api/trained_on.h: private to api/: which runs are behind a model, and which pictures they were trained on.
#pragma once

#include "data/data.h"

// Calls `visit` with the folder of each run behind a model: its own, that of the model file, or of an ensemble's
// members.
graft_status runs_behind(const char *model, graft_status (*visit)(void *user, const char *folder), void *user);
// A warning for each run that was trained on some of these pictures, saying that `figure` flatters and where there is
// one that does not.
graft_status trained_on_tell(const char *model, const struct dataset *d, const uint32_t *order, size_t n,
                             const char *figure);
