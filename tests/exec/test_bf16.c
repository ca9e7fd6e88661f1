// tests/exec/test_bf16.c: maps rounded to bf16 and back, pooled and convolved by channel, bit for bit; a plan in bf16
// beside the one in fp32: logits, loss, directions of gradients, no allocation in a step, the same bits again; refusal
// where the processor has none.

#include "base/memory.h"
#include "base/rng.h"
#include "exec/kernels.h"
#include "exec/plan.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 3, CLASSES = 5 };
static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

static const char *const sets[] = {"AVX-512", "AVX2", "plain C"};
// AVX-512's kernels of bf16 want AVX-512 BF16.
static bool set_runs(const char *set)
{
    return exec_kernels_force(set) && (strcmp(set, "AVX-512") != 0 || exec_bf16());
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// What `torch.tensor(x).bfloat16()` holds, as bits.
static const struct { uint32_t from; uint16_t to; } rounding[] = {
    {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, // ties go to the even
    {0x3f808001, 0x3f81}, {0x3f807fff, 0x3f80}, {0xbf808001, 0xbf81}, {0x00000000, 0x0000}, {0x80000000, 0x8000},
    {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f7fffff, 0x7f80}, {0x3fffffff, 0x4000}};

static void test_rounding(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT_OF(sets); k++) {
        if (!set_runs(sets[k]))
            continue;
        const struct kernel_table *t = exec_kernels();
        _Alignas(64) float src[16] = {0};
        uint16_t dst[16];
        for (size_t i = 0; i < COUNT_OF(rounding); i++) {
            src[3] = of_bits(rounding[i].from);
            t->bf16->narrow((struct map_shape){1, 1, 1, 1}, t->lanes, src, dst);
            assert_int_equal(dst[3], rounding[i].to);
        }
        src[3] = of_bits(0x7f800001); // a NaN whose low half alone says so stays one
        t->bf16->narrow((struct map_shape){1, 1, 1, 1}, t->lanes, src, dst);
        assert_true((dst[3] & 0x7f80) == 0x7f80 && (dst[3] & 0x7f) != 0);
    }
    exec_kernels_force(NULL);
}

// There and back over odd sizes: each value at its place, tails zero, the mask of the activation.
static void test_layouts(void **state)
{
    (void)state;
    enum { N = 2, H = 7, W = 5, AREA = H * W, CHANNELS = 37 };
    static const enum dnn_act acts[] = {ACT_NONE, ACT_RELU, ACT_RELU6};
    for (size_t k = 0; k < COUNT_OF(sets) * COUNT_OF(acts); k++) {
        if (!set_runs(sets[k / COUNT_OF(acts)]))
            continue;
        const struct kernel_table *t = exec_kernels();
        const enum dnn_act act = acts[k % COUNT_OF(acts)];
        const int v = t->lanes, cb = (CHANNELS + v - 1) / v;
        const struct map_shape s = {N, cb, H, W};
        const size_t size = (size_t)N * cb * AREA * v;
        float *src = mem_aligned(size * sizeof *src), *back = mem_aligned(size * sizeof *back);
        float *mask = mem_aligned(size * sizeof *mask);
        uint16_t *half = mem_aligned((size_t)N * AREA * CHANNELS * sizeof *half);
        for (size_t i = 0; i < size; i++) {
            src[i] = (float)(int)(draw(1, i) * 120); // exact in bf16
            mask[i] = draw(2, i) * 9;
            back[i] = NAN;
        }
        t->bf16->narrow(s, CHANNELS, src, half);
        t->bf16->widen(s, CHANNELS, half, act == ACT_NONE ? NULL : mask, act, back);
        for (int n = 0; n < N; n++)
            for (int c = 0; c < cb * v; c++)
                for (int p = 0; p < AREA; p++) {
                    const size_t at = ((size_t)(n * cb + c / v) * AREA + p) * v + c % v;
                    const bool passes = act == ACT_NONE || (mask[at] > 0 && (act == ACT_RELU || mask[at] < 6));
                    if (c < CHANNELS)
                        assert_true(of_bits((uint32_t)half[((size_t)n * AREA + p) * CHANNELS + c] << 16) == src[at]);
                    assert_true(back[at] == (c < CHANNELS && passes ? src[at] : 0));
                }
        for (size_t i = 0; i < (size_t)N * 3 * AREA; i++)
            src[i] = (float)(i % 128);
        t->bf16->narrow_plain((struct map_shape){N, 1, H, W}, 3, src, half);
        for (size_t i = 0; i < (size_t)N * 3 * AREA; i++)
            assert_true(of_bits((uint32_t)half[i / 3 / AREA * 3 * AREA + i % AREA * 3 + i / AREA % 3] << 16) == src[i]);
        mem_free(src);
        mem_free(back);
        mem_free(mask);
        mem_free(half);
    }
    exec_kernels_force(NULL);
}

static uint16_t bits_of(float x) // exact in bf16
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

enum { POOL_N = 2, POOL_C = 37 };
// (n, channels, h*w) of `map` at that place, in the blocks of the fp32 kernels.
static size_t blocked(int v, int area, int n, int c, int p)
{
    const int cb = (POOL_C + v - 1) / v;
    return ((size_t)(n * cb + c / v) * (size_t)area + (size_t)p) * (size_t)v + (size_t)(c % v);
}

// A map (n, channels, area) of small whole numbers in both precisions.
static void both_fill(uint64_t key, int v, int area, double range, float *map, uint16_t *narrow)
{
    memset(map, 0, (size_t)POOL_N * (size_t)((POOL_C + v - 1) / v * v) * (size_t)area * sizeof *map);
    for (int n = 0; n < POOL_N; n++)
        for (int c = 0; c < POOL_C; c++)
            for (int p = 0; p < area; p++) {
                const float x = (float)(int)(draw(key, ((uint64_t)n * POOL_C + c) * 1000 + p) * range);
                map[blocked(v, area, n, c, p)] = x;
                narrow[((size_t)n * area + p) * POOL_C + c] = bits_of(x);
            }
}

// Small whole numbers, of which many are equal, so that sums are exact and ties are met.
static void pool_case(struct pool_shape s, enum dnn_act act)
{
    const struct kernel_table *t = exec_kernels();
    const int v = t->lanes, in = s.src.h * s.src.w, out = s.oh * s.ow;
    s.src.n = POOL_N;
    s.src.cb = (POOL_C + v - 1) / v;
    const size_t big = (size_t)POOL_N * s.src.cb * v * (size_t)in, small = (size_t)POOL_N * s.src.cb * v * (size_t)out;
    float *src = mem_aligned(big * sizeof *src), *back = mem_aligned(big * sizeof *back);
    float *dst = mem_aligned(small * sizeof *dst), *diff = mem_aligned(small * sizeof *diff);
    uint8_t *index = mem_aligned(small), *half_index = mem_aligned(small);
    uint16_t *half_src = mem_aligned(big * 2), *half_back = mem_aligned(big * 2);
    uint16_t *half_dst = mem_aligned(small * 2), *half_diff = mem_aligned(small * 2);
    both_fill(3, v, in, 9, src, half_src);
    both_fill(4, v, out, 9, diff, half_diff);
    const size_t whole_in = (size_t)s.src.cb * v * in, whole_out = (size_t)s.src.cb * v * out;
    t->pools->max_forward(s, (struct map){src, whole_in}, (struct map){dst, whole_out}, index);
    t->pools->max_backward(s, (struct map){diff, whole_out}, index,
                           (struct map){act == ACT_NONE ? NULL : dst, whole_out}, act, (struct map){back, whole_in});
    t->bf16_pools->max_forward(s, POOL_C, half_src, half_dst, half_index);
    t->bf16_pools->max_backward(s, POOL_C, half_diff, half_index, act == ACT_NONE ? NULL : half_dst, act, half_back);
    for (int n = 0; n < POOL_N; n++)
        for (int c = 0; c < POOL_C; c++) {
            for (int p = 0; p < out; p++) {
                const size_t at = ((size_t)n * out + p) * POOL_C + c;
                assert_int_equal(half_dst[at], bits_of(dst[blocked(v, out, n, c, p)]));
                assert_int_equal(half_index[at], index[blocked(v, out, n, c, p)]);
            }
            for (int p = 0; p < in; p++)
                assert_true(of_bits((uint32_t)half_back[((size_t)n * in + p) * POOL_C + c] << 16) ==
                            back[blocked(v, in, n, c, p)]);
        }
    void *const all[] = {src, back, dst, diff, index, half_index, half_src, half_back, half_dst, half_diff};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        mem_free(all[i]);
}

// Beside the fp32 kernels, which have a naive reference in test_exec.c: VGG's, ResNet's, Inception's and odd windows.
static void test_pools(void **state)
{
    (void)state;
    static const struct pool_shape shapes[] = {
        {{0, 0, 8, 6}, 4, 3, 2, 2, 2, 2, 0, 0, false, 0, 0}, {{0, 0, 9, 11}, 5, 6, 3, 3, 2, 2, 1, 1, false, 1, 1},
        {{0, 0, 7, 7}, 7, 7, 3, 3, 1, 1, 1, 1, false, 1, 1}, {{0, 0, 9, 7}, 4, 3, 3, 3, 2, 2, 0, 0, false, 0, 0},
        {{0, 0, 5, 9}, 2, 3, 2, 3, 2, 3, 0, 0, false, 0, 0}, {{0, 0, 7, 10}, 3, 3, 2, 4, 3, 3, 1, 0, false, 1, 0}};
    static const enum dnn_act acts[] = {ACT_NONE, ACT_RELU, ACT_RELU6};
    int ran = 0;
    for (size_t k = 0; k < COUNT_OF(sets); k++) {
        if (!set_runs(sets[k]))
            continue;
        ran++;
        for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(acts); i++)
            pool_case(shapes[i / COUNT_OF(acts)], acts[i % COUNT_OF(acts)]);
    }
    assert_true(ran > 0);
    exec_kernels_force(NULL);
}

