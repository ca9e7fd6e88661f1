// cli/show.c: results for people: a table row or a few lines for each JSON object.

#include "show.h"
#include "progress.h"
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : "";
}
double number_of(const json_t *o, const char *key) { return json_number_value(json_object_get(o, key)); }

// The figures of a fold run are in the log.
static void show_folds(const json_t *o)
{
    const json_t *row;
    size_t i;
    printf(" fold  best_epoch  val_log_loss  val_top1  pictures\n");
    json_array_foreach(json_object_get(o, "fold"), i, row)
        printf("%5.0f  %10.0f  %12.4f  %8.4f  %8.0f\n", number_of(row, "fold"), number_of(row, "best_epoch"),
               number_of(row, "val_log_loss"), number_of(row, "val_top1"), number_of(row, "n"));
    printf(" mean              %12.4f  %8.4f\n", number_of(o, "val_log_loss"), number_of(o, "val_top1"));
    if (json_object_get(o, "oof_log_loss") != NULL)
        printf("  all              %12.4f  %8.4f  %8.0f\n", number_of(o, "oof_log_loss"), number_of(o, "oof_top1"),
               number_of(o, "n"));
}

// The table of epochs, in one of two widths.
static void show_train(const json_t *o)
{
    enum { WHOLE = 92 };
    static bool header;
    if (json_object_get(o, "folds") != NULL) {
        show_folds(o);
        return;
    }
    const bool val = json_object_get(o, "val_log_loss") != NULL, best = json_is_true(json_object_get(o, "best"));
    const int columns = terminal_columns(STDOUT_FILENO);
    const bool narrow = columns > 0 && columns < WHOLE, fold = json_object_get(o, "fold") != NULL;
    if (!header)
        printf("%s", fold ? "fold  " : "");
    if (!header)
        printf(!val ? "epoch  train_loss          lr  images/s  seconds\n"
               : narrow
                   ? "epoch    train  log_loss   top1    time\n"
                   : "epoch  train_loss  val_loss  val_log_loss  val_top1  val_top5          lr  images/s  seconds\n");
    header = true;
    const char *mark = best && val ? "  best" : "";
    printf("%s", best && val ? colour(STDOUT_FILENO, BOLD) : "");
    if (fold)
        printf("%4.0f  ", number_of(o, "fold"));
    if (!val)
        printf("%5.0f  %10.4f  %10.3g  %8.1f  %7.1f", number_of(o, "epoch"), number_of(o, "train_loss"),
               number_of(o, "lr"), number_of(o, "img_s"), number_of(o, "seconds"));
    else if (narrow)
        printf("%5.0f  %7.4f  %8.4f  %5.3f  %6.0f%s", number_of(o, "epoch"), number_of(o, "train_loss"),
               number_of(o, "val_log_loss"), number_of(o, "val_top1"), number_of(o, "seconds"), best ? " *" : "");
    else
        printf("%5.0f  %10.4f  %8.4f  %12.4f  %8.4f  %8.4f  %10.3g  %8.1f  %7.1f%s", number_of(o, "epoch"),
               number_of(o, "train_loss"), number_of(o, "val_loss"), number_of(o, "val_log_loss"),
               number_of(o, "val_top1"), number_of(o, "val_top5"), number_of(o, "lr"), number_of(o, "img_s"),
               number_of(o, "seconds"), mark);
    printf("%s\n", best && val ? colour(STDOUT_FILENO, PLAIN) : "");
}

static void show_lr_find(const json_t *o)
{
    enum { MOST = 4096 };
    static double x[MOST], y[MOST];
    const json_t *rates = json_object_get(o, "lr"), *losses = json_object_get(o, "smoothed");
    const size_t n = json_array_size(rates) < MOST ? json_array_size(rates) : MOST;
    const bool found = json_is_real(json_object_get(o, "suggestion"));
    const double suggestion = number_of(o, "suggestion");
    for (size_t i = 0; i < n; i++) {
        x[i] = log10(json_number_value(json_array_get(rates, i)));
        y[i] = fmin(json_number_value(json_array_get(losses, i)), number_of(o, "top"));
    }
    printf("loss by learning rate (smoothed)\n");
    plot_curve(x, y, n, found ? log10(suggestion) : NAN);
    if (found)
        printf("suggested: --lr %.2g (the loss is lowest at %.2g)\n", suggestion, number_of(o, "lowest"));
    printf("plot: %s\n", text_of(o, "plot"));
}

static void show_predict(const json_t *o)
{
    const json_t *row;
    size_t i;
    printf("%s\n", text_of(o, "path"));
    if (json_is_true(json_object_get(o, "unknown")))
        printf("  unknown; the nearest are\n");
    if (json_object_get(o, "error") != NULL)
        printf("  not read: %s\n", text_of(o, "error"));
    json_array_foreach(json_object_get(o, "top"), i, row)
        printf("  %.3f  %s\n", number_of(row, "prob"), text_of(row, "class"));
}

