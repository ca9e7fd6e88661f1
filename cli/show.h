// cli/show.h: results for people.
#pragma once

// Prints one result of `command`, a JSON object, to stdout as text.
void show_result(const char *command, const char *json);