static void both_equal(int v, int area, const float *map, const uint16_t *narrow)
{
    for (int n = 0; n < POOL_N; n++)
        for (int c = 0; c < POOL_C; c++)
            for (int p = 0; p < area; p++)
                assert_true(of_bits((uint32_t)narrow[((size_t)n * area + p) * POOL_C + c] << 16) ==
                            map[blocked(v, area, n, c, p)]);
}

// Beside the convolution by its definition, on numbers whose sums are exact in bf16.
static void depthwise_case(struct dnn_conv_shape s)
{
    enum { TAPS = 49 };
    const struct kernel_table *t = exec_kernels();
    const int v = t->lanes, in = s.ih * s.iw, out = s.oh * s.ow, padded = (POOL_C + v - 1) / v * v;
    s.n = POOL_N;
    s.ic = s.oc = s.groups = POOL_C;
    s.layout = LAYOUT_GOIHW_DEPTHWISE;
    s.bias = true;
    const size_t big = (size_t)POOL_N * padded * in, small = (size_t)POOL_N * padded * out;
    const size_t taps = (size_t)padded * s.kh * s.kw;
    float *src = mem_aligned(big * 4), *dst = mem_aligned(small * 4), *back = mem_aligned(big * 4);
    uint16_t *half_src = mem_aligned(big * 2), *half_dst = mem_aligned(small * 2), *half_back = mem_aligned(big * 2);
    size_t most = 0;
    for (int pass = DNN_FORWARD; pass <= DNN_WEIGHTS; pass++) {
        const size_t floats = t->bf16_depthwise->scratch(&s, (enum dnn_pass)pass, exec_threads());
        most = floats > most ? floats : most;
    }
    float *scratch = mem_aligned(most * sizeof *scratch);
    float wei[48 * TAPS] __attribute__((aligned(64))) = {0}, bias[48] __attribute__((aligned(64))) = {0};
    float own[48 * TAPS] __attribute__((aligned(64))) = {0}, own_bias[48] __attribute__((aligned(64))) = {0};
    float narrow[48 * TAPS] __attribute__((aligned(64))), narrow_bias[48] __attribute__((aligned(64)));
    both_fill(5, v, in, 4, src, half_src);
    for (int c = 0; c < POOL_C; c++) {
        bias[c] = (float)(int)(draw(6, c) * 5);
        for (int p = 0; p < s.kh * s.kw; p++)
            wei[(c / v * s.kh * s.kw + p) * v + c % v] = (float)(int)(draw(7, c * TAPS + p) * 3);
    }
    t->conv_own(&s, DNN_FORWARD, src, wei, bias, dst);
    t->bf16_depthwise->forward(&s, half_src, wei, bias, half_dst, scratch);
    both_equal(v, out, dst, half_dst);
    both_fill(8, v, out, 3, dst, half_dst);
    t->conv_own(&s, DNN_DATA, back, wei, NULL, dst);
    t->bf16_depthwise->data(&s, half_dst, wei, half_back, scratch);
    both_equal(v, in, back, half_back);
    memset(narrow, 0xff, sizeof narrow);
    t->conv_own(&s, DNN_WEIGHTS, src, own, own_bias, dst);
    t->bf16_depthwise->weights(&s, half_src, half_dst, narrow, narrow_bias, scratch);
    assert_memory_equal(narrow, own, taps * sizeof *own); // tails are zero in both
    assert_memory_equal(narrow_bias, own_bias, POOL_C * sizeof *own_bias);
    void *const all[] = {src, dst, back, half_src, half_dst, half_back, scratch};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        mem_free(all[i]);
}