static void show_val(const json_t *o)
{
    const json_t *row, *classes = json_object_get(o, "per_class");
    size_t i;
    printf("pictures  %.0f (%.0f left out)\nlog-loss  %.4f\ntop-1     %.4f\ntop-5     %.4f\ncalibration error  "
           "%.4f\nBrier     %.4f\n",
           number_of(o, "n"), number_of(o, "skipped"), number_of(o, "log_loss"), number_of(o, "top1"),
           number_of(o, "top5"), number_of(o, "calibration_error"), number_of(o, "brier"));
    const json_t *calibrated = json_object_get(o, "calibrated");
    if (calibrated != NULL)
        printf("calibrated by temperature %.3f: log-loss %.4f, calibration error %.4f, Brier %.4f\n",
               number_of(calibrated, "temperature"), number_of(calibrated, "log_loss"),
               number_of(calibrated, "calibration_error"), number_of(calibrated, "brier"));
    if (json_array_size(classes) > MANY_CLASSES)
        return;
    printf("%-24s %8s %9s %7s %7s\n", "class", "pictures", "precision", "recall", "f1");
    json_array_foreach(classes, i, row)
        printf("%-24s %8.0f %9.4f %7.4f %7.4f\n", text_of(row, "class"), number_of(row, "n"),
               number_of(row, "precision"), number_of(row, "recall"), number_of(row, "f1"));
}

// "keras_version 3.15.1, backend torch"
static void show_texts(const char *title, const json_t *texts)
{
    const char *key, *before = title;
    json_t *value;
    json_object_foreach((json_t *)texts, key, value)
    {
        if (!json_is_string(value))
            continue;
        printf("%s%s %s", before, key, json_string_value(value));
        before = ", ";
    }
    if (before != title)
        printf("\n");
}

static void show_names(const char *title, const json_t *names)
{
    const json_t *name;
    size_t i;
    if (json_array_size(names) == 0)
        return;
    printf("%s", title);
    json_array_foreach(names, i, name)
        if (i < 4)
            printf("%s%s", i > 0 ? ", " : "", json_string_value(name));
    printf(json_array_size(names) > 4 ? ", ... (%zu)\n" : "\n", json_array_size(names));
}

static void show_inspect(const json_t *o)
{
    const json_t *row, *in = json_object_get(o, "preprocessing"), *mean = json_object_get(in, "mean"),
                      *scale = json_object_get(in, "scale");
    size_t i;
    printf("%s\nformat         %s, %.1f MB\n", text_of(o, "file"), text_of(o, "format"), number_of(o, "bytes") / 1e6);
    show_texts("writer         ", json_object_get(o, "writer"));
    if (json_object_get(o, "network") != NULL)
        printf("network        %s (%s), %.0f parameters, %.0f layers\n", text_of(o, "network"), text_of(o, "title"),
               number_of(o, "parameters"), number_of(o, "rows"));
    else
        printf("network        not one graft knows: %s\n", text_of(o, "reason"));
    show_names("missing        ", json_object_get(o, "missing"));
    show_names("classes        ", json_object_get(o, "classes"));
    if (in != NULL)
        printf("a picture      %s to %.0f, %.0f x %.0f, %s, %s, (x - %g %g %g) * %.6g %.6g %.6g\n", text_of(in, "rule"),
               number_of(in, "resize"), number_of(in, "size"), number_of(in, "size"), text_of(in, "filter"),
               text_of(in, "channels"), json_number_value(json_array_get(mean, 0)),
               json_number_value(json_array_get(mean, 1)), json_number_value(json_array_get(mean, 2)),
               json_number_value(json_array_get(scale, 0)), json_number_value(json_array_get(scale, 1)),
               json_number_value(json_array_get(scale, 2)));
    printf("values         %.0f in %zu tensors\n", number_of(o, "values"),
           json_array_size(json_object_get(o, "tensors")));
    json_array_foreach(json_object_get(o, "tensors"), i, row)
        printf("  %-48s %-5s %s\n", text_of(row, "name"), text_of(row, "dtype"), text_of(row, "shape"));
}

static void show_convert(const json_t *o)
{
    printf("%s: %s, %s, %.0f classes, %.0f parameters, %.1f MB\n", text_of(o, "target"), text_of(o, "format"),
           text_of(o, "network"), number_of(o, "classes"), number_of(o, "parameters"), number_of(o, "bytes") / 1e6);
}

