// train/profile.c: the time of a run by part and by layer, from what plans measure of their steps.

#include "train/profile.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include <math.h>
#include <sched.h>
#include <string.h>

static int slot_of(const struct profile *p, const struct plan *plan)
{
    for (int i = 0; i < PROFILE_PLANS; i++)
        if (p->slots[i].plan == plan)
            return i;
    return -1;
}

double *profile_begin(struct profile *p, const struct plan *plan)
{
    int i = slot_of(p, plan);
    if (i >= 0)
        return p->slots[i].step;
    i = slot_of(p, NULL);
    if (i < 0)
        return NULL;
    const size_t steps = (size_t)plan_step_count(plan);
    double *block = mem_zero(2 * steps + 1, sizeof *block);
    if (block == NULL)
        return NULL;
    p->slots[i].plan = plan;
    p->slots[i].step = block;
    p->slots[i].sum = block + steps;
    return block;
}

void profile_end(struct profile *p, const struct plan *plan)
{
    const int slot = slot_of(p, plan), steps = plan_step_count(plan);
    for (int i = 0; slot >= 0 && i < steps; i++)
        p->slots[slot].sum[i] += p->slots[slot].step[i];
}

static graft_status row_add(struct profile *p, const char *name, enum profile_kind kind, double seconds)
{
    size_t i = 0;
    while (i < p->n_rows && strcmp(p->rows[i].name, name) != 0)
        i++;
    if (i == p->n_rows) {
        char *copy = mem_text(name);
        if (copy == NULL || !mem_grow(&p->rows, &p->capacity, p->n_rows + 1, sizeof *p->rows)) {
            mem_free(copy);
            return fail_memory("the profile");
        }
        p->rows[p->n_rows++] = (struct profile_row){.name = copy};
    }
    p->rows[i].seconds[kind] += seconds;
    p->kinds[kind] += seconds;
    return GRAFT_OK;
}

graft_status profile_settle(struct profile *p)
{
    graft_status status = GRAFT_OK;
    for (int i = 0; i < PROFILE_PLANS; i++) {
        const struct plan *plan = p->slots[i].plan;
        for (int k = 0; plan != NULL && status == GRAFT_OK && k < plan_step_count(plan); k++) {
            const struct plan_step s = plan_step_at(plan, k);
            const enum profile_kind kind = strcmp(s.op, "update") == 0      ? KIND_UPDATE
                                           : strcmp(s.pass, "forward") == 0 ? KIND_FORWARD
                                                                            : KIND_BACKWARD;
            status = row_add(p, s.layer[0] != '\0' ? s.layer : s.op, kind, p->slots[i].sum[k]);
        }
        mem_free(p->slots[i].step);
        p->slots[i].plan = NULL;
        p->slots[i].step = p->slots[i].sum = NULL;
    }
    return status;
}

graft_status profile_keep(struct profile *p, double out[PROFILE_KEPT])
{
    TRY(profile_settle(p));
    const double values[PROFILE_KEPT] = {p->wait + p->waiting, p->kinds[KIND_FORWARD], p->kinds[KIND_BACKWARD],
                                         p->kinds[KIND_UPDATE], p->told};
    memcpy(out, values, sizeof values);
    return GRAFT_OK;
}

void profile_restore(struct profile *p, const double kept[PROFILE_KEPT])
{
    p->wait += kept[0];
    p->kinds[KIND_FORWARD] += kept[1];
    p->kinds[KIND_BACKWARD] += kept[2];
    p->kinds[KIND_UPDATE] += kept[3];
    p->told += kept[4];
}

void profile_data(struct profile *p, double wait, double data, double steps)
{
    p->wait += wait;
    p->data += data;
    p->run.wait += wait;
    p->run.data += data;
    p->run.steps += steps;
}

double data_wait_share(const struct data_shares *s) { return s->steps > 0 ? s->wait / s->steps : 0; }

double data_core_share(const struct data_shares *s)
{
    cpu_set_t allowed;
    const int cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    return s->steps > 0 ? fmin(1, s->data / s->steps / cores) : 0;
}

graft_status profile_epoch(struct profile *p, struct epoch_times *out)
{
    TRY(profile_settle(p));
    *out = (struct epoch_times){
        p->wait,       p->data, p->kinds[KIND_FORWARD], p->kinds[KIND_BACKWARD], p->kinds[KIND_UPDATE],
        p->validation, p->told};
    p->wait = p->data = p->validation = p->told = 0;
    memset(p->kinds, 0, sizeof p->kinds);
    return GRAFT_OK;
}

graft_status profile_write(struct profile *p, const char *folder)
{
    struct text t = {0};
    char *path = path_join(folder, "layers.csv");
    text_put(&t, "layer,forward,backward,update\n");
    for (size_t i = 0; i < p->n_rows; i++) {
        const double *s = p->rows[i].seconds;
        text_put_field(&t, p->rows[i].name);
        text_put(&t, ",%.4f,%.4f,%.4f\n", s[KIND_FORWARD], s[KIND_BACKWARD], s[KIND_UPDATE]);
    }
    const graft_status status = text_write(&t, path);
    mem_free(path);
    return status;
}

void profile_fini(struct profile *p)
{
    for (int i = 0; i < PROFILE_PLANS; i++)
        mem_free(p->slots[i].step);
    for (size_t i = 0; i < p->n_rows; i++)
        mem_free(p->rows[i].name);
    mem_free(p->rows);
    *p = (struct profile){0};
}
