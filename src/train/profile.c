// train/profile.c: the time of a run by part and by layer.

#include "train/profile.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include <string.h>

static const char *const op_names[OP_COUNT] = {
#define OP(id, text, n_min, n_max) [OP_##id] = text,
#include "graph/ops.def"
#undef OP
};

// Fills p->nodes with the plans' seconds so far.
static graft_status nodes_sum(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans)
{
    const size_t rows = (size_t)g->n_nodes + 1;
    if (p->nodes == NULL)
        p->nodes = mem_zero(rows, sizeof *p->nodes);
    if (p->kept == NULL)
        p->kept = mem_zero(rows, sizeof *p->kept);
    if (p->nodes == NULL || p->kept == NULL)
        return fail_memory("the profile");
    memcpy(p->nodes, p->kept, rows * sizeof *p->nodes);
    for (int i = 0; i < n_plans; i++)
        if (plans[i] != NULL)
            plan_seconds(plans[i], p->nodes);
    return GRAFT_OK;
}

graft_status profile_epoch(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans,
                           struct epoch_times *out)
{
    double now[STEP_KINDS] = {0}, spent[STEP_KINDS];
    TRY(nodes_sum(p, g, plans, n_plans));
    for (int i = 0; i <= g->n_nodes; i++)
        for (int k = 0; k < STEP_KINDS; k++)
            now[k] += p->nodes[i][k];
    for (int k = 0; k < STEP_KINDS; k++) {
        spent[k] = now[k] - p->kinds[k];
        p->kinds[k] = now[k];
    }
    *out = (struct epoch_times){p->wait, spent[STEP_FORWARD], spent[STEP_BACKWARD], spent[STEP_UPDATE], p->validation};
    p->wait = p->validation = 0;
    return GRAFT_OK;
}

graft_status profile_keep(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans)
{
    TRY(nodes_sum(p, g, plans, n_plans));
    memcpy(p->kept, p->nodes, ((size_t)g->n_nodes + 1) * sizeof *p->kept);
    return GRAFT_OK;
}

static void row_put(struct text *t, const char *name, const double seconds[STEP_KINDS])
{
    if (seconds[STEP_FORWARD] + seconds[STEP_BACKWARD] + seconds[STEP_UPDATE] == 0)
        return;
    text_put_field(t, name);
    text_put(t, ",%.4f,%.4f,%.4f\n", seconds[STEP_FORWARD], seconds[STEP_BACKWARD], seconds[STEP_UPDATE]);
}

graft_status profile_write(struct profile *p, const struct graph *g, struct plan *const *plans, int n_plans,
                           const char *folder)
{
    struct text t = {0};
    char *path = path_join(folder, "layers.csv");
    double other[OP_COUNT + 1][STEP_KINDS] = {{0}};
    graft_status status = path != NULL ? GRAFT_OK : fail_memory("a path");
    if (status == GRAFT_OK)
        status = nodes_sum(p, g, plans, n_plans);
    text_put(&t, "layer,forward,backward,update\n");
    for (int row = 0; status == GRAFT_OK && row < g->n_rows; row++) {
        double seconds[STEP_KINDS] = {0};
        for (int i = 0; i < g->n_nodes; i++)
            for (int k = 0; g->nodes[i].row == row && k < STEP_KINDS; k++)
                seconds[k] += p->nodes[i][k];
        row_put(&t, graph_row_name(g, row), seconds);
    }
    for (int i = 0; status == GRAFT_OK && i <= g->n_nodes; i++)
        if (i == g->n_nodes || g->nodes[i].row < 0)
            for (int k = 0; k < STEP_KINDS; k++)
                other[i < g->n_nodes ? g->nodes[i].op : OP_COUNT][k] += p->nodes[i][k];
    for (int op = 0; status == GRAFT_OK && op <= OP_COUNT; op++)
        row_put(&t, op < OP_COUNT ? op_names[op] : "loss and sums", other[op]);
    if (status == GRAFT_OK)
        status = text_status(&t);
    if (status == GRAFT_OK)
        status = file_write_all(path, t.data, t.size);
    text_fini(&t);
    mem_free(path);
    return status;
}

void profile_fini(struct profile *p)
{
    mem_free(p->nodes);
    mem_free(p->kept);
    *p = (struct profile){0};
}
