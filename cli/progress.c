// cli/progress.c: the live line on a terminal, as wide as that is now; colour where it is wanted.

#include "progress.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PLAIN_SECONDS = 10, MOST_PARTS = 8 };
#define REDRAW 0.1 // seconds: an eye sees no more

static bool live, drawn;

// Not the date, which may jump.
static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool dumb(void)
{
    const char *terminal = getenv("TERM");
    return terminal != NULL && strcmp(terminal, "dumb") == 0;
}

void progress_begin(void) { live = isatty(STDERR_FILENO) && !dumb(); }

const char *colour(int stream, const char *code)
{
    const char *no = getenv("NO_COLOR");
    return isatty(stream) && !dumb() && (no == NULL || no[0] == '\0') ? code : "";
}

int terminal_columns(int stream)
{
    struct winsize size;
    return ioctl(stream, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 0;
}

void progress_clear(void)
{
    if (drawn)
        fputs("\r\033[K", stderr);
    drawn = false;
}

// "1:05", "2:01:05"
static void put_time(char *to, size_t size, double seconds)
{
    const int left = seconds > 0 && seconds < 1e8 ? (int)seconds : 0;
    if (left >= 3600)
        snprintf(to, size, "%d:%02d:%02d", left / 3600, left / 60 % 60, left % 60);
    else
        snprintf(to, size, "%d:%02d", left / 60, left % 60);
}

// What a line says: in the order shown, with a rank by which the last go first where the terminal is narrow.
struct line { struct { char text[48]; int rank; } parts[MOST_PARTS]; int n; };

static char *part_new(struct line *line, int rank)
{
    line->parts[line->n].rank = rank;
    return line->parts[line->n++].text;
}
#define PART(rank, ...) snprintf(part_new(line, rank), sizeof line->parts[0].text, __VA_ARGS__)

static void line_of_train(struct line *line, const graft_progress *p)
{
    char left[24];
    put_time(left, sizeof left, p->seconds_left);
    PART(0, "epoch %d/%d", p->epoch, p->epochs);
    PART(4, "step %ld/%ld", p->step, p->steps);
    PART(1, "loss %.4f", p->loss);
    PART(3, "top-1 %.3f", p->accuracy);
    PART(5, "%.1f images/s", p->images_per_second);
    PART(7, "data wait %.0f%%", 100 * p->wait);
    PART(6, "%.0f MB", p->memory / 1e6);
    PART(2, "%s left", p->seconds_left < 0 ? "?" : left);
}

static void line_of_download(struct line *line, const graft_progress *p)
{
    char left[24];
    PART(2, "%.40s:", p->file);
    if (p->bytes_total > 0)
        PART(0, "%.1f of %.1f MB", p->bytes / 1e6, p->bytes_total / 1e6);
    else
        PART(0, "%.1f MB", p->bytes / 1e6);
    PART(1, "%.1f MB/s", p->bytes_per_second / 1e6);
    if (p->seconds_left > 0) {
        put_time(left, sizeof left, p->seconds_left);
        PART(3, "%s left", left);
    }
}

static void line_of_stage(struct line *line, const graft_progress *p)
{
    char left[24];
    PART(0, "%s %ld/%ld", p->stage, p->step, p->steps);
    if (p->images_per_second > 0)
        PART(2, "%.*f images/s", p->images_per_second < 1000, p->images_per_second);
    if (p->loss != 0)
        PART(3, "loss %.4f", p->loss);
    if (p->images_per_second > 0 && p->seconds_left > 0) {
        put_time(left, sizeof left, p->seconds_left);
        PART(1, "%s left", left);
    }
}

// By what was measured: in a stage before an epoch's steps there is no loss.
static void (*line_of(const graft_progress *p))(struct line *, const graft_progress *)
{
    return p->file != NULL ? line_of_download : strcmp(p->stage, "train") == 0 ? line_of_train : line_of_stage;
}

static size_t width_of(const struct line *line)
{
    size_t width = 0;
    for (int i = 0; i < line->n; i++)
        width += strlen(line->parts[i].text) + (i > 0 ? 2 : 0);
    return width;
}

static void drop_last(struct line *line)
{
    int last = 0;
    for (int i = 1; i < line->n; i++)
        if (line->parts[i].rank > line->parts[last].rank)
            last = i;
    for (int i = last; i + 1 < line->n; i++)
        line->parts[i] = line->parts[i + 1];
    line->n--;
}

static void line_put(struct line *line, int columns)
{
    while (line->n > 1 && width_of(line) >= (size_t)columns)
        drop_last(line);
    for (int i = 0; i < line->n; i++)
        fprintf(stderr, "%s%.*s", i > 0 ? "  " : "", columns - 1, line->parts[i].text);
}

// Where nobody watches, a download says every ten seconds that it lives; other work has its epochs and results.
static void plain_progress(const graft_progress *p)
{
    static double said;
    const double now = seconds_now();
    struct line line = {.n = 0};
    if (p->file == NULL || (said != 0 && now < said + PLAIN_SECONDS))
        return;
    if (said != 0) {
        line_of_download(&line, p);
        line_put(&line, 1000);
        fputc('\n', stderr);
    }
    said = now;
}

void progress_show(const graft_progress *p)
{
    static double shown;
    const double now = seconds_now();
    struct line line = {.n = 0};
    if (!live) {
        plain_progress(p);
        return;
    }
    if (drawn && now < shown + REDRAW && p->step != p->steps)
        return;
    shown = now;
    const int columns = terminal_columns(STDERR_FILENO); // asked anew each time: a terminal is resized
    line_of(p)(&line, p);
    progress_clear();
    line_put(&line, columns > 0 ? columns : 80);
    fflush(stderr);
    drawn = true;
}
