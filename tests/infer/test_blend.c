// tests/infer/test_blend.c: means of predictions beside NumPy (tests/golden/infer/ensemble.*), and of a picture's
// views.

#include "infer/blend.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "infer/ensemble.h"
#include "infer/fit.h"
#include "infer/metrics.h"
#include "infer/scores.h"
#include "scratch.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { N = 240, CLASSES = 5, MEMBERS = 3 };
static float members[MEMBERS][N * CLASSES];
static int labels[N];
static json_t *golden;

static int setup(void **state)
{
    struct file_map p, l;
    if (file_map_open(GRAFT_SOURCE "/tests/golden/infer/ensemble.f32", &p) != GRAFT_OK ||
        p.data.size != sizeof members ||
        file_map_open(GRAFT_SOURCE "/tests/golden/infer/ensemble.u8", &l) != GRAFT_OK || l.data.size != N)
        return -1;
    memcpy(members, p.data.ptr, sizeof members);
    for (int i = 0; i < N; i++)
        labels[i] = l.data.ptr[i];
    file_map_close(&p);
    file_map_close(&l);
    const graft_status status = json_read_file(GRAFT_SOURCE "/tests/golden/infer/ensemble.json", &golden);
    return status == GRAFT_OK ? scratch_enter(state) : -1;
}

static int teardown(void **state)
{
    json_decref(golden);
    return scratch_leave(state);
}

// Float32 results of sums in double: a log-loss of about 1 is good to 1e-7, a probability too.
static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) < 1e-6))
        fail_msg("%.9g, NumPy has %.9g", found, wanted);
}

static double loss_of(enum mean rule, const double *weights, float *out)
{
    struct blend b;
    double sum = 0;
    assert_int_equal(blend_init(&b, rule, N, CLASSES), GRAFT_OK);
    for (int k = 0; k < MEMBERS; k++) {
        for (size_t i = 0; i < N; i++)
            blend_add(&b, i, members[k] + i * CLASSES, weights[k]);
        sum += weights[k];
    }
    for (size_t i = 0; i < N; i++)
        blend_end(&b, i, sum, out + i * CLASSES);
    blend_fini(&b);
    return metrics_of(out, labels, N, CLASSES).log_loss;
}

static void test_means(void **state)
{
    (void)state;
    static const double even[] = {1, 1, 1}, uneven[] = {5, 3, 2};
    static float out[N * CLASSES];
    near(loss_of(MEAN_ARITHMETIC, even, out), json_real_value(json_object_get(golden, "arithmetic")));
    near(loss_of(MEAN_GEOMETRIC, even, out), json_real_value(json_object_get(golden, "geometric")));
    near(loss_of(MEAN_ARITHMETIC, uneven, out), json_real_value(json_object_get(golden, "weighted")));
    near(loss_of(MEAN_GEOMETRIC, uneven, out), json_real_value(json_object_get(golden, "weighted_geometric")));
    for (int c = 0; c < CLASSES; c++)
        near(out[c], json_real_value(json_array_get(json_object_get(golden, "first_geometric"), (size_t)c)));
}

// The same as an ensemble's members, a part of the rows at a time.
static void test_means_of_members(void **state)
{
    (void)state;
    static const char *const rules[] = {"weighted", "weighted_geometric"};
    static const double weights[] = {5, 3, 2};
    static float out[N * CLASSES];
    static uint32_t rows[N];
    const float *const p[] = {members[0], members[1], members[2]};
    struct ensemble_member of[MEMBERS] = {0};
    for (int m = 0; m < MEMBERS; m++)
        of[m].weight = weights[m];
    for (uint32_t i = 0; i < N; i++)
        rows[i] = i;
    for (int rule = 0; rule < 2; rule++) {
        static float alone[N * CLASSES];
        const struct ensemble e = {
            .rule = (enum ensemble_rule)rule, .n_classes = CLASSES, .members = of, .n_members = MEMBERS};
        memset(out, 0, sizeof out);
        assert_int_equal(ensemble_combine(&e, p, rows + N / 3, N - N / 3, out), GRAFT_OK);
        for (size_t i = 0; i < N / 3 * CLASSES; i++)
            assert_true(out[i] == 0);
        assert_int_equal(ensemble_combine(&e, p, rows, N / 3, out), GRAFT_OK);
        near(metrics_of(out, labels, N, CLASSES).log_loss, json_real_value(json_object_get(golden, rules[rule])));
        loss_of(rule == 0 ? MEAN_ARITHMETIC : MEAN_GEOMETRIC, weights, alone);
        assert_memory_equal(out, alone, sizeof out);
    }
}

