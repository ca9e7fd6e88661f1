// exec/fold.c: BatchNorm with fixed statistics folded into a copy of the convolution before it.
// y = gamma (Wx + b - mean) / sqrt(variance + epsilon) + beta = (sW) x + (beta + (b - mean) s),  s = gamma / sqrt(...)
// The parameters stay unfolded; the derived weights are refreshed when the parameters' version moved on.

#include "exec/cells.h"
#include "base/memory.h"
#include <math.h>

static size_t bias_floats(const struct plan *p, const struct cell *cell)
{
    return (size_t)blocks_of(cell->node->attr.conv.oc, p->kernels->lanes) * p->kernels->lanes;
}

graft_status folds_make(struct plan *p)
{
    if (p->n_folds == 0)
        return GRAFT_OK;
    p->folds = mem_zero((size_t)p->n_folds, sizeof *p->folds);
    if (p->folds == NULL)
        return fail_memory("folded weights");
    for (int i = 0; i < p->n_cells; i++)
        if (p->cells[i].fold != NULL)
            p->fold_floats += p->params->entries[p->cells[i].node->param[0]].size + bias_floats(p, &p->cells[i]);
    p->fold_block = mem_aligned(p->fold_floats * sizeof(float));
    if (p->fold_block == NULL)
        return fail_memory("folded weights");
    float *at = p->fold_block;
    int n = 0;
    for (int i = 0; i < p->n_cells; i++) {
        const struct cell *cell = &p->cells[i];
        if (cell->fold == NULL)
            continue;
        p->folds[n] = (struct fold){cell, at, at + p->params->entries[cell->node->param[0]].size};
        at = p->folds[n].bias + bias_floats(p, cell);
        n++;
    }
    return GRAFT_OK;
}

static void fold_one(struct plan *p, const struct fold *f)
{
    const struct node *conv = f->cell->node, *bn = f->cell->fold;
    const struct param_entry *e = &p->params->entries[conv->param[0]];
    const float *src = plan_param(p, conv->param[0]),
                *bias = conv->attr.conv.bias ? plan_param(p, conv->param[1]) : NULL;
    const float *gamma = plan_param(p, bn->param[0]), *beta = plan_param(p, bn->param[1]);
    const float *mean = plan_param(p, bn->param[2]), *variance = plan_param(p, bn->param[3]);
    const int v = p->kernels->lanes, oc = conv->attr.conv.oc, padded = blocks_of(oc, v) * v;
    for (int o = 0; o < padded; o++) {
        const float s = o < oc ? gamma[o] / sqrtf(variance[o] + bn->attr.bn.epsilon) : 0;
        f->bias[o] = o < oc ? beta[o] + ((bias != NULL ? bias[o] : 0) - mean[o]) * s : 0;
    }
    const bool rows = e->layout == LAYOUT_GROUPED; // [o][...], else [o / v][...][o % v]
    const size_t size = param_entry_size(e, v), per = size / (size_t)(rows ? oc : padded / v);
    for (size_t i = 0; i < size; i++) {
        const int o = rows ? (int)(i / per) : (int)(i / per) * v + (int)(i % v);
        f->weight[i] = o < oc ? src[i] * (gamma[o] / sqrtf(variance[o] + bn->attr.bn.epsilon)) : 0;
    }
}

void folds_refresh(struct plan *p)
{
    // In training only what is frozen is folded.
    const bool frozen = p->options.mode == PLAN_TRAIN || (p->part != NULL && p->prefix == NULL);
    const uint64_t version = p->params->version - (frozen ? p->params->steps : 0);
    if (p->folded && p->fold_version == version)
        return;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < p->n_folds; i++)
        fold_one(p, &p->folds[i]);
    p->folded = true;
    p->fold_version = version;
}
