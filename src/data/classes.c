// data/classes.c: class and group names of a data set: adding, ordering, matching with a list that is given.

#include "data/sources.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int class_index(const struct dataset *d, const char *name)
{
    return name_index_find(&d->class_names, d->classes, name);
}

static graft_status name_add(char ***names, int *n, struct name_index *index, const char *name)
{
    char **grown = mem_resize(*names, (size_t)*n + 1, sizeof *grown);
    if (grown == NULL)
        return fail_memory("names");
    *names = grown;
    grown[*n] = mem_text(name);
    if (grown[*n] == NULL)
        return fail_memory("names");
    if (!name_index_put(index, grown, (size_t)*n)) {
        mem_free(grown[*n]);
        return fail_memory("names");
    }
    (*n)++;
    return GRAFT_OK;
}

graft_status class_add(struct dataset *d, const char *name)
{
    return name_add(&d->classes, &d->n_classes, &d->class_names, name);
}

graft_status class_find(struct dataset *d, const char *name, int *label)
{
    *label = class_index(d, name);
    if (*label >= 0)
        return GRAFT_OK;
    *label = d->n_classes;
    return class_add(d, name);
}

graft_status classes_number(struct dataset *d, int n)
{
    while (d->n_classes < n) {
        char name[16];
        snprintf(name, sizeof name, "%d", d->n_classes);
        TRY(class_add(d, name));
    }
    return GRAFT_OK;
}

graft_status group_find(struct dataset *d, const char *name, int *group)
{
    *group = name[0] != '\0' ? name_index_find(&d->group_names, d->groups, name) + 1 : 0;
    if (name[0] == '\0' || *group > 0)
        return GRAFT_OK;
    TRY(name_add(&d->groups, &d->n_groups, &d->group_names, name));
    *group = d->n_groups;
    return GRAFT_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// `place` is by old number.
static void classes_renumber(struct dataset *d, const int *place)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].label >= 0)
            d->samples[i].label = place[d->samples[i].label];
}

static void classes_forget(struct dataset *d)
{
    for (int i = 0; i < d->n_classes; i++)
        mem_free(d->classes[i]);
    d->n_classes = 0;
    name_index_free(&d->class_names);
}

graft_status classes_sort(struct dataset *d)
{
    const size_t n = (size_t)d->n_classes;
    if (n == 0)
        return GRAFT_OK;
    char **before = mem_alloc(n * sizeof *before);
    int *place = mem_alloc(n * sizeof *place);
    graft_status status = GRAFT_OK;
    if (before == NULL || place == NULL)
        TRY_GOTO(fail_memory("class names"));
    memcpy(before, d->classes, n * sizeof *before);
    qsort(d->classes, n, sizeof *d->classes, by_name);
    name_index_free(&d->class_names);
    for (size_t i = 0; i < n; i++)
        if (!name_index_put(&d->class_names, d->classes, i))
            TRY_GOTO(fail_memory("class names"));
    for (size_t i = 0; i < n; i++)
        place[i] = class_index(d, before[i]);
    classes_renumber(d, place);
done:
    mem_free(before);
    mem_free(place);
    return status;
}

