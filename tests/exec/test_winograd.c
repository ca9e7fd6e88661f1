// tests/exec/test_winograd.c: Winograd's matrices by their defining identity, then all three passes against the direct
// sums in double, over every kernel and odd shapes, both ways of cutting, every instruction set; fused bias,
// activation, mask; any thread count.

#include "sets.h"
#include "base/rng.h"
#include "exec/kernels.h"
#include "exec/plan.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef double vec; // the matrices in double, one channel
#define INLINE static inline
#define WINO_REAL double
#include "exec/winograd_matrices.h"

static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

// A' [(G e_r) . (B' e_s)] is 1 where output j takes datum s = j + r, else 0; and the same sums read as the filter's
// gradient.  The products of a sum are some hundred at most, so double leaves 1e-13.
static void test_matrices(void **state)
{
    (void)state;
    static const struct wino_line *const lines[] = {&wino_line_1_1, &wino_line_3_4, &wino_line_5_2, &wino_line_7_4};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        const struct wino_line *const l = lines[i];
        assert_int_equal(l->points, l->taps + l->out - 1);
        for (int r = 0; r < l->taps; r++)
            for (int s = 0; s < l->points; s++)
                for (int j = 0; j < l->out; j++) {
                    double g[WINO_TAPS_MOST] = {0}, d[WINO_LINE_MOST] = {0}, e[WINO_OUT_MOST] = {0};
                    double u[WINO_LINE_MOST], v[WINO_LINE_MOST], q[WINO_LINE_MOST], y[WINO_OUT_MOST];
                    g[r] = d[s] = e[j] = 1;
                    wino_filter(l, g, 1, u, 1);
                    wino_data(l, d, 1, v, 1);
                    wino_gradient(l, e, 1, q, 1);
                    for (int p = 0; p < l->points; p++) {
                        u[p] *= v[p];
                        q[p] *= v[p];
                    }
                    wino_output(l, u, 1, y, 1);
                    assert_true(fabs(y[j] - (s == j + r)) < 1e-13);
                    wino_filter_gradient(l, q, 1, g, 1);
                    assert_true(fabs(g[r] - (s == j + r)) < 1e-13);
                }
    }
}

struct shape_row { int kh, kw, n, ic, h, w, oc, top, left, bottom, right; };
static const struct shape_row shapes[] = {
    {3, 3, 2, 32, 12, 12, 32, 1, 1, 1, 1},  // whole tiles
    {3, 3, 2, 20, 13, 10, 35, 1, 1, 1, 1},  // channel tails; rest of 1 and 2
    {3, 3, 1, 48, 11, 15, 17, 0, 0, 0, 0},  // no padding; rest of 1 and 1
    {3, 3, 3, 33, 7, 9, 40, 0, 1, 2, 0},    // asymmetric; rest of 3 and 0
    {3, 3, 1, 16, 3, 3, 16, 1, 1, 1, 1},    // a single tile, not whole
    {3, 3, 1, 64, 5, 2, 80, 2, 2, 2, 2},    // padding wider than the map's share
    {3, 3, 2, 300, 6, 7, 24, 1, 1, 1, 1},   // more source channels than a product sums at once
    {3, 3, 1, 17, 58, 57, 24, 1, 0, 1, 2},  // many tiles, by weights more than a product sums at once
    {1, 7, 2, 32, 12, 12, 32, 0, 3, 0, 3}, // whole tiles of 1x4
    {1, 7, 2, 20, 5, 17, 35, 0, 3, 0, 3},  // Inception's side; channel tails
    {1, 7, 1, 33, 3, 10, 17, 0, 0, 0, 0},  // no padding: a whole tile
    {1, 7, 2, 16, 4, 2, 40, 0, 6, 0, 2},   // narrower than the kernel; asymmetric
    {1, 7, 1, 300, 2, 19, 24, 1, 3, 0, 3}, // a row of nothing but padding
    {7, 1, 2, 20, 17, 5, 35, 3, 0, 3, 0},
    {7, 1, 1, 48, 16, 3, 33, 3, 0, 3, 0},  // whole tiles of 4x1
    {7, 1, 1, 17, 7, 9, 16, 5, 0, 1, 1},
    {7, 1, 3, 64, 1, 3, 20, 3, 0, 3, 0},   // one row
    {1, 3, 2, 35, 8, 8, 20, 0, 1, 0, 1},   // Inception's side
    {1, 3, 1, 16, 5, 1, 33, 0, 2, 0, 3},   // one column, padding wider than it
    {3, 1, 3, 20, 9, 6, 17, 1, 0, 1, 0},
    {3, 1, 1, 300, 3, 7, 40, 0, 0, 0, 0},
    {5, 5, 2, 20, 13, 10, 35, 2, 2, 2, 2}, // rest of 1 and 0
    {5, 5, 1, 48, 6, 8, 64, 2, 2, 2, 2},   // whole tiles of 2x2
    {5, 5, 3, 17, 5, 7, 16, 0, 1, 2, 4},   // asymmetric
    {5, 5, 2, 33, 2, 1, 24, 2, 3, 3, 2},   // smaller than the kernel
    {7, 1, 1, 17, 58, 57, 24, 3, 0, 3, 0}, // by weights more tiles than a product sums at once
};

