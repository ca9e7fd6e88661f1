// report/compare.c: runs side by side: figures, curves, the same pictures judged by two, the options that differ.

#include "base/memory.h"
#include "report/page.h"
#include "report/report.h"
#include "report/svg.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLASS_ROWS = 60 };

struct entry {
    struct run_data run;
    struct figures figures;
    const char *name; // the folder's, whole where two end alike
};
struct comparison {
    struct text text;
    struct entry *entries;
    size_t n;
    size_t best; // lowest log-loss; n: none was validated
    bool folds;  // all are folds: no picture is validated by two
};

static void best_find(struct comparison *c)
{
    c->best = c->n;
    for (size_t i = 0; i < c->n; i++) {
        struct entry *e = &c->entries[i];
        e->name = e->run.name;
        for (size_t k = 0; k < c->n; k++)
            if (k != i && strcmp(e->run.name, c->entries[k].run.name) == 0)
                e->name = e->run.folder;
        if (e->figures.n > 0 && (c->best == c->n || e->figures.m.log_loss < c->entries[c->best].figures.m.log_loss))
            c->best = i;
    }
}

static void runs_row(struct comparison *c, size_t i)
{
    const struct entry *e = &c->entries[i];
    const struct figures *f = &e->figures;
    const char *network = json_string_value(json_object_get(e->run.start, "network"));
    struct text *t = &c->text;
    double seconds = 0;
    for (int k = 0; k < e->run.n_epochs; k++)
        seconds += isfinite(e->run.epochs[k].seconds) ? e->run.epochs[k].seconds : 0;
    html_put(t, "<tr><th scope=\"row\">%s%s</th><td class=\"words\">%s</td><td>%d</td>", e->name,
             i == c->best && !c->folds ? ", best" : "", network != NULL ? network : "", e->run.n_epochs);
    if (f->n > 0) {
        html_put(t, "<td>%.1f&nbsp;%%<br/><small>", f->m.top1 * 100);
        page_interval(t, f->top1, true);
        html_put(t, "</small></td><td>%.3f<br/><small>", f->m.log_loss);
        page_interval(t, f->loss, false);
        html_put(t, "</small></td><td>%.3f</td><td>%.3f</td><td>%zu</td><td>", f->macro_f1, f->ece, f->n);
    } else
        html_put(t, "<td>&ndash;</td><td>&ndash;</td><td>&ndash;</td><td>&ndash;</td><td>0</td><td>");
    html_duration(t, seconds);
    html_put(t, "</td></tr>\n");
}

