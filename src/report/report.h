// report/report.h: a run folder, or several, as one HTML file without scripts or links to the outside.
#pragma once

#include "base/json.h"

// What options are where they are not given, beside those in force, `args`: *out, an object that has not all of them.
typedef graft_status (*option_defaults)(const json_t *args, json_t **out);
// `out` NULL: report.html in the folder.  Reads nothing but the run folder; writes atomically.  `defaults` (NULL: none
// is known) need not be said by the command that makes the run again.
graft_status report_write(const char *folder, const char *out, option_defaults defaults);
// Runs side by side; `out` names the file.
graft_status report_compare(char *const *folders, size_t n, const char *out);
