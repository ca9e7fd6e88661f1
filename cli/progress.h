// cli/progress.h: what a terminal shows while work goes on.
#pragma once

#include "graft.h"
#include <stddef.h>

void progress_begin(void);
void progress_show(const graft_progress *p);
void progress_clear(void);        // before anything else is written
// A line of text on stderr, whole: on a terminal broken between words.  `used` columns stand before it.
void message_put(const char *text, size_t used);
int terminal_columns(int stream); // 0: not a terminal, or it does not say
// The escape sequence, or "" where the stream is no terminal, a dumb one, or NO_COLOR is set.
const char *colour(int stream, const char *code);
#define BOLD "\033[1m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"
