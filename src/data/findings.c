// data/findings.c: what was found in a data set, as JSON: what is wrong, what is odd, and what the pictures are like.

#include "data/exam.h"
#include "base/memory.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TINY = 32, HUGE_PIXELS = 40000000 }; // a side, and a picture that takes a second to decode
static const float blank = 2;               // deviation of 255 below which there is nothing to see
static const double skewed = 10;            // largest class to smallest
static const double rare = 0.1;             // share of grey pictures below which they are odd ones
static const char *const part_names[] = {"train", "val", "test", "unused"};

struct study {
    const struct dataset *data;
    const struct exam *exams;
    json_t *findings;
};

// A name as JSON has it; what is not UTF-8 becomes \xNN.
static json_t *name_json(const char *name)
{
    json_t *out = json_string(name);
    if (out != NULL)
        return out;
    char *text = mem_alloc(4 * strlen(name) + 1);
    size_t at = 0;
    for (; text != NULL && *name != '\0'; name++)
        at += (uint8_t)*name < 128 ? (size_t)snprintf(text + at, 2, "%c", *name)
                                   : (size_t)snprintf(text + at, 5, "\\x%02x", (uint8_t)*name);
    out = text != NULL ? json_string(text) : NULL;
    mem_free(text);
    return out;
}

static json_t *picture_json(const struct study *s, size_t index, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static json_t *picture_json(const struct study *s, size_t index, const char *format, ...)
{
    const struct sample *sample = &s->data->samples[index];
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    json_t *label = sample->label >= 0 ? name_json(s->data->classes[sample->label]) : json_null();
    return json_pack("{s:I, s:o, s:o, s:s, s:o}", "sample", (json_int_t)index, "path", name_json(sample->path), "label",
                     label, "part", part_names[sample->part], "detail", name_json(detail));
}

static int gravity(const char *level) { return level[0] == 'e' ? 2 : level[0] == 'w' ? 1 : 0; }

// Takes the list; an empty one is nothing found.  The gravest findings stand first.
static void finding_add(struct study *s, const char *kind, const char *level, const char *title, const char *key,
                        json_t *take_list)
{
    if (json_array_size(take_list) == 0) {
        json_decref(take_list);
        return;
    }
    size_t at = json_array_size(s->findings);
    while (at > 0 && gravity(json_string_value(json_object_get(json_array_get(s->findings, at - 1), "level"))) <
                         gravity(level))
        at--;
    json_array_insert_new(s->findings, at,
                          json_pack("{s:s, s:s, s:s, s:I, s:o}", "kind", kind, "level", level, "title", title, "count",
                                    (json_int_t)json_array_size(take_list), key, take_list));
}

static bool ends_with(const char *path, const char *const *suffixes)
{
    for (; *suffixes != NULL; suffixes++)
        if (path_has_suffix(path, *suffixes))
            return true;
    return false;
}

// The format that a name promises; NULL: none that is known.
static const char *format_named(const char *path)
{
    static const struct {
        const char *format, *suffixes[6];
    } table[] = {{"JPEG", {".jpg", ".jpeg", ".jpe", ".jfif"}},
                 {"PNG", {".png"}},
                 {"WebP", {".webp"}},
                 {"GIF", {".gif"}},
                 {"BMP", {".bmp", ".dib"}},
                 {"TIFF", {".tif", ".tiff"}},
                 {"HEIF", {".heic", ".heif", ".avif", ".hif"}}};
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (ends_with(path, table[i].suffixes))
            return table[i].format;
    return NULL;
}

static void add_single(struct study *s)
{
    json_t *broken = json_array(), *type = json_array(), *tiny = json_array(), *huge = json_array(),
           *empty = json_array();
    for (size_t i = 0; i < s->data->count; i++) {
        const struct exam *e = &s->exams[i];
        const struct sample *sample = &s->data->samples[i];
        if (e->error != NULL) {
            json_array_append_new(broken, picture_json(s, i, "%s", e->error));
            continue;
        }
        const char *named = sample->data == NULL ? format_named(sample->path) : NULL;
        if (named != NULL && e->format != NULL && strcmp(named, e->format) != 0)
            json_array_append_new(type, picture_json(s, i, "named as %s, is %s", named, e->format));
        if (sample->data == NULL && (e->w < TINY || e->h < TINY))
            json_array_append_new(tiny, picture_json(s, i, "%dx%d", e->w, e->h));
        if ((int64_t)e->w * e->h > HUGE_PIXELS)
            json_array_append_new(huge,
                                  picture_json(s, i, "%dx%d, %.0f megapixels", e->w, e->h, (double)e->w * e->h / 1e6));
        if (!s->data->array_float && e->deviation[0] < blank && e->deviation[1] < blank && e->deviation[2] < blank)
            json_array_append_new(
                empty, picture_json(s, i, "all about (%.0f, %.0f, %.0f)", e->mean[0], e->mean[1], e->mean[2]));
    }
    finding_add(s, "broken", "error", "Cannot be read", "pictures", broken);
    finding_add(s, "type", "note", "Named as another format", "pictures", type);
    finding_add(s, "tiny", "warning", "Tiny", "pictures", tiny);
    finding_add(s, "huge", "note", "Huge: slow to decode", "pictures", huge);
    finding_add(s, "blank", "warning", "Blank", "pictures", empty);
}

static const struct { unsigned trait; const char *name; } traits[] = {
    {TRAIT_GREY, "grey"}, {TRAIT_CMYK, "CMYK"}, {TRAIT_PALETTE, "palette"}, {TRAIT_ALPHA, "alpha"},
    {TRAIT_DEEP, "16 bits"}, {TRAIT_BILEVEL, "black and white"}, {TRAIT_ANIMATED, "animated"}};

static void mode_text(unsigned set, char *out, size_t size)
{
    size_t at = 0;
    snprintf(out, size, "colour");
    for (size_t i = 0; i < COUNT_OF(traits) && at < size; i++)
        if ((set & traits[i].trait) != 0)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? ", " : "", traits[i].name);
}

