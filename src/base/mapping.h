// base/mapping.h: mapped files that are cut while they are read.  The kernel's answer to a read beyond a file's new end
// is SIGBUS, which would end the process; here it becomes zeros and a mark, and whoever used the bytes asks for the
// mark.
#pragma once

#include "base/bytes.h"

// From now on a missing page of the mapping reads as zeros.  False: too many mappings are open; read the file instead.
bool mapping_guard(void *mapping, size_t size);
void mapping_forget(void *mapping); // before it is unmapped
// Whether what lies there is part of a guarded mapping that has lost pages.  Heap memory is never.
bool mapping_was_cut(const void *at);
