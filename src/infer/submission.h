// infer/submission.h: predictions in the shape of a contest's sample: its header, its rows, its order.
// Grammar of a sample:  header: id class...;  rows in any order, of which only the id counts.  A sample of two columns
// whose second is no class wants the likeliest class's name there.  An id is a picture's path, its file name, or that
// without the extension.
#pragma once

#include "data/data.h"

struct submission {
    char *file; // the sample's, for messages
    char **header, **id;
    int n_columns;
    size_t n;
    int *class_of;     // of a column after the first; NULL: the name of the likeliest
    int *row_of;       // by sample of the data set; -1: not asked for
    float *p;          // (n, classes)
    bool *filled;      // (n)
    char *const *classes;
    int n_classes;
    size_t header_capacity, id_capacity;
};
// Reads it and finds a picture for every row.  GRAFT_BAD_FILE names what is missing, unknown or there twice; pictures
// that no row asks for are a warning.
graft_status submission_open(const char *file, char *const *classes, int n_classes, const struct dataset *d,
                             struct submission *out);
void submission_put(struct submission *s, uint32_t index, const float *p);
// Atomically; GRAFT_BAD_FILE, naming them, when rows got no prediction.  clip: to [clip, 1 - clip]; 0: as they are.
graft_status submission_write(const struct submission *s, const char *path, double clip);
void submission_fini(struct submission *s); // a zeroed one is fine