// The data's classes become the given ones: by name, or, where the data only number them, by number.
static graft_status classes_match(const struct data_options *o, struct dataset *d)
{
    const int n = d->n_classes;
    const char *from = o->classes_from != NULL ? o->classes_from : "the model";
    struct dataset given = {0}; // only its names
    int *place = mem_alloc(((size_t)n + 1) * sizeof *place);
    graft_status status = place != NULL ? GRAFT_OK : fail_memory("class names");
    for (int i = 0; status == GRAFT_OK && i < o->n_classes; i++)
        status = class_index(&given, o->classes[i]) < 0
                     ? class_add(&given, o->classes[i])
                     : fail(GRAFT_BAD_FILE, "%s names the class '%s' twice", from, o->classes[i]);
    bool all = true;
    for (int i = 0; status == GRAFT_OK && i < n; i++) {
        place[i] = class_index(&given, d->classes[i]);
        all &= place[i] >= 0;
        if (place[i] < 0 && !d->numbered)
            status = fail(GRAFT_BAD_FILE, "%s: class '%s' is not among the %d classes of %s ('%s', ...)", o->paths[0],
                          d->classes[i], o->n_classes, from, o->classes[0]);
    }
    if (status == GRAFT_OK && !all && n > o->n_classes)
        status = fail(GRAFT_BAD_FILE, "%s: %d classes, but %s has %d", o->paths[0], n, from, o->n_classes);
    if (status == GRAFT_OK && !all) {
        log_info("%s: the classes are numbers; they stand for the names of %s in its order", o->paths[0], from);
        for (int i = 0; i < n; i++)
            place[i] = i;
    }
    if (status == GRAFT_OK) {
        classes_renumber(d, place);
        classes_forget(d);
        mem_free(d->classes);
        d->classes = given.classes;
        d->n_classes = given.n_classes;
        d->class_names = given.class_names;
        given = (struct dataset){0};
    }
    dataset_free(&given);
    mem_free(place);
    return status;
}

graft_status classes_check(const struct data_options *o, struct dataset *d)
{
    if (o->classes == NULL)
        TRY(classes_number(d, o->num_classes));
    if (d->count == 0)
        return fail(GRAFT_BAD_FILE, "%s: no picture in it", o->paths[0]);
    if (d->n_classes < 2 && o->num_classes == 0 && o->classes == NULL)
        return fail(GRAFT_BAD_FILE, "%s: only one class, '%s'; a folder per class is expected, at least two (or say "
                    "--num-classes)", o->paths[0], d->n_classes > 0 ? d->classes[0] : "");
    if (o->num_classes > 0 && d->n_classes > o->num_classes)
        return fail(GRAFT_BAD_FILE, "%s: %d classes, more than --num-classes %d", o->paths[0], d->n_classes,
                    o->num_classes);
    if (o->classes != NULL)
        TRY(classes_match(o, d));
    bool *used = mem_zero((size_t)d->n_classes, sizeof *used);
    if (used == NULL)
        return fail_memory("class names");
    for (size_t i = 0; i < d->count; i++)
        if (d->samples[i].label >= 0)
            used[d->samples[i].label] = true;
    int empty = 0, first = -1;
    for (int c = 0; c < d->n_classes; c++)
        if (!used[c]) {
            first = first < 0 ? c : first;
            empty++;
        }
    mem_free(used);
    if (empty > 0 && !d->numbered && o->num_classes == 0)
        log_warning("%d of %d classes have no picture: '%s'%s", empty, d->n_classes, d->classes[first],
                    empty > 1 ? ", ..." : "");
    return GRAFT_OK;
}

graft_status class_list_read(const char *path, char ***out, int *n)
{
    struct file_map map;
    struct dataset list = {0}; // only its names
    graft_status status = GRAFT_OK;
    TRY(file_map_open(path, &map));
    for (size_t at = 0; at < map.data.size && status == GRAFT_OK;) {
        const uint8_t *from = map.data.ptr + at, *end = memchr(from, '\n', map.data.size - at);
        const size_t length = end != NULL ? (size_t)(end - from) : map.data.size - at;
        char *name = mem_format("%.*s", (int)length, (const char *)from);
        if (name == NULL)
            status = fail_memory("class names");
        else {
            name[strcspn(name, "\r")] = '\0';
            if (name[0] != '\0')
                status = class_index(&list, name) < 0
                             ? class_add(&list, name)
                             : fail(GRAFT_BAD_FILE, "%s names the class '%s' twice", path, name);
        }
        mem_free(name);
        at += length + 1;
    }
    file_map_close(&map);
    if (status == GRAFT_OK && list.n_classes == 0)
        status = fail(GRAFT_BAD_FILE, "%s: no class name in it; one a line is expected", path);
    if (status == GRAFT_OK) {
        *out = list.classes;
        *n = list.n_classes;
        list.classes = NULL;
        list.n_classes = 0;
    }
    dataset_free(&list);
    return status;
}