static void test_depthwise(void **state)
{
    (void)state;
    static const struct dnn_conv_shape shapes[] = {
        {.ih = 9, .iw = 14, .oh = 9, .ow = 14, .kh = 3, .kw = 3, .stride_h = 1, .stride_w = 1, .top = 1, .left = 1},
        {.ih = 9, .iw = 15, .oh = 5, .ow = 8, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .top = 1, .left = 1},
        {.ih = 8, .iw = 14, .oh = 4, .ow = 7, .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .bottom = 1, .right = 1},
        {.ih = 7, .iw = 13, .oh = 7, .ow = 13, .kh = 5, .kw = 5, .stride_h = 1, .stride_w = 1, .top = 2, .left = 2},
        {.ih = 10, .iw = 20, .oh = 5, .ow = 10, .kh = 5, .kw = 5, .stride_h = 2, .stride_w = 2, .top = 1, .left = 1},
        {.ih = 2, .iw = 1, .oh = 2, .ow = 1, .kh = 3, .kw = 3, .stride_h = 1, .stride_w = 1, .top = 1, .left = 1},
        {.ih = 2, .iw = 2, .oh = 1, .ow = 1, .kh = 5, .kw = 5, .stride_h = 2, .stride_w = 2, .top = 2, .left = 2},
        {.ih = 9, .iw = 8, .oh = 9, .ow = 8, .kh = 7, .kw = 7, .stride_h = 1, .stride_w = 1, .top = 3, .left = 3},
        {.ih = 8, .iw = 9, .oh = 3, .ow = 5, .kh = 2, .kw = 4, .stride_h = 3, .stride_w = 2, .top = 0, .left = 2}};
    static const enum dnn_act acts[] = {ACT_NONE, ACT_RELU, ACT_RELU6};
    int ran = 0;
    for (size_t k = 0; k < COUNT_OF(sets); k++) {
        if (!set_runs(sets[k]))
            continue;
        ran++;
        for (size_t i = 0; i < COUNT_OF(shapes) * COUNT_OF(acts); i++) {
            struct dnn_conv_shape s = shapes[i / COUNT_OF(acts)];
            s.act = acts[i % COUNT_OF(acts)];
            depthwise_case(s);
        }
    }
    assert_true(ran > 0);
    exec_kernels_force(NULL);
}

