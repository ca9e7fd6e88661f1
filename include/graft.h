// graft.h: fine-tune ImageNet-pretrained convolutional networks on your own pictures, on the CPU.
//
// The only public header.  Every command of the program is one call here: options are set by name (the table that makes
// `--help` is the same), results come back as JSON objects through a callback, and nothing here prints or exits.
//
//     graft_options *options = graft_options_new("predict");
//     graft_options_set(options, "model", "runs/train/model.safetensors");
//     graft_options_add_input(options, "cat.jpg");
//     graft_status status = graft_run(options, &hooks);
//     if (status != GRAFT_OK) fprintf(stderr, "%s\n", graft_message());
//     graft_options_free(options);
//
// Computation runs on OpenMP threads.  Set OMP_WAIT_POLICY=passive or GOMP_SPINCOUNT=1000 before the process starts
// (the program does): with GCC's default, threads spin at barriers and starve beside other busy processes.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined __GNUC__
#define GRAFT_PUBLIC __attribute__((visibility("default")))
#else
#define GRAFT_PUBLIC
#endif

// The values are the program's exit codes.
typedef enum graft_status {
    GRAFT_OK = 0,
    GRAFT_FAILED = 1,     // the work itself failed: a loss that is not a number, an internal error
    GRAFT_BAD_OPTION = 2, // an option or a value that does not exist or does not fit
    GRAFT_BAD_FILE = 3,   // a file or data set that is missing, damaged, or of another kind than expected
    GRAFT_NO_RESOURCE = 4, // our memory or disk ran out
    GRAFT_CANCELLED = 5,  // the `cancelled` hook asked to stop; state was written first
} graft_status;

typedef enum graft_level { GRAFT_DEBUG, GRAFT_INFO, GRAFT_WARNING } graft_level;

// Where a long job is.  Counts start at 1; fields that do not apply are 0.
typedef struct graft_progress {
    const char *stage; // "train", "val", "predict", "crops", "read", "bench", "download"
    int epoch, epochs;
    long step, steps;        // within the epoch or the stage
    double loss;             // mean over the epoch so far
    double images_per_second;
    double seconds_left;     // of the whole job; negative: not known yet
    const char *file;        // "download": what comes, how much of it is here, of how much (0: not known)
    double bytes, bytes_total, bytes_per_second;
    double accuracy;         // "train": of the epoch so far, on the pictures as they were augmented
    double wait;             // "train": share of the epoch's time spent waiting for pictures
    double memory;           // bytes of this process now; 0: not known
} graft_progress;

// Callbacks; any may be NULL.  All are called on the thread that called graft_run.
typedef struct graft_hooks {
    void *user;
    void (*log)(void *user, graft_level level, const char *text);
    void (*progress)(void *user, const graft_progress *progress);
    void (*result)(void *user, const char *json); // one JSON object, no newline inside
    int (*cancelled)(void *user);                 // non-zero: finish the step, write state, return GRAFT_CANCELLED
    int (*confirm)(void *user, const char *question); // before something is lost; non-zero: yes; NULL counts as no
} graft_hooks;

typedef struct graft_options graft_options;

// One option as tables describe it; used by programs that make their own help.
typedef struct graft_option_info {
    const char *name;     // long name without dashes
    char letter;          // short option or 0
    const char *argument; // metavariable of the value, or NULL for a switch
    const char *fallback; // default as text, or NULL
    const char *help;     // one line
    const char *aliases;  // space-separated other spellings, or NULL
    int many;             // non-zero: may be given several times
} graft_option_info;

// `command` is one of graft_command_name(); NULL when it is not, or when memory is out.
GRAFT_PUBLIC graft_options *graft_options_new(const char *command);
GRAFT_PUBLIC void graft_options_free(graft_options *options);
// `name` is a long name or an alias; `value` is NULL for a switch.  GRAFT_BAD_OPTION names the nearest known option.
GRAFT_PUBLIC graft_status graft_options_set(graft_options *options, const char *name, const char *value);
// A positional argument (predict: model then pictures; val: model; inspect: file; models, bench: networks).
GRAFT_PUBLIC graft_status graft_options_add_input(graft_options *options, const char *text);
// Does the work.  Blocks; calls the hooks.
GRAFT_PUBLIC graft_status graft_run(const graft_options *options, const graft_hooks *hooks);

// The message of this thread's last failure: what, where, what to do.  Valid until the next call on this thread.
GRAFT_PUBLIC const char *graft_message(void);
GRAFT_PUBLIC const char *graft_version(void);

// The tables: commands and their options, in the order help shows them.  NULL past the end.
GRAFT_PUBLIC const char *graft_command_name(int index);
GRAFT_PUBLIC const char *graft_command_help(const char *command, const char **usage, const char **examples);
GRAFT_PUBLIC const graft_option_info *graft_command_option(const char *command, int index);
// What help writes above this option and those after it; NULL: nothing new.
GRAFT_PUBLIC const char *graft_option_heading(const char *command, int index);

#ifdef __cplusplus
}
#endif
