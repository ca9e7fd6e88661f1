// fetch/cache.h: private to fetch/: the folder of our own, and what is known of the files used.
// Grammar of FILE.json, in our folder: {"path", "size", "mtime_ns", "SHA-256" or "MD5": hexadecimal}: the file of that
// name that was used, as it was when its digest was last taken.
#pragma once

#include "fetch/fetch.h"

graft_status cache_folder(char **out); // heap; need not exist
// Takes the file's digest, unless size and time say that it is what was checked before (`again`: in any case), and
// compares it with the publisher's, or with the one recorded on first use.  Fills size, kind, digest, publishers.
graft_status cache_check(const char *path, const char *file, bool again, struct found_file *out);
// Records what a check would find, for a file that was checked before it got its place.
graft_status cache_record(const char *path, const char *file, const struct found_file *checked);
