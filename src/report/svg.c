// report/svg.c: line charts.  Units are pixels at the width a phone gives the chart, so texts stay readable there.

#include "report/svg.h"
#include <math.h>
#include <string.h>

enum { WIDTH = 360, HEIGHT = 216, LEFT = 46, RIGHT = 66, TOP = 18, BOTTOM = 36, LINE = 13 };
enum { PLOT_W = WIDTH - LEFT - RIGHT, PLOT_H = HEIGHT - TOP - BOTTOM };

double round_step(double span, int most)
{
    const double raw = span / most, power = pow(10, floor(log10(raw)));
    const double ratio = raw / power;
    return power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
}

static double place_x(const struct chart *c, double x)
{
    const double span = c->spec->x1 - c->spec->x0;
    return LEFT + (span > 0 ? (x - c->spec->x0) / span : 0.5) * PLOT_W;
}
static double place_y(const struct chart *c, double y) { return TOP + (c->y1 - y) / (c->y1 - c->y0) * PLOT_H; }

static void put_value(struct text *out, enum chart_unit unit, double value, double step)
{
    if (unit == UNIT_SHARE)
        text_put(out, "%.*f%%", step * 100 < 1 ? 1 : 0, value * 100);
    else
        text_put(out, "%.6g", fabs(value) < step / 1e6 ? 0 : value);
}

// A range that holds all values, ended by round steps; never empty.
static double range_find(struct chart *c)
{
    double low = INFINITY, high = -INFINITY;
    for (const struct chart_values *v = c->spec->fit; v->y != NULL; v++)
        for (size_t i = 0; i < v->n; i++)
            if (isfinite(v->y[i])) {
                low = fmin(low, v->y[i]);
                high = fmax(high, v->y[i]);
            }
    if (low > high)
        low = 0, high = 1;
    if (high - low <= 0.002 * fabs(high)) { // as good as flat: ticks for its noise would mislead
        low -= fabs(low) * 0.1 + 1e-9;
        high += fabs(high) * 0.1 + 1e-9;
    }
    double step = round_step(high - low, 5);
    c->y0 = floor(low / step + 1e-9) * step;
    c->y1 = ceil(high / step - 1e-9) * step;
    if (c->spec->unit == UNIT_SHARE && c->y1 > 1)
        c->y1 = 1;
    return step;
}

static void axis_y(const struct chart *c, double step)
{
    for (double y = c->y0; y <= c->y1 + step / 2; y += step) {
        const double at = place_y(c, y);
        html_put(c->out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT, LEFT + PLOT_W, at,
                 at);
        html_put(c->out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 6, at + 4);
        put_value(c->out, c->spec->unit, y, step);
        html_put(c->out, "</text>");
    }
}

static void axis_x(const struct chart *c)
{
    const double span = c->spec->x1 - c->spec->x0;
    double step = span > 0 ? round_step(span, 6) : 1;
    if ((c->spec->whole || c->spec->powers) && step < 1)
        step = 1;
    for (double x = ceil(c->spec->x0 / step - 1e-9) * step; x <= c->spec->x1 + step / 1e6; x += step)
        html_put(c->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s%g</text>", place_x(c, x),
                 TOP + PLOT_H + 16, c->spec->powers ? "1e" : "", fabs(x) < step / 1e6 ? 0 : x);
    html_put(c->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", LEFT + PLOT_W / 2.0, HEIGHT - 4,
             c->spec->x_name);
}

void chart_begin(struct chart *c, struct text *out, const struct chart_spec *spec)
{
    *c = (struct chart){.out = out, .spec = spec};
    const double step = range_find(c);
    html_put(out, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s-t %s-d\">", WIDTH,
             HEIGHT, spec->id, spec->id);
    html_put(out, "<title id=\"%s-t\">%s</title><desc id=\"%s-d\">%s</desc>\n", spec->id, spec->title, spec->id,
             spec->description);
    axis_y(c, step);
    axis_x(c);
    if (isfinite(spec->mark)) {
        const double x = place_x(c, spec->mark);
        html_put(out, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, TOP, TOP + PLOT_H);
        const bool right = x < LEFT + PLOT_W / 2.0;
        html_put(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>", x + (right ? 4 : -4), TOP - 6,
                 right ? "start" : "end", spec->mark_name);
    }
}

void chart_line(struct chart *c, const double *x, const double *y, size_t n, int series, const char *name, bool points)
{
    bool down = false;
    size_t last = n;
    html_put(c->out, "<path class=\"s%d%s\" d=\"", series, name == NULL ? " faint" : "");
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i])) {
            down = false;
            continue;
        }
        html_put(c->out, "%s%.1f %.1f", down ? "L" : "M", place_x(c, x[i]), place_y(c, y[i]));
        down = true;
        last = i;
    }
    html_put(c->out, "\"/>\n");
    for (size_t i = 0; points && i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i])) {
            html_put(c->out, "<circle class=\"p%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.8\"><title>%s %g: ", series,
                     place_x(c, x[i]), place_y(c, y[i]), c->spec->x_name, x[i]);
            put_value(c->out, c->spec->unit, y[i], 0.001);
            html_put(c->out, "</title></circle>");
        }
    if (name != NULL && last < n && c->n_ends < CHART_SERIES) {
        c->ends[c->n_ends].x = place_x(c, x[last]);
        c->ends[c->n_ends].y = place_y(c, y[last]);
        c->ends[c->n_ends].name = name;
        c->ends[c->n_ends++].series = series;
    }
}

// Names stand where their lines end, pushed apart where lines end close together.
static void names_place(struct chart *c)
{
    for (int i = 1; i < c->n_ends; i++)
        for (int k = i; k > 0 && c->ends[k - 1].y > c->ends[k].y; k--) {
            const typeof(c->ends[0]) kept = c->ends[k];
            c->ends[k] = c->ends[k - 1];
            c->ends[k - 1] = kept;
        }
    for (int round = 0; round < CHART_SERIES * 2; round++)
        for (int i = 1; i < c->n_ends; i++) {
            const double lack = LINE - (c->ends[i].y - c->ends[i - 1].y);
            if (lack > 0 && fabs(c->ends[i].x - c->ends[i - 1].x) < RIGHT) {
                c->ends[i - 1].y -= lack / 2;
                c->ends[i].y += lack / 2;
            }
        }
}

void chart_end(struct chart *c)
{
    names_place(c);
    for (int i = 0; i < c->n_ends; i++)
        html_put(c->out, "<text class=\"t%d\" x=\"%.1f\" y=\"%.1f\">%.22s</text>", c->ends[i].series, c->ends[i].x + 7,
                 c->ends[i].y + 4, c->ends[i].name);
    html_put(c->out, "</svg>\n");
}
