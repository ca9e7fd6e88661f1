// exec/dnn.h: oneDNN behind one thin layer; exec/dnn.c alone includes dnnl.h and hides the differences of 2.x and 3.x.
// An implementation that oneDNN calls `ref` is never used: the maker then gives no primitive.
#pragma once

#include "base/status.h"
#include "tensor/params.h"
#include <stdbool.h>

enum dnn_act { ACT_NONE, ACT_RELU, ACT_RELU6 };
enum dnn_pass { DNN_FORWARD, DNN_DATA, DNN_WEIGHTS };

struct dnn_conv_shape {
    int n, ic, ih, iw, oc, oh, ow, kh, kw, stride_h, stride_w, top, left, bottom, right, groups;
    bool bias, plain_src;     // plain_src: nchw, else blocked
    bool bf16;                // src and dst are bf16, nhwc; weights, bias and their gradients stay fp32
    enum dnn_act act;         // forward only
    enum param_layout layout; // of the weights in the parameter block
};
// One convolution pass, with the reorder of its weights (or of their gradient) where the kernel wants another layout.
struct dnn_conv;
// `*out` is NULL when the library has no fast implementation.
graft_status dnn_conv_new(const struct dnn_conv_shape *shape, enum dnn_pass pass, int lanes, struct dnn_conv **out);
void dnn_conv_free(struct dnn_conv *conv);
size_t dnn_conv_scratch(const struct dnn_conv *conv); // bytes, the reordered weights included
const char *dnn_conv_name(const struct dnn_conv *conv);
// forward: src, wei, bias -> dst.  data: dst holds diff_dst, src receives diff_src.  weights: src, dst = diff_dst ->
// wei, bias = their gradients.
graft_status dnn_conv_run(struct dnn_conv *conv, const void *src, const float *wei, const float *bias,
                          const void *dst, void *scratch);
const char *dnn_version(void);
bool dnn_takes(int lanes); // of floats: 16 AVX-512, 8 AVX2; also false where ONEDNN_MAX_CPU_ISA holds the library below
bool dnn_takes_bf16(void); // and multiplies in bf16