struct bench {
    struct dnn_conv_shape s;
    int lanes;
    float *src, *wei, *bias, *diff;  // blocked; diff: gradient of the output
    size_t n_src, n_wei, n_bias, n_dst;
};

static size_t up(int c, int lanes) { return (size_t)(c + lanes - 1) / lanes * lanes; }
static size_t map_at(const struct bench *b, int channels, int h, int w, int n, int c, int y, int x)
{
    const size_t v = (size_t)b->lanes, blocks = up(channels, b->lanes) / v;
    return (((n * blocks + c / v) * h + y) * w + x) * v + c % v;
}
static size_t wei_at(const struct bench *b, int o, int i, int p)
{
    const size_t v = (size_t)b->lanes;
    return ((o / v * (up(b->s.ic, b->lanes) / v) + i / v) * b->s.kh * b->s.kw + p) * v * v + i % v * v + o % v;
}

static float *floats(size_t n) { return aligned_alloc(64, (n * sizeof(float) + 127) / 64 * 64); }
static float *poisoned(size_t n)
{
    float *x = floats(n);
    memset(x, 0xff, n * sizeof *x); // NaN
    return x;
}

// Activations as after a ReLU, half of the gradient zero; tails zero.
static void bench_init(struct bench *b, const struct shape_row *r)
{
    const int oh = r->h + r->top + r->bottom - r->kh + 1, ow = r->w + r->left + r->right - r->kw + 1;
    const int v = exec_lanes(), taps = r->kh * r->kw;
    *b = (struct bench){.lanes = v,
                        .s = {.n = r->n,
                              .ic = r->ic,
                              .ih = r->h,
                              .iw = r->w,
                              .oc = r->oc,
                              .oh = oh,
                              .ow = ow,
                              .kh = r->kh,
                              .kw = r->kw,
                              .stride_h = 1,
                              .stride_w = 1,
                              .top = r->top,
                              .left = r->left,
                              .bottom = r->bottom,
                              .right = r->right,
                              .groups = 1,
                              .bias = true,
                              .layout = LAYOUT_OIHW_BLOCK}};
    b->n_src = r->n * up(r->ic, v) * r->h * r->w;
    b->n_dst = r->n * up(r->oc, v) * oh * ow;
    b->n_wei = up(r->oc, v) * up(r->ic, v) * r->kh * r->kw;
    b->n_bias = up(r->oc, v);
    b->src = floats(b->n_src), b->diff = floats(b->n_dst), b->wei = floats(b->n_wei), b->bias = floats(b->n_bias);
    memset(b->src, 0, b->n_src * sizeof(float));
    memset(b->diff, 0, b->n_dst * sizeof(float));
    memset(b->wei, 0, b->n_wei * sizeof(float));
    memset(b->bias, 0, b->n_bias * sizeof(float));
    for (int n = 0; n < r->n; n++) {
        for (int c = 0; c < r->ic; c++)
            for (int i = 0; i < r->h * r->w; i++)
                b->src[map_at(b, r->ic, r->h, r->w, n, c, 0, i)] = fmaxf(0, draw(1, (n * 999 + c) * 9999 + i));
        for (int c = 0; c < r->oc; c++)
            for (int i = 0; i < oh * ow; i++)
                b->diff[map_at(b, r->oc, oh, ow, n, c, 0, i)] = draw(2, i) > 0 ? draw(3, (n * 999 + c) * 9999 + i) : 0;
    }
    for (int o = 0; o < r->oc; o++) {
        b->bias[o] = draw(4, o);
        for (int i = 0; i < r->ic * taps; i++)
            b->wei[wei_at(b, o, i / taps, i % taps)] = draw(5, o * 9999 + i) * 1.7f / sqrtf((float)taps * r->ic); // He
    }
}

