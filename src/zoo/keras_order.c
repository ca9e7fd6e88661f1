// zoo/keras_order.c: the order in which Keras lists a model's layers, for files that name none.
// In: a graph.  Out: its nodes with parameters, in the order of model.layers.
// Keras sorts layers by depth, the longest way to an output, the farthest first; equal ones as they are met walking
// from the outputs to the input, a node before its inputs, these from the first on.  A ReLU right behind a convolution
// or dense layer is that layer's activation, none of its own.

#include "zoo/families.h"
#include "base/memory.h"

struct place { int node, depth, met; };

static bool is_activation(const struct graph *g, int node)
{
    const struct node *n = &g->nodes[node];
    const int producer = n->op == OP_RELU ? g->values[n->in[0]].producer : -1;
    return producer >= 0 && (g->nodes[producer].op == OP_CONV || g->nodes[producer].op == OP_DENSE);
}

static int by_place(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    return x->depth != y->depth ? y->depth - x->depth : x->met - y->met;
}

static void walk(const struct graph *g, int node, struct place *places, int *met)
{
    if (node < 0 || places[node].met >= 0)
        return;
    places[node].met = (*met)++;
    for (int i = 0; i < g->nodes[node].n_in; i++)
        walk(g, g->values[g->nodes[node].in[i]].producer, places, met);
}

graft_status keras_order(const struct graph *g, int *order, int *count)
{
    struct place *places = mem_alloc(((size_t)g->n_nodes + 1) * sizeof *places);
    int met = 0, kept = 0;
    if (places == NULL)
        return fail_memory("layers' order");
    for (int i = 0; i < g->n_nodes; i++)
        places[i] = (struct place){i, 0, -1};
    walk(g, g->values[g->output].producer, places, &met);
    for (int i = g->n_nodes - 1; i >= 0; i--) // a node comes after its inputs
        for (int k = 0; k < g->nodes[i].n_in; k++) {
            const int producer = g->values[g->nodes[i].in[k]].producer;
            const int depth = places[i].depth + !is_activation(g, i);
            if (producer >= 0 && places[producer].depth < depth)
                places[producer].depth = depth;
        }
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].n_params > 0 && places[i].met >= 0)
            places[kept++] = places[i];
    if (kept > 1)
        qsort(places, (size_t)kept, sizeof *places, by_place);
    for (int i = 0; i < kept; i++)
        order[i] = places[i].node;
    *count = kept;
    mem_free(places);
    return GRAFT_OK;
}
