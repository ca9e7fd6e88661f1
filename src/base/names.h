// base/names.h: the known name nearest to one that does not exist.
#pragma once

#include <stddef.h>

const char *name_nearest(const char *name, const char *const *known, size_t n); // NULL only when n is 0