static void bench_fini(struct bench *b)
{
    free(b->src);
    free(b->diff);
    free(b->wei);
    free(b->bias);
}

// The direct sums: dst (before bias and activation), diff_src (before the mask), diff_wei, diff_bias; blocked, in
// double.
struct direct { double *dst, *diff_src, *diff_wei, *diff_bias; };
static struct direct direct_sums(const struct bench *b)
{
    const struct dnn_conv_shape *s = &b->s;
    struct direct d = {calloc(b->n_dst, 8), calloc(b->n_src, 8), calloc(b->n_wei, 8), calloc(b->n_bias, 8)};
    for (int n = 0; n < s->n; n++)
        for (int o = 0; o < s->oc; o++)
            for (int y = 0; y < s->oh; y++)
                for (int x = 0; x < s->ow; x++) {
                    const size_t at = map_at(b, s->oc, s->oh, s->ow, n, o, y, x);
                    const double g = b->diff[at];
                    d.diff_bias[o] += g;
                    for (int p = 0; p < s->kh * s->kw; p++) {
                        const int iy = y - s->top + p / s->kw, ix = x - s->left + p % s->kw;
                        if (iy < 0 || iy >= s->ih || ix < 0 || ix >= s->iw)
                            continue;
                        for (int i = 0; i < s->ic; i++) {
                            const size_t from = map_at(b, s->ic, s->ih, s->iw, n, i, iy, ix), k = wei_at(b, o, i, p);
                            d.dst[at] += (double)b->src[from] * b->wei[k];
                            d.diff_src[from] += g * b->wei[k];
                            d.diff_wei[k] += g * b->src[from];
                        }
                    }
                }
    return d;
}

static void direct_free(struct direct *d)
{
    free(d->dst);
    free(d->diff_src);
    free(d->diff_wei);
    free(d->diff_bias);
}

// Error over the root mean square of what is expected.  A model of each form in float beside double (192 channels,
// forward and by weights) has an rms of 1.0e-6 for F(4x4,3x3), 1.1e-6 for F(2x2,5x5), 2.1e-6 for F(4,7), 0.45e-6 for
// F(4,3), and largest errors ten to fifteen times that.  The bounds leave room for more channels, and for maps so small
// that only one of seven taps meets any of it, which makes what is expected sqrt(7) times smaller but not the error; a
// wrong coefficient or tile is off by 1e-2 and more.
static void assert_close(const struct bench *b, const float *found, const double *expected, size_t n, const char *what)
{
    double error = 0, square = 0, largest = 0;
    const double room = b->s.kh * b->s.kw == 3 ? 3e-6 : 6e-6;
    for (size_t i = 0; i < n; i++) {
        const double e = found[i] - expected[i];
        assert_false(isnan(e));
        error += e * e;
        square += expected[i] * expected[i];
        largest = fmax(largest, fabs(e));
    }
    const double rms = sqrt(square / n);
    if (!(sqrt(error / n) <= room * rms && largest <= 13 * room * rms))
        fail_msg("%s of %dx%d: error rms %.2g, largest %.2g of rms %g", what, b->s.kh, b->s.kw, sqrt(error / n) / rms,
                 largest / rms, rms);
}

