// fetch/download.h: private to fetch/: one published file into a folder.
#pragma once

#include "fetch/fetch.h"

// Into FOLDER/FILE, checked and recorded: FILE.part grows under a lock and gets the name when its digest is right.  A
// sound file of that name (another process was faster) is taken as it is, a damaged one replaced; `again` as in
// fetch_request.
graft_status download(const struct published *p, const char *folder, bool again, struct found_file *out);

// What an attempt that failed is followed by; tests shorten it.
struct download_limits {
    int attempts;        // in a row that bring nothing new
    double first_wait, longest_wait; // seconds; doubled from one to the next
};
extern struct download_limits download_limits;
