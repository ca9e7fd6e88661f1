// optim/rule_adam.c: Adam and AdamW (which differ in their weight decay alone).
//   m += (1 - beta1) (g - m);   v += (1 - beta2) (g g - v)
//   Keras:    w -= rate sqrt(1 - beta2^t) / (1 - beta1^t)  m / (sqrt(v) + epsilon)
//   PyTorch:  w -= rate / (1 - beta1^t)  m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
// Keras takes the powers in float, which shows in the first steps (1 - 0.999f is 1.3e-5 off); PyTorch in double.

#include "optim/optim.h"
#include <math.h>

void adam_keras(const struct rule_step *s)
{
    float *w = s->w, *m = s->slot[0], *v = s->slot[1];
    const float *g = s->g, epsilon = (float)s->options->epsilon, t = (float)s->t;
    const float power1 = powf((float)s->momentum, t), power2 = powf((float)s->options->beta2, t);
    const float alpha = (float)s->rate * sqrtf(1 - power2) / (1 - power1);
    const float share1 = (float)(1 - s->momentum), share2 = (float)(1 - s->options->beta2);
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < s->n; i++) {
        m[i] += share1 * (g[i] - m[i]);
        v[i] += share2 * (g[i] * g[i] - v[i]);
        w[i] -= alpha * m[i] / (sqrtf(v[i]) + epsilon);
    }
}

void adam_torch(const struct rule_step *s)
{
    float *w = s->w, *m = s->slot[0], *v = s->slot[1];
    const double beta1 = s->momentum, beta2 = s->options->beta2;
    const float *g = s->g, epsilon = (float)s->options->epsilon, share1 = (float)(1 - beta1),
                share2 = (float)(1 - beta2);
    const float step = (float)(s->rate / (1 - pow(beta1, (double)s->t)));
    const float root = (float)sqrt(1 - pow(beta2, (double)s->t)), keep2 = (float)beta2;
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < s->n; i++) {
        m[i] += share1 * (g[i] - m[i]);
        v[i] = keep2 * v[i] + share2 * g[i] * g[i];
        w[i] -= step * m[i] / (sqrtf(v[i]) / root + epsilon);
    }
}
