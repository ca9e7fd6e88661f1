// data/augment.c: what is drawn for one sample, and the network's input made from it.
// All draws come from a hash of (seed, epoch, sample, part, number), so that no part's draws depend on another's and
// nothing depends on threads.  Geometry, RandAugment's and TrivialAugment's included, becomes one affine map, done in
// one resampling; then colours in the order drawn; then the erased rectangle. Distributions: torchvision's
// RandomResizedCrop, RandomAffine, ColorJitter, GaussianBlur, RandomErasing, RandAugment, TrivialAugmentWide.  Two
// things are not as there: a picture turned or moved shows what lies outside the centre crop instead of the border, and
// a picture zoomed is resized (anti-aliased) to the zoomed size before it is warped.

#include "data/augment.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/colour.h"
#include "data/resize.h"
#include "data/warp.h"
#include <math.h>
#include <string.h>

enum { MAX_COLOURS = 24 };
struct drawn {
    bool crop; // x, y, w, h in source pixels
    int crop_x, crop_y, crop_w, crop_h;
    struct affine from; // result -> upright picture of the network's size
    int n_colours;
    struct { enum colour op; double value; } colours[MAX_COLOURS];
    int erase_x, erase_y, erase_w, erase_h; // width 0: none
};

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

static void draw(const struct augment *a, uint64_t key, int w, int h, int size, struct drawn *out)
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

// What of a side of `n` pixels the range low..high reaches, a pixel around it and what the border mirrors included.
static bool side_reached(double low, double high, int n, enum border border, int *first, int *count)
{
    low = floor(low) - 1;
    high = ceil(high) + 1;
    if (border == BORDER_REFLECT && low < 0)
        high = fmax(high, -low);
    if (border == BORDER_REFLECT && high > n)
        low = fmin(low, 2.0 * n - high);
    if (border == BORDER_EDGE) {
        low = fmin(low, n - 1);
        high = fmax(high, 1);
    }
    low = fmax(low, 0);
    high = fmin(high, n);
    if (low >= high)
        return false;
    *first = (int)low;
    *count = (int)(high - low);
    return true;
}

// The part of the resized picture that the map can reach; false: none.
static bool box_reached(struct affine from, int size, enum border border, struct box *box)
{
    const double *m = from.m;
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    int first[2];
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 2; i++) {
            const double at = m[3 * i] * (k % 2) * size + m[3 * i + 1] * (k / 2) * size + m[3 * i + 2];
            low[i] = fmin(low[i], at);
            high[i] = fmax(high[i], at);
        }
    if (!side_reached(low[0], high[0], (int)fmax(1, floor(box->full_w + 0.5)), border, &first[0], &box->w) ||
        !side_reached(low[1], high[1], (int)fmax(1, floor(box->full_h + 0.5)), border, &first[1], &box->h))
        return false;
    box->left = first[0];
    box->top = first[1];
    return true;
}

// Flips alone keep every pixel.
static bool only_flips(struct affine from, int size)
{
    const double *m = from.m;
    return m[1] == 0 && m[3] == 0 && fabs(m[0]) == 1 && fabs(m[4]) == 1 && m[2] == (m[0] < 0 ? size : 0) &&
           m[5] == (m[4] < 0 ? size : 0);
}

static void flip(struct picture *p, bool across, bool down)
{
    const size_t n = (size_t)p->w * p->h;
    for (int y = 0; down && y < p->h / 2; y++)
        for (int i = 0; i < p->w * 3; i++) {
            uint8_t *a = p->rgb + (size_t)y * p->w * 3 + i, *b = p->rgb + (size_t)(p->h - 1 - y) * p->w * 3 + i;
            const uint8_t kept = *a;
            *a = *b;
            *b = kept;
        }
    for (size_t at = 0; across && at < n; at += (size_t)p->w)
        for (int x = 0; x < p->w / 2; x++) {
            uint8_t *a = p->rgb + (at + (size_t)x) * 3, *b = p->rgb + (at + (size_t)(p->w - 1 - x)) * 3, kept[3];
            memcpy(kept, a, 3);
            memcpy(a, b, 3);
            memcpy(b, kept, 3);
        }
}

// Source pixels a pixel of the result, by which the picture is zoomed before it is warped, no further than it has
// pixels.
static double zoom_of(struct affine from, double most)
{
    const double *m = from.m, shrink = sqrt(fabs(m[0] * m[4] - m[1] * m[3]));
    const double zoom = fabs(shrink - 1) < 1e-9 ? 1 : 1 / shrink;
    return zoom > most ? most : zoom;
}

