// train/summary.c: what a run says of itself before its first step.

#include "train/trainer.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>

void summary_tell(const struct trainer *t)
{
    const struct model *m = t->model;
    if (m->graph.n_outputs > 1) {
        char text[256] = "";
        for (int k = 0; k < m->graph.n_outputs - 1; k++)
            snprintf(text + strlen(text), sizeof text - strlen(text), " + %g %s", (double)m->graph.outputs[k].weight,
                     m->network->aux[k].name);
        log_info("loss: %s%s; %s predicts", m->network->head, text,
                 m->graph.outputs[0].predicts ? "the mean of the heads' softmaxes" : "the main head");
    }
    log_info("data: %zu pictures to train on, %zu to validate, %d classes", t->n, t->n_val, m->n_classes);
    log_info("network: %s at %dx%d, %zu of %zu parameters train; %s, %d threads, %s", m->network->name, m->input.size,
             m->input.size, graph_parameters(&m->graph, true), graph_parameters(&m->graph, false), exec_isa(),
             exec_threads(), exec_library());
    if (augment_any(&t->options->augment)) {
        char parts[512];
        augment_text(&t->options->augment, parts, sizeof parts);
        log_info("augmentation: %s%s", parts, t->options->fixed ? ", of the copies, the same in every epoch" : "");
    }
    recipe_tell(&t->options->recipe, plan_batch(t->full), t->options->epochs);
    memory_tell(t);
}