static void test_geometric_of_nothing(void **state)
{
    (void)state;
    const float certain[] = {1, 0}, other[] = {0, 1};
    float out[2];
    struct blend b;
    assert_int_equal(blend_init(&b, MEAN_GEOMETRIC, 1, 2), GRAFT_OK);
    blend_add(&b, 0, certain, 1);
    blend_add(&b, 0, other, 1);
    blend_end(&b, 0, 2, out);
    blend_fini(&b);
    near(out[0], 0.5); // not 0 / 0
    near(out[1], 0.5);
}

// ---- weights and stacking

static const float *const opinions_of[] = {members[0], members[1], members[2]};

static struct opinions opinions_make(void)
{
    static uint32_t rows[N];
    for (uint32_t i = 0; i < N; i++)
        rows[i] = i;
    return (struct opinions){opinions_of, MEMBERS, CLASSES, labels, rows, N};
}

static double golden_weight(const char *name, int m)
{
    return json_real_value(json_array_get(json_object_get(golden, name), (size_t)m));
}

static void test_weights(void **state)
{
    (void)state;
    static float out[N * CLASSES];
    const struct opinions o = opinions_make();
    double w[MEMBERS], sum = 0;
    assert_int_equal(fit_weights(&o, w), GRAFT_OK);
    near(loss_of(MEAN_ARITHMETIC, w, out), json_real_value(json_object_get(golden, "fitted")));
    for (int m = 0; m < MEMBERS; m++) {
        sum += w[m];
        assert_true(w[m] >= 0);
        assert_true(fabs(w[m] - golden_weight("fitted_weights", m)) < 1e-3); // the minimum is flat: SLSQP stops nearby
    }
    near(sum, 1);
    assert_int_equal(fit_greedy(&o, 20, w), GRAFT_OK);
    for (int m = 0; m < MEMBERS; m++)
        near(w[m], golden_weight("greedy_weights", m));
    near(loss_of(MEAN_ARITHMETIC, w, out), json_real_value(json_object_get(golden, "greedy")));
}

static void test_stack(void **state)
{
    (void)state;
    static float out[N * CLASSES];
    static double stack[CLASSES * (MEMBERS * CLASSES + 1)];
    const struct opinions o = opinions_make();
    assert_int_equal(fit_stack(&o, 1, stack), GRAFT_OK);
    for (size_t i = 0; i < N; i++) {
        const float *rows[] = {members[0] + i * CLASSES, members[1] + i * CLASSES, members[2] + i * CLASSES};
        stack_apply(stack, rows, MEMBERS, CLASSES, out + i * CLASSES);
    }
    near(metrics_of(out, labels, N, CLASSES).log_loss, json_real_value(json_object_get(golden, "stack")));
    for (int c = 0; c < CLASSES; c++) // both stop where the gradient is small: 2e-6 of a probability
        assert_true(fabs(out[c] - golden_weight("first_stack", c)) < 2e-6);
}

