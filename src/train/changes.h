// train/changes.h: what differs between two lists of rows, in a sentence.
#pragma once

#include "base/bytes.h"

// Rows of CSV whose first field is a name.  *out (heap) is "" when they are the same, else such as
// "2 pictures are gone (a.jpg, ...), 1 is other (b.jpg: label)"; `fields` names those after the first, comma-separated.
graft_status changes_of_rows(bytes before, bytes after, const char *fields, char **out);
