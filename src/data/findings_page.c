// data/findings_page.c: the findings as one HTML file that needs nothing else: thumbnails are inside it.

#include "data/exam.h"
#include "base/html.h"
#include "base/memory.h"
#include "data/encode.h"
#include <stdio.h>
#include <string.h>

enum { THUMBNAIL = 160, MOST_PICTURES = 60, MOST_SETS = 40, MOST_IN_SET = 8, QUALITY = 78 };

static const char style[] =
    ":root{--paper:#fbfbfa;--ink:#1d2126;--pale:#69727d;--line:#e2e4e7;--card:#fff;--error:#c0362c;--warning:#b7791f;"
    "--note:#3b6ea8;--bar:#7c9cc4}"
    "@media(prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e6e8eb;--pale:#9aa3ad;--line:#2b3037;"
    "--card:#1b1f25;"
    "--error:#f0776c;--warning:#e0b050;--note:#7fb0e6;--bar:#4c6f9c}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:28px 24px 60px;background:var(--paper);"
    "color:var(--ink);font:15px/1.5 system-ui,sans-serif}h1{font-size:24px;margin:0 0 4px}"
    "h2{font-size:17px;margin:36px 0 10px}"
    "h2 small{color:var(--pale);font-weight:400;margin-left:4px}p{margin:4px 0;color:var(--pale)}"
    ".cards{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 16px;min-width:120px}"
    ".card b{display:block;font-size:21px}.card span{color:var(--pale);font-size:13px}"
    ".tag{display:inline-block;border-radius:9px;padding:0 9px;color:#fff;font-size:12px;margin-right:8px;"
    "vertical-align:2px}"
    ".error{background:var(--error)}.warning{background:var(--warning)}.note{background:var(--note)}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:right;padding:3px 10px;border-bottom:1px solid var(--line)}"
    "th{color:var(--pale);font-weight:500}td:first-child,th:first-child{text-align:left}.wide{width:38%}"
    ".bar{height:11px;background:var(--bar);border-radius:2px}"
    ".pictures{display:flex;flex-wrap:wrap;gap:12px}"
    ".set{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:10px;margin:0 0 12px}figure{margin:0;width:160px}figure img,figure .none{width:160px;height:120px;"
    "object-fit:contain;background:#8882;border-radius:5px;display:block}"
    ".none{display:flex!important;align-items:center;justify-content:center;color:var(--pale);font-size:13px}"
    "figcaption{font-size:12px;line-height:1.35;overflow-wrap:anywhere;margin-top:4px}figcaption i{color:var(--pale);"
    "font-style:normal;display:block}";

// Nothing where the picture cannot be read (any more).
static bool put_thumbnail(struct text *t, const struct dataset *d, size_t sample)
{
    struct picture p, small;
    bytes jpeg = {0};
    if (d->array_float || sample_picture(d, sample, &p) != GRAFT_OK)
        return false;
    const double scale = THUMBNAIL / (double)(p.w > p.h ? p.w : p.h);
    const int w = (int)(p.w * scale + 0.5), h = (int)(p.h * scale + 0.5);
    graft_status status = picture_resize(&p, w < 1 ? 1 : w, h < 1 ? 1 : h, FILTER_BILINEAR, &small);
    picture_free(&p);
    if (status != GRAFT_OK)
        return false;
    status = picture_to_jpeg(&small, QUALITY, &jpeg);
    picture_free(&small);
    if (status == GRAFT_OK) {
        text_put(t, "<img alt=\"\" src=\"data:image/jpeg;base64,");
        html_base64(t, jpeg);
        text_put(t, "\">");
    }
    mem_free((void *)jpeg.ptr);
    return status == GRAFT_OK;
}

static const char *string_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }
static long integer_of(const json_t *o, const char *key) { return (long)json_integer_value(json_object_get(o, key)); }

static void put_picture(struct text *t, const struct dataset *d, const json_t *p)
{
    const char *label = string_of(p, "label"), *path = string_of(p, "path");
    text_put(t, "<figure>");
    if (!put_thumbnail(t, d, (size_t)integer_of(p, "sample")))
        text_put(t, "<div class=\"none\">no picture</div>");
    text_put(t, "<figcaption title=\"");
    html_text(t, path);
    text_put(t, "\">");
    html_text(t, path_name(path));
    text_put(t, "<i>");
    html_text(t, label);
    text_put(t, "%s%s</i><i>", label != NULL ? ", " : "", string_of(p, "part"));
    const char *detail = string_of(p, "detail");
    const size_t length = strlen(path); // a reader's message begins with the name, which is above
    html_text(t, strncmp(detail, path, length) == 0 && detail[length] == ':' ? detail + length + 2 : detail);
    text_put(t, "</i></figcaption></figure>");
}

static void put_more(struct text *t, size_t shown, size_t all)
{
    if (all > shown)
        text_put(t, "<p>and %zu more (<code>--json</code> lists all)</p>", all - shown);
}

