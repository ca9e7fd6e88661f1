// cli/progress.c: the live line on a terminal, as wide as that is now; colour where it is wanted.

#include "progress.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PARTS = 8 };
#define REDRAW 0.1          // seconds: an eye sees no more
#define DOWNLOAD_SECONDS 10 // between plain lines, where nobody watches
#define WORK_SECONDS 60     // GRAFT_PROGRESS_SECONDS says otherwise

static bool live, drawn;
static double begun;

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

void progress_begin(void)
{
    live = isatty(STDERR_FILENO) && !dumb();
    begun = seconds_now();
}

// A job in the background may write lines, but another's line, the shell's, is not ours to draw over.
static bool in_background(void)
{
    const pid_t group = tcgetpgrp(STDERR_FILENO);
    return group > 0 && group != getpgrp();
}

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
    if (drawn && !in_background())
        fputs("\r\033[K", stderr);
    drawn = false;
}

void message_put(const char *text, size_t used)
{
    const size_t columns = (size_t)terminal_columns(STDERR_FILENO);
    for (;;) {
        const size_t n = strlen(text), room = columns > used ? columns - used : 0;
        size_t cut = n;
        if (columns > 0 && n > room)
            for (cut = room < n ? room : n; cut > 0 && text[cut] != ' ';)
                cut--;
        if (cut == 0)
            cut = strcspn(text + 1, " ") + 1; // a word longer than the line: the terminal breaks it
        fprintf(stderr, "%.*s\n", (int)cut, text);
        text += cut + strspn(text + cut, " ");
        if (*text == '\0')
            return;
        fputs("  ", stderr);
        used = 2;
    }
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

// Where nobody watches, work says now and then that it lives: an epoch may take hours.
static void plain_progress(const graft_progress *p)
{
    static double said;
    const char *asked = getenv("GRAFT_PROGRESS_SECONDS");
    const double now = seconds_now(), pace = asked != NULL        ? strtod(asked, NULL)
                                             : p->file != NULL ? DOWNLOAD_SECONDS
                                                               : WORK_SECONDS;
    struct line line = {.n = 0};
    if (now < (said != 0 ? said : begun) + pace)
        return;
    line_of(p)(&line, p);
    line_put(&line, 1000);
    fputc('\n', stderr);
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
    if (in_background()) {
        drawn = false;
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