static void run_pass(const struct bench *b, const struct winograd *w, struct winograd_maps maps)
{
    const struct winograd_kernels *k = exec_kernels()->winograd;
    maps.scratch = poisoned(winograd_scratch(w));
    (w->pass == DNN_WEIGHTS ? k->gradient : k->convolve)(w, &maps);
    free(maps.scratch);
    (void)b;
}

static struct winograd describe(const struct bench *b, enum dnn_pass pass, enum dnn_act act)
{
    const struct kernel_table *k = exec_kernels();
    return winograd_describe(&b->s, pass, act, k->lanes, k->products->rows, exec_threads());
}

enum { CUTS = 4 };
// As described; a block of few tiles in small chunks; a thread to a block; one tile at once.
static void cut(struct winograd *w, int which)
{
    const int most = w->pass == DNN_WEIGHTS ? w->k : (w->k + 1) / 2;
    if (which == 1)
        winograd_cut(w, w->tiles < 5 ? w->tiles : 5, most > 1 ? 2 : 1, 0);
    else if (which == 2)
        winograd_cut(w, w->tiles < 7 ? w->tiles : 7, most, exec_threads());
    else if (which == 3)
        winograd_cut(w, 1, 1, 0);
}

static void check_forward(const struct bench *b, const struct direct *d, enum dnn_act act, int which)
{
    double *expected = calloc(b->n_dst, sizeof *expected);
    for (size_t i = 0; i < b->n_dst; i++) {
        const size_t area = (size_t)b->s.oh * b->s.ow * b->lanes,
                     channel = i / area % (up(b->s.oc, b->lanes) / b->lanes);
        expected[i] = d->dst[i] + b->bias[channel * b->lanes + i % b->lanes];
        if (act != ACT_NONE)
            expected[i] = fmax(0, expected[i]);
        if (act == ACT_RELU6)
            expected[i] = fmin(6, expected[i]);
    }
    struct winograd w = describe(b, DNN_FORWARD, act);
    cut(&w, which);
    float *dst = poisoned(b->n_dst);
    run_pass(b, &w, (struct winograd_maps){.source = b->src, .weights = b->wei, .bias = b->bias, .destination = dst});
    assert_close(b, dst, expected, b->n_dst, "forward");
    free(dst);
    free(expected);
}

static void check_data(const struct bench *b, const struct direct *d, enum dnn_act act, int which)
{
    float *mask = floats(b->n_src), *diff_src = poisoned(b->n_src);
    double *expected = calloc(b->n_src, sizeof *expected);
    for (size_t i = 0; i < b->n_src; i++) {
        mask[i] = act == ACT_RELU6 ? fminf(6, 9 * b->src[i]) : b->src[i];
        const bool keeps = act == ACT_NONE || (mask[i] > 0 && (act == ACT_RELU || mask[i] < 6));
        expected[i] = keeps ? d->diff_src[i] : 0;
    }
    struct winograd w = describe(b, DNN_DATA, act);
    cut(&w, which);
    run_pass(b, &w, (struct winograd_maps){.source = b->diff, .weights = b->wei, .destination = diff_src,
                                           .mask = act == ACT_NONE ? NULL : mask});
    assert_close(b, diff_src, expected, b->n_src, "by data");
    free(mask);
    free(diff_src);
    free(expected);
}

static void check_weights(const struct bench *b, const struct direct *d, int which)
{
    float *wei = poisoned(b->n_wei), *bias = poisoned(b->n_bias);
    struct winograd w = describe(b, DNN_WEIGHTS, ACT_NONE);
    cut(&w, which);
    run_pass(b, &w, (struct winograd_maps){.source = b->src, .gradient = b->diff, .weights = wei, .bias = bias});
    assert_close(b, wei, d->diff_wei, b->n_wei, "by weights");
    assert_close(b, bias, d->diff_bias, b->n_bias, "bias by weights");
    memset(wei, 0xff, b->n_wei * sizeof *wei);
    run_pass(b, &w, (struct winograd_maps){.source = b->src, .gradient = b->diff, .weights = wei});
    assert_close(b, wei, d->diff_wei, b->n_wei, "by weights, without a bias");
    free(wei);
    free(bias);
}

