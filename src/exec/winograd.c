// exec/winograd.c: which convolutions Winograd takes, and how a pass is cut into blocks that stay in the caches.
// Beyond a thread's own cache (L2) a pass moves, in floats per tile and point:
//   shared  V and M written and read once, U once a block:  2 C + 2 K + C K / block
//   apart   U once a block, whose V fits into L2:           C K / block
// The less wins.

#include "exec/winograd.h"
#include "base/status.h"
#include <unistd.h>

enum { LINE = 16 };                  // floats of a cache line: keeps two points from falling into one cache set
enum { CHUNK = 64 };                 // destination channels whose U and M are held at once
enum { SOURCE_MOST = 256 };          // source channels a product sums before it goes to memory
enum { STREAM_BYTES = 8 << 20 };     // a map so large is out of the caches before it is read
enum { BLOCK_LEAST = 96, BLOCK_MOST = 256 };
enum { APART_BLOCK = 48, APART_PRODUCT = 64 * 128 };                           // whose dU stays in a thread's own cache
enum { SEGMENTS_MOST = 16, SEGMENTS_BYTES = 10 << 20 };
enum { GRADIENT_TILES = 500, GRADIENT_CHUNK = 96, GRADIENT_BYTES = 8 << 20 }; // V and Q of a block

#define FORM_ROW(kh, kw, mh, mw) {kh, kw, mh, mw},
static const struct { int kh, kw, mh, mw; } forms[] = {WINO_EACH_FORM(FORM_ROW)};

// WINO_FORMS: none.
static enum wino_form form_of(const struct dnn_conv_shape *s)
{
    enum wino_form form = 0;
    while (form < WINO_FORMS && (forms[form].kh != s->kh || forms[form].kw != s->kw))
        form++;
    return form;
}

static double points_of(enum wino_form f)
{
    return (forms[f].mh + forms[f].kh - 1) * (forms[f].mw + forms[f].kw - 1);
}
static int tiles_along(int outputs, int tile) { return (outputs + tile - 1) / tile; }

bool winograd_applies(const struct dnn_conv_shape *s)
{
    return form_of(s) < WINO_FORMS && s->stride_h == 1 && s->stride_w == 1 && s->groups == 1 && !s->plain_src &&
           s->layout == LAYOUT_OIHW_BLOCK;
}

// In multiply-adds at the products' own rate.  What the transforms cost was fitted to all three passes of shapes from
// 1x7x7 to 16x224x224 on two processors; it grows with the lanes, since only the products get faster with them, and
// with the dimensions that are transformed, one after the other.
double winograd_gain(const struct dnn_conv_shape *s, int lanes)
{
    const enum wino_form form = form_of(s);
    const double tiles = (double)s->n * tiles_along(s->oh, forms[form].mh) * tiles_along(s->ow, forms[form].mw);
    const double c = s->ic, k = s->oc, points = points_of(form), products = 1.15 * points * tiles * c * k;
    const double line = ((s->kh > 1) + (s->kw > 1)) * points * lanes;
    const double source = 0.69 * line * tiles * c, destination = 0.53 * line * tiles * k, weights = 1.04 * line * c * k;
    return (double)s->kh * s->kw * s->n * s->oh * s->ow * c * k / (products + source + destination + weights);
}

static long cache_bytes(int name, long fallback)
{
    const long size = sysconf(name);
    return size > 0 ? size : fallback;
}

static long clamp(long x, long low, long high) { return x < low ? low : x > high ? high : x; }

// Rounded up to whole register tiles, then evened out over the blocks.
static int even_block(int tiles, long block, int rows)
{
    block = clamp(block / rows * rows, rows, tiles);
    const int blocks = (int)((tiles + block - 1) / block);
    return (tiles + blocks - 1) / blocks;
}

void winograd_cut(struct winograd *w, int block, int chunk, int slots)
{
    const size_t v = (size_t)w->lanes, panel = 2 * v, c = (size_t)w->c, k = (size_t)w->k;
    w->block = block;
    w->chunk = chunk;
    w->slots = slots;
    w->v_point = c * block * v + LINE;
    w->v_floats = w->points * w->v_point;
    if (w->pass == DNN_WEIGHTS) {
        const size_t blocks = (size_t)(w->tiles + block - 1) / block,
                     strips = (size_t)(block + WINO_STRIP - 1) / WINO_STRIP;
        w->q_point = (size_t)chunk * block * v + LINE;
        w->q_floats = w->points * w->q_point;
        w->u_point = c * v * chunk * v + LINE;
        w->u_floats = w->points * w->u_point;
        w->bias_floats = chunk * blocks * strips * v;
        w->segments = 1;
        if (slots > 0)
            w->segments = (int)clamp((long)(SEGMENTS_BYTES / (sizeof(float) * w->u_floats)), 1,
                                     (long)blocks < SEGMENTS_MOST ? (long)blocks : SEGMENTS_MOST);
    } else {
        const size_t panels = slots > 0 ? (k + 1) / 2 : (size_t)chunk;
        w->m_point = (size_t)block * panel + LINE;
        w->m_panel = w->points * w->m_point;
        w->m_floats = (slots > 0 ? 1 : panels) * w->m_panel;
        w->u_point = panels * c * v * panel + LINE;
        w->u_floats = w->points * w->u_point;
    }
}

