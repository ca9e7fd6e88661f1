// data/warp.c: affine maps, and the one resampling that all geometric changes share.
// Fixed point, so that every processor and number of threads gives the same bits: coordinates in 1/65,536 of a pixel,
// weights in 1/2,048.

#include "data/warp.h"
#include "data/pixels.h"
#include <math.h>
#include <string.h>

struct affine affine_identity(void) { return (struct affine){{1, 0, 0, 0, 1, 0}}; }

// A point of the final result goes back through `second`, then through `first`.
struct affine affine_after(struct affine first, struct affine second)
{
    const double *a = first.m, *b = second.m;
    return (struct affine){{a[0] * b[0] + a[1] * b[3], a[0] * b[1] + a[1] * b[4], a[0] * b[2] + a[1] * b[5] + a[2],
                            a[3] * b[0] + a[4] * b[3], a[3] * b[1] + a[4] * b[4], a[3] * b[2] + a[4] * b[5] + a[5]}};
}

static double radians(double degrees) { return degrees * 3.14159265358979323846 / 180; }

// Forward, about the point: p' = scale R(degrees) S(shear) p + move, with S = [[1, -tan sx], [0, 1]] after
// [[1, 0], [-tan sy, 1]], which is how torchvision orders them; inverted here.
struct affine affine_of(struct change c, double x, double y)
{
    const double angle = radians(c.degrees), sx = radians(c.shear_x), sy = radians(c.shear_y);
    const double a = cos(angle - sy) / cos(sy), b = -cos(angle - sy) * tan(sx) / cos(sy) - sin(angle);
    const double d = sin(angle - sy) / cos(sy), e = -sin(angle - sy) * tan(sx) / cos(sy) + cos(angle);
    const double m0 = e / c.scale, m1 = -b / c.scale, m3 = -d / c.scale, m4 = a / c.scale; // the determinant is 1
    const double px = -x - c.right, py = -y - c.down;
    return (struct affine){{m0, m1, m0 * px + m1 * py + x, m3, m4, m3 * px + m4 * py + y}};
}

enum { POSITION = WARP_POSITION, WEIGHT = WARP_WEIGHT };

// A pixel outside along one side: the nearest of the edge, or mirrored (the edge pixel twice), any number of times.
static int inside(int i, int n, enum border border)
{
    if (border == BORDER_EDGE)
        return i < 0 ? 0 : i >= n ? n - 1 : i;
    const int period = 2 * n, at = (i % period + period) % period;
    return at < n ? at : period - 1 - at;
}

static const uint8_t *pixel(const struct picture *p, int x, int y, enum border border, const uint8_t fill[3])
{
    if (border == BORDER_EDGE || border == BORDER_REFLECT) {
        x = inside(x, p->w, border);
        y = inside(y, p->h, border);
    } else if (x < 0 || y < 0 || x >= p->w || y >= p->h)
        return fill;
    return p->rgb + ((size_t)y * p->w + x) * 3;
}

static inline void blend(const uint8_t *a, const uint8_t *b, const uint8_t *c, const uint8_t *d, int fx, int fy,
                         uint8_t *out)
{
    const int one = 1 << WEIGHT;
    for (int k = 0; k < 3; k++) {
        const int above = a[k] * (one - fx) + b[k] * fx, below = c[k] * (one - fx) + d[k] * fx;
        out[k] = (uint8_t)((above * (one - fy) + below * fy + (1 << (2 * WEIGHT - 1))) >> (2 * WEIGHT));
    }
}

static int64_t fixed(double position)
{
    const double most = 1 << 30; // far outside is outside
    return llround((position < -most ? -most : position > most ? most : position) * (1 << POSITION));
}

// From place s on, d apart: how many lie in 0 .. end - 1, of which s is one.
static int64_t steps_inside(int64_t s, int64_t d, int64_t end)
{
    return d > 0 ? (end - 1 - s) / d + 1 : d < 0 ? s / -d + 1 : INT64_MAX;
}

// How many lie so far before or behind a side of n pixels that nothing of it is seen there.
static int64_t steps_outside(int64_t s, int64_t d, int n)
{
    const int64_t one = 1 << POSITION, begin = -one, end = n * one;
    if (s < begin)
        return d > 0 ? (begin - 1 - s) / d + 1 : INT64_MAX;
    if (s >= end)
        return d < 0 ? (s - end) / -d + 1 : INT64_MAX;
    return 0;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

// The pixels of a row, of which the first comes from (at.sx, at.sy).
static void row(const struct picture *src, struct warp_span at, enum border border, const uint8_t fill[3], uint8_t *out)
{
    const struct pixel_kernels *kernels = pixels_best();
    const bool filled = border != BORDER_EDGE && border != BORDER_REFLECT;
    const int64_t right = (int64_t)(src->w - 1) << POSITION, bottom = (int64_t)(src->h - 1) << POSITION;
    for (int n, left = at.n; left > 0; left -= n, out += 3 * n, at.sx += n * at.dx, at.sy += n * at.dy) {
        if (at.sx >= 0 && at.sx < right && at.sy >= 0 && at.sy < bottom) {
            n = at.n = (int)least(left, least(steps_inside(at.sx, at.dx, right), steps_inside(at.sy, at.dy, bottom)));
            kernels->warp(&at, out);
            continue;
        }
        n = (int)least(left, most(steps_outside(at.sx, at.dx, src->w), steps_outside(at.sy, at.dy, src->h)));
        if (filled && n > 0) {
            for (int x = 0; x < n; x++)
                memcpy(out + 3 * x, fill, 3);
            continue;
        }
        n = 1;
        const int ix = (int)(at.sx >> POSITION), iy = (int)(at.sy >> POSITION);
        const int fx = (int)(at.sx >> (POSITION - WEIGHT)) & ((1 << WEIGHT) - 1);
        const int fy = (int)(at.sy >> (POSITION - WEIGHT)) & ((1 << WEIGHT) - 1);
        blend(pixel(src, ix, iy, border, fill), pixel(src, ix + 1, iy, border, fill),
              pixel(src, ix, iy + 1, border, fill), pixel(src, ix + 1, iy + 1, border, fill), fx, fy, out);
    }
}

void warp_row(const struct picture *src, struct affine from, enum border border, const uint8_t fill[3], int y, int w,
              uint8_t *rgb)
{
    const double *m = from.m;
    const int64_t sx = fixed(m[0] * 0.5 + m[1] * (y + 0.5) + m[2] - 0.5);
    const int64_t sy = fixed(m[3] * 0.5 + m[4] * (y + 0.5) + m[5] - 0.5);
    row(src, (struct warp_span){src->rgb, src->w, src->h, sx, sy, fixed(m[0]), fixed(m[3]), w}, border, fill, rgb);
}

void warp(const struct picture *src, struct affine from, enum border border, const uint8_t fill[3], struct picture *dst)
{
    for (int y = 0; y < dst->h; y++)
        warp_row(src, from, border, fill, y, dst->w, dst->rgb + (size_t)y * dst->w * 3);
}
