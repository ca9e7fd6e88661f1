// report/svg.h: a line chart in SVG: axes with round ticks, lines named at their ends, points that say their values.
// Colours are classes of the page's style, so a chart follows light and dark.
#pragma once

#include "base/html.h"

enum chart_unit { UNIT_PLAIN, UNIT_SHARE };
struct chart_values {
    const double *y;
    size_t n;
};
struct chart_spec {
    const char *id; // unique in the page: the title's and the description's ids come from it
    const char *title, *description, *x_name;
    double x0, x1;
    bool whole;                     // x counts something: whole ticks only
    bool powers;                    // x is the logarithm of what is shown: ticks at powers of ten
    const struct chart_values *fit; // what the range must hold, ended by {NULL}; NANs are left out
    enum chart_unit unit;
    double mark; // x of a thin upright line; NAN: none
    const char *mark_name;
};
enum { CHART_SERIES = 8 };
struct chart {
    struct text *out;
    const struct chart_spec *spec;
    double y0, y1;
    struct {
        double x, y;
        const char *name;
        int series;
    } ends[CHART_SERIES];
    int n_ends;
};
void chart_begin(struct chart *c, struct text *out, const struct chart_spec *spec);
// `series` chooses colour and dashes; `points`: each a dot with its value; `name` NULL: unnamed and faint.
void chart_line(struct chart *c, const double *x, const double *y, size_t n, int series, const char *name, bool points);
void chart_end(struct chart *c);
double round_step(double span, int most); // 1, 2 or 5 times a power of ten: at most `most` steps over the span
