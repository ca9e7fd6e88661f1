// optim/rule_sgd.c: stochastic gradient descent with momentum, elementwise; padding has zero gradients and stays zero.
//   Keras:    v = momentum v - rate g;   w += momentum v - rate g (Nesterov) or w += v
//   PyTorch:  v = momentum v + g;        w -= rate (g + momentum v) (Nesterov) or w -= rate v
// They agree while the rate is constant; Keras's velocity remembers the rates it was made with.

#include "optim/optim.h"

void sgd_keras(const struct rule_step *s)
{
    float *w = s->w, *v = s->slot[0];
    const float *g = s->g, rate = (float)s->rate, momentum = (float)s->momentum;
    const bool nesterov = s->options->nesterov;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < s->n; i++) {
        v[i] = momentum * v[i] - rate * g[i];
        w[i] += nesterov ? momentum * v[i] - rate * g[i] : v[i];
    }
}

void sgd_torch(const struct rule_step *s)
{
    float *w = s->w, *v = s->slot[0];
    const float *g = s->g, rate = (float)s->rate, momentum = (float)s->momentum;
    const bool nesterov = s->options->nesterov;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < s->n; i++) {
        v[i] = momentum * v[i] + g[i];
        w[i] -= rate * (nesterov ? g[i] + momentum * v[i] : v[i]);
    }
}
