// report/section_curves.c: loss, accuracy and rate over the epochs, and the same as a table.

#include "base/memory.h"
#include "report/page.h"
#include "report/svg.h"
#include <math.h>
#include <string.h>

enum { MOST_POINTS = 400, DOTS = 30 }; // of a line of steps; epochs that still get a dot each

struct curves {
    double *epoch, *train, *val, *top1, *top5, *rate; // by epoch
    size_t n;
    double *at, *step_loss, *step_rate; // by step, averaged where there are many
    size_t n_steps;
};

static graft_status curves_make(const struct run_data *d, struct curves *c)
{
    const size_t group = d->n_steps / MOST_POINTS + 1;
    c->n = (size_t)d->n_epochs;
    c->n_steps = (d->n_steps + group - 1) / group;
    double *block = mem_zero(6 * c->n + 3 * c->n_steps + 1, sizeof *block);
    if (block == NULL)
        return fail_memory("the curves");
    double **const lines[] = {&c->epoch, &c->train, &c->val, &c->top1, &c->top5, &c->rate};
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        *lines[i] = block + i * c->n; // epoch owns the block
    c->at = block + 6 * c->n;
    c->step_loss = c->at + c->n_steps;
    c->step_rate = c->step_loss + c->n_steps;
    for (size_t i = 0; i < c->n; i++) {
        const struct epoch_row *e = &d->epochs[i];
        c->epoch[i] = e->epoch;
        c->train[i] = e->train_loss;
        c->val[i] = e->log_loss;
        c->top1[i] = e->top1;
        c->top5[i] = e->top5;
        c->rate[i] = e->rate;
    }
    for (size_t i = 0; i < c->n_steps; i++) {
        const size_t end = (i + 1) * group < d->n_steps ? (i + 1) * group : d->n_steps, n = end - i * group;
        for (size_t k = i * group; k < end; k++) {
            c->at[i] += d->steps[k].at / (double)n;
            c->step_loss[i] += d->steps[k].loss / (double)n;
            c->step_rate[i] += d->steps[k].rate / (double)n;
        }
    }
    return GRAFT_OK;
}

static void figure_begin(struct text *t, const char *title)
{
    html_put(t, "<figure>\n<figcaption>%s</figcaption>\n", title);
}

static void loss_chart(struct text *t, const struct run_data *d, const struct curves *c, const struct chart_spec *axes)
{
    struct chart_spec spec = *axes;
    struct chart chart;
    const bool validated = d->best >= 0 && d->epochs[d->best].validated;
    char description[256];
    const struct epoch_row *first = &d->epochs[0], *last = &d->epochs[c->n - 1];
    int used = snprintf(description, sizeof description, "Training loss from %.3f to %.3f", first->train_loss,
                        last->train_loss);
    if (validated)
        snprintf(description + used, sizeof description - (size_t)used,
                 ", validation log-loss from %.3f to %.3f, lowest %.3f at "
                 "epoch %d",
                 first->log_loss, last->log_loss, d->epochs[d->best].log_loss, d->epochs[d->best].epoch);
    spec.id = "loss";
    spec.title = "Loss by epoch";
    spec.description = description;
    spec.fit = (const struct chart_values[]){{c->train, c->n}, {c->val, c->n}, {c->step_loss, c->n_steps}, {NULL, 0}};
    figure_begin(t, "Loss");
    chart_begin(&chart, t, &spec);
    if (c->n_steps > 0)
        chart_line(&chart, c->at, c->step_loss, c->n_steps, 0, NULL, false);
    chart_line(&chart, c->epoch, c->train, c->n, 0, "training", c->n <= DOTS);
    if (validated)
        chart_line(&chart, c->epoch, c->val, c->n, 1, "validation", c->n <= DOTS);
    chart_end(&chart);
    html_put(t, "</figure>\n");
}

