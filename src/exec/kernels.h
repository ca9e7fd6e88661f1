// exec/kernels.h: graft's own kernels.  exec/kernels.c is compiled once per instruction set, each giving one table;
// exec_kernels() is the table for this processor.  `v` lanes: 16 with AVX-512, else 8.
// Maps are blocked, (n, C/v, h*w, v), unless said otherwise; sizes count floats, channel tails included.  A map may lie
// inside a larger one, as a range of its channel blocks: its images are then further apart than they are long.
#pragma once

#include "exec/products.h"
#include "exec/winograd.h"
#include <stdint.h>

// What is no number stays so, as in PyTorch and Keras: a run that diverged is seen.  (oneDNN's own ReLU makes it 0.)
static inline float act_value(float x, enum dnn_act act)
{
    if (act == ACT_NONE)
        return x;
    x = x < 0 ? 0 : x;
    return act == ACT_RELU6 && x > 6 ? 6 : x;
}

struct map_shape { int n, cb, h, w; };         // cb: channel blocks
struct map { float *at; size_t image; };       // image: floats from one image to the next
struct rows { size_t n, each; };               // `n` images of `each` floats
// Channel block `task % cb` of image `task / cb`, `size` floats each.
static inline float *block_at(struct map m, int task, int cb, size_t size)
{
    return m.at + task / cb * m.image + task % cb * size;
}
struct pool_shape { struct map_shape src; int oh, ow, kh, kw, stride_h, stride_w, top, left; bool count_padding;
                    int bottom, right; };

struct lrn_shape { int size; float scale, beta, k; }; // scale: alpha / size

struct pool_kernels {
    // index: a byte an output, the place of the largest in its window; NULL: not wanted.
    void (*max_forward)(struct pool_shape s, struct map src, struct map dst, uint8_t *index);
    // mask: the pooled values, at NULL: none; only where they are within the activation's limits a gradient passes.
    void (*max_backward)(struct pool_shape s, struct map diff_dst, const uint8_t *index, struct map mask,
                         enum dnn_act act, struct map diff_src);
    void (*average_forward)(struct pool_shape s, struct map src, struct map dst);
    void (*average_backward)(struct pool_shape s, struct map diff_dst, struct map diff_src);
    void (*adaptive_forward)(struct map_shape s, int oh, int ow, struct map src, struct map dst);
    void (*adaptive_backward)(struct map_shape s, int oh, int ow, struct map diff_dst, struct map diff_src);
};

// A BatchNorm's way back.  diff, the gradient of dst, is masked in place by act and dst; diff_src, which may be diff,
// becomes that of src, or has it added.  With `batch_statistics` through mean and variance too.
struct bn_gradient {
    struct map_shape shape;
    struct map src, dst, diff, diff_src;                // diff_src.at NULL: not wanted
    bool add;                                           // to what diff_src holds
    const float *mean, *inverse, *gamma;                // inverse = 1 / sqrt(variance + epsilon)
    enum dnn_act act;
    bool batch_statistics;
    float *diff_gamma, *diff_beta;                      // NULL: not wanted
};

// A map as the library's bf16 kernels have it: (n, h*w, channels), no tails.
struct bf16_map { size_t pixels; int channels, padded; }; // padded: to whole blocks, as its BatchNorm's parameters are
enum { BF16_SLABS = 16 };                                 // that its sums are taken over
static inline size_t bf16_partial(struct bf16_map s) { return 2 * 2 * (size_t)(BF16_SLABS + 1) * s.padded; }
struct bf16_kernels {
    void (*narrow)(struct map_shape s, int channels, const float *src, uint16_t *dst);
    void (*narrow_plain)(struct map_shape s, int channels, const float *src, uint16_t *dst); // src: (n, channels, h*w)
    // mask: what made the gradient's value, NULL: none; only where it is within the activation's limits it passes.
    void (*widen)(struct map_shape s, int channels, const uint16_t *src, const float *mask, enum dnn_act act,
                  float *dst);
    void (*add)(const uint16_t *a, const uint16_t *b, uint16_t *dst, size_t size, enum dnn_act act); // dst may be a
    // These as in kernel_table.  partial: bf16_partial(s) floats of scratch.
    void (*act_backward)(const uint16_t *dst, uint16_t *diff, size_t size, enum dnn_act act);
    void (*bn_statistics)(struct bf16_map s, const uint16_t *src, double *partial, float *mean, float *variance);
    void (*bn_apply)(struct bf16_map s, const uint16_t *src, const float *scale, const float *shift, uint16_t *dst,
                     enum dnn_act act);
    void (*bn_backward)(struct bf16_map s, const uint16_t *src, const uint16_t *dst, uint16_t *diff, const float *mean,
                        const float *inverse, const float *gamma, enum dnn_act act, bool batch_statistics,
                        bool need_src, double *partial, float *diff_gamma, float *diff_beta);
};

