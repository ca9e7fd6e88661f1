// data/augment.c: what is drawn for one sample.
// All draws come from a hash of (seed, epoch, sample, part, number), so that no part's draws depend on another's and
// nothing depends on threads.  Geometry, RandAugment's and TrivialAugment's included, becomes one affine map.
// Distributions: torchvision's RandomResizedCrop, RandomAffine, ColorJitter, GaussianBlur, RandomErasing, RandAugment,
// TrivialAugmentWide.

#include "data/drawn.h"
#include "base/rng.h"
#include <math.h>

// A stream of numbers for one part.
struct draws {
    uint64_t key, n;
};

static struct draws draws_of(uint64_t key, enum augment_part part)
{
    return (struct draws){rng_hash(key, (uint64_t)part, 0, 0), 0};
}

static double unit(struct draws *d) { return (double)(rng_hash(d->key, d->n++, 0, 0) >> 11) * 0x1p-53; } // [0, 1)
static double between(struct draws *d, double low, double high) { return low + (high - low) * unit(d); }
static int below(struct draws *d, int n) { return (int)(unit(d) * n); }
static double either_sign(struct draws *d, double value) { return below(d, 2) == 0 ? value : -value; }

// A part of the area a..b in an aspect of 3/4..4/3; after ten that do not fit, the largest one in the middle.
static void draw_crop(struct draws *d, double a, double b, int w, int h, struct drawn *out)
{
    const double widest = log(4.0 / 3);
    out->crop = true;
    for (int i = 0; i < 10; i++) {
        const double area = between(d, a, b) * w * h, aspect = exp(between(d, -widest, widest));
        const int cw = (int)lround(sqrt(area * aspect)), ch = (int)lround(sqrt(area / aspect));
        if (cw < 1 || ch < 1 || cw > w || ch > h)
            continue;
        out->crop_w = cw;
        out->crop_h = ch;
        out->crop_x = below(d, w - cw + 1);
        out->crop_y = below(d, h - ch + 1);
        return;
    }
    const double aspect = (double)w / h;
    out->crop_w = aspect > 4.0 / 3 ? (int)lround(h * 4.0 / 3) : w;
    out->crop_h = aspect < 3.0 / 4 ? (int)lround(w * 4.0 / 3) : h;
    out->crop_x = (w - out->crop_w) / 2;
    out->crop_y = (h - out->crop_h) / 2;
}

static void colour_add(struct drawn *out, enum colour op, double value)
{
    ASSERT(out->n_colours < MAX_COLOURS);
    out->colours[out->n_colours].op = op;
    out->colours[out->n_colours++].value = value;
}

static void change_add(struct drawn *out, struct change c, double x, double y)
{
    c.scale = c.scale == 0 ? 1 : c.scale;
    out->from = affine_after(out->from, affine_of(c, x, y));
}

// One operation of RandAugment or TrivialAugment; `level` 0..1, `wide`: TrivialAugment's ranges.
static void policy_add(struct draws *d, double level, bool wide, int size, struct drawn *out)
{
    enum { IDENTITY, SHEAR_X, SHEAR_Y, MOVE_X, MOVE_Y, ROTATE, BRIGHTNESS, SATURATION, CONTRAST, SHARPNESS, POSTERIZE,
           SOLARIZE, AUTOCONTRAST, EQUALIZE, OPERATIONS };
    const double middle = size / 2.0, shear = atan(level * (wide ? 0.99 : 0.3)) * 180 / M_PI;
    const double move = trunc(level * (wide ? 32 : 150.0 / 331 * size)), strength = level * (wide ? 0.99 : 0.9);
    const int operation = below(d, OPERATIONS);
    switch (operation) {
    case SHEAR_X:
        change_add(out, (struct change){.shear_x = either_sign(d, shear)}, 0, 0);
        break;
    case SHEAR_Y:
        change_add(out, (struct change){.shear_y = either_sign(d, shear)}, 0, 0);
        break;
    case MOVE_X:
        change_add(out, (struct change){.right = either_sign(d, move)}, middle, middle);
        break;
    case MOVE_Y:
        change_add(out, (struct change){.down = either_sign(d, move)}, middle, middle);
        break;
    case ROTATE:
        change_add(out, (struct change){.degrees = either_sign(d, level * (wide ? 135 : 30))}, middle, middle);
        break;
    case BRIGHTNESS:
    case SATURATION:
    case CONTRAST:
    case SHARPNESS: {
        static const enum colour op[] = {COLOUR_BRIGHTNESS, COLOUR_SATURATION, COLOUR_CONTRAST, COLOUR_SHARPNESS};
        colour_add(out, op[operation - BRIGHTNESS], 1 + either_sign(d, strength));
        break;
    }
    case POSTERIZE:
        colour_add(out, COLOUR_POSTERIZE, 8 - nearbyint(level * (wide ? 6 : 4)));
        break;
    case SOLARIZE:
        colour_add(out, COLOUR_SOLARIZE, 255 * (1 - level));
        break;
    case AUTOCONTRAST:
        colour_add(out, COLOUR_AUTOCONTRAST, 0);
        break;
    case EQUALIZE:
        colour_add(out, COLOUR_EQUALIZE, 0);
        break;
    }
}

