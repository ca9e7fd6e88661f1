// tests/train/test_recipes.c: recipes in whole runs: a run beside PyTorch's, early stopping, rates by layer,
// unfreezing, and what contradicts itself.

#include "toy.h"
#include "tiny.h"
#include "base/json.h"
#include "base/memory.h"
#include "train/layers.h"
#include "weights/weights.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- a run beside PyTorch's (golden/optim, tools/ref/make_optim.py: torch_pipeline)

enum { N = 12, CLASSES = 4, FEATURES = 12, EPOCHS = 50 };

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net, (void)dropout;
    graph_init(g, 3, size, size);
    const int v = graph_relu(g, graph_conv(g, 0, "conv", conv_pad(8, 2, 1, 0, 1, true)));
    return graph_finish(g, graph_dense(g, graph_global_avgpool(g, v), "head", classes, true));
}

static const struct named_tensor *golden(const struct tensor_set *set, const char *name)
{
    const struct named_tensor *t = tensor_find(set, name);
    if (t == NULL)
        fail_msg("the goldens have no '%s'", name);
    return t;
}

static void check_run(const char *folder, const float *losses)
{
    char path[64], *line;
    snprintf(path, sizeof path, "%s/events.jsonl", folder);
    char *events = text_of_file(path);
    int step = 0;
    for (line = strtok(events, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *event = json_loads(line, 0, NULL);
        const char *kind = json_string_value(json_object_get(event, "event"));
        if (strcmp(kind, "step") == 0) {
            const double loss = json_number_value(json_object_get(event, "loss"));
            if (!(fabs(loss - losses[step]) <= 1e-5 * losses[step])) // float on both sides, 50 steps
                fail_msg("loss %.9g at step %d, PyTorch's is %.9g", loss, step, losses[step]);
            step++;
        }
        json_decref(event);
    }
    assert_int_equal(step, EPOCHS);
    free(events);
}

// AdamW with clipping, warm-up and a cosine, label smoothing, and the exponential average that is saved.  `batch`
// pictures at a time, so that 12 / batch make an update.
static void run_small(const struct tensor_set *set, int batch, const char *folder)
{
    static const struct network network = {.name = "small", .head = "head", .build = build};
    static char *names[] = {"a", "b", "c", "d"};
    const float *x = golden(set, "pipeline.x")->data;
    const int64_t *y = golden(set, "y")->data;
    float pictures[N][FEATURES]; // (h, w, c) as arrays hold them
    struct sample samples[N];
    for (int i = 0; i < N; i++) {
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < 4; p++)
                pictures[i][3 * p + c] = x[i * FEATURES + 4 * c + p];
        samples[i] = (struct sample){.path = "array", .label = (int)y[i], .part = PART_TRAIN, .data = pictures[i]};
    }
    const struct dataset d = {.samples = samples,
                              .count = N,
                              .classes = names,
                              .n_classes = CLASSES,
                              .array_c = 3,
                              .array_h = 2,
                              .array_w = 2,
                              .array_float = true};
    struct model m = {.network = &network, .classes = names, .n_classes = CLASSES, .source = "none"};
    m.input = (struct input_spec){.size = 2, .resize = 2, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    assert_int_equal(build(&network, &m.graph, 2, CLASSES, 0), GRAFT_OK);
    assert_int_equal(graph_freeze(&m.graph, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(params_init(&m.params, &m.graph), GRAFT_OK);
    for (int i = 0; i < m.params.count; i++) {
        char name[64];
        snprintf(name, sizeof name, "pipeline.start.%s", m.params.entries[i].name);
        param_from_canonical(&m.params, i, golden(set, name)->data);
    }
    const struct train_options options = {
        .folder = folder,
        .args = "{}",
        .batch = batch,
        .epochs = EPOCHS,
        .workers = 1,
        .log_steps = batch == N,
        .save = true,
        .recipe = {.name = "test",
                   .optim = {.name = "adamw",
                             .rules = RULES_TORCH,
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .rho = -1,
                             .epsilon = -1,
                             .weight_decay = 0.2,
                             .clip_norm = 0.3,
                             .accumulate = N / batch},
                   .schedule = {.kind = SCHEDULE_COSINE, .rate = 0.05, .momentum = 0.9, .warmup = 5, .epochs = EPOCHS},
                   .label_smoothing = 0.1,
                   .ema = 0.9,
                   .layer_decay = 1}};
    if (train_run(&m, &d, &options) != GRAFT_OK)
        fail_msg("%s", graft_message());
    graph_fini(&m.graph);
    params_fini(&m.params);
}

static void check_weights(const char *path, const struct tensor_set *set)
{
    struct tensor_set model = {0};
    assert_int_equal(weights_read(path, &model), GRAFT_OK);
    assert_int_equal(model.count, 4);
    for (size_t k = 0; k < model.count; k++) {
        char name[64];
        size_t count;
        snprintf(name, sizeof name, "pipeline.end.%s", model.items[k].name);
        const float *found = model.items[k].data, *expected = golden(set, name)->data;
        assert_true(shape_count(golden(set, name)->shape, &count));
        for (size_t i = 0; i < count; i++)
            if (!(fabs((double)found[i] - expected[i]) <= 1e-5)) // the largest are near 1
                fail_msg("%s: element %zu is %.9g, PyTorch's is %.9g", model.items[k].name, i, found[i], expected[i]);
    }
    tensor_set_free(&model);
}

static void test_run_beside_torch(void **state)
{
    (void)state;
    struct tensor_set set = {0};
    assert_int_equal(weights_read(GRAFT_SOURCE "/tests/golden/optim/torch.safetensors", &set), GRAFT_OK);
    run_small(&set, N, "one_batch");
    check_run("one_batch", golden(&set, "pipeline.losses")->data);
    check_weights("one_batch/model.safetensors", &set);
    run_small(&set, 4, "three_batches"); // their mean is the same gradient
    check_weights("three_batches/model.safetensors", &set);
    tensor_set_free(&set);
}

// ---- the tiny network

static void log_has(const char *text)
{
    char *log = text_of_file("tiny.log");
    if (strstr(log, text) == NULL)
        fail_msg("'%s' is not in the log: %s", text, log);
    free(log);
}

static void test_early_stop(void **state)
{
    (void)state;
    struct recipe recipe = tiny_guide(20);
    recipe.monitor = MONITOR_TOP1; // at its most after an epoch or a few
    recipe.patience = 2;
    struct tiny t = {.folder = "early", .epochs = 20, .recipe = &recipe};
    tiny_expect(&t, GRAFT_OK);
    log_has("stopped early: no better val_top1 in 2 epochs");
    char *before = text_of_file("early/events.jsonl");
    tiny_expect(&t, GRAFT_OK);
    log_has("(stopped early); more --epochs go on");
    char *after = text_of_file("early/events.jsonl");
    assert_string_equal(before, after);
    free(after);
    t.epochs = 21;
    tiny_expect(&t, GRAFT_OK); // two more, then early again
    log_has("stopped early");
    after = text_of_file("early/events.jsonl");
    assert_true(strlen(after) > strlen(before));
    free(before);
    free(after);
}

static void conv_of(const char *path, float out[216])
{
    struct tensor_set set = {0};
    if (weights_read(path, &set) != GRAFT_OK)
        fail_msg("%s", graft_message());
    memcpy(out, golden(&set, "conv.weight")->data, 216 * sizeof *out);
    tensor_set_free(&set);
}

static void test_rates_and_unfreezing(void **state)
{
    (void)state;
    float start[216], found[216];
    struct recipe still = tiny_guide(1), thawing = tiny_guide(2), moving = tiny_guide(1);
    still.lr_mult = "conv=0,head=2";
    thawing.unfreeze = "2:all";
    struct tiny frozen = {.folder = "frozen", .epochs = 1, .freeze = 1};
    struct tiny t = {.folder = "still", .epochs = 1, .recipe = &still};
    tiny_expect(&frozen, GRAFT_OK); // the weights that every tiny run starts with
    conv_of("frozen/model.safetensors", start);
    tiny_expect(&t, GRAFT_OK);
    conv_of("still/model.safetensors", found);
    assert_memory_equal(start, found, sizeof start);
    t = (struct tiny){.folder = "moving", .epochs = 1, .recipe = &moving};
    tiny_expect(&t, GRAFT_OK);
    conv_of("moving/model.safetensors", found);
    assert_memory_not_equal(start, found, sizeof start);
    t = (struct tiny){.folder = "thawing", .epochs = 1, .recipe = &thawing, .freeze = 1};
    tiny_expect(&t, GRAFT_OK); // ends before
    conv_of("thawing/last.ckpt.safetensors", found);
    assert_memory_equal(start, found, sizeof start);
    t.epochs = 2;
    tiny_expect(&t, GRAFT_OK);
    log_has("training: all layers (250 of 250 parameters, 2 layers)"); // from its first step on
    conv_of("thawing/last.ckpt.safetensors", found);
    assert_memory_not_equal(start, found, sizeof start);
}

static double scale_of(const struct optimizer *o, const struct model *m, const char *name)
{
    const int entry = params_find(&m->params, name);
    if (entry < 0)
        fail_msg("no parameter '%s'", name);
    return o->entries[entry].scale;
}

static void test_layer_names(void **state)
{
    (void)state;
    static char *names[] = {"a", "b"};
    const struct model_request request = {.network = "efficientnet_lite0",
                                          .weights = "none",
                                          .classes = names,
                                          .n_classes = 2,
                                          .size = 32,
                                          .dropout = 0,
                                          .resize = -1,
                                          .freeze = -1};
    const struct optim_options rule = {.name = "sgd", .accumulate = 1};
    struct model m;
    struct optimizer o;
    struct phase phases[MAX_PHASES];
    int n;
    assert_int_equal(model_open(&request, &m), GRAFT_OK);
    assert_int_equal(optimizer_init(&o, &rule, &m.params), GRAFT_OK);
    // stem | blocks 0 to 6 | head convolution | classifier
    assert_int_equal(layer_rates(&o, &m, NULL, 0.5), GRAFT_OK);
    assert_true(scale_of(&o, &m, "classifier.weight") == 1 && scale_of(&o, &m, "conv_head.weight") == 0.5);
    assert_true(scale_of(&o, &m, "bn2.bias") == 0.5 && scale_of(&o, &m, "blocks.6.0.conv_pw.weight") == 0.25);
    assert_true(scale_of(&o, &m, "blocks.0.0.bn1.weight") == pow(0.5, 8) &&
                scale_of(&o, &m, "conv_stem.weight") == pow(0.5, 9));
    assert_int_equal(layer_rates(&o, &m, "blocks.2-4=0.1,head=10,blocks.3.1=7", 1), GRAFT_OK);
    assert_true(scale_of(&o, &m, "classifier.bias") == 10 && scale_of(&o, &m, "blocks.4.2.conv_pwl.weight") == 0.1);
    assert_true(scale_of(&o, &m, "blocks.3.1.conv_dw.weight") == 7 &&
                scale_of(&o, &m, "blocks.5.0.conv_pw.weight") == 0.125);
    assert_int_equal(layer_rates(&o, &m, "block.3=1", 1), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "did you mean 'blocks.3' or 'blocks.0' or"));
    assert_int_equal(layer_rates(&o, &m, "blokc2=1", 1), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "did you mean 'blocks.2' or "));
    static const char *const bad[] = {"head", "head=", "=2", "head=x", "head=-1", "head=1,,"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(layer_rates(&o, &m, bad[i], 1), GRAFT_BAD_OPTION);

    assert_int_equal(phases_of(&m, "2:conv_head,4:blocks.5,5:all", phases, &n), GRAFT_OK);
    assert_int_equal(n, 4);
    assert_true(phases[0].rows == m.graph.n_rows - 1 && phases[1].rows == m.graph.n_rows - 2);
    assert_true(phases[2].epoch == 4 && strncmp(graph_row_name(&m.graph, phases[2].rows), "blocks.5.0", 10) == 0);
    assert_true(phases[3].rows == 0);
    static const char *const senseless[] = {"1:all", "all", "2:", "2:nothing", "3:all,2:blocks.5", "2:all,3:blocks.5",
                                            "2:head"};
    for (size_t i = 0; i < COUNT_OF(senseless); i++)
        if (phases_of(&m, senseless[i], phases, &n) != GRAFT_BAD_OPTION)
            fail_msg("--unfreeze-epoch %s was taken", senseless[i]);
    optimizer_fini(&o);
    model_close(&m);
}

// ---- through graft.h

#define BASE "data", "set", "weights", "none", "val", "0.4", "batch", "8", "threads", "1"

static void test_named_recipes(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(RUN("train", &seen, BASE, "recipe", "quick", "epochs", "2", "class-weights", "balanced", "dropout",
                         "0.3", "monitor", "val_top1", "output", "quick"),
                     GRAFT_OK);
    char *args = text_of_file("quick/args.json");
    assert_non_null(strstr(args, "\"optimizer\":\"adam\""));
    assert_non_null(strstr(args, "\"freeze\":\"head\""));
    assert_non_null(strstr(args, "\"epochs\":\"2\"")); // what was given counts
    assert_non_null(
        strstr(seen.log, "recipe: quick: adam, Keras's rules, lr 0.001; schedule cosine; batch 8, 2 epochs"));
    assert_non_null(strstr(seen.log, "; BatchNorm: frozen; dropout 0.3; the loss weighted by class; the best epoch by "
                                     "val_top1"));
    free(args);
    seen = (struct seen){.stop_after = 5};
    assert_int_equal(RUN("train", &seen, BASE, "recipe", "best", "epochs", "2", "output", "best"), GRAFT_CANCELLED);
    seen = (struct seen){0};
    assert_int_equal(RUN("train", &seen, "resume", "best"), GRAFT_OK); // within the second phase
    assert_int_equal(seen.steps, 1);
    assert_non_null(strstr(seen.log, "recipe: best"));
    assert_non_null(strstr(seen.log, "unfreezing 2:all"));
    assert_non_null(strstr(seen.log, "BatchNorm: fixed statistics"));
}

// Best is what pretrained weights get, until an option of it is said otherwise.
static void test_default_recipe(void **state)
{
    (void)state;
    struct seen seen = {0};
    assert_int_equal(RUN("train", &seen, BASE, "epochs", "1", "output", "random"), GRAFT_OK);
    assert_non_null(strstr(seen.log, "recipe: guide: sgd"));
#define FROM "data", "set", "weights", "random/model.safetensors", "val", "0.4", "batch", "8", "threads", "1"
    seen = (struct seen){0};
    assert_int_equal(RUN("train", &seen, FROM, "epochs", "2", "output", "default"), GRAFT_OK);
    assert_non_null(strstr(seen.log, "recipe: best: adamw"));
    assert_non_null(strstr(seen.log, "training: classifier; from epoch 2 on all layers"));
    char *args = text_of_file("default/args.json");
    assert_non_null(strstr(args, "\"recipe\":\"best\""));
    free(args);
    seen = (struct seen){0}; // going on is no other choice
    assert_int_equal(RUN("train", &seen, "resume", "default", "epochs", "3"), GRAFT_OK);
    assert_non_null(strstr(seen.log, "recipe: best: adamw"));
    seen = (struct seen){0};
    assert_int_equal(RUN("train", &seen, FROM, "epochs", "1", "output", "one"), GRAFT_OK);
    assert_non_null(strstr(seen.log, "recipe: best: adamw"));
    assert_non_null(strstr(seen.log, "training: all layers"));
    static const char *const own[][2] = {{"bn", "stats"}, {"lr", "0.01"}, {"freeze", "head"}, {"scheduler", "cosine"}};
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        char folder[16];
        snprintf(folder, sizeof folder, "own%zu", i);
        seen = (struct seen){0};
        assert_int_equal(RUN("train", &seen, FROM, "epochs", "1", "output", folder, own[i][0], own[i][1]), GRAFT_OK);
        assert_non_null(strstr(seen.log, "recipe: guide: sgd"));
    }
}

static void test_senseless_options(void **state)
{
    (void)state;
    static const char *const bad[][5] = {{"lr", "0"},
                                         {"lr", "1e9"},
                                         {"lr", "nan"},
                                         {"patience", "10"},
                                         {"warmup", "10"},
                                         {"swa", "11"},
                                         {"swa", "2", "ema", "0.9"},
                                         {"clip-norm", "1", "clip-value", "1"},
                                         {"optimizer", "adamax"},
                                         {"rules", "jax"},
                                         {"betas", "0.9"},
                                         {"betas", "0.9,1"},
                                         {"scheduler", "cos"},
                                         {"scheduler", "cosine", "decay", "0.1"},
                                         {"label-smoothing", "1"},
                                         {"accumulate", "0"},
                                         {"monitor", "loss"},
                                         {"recipe", "fast"},
                                         {"gamma", "2"},
                                         {"momentum", "1"},
                                         {"lr-mult", "hed=2"},
                                         {"unfreeze-epoch", "2:all"},
                                         {"val", "0", "patience", "3"},
                                         {"val", "0", "scheduler", "plateau"},
                                         {"optimizer", "adam", "momentum", "0.8"},
                                         {"optimizer", "adam", "no-nesterov", ""},
                                         {"optimizer", "sgd", "betas", "0.8,0.9"},
                                         {"optimizer", "adam", "rho", "0.9"},
                                         {"optimizer", "sgd", "epsilon", "1e-5"},
                                         {"recipe", "quick", "gamma", "0.5"},
                                         {"scheduler", "constant", "gamma", "0.5"},
                                         {"scheduler", "constant", "step-epochs", "2"},
                                         {"decay-all", ""},
                                         {"cache-gb", "1"},
                                         {"cache", "ram", "cache-dir", "x"},
                                         {"val", "0", "monitor", "val_top1"},
                                         {"pseudo-share", "0.2"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct seen seen = {0};
        const char *arguments[13] = {"data", "set", "weights", "none", "output", "senseless"};
        memcpy(arguments + 6, bad[i], sizeof bad[i]);
        if (toy_run("train", &seen, arguments) != GRAFT_BAD_OPTION)
            fail_msg("--%s %s was taken", bad[i][0], bad[i][1]);
        assert_false(file_exists("senseless"));
    }
    // What goes with them is taken, and on resuming what the run has kept beside it.
    struct seen seen = {0};
    assert_int_equal(RUN("train", &seen, "data", "set", "weights", "none", "output", "sensible", "epochs", "1",
                         "threads", "1", "optimizer", "adamw", "decay-all", "", "epsilon", "1e-6", "betas", "0.8,0.9",
                         "accumulate", "50"),
                     GRAFT_OK);
    assert_non_null(strstr(seen.warnings, "--accumulate 50: an epoch has only"));
    assert_int_equal(RUN("train", &seen, "resume", "sensible", "epochs", "2", "optimizer", "sgd", "force", ""),
                     GRAFT_OK);
    assert_int_equal(RUN("train", &seen, "resume", "sensible", "epochs", "3", "rho", "0.9", "force", ""),
                     GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "--rho goes with --optimizer rmsprop, not with sgd"));
}

static int setup(void **state)
{
    if (toy_setup(state) != 0)
        return -1;
    toy_set("tinyset", 22, 8);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        // the processes of the tiny runs first: fork knows no OpenMP threads
        cmocka_unit_test(test_early_stop),       cmocka_unit_test(test_rates_and_unfreezing),
        cmocka_unit_test(test_run_beside_torch), cmocka_unit_test(test_layer_names),
        cmocka_unit_test(test_named_recipes),    cmocka_unit_test(test_default_recipe),
        cmocka_unit_test(test_senseless_options)};
    return cmocka_run_group_tests_name("recipes", tests, setup, toy_teardown);
}
