// report/report.h: a run folder, or several, as one HTML file without scripts or links to the outside.
#pragma once

#include "base/status.h"

// `out` NULL: report.html in the folder.  Reads nothing but the run folder; writes atomically.
graft_status report_write(const char *folder, const char *out);
// Runs side by side; `out` names the file.
graft_status report_compare(char *const *folders, size_t n, const char *out);