static void runs_table(struct comparison *c)
{
    struct text *t = &c->text;
    page_section(t, "figures", "Figures");
    page_scroll(t, "Figures");
    html_put(
        t,
        "<table>\n<thead><tr><th scope=\"col\">Run</th><th scope=\"col\" class=\"words\">Network</th><th scope=\"col\">"
        "Epochs</th><th scope=\"col\">Top-1</th><th scope=\"col\">Log-loss</th><th scope=\"col\">Macro F1</th><th "
        "scope=\"col\">ECE</th><th scope=\"col\">Pictures</th><th scope=\"col\">Time</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < c->n; i++)
        runs_row(c, i);
    html_put(t, "</tbody>\n</table>\n</div>\n<p class=\"soft\">Each run by its best epoch%s. Ranges are 95&nbsp;%% "
                "intervals (accuracy: Wilson; log-loss: bootstrap of pictures).%s</p>\n</section>\n",
             c->folds ? "" : "; the best run is the one of the lowest log-loss",
             c->folds ? ""
                      : " Where they overlap, look at the same pictures below before you call one run better.");
}

// By epoch, all runs in one chart.  `pick` gives the value.
static graft_status chart(struct comparison *c, const char *id, const char *title, enum chart_unit unit,
                          double (*pick)(const struct epoch_row *e))
{
    const size_t shown = c->n < CHART_SERIES ? c->n : CHART_SERIES;
    struct chart_values fit[CHART_SERIES + 1] = {{NULL, 0}};
    struct chart drawn;
    size_t total = 0, at = 0;
    int last = 1;
    for (size_t i = 0; i < shown; i++)
        total += (size_t)c->entries[i].run.n_epochs;
    double *x = mem_alloc((2 * total + 1) * sizeof *x), *y = x + total;
    if (x == NULL)
        return fail_memory("the curves");
    for (size_t i = 0; i < shown; i++) {
        const struct run_data *d = &c->entries[i].run;
        fit[i] = (struct chart_values){y + at, (size_t)d->n_epochs};
        for (int k = 0; k < d->n_epochs; k++, at++) {
            x[at] = d->epochs[k].epoch;
            y[at] = pick(&d->epochs[k]);
            last = d->epochs[k].epoch > last ? d->epochs[k].epoch : last;
        }
    }
    const struct chart_spec spec = {.id = id,
                                    .title = title,
                                    .description = "A line a run; the table above has the figures.",
                                    .x_name = "epoch",
                                    .x0 = 1,
                                    .x1 = last,
                                    .whole = true,
                                    .fit = fit,
                                    .unit = unit,
                                    .mark = NAN};
    html_put(&c->text, "<figure>\n<figcaption>%s</figcaption>\n", title);
    chart_begin(&drawn, &c->text, &spec);
    at = 0;
    for (size_t i = 0; i < shown; i++) {
        const size_t n = (size_t)c->entries[i].run.n_epochs;
        chart_line(&drawn, x + at, y + at, n, (int)i, c->entries[i].run.name, n <= 30);
        at += n;
    }
    chart_end(&drawn);
    html_put(&c->text, "</figure>\n");
    mem_free(x);
    return GRAFT_OK;
}

static double pick_loss(const struct epoch_row *e) { return e->log_loss; }
static double pick_top1(const struct epoch_row *e) { return e->top1; }
static double pick_train(const struct epoch_row *e) { return e->train_loss; }

static graft_status curves(struct comparison *c)
{
    page_section(&c->text, "curves", "Curves");
    if (c->n > CHART_SERIES)
        html_put(&c->text, "<p class=\"soft\">The first %d runs.</p>\n", CHART_SERIES);
    html_put(&c->text, "<div class=\"charts\">\n");
    TRY(chart(c, "c-loss", "Validation log-loss", UNIT_PLAIN, pick_loss));
    TRY(chart(c, "c-top1", "Validation accuracy", UNIT_SHARE, pick_top1));
    TRY(chart(c, "c-train", "Training loss", UNIT_PLAIN, pick_train));
    html_put(&c->text, "</div>\n</section>\n");
    return GRAFT_OK;
}

static bool right(const struct run_data *d, size_t i)
{
    return best_class(d->probabilities + i * (size_t)d->n_classes, d->n_classes) == d->labels[i];
}

static int by_path(const void *left, const void *right_, void *user)
{
    const struct run_data *d = user;
    return strcmp(d->paths[*(const size_t *)left], d->paths[*(const size_t *)right_]);
}

static size_t *order_by_path(const struct run_data *d)
{
    size_t *order = mem_alloc((d->n + 1) * sizeof *order);
    for (size_t i = 0; order != NULL && i < d->n; i++)
        order[i] = i;
    if (order != NULL)
        qsort_r(order, d->n, sizeof *order, by_path, (void *)d);
    return order;
}

// The pictures that both runs validated on, each told by its path and class.
static graft_status pair_row(struct comparison *c, size_t other)
{
    const struct run_data *a = &c->entries[c->best].run, *b = &c->entries[other].run;
    size_t *x = order_by_path(a), *y = order_by_path(b), shared = 0, only_a = 0, only_b = 0;
    if (x == NULL || y == NULL) {
        mem_free(x);
        mem_free(y);
        return fail_memory("the pictures");
    }
    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        const int order = strcmp(a->paths[x[i]], b->paths[y[k]]);
        if (order == 0 && strcmp(a->classes[a->labels[x[i]]], b->classes[b->labels[y[k]]]) == 0) {
            const bool first = right(a, x[i]), second = right(b, y[k]);
            shared++;
            only_a += first && !second;
            only_b += second && !first;
        }
        i += order <= 0;
        k += order >= 0;
    }
    mem_free(x);
    mem_free(y);
    html_put(&c->text, "<tr><th scope=\"row\">%s</th><td>%zu</td><td>%zu</td><td>%zu</td>", c->entries[other].name,
             shared, only_a, only_b);
    if (shared == 0)
        html_put(&c->text, "<td class=\"words\">no picture in common</td></tr>\n");
    else {
        const double chance = sign_test(only_a, only_b);
        html_put(&c->text, "<td class=\"words\">%.2g: %s</td></tr>\n", chance,
                 chance < 0.01   ? "a real difference"
                 : chance < 0.05 ? "probably a difference"
                                 : "may well be chance");
    }
    return GRAFT_OK;
}

