// tests/exec/sets.c: see sets.h.

#include "sets.h"
#include "base/status.h"
#include "exec/kernels.h"
#include "exec/plan.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

int on_every_set(int (*group)(void))
{
    static const char *const sets[] = {NULL, "AVX2", "plain C"}; // the processor's own, then the lesser ones
    int failed = 0;
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        if (exec_kernels_force(sets[i])) {
            print_message("kernels: %s, %d lanes\n", exec_isa(), exec_lanes());
            failed += group();
        }
    return failed;
}
