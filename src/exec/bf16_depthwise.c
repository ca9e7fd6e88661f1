// exec/bf16_depthwise.c: depthwise convolutions of maps as exec/bf16.c has them, channels last, in all three passes;
// the weights and the sums are fp32.  Compiled once per instruction set, see exec/simd.h.
// A task is a band of rows of the map that is written, or (by weights) a slab of rows of the gradient.  It goes down
// the rows that are read: each is widened once, W channels at a time, into lines with zeros around them; as many rows
// as the window has are kept, and OUTPUTS places of a row are summed at once.  By data is the same over the gradient,
// with zeros between its places where the convolution strides, and the taps turned.  Tasks are cut the same for any
// number of threads, and every sum has one order.

#include "exec/half.h"
#include <omp.h>
#include <string.h>

enum { BANDS_MOST = 64, BAND = 8 }; // bands: of that many rows, but no more than so many, and BF16_SLABS at least
enum { OUTPUTS = 4, SIDE_MOST = BF16_DEPTHWISE_SIDE, TAPS_MOST = SIDE_MOST * SIDE_MOST };
#define UNROLL _Pragma("GCC unroll 16")

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int most(int a, int b) { return a > b ? a : b; }
static inline int first_of(int rows, int part, int parts) { return (int)((long)rows * part / parts); }

// sum[oy][ox] = sum over ky, kx of line[oy stride_h + ky][ox stride_w + kx] * tap[ky][kx], where the map's (y, x) is
// at line[top + y step_h][left + x step_w].
struct sweep {
    int channels, h, w, oh, ow; // of the map that is read, of the map of sums
    int kh, kw, stride_h, stride_w, step_h, step_w, top, left;
    int chunks;  // of W channels
    size_t line; // floats
};

static struct sweep sweep_of(const struct dnn_conv_shape *s, bool back)
{
    struct sweep p = {.channels = s->ic, .kh = s->kh, .kw = s->kw, .chunks = (s->ic + W - 1) / W};
    if (back) {
        p.h = s->oh, p.w = s->ow, p.oh = s->ih, p.ow = s->iw;
        p.stride_h = p.stride_w = 1, p.step_h = s->stride_h, p.step_w = s->stride_w;
        p.top = s->kh - 1 - s->top, p.left = s->kw - 1 - s->left;
    } else {
        p.h = s->ih, p.w = s->iw, p.oh = s->oh, p.ow = s->ow;
        p.stride_h = s->stride_h, p.stride_w = s->stride_w, p.step_h = p.step_w = 1;
        p.top = s->top, p.left = s->left;
    }
    const int sums = (p.ow + OUTPUTS - 1) / OUTPUTS * OUTPUTS;
    p.line = (size_t)most(p.left + p.w * p.step_w, (sums - 1) * p.stride_w + p.kw) * W;
    return p;
}

// The rows that are kept, [row % kh][chunk] lines, behind a line of zeros.
struct kept_rows { float *zero, *kept; int next; }; // next: the first row of lines that was not yet asked for
static size_t rows_floats(const struct sweep *p) { return p->line * (1 + (size_t)p->kh * p->chunks); }
static bool row_held(const struct sweep *p, int y) { return y >= 0 && y % p->step_h == 0 && y / p->step_h < p->h; }

// What lies under the sums of row `oy` of an image.
static void rows_reach(struct kept_rows *r, const struct sweep *p, const uint16_t *image, int oy)
{
    r->next = most(r->next, oy * p->stride_h);
    for (const int end = oy * p->stride_h + p->kh; r->next < end; r->next++) {
        const int y = r->next - p->top;
        if (!row_held(p, y))
            continue;
        const uint16_t *const src = image + (size_t)(y / p->step_h) * p->w * p->channels;
        float *const line = r->kept + (size_t)(r->next % p->kh) * p->chunks * p->line + p->left * W;
        for (int x = 0; x < p->w; x++)
            for (int k = 0; k < p->chunks; k++)
                vec_store(line + k * p->line + x * p->step_w * W,
                          some_load(src + (size_t)x * p->channels + k * W, p->channels - k * W));
    }
}

// The lines of a chunk under the sums of row `oy`.
static void rows_under(const struct kept_rows *r, const struct sweep *p, int oy, int chunk, const float **lines)
{
    for (int ky = 0; ky < p->kh; ky++) {
        const int at = oy * p->stride_h + ky;
        lines[ky] = row_held(p, at - p->top) ? r->kept + ((size_t)(at % p->kh) * p->chunks + chunk) * p->line : r->zero;
    }
}

