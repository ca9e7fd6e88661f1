// optim/test_optim.c: 50 steps of every rule, schedule and average beside Keras 3 and PyTorch (golden/optim, made by
// tools/ref/make_optim.py, which states the problem), and what the rules leave alone.

#include "base/memory.h"
#include "optim/average.h"
#include "optim/schedule.h"
#include "weights/weights.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { STEPS = 50, PER_EPOCH = 5, ROWS = 3, IN = 6, CLASSES = 4, PARAMETERS = CLASSES * IN + CLASSES + IN };
static const int snapshots[] = {1, 2, 5, 10, 20, 35, 50};
// Relative, over 50 steps.  Both sides compute in float, in other orders: a rounding is 6e-8, and the steps amplify it.
static const double TOLERANCE = 1e-5;

struct problem { float x[12 * IN]; int64_t y[12]; float start[PARAMETERS]; };

static const struct named_tensor *tensor(const struct tensor_set *set, const char *name, const char *what)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s%s", name, what[0] != '\0' ? "." : "", what);
    const struct named_tensor *t = tensor_find(set, full);
    if (t == NULL)
        fail_msg("the goldens have no '%s'", full);
    return t;
}

static void problem_read(const struct tensor_set *set, struct problem *p)
{
    memcpy(p->x, tensor(set, "x", "")->data, sizeof p->x);
    memcpy(p->y, tensor(set, "y", "")->data, sizeof p->y);
    memcpy(p->start, tensor(set, "w", "")->data, CLASSES * IN * sizeof(float));
    memcpy(p->start + CLASSES * IN, tensor(set, "b", "")->data, CLASSES * sizeof(float));
    memcpy(p->start + CLASSES * IN + CLASSES, tensor(set, "gain", "")->data, IN * sizeof(float));
}

static void params_make(struct params *p, const struct problem *problem)
{
    static const struct { const char *name; struct shape shape; } rows[] = {
        {"w", {2, {CLASSES, IN}}}, {"b", {1, {CLASSES}}}, {"gain", {1, {IN}}}};
    *p = (struct params){.lanes = 8, .count = 3, .entries = mem_zero(3, sizeof *p->entries)};
    const float *from = problem->start;
    for (int i = 0; i < 3; i++) {
        struct param_entry *e = &p->entries[i];
        *e = (struct param_entry){
            .name = rows[i].name, .shape = rows[i].shape, .layout = LAYOUT_PLAIN, .offset = p->size};
        e->size = (param_entry_size(e, p->lanes) + 15) / 16 * 16;
        p->size += e->size;
    }
    for (int g = PARAM_FROZEN; g <= PARAM_RUNNING + 1; g++)
        p->group_begin[g] = p->size;
    p->block = mem_aligned(p->size * sizeof *p->block);
    memset(p->block, 0, p->size * sizeof *p->block);
    for (int i = 0; i < 3; i++) {
        size_t count;
        assert_true(shape_count(rows[i].shape, &count));
        param_from_canonical(p, i, from);
        from += count;
    }
}

static void canonical(const struct params *p, float *out)
{
    for (int i = 0; i < 3; i++) {
        size_t count;
        assert_true(shape_count(p->entries[i].shape, &count));
        param_to_canonical(p, i, out);
        out += count;
    }
}

// Mean cross-entropy of z = W (x * gain) + b over the step's rows, in double; gradients in the entries' layout.
static double gradients(const struct problem *problem, const struct params *p, int step, double smoothing,
                        float g[3][64])
{
    const float *w = p->block, *b = w + p->entries[1].offset, *gain = w + p->entries[2].offset;
    double loss = 0, dw[CLASSES][IN] = {{0}}, db[CLASSES] = {0}, dgain[IN] = {0};
    for (int r = 0; r < ROWS; r++) {
        const int row = ROWS * (step % 4) + r;
        const float *x = problem->x + row * IN;
        double z[CLASSES], top = -INFINITY, sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            z[c] = b[c];
            for (int i = 0; i < IN; i++)
                z[c] += (double)w[c * IN + i] * x[i] * gain[i];
            top = fmax(top, z[c]);
        }
        for (int c = 0; c < CLASSES; c++)
            sum += exp(z[c] - top);
        for (int c = 0; c < CLASSES; c++) {
            const double target = (c == problem->y[row] ? 1 - smoothing : 0) + smoothing / CLASSES;
            const double log_p = z[c] - top - log(sum), diff = (exp(log_p) - target) / ROWS;
            loss -= target * log_p / ROWS;
            db[c] += diff;
            for (int i = 0; i < IN; i++) {
                dw[c][i] += diff * x[i] * gain[i];
                dgain[i] += diff * x[i] * w[c * IN + i];
            }
        }
    }
    memset(g, 0, 3 * 64 * sizeof(float));
    for (int c = 0; c < CLASSES; c++) {
        g[1][c] = (float)db[c];
        for (int i = 0; i < IN; i++)
            g[0][c * IN + i] = (float)dw[c][i];
    }
    for (int i = 0; i < IN; i++)
        g[2][i] = (float)dgain[i];
    return loss;
}

