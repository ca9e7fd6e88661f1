// cli/plot.c: a curve in a terminal's characters: Braille dots where the locale is UTF-8, stars elsewhere.

#include "show.h"
#include "progress.h"
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// BETWEEN: dots from a point to the next
enum { ROWS = 12, MOST_COLUMNS = 100, LEAST_COLUMNS = 20, AXIS = 9, PLAIN_COLUMNS = 72, BETWEEN = 128 };
struct canvas { unsigned char dots[ROWS * 4][MOST_COLUMNS * 2]; int columns; bool fine; };

static int columns_here(void)
{
    int columns = terminal_columns(STDOUT_FILENO);
    columns = (columns > 0 ? columns : PLAIN_COLUMNS + AXIS) - AXIS - 1;
    return columns < LEAST_COLUMNS ? LEAST_COLUMNS : columns > MOST_COLUMNS ? MOST_COLUMNS : columns;
}

static void dot(struct canvas *c, double x, double y) // both 0..1
{
    const int w = c->columns * (c->fine ? 2 : 1), h = ROWS * (c->fine ? 4 : 1);
    const int column = (int)(x * (w - 1) + 0.5), row = (int)((1 - y) * (h - 1) + 0.5);
    if (column >= 0 && column < w && row >= 0 && row < h)
        c->dots[row][column] = 1;
}

static void put_cell(const struct canvas *c, int row, int column)
{
    static const unsigned char bits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    int pattern = 0;
    if (!c->fine) {
        putchar(c->dots[row][column] ? '*' : ' ');
        return;
    }
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 2; x++)
            if (c->dots[row * 4 + y][column * 2 + x])
                pattern |= bits[y][x];
    if (pattern == 0)
        putchar(' ');
    else
        printf("\xe2%c%c", 0xa0 | pattern >> 6, 0x80 | (pattern & 0x3f)); // U+2800 and the dots
}

// The x axis under the plot: its ends, and a mark below one place.
static void put_axis(const struct canvas *c, double x0, double x1, double mark)
{
    const int at = isfinite(mark) ? (int)((mark - x0) / (x1 - x0) * (c->columns - 1) + 0.5) : -1;
    printf("%*s+", AXIS - 1, "");
    for (int i = 0; i < c->columns; i++)
        putchar(i == at ? '^' : '-');
    printf("\n%*s%-*.0e%.0e\n", AXIS, "", c->columns - 5, pow(10, x0), pow(10, x1));
}

void plot_curve(const double *x, const double *y, size_t n, double mark)
{
    struct canvas c = {.columns = columns_here()};
    double low = INFINITY, high = -INFINITY;
    setlocale(LC_CTYPE, "");
    c.fine = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    for (size_t i = 0; i < n; i++) {
        low = fmin(low, y[i]);
        high = fmax(high, y[i]);
    }
    if (n < 2 || !(x[n - 1] > x[0]))
        return;
    const double height = high > low ? high - low : 1;
    for (size_t i = 0; i + 1 < n; i++)
        for (int k = 0; k <= BETWEEN; k++) {
            const double share = k / (double)BETWEEN;
            dot(&c, (x[i] + share * (x[i + 1] - x[i]) - x[0]) / (x[n - 1] - x[0]),
                (y[i] + share * (y[i + 1] - y[i]) - low) / height);
        }
    for (int row = 0; row < ROWS; row++) {
        if (row == 0 || row == ROWS - 1)
            printf("%*.3f |", AXIS - 2, row == 0 ? high : low);
        else
            printf("%*s|", AXIS - 1, "");
        for (int column = 0; column < c.columns; column++)
            put_cell(&c, row, column);
        putchar('\n');
    }
    put_axis(&c, x[0], x[n - 1], mark);
}
