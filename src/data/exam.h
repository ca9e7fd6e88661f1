// data/exam.h: every picture of a data set decoded once and looked at; what was found.
#pragma once

#include "base/json.h"
#include "data/fingerprint.h"

struct exam {
    char *error;         // heap; NULL: it can be read
    const char *format;  // "JPEG"; NULL: an array, or not read
    uint64_t content;    // hash of the file's or the element's bytes; 0: not known
    uint64_t bytes;
    int w, h;
    unsigned traits;
    float mean[3], deviation[3]; // of the pixels, 0..255
    struct fingerprint print;    // files only: digits of one class are alike by nature
};
// Decodes all on `workers` threads; reports progress as "read".  *out: an exam a sample.
graft_status exams_make(const struct dataset *d, int workers, struct exam **out);
void exams_free(struct exam *exams, size_t n);

// {"pictures", "broken", "classes": [...], "formats", "modes", "findings": [{"kind", "level", "text", "pictures" or
// "groups"}], ...}; `level` is error, warning or note.  Also what the pictures are like, for `graft data stats`.
graft_status findings_make(const struct dataset *d, const struct exam *exams, json_t **out);
// A self-contained page with thumbnails.
graft_status findings_page(const struct dataset *d, const json_t *findings, const char *title, const char *path);
// Moves what is broken to `folder`/CLASS/NAME; nothing is overwritten.  quarantine.csv in it says where each was and
// why. *moved counts; what cannot be moved is a warning.
graft_status quarantine(const struct dataset *d, const struct exam *exams, const char *folder, size_t *moved);