static void test_against_direct_sums(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct bench b;
        bench_init(&b, &shapes[i]);
        struct direct d = direct_sums(&b);
        for (int which = 0; which < CUTS; which++) {
            for (enum dnn_act act = ACT_NONE; act <= ACT_RELU6; act++) {
                check_forward(&b, &d, act, which);
                check_data(&b, &d, act, which);
            }
            check_weights(&b, &d, which);
        }
        direct_free(&d);
        bench_fini(&b);
    }
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

// <conv(x, w), g> = <x, by data(g)> = <w, by weights(g)>: the three passes are one bilinear form.
static void test_adjoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct bench b;
        bench_init(&b, &shapes[i]);
        b.s.bias = false;
        float *dst = floats(b.n_dst), *diff_src = floats(b.n_src), *wei = floats(b.n_wei);
        struct winograd w = describe(&b, DNN_FORWARD, ACT_NONE);
        run_pass(&b, &w, (struct winograd_maps){.source = b.src, .weights = b.wei, .destination = dst});
        w = describe(&b, DNN_DATA, ACT_NONE);
        run_pass(&b, &w, (struct winograd_maps){.source = b.diff, .weights = b.wei, .destination = diff_src});
        w = describe(&b, DNN_WEIGHTS, ACT_NONE);
        run_pass(&b, &w, (struct winograd_maps){.source = b.src, .gradient = b.diff, .weights = wei});
        const double form = dot(dst, b.diff, b.n_dst);
        const double size = sqrt(dot(dst, dst, b.n_dst) * dot(b.diff, b.diff, b.n_dst));
        assert_true(fabs(dot(b.src, diff_src, b.n_src) - form) <
                    1e-6 * size); // float rounding of the maps, summed in double
        assert_true(fabs(dot(b.wei, wei, b.n_wei) - form) < 1e-6 * size);
        free(dst);
        free(diff_src);
        free(wei);
        bench_fini(&b);
    }
}

// All passes of a shape, results one after the other.
static float *all_passes(const struct bench *b, int which)
{
    float *out = poisoned(b->n_dst + b->n_src + b->n_wei + b->n_bias);
    float *diff_src = out + b->n_dst, *wei = diff_src + b->n_src, *bias = wei + b->n_wei;
    struct winograd w = describe(b, DNN_FORWARD, ACT_RELU);
    cut(&w, which);
    run_pass(b, &w, (struct winograd_maps){.source = b->src, .weights = b->wei, .bias = b->bias, .destination = out});
    w = describe(b, DNN_DATA, ACT_RELU);
    cut(&w, which);
    run_pass(b, &w,
             (struct winograd_maps){.source = b->diff, .weights = b->wei, .destination = diff_src, .mask = b->src});
    w = describe(b, DNN_WEIGHTS, ACT_NONE);
    if (which > 0) // the order of its sums is the cut's, so cuts do not agree to the bit
        cut(&w, which);
    run_pass(b, &w, (struct winograd_maps){.source = b->src, .gradient = b->diff, .weights = wei, .bias = bias});
    return out;
}

// To the bit: any number of threads; forward and by data also any cut; and a picture alone as in its batch.
static void test_same_bits(void **state)
{
    (void)state;
    const int before = exec_threads();
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct bench b;
        bench_init(&b, &shapes[i]);
        const size_t maps = b.n_dst + b.n_src, all = maps + b.n_wei + b.n_bias;
        for (int which = 0; which < 3; which++) {
            exec_set_threads(1);
            float *one = all_passes(&b, which);
            exec_set_threads(3);
            float *three = all_passes(&b, which), *plain = all_passes(&b, 0);
            assert_memory_equal(one, three, all * sizeof(float));
            assert_memory_equal(one, plain, maps * sizeof(float));
            free(one);
            free(three);
            free(plain);
        }
        float *batch = all_passes(&b, 0);
        struct bench last = b;
        last.s.n = 1;
        last.src += b.n_src / b.s.n * (b.s.n - 1);
        last.diff += b.n_dst / b.s.n * (b.s.n - 1);
        last.n_src /= b.s.n;
        last.n_dst /= b.s.n;
        float *alone = all_passes(&last, 0);
        assert_memory_equal(alone, batch + b.n_dst - last.n_dst, last.n_dst * sizeof(float));
        assert_memory_equal(alone + last.n_dst, batch + b.n_dst + b.n_src - last.n_src, last.n_src * sizeof(float));
        free(batch);
        free(alone);
        bench_fini(&b);
    }
    exec_set_threads(before);
}

