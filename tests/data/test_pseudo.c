// tests/data/test_pseudo.c: pseudo-labels in an epoch's order, their targets, and pictures that two lists share.

#include "data/fixture.h"
#include "base/memory.h"
#include "data/overlap.h"
#include "data/pseudo.h"
#include "data/sources.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABELLED = 70, PSEUDO = 23, HELD_OUT = 10 };

static struct dataset mixed(int pseudo, double share)
{
    struct dataset d = {0};
    int label;
    for (int i = 0; i < LABELLED + HELD_OUT + pseudo; i++) {
        assert_int_equal(class_find(&d, i % 2 ? "b" : "a", &label), GRAFT_OK);
        assert_int_equal(sample_add(&d, text("%d.png", i), label,
                                    i < LABELLED              ? PART_TRAIN
                                    : i < LABELLED + HELD_OUT ? PART_VAL
                                                              : PART_PSEUDO,
                                    NULL),
                         GRAFT_OK);
    }
    d.pseudo_share = (uint32_t)lround(share * PSEUDO_UNIT);
    return d;
}

// Every labelled picture once an epoch, none that is held out, the share right to within a picture in every stretch,
// every other picture equally often over the epochs, and the same order whenever it is asked for.
static void orders(void **state)
{
    (void)state;
    static const struct { int pseudo; double share; } cases[] = {{PSEUDO, 0.3}, {PSEUDO, 0.001}, {5, 0.9}, {200, 0.5}};
    enum { EPOCHS = 7 };
    for (size_t k = 0; k < COUNT_OF(cases); k++) {
        struct dataset d = mixed(cases[k].pseudo, cases[k].share);
        const size_t most = dataset_order_most(&d);
        uint32_t *order = mem_alloc(most * sizeof *order), *again = mem_alloc(most * sizeof *again);
        int *seen = mem_zero(d.count, sizeof *seen), others = 0;
        size_t n, same;
        bool moved = false;
        for (uint64_t epoch = 1; epoch <= EPOCHS; epoch++) {
            assert_int_equal(dataset_order(&d, 5, epoch, order, &n), GRAFT_OK);
            assert_true(n <= most);
            assert_int_equal(n, pseudo_length(&d, LABELLED));
            size_t ours = 0;
            for (size_t i = 0; i < n; i++) {
                assert_true(d.samples[order[i]].part == PART_TRAIN || d.samples[order[i]].part == PART_PSEUDO);
                seen[order[i]]++;
                ours += d.samples[order[i]].part == PART_PSEUDO;
                assert_true(fabs((double)ours - cases[k].share * (double)(i + 1)) <= 1);
            }
            assert_int_equal(n - ours, LABELLED);
            others += (int)ours;
            for (int i = 0; i < LABELLED; i++)
                assert_int_equal(seen[i], epoch);
            assert_int_equal(dataset_order(&d, 5, epoch, again, &same), GRAFT_OK);
            assert_int_equal(same, n);
            assert_memory_equal(order, again, n * sizeof *order);
            assert_int_equal(dataset_order(&d, 6, epoch, again, &same), GRAFT_OK);
            moved |= memcmp(order, again, n * sizeof *order) != 0;
        }
        assert_true(moved); // by the seed
        for (size_t i = LABELLED + HELD_OUT; i < d.count; i++)
            assert_in_range(seen[i], others / cases[k].pseudo, others / cases[k].pseudo + 1);
        mem_free(order);
        mem_free(again);
        mem_free(seen);
        dataset_free(&d);
    }
}

// Without them an epoch is what it was; with them the labelled pictures keep their order.
static void labelled_order_stays(void **state)
{
    (void)state;
    struct dataset plain = mixed(PSEUDO, 0), d = mixed(PSEUDO, 0.4);
    uint32_t a[LABELLED], b[4 * LABELLED];
    size_t n, m, at = 0;
    assert_int_equal(dataset_order(&plain, 1, 3, a, &n), GRAFT_OK);
    assert_int_equal(n, LABELLED);
    assert_int_equal(dataset_order(&d, 1, 3, b, &m), GRAFT_OK);
    for (size_t i = 0; i < m; i++)
        if (d.samples[b[i]].part == PART_TRAIN)
            assert_int_equal(b[i], a[at++]);
    assert_int_equal(at, n);
    dataset_free(&plain);
    dataset_free(&d);
}

// smoothing, a class's weight by the label, and probabilities in place of the label.
static void soft_targets(void **state)
{
    (void)state;
    const float soft[] = {0.2f, 0.5f, 0.3f};
    float weights[] = {1, 3, 1}, row[6];
    struct sample samples[] = {{.label = 1}, {.label = 1, .soft = soft}};
    const struct dataset d = {.samples = samples, .count = 2, .n_classes = 3, .weights = weights};
    const uint32_t index[] = {0, 1};
    batch_targets(&d, 3, 0.3, &(struct batch){.index = index, .n = 2}, row);
    const float wanted[] = {0.3f, 2.4f, 0.3f,
                            3 * (0.7f * 0.2f + 0.1f), 3 * (0.7f * 0.5f + 0.1f), 3 * (0.7f * 0.3f + 0.1f)};
    for (int i = 0; i < 6; i++)
        assert_true(fabsf(row[i] - wanted[i]) <= 1e-6f); // of floats near 1
}

static void overlaps(void **state)
{
    (void)state;
    static const char one[] = "the bytes of one", two[] = "the bytes of two", three[] = "three";
    struct dataset a = {0}, b = {0};
    struct common *common;
    uint32_t index[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    size_t n;
    assert_int_equal(sample_add(&a, put("a0", one, sizeof one), 0, PART_TRAIN, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&a, put("a1", two, sizeof two), 0, PART_TRAIN, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&a, put("a2", three, sizeof three), 0, PART_TRAIN, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&a, text("%s/not there", scratch), 0, PART_TRAIN, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&b, put("b0", three, sizeof three), 0, PART_VAL, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&b, text("%s/./a0", scratch), 0, PART_VAL, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&b, text("%s/not there", scratch), 0, PART_VAL, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&b, put("b3", "another text", 13), 0, PART_VAL, NULL), GRAFT_OK);
    assert_int_equal(sample_add(&b, "array", 0, PART_VAL, one), GRAFT_OK);
    const struct listed theirs = {&b, index, b.count};
    assert_int_equal(overlap_find((struct listed){&a, index, a.count}, theirs, &common, &n), GRAFT_OK);
    assert_int_equal(n, 2);
    assert_true(common[0].a == 0 && common[0].b == 1 && common[0].file);
    assert_true(common[1].a == 2 && common[1].b == 0 && !common[1].file);
    mem_free(common);
    assert_int_equal(overlap_find((struct listed){&a, index + 1, 1}, theirs, &common, &n), GRAFT_OK);
    assert_int_equal(n, 0);
    mem_free(common);
    dataset_free(&a);
    dataset_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(orders), cmocka_unit_test(labelled_order_stays),
                                       cmocka_unit_test(soft_targets), cmocka_unit_test(overlaps)};
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