static const struct bn_attr BN = {.epsilon = 1e-3f, .momentum = 0.1f, .unbiased = true};

// Pictures at the bottom, 1x1, 3x3 and strided convolutions, channel tails, a residual, a depthwise one.
static void net_make(struct graph *g)
{
    graph_init(g, 3, 24, 20);
    int v = graph_relu(g, graph_bn(g, graph_conv(g, 0, "a", conv_pad(32, 3, 2, 1, 1, false)), "a_bn", BN));
    const int b = graph_relu(g, graph_conv(g, v, "b", conv_pad(40, 3, 1, 1, 1, true)));
    const int c = graph_bn(g, graph_conv(g, b, "c", conv_pad(32, 1, 1, 0, 1, false)), "c_bn", BN);
    v = graph_relu(g, graph_add(g, c, v));
    v = graph_relu6(g, graph_conv(g, v, "d", conv_pad(32, 3, 1, 1, 32, true)));
    v = graph_conv(g, v, "e", conv_pad(64, 1, 2, 0, 1, true));
    if (graph_finish(g, graph_dense(g, graph_global_avgpool(g, v), "head", CLASSES, true)) != GRAFT_OK)
        fail_msg("%s", graft_message());
}

struct outcome { float logits[BATCH * CLASSES], *gradient; double loss; };
struct taking { const struct params *p; float *gradient; };
static void keep(void *user, struct gradient g)
{
    const struct taking *t = user;
    memcpy(t->gradient + t->p->entries[g.entry].offset + g.first, g.values, g.n * sizeof *g.values);
}

