// tests/exec/reference.c: the naive interpreter.  Loops as the definitions stand in the frameworks' documentation.

#include "reference.h"
#include "base/memory.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>

static size_t value_size(const struct graph *g, int v, int batch)
{
    const struct value *x = &g->values[v];
    return (size_t)batch * x->c * (x->flat ? 1 : x->h * x->w);
}

void reference_init(struct reference *r, const struct graph *g, const struct params *p, int batch)
{
    *r = (struct reference){.graph = g, .batch = batch};
    r->param = calloc((size_t)g->n_params, sizeof *r->param);
    r->value = calloc((size_t)g->n_values, sizeof *r->value);
    for (int i = 0; i < g->n_params; i++) {
        size_t n;
        shape_count(g->params[i].shape, &n);
        float *canonical = malloc(n * sizeof *canonical);
        param_to_canonical(p, i, canonical);
        r->param[i] = malloc(n * sizeof(double));
        for (size_t k = 0; k < n; k++)
            r->param[i][k] = canonical[k];
        free(canonical);
    }
    for (int v = 0; v < g->n_values; v++)
        r->value[v] = calloc(value_size(g, v, batch), sizeof(double));
}

void reference_fini(struct reference *r)
{
    for (int i = 0; i < r->graph->n_params; i++)
        free(r->param[i]);
    for (int v = 0; v < r->graph->n_values; v++)
        free(r->value[v]);
    free(r->param);
    free(r->value);
}

#define AT(m, n_, c_, y_, x_) ((((size_t)(n_) * (m)->c + (c_)) * (m)->h + (y_)) * (m)->w + (x_))

static void conv(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const struct conv_attr *a = &node->attr.conv;
    const struct value *in = &r->graph->values[node->in[0]], *out = &r->graph->values[node->out];
    const int per_in = in->c / a->groups, per_out = out->c / a->groups;
    for (int n = 0; n < r->batch; n++)
        for (int o = 0; o < out->c; o++)
            for (int y = 0; y < out->h; y++)
                for (int x = 0; x < out->w; x++) {
                    double sum = a->bias ? r->param[node->param[1]][o] : 0;
                    for (int i = 0; i < per_in; i++)
                        for (int ky = 0; ky < a->kh; ky++)
                            for (int kx = 0; kx < a->kw; kx++) {
                                const int iy = y * a->stride_h - a->top + ky, ix = x * a->stride_w - a->left + kx;
                                if (iy >= 0 && iy < in->h && ix >= 0 && ix < in->w)
                                    sum += src[AT(in, n, o / per_out * per_in + i, iy, ix)] *
                                           r->param[node->param[0]][((o * per_in + i) * a->kh + ky) * a->kw + kx];
                            }
                    dst[AT(out, n, o, y, x)] = sum;
                }
}

static void bn(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const struct value *m = &r->graph->values[node->out];
    const size_t area = (size_t)m->h * m->w;
    for (int c = 0; c < m->c; c++) {
        double mean = r->param[node->param[2]][c], variance = r->param[node->param[3]][c];
        if (r->training && r->batch_statistics && node->trains) {
            double sum = 0, square = 0;
            for (int n = 0; n < r->batch; n++)
                for (size_t i = 0; i < area; i++)
                    sum += src[AT(m, n, c, 0, 0) + i];
            mean = sum / (r->batch * area);
            for (int n = 0; n < r->batch; n++)
                for (size_t i = 0; i < area; i++)
                    square += pow(src[AT(m, n, c, 0, 0) + i] - mean, 2);
            variance = square / (r->batch * area);
        }
        for (int n = 0; n < r->batch; n++)
            for (size_t i = 0; i < area; i++) {
                const size_t at = AT(m, n, c, 0, 0) + i;
                dst[at] = (src[at] - mean) / sqrt(variance + node->attr.bn.epsilon) * r->param[node->param[0]][c] +
                          r->param[node->param[1]][c];
            }
    }
}

static void scale(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const struct value *m = &r->graph->values[node->out];
    for (size_t i = 0; i < value_size(r->graph, node->out, r->batch); i++) {
        const size_t c = i / ((size_t)m->h * m->w) % (size_t)m->c;
        dst[i] = src[i] * r->param[node->param[0]][c] + r->param[node->param[1]][c];
    }
}

static void lrn(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const struct lrn_attr *a = &node->attr.lrn;
    const struct value *m = &r->graph->values[node->out];
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < m->c; c++)
            for (int i = 0; i < m->h * m->w; i++) {
                double sum = 0;
                for (int j = c - a->size / 2; j <= c + a->size / 2; j++)
                    if (j >= 0 && j < m->c)
                        sum += pow(src[AT(m, n, j, 0, 0) + i], 2);
                const size_t at = AT(m, n, c, 0, 0) + i;
                dst[at] = src[at] / pow(a->k + a->alpha / a->size * sum, a->beta);
            }
}

