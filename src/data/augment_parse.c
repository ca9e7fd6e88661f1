// data/augment_parse.c: the table of augmentation parts and presets, and reading a text of them.
// Grammar:  text = item {"," item};  item = preset | name ["=" value];  value = number | low "-" high
//           | first ":" second | choice.  A part whose row has a default may stand without a value.

#include "data/augment.h"
#include "base/names.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form { FORM_SWITCH, FORM_NUMBER, FORM_RANGE, FORM_PAIR, FORM_CHOICE };
struct row {
    const char *name;
    enum form form;
    double a, b;               // defaults; NAN: a value is needed
    double least_a, most_a, least_b, most_b;
    const char *expected;      // in messages; a choice's words, separated by spaces
};
#define NONE NAN, NAN
static const struct row rows[AUGMENT_PARTS] = {
    [AUGMENT_FLIP] = {"flip", FORM_CHOICE, FLIP_H, 0, 0, 0, 0, 0, "h v hv"},
    [AUGMENT_ROTATE] = {"rotate", FORM_NUMBER, NONE, 0, 180, 0, 0, "degrees from 0 to 180, such as rotate=10"},
    [AUGMENT_SHIFT] = {"shift", FORM_NUMBER, NONE, 0, 1, 0, 0, "a part of the side from 0 to 1, such as shift=0.1"},
    [AUGMENT_SCALE] = {"scale", FORM_RANGE, NONE, 0.05, 20, 0.05, 20,
                       "two factors from 0.05 to 20, such as scale=0.8-1.2"},
    [AUGMENT_SHEAR] = {"shear", FORM_NUMBER, NONE, 0, 60, 0, 0, "degrees from 0 to 60, such as shear=5"},
    [AUGMENT_CROP] = {"crop", FORM_RANGE, NONE, 0.01, 1, 0.01, 1,
                      "two parts of the area from 0.01 to 1, such as crop=0.6-1"},
    [AUGMENT_BORDER] = {"border", FORM_CHOICE, NONE, 0, 0, 0, 0, "mean black edge reflect"},
    [AUGMENT_COLOR] = {"color", FORM_NUMBER, NONE, 0, 1, 0, 0, "a strength from 0 to 1, such as color=0.2"},
    [AUGMENT_HUE] = {"hue", FORM_NUMBER, NONE, 0, 0.5, 0, 0,
                     "turns of the colour circle from 0 to 0.5, such as hue=0.02"},
    [AUGMENT_GREY] = {"grey", FORM_NUMBER, 0.1, 0, 0, 1, 0, 0, "a probability from 0 to 1, such as grey=0.1"},
    [AUGMENT_BLUR] = {"blur", FORM_PAIR, 0.5, 2, 0, 1, 0.1, 50,
                      "a probability and the largest sigma in pixels, such as blur=0.5:2"},
    [AUGMENT_ERASE] = {"erase", FORM_NUMBER, 0.25, 0, 0, 1, 0, 0, "a probability from 0 to 1, such as erase=0.1"},
    [AUGMENT_RANDAUGMENT] = {"randaugment", FORM_PAIR, 2, 9, 1, 14, 0, 30,
                             "operations (1 to 14) and magnitude (0 to 30), such as randaugment=2:9"},
    [AUGMENT_TRIVIAL] = {"trivial", FORM_SWITCH, 1, 0, 0, 0, 0, 0, "no value"},
    [AUGMENT_MIXUP] = {"mixup", FORM_NUMBER, 0.2, 0, 0.05, 10, 0, 0, "an alpha from 0.05 to 10, such as mixup=0.2"},
    [AUGMENT_CUTMIX] = {"cutmix", FORM_NUMBER, 1, 0, 0.05, 10, 0, 0, "an alpha from 0.05 to 10, such as cutmix=1"}};

static const struct {
    const char *name, *text;
} presets[] = {{"none", ""},
               {"light", "flip=h,rotate=5,shift=0.05,scale=0.95-1.05"},
               {"standard", "flip=h,crop=0.5-1,rotate=10,color=0.2"},
               {"strong", "flip=h,crop=0.25-1,randaugment=2:9,erase=0.25,mixup=0.2,cutmix=1"},
               // The side of the road matters, so no flip: the competition's rotations and translations.
               {"statefarm", "rotate=10,shift=0.1"}};

static bool number_read(const char *text, char **end, double *out)
{
    *out = strtod(text, end);
    return *end != text && isfinite(*out) && *text != ' ' && *text != '+' && *text != '-';
}

static int choice_index(const char *words, const char *word)
{
    const size_t length = strlen(word);
    int index = 0;
    for (const char *at = words; *at != '\0'; index++) {
        const size_t n = strcspn(at, " ");
        if (n == length && strncmp(at, word, n) == 0)
            return index;
        at += n + (at[n] == ' ');
    }
    return -1;
}

