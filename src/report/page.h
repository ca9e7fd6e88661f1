// report/page.h: private to report/: the figures of a run, and the sections of its page.
#pragma once

#include "infer/metrics.h"
#include "infer/mistakes.h"
#include "base/html.h"
#include "report/run_data.h"
#include "report/stats.h"

// One class among the validation pictures.
struct class_row {
    size_t own, predicted, right;
    double precision, recall, f1;
};
struct figures {
    size_t n, right1, right5;
    struct metrics m;
    double temperature, calm_ece, calm_loss; // fitted on these pictures, and what it makes of them; 0: none
    double ece, brier, macro_f1;             // macro: over classes that have pictures
    struct interval top1, top5, loss, brier_range;
    double *losses; // (n), each picture's
    struct class_row *classes;
    struct mistake *mistakes;
    size_t n_mistakes;
    struct confused_pair *pairs;
    size_t n_pairs;
    struct calibration_bin bins[CALIBRATION_BINS];
};
graft_status figures_make(const struct run_data *d, struct figures *out); // all zero without validation
void figures_free(struct figures *f);

struct page {
    struct text text;
    const struct run_data *run;
    const struct figures *figures;
    json_t *defaults; // of options; NULL: not known
    bool pictures_kept; // of mistakes
};
extern const char *const report_style;
void page_begin(struct text *t, const char *title);
graft_status page_end(struct text *t, const char *path); // writes it
void page_interval(struct text *t, struct interval i, bool share);
void page_section(struct text *t, const char *id, const char *title);
void page_scroll(struct text *t, const char *name); // a box that scrolls sideways, by keyboard too; ends with </div>

void section_curves(struct page *p);
void section_confusion(struct page *p);
void section_classes(struct page *p);
void section_trust(struct page *p);
graft_status section_mistakes(struct page *p);
graft_status section_training(struct page *p);
void section_skipped(struct page *p);
void section_time(struct page *p);
void section_repeat(struct page *p);
// The command that makes the run again, as a shell takes it, without what is so by itself (`defaults`, or NULL).
void repeat_command(struct text *t, const struct run_data *d, const json_t *defaults);