static void test_of_some_rows(void **state)
{
    (void)state;
    struct opinions o = opinions_make(); // the second half alone must give what the second half says
    static const float *halves[] = {members[0] + N / 2 * CLASSES, members[1] + N / 2 * CLASSES,
                                    members[2] + N / 2 * CLASSES};
    double a[MEMBERS], b[MEMBERS];
    o.row += N / 2;
    o.n = N / 2;
    assert_int_equal(fit_weights(&o, a), GRAFT_OK);
    struct opinions half = opinions_make();
    half.p = halves;
    half.labels += N / 2;
    half.n = N / 2;
    assert_int_equal(fit_weights(&half, b), GRAFT_OK);
    assert_memory_equal(a, b, sizeof a);
}

// ---- views

static const char *const pictures[] = {GRAFT_SOURCE "/tests/golden/data/rgb.png",
                                       GRAFT_SOURCE "/tests/golden/data/base.jpg"};
static struct model model;
static struct arena *arena;
static struct plan *plan;

// Random weights say hardly anything: the head is scaled until the logits of a picture reach 2.
static void speak_up(void)
{
    struct dataset d;
    float input[3 * 32 * 32], most = 0;
    assert_int_equal(inputs_open(pictures, 1, &d), GRAFT_OK);
    assert_int_equal(sample_load(&d, 0, &model.input, NULL, input), GRAFT_OK);
    assert_int_equal(plan_run(plan, &(struct run){.input = input}, NULL), GRAFT_OK);
    for (int c = 0; c < 3; c++)
        most = fmaxf(most, fabsf(plan_logits(plan)[c]));
    assert_true(most > 0);
    for (int i = 0; i < model.params.count; i++) {
        const struct param_entry *e = &model.params.entries[i];
        for (size_t k = 0; strcmp(e->name, "classifier.weight") == 0 && k < e->size; k++)
            model.params.block[e->offset + k] *= 2 / most;
    }
    dataset_free(&d);
}

static void model_make(void)
{
    const struct model_request request = {.network = "efficientnet_lite0",
                                          .weights = "none",
                                          .head = HEAD_NEW,
                                          .n_classes = 3,
                                          .size = 32,
                                          .resize = -1,
                                          .bn = BN_FROZEN,
                                          .seed = 4,
                                          .classes = (char *[]){"a", "b", "c"}};
    if (model_open(&request, &model) != GRAFT_OK)
        fail_msg("%s", graft_message());
    assert_int_equal(arena_new(&arena), GRAFT_OK);
    assert_int_equal(plan_build(&model.graph, &model.params, arena, &(struct plan_options){.batch = 1}, &plan),
                     GRAFT_OK);
    assert_int_equal(arena_reserve(arena), GRAFT_OK);
    speak_up();
}

static void scores_of(const char *const *paths, int n, const struct tta *tta, struct scores *out)
{
    struct dataset d;
    const uint32_t order[] = {0, 1};
    assert_int_equal(inputs_open(paths, (size_t)n, &d), GRAFT_OK);
    const struct scoring how = {.batch = 8, .workers = 2, .tta = tta, .stage = "predict"};
    if (scores_make(&model, &d, order, (size_t)n, &how, out) != GRAFT_OK)
        fail_msg("%s", graft_message());
    dataset_free(&d);
}

// The mean of the views' softmaxes, each computed alone.
static void views_by_hand(const struct tta *tta, double mean[3])
{
    struct dataset d;
    float input[3 * 32 * 32], p[3];
    double spread = 0;
    assert_int_equal(inputs_open(pictures, 2, &d), GRAFT_OK);
    memset(mean, 0, 3 * sizeof *mean);
    for (int view = 0; view < tta->views; view++) {
        const struct augmentation how = {.augment = &tta->augment, .epoch = (uint64_t)view, .alike = true};
        assert_int_equal(sample_load(&d, 1, &model.input, view > 0 ? &how : NULL, input), GRAFT_OK);
        assert_int_equal(plan_run(plan, &(struct run){.input = input}, NULL), GRAFT_OK);
        plan_probabilities(plan, p);
        for (int c = 0; c < 3; c++) {
            spread = fmax(spread, view > 0 ? fabs(mean[c] / view - p[c]) : 0);
            mean[c] += tta->mean == MEAN_GEOMETRIC ? log(p[c]) : p[c];
        }
    }
    dataset_free(&d);
    assert_true(spread > 1e-5); // the views are not all the same
    double sum = 0;
    for (int c = 0; c < 3; c++)
        sum += mean[c] = tta->mean == MEAN_GEOMETRIC ? exp(mean[c] / tta->views) : mean[c] / tta->views;
    for (int c = 0; c < 3; c++)
        mean[c] /= sum;
}

