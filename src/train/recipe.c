// train/recipe.c: what a recipe says of itself before the first step.

#include "train/trainer.h"
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const monitor_names[] = {"val_log_loss", "val_loss", "val_top1", "val_top5", "train_loss", NULL};

struct line { char text[1024]; };

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *line, const char *format, ...)
{
    const size_t used = strlen(line->text);
    va_list args;
    va_start(args, format);
    vsnprintf(line->text + used, sizeof line->text - used, format, args);
    va_end(args);
}

static void put_optimizer(struct line *line, const struct recipe *r)
{
    const struct optim_options *o = &r->optim;
    const struct optim_rule *rule = optim_rule_find(o->name);
    const double decay = o->weight_decay < 0 ? rule->weight_decay[o->rules] : o->weight_decay;
    put(line, "%s", o->name);
    if (strcmp(o->name, "sgd") == 0 || (strcmp(o->name, "rmsprop") == 0 && o->momentum > 0))
        put(line, ", momentum %g%s", o->momentum, o->nesterov && strcmp(o->name, "sgd") == 0 ? " (Nesterov)" : "");
    put(line, ", %s rules, lr %g", o->rules == RULES_TORCH ? "PyTorch's" : "Keras's", r->schedule.rate);
    if (decay > 0)
        put(line, ", weight decay %g (%s%s)", decay, rule->decoupled[o->rules] ? "decoupled" : "coupled",
            o->decay_all ? ", of all" : "");
    if (o->clip_norm > 0)
        put(line, ", gradients clipped to norm %g", o->clip_norm);
    if (o->clip_value > 0)
        put(line, ", gradients clipped to %g", o->clip_value);
    if (o->accumulate > 1)
        put(line, ", an update every %d batches", o->accumulate);
}

static void put_schedule(struct line *line, const struct schedule_options *s)
{
    put(line, "; schedule %s", schedule_names[s->kind]);
    if (s->kind == SCHEDULE_KERAS)
        put(line, ", decay %g", s->decay);
    if (s->kind == SCHEDULE_STEP)
        put(line, ", times %g every %d epochs", s->gamma, s->step_epochs);
    if (s->kind == SCHEDULE_PLATEAU)
        put(line, ", times %g after %d epochs without gain", s->gamma, s->step_epochs);
    if (s->warmup > 0)
        put(line, ", warm-up of %g epochs", s->warmup);
}

// What else decides the outcome: whether BatchNorm learns, what is left out at random, whose loss counts more.
static void put_network(struct line *line, const struct trainer *t)
{
    static const char *const bn[] = {[BN_TRAIN] = "batch statistics", [BN_STATS] = "fixed statistics",
                                     [BN_FROZEN] = "frozen"};
    const struct graph *g = &t->model->graph;
    float dropout = 0, paths = 0;
    bool any = false;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        any |= node->op == OP_BN;
        if (node->op == OP_DROPOUT)
            *(node->attr.dropout.whole ? &paths : &dropout) = node->attr.dropout.rate; // the last one's is the largest
    }
    if (any)
        put(line, "; BatchNorm: %s", bn[t->options->bn]);
    put(line, "; dropout %g", (double)dropout);
    if (paths > 0)
        put(line, ", drop path %g", (double)paths);
    if (t->data->weights != NULL)
        put(line, "; the loss weighted by class");
    if (t->data->balanced > 0)
        put(line, "; every class as often as the largest");
}

void recipe_tell(const struct trainer *t)
{
    const struct recipe *r = &t->options->recipe;
    const int epochs = t->options->epochs;
    struct line line = {""};
    put(&line, "recipe: %s: ", r->name);
    put_optimizer(&line, r);
    put_schedule(&line, &r->schedule);
    const int parts = t->accumulate / r->optim.accumulate; // that --memory cuts a batch into
    put(&line, "; batch %d", plan_batch(t->full) * parts);
    if (parts > 1)
        put(&line, " in %d parts", parts);
    put(&line, ", %d epoch%s", epochs, epochs == 1 ? "" : "s");
    if (r->label_smoothing > 0)
        put(&line, ", label smoothing %g", r->label_smoothing);
    if (r->layer_decay != 1)
        put(&line, ", rates times %g a layer group towards the input", r->layer_decay);
    if (r->lr_mult != NULL)
        put(&line, ", rates %s", r->lr_mult);
    if (r->unfreeze != NULL)
        put(&line, ", unfreezing %s", r->unfreeze);
    if (r->ema > 0)
        put(&line, ", average of the weights (EMA %g)", r->ema);
    if (r->swa > 0)
        put(&line, ", average of the weights from epoch %d on (SWA)", r->swa);
    put_network(&line, t);
    put(&line, "; the best epoch by %s", t->n_val > 0 || r->monitor == MONITOR_TRAIN_LOSS ? monitor_names[r->monitor]
                                                                                         : "its being the last");
    if (r->patience > 0)
        put(&line, ", stops after %d epoch%s without a better one", r->patience, r->patience == 1 ? "" : "s");
    log_info("%s", line.text);
}
