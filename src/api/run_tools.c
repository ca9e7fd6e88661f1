// api/run_tools.c: `graft models`, and what commands share.

#include "api/run.h"
#include "base/log.h"
#include "base/memory.h"
#include "fetch/fetch.h"
#include <string.h>

void result_take(json_t *take_object)
{
    char *text = json_text_rounded(take_object);
    if (text != NULL)
        hooks_result(text);
    mem_free(text);
    json_decref(take_object);
}

static graft_status layers(const struct network *net)
{
    struct graph g = {0};
    graft_status status = net->build(net, &g, net->input.size, net->classes, net->dropout);
    for (int i = 0; status == GRAFT_OK && i < g.n_nodes; i++) {
        const struct node *node = &g.nodes[i];
        if (node->op != OP_CONV && node->op != OP_DENSE)
            continue;
        const struct value *out = &g.values[node->out];
        const struct shape shape = out->flat ? SHAPE(out->c) : SHAPE(out->c, out->h, out->w);
        result_take(json_pack("{s:i, s:s, s:s, s:s}", "row", node->row + 1, "name", graph_row_name(&g, node->row),
                              "weight", shape_text(g.params[node->param[0]].shape), "output", shape_text(shape)));
    }
    graph_fini(&g);
    return status;
}

graft_status networks_check(const graft_options *o)
{
    for (size_t i = 0; i < o->n_inputs; i++)
        if (zoo_find(o->inputs[i]) == NULL)
            return fail(GRAFT_BAD_OPTION, "no network '%s'; did you mean '%s'?", o->inputs[i],
                        zoo_nearest(o->inputs[i]));
    return GRAFT_OK;
}

graft_status run_models(const graft_options *o)
{
    TRY(networks_check(o));
    if (option_set(o, "layers")) {
        if (o->n_inputs != 1)
            return fail(GRAFT_BAD_OPTION, "--layers shows one network: graft models NET --layers");
        return layers(zoo_find(o->inputs[0]));
    }
    const int count = o->n_inputs > 0 ? (int)o->n_inputs : zoo_count();
    for (int i = 0; i < count; i++) {
        const struct network *net = o->n_inputs > 0 ? zoo_find(o->inputs[i]) : zoo_at(i);
        struct graph g = {0};
        struct found_file here = {0};
        graft_status status = net->build(net, &g, net->input.size, net->classes, net->dropout);
        if (status == GRAFT_OK)
            status = fetch_locate(net, &(struct fetch_request){0}, &here);
        if (status == GRAFT_OK)
            result_take(json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:I, s:f, s:b, s:s?}", "name", net->name,
                                  "title", net->title, "publisher", net->publisher, "license", net->license, "size",
                                  net->input.size, "top1", net->top1, "top5", net->top5, "parameters",
                                  (json_int_t)graph_parameters(&g, false), "multiply_adds", graph_multiply_adds(&g),
                                  "cached", here.path != NULL, "path", here.path));
        found_file_free(&here);
        graph_fini(&g);
        TRY(status);
    }
    return GRAFT_OK;
}
