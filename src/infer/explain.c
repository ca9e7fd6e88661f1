// infer/explain.c: Grad-CAM over the last map A (n, c, h, w) before the head.
//   weight_k = mean over the map of d logit / d A_k;   heat = max(0, sum over k of weight_k A_k), divided by its
//   largest
// For a head of global average and one dense layer the weights are those of the class, divided by h w (CAM).
// Source: Selvaraju et al. 2017; Zhou et al. 2016.

#include "infer/explain.h"
#include "base/memory.h"
#include "infer/metrics.h"
#include <math.h>
#include <string.h>

struct explainer {
    struct model *model;
    struct arena *arena;
    struct plan *plan;
    int keep;
    float *map, *gradient; // (n, c, h, w)
    float *targets;        // (n, classes)
};

// The map that enters the head: dense layers, dropout, activations, and pools down to a single place.
static int head_map(const struct graph *g)
{
    int value = g->output;
    for (;;) {
        const struct value *v = &g->values[value];
        const struct node *node = v->producer >= 0 ? &g->nodes[v->producer] : NULL;
        const bool pool = node != NULL && v->h * v->w == 1 &&
                          (node->op == OP_AVGPOOL || node->op == OP_MAXPOOL || node->op == OP_ADAPTIVE_AVGPOOL);
        if (node == NULL || (!v->flat && !pool && node->op != OP_DROPOUT))
            return value;
        value = node->in[0];
    }
}

graft_status explainer_check(const struct model *m)
{
    const struct value *v = &m->graph.values[head_map(&m->graph)];
    if (v->h * v->w < 2)
        return fail(GRAFT_BAD_OPTION,
                    "at %dx%d the last map of %s is a single place: there is nothing to tell apart; use a "
                    "larger --imgsz",
                    m->input.size, m->input.size, m->network->name);
    return GRAFT_OK;
}

graft_status explainer_new(struct model *m, struct arena *arena, int batch, struct explainer **out)
{
    graft_status status = GRAFT_OK;
    struct explainer *e = mem_zero(1, sizeof *e);
    *out = NULL;
    if (e == NULL)
        return fail_memory("the explanation");
    e->model = m;
    e->arena = arena;
    e->keep = head_map(&m->graph);
    const struct value *v = &m->graph.values[e->keep];
    const size_t size = (size_t)batch * v->c * v->h * v->w;
    TRY_GOTO(explainer_check(m));
    e->map = mem_alloc(size * sizeof *e->map);
    e->gradient = mem_alloc(size * sizeof *e->gradient);
    e->targets = mem_zero((size_t)batch * (size_t)m->n_classes, sizeof *e->targets);
    if (e->map == NULL || e->gradient == NULL || e->targets == NULL)
        TRY_GOTO(fail_memory("the explanation"));
    const struct plan_options o = {.batch = batch, .mode = PLAN_EXPLAIN, .bn = BN_STATS, .keep = e->keep};
    TRY_GOTO(plan_build(&m->graph, &m->params, arena, &o, &e->plan));
    TRY_GOTO(arena_reserve(arena));
    *out = e;
    e = NULL;
done:
    explainer_free(e);
    return status;
}

void explainer_free(struct explainer *e)
{
    if (e == NULL)
        return;
    plan_free(e->plan);
    mem_free(e->map);
    mem_free(e->gradient);
    mem_free(e->targets);
    mem_free(e);
}

int explainer_batch(const struct explainer *e) { return plan_batch(e->plan); }

void explainer_map(const struct explainer *e, int *h, int *w)
{
    *h = e->model->graph.values[e->keep].h;
    *w = e->model->graph.values[e->keep].w;
}

// One picture's heat from its map and gradient, both (c, area).
static void heat_of(const float *map, const float *gradient, int channels, size_t area, float *heat)
{
    float most = 0;
    memset(heat, 0, area * sizeof *heat);
    for (int c = 0; c < channels; c++) {
        double weight = 0;
        for (size_t i = 0; i < area; i++)
            weight += gradient[(size_t)c * area + i];
        for (size_t i = 0; i < area; i++)
            heat[i] += (float)(weight / (double)area) * map[(size_t)c * area + i];
    }
    for (size_t i = 0; i < area; i++)
        most = fmaxf(most, heat[i]);
    for (size_t i = 0; i < area; i++)
        heat[i] = most > 0 ? fmaxf(0, heat[i]) / most : 0;
}

graft_status explainer_run(struct explainer *e, const float *input, int *classes, float *heat, float *probabilities)
{
    const struct value *v = &e->model->graph.values[e->keep];
    const int batch = plan_batch(e->plan), n_classes = e->model->n_classes;
    const size_t area = (size_t)v->h * v->w;
    const struct run run = {.input = input, .targets = e->targets};
    bool open = false;
    for (int i = 0; i < batch; i++)
        open |= classes[i] < 0;
    if (open) {
        TRY(plan_run(e->plan, &run, NULL));
        for (int i = 0; i < batch; i++) {
            const float *logits = plan_logits(e->plan) + (size_t)i * (size_t)n_classes;
            classes[i] = classes[i] < 0 ? best_class(logits, n_classes) : classes[i];
        }
    }
    memset(e->targets, 0, (size_t)batch * (size_t)n_classes * sizeof *e->targets);
    for (int i = 0; i < batch; i++)
        e->targets[(size_t)i * (size_t)n_classes + (size_t)classes[i]] = 1;
    TRY(plan_run(e->plan, &run, NULL));
    plan_kept(e->plan, false, e->map);
    plan_kept(e->plan, true, e->gradient);
    for (int i = 0; i < batch; i++)
        heat_of(e->map + (size_t)i * v->c * area, e->gradient + (size_t)i * v->c * area, v->c, area,
                heat + (size_t)i * area);
    if (probabilities != NULL)
        plan_probabilities(e->plan, probabilities);
    return GRAFT_OK;
}

