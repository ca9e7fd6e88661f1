// train/summary.c: what a run says of itself before its first step: data and their balance, what trains, memory, time.

#include "train/trainer.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/pseudo.h"
#include <stdio.h>
#include <string.h>

enum { UNBALANCED = 10 }; // times: a class that much larger than another is worth a word

static graft_status data_tell(const struct trainer *t)
{
    const struct dataset *d = t->data;
    const struct model *m = t->model;
    size_t unused = 0, pseudo = 0, *count = mem_zero((size_t)m->n_classes, sizeof *count);
    int least = 0, most = 0;
    char others[48] = "";
    if (count == NULL)
        return fail_memory("the summary");
    for (size_t i = 0; i < d->count; i++) {
        const struct sample *s = &d->samples[i];
        unused += s->part == PART_TEST || s->part == PART_NONE;
        pseudo += s->part == PART_PSEUDO;
        if (s->part == PART_TRAIN && s->copy == 0 && s->round == 0)
            count[s->label]++;
    }
    for (int c = 0; c < m->n_classes; c++) {
        least = count[c] < count[least] ? c : least;
        most = count[c] > count[most] ? c : most;
    }
    if (pseudo > 0)
        log_info("data: of an epoch's %zu pictures, %zu are drawn from %zu with pseudo-labels", t->n,
                 t->n * d->pseudo_share / PSEUDO_UNIT, pseudo);
    if (unused > 0)
        snprintf(others, sizeof others, ", %zu not used", unused);
    if (count[least] == count[most])
        log_info("data: %zu pictures to train on, %zu to validate%s; %d classes of %zu training pictures each", t->n,
                 t->n_val, others, m->n_classes, count[most]);
    else
        log_info(
            "data: %zu pictures to train on, %zu to validate%s; %d classes of %zu (%s) to %zu (%s) training pictures",
            t->n, t->n_val, others, m->n_classes, count[least], m->classes[least], count[most], m->classes[most]);
    if (count[most] > UNBALANCED * count[least] && d->weights == NULL && d->balanced == 0)
        log_info(
            "data: the classes are unbalanced; --class-weights balanced or --balance give the small ones more weight");
    mem_free(count);
    return GRAFT_OK;
}

static void heads_tell(const struct model *m)
{
    char text[256] = "";
    if (m->graph.n_outputs == 1)
        return;
    for (int k = 0; k < m->graph.n_outputs - 1; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " + %g %s", (double)m->graph.outputs[k].weight,
                 m->network->aux[k].name);
    log_info("loss: %s%s; %s predicts", m->network->head, text,
             m->graph.outputs[0].predicts ? "the mean of the heads' softmaxes" : "the main head");
}

// Rows are frozen from the input on, so the first that trains says it all; later phases by their epoch.
static void network_tell(const struct trainer *t)
{
    const struct model *m = t->model;
    char text[512];
    int at = 0;
    log_info("network: %s at %dx%d; %s, %d thread%s, %s", m->network->name, m->input.size, m->input.size, exec_isa(),
             exec_threads(), exec_threads() == 1 ? "" : "s", exec_library());
    for (int i = t->phase; i < t->n_phases && at < (int)sizeof text; i++) {
        const int rows = t->phases[i].rows;
        char from[32] = "";
        if (i > t->phase)
            snprintf(from, sizeof from, "; from epoch %d on ", t->phases[i].epoch);
        at += snprintf(text + at, sizeof text - (size_t)at, "%s%s%s", from,
                       rows == 0 ? "all layers" : rows < m->graph.n_rows ? graph_row_name(&m->graph, rows) : "nothing",
                       rows > 0 && rows < m->graph.n_rows - 1 ? " and what follows it" : "");
    }
    log_info("training: %s (%zu of %zu parameters%s, %d layers)", text, graph_parameters(&m->graph, true),
             graph_parameters(&m->graph, false), t->n_phases > t->phase + 1 ? " now" : "", m->graph.n_rows);
}

static graft_status time_tell(struct trainer *t)
{
    double seconds;
    TRY(run_estimate(t, &seconds));
    const int epochs = t->options->epochs - t->at.epochs;
    const bool hours = seconds >= 5400, minutes = seconds >= 90;
    if (seconds >= 0)
        log_info("time: about %.*f %s for %d epoch%s, if pictures come as fast as they are learnt from", hours ? 1 : 0,
                 seconds / (hours ? 3600 : minutes ? 60 : 1), hours ? "hours" : minutes ? "minutes" : "seconds", epochs,
                 epochs == 1 ? "" : "s");
    return GRAFT_OK;
}

graft_status summary_tell(struct trainer *t)
{
    heads_tell(t->model);
    TRY(data_tell(t));
    network_tell(t);
    if (augment_any(&t->options->augment)) {
        char parts[512];
        augment_text(&t->options->augment, parts, sizeof parts);
        log_info("augmentation: %s%s", parts, t->options->fixed ? ", of the copies, the same in every epoch" : "");
    }
    recipe_tell(t);
    memory_tell(t);
    return time_tell(t);
}
