// infer/described.h: results that are a folder with a JSON file of a given name, which says what else is in the folder.
#pragma once

#include "base/json.h"

bool described_is(const char *path, const char *name); // a folder with that file, or the file
// `take` makes *out of the object; `folder` is where the names in it are.  Its failures name the file.
graft_status described_read(const char *path, const char *name,
                            graft_status (*take)(const json_t *o, const char *folder, void *out), void *out);