// As in pool_kernels; no map lies in another.
struct bf16_pool_kernels {
    void (*max_forward)(struct pool_shape s, int channels, const uint16_t *src, uint16_t *dst, uint8_t *index);
    void (*max_backward)(struct pool_shape s, int channels, const uint16_t *diff_dst, const uint8_t *index,
                         const uint16_t *mask, enum dnn_act act, uint16_t *diff_src); // mask: NULL, none
};

// Depthwise, weights [C/V][kh][kw][V] and bias in fp32, as everywhere; windows of up to BF16_DEPTHWISE_SIDE a side.
// scratch: as many floats as .scratch says, aligned to 64 bytes.
enum { BF16_DEPTHWISE_SIDE = 7 };
struct bf16_depthwise_kernels {
    void (*forward)(const struct dnn_conv_shape *s, const uint16_t *src, const float *wei, const float *bias,
                    uint16_t *dst, float *scratch); // bias: NULL, none
    void (*data)(const struct dnn_conv_shape *s, const uint16_t *diff_dst, const float *wei, uint16_t *diff_src,
                 float *scratch);
    void (*weights)(const struct dnn_conv_shape *s, const uint16_t *src, const uint16_t *diff_dst, float *wei,
                    float *bias, float *scratch);
    size_t (*scratch)(const struct dnn_conv_shape *s, enum dnn_pass pass, int threads);
};

// y = x W' + b: x (n, k), W (units, k), y (n, units).
struct dense_shape { int n, k, units; };
struct dense_kernels {
    int rows; // of the gradient of W that are cheapest together
    void (*forward)(struct dense_shape s, const float *x, const float *w, const float *bias, float *y,
                    enum dnn_act act); // bias: NULL, none
    void (*data)(struct dense_shape s, const float *diff_y, const float *w, float *diff_x);
    // Rows [first, first + rows) of the gradient of W; diff_w: of row `first`.
    void (*weights)(struct dense_shape s, const float *diff_y, const float *x, int first, int rows, float *diff_w);
    void (*bias)(struct dense_shape s, const float *diff_y, float *diff_bias);
};

struct kernel_table {
    const char *isa;
    int lanes;
    void (*act_forward)(float *x, size_t size, enum dnn_act act);                      // in place
    void (*act_backward)(struct rows r, struct map dst, struct map diff, struct map out, enum dnn_act act); // out may
                                                                                                            // be diff
    void (*add)(struct rows r, struct map a, struct map b, struct map dst, enum dnn_act act); // dst may be a
    // Statistics over (n, h*w): mean and biased variance, cb*v each.
    void (*bn_statistics)(struct map_shape s, struct map src, float *mean, float *variance);
    // dst = act(scale src + shift + residual); residual.at NULL: none.
    void (*bn_apply)(struct map_shape s, struct map src, const float *scale, const float *shift, struct map residual,
                     struct map dst, enum dnn_act act);
    void (*bn_backward)(const struct bn_gradient *g);
    // Normalisation across channels; backward in place on diff, `ratio` being scratch of the map's size.
    void (*lrn_forward)(struct map_shape s, struct lrn_shape a, const float *src, float *dst);
    void (*lrn_backward)(struct map_shape s, struct lrn_shape a, const float *src, float *diff, float *ratio);
    void (*dropout)(const float *src, float *dst, size_t size, float rate, uint64_t seed, uint64_t step,
                    uint64_t layer);
    // Convolution where the library has no fast kernel: weights of a depthwise one, everything else by definition. pass
    // as in dnn.h; same arguments.
    void (*conv_own)(const struct dnn_conv_shape *s, enum dnn_pass pass, float *src, float *wei, float *bias,
                       float *dst);
    const struct winograd_kernels *winograd;
    const struct products *products;
    const struct pool_kernels *pools;
    const struct bf16_kernels *bf16;
    const struct bf16_pool_kernels *bf16_pools;
    const struct bf16_depthwise_kernels *bf16_depthwise;
    const struct dense_kernels *dense;
};
const struct kernel_table *exec_kernels(void);
// Tests: the table of that name ("AVX2", "plain C") instead, while nothing is planned; NULL: the processor's again.
// False when the processor lacks it.
bool exec_kernels_force(const char *isa);
// The prediction: mean of the softmaxes of `count` heads, each (n, classes).
void softmax_mean(const float *const *logits, int count, float *probabilities, int n, int classes);
// The lane-independent loss: weight * mean cross-entropy of softmax rows; diff = weight * (softmax - targets) / n, or
// NULL.
double softmax_loss(const float *logits, const float *targets, double weight, float *diff, int n, int classes);
