// report/page.c: the page of one run: its head and summary; the sections follow in the order a reader asks for them.

#include "report/page.h"
#include "base/file.h"
#include "base/memory.h"
#include "report/report.h"
#include <math.h>
#include <time.h>

void page_begin(struct text *t, const char *title)
{
    html_put(t,
             "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
             "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
             "<meta name=\"generator\" content=\"graft %s\"/>\n<title>%s</title>\n<style>",
             GRAFT_VERSION, title);
    text_put(t, "%s", report_style);
    html_put(t, "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the figures</a>\n");
}

graft_status page_end(struct text *t, const char *path)
{
    html_put(t, "</main>\n</body>\n</html>\n");
    TRY(text_status(t));
    return file_write_all(path, t->data, t->size);
}

void page_interval(struct text *t, struct interval i, bool share)
{
    if (!isfinite(i.low))
        html_put(t, "&nbsp;");
    else if (share)
        html_put(t, "%.1f to %.1f&nbsp;%%", i.low * 100, i.high * 100);
    else
        html_put(t, "%.3f to %.3f", i.low, i.high);
}

void page_section(struct text *t, const char *id, const char *title)
{
    html_put(t, "\n<section id=\"%s\" aria-labelledby=\"%s-h\">\n<h2 id=\"%s-h\">%s</h2>\n", id, id, id, title);
}

void page_scroll(struct text *t, const char *name)
{
    html_put(t, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">\n", name);
}

static void tile(struct text *t, const char *name, const char *note)
{
    html_put(t, "<div><dt>%s</dt><dd><span class=\"note\">%s</span>", name, note);
}

// The figures of the best epoch.
static void tiles(struct page *p)
{
    const struct figures *f = p->figures;
    struct text *t = &p->text;
    html_put(t, "<dl class=\"tiles\">\n");
    tile(t, "Top-1 accuracy", "the likeliest class is right");
    html_put(t, "<b>%.1f&nbsp;%%</b><small>", f->m.top1 * 100);
    page_interval(t, f->top1, true);
    html_put(t, "</small></dd></div>\n");
    if (p->run->n_classes > 5) {
        tile(t, "Top-5 accuracy", "among the five likeliest");
        html_put(t, "<b>%.1f&nbsp;%%</b><small>", f->m.top5 * 100);
        page_interval(t, f->top5, true);
        html_put(t, "</small></dd></div>\n");
    }
    tile(t, "Log-loss", "lower is better");
    html_put(t, "<b>%.3f</b><small>", f->m.log_loss);
    page_interval(t, f->loss, false);
    html_put(t, "</small></dd></div>\n");
    tile(t, "Macro F1", "mean over classes");
    html_put(t, "<b>%.3f</b><small>&nbsp;</small></dd></div>\n", f->macro_f1);
    tile(t, "Calibration error", "ECE, 15 bins");
    html_put(t, "<b>%.3f</b><small>&nbsp;</small></dd></div>\n", f->ece);
    tile(t, "Brier score", "0 is perfect, 2 the worst");
    html_put(t, "<b>%.3f</b><small>", f->brier);
    page_interval(t, f->brier_range, false);
    html_put(t, "</small></dd></div>\n</dl>\n");
    html_put(
        t,
        "<p class=\"soft\">Small print: ranges are 95&nbsp;%% intervals, of accuracies by Wilson&#39;s score method, of"
        " log-loss and Brier score by 1,000 bootstrap resamples of the pictures. They cover the chance of which "
        "pictures were held out, not that of another seed. The epoch was chosen on these same pictures, which flatters "
        "the figures a little; a test part that nothing was chosen by gives the honest ones (<code>graft val MODEL -d "
        "DATA --split test</code>).</p>\n");
}

