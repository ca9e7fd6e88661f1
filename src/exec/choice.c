// exec/choice.c: see exec/choice.h.
// The record: {MACHINE: {SHAPE: {"winograd": nanoseconds, "library": nanoseconds}}}.  It is read once a plan, merged
// with what is in the file by then, and replaced whole, so that processes beside each other lose at worst a timing.

#include "exec/choice.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVALUATION_BATCH = 4 }; // pictures that evaluation's estimate is made for
enum { KERNELS_VERSION = 2 };  // of our convolution kernels: another one makes old times void
enum { TRIES = 5 };
static const double CLEAR = 1.5;
static const char *const pass_names[] = {"forward", "data", "weights"};
static const char WINOGRAD[] = "winograd", LIBRARY[] = "library";

// "Intel(R) ...; AVX-512; oneDNN 2.6.3; 2 threads; kernels 1"
static void machine_text(char *out, size_t size)
{
    char line[256], model[128] = "unknown processor";
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info != NULL && fgets(line, sizeof line, info) != NULL)
        if (sscanf(line, "model name : %127[^\n]", model) == 1)
            break;
    if (info != NULL)
        fclose(info);
    snprintf(out, size, "%s; %s; %s; %d threads; kernels %d", model, exec_isa(), exec_library(), exec_threads(),
             KERNELS_VERSION);
}

static void shape_text_of(const struct dnn_conv_shape *s, enum dnn_pass pass, char *out, size_t size)
{
    snprintf(out, size, "%s %dx%d n%d c%d %dx%d k%d %dx%d pad %d %d", pass_names[pass], s->kh, s->kw, s->n, s->ic,
             s->ih, s->iw, s->oc, s->oh, s->ow, s->top, s->left);
}

static char *record_path(void)
{
    char *folder, *path = NULL;
    if (cache_folder(&folder) == GRAFT_OK)
        path = path_join(folder, "kernels.json");
    mem_free(folder);
    return path;
}

// This machine's times, out of the file; an empty object when there are none or the file is not ours to understand.
static json_t *record_read(const char *path, const char *machine, json_t **whole)
{
    json_t *all = NULL;
    if (path == NULL || !file_exists(path) || json_read_file(path, &all) != GRAFT_OK || !json_is_object(all)) {
        json_decref(all);
        all = json_object();
    }
    json_t *mine = json_object_get(all, machine);
    mine = json_is_object(mine) ? json_incref(mine) : json_object();
    if (whole != NULL)
        *whole = all;
    else
        json_decref(all);
    return mine;
}

void choices_record(struct plan *p)
{
    char machine[256];
    json_t *all, *mine;
    if (p->timed == NULL || json_object_size(p->timed) == 0)
        return;
    machine_text(machine, sizeof machine);
    char *path = record_path(), *folder = NULL;
    mine = record_read(path, machine, &all);
    graft_status status = path != NULL ? cache_folder(&folder) : GRAFT_BAD_FILE;
    if (status == GRAFT_OK)
        status = file_make_folder(folder);
    if (json_object_update(mine, p->timed) != 0 || json_object_set(all, machine, mine) != 0)
        status = fail_memory("the times of kernels");
    if (status == GRAFT_OK)
        status = json_write_file(path, all);
    if (status != GRAFT_OK)
        log_warning("the times of kernels are not kept: %s", graft_message());
    json_decref(mine);
    json_decref(all);
    mem_free(folder);
    mem_free(path);
}

