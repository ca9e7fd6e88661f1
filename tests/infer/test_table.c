// tests/infer/test_table.c: reading predictions: what is right, and every way of being wrong.

#include "infer/table.h"
#include "base/file.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char path[] = "/tmp/graft_table_XXXXXX";

static int setup(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static graft_status read_text(const char *text, struct table *t)
{
    assert_int_equal(file_write_all(path, text, strlen(text)), GRAFT_OK);
    return table_read(path, t);
}

static void test_read(void **state)
{
    (void)state;
    struct table t;
    assert_int_equal(read_text("img,label,fold,cat,dog\na.jpg,dog,2.0,0.25,0.75\n\"b,1.jpg\",0,0,1,0\n", &t), GRAFT_OK);
    assert_int_equal(t.n, 2);
    assert_int_equal(t.n_classes, 2);
    assert_int_equal(t.label[0], 1);
    assert_int_equal(t.label[1], 0); // by number
    assert_int_equal(t.fold[0], 2);
    assert_int_equal(table_find(&t, "b,1.jpg"), 1);
    assert_int_equal(table_find(&t, "c.jpg"), -1);
    assert_true(t.p[1] == 0.75f);
    table_free(&t);
    assert_int_equal(read_text("path,cat,dog,answer\na.jpg,0.25,0.75,unknown\n", &t), GRAFT_OK);
    assert_null(t.label);
    assert_int_equal(t.n_classes, 2);
    table_free(&t);
}

// As pandas writes them: its row numbers first, columns after the classes, names in an order of its own.
static void test_columns(void **state)
{
    (void)state;
    static const char *const same[] = {
        "path,label,fold,cat,dog\na.jpg,dog,2,0.25,0.75\n",
        ",path,label,fold,cat,dog\n0,a.jpg,dog,2,0.25,0.75\n",
        "cat,dog,fold,label,path\n0.25,0.75,2,dog,a.jpg\n",
        "fold,path,cat,dog,label,answer\n2,a.jpg,0.25,0.75,dog,cat\n",
        "\xEF\xBB\xBF\"\",\"cat\",\"dog\",\"fold\",\"label\"\r\n\"a.jpg\",0.25,0.75,2,\"dog\"\r\n",
        "id,fold,label,cat,dog\na.jpg,2,dog,0.25,0.75\n"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct table t;
        if (read_text(same[i], &t) != GRAFT_OK)
            fail_msg("%s%s", same[i], graft_message());
        assert_true(t.n == 1 && t.n_classes == 2 && t.label != NULL && t.fold != NULL);
        assert_string_equal(t.path[0], "a.jpg");
        assert_string_equal(t.classes[0], "cat");
        assert_true(t.label[0] == 1 && t.fold[0] == 2 && t.p[0] == 0.25f && t.p[1] == 0.75f);
        table_free(&t);
    }
}

// What is written is read back, whatever the names are; predict's file quotes them all.
static void test_write(void **state)
{
    (void)state;
    char *classes[] = {"cat, grey", "\"dog\""};
    const float p[] = {0.25f, 0.75f, 1, 0};
    for (int columns = 0; columns < 8; columns++) {
        const bool label = columns & 1, fold = columns & 2;
        struct text text = {.quotes = columns & 4};
        struct table t;
        table_put_head(&text, label, fold, classes, 2);
        text_put(&text, "\n");
        table_put_row(&text, "a\n,.jpg", label ? classes[1] : NULL, fold ? 3 : NO_FOLD, p, 2);
        text_put(&text, "\n");
        table_put_row(&text, "b.jpg", label ? classes[0] : NULL, fold ? -1 : NO_FOLD, p + 2, 2);
        text_put(&text, "\n");
        assert_int_equal(text_status(&text), GRAFT_OK);
        assert_true((strstr(text.data, "\"b.jpg\"") != NULL) == text.quotes);
        assert_int_equal(read_text(text.data, &t), GRAFT_OK);
        assert_true(t.n == 2 && t.n_classes == 2 && (t.label != NULL) == label && (t.fold != NULL) == fold);
        assert_string_equal(t.classes[0], classes[0]);
        assert_string_equal(t.classes[1], classes[1]);
        assert_true(table_find(&t, "a\n,.jpg") == 0 && table_find(&t, "b.jpg") == 1);
        assert_memory_equal(t.p, p, sizeof p);
        assert_true(!label || (t.label[0] == 1 && t.label[1] == 0));
        assert_true(!fold || (t.fold[0] == 3 && t.fold[1] == -1));
        table_free(&t);
        text_fini(&text);
    }
}

static void test_order(void **state)
{
    (void)state;
    struct table t;
    char *others[] = {"bird", "cat", "dog"}, *less[] = {"cat", "bird"}, *strange[] = {"cat", "cow", "bird"};
    assert_int_equal(read_text("path,label,dog,bird,cat\na,bird,0.5,0.3,0.2\n", &t), GRAFT_OK);
    assert_int_equal(table_order(&t, others, 3, "the first"), GRAFT_OK);
    assert_true(t.p[0] == 0.3f && t.p[1] == 0.2f && t.p[2] == 0.5f);
    assert_int_equal(t.label[0], 0);
    assert_string_equal(t.classes[1], "cat");
    assert_int_equal(table_order(&t, less, 2, "the first"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "'dog' only in"));
    assert_int_equal(table_order(&t, strange, 3, "the first"), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "'cow' only in the first"));
    table_free(&t);
}

static void test_bad(void **state)
{
    (void)state;
    static const struct { const char *text, *message; } bad[] = {
        {"", "a header of"},
        {"path,a,b\n", "no prediction"},
        {"path,a,b\nx,nan,0.5\n", ":2: 'a' of 'x' is no probability: 'nan'"},
        {"path,a,b\nx,0.5,0.5\ny,inf,0\n", ":3: 'a' of 'y' is no probability"},
        {"path,a,b\nx,-0.5,1.5\n", "no probability"},
        {"path,a,b\nx,0.5,\n", "'b' of 'x' is no probability: ''"},
        {"path,a,b\nx,0.5,0.4\n", "'x' add up to 0.9, not to 1"},
        {"path,a,b\nx,0.5\n", ":2: 2 fields, the header has 3"},
        {"path,a,b\nx,0.5,0.5\nx,0.5,0.5\n", ":3: 'x' is in it a second time"},
        {"path,label,a,b\nx,c,0.5,0.5\n", "the label 'c' is none of its 2 classes"},
        {"path,label,a,b\nx,2,0.5,0.5\n", "the label '2' is none"},
        {"path,label,fold,a,b\nx,a,0,0.5,0.5\ny,a,second,0.5,0.5\n", ":3: the fold 'second' is no whole number"},
        {"path,label,fold,a,b\nx,a,1.5,0.5,0.5\n", "the fold '1.5' is no"},
        {"path,label,fold,a,b\nx,a,,0.5,0.5\n", "the fold '' is no"},
        {"path,label,fold,a,b\nx,a,3e9,0.5,0.5\n", "the fold '3e9' is no"},
        {"path,a,a\nx,0.5,0.5\n", "two columns"}};
    struct table t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_text(bad[i].text, &t), GRAFT_BAD_FILE);
        if (strstr(graft_message(), bad[i].message) == NULL)
            fail_msg("expected '%s': %s", bad[i].message, graft_message());
        assert_null(t.path);
    }
    assert_int_equal(table_read("/nowhere.csv", &t), GRAFT_BAD_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_columns),
                                       cmocka_unit_test(test_write), cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_bad)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