static void check_close(const char *name, const char *what, int step, const float *found, const float *expected,
                        size_t n)
{
    double worst = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)found[i] - expected[i]));
        most = fmax(most, fabs((double)expected[i]));
    }
    if (!(worst <= TOLERANCE * most))
        fail_msg("%s: %s after step %d differ by %g of %g", name, what, step, worst, most);
}

struct rule_case {
    const char *name, *optimizer;
    double rate, momentum;
    bool nesterov, decay_all;
    double weight_decay, clip_norm, clip_value; // weight_decay negative: the rules' own
    int accumulate;
    double smoothing, ema;
    bool swa;
    enum schedule schedule;
    double warmup; // epochs
};
static const struct rule_case cases[] = {
    {"sgd", "sgd", .rate = 0.1},
    {"momentum", "sgd", .rate = 0.05, .momentum = 0.9},
    {"nesterov", "sgd", .rate = 0.05, .momentum = 0.9, .nesterov = true},
    {"decay_coefficient", "sgd", .rate = 0.05, .momentum = 0.9, .weight_decay = 0.1},
    {"decay_all", "sgd", .rate = 0.05, .momentum = 0.9, .weight_decay = 0.1, .decay_all = true},
    {"adam", "adam", .rate = 0.01},
    {"adam_decay", "adam", .rate = 0.01, .weight_decay = 0.1},
    {"adamw", "adamw", .rate = 0.01, .weight_decay = -1},
    {"adamw_decay", "adamw", .rate = 0.01, .weight_decay = 0.3},
    {"rmsprop", "rmsprop", .rate = 0.003},
    {"rmsprop_momentum", "rmsprop", .rate = 0.003, .momentum = 0.9},
    {"clip_norm", "sgd", .rate = 0.1, .momentum = 0.9, .clip_norm = 0.3},
    {"clip_value", "adam", .rate = 0.01, .clip_value = 0.05},
    {"accumulate", "adam", .rate = 0.01, .accumulate = 2},
    {"accumulate_clip", "sgd", .rate = 0.1, .clip_norm = 0.2, .accumulate = 4},
    {"smoothing", "sgd", .rate = 0.1, .momentum = 0.9, .smoothing = 0.1},
    {"ema", "sgd", .rate = 0.1, .momentum = 0.9, .ema = 0.9},
    {"swa", "sgd", .rate = 0.1, .momentum = 0.9, .swa = true},
    {"step", "sgd", .rate = 0.1, .momentum = 0.9, .schedule = SCHEDULE_STEP},
    {"cosine", "sgd", .rate = 0.1, .momentum = 0.9, .schedule = SCHEDULE_COSINE},
    {"cosine_warmup", "adam", .rate = 0.02, .schedule = SCHEDULE_COSINE, .warmup = 2},
    {"onecycle", "sgd", .rate = 0.1, .momentum = 0.9, .schedule = SCHEDULE_ONECYCLE},
    {"onecycle_adam", "adam", .rate = 0.02, .schedule = SCHEDULE_ONECYCLE},
    {"inverse_time", "sgd", .rate = 0.1, .momentum = 0.9, .nesterov = true, .schedule = SCHEDULE_KERAS},
};

// In parts, as a large layer's come: any split gives the frameworks' numbers.
static void give(struct optimizer *o, int entry, float *values)
{
    const size_t size = o->params->entries[entry].size, split = size / 3;
    optimizer_gradient(o, (struct gradient){entry, 0, split, values});
    optimizer_gradient(o, (struct gradient){entry, split, size - split, values + split});
}

static bool has_case(const struct rule_case *c, enum rules rules)
{
    return rules == RULES_TORCH ? c->schedule != SCHEDULE_KERAS
                                : !c->swa && c->schedule != SCHEDULE_STEP && c->schedule != SCHEDULE_ONECYCLE;
}

