// exec/isa.c: the processor's kernels, the thread budget, the layout of the parameter block, the loss.

#include "exec/kernels.h"
#include "exec/plan.h"
#include "base/memory.h"
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <string.h>

#if defined __x86_64__
#include <immintrin.h>
extern const struct kernel_table kernels_avx512, kernels_avx2;
#endif
extern const struct kernel_table kernels_plain;

// Best first.
static const struct kernel_table *const tables[] = {
#if defined __x86_64__
    &kernels_avx512, &kernels_avx2,
#endif
    &kernels_plain};
static const struct kernel_table *forced;

static bool supported(const struct kernel_table *table)
{
#if defined __x86_64__
    if (table == &kernels_avx512)
        return dnn_takes(16) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (table == &kernels_avx2)
        return dnn_takes(8) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return table == &kernels_plain;
}

const struct kernel_table *exec_kernels(void)
{
    size_t i = 0;
    while (!supported(tables[i]))
        i++;
    return forced != NULL ? forced : tables[i];
}

bool exec_kernels_force(const char *isa)
{
    forced = NULL;
    for (size_t i = 0; isa != NULL && i < COUNT_OF(tables); i++)
        if (strcmp(tables[i]->isa, isa) == 0 && supported(tables[i]))
            forced = tables[i];
    return isa == NULL || forced != NULL;
}

bool exec_bf16(void)
{
#if defined __x86_64__
    return exec_kernels() == &kernels_avx512 && dnn_takes_bf16();
#else
    return false;
#endif
}

graft_status exec_bf16_check(void)
{
    if (exec_bf16())
        return GRAFT_OK;
    return fail(GRAFT_BAD_OPTION, "--precision bf16 needs a processor with AVX-512 BF16 (and gains where it has AMX); "
                "this one has not, graft works with %s here; leave it at fp32", exec_isa());
}

int exec_lanes(void) { return exec_kernels()->lanes; }
const char *exec_isa(void) { return exec_kernels()->isa; }
const char *exec_library(void) { return dnn_version(); }

static int thread_count;

void exec_set_threads(int threads)
{
    cpu_set_t allowed;
    int cores = 1;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        cores = CPU_COUNT(&allowed);
    thread_count = threads > 0 ? threads : cores;
    omp_set_num_threads(thread_count);
#if defined __x86_64__
#pragma omp parallel
    _mm_setcsr(_mm_getcsr() | 0x8040); // flush denormals to zero, in every worker
#endif
}

int exec_threads(void)
{
    if (thread_count == 0)
        exec_set_threads(0);
    return thread_count;
}

static enum param_layout layout_of(const struct graph *g, const struct node *node, int which)
{
    if (which != 0 || (node->op != OP_CONV && node->op != OP_DENSE))
        return LAYOUT_PLAIN;
    const struct value *src = &g->values[node->in[0]];
    if (node->op == OP_DENSE)
        return src->flat ? LAYOUT_PLAIN : LAYOUT_DENSE;
    const struct conv_attr *a = &node->attr.conv;
    if (a->groups == src->c && a->oc == src->c && a->groups > 1)
        return LAYOUT_GOIHW_DEPTHWISE;
    if (a->groups > 1)
        return LAYOUT_GROUPED;
    return node->in[0] == 0 ? LAYOUT_OHWI_BLOCK : LAYOUT_OIHW_BLOCK;
}

graft_status params_init(struct params *p, const struct graph *g)
{
    *p = (struct params){.lanes = exec_lanes(), .count = g->n_params};
    p->entries = mem_zero((size_t)g->n_params + 1, sizeof *p->entries);
    if (p->entries == NULL)
        return fail_memory("the parameter table");
    for (int i = 0; i < g->n_params; i++) {
        const struct graph_param *param = &g->params[i];
        const struct node *node = &g->nodes[param->node];
        const struct value *src = &g->values[node->in[0]];
        int which = 0;
        while (node->param[which] != i)
            which++;
        p->entries[i] = (struct param_entry){
            .name = param->name, .shape = param->shape, .layout = layout_of(g, node, which),
            .group = param->running ? PARAM_RUNNING : param->trains ? PARAM_TRAINABLE : PARAM_FROZEN,
            .c = src->c, .h = src->h, .w = src->w};
        p->entries[i].size = (param_entry_size(&p->entries[i], p->lanes) + 15) / 16 * 16; // 64-byte steps
    }
    for (int group = 0; group < 3; group++) {
        p->group_begin[group] = p->size;
        for (int i = 0; i < p->count; i++)
            if (p->entries[i].group == (enum param_group)group) {
                p->entries[i].offset = p->size;
                p->size += p->entries[i].size;
            }
    }
    p->group_begin[3] = p->size;
    p->block = mem_aligned(p->size * sizeof(float) + 64);
    if (p->block == NULL) {
        params_fini(p);
        return fail(GRAFT_NO_RESOURCE, "no memory for %.0f MB of parameters", p->size * 4 / 1e6);
    }
    memset(p->block, 0, p->size * sizeof(float));
    return GRAFT_OK;
}

void softmax_mean(const float *const *logits, int count, float *probabilities, int n, int classes)
{
    for (int i = 0; i < n; i++) {
        float *p = probabilities + (size_t)i * classes;
        memset(p, 0, (size_t)classes * sizeof *p);
        for (int k = 0; k < count; k++) {
            const float *x = logits[k] + (size_t)i * classes;
            double top = x[0], sum = 0;
            for (int c = 1; c < classes; c++)
                top = x[c] > top ? x[c] : top;
            for (int c = 0; c < classes; c++)
                sum += exp(x[c] - top);
            for (int c = 0; c < classes; c++)
                p[c] += (float)(exp(x[c] - top) / sum / count);
        }
    }
}

double softmax_loss(const float *logits, const float *targets, double weight, float *diff, int n, int classes)
{
    double loss = 0;
    for (int i = 0; i < n; i++) {
        const float *x = logits + (size_t)i * classes, *t = targets + (size_t)i * classes;
        double top = x[0], sum = 0, target = 0;
        for (int c = 1; c < classes; c++)
            top = x[c] > top ? x[c] : top;
        for (int c = 0; c < classes; c++) {
            sum += exp(x[c] - top);
            target += t[c];
        }
        for (int c = 0; c < classes; c++) {
            if (t[c] != 0)
                loss += t[c] * (log(sum) + top - x[c]);
            if (diff != NULL)
                diff[(size_t)i * classes + c] = (float)(weight * (target * exp(x[c] - top) / sum - t[c]) / n);
        }
    }
    return weight * loss / n;
}
