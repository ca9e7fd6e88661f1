// graph/freeze.c: which nodes and parameters train, and rows by name.
// A row is a convolution or a dense layer with the BatchNorm and scale that follow it.

#include "base/status.h"
#include "graph/graph.h"
#include <string.h>

graft_status graph_freeze(struct graph *g, int rows, enum bn_mode bn)
{
    if (rows < 0 || rows > g->n_rows)
        return fail(GRAFT_BAD_OPTION, "--freeze %d: this network has %d rows (see `graft models NET --layers`)", rows,
                    g->n_rows);
    for (int i = 0; i < g->n_nodes; i++) {
        struct node *node = &g->nodes[i];
        // A BatchNorm or scale before the first row has row -1 and freezes with that row.
        const bool fixed = !node->for_loss || (rows > 0 && node->row < rows) || (node->op == OP_BN && bn == BN_FROZEN);
        node->trains = false;
        for (int k = 0; k < node->n_params; k++) {
            struct graph_param *param = &g->params[node->param[k]];
            param->trains = !param->running && !param->constant && !fixed;
            node->trains |= param->trains;
        }
    }
    return GRAFT_OK;
}

static bool node_runs(const struct node *node) { return node->for_loss || node->for_prediction; }

int graph_prefix(const struct graph *g, bool *fixed, int ends[MAX_ENDS])
{
    int n = 0;
    memset(fixed, 0, (size_t)g->n_values * sizeof *fixed);
    fixed[0] = true;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        bool all = !node->trains && !(node->op == OP_DROPOUT && node->attr.dropout.rate > 0);
        for (int k = 0; k < node->n_in; k++)
            all &= fixed[node->in[k]];
        fixed[node->out] = all;
    }
    for (int k = 0; k < g->n_outputs; k++) {
        const int producer = g->values[g->outputs[k].value].producer;
        if (fixed[g->outputs[k].value] && producer >= 0 && node_runs(&g->nodes[producer]))
            return 0;
    }
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            const int value = g->nodes[i].in[k];
            bool known = false;
            if (!node_runs(&g->nodes[i]) || fixed[g->nodes[i].out] || !fixed[value])
                continue;
            for (int e = 0; e < n; e++)
                known |= ends[e] == value;
            if (value == 0 || (!known && n == MAX_ENDS))
                return 0;
            if (!known)
                ends[n++] = value;
        }
    return n;
}

int graph_head_row(const struct graph *g)
{
    int row = g->n_rows;
    for (bool more = true; more; row -= more) {
        more = false;
        for (int k = 0; k < g->n_outputs; k++) {
            const int producer = g->values[g->outputs[k].value].producer;
            more |= producer >= 0 && g->nodes[producer].row == row - 1;
        }
    }
    return row;
}

int graph_row_named(const struct graph *g, const char *name)
{
    const size_t length = strlen(name);
    int rows = -1;
    for (int i = 0; i < g->n_params; i++) {
        const struct graph_param *param = &g->params[i];
        const int row = g->nodes[param->node].row;
        if (length > 0 && strncmp(param->name, name, length) == 0 &&
            (param->name[length] == '.' || param->name[length] == '\0') && row + 1 > rows)
            rows = row + 1;
    }
    return rows;
}

const char *graph_row_name(const struct graph *g, int row)
{
    static _Thread_local char text[4][128]; // callers use a few at a time
    static _Thread_local unsigned next;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        if (node->row != row || node->op == OP_BN || node->op == OP_SCALE || node->n_params == 0)
            continue;
        const char *name = g->params[node->param[0]].name;
        const size_t length = strlen(name) - strlen(".weight");
        char *out = text[next++ % 4];
        ASSERT(length < sizeof text[0]);
        memcpy(out, name, length);
        out[length] = '\0';
        return out;
    }
    return NULL;
}