static void add_modes(struct study *s)
{
    json_t *odd = json_array();
    size_t grey = 0, readable = 0;
    for (size_t i = 0; i < s->data->count; i++) {
        readable += s->exams[i].error == NULL;
        grey += s->exams[i].error == NULL && (s->exams[i].traits & TRAIT_GREY) != 0;
    }
    const bool grey_odd = (double)grey < rare * (double)readable;
    for (size_t i = 0; i < s->data->count; i++) {
        char text[128];
        const unsigned set = s->exams[i].traits & ~(unsigned)TRAIT_TURNED;
        mode_text(set, text, sizeof text);
        if (s->exams[i].error == NULL && set != 0 && (set != TRAIT_GREY || grey_odd))
            json_array_append_new(odd, picture_json(s, i, "%s", text));
    }
    finding_add(s, "mode", "note", "Another colour mode than most", "pictures", odd);
}

// Sets of samples that are one picture, those with different labels first, then those in several parts.
static graft_status add_duplicates(struct study *s)
{
    const size_t n = s->data->count;
    struct fingerprint *prints = mem_alloc((n + 1) * sizeof *prints);
    uint64_t *content = mem_alloc((n + 1) * sizeof *content);
    uint32_t *next = mem_alloc((n + 1) * sizeof *next), *last = mem_alloc((n + 1) * sizeof *last);
    struct clusters c = {0};
    graft_status status = GRAFT_OK;
    if (prints == NULL || content == NULL || next == NULL || last == NULL)
        TRY_GOTO(fail_memory("the search for duplicates"));
    for (size_t i = 0; i < n; i++) {
        prints[i] = s->exams[i].print;
        content[i] = s->exams[i].error == NULL ? s->exams[i].content : 0;
        next[i] = UINT32_MAX;
        last[i] = (uint32_t)i;
    }
    TRY_GOTO(clusters_find(prints, content, n, &c));
    for (size_t i = 0; i < n; i++) // every set a list from its root
        if (c.root[i] != i) {
            next[last[c.root[i]]] = (uint32_t)i;
            last[c.root[i]] = (uint32_t)i;
        }
    for (int exact = 1; exact >= 0; exact--)
        for (int rank = 3; rank >= 0; rank--) { // bit 1: labels differ, bit 0: parts do
            json_t *sets = json_array();
            for (size_t i = 0; i < n; i++) {
                bool same = true, labels = false, parts = false;
                if (c.root[i] != i || next[i] == UINT32_MAX)
                    continue;
                for (uint32_t k = next[i]; k != UINT32_MAX; k = next[k]) {
                    same &= c.exact[k];
                    labels |= s->data->samples[k].label != s->data->samples[i].label;
                    parts |= s->data->samples[k].part != s->data->samples[i].part;
                }
                if (same != (exact == 1) || (labels ? 2 : 0) + (parts ? 1 : 0) != rank)
                    continue;
                json_t *set = json_array();
                for (uint32_t k = (uint32_t)i; k != UINT32_MAX; k = next[k])
                    json_array_append_new(
                        set, picture_json(s, k, "%dx%d%s", s->exams[k].w, s->exams[k].h,
                                          k != i && c.exact[k] && exact == 0 ? ", the first's bytes" : ""));
                json_array_append_new(sets, set);
            }
            static const char *const titles[2][4] = {
                {"Nearly the same picture", "Nearly the same picture in different parts",
                 "Nearly the same picture with different labels",
                 "Nearly the same picture with different labels and parts"},
                {"The same picture", "The same picture in different parts", "The same picture with different labels",
                 "The same picture with different labels and parts"}};
            static const char *const kinds[2][4] = {{"near", "near-parts", "near-labels", "near-labels-parts"},
                                                    {"same", "same-parts", "same-labels", "same-labels-parts"}};
            finding_add(s, kinds[exact][rank], rank > 0 ? "warning" : "note", titles[exact][rank], "sets", sets);
        }
done:
    clusters_free(&c);
    mem_free(prints);
    mem_free(content);
    mem_free(next);
    mem_free(last);
    return status;
}