static void run_case(const struct rule_case *c, enum rules rules, const struct tensor_set *set)
{
    struct problem problem;
    struct params params;
    struct optimizer optimizer;
    struct average average = {0};
    float g[3][64], found[PARAMETERS];
    size_t at = 0;
    problem_read(set, &problem);
    params_make(&params, &problem);
    const bool adam = strncmp(c->optimizer, "adam", 4) == 0;
    const struct optim_options options = {.name = c->optimizer,
                                          .rules = rules,
                                          .momentum = c->momentum,
                                          .nesterov = c->nesterov,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .rho = -1,
                                          .epsilon = -1,
                                          .weight_decay = c->weight_decay,
                                          .decay_all = c->decay_all,
                                          .clip_norm = c->clip_norm,
                                          .clip_value = c->clip_value,
                                          .accumulate = c->accumulate > 0 ? c->accumulate : 1};
    const struct schedule_options schedule = {
        .kind = c->schedule, .rules = rules, .rate = c->rate, .momentum = adam ? 0.9 : c->momentum, .decay = 0.01,
        .cycles_momentum = true, .warmup = c->warmup, .step_epochs = 3, .gamma = 0.5, .epochs = STEPS / PER_EPOCH};
    assert_int_equal(optimizer_init(&optimizer, &options, &params), GRAFT_OK);
    if (c->ema > 0 || c->swa)
        assert_int_equal(average_init(&average, &params, c->ema), GRAFT_OK);
    const float *losses = tensor(set, c->name, "losses")->data, *weights = tensor(set, c->name, "weights")->data;
    const double *rates = tensor(set, c->name, "rates")->data;
    for (int step = 0; step < STEPS; step++) {
        const struct moment moment = {step % PER_EPOCH, PER_EPOCH, step / PER_EPOCH, (uint64_t)step};
        double rate, momentum;
        schedule_at(&schedule, NULL, &moment, &rate, &momentum);
        if (!(fabs(rate - rates[step]) <= TOLERANCE * c->rate))
            fail_msg("%s: rate %.9g at step %d, expected %.9g", c->name, rate, step, rates[step]);
        const float loss = (float)gradients(&problem, &params, step, c->smoothing, g);
        check_close(c->name, "losses", step, &loss, &losses[step], 1);
        const uint64_t updates = optimizer.updates;
        optimizer_begin(&optimizer, rate, momentum, ROWS);
        for (int i = 2; i >= 0; i--)
            give(&optimizer, i, g[i]);
        optimizer_end(&optimizer);
        if ((c->ema > 0 && optimizer.updates > updates) ||
            (c->swa && step >= 2 * PER_EPOCH && (step + 1) % PER_EPOCH == 0))
            average_add(&average, &params);
        if (step + 1 != snapshots[at])
            continue;
        canonical(&params, found);
        check_close(c->name, "weights", step, found, weights + at * PARAMETERS, PARAMETERS);
        if (average.n > 0) {
            average_swap(&average, &params);
            canonical(&params, found);
            average_swap(&average, &params);
            check_close(c->name, "averages", step, found,
                        (const float *)tensor(set, c->name, "averages")->data + at * PARAMETERS, PARAMETERS);
        }
        at += at + 1 < COUNT_OF(snapshots);
    }
    for (int i = 0; i < 3; i++) { // padding stays zero
        size_t count;
        assert_true(shape_count(params.entries[i].shape, &count));
        for (size_t k = count; k < params.entries[i].size; k++)
            assert_true(params.block[params.entries[i].offset + k] == 0);
    }
    average_fini(&average);
    optimizer_fini(&optimizer);
    params_fini(&params);
}