static void test_views(void **state)
{
    (void)state;
    static const char *const swapped[] = {GRAFT_SOURCE "/tests/golden/data/base.jpg",
                                          GRAFT_SOURCE "/tests/golden/data/rgb.png"};
    struct scores s, again, other;
    struct tta tta;
    double mean[3];
    model_make();
    for (int rule = 0; rule < 2; rule++) {
        assert_int_equal(tta_parse("5,flip,rotate=20,shift=0.2", &model, &tta), GRAFT_OK);
        assert_int_equal(tta.views, 5);
        tta.mean = (enum mean)rule;
        scores_of(pictures, 2, &tta, &s);
        views_by_hand(&tta, mean);
        for (int c = 0; c < 3; c++)
            near(s.p[3 + c], mean[c]);
        scores_of(pictures, 2, &tta, &again);
        assert_memory_equal(s.p, again.p, 6 * sizeof *s.p);
        scores_of(swapped, 2, &tta, &other); // the same for a picture wherever it stands
        assert_memory_equal(s.p, other.p + 3, 3 * sizeof *s.p);
        assert_memory_equal(s.p + 3, other.p, 3 * sizeof *s.p);
        scores_fini(&s);
        scores_fini(&again);
        scores_fini(&other);
    }
    plan_free(plan);
    arena_free(arena);
}

static void test_bad_picture(void **state)
{
    (void)state;
    static const char *const mixed[] = {GRAFT_SOURCE "/tests/golden/infer/ensemble.json",
                                        GRAFT_SOURCE "/tests/golden/data/rgb.png"};
    struct scores s;
    struct tta tta;
    assert_int_equal(tta_parse("3,flip", &model, &tta), GRAFT_OK);
    scores_of(mixed, 2, &tta, &s);
    assert_int_equal(s.bad, 1); // once, not by view
    assert_non_null(s.error[0]);
    assert_null(s.error[1]);
    near(s.p[3] + s.p[4] + s.p[5], 1);
    scores_fini(&s);
}

