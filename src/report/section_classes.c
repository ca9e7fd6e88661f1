// report/section_classes.c: which classes are taken for which, and each class's figures.
// Few classes: a table of numbers, shaded.  Many: a map of dots, where only what is not zero is drawn, and the pairs in
// words.

#include "base/memory.h"
#include "report/page.h"
#include <math.h>
#include <stdlib.h>

enum { TABLE_CLASSES = 30, PAIRS = 12, CLASS_ROWS = 60, TITLED_DOTS = 4000 };

// The square root brings out the few mistakes among the many right ones.
static double shade(size_t n, size_t of) { return of > 0 ? sqrt((double)n / (double)of) : 0; }

// From the shade on where white text stands out more than black: both have at least 4.5 : 1 there.
static void confusion_cell(struct text *t, size_t n, size_t of, bool right)
{
    if (n == 0) {
        html_put(t, "<td></td>");
        return;
    }
    const double v = shade(n, of);
    html_put(t, "<td class=\"%s%s\" style=\"--v:%.2f\">%zu</td>", right ? "hit" : "miss",
             v >= (right ? 0.85 : 0.89) ? " deep" : "", v, n);
}

static void confusion_table(struct page *p)
{
    const int k = p->run->n_classes;
    struct text *t = &p->text;
    size_t *count = mem_zero((size_t)k * (size_t)k, sizeof *count);
    if (count == NULL) {
        t->broken = true;
        return;
    }
    confusion_of(p->run->probabilities, p->run->labels, p->run->n, k, count);
    // no caption: that would be as narrow as a table of few classes
    html_put(t, "<p class=\"soft\">A row is the true class, a column what the model said; the number is of pictures, "
                "the shade its share of the row. <span class=\"key hit\">right</span> <span class=\"key miss\">wrong"
                "</span></p>\n");
    page_scroll(t, "Confusion matrix");
    html_put(t, "<table class=\"confusion\">\n<thead><tr><td></td>");
    for (int c = 0; c < k; c++)
        html_put(t, "<th scope=\"col\"><span>%s</span></th>", p->run->classes[c]);
    html_put(t, "</tr></thead>\n<tbody>\n");
    for (int c = 0; c < k; c++) {
        html_put(t, "<tr><th scope=\"row\">%s</th>", p->run->classes[c]);
        for (int other = 0; other < k; other++)
            confusion_cell(t, count[(size_t)c * (size_t)k + (size_t)other], p->figures->classes[c].own, c == other);
        html_put(t, "</tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</div>\n");
    mem_free(count);
}

static void confusion_map(struct page *p)
{
    const int k = p->run->n_classes;
    const struct figures *f = p->figures;
    struct text *t = &p->text;
    html_put(
        t,
        "<figure class=\"map\">\n<figcaption>Rows are the true classes from top to bottom, columns what the model said,"
        " in the order of <code>classes.txt</code>; the shade is the share of the row. <span class=\"key "
        "hit\">right</span> <span class=\"key miss\">wrong</span></figcaption>\n<svg viewBox=\"-1 -1 %d %d\" "
        "role=\"img\" aria-labelledby=\"map-t map-d\"><title id=\"map-t\">Confusion of %d classes</title><desc "
        "id=\"map-d\">%zu of %zu pictures lie on the diagonal, that is, are right; the most confused pairs follow in "
        "words.</desc>\n<rect class=\"frame\" x=\"0\" y=\"0\" width=\"%d\" height=\"%d\"/>\n",
        k + 2, k + 2, k, f->right1, f->n, k, k);
    for (int c = 0; c < k; c++)
        if (f->classes[c].right > 0)
            html_put(t, "<rect class=\"hit\" style=\"--v:%.2f\" x=\"%d\" y=\"%d\" width=\"1\" height=\"1\"/>",
                     shade(f->classes[c].right, f->classes[c].own), c, c);
    html_put(t, "\n");
    for (size_t i = 0; i < f->n_pairs; i++) {
        const struct confused_pair *pair = &f->pairs[i];
        html_put(t, "<rect class=\"miss\" style=\"--v:%.2f\" x=\"%d\" y=\"%d\" width=\"1\" height=\"1\"",
                 fmax(0.35, shade(pair->n, f->classes[pair->label].own)), pair->predicted, pair->label);
        if (i < TITLED_DOTS)
            html_put(t, "><title>%s taken for %s: %zu</title></rect>\n", p->run->classes[pair->label],
                     p->run->classes[pair->predicted], pair->n);
        else
            html_put(t, "/>\n");
    }
    html_put(t, "</svg>\n</figure>\n");
}

static void pairs_list(struct page *p)
{
    const struct figures *f = p->figures;
    struct text *t = &p->text;
    if (f->n_pairs == 0)
        return;
    html_put(t, "<h3>Most confused pairs</h3>\n<ol class=\"pairs\">\n");
    for (size_t i = 0; i < f->n_pairs && i < PAIRS; i++) {
        const struct confused_pair *pair = &f->pairs[i];
        const size_t own = f->classes[pair->label].own;
        html_put(t, "<li><b>%s</b> taken for <b>%s</b>: %zu of %zu (%.0f&nbsp;%%)</li>\n", p->run->classes[pair->label],
                 p->run->classes[pair->predicted], pair->n, own, 100.0 * (double)pair->n / (double)own);
    }
    html_put(t, "</ol>\n");
    if (f->n_pairs > PAIRS)
        html_put(t, "<p class=\"soft\">%zu more pairs; <code>confusion_matrix.csv</code> has all numbers.</p>\n",
                 f->n_pairs - PAIRS);
}

void section_confusion(struct page *p)
{
    page_section(&p->text, "confusion", "What is taken for what");
    html_put(&p->text, "<div class=\"side\"><div>\n");
    if (p->run->n_classes <= TABLE_CLASSES)
        confusion_table(p);
    else
        confusion_map(p);
    html_put(&p->text, "</div><div>\n");
    pairs_list(p);
    html_put(&p->text, "</div></div>\n</section>\n");
}

// A class's recall with its interval, drawn: the bar to the figure, the line over the interval.
static void recall_bar(struct text *t, double recall, struct interval i)
{
    html_put(t,
             "<svg class=\"bar\" viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect "
             "class=\"track\" width=\"100\" height=\"12\"/><rect class=\"fill\" width=\"%.1f\" height=\"12\"/><rect "
             "class=\"whisker\" x=\"%.1f\" y=\"5\" width=\"%.1f\" height=\"2\"/></svg>",
             recall * 100, i.low * 100, (i.high - i.low) * 100);
}

static void class_row(struct page *p, int c)
{
    const struct class_row *row = &p->figures->classes[c];
    struct text *t = &p->text;
    const struct interval i = wilson_interval(row->right, row->own);
    const struct confused_pair *worst = NULL;
    for (size_t k = 0; k < p->figures->n_pairs && worst == NULL; k++)
        if (p->figures->pairs[k].label == c)
            worst = &p->figures->pairs[k];
    html_put(t, "<tr><th scope=\"row\">%s</th><td>%zu</td><td>%zu</td>", p->run->classes[c], p->run->balance[c][0],
             row->own);
    if (row->own == 0)
        html_put(t, "<td class=\"wide\">no picture</td><td>&ndash;</td><td>&ndash;</td><td></td></tr>\n");
    else {
        html_put(t, "<td class=\"wide\">");
        recall_bar(t, row->recall, i);
        html_put(t, " %.1f&nbsp;%% <small>(%.0f to %.0f)</small></td><td>%.3f</td><td>%.3f</td><td class=\"words\">",
                 row->recall * 100, i.low * 100, i.high * 100, row->precision, row->f1);
        if (worst != NULL)
            html_put(t, "%s (%zu)", p->run->classes[worst->predicted], worst->n);
        html_put(t, "</td></tr>\n");
    }
}

struct ranked {
    double f1;
    int class_index;
};

static int worst_first(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->f1 != b->f1)
        return a->f1 < b->f1 ? -1 : 1;
    return (a->class_index > b->class_index) - (a->class_index < b->class_index);
}

