// exec/views.c: concatenation in place.  Which parts of a concat are written straight into their place in its value: a
// view, a range of the channel blocks of each image.  A concat that is itself a part lies in the larger one, so a dense
// block's growing value is one buffer, of which every concat is a prefix.
// A part stays apart, and is copied, where
//   - its channels do not fill whole blocks (but for the last part's tail, which is the whole's), or begin within one;
//   - it is given twice: the second place is a copy; so is every further concat it is a part of;
//   - what makes it or reads it takes no view: the library's convolutions, dense layers, what works on whole buffers;
//   - it is not made here (the picture, an end of the frozen prefix), or others expect it by itself (such an end, an
//     output).

#include "exec/steps.h"

bool concat_aligned(const struct plan *p, const struct cell *cell, int part, int channel)
{
    const int v = p->kernels->lanes, c = p->graph->values[part].c;
    return channel % v == 0 && (c % v == 0 || channel + c == p->graph->values[cell->out].c);
}

static bool expected_apart(const struct plan *p, int value)
{
    for (int i = 0; i < p->graph->n_outputs; i++)
        if (value == p->graph->outputs[i].value)
            return true;
    for (int i = 0; i < p->n_ends; i++)
        if (value == p->ends[i])
            return true;
    return p->graph->values[value].flat;
}

static graft_status conv_takes_view(struct plan *p, const struct cell *cell, bool *takes)
{
    TRY(conv_uses_winograd(p, cell, DNN_FORWARD, takes));
    if (*takes && cell->node->trains && p->options.mode == PLAN_TRAIN)
        TRY(conv_uses_winograd(p, cell, DNN_WEIGHTS, takes));
    return GRAFT_OK;
}

// `reads`: the value is the cell's source, else what it makes.
static graft_status cell_takes_view(struct plan *p, const struct cell *cell, bool reads, bool *takes)
{
    const enum op op = cell->node->op;
    *takes = op == OP_BN || op == OP_SCALE || op == OP_MAXPOOL || op == OP_AVGPOOL || op == OP_ADAPTIVE_AVGPOOL ||
             op == OP_CONCAT || op == OP_ADD;
    if (cell_narrow(p, cell)) {
        *takes = true; // by way of a buffer of its own
        return GRAFT_OK;
    }
    if (op == OP_CONV)
        return reads ? conv_takes_view(p, cell, takes) : conv_uses_winograd(p, cell, DNN_FORWARD, takes);
    return GRAFT_OK;
}

static graft_status value_takes_view(struct plan *p, int value, bool *takes)
{
    bool made = false;
    *takes = !expected_apart(p, value);
    for (int i = 0; *takes && i < p->n_cells; i++) {
        const struct cell *cell = &p->cells[i];
        const bool makes = cell->out == value;
        bool reads = false;
        for (int k = 0; k < cell->node->n_in; k++)
            reads |= cell_input(cell, k) == value;
        made |= makes;
        if (makes || reads)
            TRY(cell_takes_view(p, cell, reads, takes));
    }
    *takes &= made;
    return GRAFT_OK;
}

static graft_status part_place(struct plan *p, const struct cell *cell, int part, int channel)
{
    bool takes;
    if (p->places[part].whole >= 0 || !concat_aligned(p, cell, part, channel))
        return GRAFT_OK;
    TRY(value_takes_view(p, part, &takes));
    if (takes)
        p->places[part] = (struct place){cell->out, channel, NO_BUFFER, 0};
    return GRAFT_OK;
}

graft_status views_make(struct plan *p)
{
    for (int i = 0; i < p->n_cells && !p->options.copies; i++) {
        const struct cell *cell = &p->cells[i];
        if (cell->node->op == OP_CONCAT)
            for (int k = 0, channel = 0; k < cell->node->n_in; channel += p->graph->values[cell->node->in[k++]].c)
                TRY(part_place(p, cell, cell->node->in[k], channel));
    }
    return GRAFT_OK;
}
