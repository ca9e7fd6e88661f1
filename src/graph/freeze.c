// graph/freeze.c: which nodes and parameters train, rows by name, and what a network costs.

#include "graph/graph.h"
#include <string.h>

graft_status graph_freeze(struct graph *g, int rows, enum bn_mode bn)
{
    if (rows < 0 || rows > g->n_rows)
        return fail(GRAFT_BAD_OPTION, "--freeze %d: this network has %d rows (see `graft models NET --layers`)", rows,
                    g->n_rows);
    for (int i = 0; i < g->n_nodes; i++) {
        struct node *node = &g->nodes[i];
        node->trains = node->n_params > 0 && node->row >= rows && (node->op != OP_BN || bn != BN_FROZEN);
        for (int k = 0; k < node->n_params; k++)
            g->params[node->param[k]].trains = node->trains && !g->params[node->param[k]].running;
    }
    return GRAFT_OK;
}

const char *graph_row_name(const struct graph *g, int row)
{
    static _Thread_local char name[128];
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].row == row && g->nodes[i].op != OP_BN) {
            const char *full = g->params[g->nodes[i].param[0]].name;
            const size_t length = strlen(full) - strlen(".weight");
            ASSERT(length < sizeof name);
            memcpy(name, full, length);
            name[length] = '\0';
            return name;
        }
    return NULL;
}

int graph_row_named(const struct graph *g, const char *name)
{
    const size_t length = strlen(name);
    int last = -1;
    for (int row = 0; row < g->n_rows; row++) {
        const char *known = graph_row_name(g, row);
        if (strncmp(known, name, length) == 0 && (known[length] == '\0' || known[length] == '.'))
            last = row + 1;
    }
    return last;
}

double graph_multiply_adds(const struct graph *g)
{
    double sum = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        size_t weights;
        if (node->op != OP_CONV && node->op != OP_DENSE)
            continue;
        const struct value *out = &g->values[node->out];
        ASSERT(shape_count(g->params[node->param[0]].shape, &weights));
        sum += (double)weights * (node->op == OP_CONV ? (double)out->h * out->w : 1);
    }
    return sum;
}

size_t graph_parameters(const struct graph *g, bool trainable_only)
{
    size_t sum = 0, count;
    for (int i = 0; i < g->n_params; i++)
        if (!g->params[i].running && (!trainable_only || g->params[i].trains)) {
            ASSERT(shape_count(g->params[i].shape, &count));
            sum += count;
        }
    return sum;
}