static graft_status picture_make(int w, int h, struct picture *out)
{
    *out = (struct picture){mem_alloc((size_t)w * (size_t)h * 3), w, h};
    return out->rgb != NULL ? GRAFT_OK : fail_memory("a picture");
}

static uint8_t to_byte(float value) { return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)lrintf(value); }

graft_status picture_of_input(const float *input, const struct input_spec *spec, bool stretch, struct picture *out)
{
    const size_t area = (size_t)spec->size * (size_t)spec->size;
    float least = input[0], most = input[0];
    TRY(picture_make(spec->size, spec->size, out));
    for (size_t i = 0; stretch && i < 3 * area; i++) {
        least = fminf(least, input[i]);
        most = fmaxf(most, input[i]);
    }
    for (int c = 0; c < 3; c++)
        for (size_t i = 0; i < area; i++) {
            const float x = input[(size_t)c * area + i];
            out->rgb[3 * i + (size_t)(spec->bgr ? 2 - c : c)] =
                to_byte(stretch ? (x - least) / fmaxf(most - least, 1e-12f) * 255 : x / spec->scale[c] + spec->mean[c]);
        }
    return GRAFT_OK;
}

// Matplotlib's inferno (CC0) at five places.
static void heat_colour(float heat, float rgb[3])
{
    static const float stops[5][3] = {{0, 0, 4}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 164}};
    const float at = fminf(fmaxf(heat, 0), 1) * 4;
    const int low = at >= 4 ? 3 : (int)at;
    for (int c = 0; c < 3; c++)
        rgb[c] = stops[low][c] + (at - (float)low) * (stops[low + 1][c] - stops[low][c]);
}

// Bilinear, the map's places in the middle of their cells.
static float heat_at(const float *heat, int h, int w, float y, float x)
{
    const float fy = fminf(fmaxf(y * (float)h - 0.5f, 0), (float)(h - 1)),
                fx = fminf(fmaxf(x * (float)w - 0.5f, 0), (float)(w - 1));
    const int y0 = (int)fy, x0 = (int)fx, y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
    const float dy = fy - (float)y0, dx = fx - (float)x0;
    return (heat[y0 * w + x0] * (1 - dx) + heat[y0 * w + x1] * dx) * (1 - dy) +
           (heat[y1 * w + x0] * (1 - dx) + heat[y1 * w + x1] * dx) * dy;
}

static void heat_mix(const uint8_t *src, float heat, uint8_t *dst)
{
    const float grey = 0.299f * src[0] + 0.587f * src[1] + 0.114f * src[2]; // ITU-R BT.601
    float colour[3];
    heat_colour(heat, colour);
    for (int c = 0; c < 3; c++)
        dst[c] = to_byte(0.45f * grey + 0.55f * colour[c]);
}

graft_status picture_with_heat(const struct picture *p, const float *heat, int h, int w, const double *part,
                               struct picture *out)
{
    static const double everywhere[] = {0, 0, 1, 1};
    const double *at = part != NULL ? part : everywhere;
    TRY(picture_make(p->w, p->h, out));
    memcpy(out->rgb, p->rgb, (size_t)p->w * (size_t)p->h * 3);
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const size_t place = ((size_t)y * (size_t)p->w + (size_t)x) * 3;
            const double u = ((x + 0.5) / p->w - at[0]) / at[2], v = ((y + 0.5) / p->h - at[1]) / at[3];
            if (u >= 0 && u <= 1 && v >= 0 && v <= 1)
                heat_mix(p->rgb + place, heat_at(heat, h, w, (float)v, (float)u), out->rgb + place);
        }
    return GRAFT_OK;
}

static void dot(struct picture *p, int x, int y)
{
    static const uint8_t green[] = {0, 255, 0};
    if (x >= 0 && y >= 0 && x < p->w && y < p->h)
        memcpy(p->rgb + ((size_t)y * (size_t)p->w + (size_t)x) * 3, green, 3);
}

void picture_frame(struct picture *p, const double *box)
{
    const int left = (int)lrint(box[0] * p->w), right = (int)lrint((box[0] + box[2]) * p->w) - 1,
              top = (int)lrint(box[1] * p->h), bottom = (int)lrint((box[1] + box[3]) * p->h) - 1;
    const int thick = 1 + (p->w < p->h ? p->w : p->h) / 150;
    for (int k = 0; k < thick; k++) {
        for (int x = left; x <= right; x++) {
            dot(p, x, top + k);
            dot(p, x, bottom - k);
        }
        for (int y = top; y <= bottom; y++) {
            dot(p, left + k, y);
            dot(p, right - k, y);
        }
    }
}