// kh, kw, stride are constant where it is inlined, so the taps stay in registers.
INLINE void row_write(const int kh, const int kw, const int stride, const struct sweep *p, const float *const *rows,
                      const float *zero, const vec *taps, vec bias, enum dnn_act act, int count, uint16_t *dst)
{
    for (int ox = 0; ox < p->ow; ox += OUTPUTS) {
        vec sum[OUTPUTS];
        UNROLL for (int o = 0; o < OUTPUTS; o++)
            sum[o] = bias;
        UNROLL for (int ky = 0; ky < kh; ky++)
            if (rows[ky] != zero)
                UNROLL for (int j = 0; j < (OUTPUTS - 1) * stride + kw; j++) {
                    const vec read = vec_load(rows[ky] + (ox * stride + j) * W);
                    UNROLL for (int o = 0; o < OUTPUTS; o++)
                        if (j - o * stride >= 0 && j - o * stride < kw)
                            sum[o] += read * taps[ky * kw + j - o * stride];
                }
        UNROLL for (int o = 0; o < OUTPUTS; o++)
            if (ox + o < p->ow)
                some_store(dst + (size_t)(ox + o) * p->channels, activated(sum[o], act), count);
    }
}

static void row_run(const struct sweep *p, const float *const *rows, const float *zero, const vec *taps, vec bias,
                    enum dnn_act act, int count, uint16_t *dst)
{
    if (p->kh == 3 && p->kw == 3 && p->stride_w == 1)
        row_write(3, 3, 1, p, rows, zero, taps, bias, act, count, dst);
    else if (p->kh == 3 && p->kw == 3 && p->stride_w == 2)
        row_write(3, 3, 2, p, rows, zero, taps, bias, act, count, dst);
    else if (p->kh == 5 && p->kw == 5 && p->stride_w == 1)
        row_write(5, 5, 1, p, rows, zero, taps, bias, act, count, dst);
    else if (p->kh == 5 && p->kw == 5 && p->stride_w == 2)
        row_write(5, 5, 2, p, rows, zero, taps, bias, act, count, dst);
    else
        row_write(p->kh, p->kw, p->stride_w, p, rows, zero, taps, bias, act, count, dst);
}

// The taps of a chunk, which lie [C/V][kh][kw][V].
static void taps_load(const struct sweep *p, const float *wei, int chunk, bool turned, vec *taps)
{
    const int area = p->kh * p->kw, c = chunk * W;
    for (int i = 0; i < area; i++)
        taps[turned ? area - 1 - i : i] = vec_load(wei + ((size_t)(c / V) * area + i) * V + c % V);
}

static void convolve(const struct dnn_conv_shape *s, bool back, const uint16_t *src, const float *wei,
                     const float *bias, enum dnn_act act, uint16_t *dst, float *scratch)
{
    const struct sweep p = sweep_of(s, back);
    const int rows = s->n * p.oh, bands = least(rows, most(BF16_SLABS, least(BANDS_MOST, rows / BAND)));
#pragma omp parallel
    {
        struct kept_rows r = {.zero = scratch + (size_t)omp_get_thread_num() * rows_floats(&p)};
        r.kept = r.zero + p.line;
        memset(r.zero, 0, rows_floats(&p) * sizeof *r.zero);
#pragma omp for schedule(dynamic)
        for (int band = 0; band < bands; band++)
            for (int row = first_of(rows, band, bands); row < first_of(rows, band + 1, bands); row++) {
                const int oy = row % p.oh;
                if (oy == 0 || row == first_of(rows, band, bands))
                    r.next = 0;
                rows_reach(&r, &p, src + (size_t)(row / p.oh) * p.h * p.w * p.channels, oy);
                for (int k = 0; k < p.chunks; k++) {
                    const float *lines[SIDE_MOST];
                    vec taps[TAPS_MOST];
                    rows_under(&r, &p, oy, k, lines);
                    taps_load(&p, wei, k, back, taps);
                    row_run(&p, lines, r.zero, taps, bias != NULL ? vec_load(bias + k * W) : vec_zero(), act,
                            p.channels - k * W, dst + (size_t)row * p.ow * p.channels + k * W);
                }
            }
    }
}

static void forward(const struct dnn_conv_shape *s, const uint16_t *src, const float *wei, const float *bias,
                    uint16_t *dst, float *scratch)
{
    convolve(s, false, src, wei, bias, s->act, dst, scratch);
}

static void data(const struct dnn_conv_shape *s, const uint16_t *diff_dst, const float *wei, uint16_t *diff_src,
                 float *scratch)
{
    convolve(s, true, diff_dst, wei, NULL, ACT_NONE, diff_src, scratch);
}

// What a row of the gradient adds to the sums of all taps and (behind them) to its own; constants as in row_write.
INLINE void row_sum(const int kh, const int kw, const int stride, const float *const *rows, const float *diff, int ow,
                    vec *sum)
{
    vec part[TAPS_MOST + 1];
    UNROLL for (int i = 0; i <= kh * kw; i++)
        part[i] = sum[i];
    for (int ox = 0; ox < ow; ox++) {
        const vec d = vec_load(diff + (size_t)ox * W);
        UNROLL for (int ky = 0; ky < kh; ky++)
            UNROLL for (int kx = 0; kx < kw; kx++)
                part[ky * kw + kx] += d * vec_load(rows[ky] + (size_t)(ox * stride + kx) * W);
        part[kh * kw] += d;
    }
    UNROLL for (int i = 0; i <= kh * kw; i++)
        sum[i] = part[i];
}