static graft_status add_groups(struct study *s)
{
    const struct dataset *d = s->data;
    size_t (*count)[4] = mem_zero((size_t)d->n_groups + 1, sizeof *count);
    json_t *leaking = json_array();
    if (count == NULL) {
        json_decref(leaking);
        return fail_memory("the groups");
    }
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].group > 0)
            count[d->samples[i].group - 1][d->samples[i].part]++;
    for (int g = 0; g < d->n_groups; g++)
        if ((count[g][0] > 0) + (count[g][1] > 0) + (count[g][2] > 0) > 1)
            json_array_append_new(leaking, json_pack("{s:o, s:I, s:I, s:I}", "group", name_json(d->groups[g]), "train",
                                                     (json_int_t)count[g][0], "val", (json_int_t)count[g][1], "test",
                                                     (json_int_t)count[g][2]));
    mem_free(count);
    finding_add(s, "groups", "error", "Groups with pictures in two parts", "groups", leaking);
    return GRAFT_OK;
}

// A row a class; says in *ratio how uneven the training part is (0: a class is empty).
static json_t *classes_json(const struct dataset *d, const struct exam *exams, double *ratio)
{
    json_t *rows = json_array();
    size_t(*count)[5] = mem_zero((size_t)d->n_classes + 1, sizeof *count); // by part, then broken
    size_t least = SIZE_MAX, most = 0;
    for (size_t i = 0; count != NULL && i < d->count; i++)
        if (d->samples[i].label >= 0)
            count[d->samples[i].label][exams[i].error != NULL ? 4 : (int)d->samples[i].part]++;
    for (int c = 0; count != NULL && c < d->n_classes; c++) {
        json_array_append_new(rows, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "class", name_json(d->classes[c]),
                                              "train", (json_int_t)count[c][0], "val", (json_int_t)count[c][1], "test",
                                              (json_int_t)count[c][2], "unused", (json_int_t)count[c][3], "broken",
                                              (json_int_t)count[c][4]));
        least = count[c][0] < least ? count[c][0] : least;
        most = count[c][0] > most ? count[c][0] : most;
    }
    *ratio = least > 0 && least != SIZE_MAX ? (double)most / (double)least : 0;
    mem_free(count);
    return rows;
}

