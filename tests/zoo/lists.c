// zoo/lists.c: see lists.h.

#include "lists.h"
#include "base/memory.h"
#include "base/status.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifndef GRAFT_SOURCE
#define GRAFT_SOURCE "."
#endif

void list_read(const char *network, const void *data, struct tensor_set *set)
{
    char path[4096], line[512];
    const char *folder = getenv("GRAFT_GOLDEN");
    snprintf(path, sizeof path, "%s/zoo/%s.txt", folder ? folder : GRAFT_SOURCE "/tests/golden", network);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    memset(set, 0, sizeof *set);
    while (fgets(line, sizeof line, file)) {
        struct shape shape = {0};
        char *rest = NULL, *name = strtok_r(line, " \n", &rest), *word;
        while ((word = strtok_r(NULL, " \n", &rest)))
            shape.dim[shape.rank++] = strtol(word, NULL, 10);
        assert_int_equal(tensor_set_add(set, name, DTYPE_F32, shape, data), GRAFT_OK);
    }
    fclose(file);
    assert_true(set->count > 0);
}

void list_rename(struct tensor_set *set, size_t at, const char *name)
{
    mem_free(set->items[at].name);
    set->items[at].name = mem_text(name);
}

size_t list_find(const struct tensor_set *set, const char *name)
{
    const struct named_tensor *tensor = tensor_find(set, name);
    if (!tensor)
        fail_msg("no tensor '%s'", name);
    return (size_t)(tensor - set->items);
}

void list_drop(struct tensor_set *set, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        mem_free(set->items[i].name);
    memmove(&set->items[at], &set->items[at + count], (set->count - at - count) * sizeof *set->items);
    set->count -= count;
}

float list_value(const struct tensor_set *set, const char *name, size_t at)
{
    const struct named_tensor *t = tensor_find(set, name);
    size_t count;
    assert_true(t != NULL && shape_count(t->shape, &count) && at < count);
    float *values = malloc(count * sizeof *values);
    assert_int_equal(tensor_to_f32(t, values), GRAFT_OK);
    const float value = values[at];
    free(values);
    return value;
}

void list_covers(const struct graph *g, const struct tensor_set *set)
{
    int constants = 0;
    for (int i = 0; i < g->n_params; i++) {
        const struct named_tensor *tensor = tensor_find(set, g->params[i].name);
        if (g->params[i].constant) {
            constants++;
            continue;
        }
        if (!tensor)
            fail_msg("the framework has no '%s'", g->params[i].name);
        if (!shape_equal(tensor->shape, g->params[i].shape))
            fail_msg("'%s' is %s, the framework's %s", tensor->name, shape_text(g->params[i].shape),
                     shape_text(tensor->shape));
    }
    assert_int_equal(set->count, g->n_params - constants);
}
