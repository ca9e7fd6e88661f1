// weights/fixture.h: what the tests of weights share.
#pragma once

#include "weights/weights.h" // before cmocka.h, which has a macro fail()
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

const char *golden(const char *name);  // in golden/weights/; one of 4 buffers
const char *scratch(const char *name); // a path of this process
void check_ramp(const struct tensor_set *set, const char *name, enum dtype dtype, struct shape shape, float first);
void read_ok(const char *name, struct tensor_set *set);
// The read fails, leaves the set empty, and its message holds `words`.
void check_refused(graft_status status, const struct tensor_set *set, const char *words);
void bytes_refused(const void *data, size_t size, const char *words);
// Every input of a corpus, fuzz/NAME, of which there are more than `least`, goes through a fuzz target.
void replay(const char *name, size_t least, int (*target)(const uint8_t *data, size_t size));