static void add_balance(struct study *s, const json_t *rows, double ratio)
{
    json_t *list = json_array();
    const json_t *row;
    size_t i;
    json_int_t most = 0;
    json_array_foreach(rows, i, row) {
        const json_int_t n = json_integer_value(json_object_get(row, "train"));
        most = n > most ? n : most;
    }
    json_array_foreach(rows, i, row) {
        const json_int_t n = json_integer_value(json_object_get(row, "train"));
        if ((double)n * skewed <= (double)most && (ratio == 0 || ratio >= skewed))
            json_array_append_new(list, json_pack("{s:O, s:I, s:I}", "class", json_object_get(row, "class"), "train", n,
                                                  "largest", most));
    }
    finding_add(s, "imbalance", "warning", "Classes a tenth of the largest or smaller", "classes", list);
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

static json_t *range_json(int *values, size_t n) // sorts them
{
    qsort(values, n, sizeof *values, ascending);
    return n == 0 ? json_null()
                  : json_pack("{s:i, s:i, s:i}", "least", values[0], "median", values[n / 2], "most", values[n - 1]);
}

static void count_in(json_t *object, const char *key)
{
    json_object_set_new(object, key, json_integer(json_integer_value(json_object_get(object, key)) + 1));
}

// Sizes, formats, modes, and the mean and deviation of all pixels, every picture counting the same.
static graft_status stats_add(const struct study *s, json_t *out)
{
    const size_t n = s->data->count;
    int *w = mem_alloc((n + 1) * sizeof *w), *h = mem_alloc((n + 1) * sizeof *h);
    size_t readable = 0;
    uint64_t bytes = 0;
    double mean[3] = {0}, squares[3] = {0};
    if (w == NULL || h == NULL) {
        mem_free(w);
        mem_free(h);
        return fail_memory("the pictures' sizes");
    }
    json_t *formats = json_object(), *modes = json_object(), *means = json_array(), *deviations = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct exam *e = &s->exams[i];
        char mode[128];
        bytes += e->bytes;
        if (e->error != NULL)
            continue;
        w[readable] = e->w;
        h[readable++] = e->h;
        mode_text(e->traits & ~(unsigned)TRAIT_TURNED, mode, sizeof mode);
        count_in(formats, e->format != NULL ? e->format : "array");
        count_in(modes, mode);
        if ((e->traits & TRAIT_TURNED) != 0)
            count_in(modes, "turned by EXIF");
        for (int c = 0; c < 3; c++) {
            mean[c] += e->mean[c];
            squares[c] += e->mean[c] * e->mean[c] + e->deviation[c] * e->deviation[c];
        }
    }
    for (int c = 0; c < 3 && readable > 0 && !s->data->array_float; c++) {
        const double m = mean[c] / (double)readable;
        json_array_append_new(means, json_real(m));
        json_array_append_new(deviations, json_real(sqrt(fmax(0, squares[c] / (double)readable - m * m))));
    }
    json_object_set_new(out, "pictures", json_integer((json_int_t)n));
    json_object_set_new(out, "broken", json_integer((json_int_t)(n - readable)));
    json_object_set_new(out, "bytes", json_integer((json_int_t)bytes));
    json_object_set_new(out, "width", range_json(w, readable));
    json_object_set_new(out, "height", range_json(h, readable));
    json_object_set_new(out, "formats", formats);
    json_object_set_new(out, "modes", modes);
    json_object_set_new(out, "mean", means);
    json_object_set_new(out, "deviation", deviations);
    mem_free(w);
    mem_free(h);
    return GRAFT_OK;
}

graft_status findings_make(const struct dataset *d, const struct exam *exams, json_t **out)
{
    struct study s = {d, exams, json_array()};
    double ratio;
    graft_status status = GRAFT_OK;
    *out = json_object();
    TRY_GOTO(stats_add(&s, *out));
    json_t *rows = classes_json(d, exams, &ratio);
    json_object_set_new(*out, "classes", rows);
    json_object_set_new(*out, "imbalance", json_real(ratio));
    json_object_set_new(*out, "groups", json_integer(d->n_groups));
    add_single(&s);
    TRY_GOTO(add_groups(&s));
    TRY_GOTO(add_duplicates(&s));
    add_balance(&s, rows, ratio);
    add_modes(&s);
done:
    json_object_set_new(*out, "findings", s.findings);
    if (status != GRAFT_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}
