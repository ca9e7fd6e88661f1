// tests/report/test_report.c: reports of run folders written by hand: figures, escapes, damage, comparison.

#include "folder.h"
#include "base/html.h"
#include "report/page.h"
#include "report/report.h"
#include "report/stats.h"
#include "report/svg.h"
#include "report/tensorboard.h"
#include "base/memory.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// SciPy 1.17: binomtest(right, n).proportion_ci(method='wilson'), binomtest(a, a + b).pvalue.
static void test_intervals(void **state)
{
    (void)state;
    static const struct {
        size_t right, n;
        double low, high;
    } wilson[] = {{180, 300, 0.543636596341, 0.653834809414},
                  {0, 10, 0, 0.277532799863},
                  {10, 10, 0.722467200137, 1},
                  {7, 9, 0.452588969107, 0.936774892882}};
    static const struct {
        size_t a, b;
        double p;
    } sign[] = {{147, 2, 3.13218232746e-41}, {5, 5, 1}, {3, 9, 0.14599609375}, {0, 0, 1}, {1, 12, 0.00341796875},
                {400, 450, 0.0927654499705}};
    for (size_t i = 0; i < COUNT_OF(wilson); i++) {
        const struct interval found = wilson_interval(wilson[i].right, wilson[i].n);
        assert_true(fabs(found.low - wilson[i].low) < 1e-11 &&
                    fabs(found.high - wilson[i].high) < 1e-11); // 12 digits are given
    }
    for (size_t i = 0; i < COUNT_OF(sign); i++) // lgamma loses some digits of large arguments
        assert_true(fabs(sign_test(sign[i].a, sign[i].b) - sign[i].p) < 1e-9 * fmax(sign[i].p, 1e-3));
    assert_true(wilson_interval(0, 0).low == 0 && wilson_interval(0, 0).high == 1);
}

// Of many values the bootstrap agrees with the normal approximation, mean +- 1.96 s / sqrt(n).
static void test_bootstrap(void **state)
{
    (void)state;
    enum { N = 2000 };
    static double values[N];
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        values[i] = -log(1 - (double)rng_unit(rng_hash(RNG_TEST, 7, (uint64_t)i, 0))); // skewed, as losses are
        sum += values[i];
        squares += values[i] * values[i];
    }
    const double mean = sum / N, error = sqrt((squares / N - mean * mean) / N);
    const struct interval found = bootstrap_interval(values, N, 1), again = bootstrap_interval(values, N, 1);
    // the 2.5 % quantile of 1,000 resamples is known to about 0.09 standard errors; the tolerance is three times that
    assert_true(fabs(found.low - (mean - 1.96 * error)) < 0.27 * error);
    assert_true(fabs(found.high - (mean + 1.96 * error)) < 0.27 * error);
    assert_true(found.low == again.low && found.high == again.high);
    assert_true(isnan(bootstrap_interval(values, 0, 1).low));
}