static void put_finding(struct text *t, const struct dataset *d, const json_t *f)
{
    const json_t *pictures = json_object_get(f, "pictures"), *sets = json_object_get(f, "sets"), *item, *inner;
    size_t i, k;
    text_put(t, "<h2><span class=\"tag %s\">%s</span>%s <small>%ld</small></h2>", string_of(f, "level"),
             string_of(f, "level"), string_of(f, "title"), integer_of(f, "count"));
    if (pictures != NULL) {
        text_put(t, "<div class=\"pictures\">");
        json_array_foreach(pictures, i, item)
            if (i < MOST_PICTURES)
                put_picture(t, d, item);
        text_put(t, "</div>");
        put_more(t, MOST_PICTURES, json_array_size(pictures));
    } else if (sets != NULL) {
        json_array_foreach(sets, i, item) {
            if (i >= MOST_SETS)
                break;
            text_put(t, "<div class=\"set pictures\">");
            json_array_foreach(item, k, inner)
                if (k < MOST_IN_SET)
                    put_picture(t, d, inner);
            put_more(t, MOST_IN_SET, json_array_size(item));
            text_put(t, "</div>");
        }
        put_more(t, MOST_SETS, json_array_size(sets));
    } else {
        const json_t *rows =
            json_object_get(f, "groups") != NULL ? json_object_get(f, "groups") : json_object_get(f, "classes");
        text_put(t, "<p>");
        json_array_foreach(rows, i, item) {
            const char *name = string_of(item, "group") != NULL ? string_of(item, "group") : string_of(item, "class");
            text_put(t, "%s", i > 0 ? "; " : "");
            html_text(t, name);
            text_put(t, ": %ld train", integer_of(item, "train"));
            if (string_of(item, "group") != NULL)
                text_put(t, ", %ld val, %ld test", integer_of(item, "val"), integer_of(item, "test"));
        }
        text_put(t, "</p>");
    }
}

static void put_card(struct text *t, const char *value, const char *name)
{
    text_put(t, "<div class=\"card\"><b>%s</b><span>%s</span></div>", value, name);
}

static void put_cards(struct text *t, const json_t *o)
{
    char value[64];
    const json_t *w = json_object_get(o, "width"), *h = json_object_get(o, "height");
    text_put(t, "<div class=\"cards\">");
    snprintf(value, sizeof value, "%ld", integer_of(o, "pictures"));
    put_card(t, value, "pictures");
    snprintf(value, sizeof value, "%zu", json_array_size(json_object_get(o, "classes")));
    put_card(t, value, "classes");
    snprintf(value, sizeof value, "%ld", integer_of(o, "broken"));
    put_card(t, value, "broken");
    snprintf(value, sizeof value, "%ld&times;%ld", integer_of(w, "median"), integer_of(h, "median"));
    put_card(t, value, "median size");
    snprintf(value, sizeof value, "%.1f MB", (double)integer_of(o, "bytes") / 1e6);
    put_card(t, value, "of files");
    if (json_real_value(json_object_get(o, "imbalance")) > 0) {
        snprintf(value, sizeof value, "%.1f&times;", json_real_value(json_object_get(o, "imbalance")));
        put_card(t, value, "largest class to smallest");
    }
    text_put(t, "</div>");
}

static void put_classes(struct text *t, const json_t *rows)
{
    const json_t *row;
    size_t i;
    long most = 1;
    json_array_foreach(rows, i, row) {
        const long n = integer_of(row, "train") + integer_of(row, "val") + integer_of(row, "test");
        most = n > most ? n : most;
    }
    text_put(t, "<h2>Classes</h2><table><tr><th>class</th><th>train</th><th>val</th><th>test</th><th>broken</th>"
                "<th class=\"wide\"></th></tr>");
    json_array_foreach(rows, i, row) {
        const long n = integer_of(row, "train") + integer_of(row, "val") + integer_of(row, "test");
        text_put(t, "<tr><td>");
        html_text(t, string_of(row, "class"));
        text_put(
            t,
            "</td><td>%ld</td><td>%ld</td><td>%ld</td><td>%ld</td><td><div class=\"bar\" style=\"width:%.1f%%\"></div>"
            "</td></tr>",
            integer_of(row, "train"), integer_of(row, "val"), integer_of(row, "test"), integer_of(row, "broken"),
            100.0 * (double)n / (double)most);
    }
    text_put(t, "</table>");
}

graft_status findings_page(const struct dataset *d, const json_t *findings, const char *title, const char *path)
{
    struct text t = {0};
    const json_t *list = json_object_get(findings, "findings"), *f;
    size_t i;
    text_put(&t, "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                 "content=\"width=device-width\"><title>");
    html_text(&t, title);
    text_put(&t, "</title><style>%s</style></head><body><h1>", style);
    html_text(&t, title);
    text_put(&t, "</h1><p>%s</p>",
             json_array_size(list) == 0 ? "Nothing wrong, nothing odd." : "What graft data check found");
    put_cards(&t, findings);
    json_array_foreach(list, i, f)
        put_finding(&t, d, f);
    put_classes(&t, json_object_get(findings, "classes"));
    text_put(&t, "</body></html>\n");
    return text_write(&t, path);
}