static void pool(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const struct pool_attr *a = &node->attr.pool;
    const struct value *in = &r->graph->values[node->in[0]], *out = &r->graph->values[node->out];
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < out->c; c++)
            for (int y = 0; y < out->h; y++)
                for (int x = 0; x < out->w; x++) {
                    double best = -INFINITY, sum = 0;
                    int inside = 0, counted = 0;
                    for (int ky = 0; ky < a->kh; ky++)
                        for (int kx = 0; kx < a->kw; kx++) {
                            const int iy = y * a->stride_h - a->top + ky, ix = x * a->stride_w - a->left + kx;
                            counted += iy < in->h + a->bottom && ix < in->w + a->right;
                            if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w)
                                continue;
                            const double s = src[AT(in, n, c, iy, ix)];
                            best = s > best ? s : best;
                            sum += s;
                            inside++;
                        }
                    dst[AT(out, n, c, y, x)] =
                        node->op == OP_MAXPOOL ? best : sum / (a->count_padding ? counted : inside);
                }
}

static void adaptive(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const struct value *in = &r->graph->values[node->in[0]], *out = &r->graph->values[node->out];
    for (int n = 0; n < r->batch; n++)
        for (int c = 0; c < out->c; c++)
            for (int y = 0; y < out->h; y++)
                for (int x = 0; x < out->w; x++) {
                    const int y0 = (int)floor((double)y * in->h / out->h), y1 = (int)ceil((y + 1.0) * in->h / out->h);
                    const int x0 = (int)floor((double)x * in->w / out->w), x1 = (int)ceil((x + 1.0) * in->w / out->w);
                    double sum = 0;
                    for (int iy = y0; iy < y1; iy++)
                        for (int ix = x0; ix < x1; ix++)
                            sum += src[AT(in, n, c, iy, ix)];
                    dst[AT(out, n, c, y, x)] = sum / ((y1 - y0) * (x1 - x0));
                }
}

static void dense(struct reference *r, const struct node *node, const double *src, double *dst)
{
    const size_t k = value_size(r->graph, node->in[0], 1);
    const int units = node->attr.dense.units;
    for (int n = 0; n < r->batch; n++)
        for (int u = 0; u < units; u++) {
            double sum = node->attr.dense.bias ? r->param[node->param[1]][u] : 0;
            for (size_t i = 0; i < k; i++)
                sum += src[n * k + i] * r->param[node->param[0]][u * k + i];
            dst[(size_t)n * units + u] = sum;
        }
}

static void concat(struct reference *r, const struct node *node, double *dst)
{
    const struct value *out = &r->graph->values[node->out];
    const size_t area = (size_t)out->h * out->w;
    for (int n = 0; n < r->batch; n++)
        for (int k = 0, begin = 0; k < node->n_in; begin += r->graph->values[node->in[k++]].c) {
            const struct value *in = &r->graph->values[node->in[k]];
            for (size_t i = 0; i < in->c * area; i++)
                dst[AT(out, n, begin, 0, 0) + i] = r->value[node->in[k]][AT(in, n, 0, 0, 0) + i];
        }
}

void reference_forward(struct reference *r, const float *input)
{
    const struct graph *g = r->graph;
    for (size_t i = 0; i < value_size(g, 0, r->batch); i++)
        r->value[0][i] = input[i];
    for (int i = 0; i < g->n_nodes; i++) {
        const struct node *node = &g->nodes[i];
        const double *a = r->value[node->in[0]], *b = node->n_in > 1 ? r->value[node->in[1]] : NULL;
        double *dst = r->value[node->out];
        const size_t size = value_size(g, node->out, r->batch);
        switch (node->op) {
        case OP_CONV: conv(r, node, a, dst); break;
        case OP_BN: bn(r, node, a, dst); break;
        case OP_SCALE: scale(r, node, a, dst); break;
        case OP_LRN: lrn(r, node, a, dst); break;
        case OP_MAXPOOL:
        case OP_AVGPOOL: pool(r, node, a, dst); break;
        case OP_ADAPTIVE_AVGPOOL: adaptive(r, node, a, dst); break;
        case OP_DENSE: dense(r, node, a, dst); break;
        case OP_CONCAT: concat(r, node, dst); break;
        default:
            for (size_t k = 0; k < size; k++) {
                const float rate = node->attr.dropout.rate;
                const uint64_t key = rng_hash(RNG_DROPOUT, r->seed, r->step, (uint64_t)i);
                if (node->op == OP_RELU)
                    dst[k] = fmax(a[k], 0);
                else if (node->op == OP_RELU6)
                    dst[k] = fmin(fmax(a[k], 0), 6);
                else if (node->op == OP_ADD)
                    dst[k] = a[k] + b[k];
                else
                    dst[k] = !r->training ? a[k] : rng_unit(rng_hash(key, k, 0, 0)) < rate ? 0 : a[k] / (1 - rate);
            }
        }
    }
}

double reference_loss(struct reference *r, const float *input, const float *targets)
{
    reference_forward(r, input);
    double loss = 0;
    for (int k = 0; k < r->graph->n_outputs; k++) {
        const struct graph_output *o = &r->graph->outputs[k];
        const int classes = r->graph->values[o->value].c;
        const double *logits = r->value[o->value];
        for (int n = 0; n < r->batch; n++) {
            double sum = 0;
            for (int c = 0; c < classes; c++)
                sum += exp(logits[n * classes + c]);
            for (int c = 0; c < classes; c++)
                loss -= o->weight * targets[n * classes + c] * (logits[n * classes + c] - log(sum));
        }
    }
    return loss / r->batch;
}