static void class_table(struct page *p, const struct ranked *order, int begin, int end)
{
    struct text *t = &p->text;
    page_scroll(t, "Classes");
    html_put(
        t, "<table>\n<thead><tr><th scope=\"col\">Class</th><th scope=\"col\">To train on</th><th scope=\"col\">To "
           "validate</th><th scope=\"col\" class=\"wide\">Recall (95&nbsp;%% interval)</th><th "
           "scope=\"col\">Precision</th><th scope=\"col\">F1</th><th scope=\"col\" class=\"words\">Most often taken "
           "for</th></tr></thead>\n<tbody>\n");
    for (int i = begin; i < end; i++)
        class_row(p, order[i].class_index);
    html_put(t, "</tbody>\n</table>\n</div>\n");
}

void section_classes(struct page *p)
{
    const int k = p->run->n_classes;
    struct ranked *order = mem_alloc((size_t)k * sizeof *order);
    page_section(&p->text, "classes", "Classes, the worst first");
    if (order == NULL) {
        p->text.broken = true;
        return;
    }
    for (int c = 0; c < k; c++) // a class without pictures has no figure: it comes last
        order[c] = (struct ranked){p->figures->classes[c].own > 0 ? p->figures->classes[c].f1 : 2, c};
    qsort(order, (size_t)k, sizeof *order, worst_first);
    html_put(
        &p->text,
        "<p class=\"soft\">Recall: the share of a class&#39;s pictures that are found. Precision: the share of what "
        "is given the class&#39;s name that has it rightly. F1 weighs both.</p>\n");
    const int shown = k <= CLASS_ROWS ? k : CLASS_ROWS / 2;
    class_table(p, order, 0, shown);
    if (shown < k) {
        html_put(&p->text, "<details>\n<summary>The other %d classes</summary>\n", k - shown);
        class_table(p, order, shown, k);
        html_put(&p->text, "</details>\n");
    }
    mem_free(order);
    html_put(&p->text, "</section>\n");
}
