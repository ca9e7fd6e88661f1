// report/runs.h: the runs in a folder, for a table of them; removing one.
#pragma once

#include "report/run_data.h"

enum run_state { RUN_FINISHED, RUN_RUNNING, RUN_STOPPED };
struct run_list {
    struct run_data *items; // events and options only
    size_t n, capacity;
};
// `folder` itself when it is a run, else those in it, up to four folders deep.  A run that cannot be read is a warning.
graft_status run_list_read(const char *folder, struct run_list *out);
void run_list_free(struct run_list *list);
enum run_order {
    BY_DATE,
    BY_NAME,
    BY_TOP1,
    BY_LOG_LOSS,
    BY_TIME
};                                                               // newest, first in the alphabet, best, quickest first
void run_list_sort(struct run_list *list, enum run_order order); // runs without the figure come last
enum run_state run_state_of(const struct run_data *d);
double run_seconds(const struct run_data *d); // that its epochs took
// Removes a run's folder.  Refuses what is no run, one that goes on, and a folder that holds anything a run did not
// write.
graft_status run_remove(const char *folder);
// Bytes of the folder's files.
uint64_t run_bytes(const char *folder);