static void accuracy_chart(struct text *t, const struct run_data *d, const struct curves *c,
                           const struct chart_spec *axes)
{
    struct chart_spec spec = *axes;
    struct chart chart;
    const bool five = d->n_classes > 5;
    char description[160];
    snprintf(description, sizeof description,
             "Top-1 accuracy on validation pictures from %.1f %% to %.1f %%, best epoch %.1f %%", c->top1[0] * 100,
             c->top1[c->n - 1] * 100, d->epochs[d->best].top1 * 100);
    spec.id = "accuracy";
    spec.title = "Validation accuracy by epoch";
    spec.description = description;
    spec.unit = UNIT_SHARE;
    spec.fit = (const struct chart_values[]){{c->top1, c->n}, {c->top5, five ? c->n : 0}, {NULL, 0}};
    figure_begin(t, "Validation accuracy");
    chart_begin(&chart, t, &spec);
    chart_line(&chart, c->epoch, c->top1, c->n, 1, "top-1", c->n <= DOTS);
    if (five)
        chart_line(&chart, c->epoch, c->top5, c->n, 2, "top-5", c->n <= DOTS);
    chart_end(&chart);
    html_put(t, "</figure>\n");
}

static void rate_chart(struct text *t, const struct curves *c, const struct chart_spec *axes)
{
    struct chart_spec spec = *axes;
    struct chart chart;
    const bool steps = c->n_steps > 0;
    const double *x = steps ? c->at : c->epoch, *y = steps ? c->step_rate : c->rate;
    const size_t n = steps ? c->n_steps : c->n;
    char description[128];
    snprintf(description, sizeof description, "Learning rate from %.3g to %.3g", y[0], y[n - 1]);
    spec.id = "rate";
    spec.title = "Learning rate by epoch";
    spec.description = description;
    spec.fit = (const struct chart_values[]){{y, n}, {NULL, 0}};
    spec.mark = NAN;
    figure_begin(t, "Learning rate");
    chart_begin(&chart, t, &spec);
    chart_line(&chart, x, y, n, 1, "rate", n <= DOTS);
    chart_end(&chart);
    html_put(t, "</figure>\n");
}

static void cell(struct text *t, int digits, double value)
{
    if (isfinite(value))
        text_put(t, "<td>%.*f</td>", digits, value);
    else
        text_put(t, "<td>&ndash;</td>");
}

static void epoch_table(struct text *t, const struct run_data *d)
{
    html_put(t, "<details>\n<summary>The epochs as a table</summary>\n");
    page_scroll(t, "Epochs");
    html_put(t, "<table>\n<thead><tr><th scope=\"col\">Epoch</th><th scope=\"col\">Training loss</th><th "
                "scope=\"col\">Validation log-loss</th><th scope=\"col\">Top-1</th><th scope=\"col\">Top-5</th><th "
                "scope=\"col\">Rate</th><th scope=\"col\">Seconds</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < d->n_epochs; i++) {
        const struct epoch_row *e = &d->epochs[i];
        html_put(t, "<tr><th scope=\"row\">%d%s</th>", e->epoch, i == d->best && e->validated ? ", best" : "");
        cell(t, 4, e->train_loss);
        cell(t, 4, e->log_loss);
        cell(t, 4, e->top1);
        cell(t, 4, e->top5);
        html_put(t, "<td>%.4g</td>", e->rate);
        cell(t, 1, e->seconds);
        html_put(t, "</tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</div>\n</details>\n");
}

void section_curves(struct page *p)
{
    const struct run_data *d = p->run;
    struct curves c = {0};
    page_section(&p->text, "curves", "Curves");
    if (d->n_epochs == 0)
        html_put(&p->text, "<p>No epoch has ended yet.</p>\n");
    else if (curves_make(d, &c) != GRAFT_OK)
        p->text.broken = true;
    else {
        const bool validated = d->best >= 0 && d->epochs[d->best].validated;
        const struct chart_spec axes = {.x_name = "epoch",
                                        .x0 = c.n_steps > 0 ? 0 : c.epoch[0],
                                        .x1 = c.epoch[c.n - 1],
                                        .whole = true,
                                        .mark = validated ? d->epochs[d->best].epoch : NAN,
                                        .mark_name = "best"};
        html_put(&p->text, "<div class=\"charts\">\n");
        loss_chart(&p->text, d, &c, &axes);
        if (validated)
            accuracy_chart(&p->text, d, &c, &axes);
        rate_chart(&p->text, &c, &axes);
        html_put(&p->text, "</div>\n");
        epoch_table(&p->text, d);
    }
    mem_free(c.epoch);
    html_put(&p->text, "</section>\n");
}
