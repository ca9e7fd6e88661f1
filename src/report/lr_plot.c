// report/lr_plot.c: the range test's curve as a picture of its own.

#include "report/lr_plot.h"
#include "base/file.h"
#include "base/memory.h"
#include "report/svg.h"
#include <math.h>
#include <stdio.h>

static const char style[] =
    "text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}path{fill:none;stroke-width:2}.s0{stroke:#1f6feb}"
    ".faint{stroke-width:1;opacity:.45}.mark{stroke:#c2410c;stroke-dasharray:4 3}.t0{fill:#1f6feb}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}.s0{stroke:#79b8ff}.t0{fill:#79b8ff}"
    ".mark{stroke:#fb923c}}";

graft_status lr_plot_write(const char *path, const double *rates, const double *losses, const double *smoothed, int n,
                           int suggested, double top)
{
    struct text t = {0};
    struct chart chart;
    char mark[48] = "", description[128] = "The loss never falls";
    double *x = mem_alloc(3 * ((size_t)n + 1) * sizeof *x), *shown, *each;
    if (x == NULL)
        return fail_memory("the plot");
    shown = x + n;
    each = shown + n;
    for (int i = 0; i < n; i++) {
        x[i] = log10(rates[i]);
        shown[i] = fmin(smoothed[i], top);
        each[i] = fmin(losses[i], top);
    }
    if (suggested >= 0) {
        snprintf(mark, sizeof mark, "%.1e", rates[suggested]);
        snprintf(description, sizeof description, "Rates from %.1e to %.1e; the suggested one is %.1e", rates[0],
                 rates[n - 1], rates[suggested]);
    }
    const struct chart_spec spec = {.id = "lr",
                                    .title = "Loss by learning rate",
                                    .description = description,
                                    .x_name = "learning rate",
                                    .x0 = x[0],
                                    .x1 = x[n - 1],
                                    .powers = true,
                                    .fit =
                                        (const struct chart_values[]){{shown, (size_t)n}, {each, (size_t)n}, {NULL, 0}},
                                    .mark = suggested >= 0 ? x[suggested] : NAN,
                                    .mark_name = mark};
    text_put(&t, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 360 216\" width=\"720\"><style>%s</style>\n",
             style);
    chart_begin(&chart, &t, &spec);
    chart_line(&chart, x, each, (size_t)n, 0, NULL, false);
    chart_line(&chart, x, shown, (size_t)n, 0, "loss", false);
    chart_end(&chart);
    text_put(&t, "</svg>\n");
    mem_free(x);
    return text_write(&t, path);
}