static struct outcome run_net(const struct graph *g, struct params *p, enum plan_mode mode, bool bf16, int expected)
{
    struct outcome out = {.gradient = calloc(p->size, sizeof(float))};
    static float input[BATCH * 3 * 24 * 20], targets[BATCH * CLASSES];
    struct arena *arena;
    struct plan *plan;
    for (size_t i = 0; i < COUNT_OF(input); i++)
        input[i] = 2 * draw(1000, i);
    for (int n = 0; n < BATCH; n++)
        targets[n * CLASSES + n] = 1;
    struct taking taking = {p, out.gradient};
    const struct plan_options options = {.batch = BATCH, .mode = mode, .bf16 = bf16, .poison = true};
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    if (plan_build(g, p, arena, &options, &plan) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    const struct run run = {.input = input, .targets = mode == PLAN_TRAIN ? targets : NULL, .seed = 7, .ready = keep,
                            .user = &taking};
    assert_int_equal(plan_run(plan, &run, &out.loss), GRAFT_OK);
    memcpy(out.logits, plan_logits(plan), sizeof out.logits);
    int library = 0; // convolutions by oneDNN, whose versions name their bf16 kernels differently
    for (int i = 0; i < plan_step_count(plan); i++) {
        const struct plan_step s = plan_step_at(plan, i);
        assert_null(strstr(s.algorithm, "ref"));
        library += strcmp(s.op, "conv") == 0 && strcmp(s.algorithm, "own") != 0 && strcmp(s.algorithm, "winograd") != 0;
    }
    if (bf16)
        assert_int_equal(library, expected);
    plan_free(plan);
    arena_free(arena);
    return out;
}

static void params_make(struct params *p, const struct graph *g)
{
    assert_int_equal(params_init(p, g), GRAFT_OK);
    for (int i = 0; i < p->count; i++) {
        size_t n;
        assert_true(shape_count(p->entries[i].shape, &n));
        float *values = malloc(n * sizeof *values);
        for (size_t k = 0; k < n; k++)
            values[k] = strstr(p->entries[i].name, "running_var") != NULL ? 1 + 0.5f * draw(i, k) : 0.3f * draw(i, k);
        param_from_canonical(p, i, values);
        free(values);
    }
}

static bool absent(void)
{
    if (exec_bf16())
        return false;
    print_message("SKIPPED: the processor has no AVX-512 BF16, so bf16 plans are not tested\n");
    return true;
}

// Bounds: the worst that PyTorch's own bf16 does with this network over 20 draws of its weights, as
// tools/ref/bf16_spread.py prints; factors of 8 bits are off by 2^-9 each, so fp32 would be off by 1e-6.
static const double LOGITS_FAR = 0.0102; // of the largest
static const struct { const char *name; double turn; } turns[] = { // 1 - cosine of a gradient
    {"a.weight", 8.2e-3}, {"a_bn.weight", 5.6e-3}, {"a_bn.bias", 2.8e-3}, {"b.weight", 1.2e-2}, {"b.bias", 2.6e-2},
    {"c.weight", 1.1e-2}, {"c_bn.weight", 1.1e-3}, {"c_bn.bias", 1.0e-3}, {"d.weight", 2.8e-3}, {"d.bias", 2.3e-4},
    {"e.weight", 2.9e-5}, {"e.bias", 2.0e-5}, {"head.weight", 1.3e-5}, {"head.bias", 8.9e-6}};

static void test_logits(void **state)
{
    (void)state;
    for (int mode = PLAN_INFER; mode <= PLAN_TRAIN; mode++) {
        struct graph g;
        struct params p, same;
        if (absent())
            skip();
        net_make(&g);
        assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
        params_make(&p, &g);
        params_make(&same, &g); // training moves the running statistics
        const int expected = mode == PLAN_TRAIN ? 4 + 4 + 3 : 4; // all but the depthwise one, whose kernels are graft's
        struct outcome a = run_net(&g, &p, (enum plan_mode)mode, false, 0);
        struct outcome b = run_net(&g, &same, (enum plan_mode)mode, true, expected);
        double top = 0, far = 0;
        for (int i = 0; i < BATCH * CLASSES; i++) {
            top = fmax(top, fabs(a.logits[i]));
            far = fmax(far, fabs(a.logits[i] - b.logits[i]));
        }
        assert_true(far < LOGITS_FAR * top);
        assert_true(far > 1e-5 * top); // it is another arithmetic
        if (mode == PLAN_TRAIN)
            assert_true(fabs(a.loss - b.loss) < 0.01 * a.loss);
        free(a.gradient);
        free(b.gradient);
        params_fini(&p);
        params_fini(&same);
        graph_fini(&g);
    }
}

// Of a parameter's gradient in bf16 beside the one in fp32: 1 - cosine, and how many times as long it is.
struct apart { double turn, length; };
static struct apart gradients_apart(const struct param_entry *e, const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t k = e->offset; k < e->offset + e->size; k++) {
        ab += (double)a[k] * b[k];
        aa += (double)a[k] * a[k];
        bb += (double)b[k] * b[k];
    }
    return (struct apart){1 - ab / sqrt(aa * bb), sqrt(bb / aa)};
}

