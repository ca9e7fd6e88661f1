// infer/layer_names.c: see layer_names.h.

#include "infer/layer_names.h"
#include <ctype.h>
#include <string.h>

size_t layer_group_length(const char *name)
{
    const size_t first = strcspn(name, ".");
    if (name[first] == '.' && isdigit((unsigned char)name[first + 1])) {
        const size_t number = strspn(name + first + 1, "0123456789");
        if (name[first + 1 + number] == '.' || name[first + 1 + number] == '\0')
            return first + 1 + number;
    }
    return strlen(name);
}

static size_t in_common(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t n = 0, i = 0;
    for (size_t k = 0; k < b_size && i < a_size; k++)
        if (a[i] == b[k]) {
            i++;
            n++;
        }
    return n;
}

// Layers and groups of them are known.
graft_status fail_layer(const struct graph *g, const char *network, const char *option, const char *name,
                        size_t length)
{
    const char *nearest = "";
    int nearest_length = 0;
    double best = -1;
    for (int i = 0; i < g->n_params; i++) {
        const char *known = g->params[i].name, *end = strrchr(known, '.');
        const size_t whole = end != NULL ? (size_t)(end - known) : strlen(known), group = layer_group_length(known);
        const size_t sizes[] = {group < whole ? group : whole, whole};
        for (int k = 0; k < 2; k++) {
            const double score = 2.0 * (double)in_common(name, length, known, sizes[k]) / (double)(length + sizes[k]);
            if (score > best) {
                best = score;
                nearest = known;
                nearest_length = (int)sizes[k];
            }
        }
    }
    return fail(GRAFT_BAD_OPTION,
                "--%s: no layer '%.*s' in %s; did you mean '%.*s'? `graft models %s --layers` lists them", option,
                (int)length, name, network, nearest_length, nearest, network);
}