// false: the value is not what the row expects.
static bool value_read(const struct row *r, const char *text, double *a, double *b)
{
    char *end;
    if (r->form == FORM_CHOICE) {
        const int index = choice_index(r->expected, text);
        *a = r == &rows[AUGMENT_FLIP] ? index + 1 : index; // FLIP_H, FLIP_V, both
        return index >= 0;
    }
    if (r->form == FORM_SWITCH || !number_read(text, &end, a))
        return false;
    const char separator = r->form == FORM_RANGE ? '-' : r->form == FORM_PAIR ? ':' : '\0';
    *b = r->form == FORM_RANGE ? *a : r->b;
    if (separator != '\0' && *end == separator && !number_read(end + 1, &end, b))
        return false;
    const bool whole = r != &rows[AUGMENT_RANDAUGMENT] || (*a == floor(*a) && *b == floor(*b));
    return *end == '\0' && *a >= r->least_a && *a <= r->most_a && whole &&
           (separator == '\0' || (*b >= r->least_b && *b <= r->most_b && (r->form != FORM_RANGE || *a <= *b)));
}

static graft_status unknown(const char *name)
{
    const char *names[AUGMENT_PARTS + COUNT_OF(presets)];
    char list[256] = "";
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        names[i] = i < AUGMENT_PARTS ? rows[i].name : presets[i - AUGMENT_PARTS].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), " %s", names[i]);
    }
    return fail(GRAFT_BAD_OPTION, "--augment has no part '%s'; did you mean '%s'? The parts are%s", name,
                name_nearest(name, names, COUNT_OF(names)), list);
}

static graft_status text_read(const char *text, struct augment *out);

static graft_status item_read(char *item, struct augment *out)
{
    char *equals = strchr(item, '=');
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (equals != NULL)
        *equals = '\0';
    for (size_t i = 0; i < COUNT_OF(presets) && value == NULL; i++)
        if (strcmp(item, presets[i].name) == 0) {
            if (presets[i].text[0] == '\0')
                *out = (struct augment){0};
            return text_read(presets[i].text, out);
        }
    for (int i = 0; i < AUGMENT_PARTS; i++) {
        const struct row *r = &rows[i];
        if (strcmp(item, r->name) != 0)
            continue;
        out->a[i] = r->a;
        out->b[i] = r->b;
        out->on[i] = true;
        if (value == NULL ? !isnan(r->a) : value_read(r, value, &out->a[i], &out->b[i]))
            return GRAFT_OK;
        return fail(GRAFT_BAD_OPTION, "--augment %s%s%s: %s%s expected", item, value != NULL ? "=" : "",
                    value != NULL ? value : "", r->form == FORM_CHOICE ? "one of " : "", r->expected);
    }
    return unknown(item);
}

static graft_status text_read(const char *text, struct augment *out)
{
    for (const char *at = text; *at != '\0';) {
        char item[64];
        const size_t n = strcspn(at, ",");
        if (n >= sizeof item)
            return fail(GRAFT_BAD_OPTION, "--augment: '%.40s...' is no part", at);
        memcpy(item, at, n);
        item[n] = '\0';
        TRY(item_read(item, out));
        at += n + (at[n] == ',');
    }
    return GRAFT_OK;
}

graft_status augment_parse(const char *text, struct augment *out)
{
    *out = (struct augment){0};
    TRY(text_read(text, out));
    if (out->on[AUGMENT_RANDAUGMENT] && out->on[AUGMENT_TRIVIAL])
        return fail(GRAFT_BAD_OPTION, "--augment: randaugment and trivial exclude each other");
    return GRAFT_OK;
}

bool augment_any(const struct augment *a)
{
    for (int i = 0; i < AUGMENT_PARTS; i++)
        if (a->on[i])
            return true;
    return false;
}

void augment_text(const struct augment *a, char *out, size_t size)
{
    size_t at = 0;
    snprintf(out, size, "none");
    for (int i = 0; i < AUGMENT_PARTS && at < size; i++) {
        const struct row *r = &rows[i];
        char value[64] = "";
        if (!a->on[i])
            continue;
        if (r->form == FORM_CHOICE) {
            const char *word = r->expected;
            for (int k = i == AUGMENT_FLIP ? 1 : 0; k < (int)a->a[i]; k++)
                word += strcspn(word, " ") + 1;
            snprintf(value, sizeof value, "=%.*s", (int)strcspn(word, " "), word);
        } else if (r->form == FORM_NUMBER)
            snprintf(value, sizeof value, "=%g", a->a[i]);
        else if (r->form != FORM_SWITCH)
            snprintf(value, sizeof value, "=%g%c%g", a->a[i], r->form == FORM_RANGE ? '-' : ':', a->b[i]);
        at += (size_t)snprintf(out + at, size - at, "%s%s%s", at > 0 ? "," : "", r->name, value);
    }
}