static void draw_geometry(const struct augment *a, uint64_t key, int size, struct drawn *out)
{
    struct draws flip = draws_of(key, AUGMENT_FLIP), rotate = draws_of(key, AUGMENT_ROTATE);
    struct draws shift = draws_of(key, AUGMENT_SHIFT), scale = draws_of(key, AUGMENT_SCALE);
    struct draws shear = draws_of(key, AUGMENT_SHEAR);
    const double middle = size / 2.0;
    const int flips = a->on[AUGMENT_FLIP] ? (int)a->a[AUGMENT_FLIP] : 0;
    struct change c = {.scale = 1};
    out->from = affine_identity();
    if ((flips & FLIP_H) != 0 && below(&flip, 2) == 1)
        out->from = affine_after(out->from, (struct affine){{-1, 0, size, 0, 1, 0}});
    flip.n = 1; // the vertical draw is the same whether or not there is a horizontal one
    if ((flips & FLIP_V) != 0 && below(&flip, 2) == 1)
        out->from = affine_after(out->from, (struct affine){{1, 0, 0, 0, -1, size}});
    if (a->on[AUGMENT_ROTATE])
        c.degrees = between(&rotate, -a->a[AUGMENT_ROTATE], a->a[AUGMENT_ROTATE]);
    if (a->on[AUGMENT_SHIFT]) {
        c.right = between(&shift, -a->a[AUGMENT_SHIFT], a->a[AUGMENT_SHIFT]) * size;
        c.down = between(&shift, -a->a[AUGMENT_SHIFT], a->a[AUGMENT_SHIFT]) * size;
    }
    if (a->on[AUGMENT_SCALE])
        c.scale = between(&scale, a->a[AUGMENT_SCALE], a->b[AUGMENT_SCALE]);
    if (a->on[AUGMENT_SHEAR])
        c.shear_x = between(&shear, -a->a[AUGMENT_SHEAR], a->a[AUGMENT_SHEAR]);
    if (a->on[AUGMENT_ROTATE] || a->on[AUGMENT_SHIFT] || a->on[AUGMENT_SCALE] || a->on[AUGMENT_SHEAR])
        change_add(out, c, middle, middle);
}

static void draw_colours(const struct augment *a, uint64_t key, struct drawn *out)
{
    static const enum colour jitter[] = {COLOUR_BRIGHTNESS, COLOUR_CONTRAST, COLOUR_SATURATION, COLOUR_HUE};
    struct draws color = draws_of(key, AUGMENT_COLOR), hue = draws_of(key, AUGMENT_HUE);
    struct draws grey = draws_of(key, AUGMENT_GREY), soft = draws_of(key, AUGMENT_BLUR);
    uint32_t order[] = {0, 1, 2, 3};
    rng_shuffle(order, 4, color.key, 0, 0);
    for (int i = 0; i < 4; i++) {
        const enum colour op = jitter[order[i]];
        const double x = op == COLOUR_HUE ? between(&hue, -1, 1) : between(&color, -1, 1);
        if (op == COLOUR_HUE ? a->on[AUGMENT_HUE] : a->on[AUGMENT_COLOR])
            colour_add(out, op, op == COLOUR_HUE ? x * a->a[AUGMENT_HUE] : 1 + x * a->a[AUGMENT_COLOR]);
    }
    if (a->on[AUGMENT_GREY] && unit(&grey) < a->a[AUGMENT_GREY])
        colour_add(out, COLOUR_GREY, 0);
    if (a->on[AUGMENT_BLUR] && unit(&soft) < a->a[AUGMENT_BLUR])
        colour_add(out, COLOUR_BLUR, between(&soft, 0.1, a->b[AUGMENT_BLUR]));
}

// A rectangle of 2 to 33 % of the area, 3/10 to 10/3 in aspect; none if ten do not fit.
static void draw_erased(struct draws *d, double probability, int size, struct drawn *out)
{
    const double widest = log(3.3), narrowest = log(0.3);
    if (unit(d) >= probability)
        return;
    for (int i = 0; i < 10; i++) {
        const double area = between(d, 0.02, 0.33) * size * size, aspect = exp(between(d, narrowest, widest));
        const int h = (int)lround(sqrt(area * aspect)), w = (int)lround(sqrt(area / aspect));
        if (w >= size || h >= size)
            continue;
        out->erase_w = w;
        out->erase_h = h;
        out->erase_y = below(d, size - h + 1);
        out->erase_x = below(d, size - w + 1);
        return;
    }
}

void augment_draw(const struct augment *a, uint64_t key, int w, int h, int size, struct drawn *out)
{
    *out = (struct drawn){0};
    struct draws crop = draws_of(key, AUGMENT_CROP), erase = draws_of(key, AUGMENT_ERASE);
    struct draws policy = draws_of(key, AUGMENT_RANDAUGMENT);
    if (a->on[AUGMENT_CROP])
        draw_crop(&crop, a->a[AUGMENT_CROP], a->b[AUGMENT_CROP], w, h, out);
    draw_geometry(a, key, size, out);
    draw_colours(a, key, out);
    if (a->on[AUGMENT_RANDAUGMENT])
        for (int i = 0; i < (int)a->a[AUGMENT_RANDAUGMENT]; i++)
            policy_add(&policy, a->b[AUGMENT_RANDAUGMENT] / 30, false, size, out);
    if (a->on[AUGMENT_TRIVIAL])
        policy_add(&policy, below(&policy, 31) / 30.0, true, size, out);
    if (a->on[AUGMENT_ERASE])
        draw_erased(&erase, a->a[AUGMENT_ERASE], size, out);
}
