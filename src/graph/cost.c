// graph/cost.c: what a network costs: multiply-adds per image and parameters.
// Counted as torchvision does: convolutions and dense layers without their biases; padding counts as work; heads that
// only train do not count.

#include "base/status.h"
#include "graph/graph.h"

double graph_multiply_adds(const struct graph *g)
{
    double sum = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        const struct value *src = &g->values[node->in[0]], *dst = &g->values[node->out];
        if (!node->for_prediction)
            continue;
        if (node->op == OP_CONV)
            sum += (double)dst->c * dst->h * dst->w * node->attr.conv.kh * node->attr.conv.kw *
                   (src->c / node->attr.conv.groups);
        else if (node->op == OP_DENSE)
            sum += (double)src->c * src->h * src->w * dst->c;
    }
    return sum;
}

size_t graph_parameters(const struct graph *g, bool trainable_only)
{
    size_t sum = 0;
    for (int i = 0; i < g->n_params; i++) {
        size_t count;
        ASSERT(shape_count(g->params[i].shape, &count));
        if (!g->params[i].running && !g->params[i].constant && (!trainable_only || g->params[i].trains))
            sum += count;
    }
    return sum;
}