static void test_html_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *html;
    } cases[] = {{"a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;"},
                 {"caf\xc3\xa9", "caf\xc3\xa9"},
                 {"\xe2\x82\xac\xf0\x9f\x98\xba", "\xe2\x82\xac\xf0\x9f\x98\xba"},
                 {"\xff", "\xef\xbf\xbd"},
                 {"a\xc3", "a\xef\xbf\xbd"},
                 {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 // overlong
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 // a surrogate
                 {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // past U+10FFFF
                 {"\x01\x1f\x7f\t", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\t"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct text t = {0};
        html_text(&t, cases[i].text);
        assert_string_equal(t.data, cases[i].html);
        text_fini(&t);
    }
    struct text t = {0};
    html_put(&t, "%d%% %s|%.3f|%g|%zu|%.2s|%5d", 7, "<", 1.5, 0.25, (size_t)9, "a\xc3\xa9z", 42);
    assert_string_equal(t.data, "7% &lt;|1.500|0.25|9|a|   42"); // a precision never cuts a character
    text_fini(&t);
    html_base64(&t, (bytes){(const uint8_t *)"light w", 7}); // RFC 4648 by way of every remainder
    html_base64(&t, (bytes){(const uint8_t *)"light wo", 8});
    html_base64(&t, (bytes){(const uint8_t *)"light wor", 9});
    assert_string_equal(t.data, "bGlnaHQgdw==bGlnaHQgd28=bGlnaHQgd29y");
    text_fini(&t);
}

static void test_round_steps(void **state)
{
    (void)state;
    assert_true(fabs(round_step(10, 5) - 2) < 1e-12);
    assert_true(fabs(round_step(0.07, 5) - 0.02) < 1e-12);
    assert_true(fabs(round_step(3, 6) - 0.5) < 1e-12);
    assert_true(fabs(round_step(1e-6, 4) - 5e-7) < 1e-18);
}

static void has(const char *html, const char *text)
{
    if (strstr(html, text) == NULL)
        fail_msg("the page does not say: %s", text);
}

static char *report_of(const char *folder)
{
    if (report_write(folder, "out.html", NULL) != GRAFT_OK)
        fail_msg("%s", graft_message());
    char *html = file_text("out.html");
    html_check(html);
    return html;
}

static void test_report(void **state)
{
    (void)state;
    run_make("run");
    char *html = report_of("run");
    has(html, "right on <b>70.0&nbsp;%</b> of 10 validation pictures");
    has(html, "39.7 to 89.2&nbsp;%"); // Wilson, 7 of 10
    has(html, "after epoch 2 of 2");
    has(html, "<b>cat</b> taken for <b>dog</b>: 1 of 4 (25&nbsp;%)");
    has(html, "said <b class=\"wrong\">dog</b> 85&nbsp;%<br/>is <b>cat</b> 10&nbsp;%<br/><small>2.jpg</small>");
    has(html, "graft train --model vgg16 --data &#39;my pets/it&#39;\\&#39;&#39;s&#39; --epochs 2 --log-steps</code>");
    has(html, "bad.jpg: the file is empty");
    has(html, "waiting for pictures");
    has(html, "conv_stem");
    has(html, "<th scope=\"row\">cat</th><td>2</td><td>4</td>"); // trained on, validated
    assert_true(strstr(html, "2.jpg") < strstr(html, "6.jpg") &&
                strstr(html, "6.jpg") < strstr(html, "9.jpg")); // the surest first
    free(html);
}

// Names that would end an element, an attribute or a field, and bytes that are no UTF-8.
static void test_hostile_names(void **state)
{
    (void)state;
    run_make("evil");
    file_put_text("evil/val_predictions.csv",
                  "path,label,<script>alert(1)</script>,\"a\"\"b,'&c\",\xff\xfe\n"
                  "\"x\"\"><img src=x onerror=alert(1)>.jpg\",<script>alert(1)</script>,0.1,0.9,0\n"
                  "y.jpg,\"a\"\"b,'&c\",0.1,0.1,0.8\nz.jpg,\xff\xfe,0.9,0.1,0\n");
    file_put_text("evil/split.csv", "path,label,split\nq,\xff\xfe,train\n");
    file_put_text("evil/skipped.csv", "path,reason\n</td><script>,\"\x01<b>\"\n");
    file_put_text("evil/args.json", "{\"command\":\"train\",\"data\":\"</code><script>\",\"x\\\"y\":\"z\"}\n");
    char *html = report_of("evil");
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "<img src=x"));
    has(html, "a&quot;b,&#39;&amp;c");
    has(html, "&lt;script&gt;alert(1)&lt;/script&gt;");
    has(html, "\xef\xbf\xbd\xef\xbf\xbd");
    free(html);
}

// A hundred classes are a map, not a table; a class of many gets its row.
static void test_many_classes(void **state)
{
    (void)state;
    struct text t = {0};
    run_make("many");
    text_put(&t, "path,label");
    for (int c = 0; c < 100; c++)
        text_put(&t, ",class %d", c);
    for (int i = 0; i < 300; i++) {
        text_put(&t, "\n%d.jpg,class %d", i, i % 100);
        for (int c = 0; c < 100; c++)
            text_put(&t, ",%g", c == (i % 7 == 0 ? (i + 1) % 100 : i % 100) ? 0.901 : 0.001);
    }
    text_put(&t, "\n");
    file_put_text("many/val_predictions.csv", t.data);
    text_fini(&t);
    char *html = report_of("many");
    has(html, "<title>class 7 taken for class 8: 1</title>");
    has(html, "The other 70 classes");
    has(html, "Top-5 accuracy");
    assert_null(strstr(html, "<table class=\"confusion\">"));
    free(html);
}