// What GRAFT_PLAN says of a pass: 1 Winograd, 0 the library, -1 nothing.  `row`: the layer's name.
static graft_status override(const char *row, enum dnn_pass pass, int *out)
{
    *out = -1;
    for (const char *at = getenv("GRAFT_PLAN"); at != NULL && *at != '\0'; at += strspn(at, ",")) {
        char rule[256], *value, *which;
        const size_t length = strcspn(at, ",");
        snprintf(rule, sizeof rule, "%.*s", (int)length, at);
        at += length;
        value = strchr(rule, '=');
        if (value == NULL || (strcmp(value + 1, WINOGRAD) != 0 && strcmp(value + 1, LIBRARY) != 0))
            return fail(GRAFT_BAD_OPTION, "GRAFT_PLAN: '%s': [LAYER][:PASS]=winograd or =library is expected", rule);
        *value = '\0';
        which = strrchr(rule, ':');
        if (which != NULL) {
            *which++ = '\0';
            if (strcmp(which, pass_names[0]) != 0 && strcmp(which, pass_names[1]) != 0 &&
                strcmp(which, pass_names[2]) != 0)
                return fail(GRAFT_BAD_OPTION, "GRAFT_PLAN: pass '%s': forward, data or weights is expected", which);
        }
        const size_t part = strlen(rule); // of the name: `layer4` means all in it
        const bool fits = part == 0 || (strncmp(rule, row, part) == 0 && (row[part] == '.' || row[part] == '\0'));
        if (fits && (which == NULL || strcmp(which, pass_names[pass]) == 0))
            *out = strcmp(value + 1, WINOGRAD) == 0;
    }
    return GRAFT_OK;
}

graft_status choices_check(const struct graph *g)
{
    for (const char *at = getenv("GRAFT_PLAN"); at != NULL && *at != '\0'; at += strspn(at, ",")) {
        char layer[256];
        int unused;
        snprintf(layer, sizeof layer, "%.*s", (int)strcspn(at, ",:="), at);
        at += strcspn(at, ",");
        if (layer[0] != '\0' && graph_row_named(g, layer) < 0)
            return fail(GRAFT_BAD_OPTION, "GRAFT_PLAN: no layer '%s'; `graft models NET --layers` lists them", layer);
        TRY(override(layer, DNN_FORWARD, &unused)); // the rest of its grammar
    }
    return GRAFT_OK;
}

// Buffers of a convolution outside of any plan, filled with what is no special case for the processor.
struct trial { float *src, *dst, *wei, *bias, *scratch; };

static bool trial_make(struct trial *t, const struct dnn_conv_shape *s, int lanes, size_t scratch)
{
    const size_t v = (size_t)lanes, ic = blocks_of(s->ic, lanes) * v, oc = blocks_of(s->oc, lanes) * v;
    const size_t src = s->n * ic * s->ih * s->iw, dst = s->n * oc * s->oh * s->ow, wei = ic * oc * s->kh * s->kw;
    const size_t all = src + dst + wei + oc + scratch;
    *t = (struct trial){0};
    if (all > mem_available() / 2 / sizeof(float))
        return false;
    float *block = mem_aligned((all + 4 * 16) * sizeof *block), *at = block;
    if (block == NULL)
        return false;
    for (size_t i = 0; i < all; i++)
        block[i] = (float)(i % 7) * 0.25f - 0.75f;
    t->src = at, at += (src + 15) / 16 * 16;
    t->dst = at, at += (dst + 15) / 16 * 16;
    t->wei = at, at += (wei + 15) / 16 * 16;
    t->bias = at, at += (oc + 15) / 16 * 16;
    t->scratch = at;
    return true;
}

static graft_status time_both(const struct plan *p, const struct dnn_conv_shape *s, enum dnn_pass pass,
                              double seconds[2])
{
    const struct kernel_table *k = p->kernels;
    const struct winograd w = winograd_describe(s, pass, ACT_NONE, k->lanes, k->products->rows, exec_threads());
    struct dnn_conv *conv;
    struct trial t = {0};
    graft_status status = GRAFT_OK;
    seconds[0] = seconds[1] = INFINITY;
    TRY(dnn_conv_new(s, pass, k->lanes, &conv));
    const size_t library = conv != NULL ? (dnn_conv_scratch(conv) + 3) / 4 : 0, own = winograd_scratch(&w);
    if (conv == NULL || !trial_make(&t, s, k->lanes, library > own ? library : own))
        goto done; // nothing to compare with, or no memory for it: the estimate decides
    const bool data = pass == DNN_DATA;
    const struct winograd_maps maps = {.source = data ? t.dst : t.src,
                                       .destination = data ? t.src : t.dst,
                                       .gradient = t.dst,
                                       .weights = t.wei,
                                       .bias = t.bias,
                                       .scratch = t.scratch};
    for (int i = 0; i < TRIES; i++) {
        const double begin = now_seconds();
        (pass == DNN_WEIGHTS ? k->winograd->gradient : k->winograd->convolve)(&w, &maps);
        const double middle = now_seconds();
        TRY_GOTO(dnn_conv_run(conv, t.src, t.wei, t.bias, t.dst, t.scratch));
        seconds[0] = fmin(seconds[0], middle - begin);
        seconds[1] = fmin(seconds[1], now_seconds() - middle);
    }
done:
    mem_free(t.src);
    dnn_conv_free(conv);
    return status;
}

