// weights/every_op.c: the network of every operation; its weights and input are drawn by a keyed formula.

#include "every_op.h"
#include "base/memory.h"
#include "base/rng.h"
#include "exec/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static float draw(uint64_t a, uint64_t b) { return rng_unit(rng_hash(RNG_TEST, a, b, 0)) * 2 - 1; }

static graft_status build(struct graph *g, bool lrn)
{
    graph_init(g, 3, EVERY_SIZE, EVERY_SIZE);
    // 13 -> 6: paddings that are no framework's "same"; then values of both signs (after) and of one (stem).
    int stem = graph_conv(g, 0, "stem", (struct conv_attr){8, 3, 3, 2, 2, 0, 1, 1, 0, 1, true});
    stem = graph_relu6(g, graph_bn(g, stem, "stem_bn", (struct bn_attr){1e-3f, 0.01f, false}));
    int v = graph_conv(g, stem, "deep", conv_same(g, stem, 8, 5, 1, 8, false)); // depthwise
    v = graph_scale(g, graph_bn(g, v, "deep_bn", (struct bn_attr){1e-5f, 0.1f, true}), "deep_scale");
    v = graph_add(g, v, stem);
    if (lrn)
        v = graph_lrn(g, v, (struct lrn_attr){.size = 5, .alpha = 0.5f, .beta = 0.75f, .k = 2});
    const struct pool_attr at_end = {3, 3, 2, 2, 0, 0, 1, 1, false}, counted = {3, 3, 2, 2, 1, 1, 0, 0, true},
                           around = {3, 3, 2, 2, 1, 1, 1, 1, false}, smooth = {3, 3, 1, 1, 1, 1, 1, 1, false},
                           halve = {2, 2, 2, 2, 0, 0, 0, 0, false};
    const int branches[] = {graph_maxpool(g, v, at_end), graph_maxpool(g, graph_avgpool(g, v, smooth), halve),
                            graph_avgpool(g, v, counted),
                            graph_maxpool(g, graph_relu(g, v), around)};
    int joined = graph_concat(g, branches, 4); // (32, 3, 3)
    joined = graph_conv(g, joined, "grouped", conv_pad(8, 1, 1, 0, 2, true));
    const int even = graph_dense(g, graph_adaptive_avgpool(g, joined, 2, 2), "even", 6, true),
              uneven = graph_dense(g, graph_adaptive_avgpool(g, stem, 4, 5), "uneven", 6, false),
              wider = graph_dense(g, graph_adaptive_avgpool(g, joined, 4, 3), "wider", 6, true),
              mean = graph_dense(g, graph_dropout(g, graph_global_avgpool(g, v), 0.25f), "mean", 6, true);
    const int flat = graph_add(g, graph_relu(g, graph_add(g, even, uneven)), graph_add(g, wider, mean));
    return graph_finish(g, graph_dense(g, graph_dropout(g, flat, 0.5f), "head.last", EVERY_CLASSES, true));
}

void every_op_draw(struct every_op *e)
{
    if (params_init(&e->params, &e->graph) != GRAFT_OK)
        fail_msg("%s", graft_message());
    for (int i = 0; i < e->params.count; i++) {
        size_t n;
        assert_true(shape_count(e->params.entries[i].shape, &n));
        float *values = malloc(n * sizeof *values);
        for (size_t k = 0; k < n; k++)
            values[k] = strstr(e->params.entries[i].name, "running_var") ? 1 + draw((uint64_t)i, k) / 2
                                                                       : draw((uint64_t)i, k) / (n > 64 ? 4 : 1);
        param_from_canonical(&e->params, i, values);
        free(values);
    }
}

void every_op_init(struct every_op *e, bool lrn)
{
    static char *names[EVERY_CLASSES] = {"cat", "dog", "\xc3\xa9t\xc3\xa9 \"quoted\"", "a, b", ""};
    *e = (struct every_op){.network = {.name = "every_op", .head = "head.last",
                                       .input = {.size = EVERY_SIZE, .resize = 15, .filter = FILTER_BICUBIC,
                                                 .mean = {1, 2, 3}, .scale = {0.5f, 0.25f, 0.125f}, .bgr = true}},
                           .classes = names};
    if (build(&e->graph, lrn) != GRAFT_OK || graph_freeze(&e->graph, 0, BN_TRAIN) != GRAFT_OK)
        fail_msg("%s", graft_message());
    every_op_draw(e);
    const size_t size = (size_t)EVERY_BATCH * 3 * EVERY_SIZE * EVERY_SIZE;
    e->input = malloc(size * sizeof *e->input);
    for (size_t i = 0; i < size; i++)
        e->input[i] = 2 * draw(1000, i);
}

void every_op_fini(struct every_op *e)
{
    graph_fini(&e->graph);
    params_fini(&e->params);
    free(e->input);
}

struct exported every_op_exported(const struct every_op *e)
{
    return (struct exported){.network = &e->network, .graph = &e->graph, .params = &e->params,
                             .input = &e->network.input, .classes = e->classes, .n_classes = EVERY_CLASSES,
                             .metadata = "{\"graft.arch\":\"every_op\"}"};
}

void every_op_run(struct every_op *e, float *logits)
{
    struct arena *arena = NULL;
    struct plan *plan = NULL;
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    if (plan_build(&e->graph, &e->params, arena, &(struct plan_options){.batch = EVERY_BATCH, .mode = PLAN_INFER}, &plan) !=
            GRAFT_OK || arena_reserve(arena) != GRAFT_OK || plan_run(plan, &(struct run){.input = e->input}, NULL) != GRAFT_OK)
        fail_msg("%s", graft_message());
    memcpy(logits, plan_logits(plan), EVERY_BATCH * EVERY_CLASSES * sizeof *logits);
    plan_free(plan);
    arena_free(arena);
}