// A run without validation; one that died before its first epoch; what is no run.
static void test_parts_missing(void **state)
{
    (void)state;
    static const char *const files[] = {"args.json",   "classes.txt",         "split.csv",
                                        "skipped.csv", "val_predictions.csv", "layers.csv"};
    run_make("part");
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[64];
        snprintf(path, sizeof path, "part/%s", files[i]);
        assert_int_equal(remove(path), 0);
        free(report_of("part"));
    }
    file_put_text("part/events.jsonl",
                  "{\"event\":\"start\",\"network\":\"vgg16\",\"train\":20,\"val\":0,\"classes\":3}\n");
    char *html = report_of("part");
    has(html, "Not finished.");
    has(html, "No epoch has ended yet.");
    free(html);
    file_put_text("part/events.jsonl", "");
    free(report_of("part"));
    file_put_text("part/events.jsonl", "{\"event\":\"epoch\",\"epoch\":1,\"train_loss\":1,\"lr\":0.1,\"seconds\":1}\n");
    html = report_of("part");
    has(html, "without validation");
    free(html);
    assert_int_equal(report_write("nowhere", NULL, NULL), GRAFT_BAD_FILE);
    assert_non_null(strstr(graft_message(), "there is no folder 'nowhere'"));
}

// Every file cut at every byte: a page, or a message; the page always whole.
static void test_cut_files(void **state)
{
    (void)state;
    static const char *const files[] = {"events.jsonl", "args.json",           "classes.txt", "split.csv",
                                        "skipped.csv",  "val_predictions.csv", "layers.csv"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        char path[64];
        run_make("cut");
        snprintf(path, sizeof path, "cut/%s", files[i]);
        char *whole = file_text(path);
        for (size_t size = strlen(whole); size-- > 0;) {
            whole[size] = '\0';
            file_put_text(path, whole);
            if (report_write("cut", "out.html", NULL) == GRAFT_OK) {
                char *html = file_text("out.html");
                html_check(html);
                free(html);
            } else
                assert_int_equal(i, 1); // JSON that is cut has a message; the rest is read as far as it goes
        }
        free(whole);
    }
}

// What could not be read was not trained on; a mistake without a picture is not shown where others have theirs.
static void test_left_out(void **state)
{
    (void)state;
    run_make("left");
    file_put_text("left/split.csv", "path,label,split\na.jpg,cat,train\nb.jpg,cat,train\nbad.jpg,dog,train\n");
    file_put_text("left/events.jsonl", "{\"event\":\"start\",\"network\":\"vgg16\",\"train\":3,\"val\":10}\n");
    file_put_text("left/media/val.csv", "path,label,predicted,file,cam\n6.jpg,dog,cat,val-00.jpg,\n");
    file_put_text("left/media/val-00.jpg", "\xff\xd8\xff\xe0 a picture");
    char *html = report_of("left");
    has(html, "trained on 2 pictures of 3 classes");
    has(html, "alt=\"A picture of dog\"");
    assert_null(strstr(html, "no picture kept"));
    assert_null(strstr(html, "is <b>owl</b>")); // 9.jpg, whose picture was not kept
    free(html);
}

