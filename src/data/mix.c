// data/mix.c: the targets of a batch, and mixup and cutmix, which blend pairs of its pictures and their targets.
// The first picture is paired with the last, the second with the last but one, and so on.  One lambda a batch, drawn
// from Beta(alpha, alpha) by (seed, epoch, the batch's first sample).  Mixup: l a + (1 - l) b.  Cutmix: a rectangle of
// 1 - l of the area, as far as it lies inside, changes places.  With both, each batch has one or the other.

#include "data/data.h"
#include "base/rng.h"
#include <math.h>

struct draws {
    uint64_t key, n;
};

static double unit(struct draws *d) // (0, 1)
{
    return ((double)(rng_hash(d->key, d->n++, 0, 0) >> 11) + 0.5) * 0x1p-53;
}

// Gamma(alpha, 1): Marsaglia and Tsang, 2000; below 1 by their boost.
static double gamma_draw(struct draws *d, double alpha)
{
    const double boost = alpha < 1 ? pow(unit(d), 1 / alpha) : 1, shape = alpha < 1 ? alpha + 1 : alpha;
    const double k = shape - 1.0 / 3, c = 1 / sqrt(9 * k);
    for (;;) {
        const double normal = sqrt(-2 * log(unit(d))) * cos(2 * M_PI * unit(d)), v = pow(1 + c * normal, 3);
        if (v > 0 && log(unit(d)) < 0.5 * normal * normal + k - k * v + k * log(v))
            return boost * k * v;
    }
}

static double beta_draw(struct draws *d, double alpha)
{
    const double a = gamma_draw(d, alpha), b = gamma_draw(d, alpha);
    return a + b > 0 ? a / (a + b) : 0.5; // both underflow for a small alpha
}

static void blend(float *a, float *b, size_t n, float l)
{
    for (size_t i = 0; i < n; i++) {
        const float x = a[i], y = b[i];
        a[i] = l * x + (1 - l) * y;
        b[i] = l * y + (1 - l) * x;
    }
}

struct rectangle {
    int x, y, w, h;
};

static void exchange(float *a, float *b, int size, struct rectangle r)
{
    for (int c = 0; c < 3; c++)
        for (int y = r.y; y < r.y + r.h; y++)
            for (int x = r.x; x < r.x + r.w; x++) {
                const size_t at = ((size_t)c * size + (size_t)y) * size + (size_t)x;
                const float kept = a[at];
                a[at] = b[at];
                b[at] = kept;
            }
}

static int within(int x, int size) { return x < 0 ? 0 : x > size ? size : x; }

// Of 1 - l of the area, its centre anywhere, cut at the edges.
static struct rectangle rectangle_draw(struct draws *d, double l, int size)
{
    const int half = (int)(0.5 * sqrt(1 - l) * size), x = (int)(unit(d) * size), y = (int)(unit(d) * size);
    const int left = within(x - half, size), top = within(y - half, size);
    return (struct rectangle){left, top, within(x + half, size) - left, within(y + half, size) - top};
}

void batch_mix(const struct augmentation *how, int size, int classes, struct batch *b, float *targets)
{
    const struct augment *a = how->augment;
    const bool both = a->on[AUGMENT_MIXUP] && a->on[AUGMENT_CUTMIX];
    const size_t item = 3 * (size_t)size * size;
    if ((!a->on[AUGMENT_MIXUP] && !a->on[AUGMENT_CUTMIX]) || b->n < 2)
        return;
    struct draws d = {rng_hash(rng_hash(RNG_AUGMENT, how->seed, how->epoch, b->index[0]), AUGMENT_MIXUP, 0, 0), 0};
    const bool first = unit(&d) < 0.5, cut = both ? first : a->on[AUGMENT_CUTMIX];
    double l = beta_draw(&d, a->a[cut ? AUGMENT_CUTMIX : AUGMENT_MIXUP]);
    l = l < 0.5 ? 1 - l : l; // the same pairs, each picture in the place where it has the larger share
    const struct rectangle r = rectangle_draw(&d, l, size);
    if (cut)
        l = 1 - (double)r.w * r.h / ((double)size * size);
    for (int i = 0, k = b->n - 1; i < k; i++, k--) {
        if (cut)
            exchange(b->input + (size_t)i * item, b->input + (size_t)k * item, size, r);
        else
            blend(b->input + (size_t)i * item, b->input + (size_t)k * item, item, (float)l);
        blend(targets + (size_t)i * classes, targets + (size_t)k * classes, (size_t)classes, (float)l);
    }
}

void batch_targets(const struct dataset *d, int classes, double smoothing, const struct batch *b, float *targets)
{
    for (int i = 0; i < b->n; i++) {
        const int label = d->samples[b->index[i]].label;
        const float weight = d->weights != NULL ? d->weights[label] : 1;
        float *row = targets + (size_t)i * classes;
        const float *soft = d->samples[b->index[i]].soft;
        for (int c = 0; c < classes; c++)
            row[c] = weight * (float)(smoothing / classes);
        if (soft == NULL)
            row[label] += weight * (float)(1 - smoothing);
        for (int c = 0; soft != NULL && c < classes; c++)
            row[c] += weight * (float)(1 - smoothing) * soft[c];
    }
}