static graft_status same_pictures(struct comparison *c)
{
    struct text *t = &c->text;
    if (c->best == c->n || c->n < 2 || c->folds)
        return GRAFT_OK;
    page_section(t, "same", "On the same pictures");
    html_put(t,
             "<p class=\"soft\">Beside the best run, <b>%s</b>: on how many of the pictures that both validated on only"
             " one of the two is right, and how likely so uneven a split is by chance (two-sided sign test).</p>\n",
             c->entries[c->best].name);
    page_scroll(t, "On the same pictures");
    html_put(t, "<table>\n<thead><tr><th scope=\"col\">Run</th><th scope=\"col\">In common</th><th scope=\"col\">Only "
                "the best is right</th><th scope=\"col\">Only this is right</th><th scope=\"col\" "
                "class=\"words\">Chance</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < c->n; i++)
        if (i != c->best && c->entries[i].figures.n > 0)
            TRY(pair_row(c, i));
    html_put(t, "</tbody>\n</table>\n</div>\n</section>\n");
    return GRAFT_OK;
}

static bool same_classes(const struct comparison *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct run_data *a = &c->entries[0].run, *b = &c->entries[i].run;
        if (c->entries[i].figures.n == 0 || a->n_classes != b->n_classes)
            return false;
        for (int k = 0; k < a->n_classes; k++)
            if (strcmp(a->classes[k], b->classes[k]) != 0)
                return false;
    }
    return c->n > 0;
}

