// fuzz/touch.h: every byte that a tensor claims is there.
#pragma once

#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

static inline void tensors_touch(const struct tensor_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        size_t count;
        ASSERT(shape_count(set->items[i].shape, &count));
        float *values = count < 1 << 24 ? mem_zero(count + 1, sizeof *values) : NULL;
        if (values && set->items[i].dtype != DTYPE_U8)
            ASSERT(tensor_to_f32(&set->items[i], values) == GRAFT_OK);
        mem_free(values);
    }
}
