// cli/show_data.c: what `graft data` found, for people.

#include "show.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MANY_FINDINGS = 8 };

static void show_picture(const json_t *p)
{
    const char *path = text_of(p, "path"), *detail = text_of(p, "detail");
    const bool named = strncmp(detail, path, strlen(path)) == 0; // a reader's message names the file
    printf("  %s%s%s\n", named ? "" : path, named ? "" : ": ", detail);
}

static void show_finding(const json_t *f)
{
    const json_t *pictures = json_object_get(f, "pictures"), *sets = json_object_get(f, "sets"), *item, *inner;
    const json_t *groups = json_object_get(f, "groups"), *classes = json_object_get(f, "classes");
    size_t i, k;
    const size_t all =
        json_array_size(pictures) + json_array_size(sets) + json_array_size(groups) + json_array_size(classes);
    printf("\n%s: %s (%zu)\n", text_of(f, "level"), text_of(f, "title"), all);
    json_array_foreach(pictures, i, item)
        if (i < MANY_FINDINGS)
            show_picture(item);
    json_array_foreach(sets, i, item) {
        if (i >= MANY_FINDINGS)
            break;
        json_array_foreach(item, k, inner)
            if (k < MANY_FINDINGS)
                printf("  %s%s (%s, %s)\n", k == 0 ? "" : "  = ", text_of(inner, "path"), text_of(inner, "label"),
                       text_of(inner, "part"));
        if (json_array_size(item) > MANY_FINDINGS)
            printf("    = and %zu more\n", json_array_size(item) - MANY_FINDINGS);
    }
    json_array_foreach(groups, i, item)
        if (i < MANY_FINDINGS)
            printf("  %s: %.0f train, %.0f val, %.0f test\n", text_of(item, "group"), number_of(item, "train"),
                   number_of(item, "val"), number_of(item, "test"));
    json_array_foreach(classes, i, item)
        if (i < MANY_FINDINGS)
            printf("  %s: %.0f, the largest has %.0f\n", text_of(item, "class"), number_of(item, "train"),
                   number_of(item, "largest"));
    if (all > MANY_FINDINGS)
        printf("  and %zu more (--json lists all)\n", all - MANY_FINDINGS);
}

static void show_counts(const char *name, const json_t *o)
{
    const char *key;
    const json_t *value;
    const char *between = "";
    printf("%-10s", name);
    json_object_foreach((json_t *)o, key, value) {
        printf("%s%s %.0f", between, key, json_number_value(value));
        between = ", ";
    }
    printf("\n");
}

void show_data(const json_t *o)
{
    const json_t *rows = json_object_get(o, "classes"), *findings = json_object_get(o, "findings"), *item;
    const json_t *w = json_object_get(o, "width"), *h = json_object_get(o, "height"),
                 *mean = json_object_get(o, "mean");
    const json_t *deviation = json_object_get(o, "deviation");
    size_t i;
    if (json_object_get(o, "sheet") != NULL) {
        printf("%s: %.0fx%.0f\n", text_of(o, "sheet"), number_of(o, "width"), number_of(o, "height"));
        return;
    }
    printf("pictures  %.0f in %zu classes, %.0f broken, %.1f MB\n", number_of(o, "pictures"), json_array_size(rows),
           number_of(o, "broken"), number_of(o, "bytes") / 1e6);
    if (json_is_object(w))
        printf("size      %.0fx%.0f (median; %.0f to %.0f across, %.0f to %.0f down)\n", number_of(w, "median"),
               number_of(h, "median"), number_of(w, "least"), number_of(w, "most"), number_of(h, "least"),
               number_of(h, "most"));
    show_counts("formats", json_object_get(o, "formats"));
    show_counts("modes", json_object_get(o, "modes"));
    if (json_array_size(mean) == 3)
        printf("pixels    mean %.1f %.1f %.1f, deviation %.1f %.1f %.1f\n", json_number_value(json_array_get(mean, 0)),
               json_number_value(json_array_get(mean, 1)), json_number_value(json_array_get(mean, 2)),
               json_number_value(json_array_get(deviation, 0)), json_number_value(json_array_get(deviation, 1)),
               json_number_value(json_array_get(deviation, 2)));
    if (json_array_size(rows) <= MANY_CLASSES) {
        printf("%-24s %8s %8s %8s %8s\n", "class", "train", "val", "test", "broken");
        json_array_foreach(rows, i, item)
            printf("%-24s %8.0f %8.0f %8.0f %8.0f\n", text_of(item, "class"), number_of(item, "train"),
                   number_of(item, "val"), number_of(item, "test"), number_of(item, "broken"));
    }
    if (findings != NULL && json_array_size(findings) == 0)
        printf("\nnothing wrong, nothing odd\n");
    json_array_foreach(findings, i, item)
        show_finding(item);
    if (json_object_get(o, "moved") != NULL)
        printf("\nmoved away: %.0f\n", number_of(o, "moved"));
}
