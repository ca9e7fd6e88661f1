// report/section_mistakes.c: the pictures: the most confident mistakes, examples of confused pairs, the first batch.
// train left small JPEGs in media/; a picture without one is named in words.

#include "base/file.h"
#include "base/memory.h"
#include "report/page.h"
#include <string.h>

enum { MISTAKES = 24, PAIRS = 6, EXAMPLES = 4, SHEET = 32, LARGEST = 1 << 20 };

static const struct media_row *media_find(const struct run_data *d, const char *path)
{
    for (size_t i = 0; i < d->n_media; i++)
        if (!d->media[i].training && strcmp(d->media[i].path, path) == 0)
            return &d->media[i];
    return NULL;
}

// *done: it was there, was a JPEG, and is in the page.
static graft_status picture_put(struct page *p, const char *file, const char *alt, const char *label, bool *done)
{
    struct file_map map = {0};
    char *path = mem_format("%s/media/%s", p->run->folder, file);
    *done = false;
    if (path == NULL)
        return fail_memory("a path");
    if (file_exists(path) && file_map_open(path, &map) == GRAFT_OK) {
        if (map.data.size > 3 && map.data.size < LARGEST && memcmp(map.data.ptr, "\xff\xd8\xff", 3) == 0) {
            html_put(&p->text, "<img alt=\"%s%s\" src=\"data:image/jpeg;base64,", alt, label);
            html_base64(&p->text, map.data);
            html_put(&p->text, "\"/>");
            *done = true;
        }
        file_map_close(&map);
    }
    mem_free(path);
    return GRAFT_OK;
}

static bool pictures_kept(const struct run_data *d)
{
    for (size_t i = 0; i < d->n_media; i++)
        if (!d->media[i].training)
            return true;
    return false;
}

// Where pictures were kept, the mistakes that have none are left to the CSV.
static bool listed(const struct page *p, const struct mistake *m)
{
    return !p->pictures_kept || media_find(p->run, p->run->paths[m->row]) != NULL;
}

static graft_status pictures_put(struct page *p, const struct mistake *m)
{
    const struct run_data *d = p->run;
    const struct media_row *media = media_find(d, d->paths[m->row]);
    bool done = false, cam;
    html_put(&p->text, "<div class=\"pair\">");
    if (media != NULL)
        TRY(picture_put(p, media->file, "A picture of ", d->classes[m->label], &done));
    if (!done && p->pictures_kept)
        html_put(&p->text, "<span class=\"none\">no picture kept</span>");
    else if (done && media->cam != NULL && media->predicted == m->predicted)
        TRY(picture_put(p, media->cam, "The same picture; bright is what spoke for ", d->classes[m->predicted], &cam));
    html_put(&p->text, "</div>");
    return GRAFT_OK;
}

static graft_status mistake_put(struct page *p, const struct mistake *m)
{
    const struct run_data *d = p->run;
    const float own = d->probabilities[m->row * (size_t)d->n_classes + (size_t)m->label];
    struct text *t = &p->text;
    html_put(t, "<li><figure>");
    TRY(pictures_put(p, m));
    html_put(
        t,
        "<figcaption>said <b class=\"wrong\">%s</b> %.0f&nbsp;%%<br/>is <b>%s</b> %.0f&nbsp;%%<br/><small>%s</small>"
        "</figcaption></figure></li>\n",
        d->classes[m->predicted], (double)m->confidence * 100, d->classes[m->label], (double)own * 100,
        d->paths[m->row]);
    return GRAFT_OK;
}

static graft_status pair_put(struct page *p, const struct confused_pair *pair)
{
    const struct run_data *d = p->run;
    const struct figures *f = p->figures;
    int shown = 0;
    html_put(&p->text, "<h4>%s taken for %s <small>%zu of %zu</small></h4>\n", d->classes[pair->label],
             d->classes[pair->predicted], pair->n, f->classes[pair->label].own);
    for (size_t i = 0; i < f->n_mistakes && shown < EXAMPLES; i++) {
        const struct mistake *m = &f->mistakes[i];
        if (m->label != pair->label || m->predicted != pair->predicted || !listed(p, m))
            continue;
        html_put(&p->text, shown++ == 0 ? "<ul class=\"gallery small\">\n<li><figure>" : "<li><figure>");
        TRY(pictures_put(p, m));
        html_put(&p->text, "<figcaption>%.0f&nbsp;%% sure<br/><small>%s</small></figcaption></figure></li>\n",
                 (double)m->confidence * 100, d->paths[m->row]);
    }
    html_put(&p->text, shown > 0 ? "</ul>\n" : "");
    return GRAFT_OK;
}

static bool evidence_kept(const struct run_data *d)
{
    for (size_t i = 0; i < d->n_media; i++)
        if (d->media[i].cam != NULL)
            return true;
    return false;
}

graft_status section_mistakes(struct page *p)
{
    const struct figures *f = p->figures;
    int shown = 0;
    p->pictures_kept = pictures_kept(p->run);
    page_section(&p->text, "mistakes", "Mistakes");
    if (f->n_mistakes == 0)
        html_put(&p->text, "<p>None: all %zu validation pictures are right.</p>\n", f->n);
    else {
        html_put(&p->text,
                 "<h3>The most confident</h3>\n<p class=\"soft\">%zu of %zu pictures are wrong; these are the ones the "
                 "model was surest of. Look for wrong labels first.%s</p>\n",
                 f->n_mistakes, f->n,
                 evidence_kept(p->run) ? " Beside each, Grad-CAM: bright is what spoke for its answer." : "");
        for (size_t i = 0; i < f->n_mistakes && shown < MISTAKES; i++)
            if (listed(p, &f->mistakes[i])) {
                html_put(&p->text, shown++ == 0 ? "<ul class=\"gallery\">\n" : "");
                TRY(mistake_put(p, &f->mistakes[i]));
            }
        html_put(&p->text, shown > 0 ? "</ul>\n" : "");
        html_put(&p->text, "<h3>The most confused pairs</h3>\n");
        for (size_t i = 0; i < f->n_pairs && i < PAIRS; i++)
            TRY(pair_put(p, &f->pairs[i]));
    }
    html_put(&p->text, "</section>\n");
    return GRAFT_OK;
}

graft_status section_training(struct page *p)
{
    const struct run_data *d = p->run;
    int shown = 0;
    for (size_t i = 0; i < d->n_media && shown < SHEET; i++) {
        const struct media_row *m = &d->media[i];
        const char *name = m->label >= 0 ? d->classes[m->label] : "unknown";
        bool done;
        if (!m->training)
            continue;
        if (shown++ == 0) {
            page_section(&p->text, "pictures", "What it was trained on");
            html_put(&p->text,
                     "<p class=\"soft\">The first batch as it entered the network: resized, cropped and, where asked, "
                     "augmented. If people cannot tell the classes here, neither can the model.</p>\n<ul "
                     "class=\"gallery small\">\n");
        }
        html_put(&p->text, "<li><figure>");
        TRY(picture_put(p, m->file, "A training picture of ", name, &done));
        html_put(&p->text, "<figcaption><b>%s</b><br/><small>%s</small></figcaption></figure></li>\n", name, m->path);
    }
    if (shown > 0)
        html_put(&p->text, "</ul>\n</section>\n");
    return GRAFT_OK;
}