// An epoch that a resumed run repeated counts once, as it came out last.
static void test_epochs_repeated(void **state)
{
    (void)state;
    struct run_data d;
    run_make("again");
    file_put_text(
        "again/events.jsonl",
        "{\"event\":\"start\",\"network\":\"vgg16\"}\n{\"event\":\"epoch\",\"epoch\":1,\"val_log_loss\":3}\n"
        "{\"event\":\"epoch\",\"epoch\":2,\"val_log_loss\":1}\n{\"event\":\"epoch\",\"epoch\":2,\"val_log_loss\":2}\n"
        "no JSON\n{\"event\":\"epoch\",\"epoch\":3,\"val_log_loss\":2.5}\n");
    assert_int_equal(run_data_read("again", &d), GRAFT_OK);
    assert_int_equal(d.n_epochs, 3);
    assert_int_equal(d.best, 1);
    assert_true(d.epochs[1].log_loss == 2);
    assert_int_equal(d.bad_lines, 1);
    run_data_free(&d);
}

static void test_compare(void **state)
{
    (void)state;
    run_make("one/x");
    run_make("two/x");
    file_put_text("two/x/args.json",
                  "{\"command\":\"train\",\"model\":\"vgg16\",\"data\":\"<pets>\",\"epochs\":\"2\"}\n");
    file_put_text(
        "two/x/val_predictions.csv",
        "path,label,cat,dog,owl\n2.jpg,cat,0.9,0.05,0.05\n0.jpg,cat,0.1,0.8,0.1\n6.jpg,dog,0,1,0\nnew.jpg,owl,0,0,1\n");
    if (report_compare((char *[]){(char *)"one/x", (char *)"two/x"}, 2, "c.html") != GRAFT_OK)
        fail_msg("%s", graft_message());
    char *html = file_text("c.html");
    html_check(html);
    has(html, "one/x");                          // both end in x: whole names
    has(html, "<td>3</td><td>2</td><td>1</td>"); // in common; only the best; only the other
    has(html, "<td class=\"words\">&lt;pets&gt;</td>");
    free(html);
    assert_int_equal(report_compare((char *[]){(char *)"one/x", (char *)"nowhere"}, 2, "c.html"), GRAFT_BAD_FILE);
}

static struct memory_table whole;
static long allowed;

static void *alloc_limited(size_t size) { return allowed-- > 0 ? whole.alloc(size) : NULL; }
static void *resize_limited(void *old, size_t size) { return allowed-- > 0 ? whole.resize(old, size) : NULL; }

static graft_status report_with_everything(void)
{
    struct tensorboard *t;
    TRY(report_write("lean", "out.html", NULL));
    TRY(report_compare((char *[]){(char *)"lean", (char *)"lean"}, 2, "c.html"));
    TRY(tensorboard_new("lean", &t));
    const graft_status status = tensorboard_follow(t, true);
    tensorboard_free(t);
    return status;
}

// Memory that runs out at one allocation or another: a message each time, never a page that is not whole.
static void test_memory_runs_out(void **state)
{
    (void)state;
    graft_status status = GRAFT_NO_RESOURCE;
    long k = 0;
    run_make("lean");
    whole = memory;
    for (; status != GRAFT_OK && k < 20000; k += 1 + k / 40) { // later ones repeat what earlier ones do, row by row
        remove("out.html");
        allowed = k;
        memory.alloc = alloc_limited;
        memory.resize = resize_limited;
        status = report_with_everything();
        memory = whole;
        if (status != GRAFT_OK && status != GRAFT_NO_RESOURCE)
            fail_msg("status %d after %ld allocations: %s", (int)status, k, graft_message());
        if (file_exists("out.html")) {
            char *html = file_text("out.html");
            html_check(html);
            free(html);
        }
    }
    assert_int_equal(status, GRAFT_OK);
    assert_true(k > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_intervals),       cmocka_unit_test(test_bootstrap),
                                       cmocka_unit_test(test_html_text),
                                       cmocka_unit_test(test_round_steps),     cmocka_unit_test(test_report),
                                       cmocka_unit_test(test_hostile_names),   cmocka_unit_test(test_many_classes),
                                       cmocka_unit_test(test_parts_missing),   cmocka_unit_test(test_cut_files),
                                       cmocka_unit_test(test_left_out), cmocka_unit_test(test_epochs_repeated),
                                       cmocka_unit_test(test_compare),
                                       cmocka_unit_test(test_memory_runs_out)};
    return cmocka_run_group_tests_name("report", tests, folder_setup, folder_teardown);
}