static void test_what_it_takes(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, &shapes[0]);
    assert_true(winograd_applies(&b.s));
    struct dnn_conv_shape s = b.s;
    s.stride_h = 2;
    assert_false(winograd_applies(&s));
    s = b.s, s.kw = 1;
    assert_true(winograd_applies(&s));
    s = b.s, s.kw = 5;
    assert_false(winograd_applies(&s));
    s = b.s, s.kh = 1, s.kw = 1;
    assert_false(winograd_applies(&s));
    s = b.s, s.groups = 2;
    assert_false(winograd_applies(&s));
    s = b.s, s.plain_src = true;
    assert_false(winograd_applies(&s));
    s = b.s, s.oc = 8;
    assert_true(winograd_applies(&s));
    bench_fini(&b);
}

// The estimate beside times taken on two processors: within a factor of 1.7 over all passes, which is what the choice
// needs.
static void test_estimate(void **state)
{
    (void)state;
    static const struct { int kh, kw, n, c, k, side, lanes; double measured; } rows[] = {
        {3, 3, 16, 64, 64, 224, 16, 2.5},  {3, 3, 16, 512, 512, 28, 16, 2.6}, {3, 3, 16, 512, 512, 7, 16, 1.7},
        {3, 3, 1, 512, 512, 14, 16, 1.1},  {3, 3, 1, 512, 512, 7, 16, 0.54},  {3, 3, 16, 16, 32, 28, 16, 1.7},
        {3, 3, 16, 64, 64, 224, 8, 2.6},   {3, 3, 16, 512, 512, 28, 8, 3.0},  {3, 3, 16, 512, 512, 7, 8, 2.2},
        {3, 3, 1, 512, 512, 14, 8, 1.3},   {3, 3, 1, 512, 512, 7, 8, 0.64},   {1, 7, 16, 192, 192, 17, 16, 1.8},
        {7, 1, 16, 128, 128, 17, 16, 1.7}, {1, 7, 1, 192, 192, 17, 16, 1.8},  {1, 7, 16, 192, 192, 17, 8, 1.7},
        {1, 7, 1, 192, 192, 17, 8, 1.8},   {1, 3, 16, 384, 384, 8, 16, 1.65}, {3, 1, 1, 384, 384, 8, 16, 1.3},
        {1, 3, 16, 384, 384, 8, 8, 1.7},   {3, 1, 1, 384, 384, 8, 8, 1.45},   {5, 5, 16, 48, 64, 35, 16, 1.8},
        {5, 5, 16, 16, 48, 14, 16, 1.25},  {5, 5, 16, 32, 128, 7, 16, 1.1},   {5, 5, 16, 48, 64, 35, 8, 1.75},
        {5, 5, 16, 16, 48, 14, 8, 1.4},    {5, 5, 16, 48, 128, 7, 8, 1.1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct dnn_conv_shape s = {.n = rows[i].n, .ic = rows[i].c, .oc = rows[i].k, .oh = rows[i].side,
                                         .ow = rows[i].side, .kh = rows[i].kh, .kw = rows[i].kw};
        const double ratio = winograd_gain(&s, rows[i].lanes) / rows[i].measured;
        assert_true(ratio > 1 / 1.7 && ratio < 1.7);
    }
}

static int group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices), cmocka_unit_test(test_against_direct_sums), cmocka_unit_test(test_adjoints),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_what_it_takes), cmocka_unit_test(test_estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return on_every_set(group); }