static void test_texts(void **state)
{
    (void)state;
    struct tta tta;
    static const struct { const char *text, *message; } bad[] = {
        {"1", "2 to 256"}, {"0,flip", "2 to 256"}, {"flip=x", "one of h v hv"}, {"mixup", "tells nothing"},
        {"none", "changes are expected"}, {"4,turn=3", "did you mean"}, {"8x", "no part"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(tta_parse(bad[i].text, &model, &tta), GRAFT_BAD_OPTION);
        if (strstr(graft_message(), bad[i].message) == NULL)
            fail_msg("'%s': %s", bad[i].text, graft_message());
    }
    assert_int_equal(tta_parse("flip,rotate=5", &model, &tta), GRAFT_OK);
    assert_int_equal(tta.views, TTA_VIEWS);
    assert_true(tta.augment.on[AUGMENT_FLIP] && tta.augment.on[AUGMENT_ROTATE] && !tta.augment.on[AUGMENT_SHIFT]);
    assert_int_equal(tta_parse("4", &model, &tta), GRAFT_OK); // nothing known of the training: no flips
    assert_true(tta.augment.on[AUGMENT_ROTATE] && tta.augment.on[AUGMENT_SHIFT] && !tta.augment.on[AUGMENT_FLIP]);
    model.trained = mem_text("{\"options\":{\"augment\":\"flip=h,erase=0.2,mixup\"}}");
    assert_int_equal(tta_parse("4", &model, &tta), GRAFT_OK);
    assert_true(tta.augment.on[AUGMENT_FLIP] && !tta.augment.on[AUGMENT_ERASE] && !tta.augment.on[AUGMENT_MIXUP] &&
                !tta.augment.on[AUGMENT_ROTATE]);
    model_close(&model);
}

// What is no number stays none through every mean: clipped to the least positive number it would be one.
static void test_no_numbers(void **state)
{
    (void)state;
    const float fine[] = {0.25f, 0.75f}, none[] = {NAN, NAN};
    for (int rule = 0; mean_names[rule] != NULL; rule++) {
        struct blend b;
        float p[2];
        assert_int_equal(blend_init(&b, (enum mean)rule, 1, 2), GRAFT_OK);
        blend_add(&b, 0, fine, 1);
        blend_add(&b, 0, none, 1);
        blend_end(&b, 0, 2, p);
        assert_true(isnan(p[0]) && isnan(p[1]));
        blend_fini(&b);
    }
    const double weights[2 * 5] = {0};
    for (int rule = ENSEMBLE_ARITHMETIC; rule <= ENSEMBLE_STACK; rule++) {
        struct ensemble_member members[2] = {{.weight = 1}, {.weight = 1}};
        const struct ensemble e = {.rule = (enum ensemble_rule)rule, .n_classes = 2, .members = members, .n_members = 2,
                                   .stack = (double *)weights};
        float p[2];
        const uint32_t row = 0;
        assert_int_equal(ensemble_combine(&e, (const float *const[]){fine, none}, &row, 1, p), GRAFT_OK);
        assert_true(isnan(p[0]) && isnan(p[1]));
    }
}

// ---- the folder of an ensemble

static struct file_table kept;
static long calls, fails_at;
static bool for_good, no_links; // all calls after it too, as a kill has it; a disk without links

static bool fails(void)
{
    const long now = calls++;
    errno = EIO;
    return now == fails_at || (for_good && now > fails_at);
}
static int bad_open(const char *path, int flags, mode_t mode) { return fails() ? -1 : kept.open(path, flags, mode); }
static ssize_t bad_write(int fd, const void *data, size_t size) { return fails() ? -1 : kept.write(fd, data, size); }
static int bad_fsync(int fd) { return fails() ? -1 : kept.fsync(fd); }
static int bad_close(int fd) { return kept.close(fd) != 0 || fails() ? -1 : 0; }
static int bad_rename(const char *from, const char *to) { return fails() ? -1 : kept.rename(from, to); }
static int bad_unlink(const char *path) { return fails() ? -1 : kept.unlink(path); }
static int bad_link(const char *from, const char *to) { return fails() || no_links ? -1 : kept.link(from, to); }

static bool holds(const char *path, const char *text)
{
    struct file_map map;
    if (file_map_open(path, &map) != GRAFT_OK)
        return false;
    const bool same = map.data.size == strlen(text) && memcmp(map.data.ptr, text, map.data.size) == 0;
    file_map_close(&map);
    return same;
}

static graft_status ensemble_of(const char *first, const char *second)
{
    static char *classes[] = {"a", "b"};
    char *files[] = {(char *)first, (char *)second};
    struct ensemble_member both[] = {{"x", &files[0], 1, 1}, {(char *)second, &files[1], 1, 2}};
    const struct ensemble e = {ENSEMBLE_ARITHMETIC, classes, 2, both, 2, NULL};
    return ensemble_write(&e, "ens");
}

static void old_ensemble(void) // of the models "one" and "two", with what looks for their boxes
{
    assert_int_equal(file_make_folder("whole"), GRAFT_OK);
    assert_int_equal(file_write_all("whole/one", "eye of one", 10), GRAFT_OK);
    assert_int_equal(file_write_all("whole/two", "eye of two", 10), GRAFT_OK);
    assert_int_equal(file_make_folder("ens"), GRAFT_OK);
    assert_int_equal(file_write_all("one", "one", 3), GRAFT_OK);
    assert_int_equal(file_write_all("two", "two", 3), GRAFT_OK);
    assert_int_equal(file_write_all("three", "three", 5), GRAFT_OK);
    assert_int_equal(ensemble_of("one", "two"), GRAFT_OK);
    assert_true(holds("ens/member-0-0.safetensors", "one") && holds("ens/member-1-0.safetensors", "two"));
    assert_true(holds("ens/whole/member-0-0.safetensors", "eye of one"));
    assert_true(holds("ens/whole/member-1-0.safetensors", "eye of two"));
}

// Whatever call fails, alone or with all after it: the models are all there, and the folder is the old ensemble, the
// new one or none.
static void test_ensemble_is_whole(void **state)
{
    (void)state;
    for (int way = 0; way < 4; way++) {
        graft_status status = GRAFT_FAILED;
        for (long at = 0; status != GRAFT_OK; at++) {
            assert_true(at < 100);
            kept = file_ops;
            old_ensemble();
            file_ops = (struct file_table){bad_open, bad_write, bad_fsync, bad_close, bad_rename, bad_unlink,
                                           kept.truncate, bad_link};
            calls = 0;
            fails_at = at;
            for_good = way % 2 != 0;
            no_links = way / 2 != 0;
            status = ensemble_of("ens/member-0-0.safetensors", "three"); // one of them lies where it goes to
            file_ops = kept;
            if (status == GRAFT_OK && calls <= at)
                assert_true(ensemble_is("ens"));
            else if (status == GRAFT_OK) // it did without that call
                status = GRAFT_FAILED;
            assert_true(holds("one", "one") && holds("two", "two") && holds("three", "three"));
            assert_true(holds("ens/member-0-0.safetensors", "one"));
            const bool new = holds("ens/member-1-0.safetensors", "three");
            assert_true(new || holds("ens/member-1-0.safetensors", "two"));
            assert_true(holds("ens/whole/member-0-0.safetensors", "eye of one"));
            if (ensemble_is("ens")) {
                struct ensemble e;
                assert_int_equal(ensemble_read("ens", &e), GRAFT_OK);
                assert_string_equal(e.members[1].name, new ? "three" : "two"); // what it is of
                assert_int_equal(file_exists("ens/whole/member-1-0.safetensors"), !new); // three has none
                ensemble_free(&e);
            }
        }
        assert_true(holds("ens/member-1-0.safetensors", "three"));
    }
    assert_int_equal(temporary_remove("ens"), 0);
}

// A member that lies where another goes to would be nowhere afterwards.
static void test_ensemble_of_its_own(void **state)
{
    (void)state;
    old_ensemble();
    assert_int_equal(ensemble_of("ens/member-1-0.safetensors", "ens/member-0-0.safetensors"), GRAFT_BAD_OPTION);
    assert_non_null(strstr(graft_message(), "-o"));
    assert_int_equal(symlink("ens/member-1-0.safetensors", "link"), 0);
    assert_int_equal(ensemble_of("link", "one"), GRAFT_BAD_OPTION);
    assert_true(holds("ens/member-0-0.safetensors", "one") && holds("ens/member-1-0.safetensors", "two"));
    assert_int_equal(ensemble_of("three", "link"), GRAFT_OK); // which leads to its own place
    assert_true(holds("ens/member-0-0.safetensors", "three") && holds("ens/member-1-0.safetensors", "two"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ensemble_is_whole),
                                       cmocka_unit_test(test_ensemble_of_its_own),
                                       cmocka_unit_test(test_means), cmocka_unit_test(test_means_of_members),
                                       cmocka_unit_test(test_geometric_of_nothing), cmocka_unit_test(test_no_numbers),
                                       cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_stack), cmocka_unit_test(test_of_some_rows),
                                       cmocka_unit_test(test_views), cmocka_unit_test(test_bad_picture),
                                       cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