static void show_models(const json_t *o)
{
    static bool header;
    if (json_object_get(o, "row") != NULL) {
        if (!header)
            printf("  row  %-32s %-22s %s\n", "name", "weight", "output");
        printf("%5.0f  %-32s %-22s %s\n", number_of(o, "row"), text_of(o, "name"), text_of(o, "weight"),
               text_of(o, "output"));
    } else {
        if (!header)
            printf("%-24s %12s %10s %6s %7s %7s %5s  %s\n", "network", "parameters", "mult-adds", "input", "top-1",
                   "top-5", "here", "publisher, licence");
        char top1[16] = "-", top5[16] = "-"; // no figure with a source
        if (number_of(o, "top1") > 0)
            snprintf(top1, sizeof top1, "%.2f", number_of(o, "top1"));
        if (number_of(o, "top5") > 0)
            snprintf(top5, sizeof top5, "%.2f", number_of(o, "top5"));
        printf("%-24s %12.0f %9.2fG %6.0f %7s %7s %5s  %s, %s\n", text_of(o, "name"), number_of(o, "parameters"),
               number_of(o, "multiply_adds") / 1e9, number_of(o, "size"), top1, top5,
               json_is_true(json_object_get(o, "cached")) ? "yes" : "no", text_of(o, "publisher"),
               text_of(o, "license"));
    }
    header = true;
}

static void show_pull(const json_t *o)
{
    const bool here = json_is_string(json_object_get(o, "path"));
    if (json_object_get(o, "source") != NULL)
        printf("%s  %s  (%.1f MB, %s)\n", text_of(o, "network"), text_of(o, "path"), number_of(o, "bytes") / 1e6,
               text_of(o, "source"));
    else
        printf("%-22s %-5s %s\n%28s %s\n", text_of(o, "network"), here ? "here" : "-",
               text_of(o, "file"), "", text_of(o, here ? "path" : "url"));
}

static void show_bench(const json_t *o)
{
    static bool header;
    if (json_object_get(o, "loader") != NULL) {
        printf("%s: %.0f pictures to %.0fx%.0f, decoded %s, cache %s, %.0f workers: %.1f pictures/s, %.2f ms of a core "
               "each, peak "
               "memory %.0f MiB\n",
               text_of(o, "loader"), number_of(o, "pictures"), number_of(o, "size"), number_of(o, "size"),
               text_of(o, "decode"), text_of(o, "cache"), number_of(o, "workers"), number_of(o, "img_s"),
               number_of(o, "ms"), number_of(o, "rss_mb"));
        return;
    }
    if (json_object_get(o, "layer") != NULL) {
        if (!header)
            printf("%-32s %-11s %-8s %-16s %9s %8s %5s %8s %6s\n", "layer", "operation", "pass", "algorithm", "ms",
                   "GF/s", "peak", "MB", "GB/s");
        header = true;
        printf("%-32s %-11s %-8s %-16s %9.3f %8.1f %4.0f%% %8.2f %6.1f\n",
               text_of(o, "layer")[0] != '\0' ? text_of(o, "layer") : "-", text_of(o, "op"),
               text_of(o, "pass"), text_of(o, "algorithm"), number_of(o, "ms"), number_of(o, "gflop_s"),
               100 * number_of(o, "peak_share"), number_of(o, "mb"), number_of(o, "gb_s"));
        return;
    }
    printf("%s, %s, batch %.0f, %s, %.0f thread%s: %.2f images/s (best %.2f), first step after %.2f s, peak memory "
           "%.0f MiB\n",
           text_of(o, "network"), text_of(o, "mode"), number_of(o, "batch"), text_of(o, "isa"), number_of(o, "threads"),
           number_of(o, "threads") == 1 ? "" : "s",
           number_of(o, "img_s"), number_of(o, "best"), number_of(o, "first_s"), number_of(o, "rss_mb"));
}

static void show_explain(const json_t *o)
{
    printf("%s: %s, %.3f; the picture is %s\n", text_of(o, "path"), text_of(o, "class"), number_of(o, "prob"),
           text_of(o, "output"));
}