// Sums of a slab's rows: of an image in float, of images in double.  sum: [chunk][taps + 1] vectors; total: [taps + 1]
// [channels, padded].
struct slab { int begin, end; float *sum, *diff; double *total; };

static void slab_sum(const struct sweep *p, struct kept_rows *r, const uint16_t *src, const uint16_t *gradient,
                     const struct slab *slab)
{
    const int each = p->kh * p->kw + 1, padded = (p->channels + V - 1) / V * V;
    memset(slab->sum, 0, (size_t)p->chunks * each * W * sizeof *slab->sum);
    for (int row = slab->begin; row < slab->end; row++) {
        const int oy = row % p->oh;
        if (oy == 0 || row == slab->begin)
            r->next = 0;
        rows_reach(r, p, src + (size_t)(row / p->oh) * p->h * p->w * p->channels, oy);
        const uint16_t *const from = gradient + (size_t)row * p->ow * p->channels;
        for (int k = 0; k < p->chunks; k++) {
            const float *lines[SIDE_MOST];
            vec *const sum = (vec *)slab->sum + (size_t)k * each;
            rows_under(r, p, oy, k, lines);
            for (int ox = 0; ox < p->ow; ox++)
                vec_store(slab->diff + (size_t)ox * W,
                          some_load(from + (size_t)ox * p->channels + k * W, p->channels - k * W));
            if (p->kh == 3 && p->kw == 3)
                row_sum(3, 3, p->stride_w, lines, slab->diff, p->ow, sum);
            else if (p->kh == 5 && p->kw == 5)
                row_sum(5, 5, p->stride_w, lines, slab->diff, p->ow, sum);
            else
                row_sum(p->kh, p->kw, p->stride_w, lines, slab->diff, p->ow, sum);
        }
        if (row + 1 < slab->end && oy + 1 < p->oh)
            continue;
        for (int k = 0; k < p->chunks; k++)
            for (int i = 0; i < each; i++)
                for (int lane = 0; lane < W; lane++)
                    slab->total[(size_t)i * padded + k * W + lane] += slab->sum[((size_t)k * each + i) * W + lane];
        memset(slab->sum, 0, (size_t)p->chunks * each * W * sizeof *slab->sum);
    }
}

// Of the pass by weights: the slabs' totals; of a thread its rows, its sums and a line of the gradient.
static size_t total_floats(const struct sweep *p)
{
    return 2 * (size_t)BF16_SLABS * (p->kh * p->kw + 1) * ((p->channels + V - 1) / V * V);
}
static size_t sums_floats(const struct sweep *p) { return (size_t)p->chunks * (p->kh * p->kw + 1) * W; }
static size_t own_floats(const struct sweep *p) { return rows_floats(p) + sums_floats(p) + (size_t)p->ow * W; }

static void weights(const struct dnn_conv_shape *s, const uint16_t *src, const uint16_t *diff_dst, float *wei,
                    float *bias, float *scratch)
{
    const struct sweep p = sweep_of(s, false);
    const int area = s->kh * s->kw, padded = (s->ic + V - 1) / V * V, rows = s->n * p.oh;
    const size_t whole = (size_t)(area + 1) * padded; // of a slab
    double *const total = (double *)scratch;
    memset(total, 0, total_floats(&p) * sizeof *scratch);
#pragma omp parallel
    {
        struct kept_rows r = {.zero = scratch + total_floats(&p) + (size_t)omp_get_thread_num() * own_floats(&p)};
        r.kept = r.zero + p.line;
        memset(r.zero, 0, rows_floats(&p) * sizeof *r.zero);
        float *const sum = r.zero + rows_floats(&p);
#pragma omp for schedule(dynamic)
        for (int k = 0; k < BF16_SLABS; k++) {
            const struct slab slab = {first_of(rows, k, BF16_SLABS), first_of(rows, k + 1, BF16_SLABS), sum,
                                      sum + sums_floats(&p), total + k * whole};
            slab_sum(&p, &r, src, diff_dst, &slab);
        }
    }
    for (int i = 0; i <= area; i++)
        for (int c = 0; c < padded; c++) {
            double all = 0; // stays zero in the tail
            for (int k = 0; k < BF16_SLABS; k++)
                all += total[k * whole + (size_t)i * padded + c];
            if (i < area)
                wei[((size_t)(c / V) * area + i) * V + c % V] = (float)all;
            else if (s->bias)
                bias[c] = (float)all;
        }
}

static size_t scratch_floats(const struct dnn_conv_shape *s, enum dnn_pass pass, int threads)
{
    const struct sweep p = sweep_of(s, pass == DNN_DATA);
    return pass == DNN_WEIGHTS ? total_floats(&p) + threads * own_floats(&p) : threads * rows_floats(&p);
}

const struct bf16_depthwise_kernels FOR_SET(bf16_depthwise) = {
    .forward = forward, .data = data, .weights = weights, .scratch = scratch_floats};
