// zoo/layout.c: a parameter's shape and values in the frameworks' layouts.
// Source: numbers of a kernel go by output o, input i and place p = y * kw + x; of a dense layer behind a map of c
// channels, likewise, i being the channel and p the place in the map:
//   torch   [o][i][p]      Keras  [p][i][o]      Theano  convolution [o][i][p] turned, dense [i][p][o]

#include "zoo/zoo.h"
#include "base/status.h"

static const struct node *node_of(const struct graph *g, int param) { return &g->nodes[g->params[param].node]; }

static bool is_weight(const struct graph *g, int param, enum op op)
{
    return node_of(g, param)->op == op && node_of(g, param)->param[0] == param;
}

struct shape file_shape(enum file_layout layout, const struct graph *g, int param)
{
    const struct shape s = g->params[param].shape;
    if (layout == FILE_KERAS && is_weight(g, param, OP_CONV)) {
        const int groups = node_of(g, param)->attr.conv.groups;
        return groups > 1 && s.dim[1] == 1 ? SHAPE(s.dim[2], s.dim[3], groups, s.dim[0] / groups)
                                           : SHAPE(s.dim[2], s.dim[3], s.dim[1], s.dim[0]);
    }
    if (layout != FILE_TORCH && is_weight(g, param, OP_DENSE))
        return SHAPE(s.dim[1], s.dim[0]);
    return s;
}

struct file_order file_order_of(enum file_layout layout, bool turn, const struct graph *g, int param)
{
    size_t count;
    const struct shape s = g->params[param].shape;
    const bool conv = is_weight(g, param, OP_CONV), dense = is_weight(g, param, OP_DENSE);
    const struct value *map = &g->values[node_of(g, param)->in[0]];
    ASSERT(shape_count(s, &count) && count > 0);
    const size_t out = (size_t)s.dim[0],
                 in = conv    ? (size_t)s.dim[1]
                      : dense ? (size_t)map->c
                              : 1,
                 area = count / out / in;
    const bool keras = layout == FILE_KERAS && (conv || dense), theano = layout == FILE_THEANO && dense;
    return (struct file_order){.out = out, .in = in, .places = area, .step_o = keras || theano ? 1 : in * area,
                               .step_i = keras ? out : theano ? area * out : area,
                               .step_p = keras ? in * out : theano ? out : 1, .turned = conv && turn};
}

void file_relay(enum file_layout layout, bool turn, enum file_way way, const struct graph *g, int param,
                const float *src, float *dst)
{
    const struct file_order s = file_order_of(layout, turn, g, param);
    for (size_t first = 0; first < s.out; first += 16) // whole cache lines: VGG's fc1 has 103 million numbers
        for (size_t i = 0; i < s.in; i++)
            for (size_t p = 0; p < s.places; p++) {
                const size_t there = s.turned ? s.places - 1 - p : p;
                for (size_t o = first; o < s.out && o < first + 16; o++) {
                    const size_t canonical = (o * s.in + i) * s.places + p,
                                 file = o * s.step_o + i * s.step_i + there * s.step_p;
                    if (way == FROM_FILE)
                        dst[canonical] = src[file];
                    else
                        dst[file] = src[canonical];
                }
            }
}
