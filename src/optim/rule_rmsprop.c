// optim/rule_rmsprop.c: RMSprop, with momentum where it is above 0.
//   v = rho v + (1 - rho) g g
//   Keras:    m = momentum m + rate g / sqrt(v + epsilon);     w -= m
//   PyTorch:  m = momentum m + g / (sqrt(v) + epsilon);        w -= rate m

#include "optim/optim.h"
#include <math.h>

void rmsprop_keras(const struct rule_step *s)
{
    float *w = s->w, *v = s->slot[0], *m = s->slot[1];
    const float *g = s->g, rate = (float)s->rate, momentum = (float)s->momentum, epsilon = (float)s->options->epsilon;
    const float rho = (float)s->options->rho, share = (float)(1 - s->options->rho);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < s->n; i++) {
        v[i] = rho * v[i] + share * g[i] * g[i];
        m[i] = momentum * m[i] + rate * g[i] / sqrtf(v[i] + epsilon);
        w[i] -= m[i];
    }
}

void rmsprop_torch(const struct rule_step *s)
{
    float *w = s->w, *v = s->slot[0], *m = s->slot[1];
    const float *g = s->g, rate = (float)s->rate, momentum = (float)s->momentum, epsilon = (float)s->options->epsilon;
    const float rho = (float)s->options->rho, share = (float)(1 - s->options->rho);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < s->n; i++) {
        v[i] = rho * v[i] + share * g[i] * g[i];
        m[i] = momentum * m[i] + g[i] / (sqrtf(v[i]) + epsilon);
        w[i] -= rate * m[i];
    }
}