static void show_runs(const json_t *o)
{
    static bool header;
    char date[32] = "", epochs[32], top1[16] = "-", loss[16] = "-";
    const time_t begun = (time_t)number_of(o, "begun");
    const int seconds = (int)number_of(o, "seconds");
    struct tm tm;
    if (localtime_r(&begun, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%d %H:%M", &tm);
    if (json_object_get(o, "folds") != NULL)
        snprintf(epochs, sizeof epochs, "%.0f/%.0f f", number_of(o, "folds_done"), number_of(o, "folds"));
    else
        snprintf(epochs, sizeof epochs, "%.0f/%.0f", number_of(o, "epochs"), number_of(o, "of"));
    if (json_object_get(o, "val_top1") != NULL) {
        snprintf(top1, sizeof top1, "%.4f", number_of(o, "val_top1"));
        snprintf(loss, sizeof loss, "%.4f", number_of(o, "val_log_loss"));
    }
    if (!header)
        printf("%-28s %-24s %-9s %7s %8s %9s %9s  %s\n", "run", "network", "state", "epochs", "top-1", "log-loss",
               "time", "begun");
    header = true;
    printf("%-28s %-24s %-9s %7s %8s %9s %3d:%02d:%02d  %s\n", text_of(o, "run"), text_of(o, "network"),
           text_of(o, "state"), epochs, top1, loss, seconds / 3600, seconds / 60 % 60, seconds % 60, date);
}

// Of each member the score over its own pictures and, to compare by, over those that all have predicted.
static void show_ensemble(const json_t *o)
{
    const json_t *row;
    size_t i;
    char common[24];
    snprintf(common, sizeof common, "of %.0f", number_of(o, "n"));
    printf("%8s %8s %9s %8s %9s  %s\n", "weight", "pictures", "log-loss", "top-1",
           json_object_get(o, "n") != NULL ? common : "", "member");
    json_array_foreach(json_object_get(o, "members"), i, row) {
        char whole[64], beside[24] = "-";
        snprintf(whole, sizeof whole, "%8s %9s %8s", "-", "-", "-");
        if (json_object_get(row, "log_loss") != NULL)
            snprintf(whole, sizeof whole, "%8.0f %9.4f %8.4f", number_of(row, "n"), number_of(row, "log_loss"),
                     number_of(row, "top1"));
        if (json_object_get(row, "common_log_loss") != NULL)
            snprintf(beside, sizeof beside, "%.4f", number_of(row, "common_log_loss"));
        printf("%8.4f %s %9s  %s\n", number_of(row, "weight"), whole, beside, text_of(row, "name"));
    }
    if (json_object_get(o, "log_loss") != NULL)
        printf("%8s %8.0f %9.4f %8.4f %9.4f  all, %s\n", "", number_of(o, "n"), number_of(o, "log_loss"),
               number_of(o, "top1"), number_of(o, "log_loss"), text_of(o, "rule"));
    if (number_of(o, "unscored") > 0)
        printf("%.0f pictures that only some members predicted are not scored; \"%s\" is the log-loss over those that "
               "all did\n",
               number_of(o, "unscored"), common);
    if (json_object_get(o, "output") != NULL)
        printf("%s\n", text_of(o, "output"));
}

static void show_features(const json_t *o)
{
    printf("%s: %.0f pictures, %.0f features\n", text_of(o, "output"), number_of(o, "n"), number_of(o, "width"));
}

static void show_svm(const json_t *o)
{
    printf("%s: %.0f pictures, %.0f features, C %g; out of fold: log-loss %.4f, top-1 %.4f\n", text_of(o, "output"),
           number_of(o, "n"), number_of(o, "width"), number_of(o, "c"), number_of(o, "log_loss"), number_of(o, "top1"));
}

static void show_knn(const json_t *o)
{
    printf("%.0f pictures, %.0f neighbours each, median distance %.4g of the first, %.4g of the last\n",
           number_of(o, "n"), number_of(o, "k"), number_of(o, "first"), number_of(o, "last"));
}

static void show_crops(const json_t *o)
{
    printf("%s: boxes of %.0f pictures\n", text_of(o, "output"), number_of(o, "n"));
}

static void show_pseudo(const json_t *o)
{
    const json_t *row;
    size_t i;
    if (json_object_get(o, "chosen") == NULL) { // of a round's training
        show_train(o);
        return;
    }
    json_array_foreach(json_object_get(o, "classes"), i, row)
        printf("%8.0f  %s\n", number_of(row, "n"), text_of(row, "class"));
    printf("%s: %.0f %s labels for %.0f pictures\n", text_of(o, "output"), number_of(o, "chosen"), text_of(o, "labels"),
           number_of(o, "n"));
}

static void show_report(const json_t *o) { printf("%s\n", text_of(o, "report")); }

void show_result(const char *command, const char *json)
{
    static const struct { const char *command; void (*show)(const json_t *); } table[] = {
        {"train", show_train}, {"predict", show_predict}, {"val", show_val},
        {"inspect", show_inspect}, {"convert", show_convert}, {"models", show_models},
        {"pull", show_pull}, {"bench", show_bench}, {"explain", show_explain},
        {"report", show_report}, {"ensemble", show_ensemble}, {"features", show_features},
        {"svm", show_svm}, {"knn", show_knn}, {"pseudo", show_pseudo}, {"crops", show_crops}, {"runs", show_runs},
        {"watch", show_train}, {"data", show_data}, {"lr-find", show_lr_find}};
    json_t *o = json_loads(json, 0, NULL);
    for (size_t i = 0; o != NULL && i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].command, command) == 0)
            table[i].show(o);
    json_decref(o);
    fflush(stdout);
}
