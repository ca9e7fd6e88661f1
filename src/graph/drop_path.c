// graph/drop_path.c: stochastic depth (Huang et al., arXiv:1603.09382) for networks whose blocks end in an addition.

#include "base/memory.h"
#include "graph/graph.h"
#include <string.h>

// Nodes from the input to each value at most: of an addition's two sides the longer is the block, the other the way
// around it.
static void depths(const struct graph *g, int *depth)
{
    depth[0] = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        int most = 0;
        for (int k = 0; k < node->n_in; k++)
            most = depth[node->in[k]] > most ? depth[node->in[k]] : most;
        depth[node->out] = most + 1;
    }
}

// A node before node `at`, between value `src` and that node's input number `input`.
static void insert(struct graph *g, int at, int input, float rate)
{
    const int src = g->nodes[at].in[input];
    memmove(g->nodes + at + 1, g->nodes + at, (size_t)(g->n_nodes - at) * sizeof *g->nodes);
    g->n_nodes++;
    for (int i = 0; i < g->n_values; i++)
        g->values[i].producer += g->values[i].producer >= at;
    for (int i = 0; i < g->n_params; i++)
        g->params[i].node += g->params[i].node >= at;
    struct node *after = &g->nodes[at + 1];
    g->nodes[at] = (struct node){.op = OP_DROPOUT,
                                 .in = {src},
                                 .n_in = 1,
                                 .out = g->n_values,
                                 .attr.dropout = {rate, true},
                                 .for_loss = after->for_loss,
                                 .for_prediction = after->for_prediction,
                                 .row = -1};
    g->values[g->n_values] = g->values[src];
    g->values[g->n_values].producer = at;
    after->in[input] = g->n_values++;
}

graft_status graph_drop_path(struct graph *g, float rate)
{
    int blocks = 0, *depth = NULL;
    for (int i = 0; i < g->n_nodes; i++)
        blocks += g->nodes[i].op == OP_ADD;
    if (blocks == 0)
        return fail(GRAFT_BAD_OPTION, "--drop-path leaves out residual branches, and this network has none");
    if (!mem_grow(&g->nodes, &g->node_capacity, (size_t)(g->n_nodes + blocks), sizeof *g->nodes) ||
        !mem_grow(&g->values, &g->value_capacity, (size_t)(g->n_values + blocks), sizeof *g->values))
        return fail_memory("a network");
    depth = mem_alloc((size_t)(g->n_values + blocks) * sizeof *depth);
    if (depth == NULL)
        return fail_memory("a network");
    for (int i = 0, block = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].op != OP_ADD)
            continue;
        depths(g, depth);
        insert(g, i, depth[g->nodes[i].in[1]] > depth[g->nodes[i].in[0]], rate * (float)++block / (float)blocks);
        i++; // the addition itself
    }
    mem_free(depth);
    return GRAFT_OK;
}
