// api/follow.h: private to api/: what follows a run while it goes on: its report, TensorBoard's files, progress.json.
#pragma once

#include "base/log.h"

struct follower {
    char *folder;
    struct tensorboard *tensorboard;
    double next, progress_next;
    bool told;
};
void follower_begin(struct follower *f);                         // taps the progress
void follower_grown(void *user, const char *folder, bool ended); // train_options.grown; `user` is the follower
void follower_end(struct follower *f);
void follower_catch_up(const char *folder); // of a run that has ended: its report, where a kill has left an older one
