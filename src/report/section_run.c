// report/section_run.c: how the run went: pictures left out, where the time went, how to make it again.

#include "base/memory.h"
#include "report/page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 200, LAYERS = 15 };

void section_skipped(struct page *p)
{
    const struct run_data *d = p->run;
    struct text *t = &p->text;
    page_section(t, "skipped", "Pictures left out");
    if (d->n_skipped == 0)
        html_put(t, "<p>None: every picture could be read.</p>\n");
    else {
        html_put(t, "<p>%zu picture%s could not be read and %s not used.</p>\n", d->n_skipped,
                 d->n_skipped == 1 ? "" : "s", d->n_skipped == 1 ? "was" : "were");
        page_scroll(t, "Pictures left out");
        html_put(t, "<table>\n<thead><tr><th scope=\"col\" class=\"words\">File</th><th scope=\"col\" "
                    "class=\"words\">Reason</th></tr></thead>\n<tbody>\n");
        for (size_t i = 0; i < d->n_skipped && i < SKIPPED; i++)
            html_put(t, "<tr><th scope=\"row\" class=\"words\">%s</th><td class=\"words\">%s</td></tr>\n",
                     d->skipped[i].path, d->skipped[i].reason);
        html_put(t, "</tbody>\n</table>\n</div>\n");
        if (d->n_skipped > SKIPPED)
            html_put(t, "<p class=\"soft\">%zu more in <code>skipped.csv</code>.</p>\n", d->n_skipped - SKIPPED);
    }
    html_put(t, "</section>\n");
}

static int slowest_first(const void *left, const void *right)
{
    const struct layer_row *a = left, *b = right;
    const double x = a->forward + a->backward + a->update, y = b->forward + b->backward + b->update;
    return (x < y) - (x > y);
}

static void layers(struct page *p)
{
    struct text *t = &p->text;
    double all = 0;
    struct layer_row *rows = mem_alloc((p->run->n_layers + 1) * sizeof *rows);
    if (rows == NULL) {
        t->broken = true;
        return;
    }
    for (size_t i = 0; i < p->run->n_layers; i++) {
        rows[i] = p->run->layers[i];
        all += rows[i].forward + rows[i].backward + rows[i].update;
    }
    qsort(rows, p->run->n_layers, sizeof *rows, slowest_first);
    html_put(t, "<details>\n<summary>The slowest layers</summary>\n");
    page_scroll(t, "Layers");
    html_put(t, "<table>\n<thead><tr><th scope=\"col\" class=\"words\">Layer</th><th scope=\"col\">Forward, s</th><th "
                "scope=\"col\">Backward, s</th><th scope=\"col\">Update, s</th><th "
                "scope=\"col\">Share</th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < p->run->n_layers && i < LAYERS; i++) {
        html_put(t, "<tr><th scope=\"row\" class=\"words\">%s</th><td>%.2f</td><td>%.2f</td><td>%.2f</td><td>",
                 rows[i].name, rows[i].forward, rows[i].backward, rows[i].update);
        html_share(t, all > 0 ? (rows[i].forward + rows[i].backward + rows[i].update) / all : 0);
        html_put(t, "</td></tr>\n");
    }
    html_put(t, "</tbody>\n</table>\n</div>\n</details>\n");
    mem_free(rows);
}

void section_time(struct page *p)
{
    static const char *const names[TIME_PARTS + 1] = {"waiting for pictures", "forward", "backward", "update",
                                                      "validation", "logs, pictures, reports", "the rest"};
    const struct run_data *d = p->run;
    struct text *t = &p->text;
    double part[TIME_PARTS + 1] = {0}, all = 0;
    for (int i = 0; i < d->n_epochs; i++) {
        double known = 0;
        for (int k = 0; k < TIME_PARTS; k++)
            if (isfinite(d->epochs[i].part[k])) {
                part[k] += d->epochs[i].part[k];
                known += d->epochs[i].part[k];
            }
        all += isfinite(d->epochs[i].seconds) ? d->epochs[i].seconds : 0;
        part[TIME_PARTS] += isfinite(d->epochs[i].seconds) ? fmax(0, d->epochs[i].seconds - known) : 0;
    }
    page_section(t, "time", "Where the time went");
    html_put(t, "<p>%d epoch%s took ", d->n_epochs, d->n_epochs == 1 ? "" : "s");
    html_duration(t, all);
    const double memory = json_number_value(json_object_get(d->end, "rss_mb"));
    if (memory > 0)
        html_put(t, "; the process took %.0f&nbsp;MB at most", memory);
    html_put(t, ".</p>\n");
    if (part[TIME_FORWARD] > 0) {
        html_put(t, "<div class=\"stack\" aria-hidden=\"true\">");
        for (int k = 0; k <= TIME_PARTS; k++)
            if (part[k] > 0.001 * all)
                html_put(t, "<i class=\"k%d\" style=\"width:%.2f%%\"></i>", k, part[k] / all * 100);
        html_put(
            t,
            "</div>\n<table class=\"narrow\">\n<thead><tr><th scope=\"col\" class=\"words\">Part</th><th scope=\"col\">"
            "Time</th><th scope=\"col\">Share</th></tr></thead>\n<tbody>\n");
        for (int k = 0; k <= TIME_PARTS; k++) {
            html_put(t, "<tr><th scope=\"row\" class=\"words\"><i class=\"swatch k%d\"></i>%s</th><td>", k, names[k]);
            html_duration(t, part[k]);
            html_put(t, "</td><td>");
            html_share(t, all > 0 ? part[k] / all : 0);
            html_put(t, "</td></tr>\n");
        }
        html_put(t, "</tbody>\n</table>\n");
    }
    if (d->n_layers > 0)
        layers(p);
    html_put(t, "</section>\n");
}

