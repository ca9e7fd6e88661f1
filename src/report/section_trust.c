// report/section_trust.c: whether the probabilities mean what they say: the reliability diagram, and what a threshold
// does.

#include "report/page.h"

enum { SIDE = 300, MARGIN = 40, STRIP = 44 };

static double across(double share) { return MARGIN + share * (SIDE - MARGIN - 8); }
static double down(double share) { return 8 + (1 - share) * (SIDE - MARGIN - 8); }

static void axes(struct text *t)
{
    const double bottom = down(0);
    for (int i = 0; i <= 4; i++) {
        html_put(t,
                 "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
                 "text-anchor=\"end\">%d%%</text><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%d%%</text>\n",
                 across(0), across(1), down(i / 4.0), down(i / 4.0), MARGIN - 6, down(i / 4.0) + 4, i * 25,
                 across(i / 4.0), bottom + STRIP + 16, i == 4 ? "end" : "middle", i * 25);
    }
    html_put(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">probability of the likeliest class</text>\n",
             across(0.5), bottom + STRIP + 32);
}

static void diagram(struct page *p)
{
    const struct figures *f = p->figures;
    struct text *t = &p->text;
    size_t most = 1;
    for (int b = 0; b < CALIBRATION_BINS; b++)
        most = f->bins[b].n > most ? f->bins[b].n : most;
    html_put(
        t,
        "<figure>\n<figcaption>How often the model is right when it claims so much</figcaption>\n<svg class=\"chart "
        "square\" viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"trust-t trust-d\"><title "
        "id=\"trust-t\">Reliability diagram</title><desc id=\"trust-d\">Accuracy against claimed probability in %d "
        "bins; the mean gap, weighted by pictures, is %.3f. The table below has the numbers.</desc>\n",
        SIDE, SIDE + STRIP, CALIBRATION_BINS, f->ece);
    axes(t);
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        const struct calibration_bin *bin = &f->bins[b];
        const double left = across((double)b / CALIBRATION_BINS) + 0.8;
        const double width = across(1.0 / CALIBRATION_BINS) - across(0) - 1.6;
        if (bin->n == 0)
            continue;
        const double right = (double)bin->right / (double)bin->n, claimed = bin->confidence / (double)bin->n;
        const double strip = (STRIP - 8) * (double)bin->n / (double)most;
        html_put(t,
                 "<rect class=\"b1\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>claimed %.0f%%, right "
                 "%.0f%% of %zu</title></rect>",
                 left, down(right), width, down(0) - down(right), claimed * 100, right * 100, bin->n);
        html_put(t, "<line class=\"claim\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", left, left + width,
                 down(claimed), down(claimed));
        html_put(t, "<rect class=\"count\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", left,
                 down(0) + STRIP - strip, width, strip);
    }
    html_put(t,
             "<line class=\"ideal\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/></svg>\n<p class=\"soft\"><span "
             "class=\"key b1\">bars</span> how often it was right; <span class=\"key claim\">orange line</span> how "
             "sure it was; dashed: what a perfectly calibrated model would show; below: how many "
             "pictures.</p>\n</figure>\n",
             across(0), across(1), down(0), down(1));
}

static void verdict(struct page *p)
{
    const struct figures *f = p->figures;
    double claimed = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++)
        claimed += f->bins[b].confidence;
    claimed /= (double)f->n;
    const double gap = claimed - f->m.top1;
    const char *word = gap > 0.02    ? "It promises too much"
                       : gap < -0.02 ? "It is better than it says"
                                     : "On the whole its promises hold";
    html_put(&p->text,
             "<p>%s: on average the model claims <b>%.1f&nbsp;%%</b> and is right <b>%.1f&nbsp;%%</b> of the time. The "
             "expected calibration error is <b>%.3f</b>.</p>\n",
             word, claimed * 100, f->m.top1 * 100, f->ece);
    if (f->temperature > 0)
        html_put(&p->text,
                 "<p>The model file keeps the temperature <b>%.2f</b>, fitted on these pictures: <code>predict "
                 "--calibrated</code> divides the logits by it, for the lowest log-loss; here %.3f instead "
                 "of %.3f, with a calibration error of %.3f instead of %.3f.</p>\n",
                 f->temperature, f->calm_loss, f->m.log_loss, f->calm_ece, f->ece);
}

// What saying "unknown" below a threshold costs and brings.
static void thresholds(struct page *p)
{
    static const double limits[] = {0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99};
    const struct run_data *d = p->run;
    struct text *t = &p->text;
    html_put(
        t,
        "<figure>\n<figcaption>If answers below a threshold are refused (<code>predict "
        "--reject</code>)</figcaption>\n<table>\n<thead><tr><th scope=\"col\">Threshold</th><th "
        "scope=\"col\">Answered</th><th scope=\"col\">Right among them</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        size_t answered = 0, right = 0;
        for (size_t k = 0; k < d->n; k++) {
            const float *q = d->probabilities + k * (size_t)d->n_classes;
            const int best = best_class(q, d->n_classes);
            answered += q[best] >= limits[i];
            right += q[best] >= limits[i] && best == d->labels[k];
        }
        if (limits[i] > 0)
            html_put(t, "<tr><th scope=\"row\">%g</th><td>", limits[i]);
        else
            html_put(t, "<tr><th scope=\"row\">none</th><td>");
        html_share(t, (double)answered / (double)d->n);
        html_put(t, "</td><td>");
        html_share(t, answered > 0 ? (double)right / (double)answered : 0.0 / 0.0);
        html_put(t, "</td></tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</figure>\n");
}

static void bins_table(struct page *p)
{
    struct text *t = &p->text;
    html_put(t, "<details>\n<summary>The diagram as a table</summary>\n");
    page_scroll(t, "Reliability");
    html_put(t, "<table>\n<thead><tr><th scope=\"col\">Claimed</th><th scope=\"col\">Pictures</th><th "
                "scope=\"col\">Mean claim</th><th scope=\"col\">Right</th></tr></thead>\n<tbody>\n");
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        const struct calibration_bin *bin = &p->figures->bins[b];
        if (bin->n == 0)
            continue;
        html_put(t, "<tr><th scope=\"row\">%.0f to %.0f&nbsp;%%</th><td>%zu</td><td>", 100.0 * b / CALIBRATION_BINS,
                 100.0 * (b + 1) / CALIBRATION_BINS, bin->n);
        html_share(t, bin->confidence / (double)bin->n);
        html_put(t, "</td><td>");
        html_share(t, (double)bin->right / (double)bin->n);
        html_put(t, "</td></tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</div>\n</details>\n");
}

void section_trust(struct page *p)
{
    page_section(&p->text, "trust", "Can its probabilities be trusted?");
    verdict(p);
    html_put(&p->text, "<div class=\"charts\">\n");
    diagram(p);
    thresholds(p);
    html_put(&p->text, "</div>\n");
    bins_table(p);
    html_put(&p->text, "</section>\n");
}
