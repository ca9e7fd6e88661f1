// data/view.c: from an upright picture to the network's input: which part is resized to what size, then padded or
// warped, flipped, coloured, normalised, erased. Two things are not as in torchvision: a picture turned or moved shows
// what lies outside the centre crop instead of the border, and a picture zoomed is resized (anti-aliased) to the zoomed
// size before it is warped.

#include "data/view.h"
#include "base/memory.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

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

// Of a box that reaches beyond the resized picture, the part inside, and where that goes.
static void box_inside(struct box box, struct view *v)
{
    const double right = floor(box.full_w - box.left + 0.5), bottom = floor(box.full_h - box.top + 0.5);
    v->left = box.left < 0 ? (int)-box.left : 0;
    v->top = box.top < 0 ? (int)-box.top : 0;
    v->box = box;
    v->box.left += v->left;
    v->box.top += v->top;
    v->box.w = (int)fmin(right, box.w) - v->left;
    v->box.h = (int)fmin(bottom, box.h) - v->top;
}

// The picture is resized to where the map leaves its size alone, then warped.  `box`: what would be taken without a
// map.
static void warp_plan(struct box box, struct affine from, double zoom, struct view *v)
{
    const struct affine to_box = {{zoom, 0, box.left * zoom, 0, zoom, box.top * zoom}};
    v->warped = true;
    v->from = affine_after(to_box, from);
    v->box = box;
    v->box.full_w = fmax(1, box.full_w * zoom);
    v->box.full_h = fmax(1, box.full_h * zoom);
    v->blank = !box_reached(v->from, v->spec->size, v->border, &v->box);
    if (v->blank)
        v->box = (struct box){v->box.full_w, v->box.full_h, 0, 0, 1, 1};
    v->from.m[2] -= v->box.left;
    v->from.m[5] -= v->box.top;
}

void view_of(const struct input_spec *spec, const struct augmentation *how, uint64_t sample, const struct picture *src,
             struct view *v)
{
    const struct augment *a = how != NULL ? how->augment : NULL;
    const int w = picture_full_w(src), h = picture_full_h(src);
    *v = (struct view){.spec = spec, .drawn.from = affine_identity()};
    if (a != NULL) {
        augment_draw(a, key_of(how, sample), w, h, spec->size, &v->drawn);
        v->border = a->on[AUGMENT_BORDER] ? (enum border)a->a[AUGMENT_BORDER] : BORDER_MEAN;
    }
    const struct box box = box_drawn(spec, &v->drawn, w, h);
    if (only_flips(v->drawn.from, spec->size))
        box_inside(box, v);
    else
        warp_plan(box, v->drawn.from,
                  zoom_of(v->drawn.from, fmax(1, fmax(src->w / box.full_w, src->h / box.full_h))), v);
}

void view_wanted(const struct input_spec *spec, const struct augmentation *how, uint64_t sample, int w, int h,
                 double *across, double *down)
{
    struct view v;
    view_of(spec, how, sample, &(struct picture){.w = w, .h = h}, &v);
    *across = v.box.full_w;
    *down = v.box.full_h;
}

static void fill_all(struct picture *p, const uint8_t fill[3])
{
    for (size_t i = 0; i < (size_t)p->w * p->h; i++)
        memcpy(p->rgb + 3 * i, fill, 3);
}

// What lies around the picture.
static void fill_around(const struct view *v, uint8_t fill[3])
{
    fill_of(v->spec, fill);
    if (v->warped && v->border == BORDER_BLACK)
        memset(fill, 0, 3);
}

// `take_p` as large as the network wants it.
static graft_status shape(const struct view *v, struct picture *take_p, struct picture *out)
{
    const int size = v->spec->size;
    uint8_t fill[3];
    fill_around(v, fill);
    if (!v->warped && take_p->w == size && take_p->h == size) {
        *out = *take_p;
        return GRAFT_OK;
    }
    *out = (struct picture){mem_alloc((size_t)size * size * 3 + PIXEL_SLACK), size, size};
    if (out->rgb != NULL && v->warped && !v->blank)
        warp(take_p, v->from, v->border, fill, out);
    else if (out->rgb != NULL)
        fill_all(out, fill);
    for (int y = 0; out->rgb != NULL && !v->warped && y < take_p->h; y++)
        memcpy(out->rgb + ((size_t)(y + v->top) * size + v->left) * 3, take_p->rgb + (size_t)y * take_p->w * 3,
               (size_t)take_p->w * 3);
    picture_free(take_p);
    return out->rgb != NULL ? GRAFT_OK : fail_memory("a picture for the network");
}

static graft_status whole_finish(const struct view *v, struct picture *take_resized, float *dst)
{
    const int size = v->spec->size;
    const struct drawn *drawn = &v->drawn;
    struct picture p;
    graft_status status = GRAFT_OK;
    TRY(shape(v, take_resized, &p));
    if (!v->warped)
        flip(&p, drawn->from.m[0] < 0, drawn->from.m[4] < 0);
    for (int i = 0; i < drawn->n_colours; i++)
        TRY_GOTO(colour_apply(&p, drawn->colours[i].op, drawn->colours[i].value));
    pixels_normalise(p.rgb, 0, (size_t)size * size, v->spec, dst);
done:
    picture_free(&p);
    return status;
}

// Warped and nothing else: what becomes of a row is written while the next one is computed.
static graft_status rows_finish(const struct view *v, struct picture *take_resized, float *dst)
{
    const int size = v->spec->size;
    uint8_t fill[3], *row = mem_alloc((size_t)size * 3 + PIXEL_SLACK);
    fill_around(v, fill);
    for (int y = 0; row != NULL && y < size; y++) {
        warp_row(take_resized, v->from, v->border, fill, y, size, row);
        pixels_normalise(row, (size_t)y * size, (size_t)size, v->spec, dst);
    }
    picture_free(take_resized);
    const graft_status status = row != NULL ? GRAFT_OK : fail_memory("a row of a picture");
    mem_free(row);
    return status;
}

graft_status view_finish(const struct view *v, struct picture *take_resized, float *dst)
{
    const int size = v->spec->size;
    const struct drawn *drawn = &v->drawn;
    const bool rows = v->warped && !v->blank && drawn->n_colours == 0;
    TRY((rows ? rows_finish : whole_finish)(v, take_resized, dst));
    for (int c = 0; c < 3; c++)
        for (int y = drawn->erase_y; y < drawn->erase_y + drawn->erase_h; y++)
            memset(dst + ((size_t)c * size + (size_t)y) * size + drawn->erase_x, 0,
                   (size_t)drawn->erase_w * sizeof *dst);
    return GRAFT_OK;
}

static graft_status see(const struct picture *src, const struct view *v, float *dst)
{
    struct picture resized;
    TRY(resize_box(src, v->box, v->spec->filter, &resized));
    return view_finish(v, &resized, dst);
}

graft_status picture_prepare(const struct picture *src, const struct input_spec *spec, float *dst)
{
    struct view v;
    view_of(spec, NULL, 0, src, &v);
    return see(src, &v, dst);
}

graft_status picture_augment(const struct picture *src, const struct input_spec *spec, const struct augmentation *how,
                             uint64_t sample, float *dst)
{
    struct view v;
    view_of(spec, how, sample, src, &v);
    return see(src, &v, dst);
}