static void cut_convolution(struct winograd *w, int rows, int threads)
{
    const long l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10), l3 = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
    const long c = (long)w->c * w->lanes, k = (long)w->k * w->lanes, panels = (w->k + 1) / 2, panel = 2 * w->lanes;
    const long chunk = clamp(CHUNK / panel, 1, panels);
    const long slice =
        l2 / 2 / (4 * (c < SOURCE_MOST ? c : SOURCE_MOST));               // a point's V in half of a thread's own cache
    const long whole = l3 / 2 / (4L * w->points * (c + chunk * panel));  // V and M in half of the shared one
    const long shared = clamp(slice < whole ? slice : whole, BLOCK_LEAST, BLOCK_MOST);
    const long own = l2 * 6 / 10 / (4L * w->points * (c + panel)); // V and a panel's M in a thread's own cache
    const long apart = own < APART_BLOCK ? own : APART_BLOCK;
    if (apart >= 2 * rows && c * k / apart < 2 * c + 2 * k + c * k / shared && w->tiles >= 4L * threads * apart)
        winograd_cut(w, even_block(w->tiles, apart, rows), (int)panels, threads);
    else
        winograd_cut(w, even_block(w->tiles, shared, rows), (int)chunk, 0);
}

// Only here a sum's order, so the result, depends on the cut: it never depends on the threads or the machine's caches.
static void cut_gradient(struct winograd *w, int threads)
{
    const long c = (long)w->c * w->lanes, k = (long)w->k * w->lanes,
               block = GRADIENT_BYTES / (4L * w->points * (c + k));
    if (w->tiles <= GRADIENT_TILES) // V whole, and as much of dU as stays in the cache
        winograd_cut(w, w->tiles, (int)clamp(GRADIENT_CHUNK / w->lanes, 1, w->k), 0);
    else if (c * k <= APART_PRODUCT)
        winograd_cut(w, even_block(w->tiles, APART_BLOCK, 1), w->k, threads);
    else
        winograd_cut(w, even_block(w->tiles, clamp(block, BLOCK_LEAST, w->tiles), 1), w->k, 0);
}

struct winograd winograd_describe(const struct dnn_conv_shape *s, enum dnn_pass pass, enum dnn_act act, int lanes,
                                  int rows, int threads)
{
    const int ic = (s->ic + lanes - 1) / lanes, oc = (s->oc + lanes - 1) / lanes;
    struct winograd w = {.pass = pass, .lanes = lanes, .n = s->n, .act = act, .bias = pass == DNN_FORWARD && s->bias};
    w.form = form_of(s), w.points = (int)points_of(w.form);
    w.kh = s->kh, w.kw = s->kw, w.mh = forms[w.form].mh, w.mw = forms[w.form].mw;
    if (pass == DNN_DATA) { // a convolution of the gradient with the turned weights
        w.c = oc, w.k = ic, w.h = s->oh, w.w = s->ow, w.oh = s->ih, w.ow = s->iw;
        w.top = s->kh - 1 - s->top, w.left = s->kw - 1 - s->left;
    } else {
        w.c = ic, w.k = oc, w.h = s->ih, w.w = s->iw, w.oh = s->oh, w.ow = s->ow;
        w.top = s->top, w.left = s->left;
    }
    w.read_image = (size_t)w.c * w.h * w.w * lanes;
    w.tile_image = (size_t)w.k * w.oh * w.ow * lanes;
    w.tile_rows = tiles_along(w.oh, w.mh);
    w.tile_columns = tiles_along(w.ow, w.mw);
    w.tiles = w.n * w.tile_rows * w.tile_columns;
    const size_t row = (size_t)w.ow * lanes * sizeof(float); // streamed lines must not be shared by two tiles
    w.stream = row % 64 == 0 && row * w.oh * w.n * w.k > STREAM_BYTES;
    w.parts = (4 * threads + w.points - 1) / w.points;
    if (pass == DNN_WEIGHTS)
        cut_gradient(&w, threads);
    else
        cut_convolution(&w, rows, threads);
    return w;
}

size_t winograd_scratch(const struct winograd *w)
{
    const size_t slots = w->slots > 0 ? (size_t)w->slots : 1,
                 segments = w->pass == DNN_WEIGHTS ? (size_t)w->segments : 1;
    return slots * (w->v_floats + w->m_floats + w->q_floats) + segments * w->u_floats + w->bias_floats;
}
