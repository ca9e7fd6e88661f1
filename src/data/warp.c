// data/warp.c: affine maps, and the one resampling that all geometric changes share.
// Fixed point, so that every processor and number of threads gives the same bits: coordinates in 1/65,536 of a pixel,
// weights in 1/2,048.

#include "data/warp.h"
#include "data/pixels.h"
#include <math.h>

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

void warp(const struct picture *src, struct affine from, enum border border, const uint8_t fill[3], struct picture *dst)
{
    const double *m = from.m;
    const int64_t dx = fixed(m[0]), dy = fixed(m[3]);
    const struct pixel_kernels *kernels = pixels_best();
    for (int y = 0; y < dst->h; y++) {
        uint8_t *out = dst->rgb + (size_t)y * dst->w * 3;
        int64_t sx = fixed(m[0] * 0.5 + m[1] * (y + 0.5) + m[2] - 0.5);
        int64_t sy = fixed(m[3] * 0.5 + m[4] * (y + 0.5) + m[5] - 0.5);
        for (int x = 0; x < dst->w;) {
            // up to the last but one: after it a byte is free
            const struct warp_span span = {src->rgb, src->w, src->h, sx, sy, dx, dy, dst->w - 1 - x};
            const int n = kernels->warp(&span, out + 3 * x);
            if (n > 0) {
                x += n;
                sx += n * dx;
                sy += n * dy;
                continue;
            }
            const int ix = (int)(sx >> POSITION), iy = (int)(sy >> POSITION);
            const int fx = (int)(sx >> (POSITION - WEIGHT)) & ((1 << WEIGHT) - 1);
            const int fy = (int)(sy >> (POSITION - WEIGHT)) & ((1 << WEIGHT) - 1);
            blend(pixel(src, ix, iy, border, fill), pixel(src, ix + 1, iy, border, fill),
                  pixel(src, ix, iy + 1, border, fill), pixel(src, ix + 1, iy + 1, border, fill), fx, fy, out + 3 * x);
            x++;
            sx += dx;
            sy += dy;
        }
    }
}