// And the same bits again.
static void test_gradients(void **state)
{
    (void)state;
    struct graph g;
    struct params p;
    if (absent())
        skip();
    net_make(&g);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    params_make(&p, &g);
    struct outcome a = run_net(&g, &p, PLAN_TRAIN, false, 0);
    params_fini(&p);
    params_make(&p, &g);
    struct outcome b = run_net(&g, &p, PLAN_TRAIN, true, 11);
    params_fini(&p);
    params_make(&p, &g);
    struct outcome again = run_net(&g, &p, PLAN_TRAIN, true, 11);
    size_t found = 0;
    assert_memory_equal(b.gradient, again.gradient, p.size * sizeof(float));
    for (int i = 0; i < p.count; i++) {
        const struct param_entry *e = &p.entries[i];
        const struct apart far = gradients_apart(e, a.gradient, b.gradient);
        for (size_t k = 0; k < COUNT_OF(turns); k++) {
            if (strcmp(turns[k].name, e->name) != 0)
                continue;
            found++;
            if (!(far.turn < turns[k].turn && fabs(far.length - 1) < 0.03))
                fail_msg("%s: 1 - cosine %g, length %g", e->name, far.turn, far.length);
        }
    }
    assert_int_equal(found, COUNT_OF(turns));
    free(a.gradient);
    free(b.gradient);
    free(again.gradient);
    params_fini(&p);
    graph_fini(&g);
}

