// api/options.h: private to api/: the commands (commands.c), and options as set (options.c).
#pragma once

#include "graft.h"
#include "base/json.h"

enum { MAX_OPTIONS = 96 };
struct command {
    const char *name, *alias, *help, *usage, *examples;
    const graft_option_info *options; // ended by a NULL name
    graft_status (*run)(const graft_options *options);
};
struct graft_options {
    const struct command *command;
    char *value[MAX_OPTIONS]; // by the command's table; NULL: not set
    struct { int option; char *text; } *more; // further values of options that may be given several times
    size_t n_more, more_capacity;
    char **inputs;
    size_t n_inputs, capacity;
};
const struct command *command_find(const char *name);
// The value, else the table's default, else NULL.  A switch that is set is "".
const char *option_text(const graft_options *o, const char *name);
// All values of one that may be given several times: *out (mem_free the list, not its texts) holds n >= 0.
graft_status option_texts(const graft_options *o, const char *name, const char ***out, int *n);
graft_status option_long(const graft_options *o, const char *name, long least, long most, long *out);
graft_status option_double(const graft_options *o, const char *name, double least, double most, double *out);
graft_status option_choice(const graft_options *o, const char *name, const char *const *choices,
                           int *out);                        // NULL-ended
bool option_known(const graft_options *o, const char *name); // whether the command has it
bool option_set(const graft_options *o, const char *name);
char *options_json(const graft_options *o); // heap: what is in force
graft_status options_copy(const graft_options *from, const char *const *but, graft_options **out); // NULL-ended
// `given` over what options_json once said: *out has both.  `changes` lists the options given otherwise than kept, but
// for those in `free_names` (NULL-ended).
graft_status options_merge(const graft_options *given, const json_t *kept, const char *const *free_names, char *changes,
                           size_t size, graft_options **out);
// Fails where an option that was given would be ignored beside what `all` has in force.  `kept` (NULL: none): those of
// a run taken up again; what it has already is not given.
graft_status options_go_with(const graft_options *given, const graft_options *all, const json_t *kept);

graft_status run_train(const graft_options *o);
graft_status run_predict(const graft_options *o);
graft_status run_val(const graft_options *o);
graft_status run_ensemble(const graft_options *o);
graft_status run_crops(const graft_options *o);
graft_status run_pseudo(const graft_options *o);
graft_status run_features(const graft_options *o);
graft_status run_svm(const graft_options *o);
graft_status run_knn(const graft_options *o);
graft_status run_inspect(const graft_options *o);
graft_status run_lr_find(const graft_options *o);
graft_status run_convert(const graft_options *o);
graft_status run_data(const graft_options *o);
graft_status run_models(const graft_options *o);
graft_status run_pull(const graft_options *o);
graft_status run_bench(const graft_options *o);
graft_status run_explain(const graft_options *o);
graft_status run_report(const graft_options *o);
graft_status run_runs(const graft_options *o);
graft_status run_watch(const graft_options *o);