// From the record or by timing; -1: neither.
static graft_status faster(struct plan *p, const struct dnn_conv_shape *s, enum dnn_pass pass, int *out)
{
    char key[160], machine[256];
    double seconds[2];
    shape_text_of(s, pass, key, sizeof key);
    if (p->timed == NULL) {
        machine_text(machine, sizeof machine);
        char *path = record_path();
        p->record = record_read(path, machine, NULL);
        p->timed = json_object();
        mem_free(path);
    }
    const json_t *row = json_object_get(p->timed, key);
    if (row == NULL)
        row = json_object_get(p->record, key);
    double winograd = json_number_value(json_object_get(row, WINOGRAD));
    double library = json_number_value(json_object_get(row, LIBRARY));
    *out = -1;
    if (!(winograd > 0 && library > 0)) {
        if (!p->options.time)
            return GRAFT_OK;
        TRY(time_both(p, s, pass, seconds));
        if (isinf(seconds[1]))
            return GRAFT_OK;
        winograd = round(seconds[0] * 1e9), library = round(seconds[1] * 1e9);
        if (json_object_set_new(p->timed, key, json_pack("{s:f, s:f}", WINOGRAD, winograd, LIBRARY, library)) != 0)
            return fail_memory("the times of kernels");
    }
    *out = winograd <= library;
    return GRAFT_OK;
}

static graft_status decide(struct plan *p, const struct dnn_conv_shape *shape, enum dnn_pass pass, bool *winograd)
{
    struct dnn_conv_shape s = *shape;
    int found = -1;
    if (p->options.mode == PLAN_INFER)
        s.n = EVALUATION_BATCH;
    const double gain = winograd_gain(&s, p->kernels->lanes);
    if (p->options.mode == PLAN_TRAIN && gain > 1 / CLEAR && gain < CLEAR)
        TRY(faster(p, &s, pass, &found));
    *winograd = found >= 0 ? found == 1 : gain > 1;
    return GRAFT_OK;
}

graft_status choice_make(struct plan *p, const struct cell *cell, const struct dnn_conv_shape *shape,
                         enum dnn_pass pass, bool *winograd)
{
    const char *row = graph_row_name(p->graph, cell->node->row);
    int told;
    *winograd = false;
    if (p->options.exact || !winograd_applies(shape))
        return GRAFT_OK;
    TRY(override(row, pass, &told));
    if (told >= 0) {
        *winograd = told == 1;
        return GRAFT_OK;
    }
    char key[256];
    snprintf(key, sizeof key, "%s %s %d", row, pass_names[pass], p->options.batch);
    const bool keeps = p->options.choices != NULL && p->options.mode == PLAN_TRAIN;
    const char *kept = keeps ? json_string_value(json_object_get(p->options.choices, key)) : NULL;
    if (kept != NULL) {
        *winograd = strcmp(kept, WINOGRAD) == 0;
        return GRAFT_OK;
    }
    TRY(decide(p, shape, pass, winograd));
    if (keeps && json_object_set_new(p->options.choices, key, json_string(*winograd ? WINOGRAD : LIBRARY)) != 0)
        return fail_memory("the plan's choices");
    return GRAFT_OK;
}
