// exec/steps.h: private to exec/: what the step_*.c files share.  Each operation emits the steps of a cell, forward and
// backward; steps.c has the table.
#pragma once

#include "exec/cells.h"

// In a step's run function: the address behind one of its buffer fields.
#define BUFFER(field) plan_buffer(p, s->field, run)
#define MAP(field) plan_map(p, s->field, run)

graft_status step_add(struct plan *p, struct step **out);
void step_uses(struct plan *p, const struct step *s); // after all buffers of the newest step are set
graft_status buffer_make(struct plan *p, size_t floats, int *out);
// `value` as the channels from `channel` on of the map in `parent`.
graft_status view_make(struct plan *p, int parent, int value, int channel, int *out);
graft_status copy_step(struct plan *p, const struct cell *cell, int value, int src, int dst); // cell: for people
size_t channel_floats(const struct plan *p, int value); // channels of a value, tails included

// A step backward is about to read the value: makes it again where it was dropped.
graft_status value_again(struct plan *p, int value);
graft_status bn_again(struct plan *p, const struct cell *cell); // into the value's buffer
graft_status add_again(struct plan *p, const struct cell *cell);
// The gradient of a value in a buffer of its own: for kernels that take no view.
graft_status gradient_apart(struct plan *p, int value);
// Gives the gradient in `buffer` to `value`: the value takes it, or adds it to what it has.
graft_status gradient_give(struct plan *p, int value, int buffer);
// The gradient of a parameter is complete: the run's hook sees it, then the buffer is free.
graft_status ready_step(struct plan *p, int entry, int gradient);
// Masks the gradient of a cell's output by its activation: in place, or a view's into a buffer of its own.
graft_status act_backward_step(struct plan *p, const struct cell *cell);
// Buffers for the gradients of a weight and its bias (NO_BUFFER where there is none, or nothing trains), and their end.
graft_status weight_gradients_make(struct plan *p, const struct node *node, int *weight, int *bias);
graft_status weight_gradients_ready(struct plan *p, const struct node *node, int weight, int bias);

// step_bf16.c.  In a bf16 plan what convolutions, BatchNorm and adds pass to each other is bf16 (plan.narrow); other
// values are fp32, and those steps read and write them by way of a bf16 buffer.
static inline uint16_t *half(float *buffer) { return (uint16_t *)buffer; }
bool cell_narrow(const struct plan *p, const struct cell *cell);      // it works on bf16 maps
bool conv_narrow_own(const struct plan *p, const struct node *node);  // a convolution, by graft's own bf16 kernels
struct bf16_map half_map(const struct plan *p, int value);
size_t half_size(const struct plan *p, int value);                    // elements
graft_status narrow_buffer(struct plan *p, int value, int *out);      // for a map of the value's shape
graft_status half_read(struct plan *p, int value, int buffer, int *out); // `buffer`, a value or its gradient, as bf16
graft_status half_make(struct plan *p, int value, int *out);          // where a step writes the value,
graft_status half_made(struct plan *p, int value, int half);          // and what it does after
graft_status half_give(struct plan *p, int value, int half, int mask); // a gradient; mask: NO_BUFFER, or the fp32 value
graft_status add_narrow_forward(struct plan *p, const struct cell *cell);
graft_status add_narrow_backward(struct plan *p, const struct cell *cell);

// Whether Winograd runs that pass of a convolution's cell: it takes views.
graft_status conv_uses_winograd(struct plan *p, const struct cell *cell, enum dnn_pass pass, bool *winograd);
graft_status conv_forward(struct plan *p, const struct cell *cell);
graft_status conv_backward(struct plan *p, const struct cell *cell);
graft_status bn_forward(struct plan *p, const struct cell *cell);
graft_status bn_backward(struct plan *p, const struct cell *cell);
graft_status scale_forward(struct plan *p, const struct cell *cell);
graft_status scale_backward(struct plan *p, const struct cell *cell);
graft_status lrn_forward(struct plan *p, const struct cell *cell);
graft_status lrn_backward(struct plan *p, const struct cell *cell);
graft_status dense_forward(struct plan *p, const struct cell *cell);
graft_status dense_backward(struct plan *p, const struct cell *cell);
graft_status pool_forward(struct plan *p, const struct cell *cell);
graft_status pool_backward(struct plan *p, const struct cell *cell);
graft_status elementwise_forward(struct plan *p, const struct cell *cell);
graft_status elementwise_backward(struct plan *p, const struct cell *cell);
graft_status add_backward(struct plan *p, const struct cell *cell);
// Whether the part at `channel` fills whole channel blocks of the concat's value.
bool concat_aligned(const struct plan *p, const struct cell *cell, int part, int channel);
graft_status concat_forward(struct plan *p, const struct cell *cell);
graft_status concat_backward(struct plan *p, const struct cell *cell);
