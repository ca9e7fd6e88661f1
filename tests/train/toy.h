// tests/train/toy.h: what the tests of training share: a temporary folder, toy data, commands through graft.h.
#pragma once

#include "base/file.h" // before cmocka.h, which has a macro fail()
#include <stddef.h>
#include <stdbool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

enum { TOY_N = 40, TOY_SIDE = 32 };
int toy_setup(void **state);    // a new folder, with the set in it, becomes the working folder
int toy_teardown(void **state); // removes it
// set/x.npy, set/y.npy: `n` pictures of two classes that a network tells apart at once: one red, one blue, with noise.
void toy_set(const char *folder, int n, int side);

struct seen {
    int results, steps, stop_after; // stop_after: cancels once so many training steps were seen; 0: never
    long steps_told;                // of an epoch, by the latest step
    double first_loss, last_loss;   // of training, of the first result and the latest
    char warnings[4096], log[8192]; // every line, each after a newline
    void (*on_step)(int steps);     // or NULL
};
// `arguments`: "name", "value" pairs, NULL-ended; a name of "" is a positional argument, a value of "" a switch.
graft_status toy_run(const char *command, struct seen *seen, const char *const *arguments);
#define RUN(command, seen, ...) toy_run(command, seen, (const char *const[]){__VA_ARGS__, NULL})

char *text_of_file(const char *path);       // heap; fails the test when it cannot be read
int files_named(const char *folder, const char *part); // entries whose name holds `part`
