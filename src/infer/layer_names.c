// infer/layer_names.c: see layer_names.h.

#include "infer/layer_names.h"
#include <ctype.h>
#include <stdio.h>
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

enum { LONGEST = 96, SHOWN = 3 };

// Letters to change, leave out, put in or swap with the next one, to make one name of the other (its first `b_size`).
static int distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int rows[3][LONGEST + 1], *above = rows[0], *last = rows[1], *now = rows[2];
    a_size = a_size < LONGEST ? a_size : LONGEST;
    b_size = b_size < LONGEST ? b_size : LONGEST;
    for (size_t k = 0; k <= b_size; k++)
        last[k] = (int)k;
    for (size_t i = 1; i <= a_size; i++) {
        now[0] = (int)i;
        for (size_t k = 1; k <= b_size; k++) {
            int least = last[k - 1] + (a[i - 1] != b[k - 1]);
            least = last[k] + 1 < least ? last[k] + 1 : least;
            least = now[k - 1] + 1 < least ? now[k - 1] + 1 : least;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && above[k - 2] + 1 < least)
                least = above[k - 2] + 1;
            now[k] = least;
        }
        int *const free_row = above;
        above = last;
        last = now;
        now = free_row;
    }
    return last[b_size];
}

struct near { const char *name; int length, distance; };

// Into a short list with the nearest first; of equals the one that came first.
static void near_take(struct near near[SHOWN], int *n, struct near found)
{
    int at = *n;
    for (int i = 0; i < *n; i++)
        if (near[i].length == found.length && memcmp(near[i].name, found.name, (size_t)found.length) == 0)
            return;
    while (at > 0 && near[at - 1].distance > found.distance)
        at--;
    if (at == SHOWN)
        return;
    *n += *n < SHOWN;
    for (int i = *n - 1; i > at; i--)
        near[i] = near[i - 1];
    near[at] = found;
}

// Where one layer is needed and a group was named.
static graft_status fail_group(const struct graph *g, const char *option, const char *name, size_t length)
{
    char first[LONGEST] = "", last[LONGEST] = ""; // graph_row_name's text lasts until its next call
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        if ((node->op != OP_CONV && node->op != OP_DENSE) || node->row < 0)
            continue;
        const char *layer = graph_row_name(g, node->row);
        if (layer_group_length(layer) == length && strlen(layer) > length && strncmp(layer, name, length) == 0) {
            snprintf(last, sizeof last, "%s", layer);
            if (first[0] == '\0')
                memcpy(first, last, sizeof first);
        }
    }
    return first[0] == '\0'
               ? GRAFT_OK
               : fail(GRAFT_BAD_OPTION, "--%s: '%.*s' is a group of layers; name one of them, '%s' to '%s'", option,
                      (int)length, name, first, last);
}

// Layers and groups of them are known.
graft_status fail_layer(const struct graph *g, const char *network, const char *option, const char *name,
                        size_t length)
{
    struct near near[SHOWN];
    char list[SHOWN * (LONGEST + 8)] = "";
    int n = 0;
    TRY(fail_group(g, option, name, length));
    for (int i = 0; i < g->n_params; i++) {
        const char *known = g->params[i].name, *end = strrchr(known, '.');
        const size_t whole = end != NULL ? (size_t)(end - known) : strlen(known), group = layer_group_length(known);
        const size_t sizes[] = {group < whole ? group : whole, whole};
        for (int k = 0; k < 2; k++)
            near_take(near, &n, (struct near){known, (int)sizes[k], distance(name, length, known, sizes[k])});
    }
    for (int i = 0; i < n && near[i].distance <= near[0].distance + 1; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s'%.*s'", i == 0 ? "" : " or ",
                 near[i].length < LONGEST ? near[i].length : LONGEST, near[i].name);
    return fail(GRAFT_BAD_OPTION, "--%s: no layer '%.*s' in %s; did you mean %s? `graft models %s --layers` lists them",
                option, (int)length, name, network, list, network);
}