// The picture resized to where the map leaves its size alone, then warped.  `box`: what would be taken without the map.
static graft_status picture_warped(const struct picture *src, const struct input_spec *spec, enum border border,
                                   const uint8_t fill[3], struct affine from, struct box box, struct picture *out)
{
    const int size = spec->size;
    const double zoom = zoom_of(from, fmax(1, fmax(src->w / box.full_w, src->h / box.full_h)));
    struct affine to_box = {{zoom, 0, box.left * zoom, 0, zoom, box.top * zoom}};
    struct picture p = {0};
    from = affine_after(to_box, from);
    box.full_w = fmax(1, box.full_w * zoom);
    box.full_h = fmax(1, box.full_h * zoom);
    *out = (struct picture){mem_alloc((size_t)size * size * 3), size, size};
    if (out->rgb == NULL)
        return fail_memory("a warped picture");
    if (!box_reached(from, size, border, &box)) {
        for (size_t i = 0; i < (size_t)size * size; i++)
            memcpy(out->rgb + 3 * i, fill, 3);
        return GRAFT_OK;
    }
    const graft_status status = resize_box(src, box, spec->filter, &p);
    if (status != GRAFT_OK) {
        picture_free(out);
        return status;
    }
    from.m[2] -= box.left;
    from.m[5] -= box.top;
    warp(&p, from, border, fill, out);
    picture_free(&p);
    return GRAFT_OK;
}

static uint64_t key_of(const struct augmentation *how, uint64_t sample)
{
    return rng_hash(RNG_AUGMENT, how->seed, how->epoch, how->alike ? 0 : sample);
}

// What is taken of a picture of w x h pixels, before the map.
static struct box box_drawn(const struct input_spec *spec, const struct drawn *drawn, int w, int h)
{
    struct box box = box_of(spec, w, h);
    const double size = spec->size;
    if (drawn->crop) {
        box.full_w = size * w / drawn->crop_w;
        box.full_h = size * h / drawn->crop_h;
        box.left = size * drawn->crop_x / drawn->crop_w;
        box.top = size * drawn->crop_y / drawn->crop_h;
    }
    return box;
}

void picture_wanted(const struct input_spec *spec, const struct augmentation *how, uint64_t sample, int w, int h,
                    double *across, double *down)
{
    struct drawn drawn = {.from = affine_identity()};
    if (how != NULL)
        draw(how->augment, key_of(how, sample), w, h, spec->size, &drawn);
    const struct box box = box_drawn(spec, &drawn, w, h);
    const double zoom = zoom_of(drawn.from, fmax(1, fmax(w / box.full_w, h / box.full_h)));
    *across = box.full_w * zoom;
    *down = box.full_h * zoom;
}

graft_status picture_augment(const struct picture *src, const struct input_spec *spec, const struct augmentation *how,
                             uint64_t sample, float *dst)
{
    const struct augment *a = how->augment;
    const int size = spec->size;
    struct drawn drawn;
    struct picture p = {0};
    uint8_t fill[3] = {0};
    graft_status status = GRAFT_OK;
    const int w = picture_full_w(src), h = picture_full_h(src);
    draw(a, key_of(how, sample), w, h, size, &drawn);
    const struct box box = box_drawn(spec, &drawn, w, h);
    const enum border border = a->on[AUGMENT_BORDER] ? (enum border)a->a[AUGMENT_BORDER] : BORDER_MEAN;
    if (border != BORDER_BLACK)
        fill_of(spec, fill);
    if (only_flips(drawn.from, size)) {
        uint8_t mean[3]; // bars of RESIZE_PAD
        fill_of(spec, mean);
        TRY_GOTO(resize_padded(src, box, spec->filter, mean, &p));
        flip(&p, drawn.from.m[0] < 0, drawn.from.m[4] < 0);
    } else
        TRY_GOTO(picture_warped(src, spec, border, fill, drawn.from, box, &p));
    for (int i = 0; i < drawn.n_colours; i++)
        TRY_GOTO(colour_apply(&p, drawn.colours[i].op, drawn.colours[i].value));
    picture_normalise(&p, spec, dst);
    for (int c = 0; c < 3; c++)
        for (int y = drawn.erase_y; y < drawn.erase_y + drawn.erase_h; y++)
            memset(dst + ((size_t)c * size + (size_t)y) * size + drawn.erase_x, 0, (size_t)drawn.erase_w * sizeof *dst);
done:
    picture_free(&p);
    return status;
}