static void lead(struct page *p)
{
    const struct run_data *d = p->run;
    const struct figures *f = p->figures;
    struct text *t = &p->text;
    const char *network = json_string_value(json_object_get(d->start, "network"));
    const int epochs = (int)strtol(run_option(d, "epochs"), NULL, 10);
    html_put(t, "<p class=\"lead\"><b>%s</b>", network != NULL ? network : "A network");
    json_int_t pictures = json_integer_value(json_object_get(d->start, "train"));
    size_t split = 0; // an epoch's copies and repetitions are not in it
    for (int c = 0; d->balance != NULL && c < d->n_classes; c++)
        split += d->balance[c][0];
    if ((size_t)pictures == split + d->n_skipped_training)
        pictures = (json_int_t)split;
    if (pictures > 0)
        html_put(t, ", trained on %zu picture%s of %d classes", (size_t)pictures, pictures == 1 ? "" : "s",
                 d->n_classes);
    if (f->n > 0) {
        html_put(t, ", is right on <b>%.1f&nbsp;%%</b> of %zu validation pictures (95&nbsp;%% interval ",
                 f->m.top1 * 100, f->n);
        page_interval(t, f->top1, true);
        html_put(t, ") after epoch %d", d->best >= 0 ? d->epochs[d->best].epoch : 0);
        if (epochs > 0)
            html_put(t, " of %d", epochs);
    } else if (d->n_epochs > 0)
        html_put(t, ", %d epoch%s, without validation", d->n_epochs, d->n_epochs == 1 ? "" : "s");
    html_put(t, ".</p>\n");
    if (d->end == NULL)
        html_put(t, "<p class=\"state\"><b>Not finished.</b> The run goes on, was stopped or died; this is how far it "
                    "got.</p>\n");
    if (d->bad_lines > 0)
        html_put(t, "<p class=\"state\">%d lines of events.jsonl could not be read and are left out.</p>\n",
                 d->bad_lines);
}

static void when(struct text *t, const struct run_data *d)
{
    char text[64] = "";
    struct tm tm;
    const time_t begun = (time_t)d->begun;
    if (d->begun > 0 && localtime_r(&begun, &tm) != NULL)
        strftime(text, sizeof text, " &middot; %Y-%m-%d %H:%M", &tm);
    text_put(t, "%s", text);
}

static void contents(struct page *p)
{
    static const struct {
        const char *id, *name;
    } entries[] = {{"curves", "Curves"},     {"confusion", "Confusion"}, {"classes", "Classes"},
                   {"trust", "Calibration"}, {"mistakes", "Mistakes"},   {"pictures", "Training pictures"},
                   {"skipped", "Skipped"},   {"time", "Time"},           {"repeat", "Repeat"}};
    html_put(&p->text, "<nav aria-label=\"Contents\"><ul>\n");
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
        const bool needs_predictions = i >= 1 && i <= 4;
        bool training = false;
        for (size_t k = 0; k < p->run->n_media; k++)
            training |= p->run->media[k].training;
        if ((!needs_predictions || p->figures->n > 0) && (i != 5 || training))
            html_put(&p->text, "<li><a href=\"#%s\">%s</a></li>\n", entries[i].id, entries[i].name);
    }
    html_put(&p->text, "</ul></nav>\n");
}

static graft_status page_make(struct page *p)
{
    struct text *t = &p->text, title = {0};
    text_put(&title, "%s: graft report", p->run->name);
    if (!title.broken)
        page_begin(t, title.data);
    text_fini(&title);
    html_put(t, "<header>\n<p class=\"soft\">graft report");
    when(t, p->run);
    html_put(t, "</p>\n<h1>%s</h1>\n", p->run->name);
    lead(p);
    html_put(t, "</header>\n");
    contents(p);
    html_put(t, "<main id=\"main\">\n");
    if (p->figures->n > 0) {
        html_put(t, "<h2 class=\"unseen\">Figures</h2>\n");
        tiles(p);
    }
    section_curves(p);
    if (p->figures->n > 0) {
        section_confusion(p);
        section_classes(p);
        section_trust(p);
        TRY(section_mistakes(p));
    }
    TRY(section_training(p));
    section_skipped(p);
    section_time(p);
    section_repeat(p);
    return GRAFT_OK;
}

graft_status report_write(const char *folder, const char *out, option_defaults defaults)
{
    struct run_data run = {0};
    struct figures figures = {0};
    struct page p = {.run = &run, .figures = &figures};
    char *path = NULL;
    graft_status status = GRAFT_OK;
    TRY_GOTO(run_data_read(folder, &run));
    TRY_GOTO(figures_make(&run, &figures));
    if (defaults != NULL && run.args != NULL)
        TRY_GOTO(defaults(run.args, &p.defaults));
    path = out != NULL ? mem_text(out) : path_join(folder, "report.html");
    if (path == NULL)
        TRY_GOTO(fail_memory("a path"));
    TRY_GOTO(page_make(&p));
    TRY_GOTO(page_end(&p.text, path));
done:
    mem_free(path);
    text_fini(&p.text);
    json_decref(p.defaults);
    figures_free(&figures);
    run_data_free(&run);
    return status;
}
