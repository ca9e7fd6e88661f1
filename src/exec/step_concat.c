// exec/step_concat.c: concatenation.  A part that lies in its place already (exec/views.c) takes no step; the others
// are copied there.  Backward, a part's gradient is a view of the whole's where its channels fill whole blocks, else a
// copy.

#include "exec/steps.h"
#include <string.h>

// Copies channels between a part and the whole's channels from s->offset; s->flag: from the whole to the part
// (gradient).
static void copy_channels(const struct plan *p, const struct step *s, struct map small, struct map large)
{
    const int v = p->kernels->lanes, channels = p->graph->values[s->value].c, begin = (int)s->offset;
    const struct map_shape a = value_map(p, s->value), b = value_map(p, s->cell->out);
    const size_t area = (size_t)a.h * a.w;
#pragma omp parallel for schedule(static)
    for (int n = 0; n < a.n; n++) {
        float *const part = small.at + n * small.image, *const whole = large.at + n * large.image;
        if (s->flag)
            memset(part, 0, a.cb * area * v * sizeof(float));
        for (int c = 0; c < channels; c++) {
            float *x = part + c / v * area * v + c % v;
            float *y = whole + (begin + c) / v * area * v + (begin + c) % v;
            for (size_t i = 0; i < area; i++)
                if (s->flag)
                    x[i * v] = y[i * v];
                else
                    y[i * v] = x[i * v];
        }
        if (!s->flag && begin + channels == p->graph->values[s->cell->out].c) // the last part clears the tail
            for (int c = begin + channels; c < b.cb * v; c++)
                for (size_t i = 0; i < area; i++)
                    whole[c / v * area * v + i * v + c % v] = 0;
    }
}

static graft_status run_concat(struct plan *p, const struct step *s, const struct run *run)
{
    if (s->flag)
        copy_channels(p, s, MAP(dst), MAP(src));
    else
        copy_channels(p, s, MAP(src), MAP(dst));
    return GRAFT_OK;
}

static graft_status channels_step(struct plan *p, const struct cell *cell, int part, int channel, bool backward,
                                  int src, int dst)
{
    struct step *s;
    TRY(step_add(p, &s));
    s->run = run_concat;
    s->cell = cell;
    s->value = part;
    s->offset = (size_t)channel;
    s->flag = backward;
    s->src = src;
    s->dst = dst;
    step_uses(p, s);
    return GRAFT_OK;
}

// A part as a view of `whole`, where it fills whole channel blocks, else NO_BUFFER.
static graft_status part_view(struct plan *p, const struct cell *cell, int part, int channel, int whole, int *view)
{
    *view = NO_BUFFER;
    return concat_aligned(p, cell, part, channel) ? view_make(p, whole, part, channel, view) : GRAFT_OK;
}

static graft_status part_forward(struct plan *p, const struct cell *cell, int part, int channel)
{
    const struct place place = p->places[part];
    int view;
    if (place.whole == cell->out && place.channel == channel)
        return GRAFT_OK;
    TRY(part_view(p, cell, part, channel, p->value_buffer[cell->out], &view));
    if (view != NO_BUFFER) // block by block
        return copy_step(p, cell, part, p->value_buffer[part], view);
    return channels_step(p, cell, part, channel, false, p->value_buffer[part], p->value_buffer[cell->out]);
}

static graft_status part_backward(struct plan *p, const struct cell *cell, int part, int channel)
{
    const int whole = p->value_gradient[cell->out];
    int diff = NO_BUFFER;
    if (!p->options.copies)
        TRY(part_view(p, cell, part, channel, whole, &diff));
    if (diff == NO_BUFFER) {
        TRY(buffer_make(p, value_floats(p, part), &diff));
        TRY(channels_step(p, cell, part, channel, true, whole, diff));
    }
    return gradient_give(p, part, diff);
}

graft_status concat_forward(struct plan *p, const struct cell *cell)
{
    for (int k = 0, channel = 0; k < cell->node->n_in; channel += p->graph->values[cell->node->in[k++]].c)
        TRY(part_forward(p, cell, cell->node->in[k], channel));
    return GRAFT_OK;
}

graft_status concat_backward(struct plan *p, const struct cell *cell)
{
    for (int k = 0, channel = 0; k < cell->node->n_in; channel += p->graph->values[cell->node->in[k++]].c)
        if (p->needs_gradient[cell->node->in[k]])
            TRY(part_backward(p, cell, cell->node->in[k], channel));
    return GRAFT_OK;
}
