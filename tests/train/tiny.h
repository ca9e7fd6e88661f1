// tests/train/tiny.h: a network of a few hundred parameters trained by train_run in a process of its own, so that a
// whole run takes milliseconds and may be killed at any moment.
#pragma once

#include "train/train.h"

struct recipe tiny_guide(int epochs);
graft_status tiny_model(struct model *m, const struct dataset *d, int freeze); // always the same weights
struct tiny {
    const char *folder;
    int epochs, stop_after;      // stop_after: cancels once so many training steps were seen; 0: never
    double checkpoint_seconds;
    const struct recipe *recipe; // NULL: tiny_guide
    int freeze;                  // rows
    const char *features;        // train_options.features
    bool bf16;
    void (*before)(void *user);  // called in the child before it trains, or NULL
    void (*on_step)(void *user); // after each step
    void *user;
};
// A new process runs it: resumed where the folder is that of a run, else from the start.  Returns the process.
int tiny_start(const struct tiny *t);
// Its exit code: a graft_status; 128 + the signal that killed it.
int tiny_wait(int process);
int tiny_run(const struct tiny *t); // both
void tiny_expect(const struct tiny *t, int code); // runs it; fails the test, with its log, on another code

// A run over and over: a checkpoint after every step; what it comes to undisturbed lies in reference/.
enum { TINY_EPOCHS = 3 };
struct tiny tiny_of(const char *folder);
int tiny_reference(void);             // makes the pictures and the reference; 0
void tiny_clear(const char *folder);  // gone, with all that is in it
bool tiny_long(void);                 // GRAFT_LONG=1: everything is tried, not a part of it
// What a run leaves that must not depend on where it was stopped: compared file by file; fails the test where they
// differ.
void tiny_compare(const char *folder, const char *reference);