static void check_framework(enum rules rules, const char *file)
{
    struct tensor_set set = {0};
    assert_int_equal(weights_read(file, &set), GRAFT_OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (has_case(&cases[i], rules))
            run_case(&cases[i], rules, &set);
    // The drops of a plateau, a value an epoch.
    const double *values = tensor(&set, "plateau", "values")->data, *rates = tensor(&set, "plateau", "rates")->data;
    const struct schedule_options o = {
        .kind = SCHEDULE_PLATEAU, .rules = rules, .rate = 0.1, .step_epochs = 3, .gamma = 0.5, .epochs = STEPS};
    struct plateau p;
    plateau_begin(&o, &p);
    for (int epoch = 0; epoch < STEPS; epoch++) {
        double rate, momentum;
        schedule_at(&o, &p, &(struct moment){0, PER_EPOCH, epoch, 0}, &rate, &momentum);
        if (!(fabs(rate - rates[epoch]) <= TOLERANCE * rates[epoch]))
            fail_msg("plateau: rate %g in epoch %d, expected %g", rate, epoch, rates[epoch]);
        plateau_epoch(&o, &p, values[epoch], false);
    }
    assert_true(p.rate < 0.05); // it dropped, more than once
    // What is not finite is never the best, first or later, and is waited through as any epoch without a gain.
    plateau_begin(&o, &p);
    for (int epoch = 0; epoch < 4; epoch++)
        plateau_epoch(&o, &p, (double[]){NAN, INFINITY, 0.5, -INFINITY}[epoch], false);
    assert_true(p.started && p.best == 0.5 && p.waited == 1 && p.rate == 0.1);
    tensor_set_free(&set);
}

static void test_keras(void **state)
{
    (void)state;
    check_framework(RULES_KERAS, GRAFT_SOURCE "/tests/golden/optim/keras.safetensors");
}

static void test_torch(void **state)
{
    (void)state;
    check_framework(RULES_TORCH, GRAFT_SOURCE "/tests/golden/optim/torch.safetensors");
}

// Rates by entry, and an entry that joins later: PyTorch counts its own steps for it, Keras the optimizer's.
static void test_entries(void **state)
{
    (void)state;
    for (int rules = RULES_KERAS; rules <= RULES_TORCH; rules++) {
        const struct problem problem = {.start = {1}};
        struct params params;
        struct optimizer o;
        params_make(&params, &problem);
        const struct optim_options options = {.name = "adam",
                                              .rules = (enum rules)rules,
                                              .beta1 = 0.9,
                                              .beta2 = 0.999,
                                              .rho = -1,
                                              .epsilon = -1,
                                              .weight_decay = -1,
                                              .accumulate = 1};
        assert_int_equal(optimizer_init(&o, &options, &params), GRAFT_OK);
        o.entries[1].scale = 0;
        o.entries[2].scale = 0.5;
        for (int step = 0; step < 3; step++) {
            float one[64], other[64], last[64];
            for (int i = 0; i < 64; i++)
                one[i] = other[i] = last[i] = i == 0;
            optimizer_begin(&o, 0.01, 0.9, 1);
            if (step == 2)
                give(&o, 0, one);
            give(&o, 1, other);
            give(&o, 2, last);
            optimizer_end(&o);
        }
        // A constant gradient of 1 moves Adam's weights by the rate each step, up to epsilon.
        const float *b = params.block + params.entries[1].offset, *gain = params.block + params.entries[2].offset;
        assert_true(b[0] == 0);
        assert_true(fabs(gain[0] + 3 * 0.5 * 0.01) < 1e-5);
        // Keras: alpha m / sqrt(v) with t = 3 and moments of one step: sqrt(1 - 0.999^3) / (1 - 0.9^3) * 0.1 /
        // sqrt(0.001)
        const double expected =
            rules == RULES_TORCH ? 0.01 : 0.01 * sqrt(1 - pow(0.999, 3)) / (1 - 0.729) * 0.1 / sqrt(0.001);
        assert_true(fabs(1 - params.block[0] - expected) < 1e-6);
        optimizer_fini(&o);
        params_fini(&params);
    }
}

// An epoch that ends inside a sum: the update is the mean over the pictures that are there, each counted once.
static void test_flush(void **state)
{
    (void)state;
    const struct problem problem = {.start = {1}};
    struct params params;
    struct optimizer o;
    params_make(&params, &problem);
    const struct optim_options options = {.name = "sgd", .rho = -1, .epsilon = -1, .weight_decay = 0, .accumulate = 4};
    assert_int_equal(optimizer_init(&o, &options, &params), GRAFT_OK);
    optimizer_flush(&o); // nothing was gathered
    assert_int_equal(o.updates, 0);
    for (int batch = 0; batch < 2; batch++) {
        float g[64] = {(float)(batch + 1)};
        optimizer_begin(&o, 0.1, 0, batch == 0 ? 6 : 2);
        give(&o, 0, g);
        optimizer_end(&o);
    }
    assert_true(o.updates == 0 && params.block[0] == 1);
    optimizer_flush(&o);
    assert_int_equal(o.updates, 1);
    assert_true(fabs(params.block[0] - (1 - 0.1 * (6 * 1 + 2 * 2) / 8)) < 1e-6);
    optimizer_fini(&o);
    params_fini(&params);
}

static long allowed;
static struct memory_table whole;
static void *alloc_limited(size_t size) { return allowed-- > 0 ? whole.alloc(size) : NULL; }
static void *aligned_limited(size_t alignment, size_t size)
{
    return allowed-- > 0 ? whole.alloc_aligned(alignment, size) : NULL;
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    const struct problem problem = {.start = {1}};
    struct params params;
    struct optimizer o;
    params_make(&params, &problem);
    const struct optim_options options = {.name = "adam", .clip_norm = 1, .accumulate = 1};
    graft_status status = GRAFT_NO_RESOURCE;
    whole = memory;
    memory.alloc = alloc_limited;
    memory.alloc_aligned = aligned_limited;
    int n = 0;
    for (; status == GRAFT_NO_RESOURCE && n < 20; n++) {
        allowed = n;
        status = optimizer_init(&o, &options, &params);
    }
    memory = whole;
    assert_int_equal(status, GRAFT_OK);
    assert_int_equal(n, 5); // the entries, two slots, what is gathered
    assert_int_equal(optimizer_blocks(&options), 3);
    optimizer_fini(&o);
    params_fini(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keras), cmocka_unit_test(test_torch),
                                       cmocka_unit_test(test_entries), cmocka_unit_test(test_flush),
                                       cmocka_unit_test(test_memory_runs_out)};
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