static void classes(struct comparison *c)
{
    struct text *t = &c->text;
    if (!same_classes(c) || c->entries[0].run.n_classes > CLASS_ROWS)
        return;
    page_section(t, "classes", "Recall by class");
    page_scroll(t, "Recall by class");
    html_put(t, "<table>\n<thead><tr><th scope=\"col\">Class</th>");
    for (size_t i = 0; i < c->n; i++)
        html_put(t, "<th scope=\"col\">%s</th>", c->entries[i].name);
    html_put(t, "</tr></thead>\n<tbody>\n");
    for (int k = 0; k < c->entries[0].run.n_classes; k++) {
        double most = -1;
        for (size_t i = 0; i < c->n; i++)
            most = fmax(most, c->entries[i].figures.classes[k].own > 0 ? c->entries[i].figures.classes[k].recall : -1);
        html_put(t, "<tr><th scope=\"row\">%s</th>", c->entries[0].run.classes[k]);
        for (size_t i = 0; i < c->n; i++) {
            const struct class_row *row = &c->entries[i].figures.classes[k];
            html_put(t, row->own > 0 && row->recall == most ? "<td><b>" : "<td>");
            html_share(t, row->own > 0 ? row->recall : NAN);
            html_put(t, row->own > 0 && row->recall == most ? "</b></td>" : "</td>");
        }
        html_put(t, "</tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</div>\n</section>\n");
}

static const char *option_shown(const struct run_data *d, const char *name)
{
    const json_t *value = json_object_get(d->args, name);
    return json_is_string(value)  ? json_string_value(value)
           : json_is_true(value)  ? "yes"
           : json_is_false(value) ? "no"
           : json_is_array(value) ? "several"
                                  : "not set";
}

static bool option_differs(const struct comparison *c, const char *name, const json_t *value)
{
    const struct run_data *first = &c->entries[0].run;
    if (strcmp(name, "output") == 0 || (c->folds && strcmp(name, "fold") == 0))
        return false;
    for (size_t i = 1; i < c->n; i++) {
        const struct run_data *other = &c->entries[i].run;
        if (!json_equal(value, json_object_get(other->args, name)) &&
            (json_is_array(value) || strcmp(option_shown(first, name), option_shown(other, name)) != 0))
            return true;
    }
    return false;
}

static void options(struct comparison *c)
{
    struct text *t = &c->text;
    json_t *args = (json_t *)c->entries[0].run.args;
    const char *name;
    const json_t *value;
    int rows = 0;
    json_object_foreach(args, name, value) rows += option_differs(c, name, value);
    if (rows == 0 && c->folds)
        return;
    page_section(t, "options", "Options that differ");
    if (rows == 0) {
        html_put(t, "<p>None.</p>\n</section>\n");
        return;
    }
    page_scroll(t, "Options that differ");
    html_put(t, "<table>\n<thead><tr><th scope=\"col\" class=\"words\">Option</th>");
    for (size_t i = 0; i < c->n; i++)
        html_put(t, "<th scope=\"col\" class=\"words\">%s</th>", c->entries[i].name);
    html_put(t, "</tr></thead>\n<tbody>\n");
    json_object_foreach(args, name, value)
    {
        if (!option_differs(c, name, value))
            continue;
        html_put(t, "<tr><th scope=\"row\" class=\"words\">%s</th>", name);
        for (size_t i = 0; i < c->n; i++)
            html_put(t, "<td class=\"words\">%s</td>", option_shown(&c->entries[i].run, name));
        html_put(t, "</tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</div>\n</section>\n");
}

// Of the folds of one data set, none of which is better than another.
static void folds_lead(struct comparison *c)
{
    double loss = 0, top1 = 0, squares = 0;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->entries[i].figures.n > 0) {
            loss += c->entries[i].figures.m.log_loss;
            top1 += c->entries[i].figures.m.top1;
            n++;
        }
    if (n == 0)
        return;
    for (size_t i = 0; i < c->n; i++)
        if (c->entries[i].figures.n > 0)
            squares += pow(c->entries[i].figures.m.log_loss - loss / (double)n, 2);
    html_put(&c->text, "<p class=\"lead\">The mean of %zu fold%s: log-loss <b>%.3f</b>", n, n == 1 ? "" : "s",
             loss / (double)n);
    if (n > 1)
        html_put(&c->text, " (standard deviation %.3f)", sqrt(squares / (double)(n - 1)));
    html_put(&c->text, ", right on <b>%.1f&nbsp;%%</b> of the pictures that were held out.</p>\n",
             top1 / (double)n * 100);
}

static graft_status page_make(struct comparison *c)
{
    struct text *t = &c->text;
    page_begin(t, "Runs compared: graft report");
    html_put(t, "<header>\n<p class=\"soft\">graft report</p>\n<h1>%zu %s</h1>\n", c->n,
             c->folds ? "folds side by side" : "runs compared");
    if (c->folds)
        folds_lead(c);
    else if (c->best < c->n)
        html_put(t,
                 "<p class=\"lead\"><b>%s</b> has the lowest log-loss, <b>%.3f</b>, and is right on <b>%.1f&nbsp;%%</b>"
                 " of its validation pictures.</p>\n",
                 c->entries[c->best].name, c->entries[c->best].figures.m.log_loss,
                 c->entries[c->best].figures.m.top1 * 100);
    html_put(t, "</header>\n<main id=\"main\">\n");
    runs_table(c);
    TRY(curves(c));
    TRY(same_pictures(c));
    classes(c);
    options(c);
    return GRAFT_OK;
}

graft_status report_compare(char *const *folders, size_t n, const char *out)
{
    struct comparison c = {.entries = mem_zero(n, sizeof *c.entries)};
    graft_status status = GRAFT_OK;
    if (c.entries == NULL)
        return fail_memory("the runs");
    for (; c.n < n; c.n++) {
        struct entry *e = &c.entries[c.n];
        TRY_GOTO(run_data_read(folders[c.n], &e->run));
        status = figures_make(&e->run, &e->figures);
        if (status != GRAFT_OK) {
            run_data_free(&e->run);
            goto done;
        }
    }
    best_find(&c);
    c.folds = true;
    const char *first = run_option(&c.entries[0].run, "fold");
    for (size_t i = 0; i < n; i++) {
        const char *fold = run_option(&c.entries[i].run, "fold");
        c.folds &= fold[0] != '\0' && (i == 0 || strcmp(fold, first) != 0);
    }
    TRY_GOTO(page_make(&c));
    TRY_GOTO(page_end(&c.text, out));
done:
    for (size_t i = 0; i < c.n; i++) {
        figures_free(&c.entries[i].figures);
        run_data_free(&c.entries[i].run);
    }
    mem_free(c.entries);
    text_fini(&c.text);
    return status;
}
