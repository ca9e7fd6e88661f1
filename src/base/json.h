// base/json.h: jansson, with messages.  Depth and size of hostile input are bounded by the callers' limits and
// jansson's.
#pragma once

#include "base/bytes.h"
#include <jansson.h>

// Refuses duplicate keys, trailing garbage, depth over 64.  `what` names the text in the message.
graft_status json_parse(bytes text, const char *what, json_t **out);
graft_status json_read_file(const char *path, json_t **out);
graft_status json_write_file(const char *path, const json_t *value); // atomic, indented, newline at the end
// The same with numbers of 12 digits: what float and double arithmetic leaves behind them is noise to a reader.
char *json_text_rounded(const json_t *value);
char *json_text(const json_t *value);                                // compact, heap (mem_free); NULL: no memory