// A dense block: parts that lie in a concat's value, fp32, read and made by steps in bf16, with a max pool before
// and one behind.
static void test_concat(void **state)
{
    (void)state;
    struct graph g;
    struct params p;
    if (absent())
        skip();
    graph_init(&g, 3, 24, 20);
    int v = graph_relu(&g, graph_bn(&g, graph_conv(&g, 0, "a", conv_pad(32, 3, 2, 1, 1, false)), "a_bn", BN));
    v = graph_maxpool(&g, v, (struct pool_attr){3, 3, 2, 2, 1, 1, 1, 1, false});
    const int b = graph_conv(&g, v, "b", conv_pad(16, 3, 1, 1, 1, false));
    v = graph_concat(&g, (int[]){v, b}, 2);
    v = graph_relu(&g, graph_bn(&g, v, "c_bn", BN));
    v = graph_maxpool(&g, graph_conv(&g, v, "c", conv_pad(40, 1, 1, 0, 1, true)),
                      (struct pool_attr){2, 2, 2, 2, 0, 0, 0, 0, false});
    assert_int_equal(graph_finish(&g, graph_dense(&g, graph_global_avgpool(&g, v), "head", CLASSES, true)), GRAFT_OK);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    params_make(&p, &g);
    struct outcome a = run_net(&g, &p, PLAN_TRAIN, false, 0);
    params_fini(&p);
    params_make(&p, &g);
    struct outcome narrow = run_net(&g, &p, PLAN_TRAIN, true, 3 + 3 + 2);
    for (int i = 0; i < p.count; i++) {
        const struct param_entry *e = &p.entries[i];
        const double turn = gradients_apart(e, a.gradient, narrow.gradient).turn;
        if (!g.params[i].running && !(turn < 2.6e-2)) // the largest of `turns`
            fail_msg("%s: 1 - cosine %g", e->name, turn);
    }
    free(a.gradient);
    free(narrow.gradient);
    params_fini(&p);
    graph_fini(&g);
}

static void test_refused(void **state)
{
    (void)state;
    struct graph g;
    struct params p;
    struct arena *arena;
    struct plan *plan;
    assert_true(exec_kernels_force("plain C"));
    net_make(&g);
    assert_int_equal(graph_freeze(&g, 0, BN_TRAIN), GRAFT_OK);
    params_make(&p, &g);
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(plan_build(&g, &p, arena, &(struct plan_options){.batch = 1, .bf16 = true}, &plan),
                     GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "AVX-512 BF16"));
    assert_non_null(strstr(graft_message(), "plain C"));
    arena_free(arena);
    params_fini(&p);
    graph_fini(&g);
    exec_kernels_force(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_layouts),
                                       cmocka_unit_test(test_pools), cmocka_unit_test(test_depthwise),
                                       cmocka_unit_test(test_logits),
                                       cmocka_unit_test(test_gradients), cmocka_unit_test(test_concat),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