// As a shell takes it: quoted where it is not plain.
static void shell_word(struct text *t, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=./:,@%";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        text_put(t, "%s", word);
        return;
    }
    text_put(t, "'");
    for (; *word != '\0'; word++)
        text_put(t, *word == '\'' ? "'\\''" : "%c", *word);
    text_put(t, "'");
}

static void option_put(struct text *t, const char *name, const char *text)
{
    text_put(t, " --%s", name);
    if (text != NULL) {
        text_put(t, " ");
        shell_word(t, text);
    }
}

void repeat_command(struct text *t, const struct run_data *d, const json_t *defaults)
{
    const char *name, *directory = run_option(d, "directory");
    const json_t *value;
    if (directory[0] != '\0') {
        text_put(t, "cd ");
        shell_word(t, directory);
        text_put(t, "\n");
    }
    text_put(t, "graft train");
    json_object_foreach((json_t *)d->args, name, value)
    {
        const json_t *usual = json_object_get(defaults, name);
        if (strcmp(name, "command") == 0 || strcmp(name, "directory") == 0 || strcmp(name, "output") == 0 ||
            (usual != NULL && json_equal(value, usual)))
            continue;
        if (json_is_string(value) || json_is_true(value))
            option_put(t, name, json_string_value(value));
        for (size_t i = 0; i < json_array_size(value); i++) // given several times
            option_put(t, name, json_string_value(json_array_get(value, i)));
    }
}

static void options_table(struct page *p)
{
    const char *name;
    const json_t *value;
    struct text *t = &p->text;
    html_put(
        t,
        "<details>\n<summary>The options as a table</summary>\n<table class=\"narrow\">\n<thead><tr><th scope=\"col\" "
        "class=\"words\">Option</th><th scope=\"col\" class=\"words\">Value</th></tr></thead>\n<tbody>\n");
    json_object_foreach((json_t *)p->run->args, name, value)
    {
        const char *text = json_is_string(value)  ? json_string_value(value)
                           : json_is_true(value)  ? "yes"
                           : json_is_false(value) ? "no"
                                                  : "not set";
        html_put(t, "<tr><th scope=\"row\" class=\"words\">%s</th><td class=\"words\">%s</td></tr>\n", name, text);
    }
    html_put(t, "</tbody>\n</table>\n</details>\n");
}

void section_repeat(struct page *p)
{
    struct text command = {0};
    page_section(&p->text, "repeat", "How to make this run again");
    if (p->run->args == NULL)
        html_put(&p->text, "<p>The run kept no args.json, so its options are not known.</p>\n");
    else {
        const char *version = json_string_value(json_object_get(p->run->start, "graft"));
        const int threads = (int)json_integer_value(json_object_get(p->run->start, "threads"));
        const char *machine = json_string_value(json_object_get(p->run->start, "isa"));
        repeat_command(&command, p->run, p->defaults);
        html_put(&p->text, "<pre><code>");
        if (!command.broken)
            html_text(&p->text, command.data);
        html_put(&p->text, "</code></pre>\n<p class=\"soft\">The same seed, threads and machine give the same bits.");
        if (version != NULL)
            html_put(&p->text, " It was made by graft %s", version);
        if (version != NULL && machine != NULL)
            html_put(&p->text, " with %s, %d thread%s", machine, threads, threads == 1 ? "" : "s");
        html_put(&p->text, "%s</p>\n", version != NULL ? "." : "");
        options_table(p);
    }
    p->text.broken |= command.broken;
    text_fini(&command);
    html_put(&p->text, "</section>\n");
}
