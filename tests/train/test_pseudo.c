// tests/train/test_pseudo.c: pseudo-labels beside NumPy's choice and PyTorch's loss (tests/golden/infer/pseudo.json).

#include "toy.h"
#include "base/json.h"
#include "base/memory.h"
#include "data/pseudo.h"
#include "infer/confident.h"
#include "train/train.h"
#include "weights/weights.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 60, CLASSES = 4, HARD = 8, SOFT = 3, SIDE = 4, STEPS = 3 };
static json_t *golden;

static int setup(void **state)
{
    return json_read_file(GRAFT_SOURCE "/tests/golden/infer/pseudo.json", &golden) == GRAFT_OK ? toy_setup(state) : -1;
}

static int teardown(void **state)
{
    json_decref(golden);
    return toy_teardown(state);
}

static void floats(const json_t *list, float *out, size_t n)
{
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)json_number_value(json_array_get(list, i));
}

// The same pictures whatever stands beside them: in the golden's order, and backwards.
static void test_choice(void **state)
{
    (void)state;
    float p[N * CLASSES];
    char *error[N] = {0};
    uint32_t order[N], chosen[N];
    size_t n, count[CLASSES], i;
    const json_t *one;
    floats(json_object_get(golden, "p"), p, N * CLASSES);
    const struct scores s = {.n = N, .classes = CLASSES, .p = p, .error = error};
    json_array_foreach(json_object_get(golden, "choices"), i, one)
    {
        const struct confidence how = {json_number_value(json_object_get(one, "threshold")),
                                       (long)json_integer_value(json_object_get(one, "top")), false};
        const json_t *wanted = json_object_get(one, "chosen");
        for (uint32_t k = 0; k < N; k++)
            order[k] = k;
        assert_int_equal(confident_choose(&s, order, N, &how, chosen, &n, count), GRAFT_OK);
        assert_int_equal(n, json_array_size(wanted));
        size_t sum = 0;
        for (size_t k = 0; k < n; k++)
            assert_int_equal(chosen[k], json_integer_value(json_array_get(wanted, k)));
        for (int c = 0; c < CLASSES; c++)
            sum += count[c];
        assert_int_equal(sum, n);
    }
    error[3] = (char *)"cannot be read"; // is never chosen
    assert_int_equal(confident_choose(&s, order, N, &(struct confidence){0}, chosen, &n, count), GRAFT_OK);
    assert_int_equal(n, N - 1);
}

static graft_status build(const struct network *net, struct graph *g, int size, int classes, float dropout)
{
    (void)net, (void)dropout;
    graph_init(g, 3, size, size);
    const int v = graph_relu(g, graph_conv(g, 0, "0", conv_pad(8, 2, 1, 0, 1, true)));
    return graph_finish(g, graph_dense(g, graph_global_avgpool(g, v), "4", classes, true));
}

static void weights_check(const char *path)
{
    struct tensor_set model = {0};
    assert_int_equal(weights_read(path, &model), GRAFT_OK);
    assert_int_equal(model.count, 4);
    for (size_t k = 0; k < model.count; k++) {
        size_t n;
        assert_true(shape_count(model.items[k].shape, &n));
        const float *found = model.items[k].data;
        const json_t *wanted = json_object_get(json_object_get(golden, "end"), model.items[k].name);
        assert_int_equal(json_array_size(wanted), n);
        for (size_t i = 0; i < n; i++) // float sums on both sides, values up to 1
            assert_true(fabs(found[i] - json_number_value(json_array_get(wanted, i))) <= 1e-5);
    }
    tensor_set_free(&model);
}

static void losses_check(void)
{
    char *events = text_of_file("run/events.jsonl");
    int step = 0;
    for (char *line = strtok(events, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *event = json_loads(line, 0, NULL);
        if (strcmp(json_string_value(json_object_get(event, "event")), "step") == 0) {
            const double loss = json_number_value(json_object_get(event, "loss"));
            const double wanted = json_number_value(json_array_get(json_object_get(golden, "losses"), (size_t)step++));
            if (!(fabs(loss - wanted) <= 2e-6 * wanted)) // float's digits over three steps
                fail_msg("loss %.9g at step %d, PyTorch's is %.9g", loss, step, wanted);
        }
        json_decref(event);
    }
    assert_int_equal(step, STEPS);
    free(events);
}

// Eight pictures with labels and three with probabilities in a batch: a share of 0.3 takes 3 of 11.
static void test_loss_beside_torch(void **state)
{
    (void)state;
    static const struct network network = {.name = "small", .head = "4", .build = build};
    static char *names[] = {"a", "b", "c", "d"};
    static float x[(HARD + SOFT) * 3 * SIDE * SIDE], soft[SOFT * CLASSES];
    struct sample samples[HARD + SOFT];
    floats(json_object_get(golden, "x"), x, COUNT_OF(x));
    floats(json_object_get(golden, "soft"), soft, COUNT_OF(soft));
    for (int i = 0; i < HARD + SOFT; i++) {
        samples[i] = (struct sample){.path = "array", .part = i < HARD ? PART_TRAIN : PART_PSEUDO,
                                     .data = x + i * 3 * SIDE * SIDE};
        if (i < HARD)
            samples[i].label = (int)json_integer_value(json_array_get(json_object_get(golden, "hard"), (size_t)i));
        else
            samples[i].soft = soft + (i - HARD) * CLASSES;
    }
    const struct dataset d = {.samples = samples, .count = HARD + SOFT, .classes = names, .n_classes = CLASSES,
                              .array_c = 3, .array_h = SIDE, .array_w = SIDE, .array_float = true,
                              .pseudo_share = 3 * PSEUDO_UNIT / 10};
    struct model m = {.network = &network, .classes = names, .n_classes = CLASSES, .source = "none"};
    m.input = (struct input_spec){.size = SIDE, .resize = SIDE, .rule = RESIZE_SQUASH, .scale = {1, 1, 1}};
    assert_int_equal(build(&network, &m.graph, SIDE, CLASSES, 0), GRAFT_OK);
    assert_int_equal(graph_freeze(&m.graph, 0, BN_TRAIN), GRAFT_OK);
    assert_int_equal(params_init(&m.params, &m.graph), GRAFT_OK);
    for (int i = 0; i < m.params.count; i++) {
        float values[8 * 3 * 2 * 2];
        const json_t *list = json_object_get(json_object_get(golden, "start"), m.params.entries[i].name);
        assert_true(json_array_size(list) > 0 && json_array_size(list) <= COUNT_OF(values));
        floats(list, values, json_array_size(list));
        param_from_canonical(&m.params, i, values);
    }
    const struct train_options options = {
        .folder = "run", .args = "{}", .batch = HARD + SOFT, .epochs = STEPS, .workers = 1, .log_steps = true,
        .save = true,
        .recipe = {.name = "test", .optim = {.name = "sgd", .rules = RULES_TORCH, .rho = -1, .epsilon = -1,
                                             .weight_decay = 0, .accumulate = 1},
                   .schedule = {.kind = SCHEDULE_CONSTANT, .rate = 0.5, .epochs = STEPS}, .label_smoothing = 0.1,
                   .layer_decay = 1}};
    if (train_run(&m, &d, &options) != GRAFT_OK)
        fail_msg("%s", graft_message());
    losses_check();
    weights_check("run/model.safetensors");
    graph_fini(&m.graph);
    params_fini(&m.params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice), cmocka_unit_test(test_loss_beside_torch)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
