// train/layers.c: layers by name: factors of the learning rate, and gradual unfreezing.

#include "train/layers.h"
#include "base/memory.h"
#include "infer/layer_names.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool named(const char *full, const char *name, size_t length)
{
    return strncmp(full, name, length) == 0 && (full[length] == '.' || full[length] == '\0');
}

static const char *head_or(const struct model *m, const char *name, size_t *length)
{
    if (*length != 4 || strncmp(name, "head", 4) != 0)
        return name;
    *length = strlen(m->network->head);
    return m->network->head;
}

// ---- rates

// NAME, or NAME.A-B: numbers A to B after the name.
struct pattern { const char *name; size_t length; long first, last; };

static struct pattern pattern_of(const char *text, size_t length)
{
    struct pattern p = {text, length, -1, -1};
    size_t dash = length;
    while (dash > 0 && text[dash - 1] != '-' && text[dash - 1] != '.')
        dash--;
    if (dash == 0 || text[dash - 1] != '-' || !isdigit((unsigned char)text[dash]))
        return p;
    size_t dot = dash - 1;
    while (dot > 0 && isdigit((unsigned char)text[dot - 1]))
        dot--;
    if (dot == dash - 1 || dot < 2 || text[dot - 1] != '.')
        return p;
    return (struct pattern){text, dot - 1, strtol(text + dot, NULL, 10), strtol(text + dash, NULL, 10)};
}

static bool fits(const struct pattern *p, const char *full)
{
    if (!named(full, p->name, p->length))
        return false;
    if (p->first < 0)
        return true;
    if (full[p->length] != '.' || !isdigit((unsigned char)full[p->length + 1]))
        return false;
    const long number = strtol(full + p->length + 1, NULL, 10);
    return number >= p->first && number <= p->last;
}

static graft_status factor_set(struct optimizer *o, const struct model *m, const char *at, size_t size)
{
    const char *equals = memchr(at, '=', size);
    char *end;
    const double factor = equals != NULL ? strtod(equals + 1, &end) : -1;
    if (equals == NULL || equals == at || end == equals + 1 || end != at + size || !(factor >= 0 && factor <= 1e6))
        return fail(GRAFT_BAD_OPTION, "--lr-mult: '%.*s'; expected LAYER=FACTOR, such as features.0-9=0.1", (int)size,
                    at);
    size_t length = (size_t)(equals - at);
    const char *name = head_or(m, at, &length);
    const struct pattern pattern = pattern_of(name, length);
    bool any = false;
    for (int i = 0; i < m->params.count; i++)
        if (fits(&pattern, m->params.entries[i].name)) {
            o->entries[i].scale = factor;
            any = true;
        }
    return any ? GRAFT_OK : fail_layer(&m->graph, m->network->name, "lr-mult", at, (size_t)(equals - at));
}

static graft_status decay_set(struct optimizer *o, const struct model *m, double decay)
{
    const struct graph *g = &m->graph;
    int *group = mem_alloc(((size_t)g->n_rows + 1) * sizeof *group), n = 0;
    char previous[128] = "";
    if (group == NULL)
        return fail_memory("the groups of layers");
    for (int row = 0; row < g->n_rows; row++) {
        const char *name = graph_row_name(g, row);
        const size_t length = name != NULL ? layer_group_length(name) : 0;
        if (name == NULL || strlen(previous) != length || strncmp(previous, name, length) != 0)
            n++;
        snprintf(previous, sizeof previous, "%.*s", (int)length, name != NULL ? name : "");
        group[row] = n - 1;
    }
    for (int i = 0; i < m->params.count; i++) {
        const int row = g->nodes[g->params[i].node].row;
        o->entries[i].scale = pow(decay, n - 1 - group[row < 0 ? 0 : row]);
    }
    mem_free(group);
    return GRAFT_OK;
}

graft_status layer_rates(struct optimizer *o, const struct model *m, const char *factors, double decay)
{
    if (decay != 1)
        TRY(decay_set(o, m, decay));
    for (const char *at = factors; at != NULL && *at != '\0';) {
        const size_t size = strcspn(at, ",");
        TRY(factor_set(o, m, at, size));
        at += size + (at[size] == ',');
    }
    return GRAFT_OK;
}

// ---- phases

static int frozen_rows(const struct graph *g)
{
    int rows = g->n_rows;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        if ((node->op == OP_CONV || node->op == OP_DENSE) && node->trains && node->row < rows)
            rows = node->row;
    }
    return rows;
}

static int first_row_of(const struct graph *g, const char *name, size_t length)
{
    int first = -1;
    for (int i = 0; i < g->n_params; i++) {
        const int row = g->nodes[g->params[i].node].row;
        if (named(g->params[i].name, name, length) && row >= 0 && (first < 0 || row < first))
            first = row;
    }
    return first;
}

graft_status phases_of(const struct model *m, const char *text, struct phase phases[MAX_PHASES], int *n)
{
    phases[0] = (struct phase){1, frozen_rows(&m->graph)};
    *n = 1;
    for (const char *at = text; at != NULL && *at != '\0';) {
        const size_t size = strcspn(at, ",");
        char *colon;
        const long epoch = strtol(at, &colon, 10);
        if (colon == at || *colon != ':' || colon + 1 >= at + size || epoch < 2 || epoch > 100000)
            return fail(GRAFT_BAD_OPTION,
                        "--unfreeze-epoch: '%.*s'; expected EPOCH:LAYER with an epoch from 2 on, such as "
                        "2:blocks.5 or 4:all",
                        (int)size, at);
        size_t length = (size_t)(at + size - colon - 1);
        const bool all = length == 3 && strncmp(colon + 1, "all", 3) == 0;
        const char *name = head_or(m, colon + 1, &length);
        const int rows = all ? 0 : first_row_of(&m->graph, name, length);
        if (rows < 0)
            return fail_layer(&m->graph, m->network->name, "unfreeze-epoch", colon + 1,
                              (size_t)(at + size - colon - 1));
        if (*n == MAX_PHASES)
            return fail(GRAFT_BAD_OPTION, "--unfreeze-epoch: more than %d steps", MAX_PHASES - 1);
        if (epoch <= phases[*n - 1].epoch || rows >= phases[*n - 1].rows)
            return fail(GRAFT_BAD_OPTION,
                        "--unfreeze-epoch: '%.*s' adds nothing to what trains before it: epochs must grow, and "
                        "layers go towards the input from what --freeze leaves",
                        (int)size, at);
        phases[(*n)++] = (struct phase){(int)epoch, rows};
        at += size + (at[size] == ',');
    }
    return GRAFT_OK;
}

graft_status phases_prepare(struct model *m, const struct phase *phases, int n, enum bn_mode bn)
{
    struct params wider;
    if (n == 1)
        return GRAFT_OK;
    TRY(graph_freeze(&m->graph, phases[n - 1].rows, bn));
    TRY(params_init(&wider, &m->graph));
    for (int i = 0; i < wider.count; i++)
        memcpy(wider.block + wider.entries[i].offset, m->params.block + m->params.entries[i].offset,
               wider.entries[i].size * sizeof(float));
    params_fini(&m->params);
    m->params = wider;
    return graph_freeze(&m->graph, phases[0].rows, bn);
}
