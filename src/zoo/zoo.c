// zoo/zoo.c: the list of networks, made of the families' rows; layers by any of their names.

#include "zoo/families.h"
#include <math.h>

static const struct family { const struct network *rows; const int *count; } families[] = {
#define FAMILY(name) {name##_networks, &name##_count},
#include "zoo/families.def"
#undef FAMILY
};

int zoo_count(void)
{
    int sum = 0;
    for (size_t i = 0; i < COUNT_OF(families); i++)
        sum += *families[i].count;
    return sum;
}

const struct network *zoo_at(int index)
{
    for (size_t i = 0; i < COUNT_OF(families); i++) {
        if (index < *families[i].count)
            return &families[i].rows[index];
        index -= *families[i].count;
    }
    return NULL;
}

static bool below(const char *name, const char *prefix)
{
    const size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 && name[length] == '.';
}

bool network_heads(const struct network *net, const char *name)
{
    bool found = below(name, net->head);
    for (int i = 0; i < network_aux_count(net); i++)
        found |= below(name, net->aux[i].name);
    return found;
}

int network_aux_count(const struct network *net)
{
    int n = 0;
    while (net->aux != NULL && net->aux[n].name != NULL)
        n++;
    return n;
}

const struct network *zoo_find(const char *name)
{
    const struct network *net;
    for (int i = 0; (net = zoo_at(i)) != NULL; i++)
        if (strcmp(net->name, name) == 0)
            return net;
    const size_t base = strcspn(name, "@");
    char *end;
    const double width = name[base] == '@' ? strtod(name + base + 1, &end) : 0;
    for (int i = 0; width >= 0.05 && width <= 2 && *end == '\0' && (net = zoo_at(i)) != NULL; i++)
        if (net->widened != NULL && strlen(net->name) == base && strncmp(net->name, name, base) == 0)
            return net->widened(net, width);
    return NULL;
}

bool zoo_variants(const struct network *a, const struct network *b)
{
    const size_t base = strcspn(a->name, ".@");
    return strcspn(b->name, ".@") == base && strncmp(a->name, b->name, base) == 0;
}

static int edit_distance(const char *a, const char *b)
{
    int row[64];
    const int n = (int)strlen(b) < 63 ? (int)strlen(b) : 63;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1] != '\0'; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int kept = row[j], change = diagonal + (a[i - 1] != b[j - 1]);
            const int step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = change < step ? change : step;
            diagonal = kept;
        }
    }
    return row[n];
}

const char *zoo_nearest(const char *name)
{
    const struct network *net, *best = zoo_at(0);
    for (int i = 1; (net = zoo_at(i)) != NULL; i++)
        if (edit_distance(name, net->name) < edit_distance(name, best->name))
            best = net;
    return best->name;
}

void input_scaled(struct input_spec *spec, int size)
{
    spec->resize = (int)lround((double)spec->resize * size / spec->size);
    spec->size = size;
}

// --- layers by name --------------------------------------------------------------------------------------------------

bool node_prefix(const struct graph *g, int node, char *out, size_t size)
{
    const struct node *n = &g->nodes[node];
    if (n->n_params == 0)
        return false;
    const char *name = g->params[n->param[0]].name;
    const size_t length = (size_t)(strrchr(name, '.') - name);
    if (length >= size)
        return false;
    memcpy(out, name, length);
    out[length] = '\0';
    return true;
}

bool dialect_layer(const struct dialect *dialect, const struct network *net, const struct graph *g, int node, char *out,
                   size_t size)
{
    return dialect->layer != NULL ? dialect->layer(net, g, node, out, size) : node_prefix(g, node, out, size);
}

// Rows up to the last node of that name; else, of a name that goes on after a separator ("conv2_block1" + "_1_conv").
static int rows_in_dialect(const struct dialect *dialect, const struct network *net, const struct graph *g,
                           const char *name)
{
    const size_t length = strlen(name);
    int rows = -1, exact = -1, before = 0; // rows of the nodes so far
    for (int i = 0; i < g->n_nodes; i++) {
        char layer[128];
        if (g->nodes[i].row + 1 > before)
            before = g->nodes[i].row + 1;
        if (!dialect_layer(dialect, net, g, i, layer, sizeof layer) || strncmp(layer, name, length) != 0)
            continue;
        const bool holds = g->nodes[i].n_params > 0;
        if (layer[length] != '\0' && !(holds && strchr("._/", layer[length]) != NULL))
            continue;
        const int here = holds ? g->nodes[i].row + 1 : before;
        if (here > rows)
            rows = here;
        if (layer[length] == '\0' && here > exact)
            exact = here;
    }
    return exact >= 0 ? exact : rows;
}

// What stands before the first dense layer, as frameworks call it: no node of ours.
static int rows_before_dense(const struct graph *g, const char *name)
{
    static const char *const names[] = {"flatten", "avgpool", "avg_pool", "global_pool"};
    for (size_t k = 0; k < COUNT_OF(names); k++)
        for (int i = 0; i < g->n_nodes && strcmp(name, names[k]) == 0; i++)
            if (g->nodes[i].op == OP_DENSE)
                return g->nodes[i].row;
    return -1;
}

int zoo_row_named(const struct network *net, const struct graph *g, const char *name)
{
    const struct network *variant;
    int rows = name[0] == '\0' ? -1 : graph_row_named(g, name);
    for (const struct dialect *d = net->dialects; rows < 0 && d->title != NULL; d++)
        rows = rows_in_dialect(d, net, g, name);
    for (int i = 0; rows < 0 && (variant = zoo_at(i)) != NULL; i++) // another framework's names are understood too
        for (const struct dialect *d = variant->dialects; rows < 0 && zoo_variants(net, variant) && d->title != NULL;
             d++)
            rows = rows_in_dialect(d, net, g, name);
    return rows >= 0 ? rows : rows_before_dense(g, name);
}
