// cli/main.c: the program: command line, help from the library's tables, progress, signals, exit codes.
// Results go to stdout, messages and progress to stderr.  Exit: 0 done, 1 failed, 2 bad option, 3 bad file or data,
// 4 memory or disk, 130 SIGINT, 143 SIGTERM, 129 SIGHUP (the terminal was closed; nohup keeps us deaf to it).

#include "progress.h"
#include "show.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t got_signal;
static const char *command;
static bool json_output, quiet, terminal;

static void on_signal(int number)
{
    if (got_signal) { // asked twice
        if (terminal && write(STDERR_FILENO, "\n", 1) < 0) // the live line is left as it stands
            _exit(1);
        _exit(128 + number);
    }
    got_signal = number;
}

static int cancelled(void *user)
{
    (void)user;
    return got_signal != 0;
}

// Only a person at a terminal can agree.
static int confirm(void *user, const char *question)
{
    char answer[16];
    (void)user;
    progress_clear();
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "%s  There is no terminal to ask at: --yes agrees\n", question);
        return 0;
    }
    fprintf(stderr, "%s [y/N] ", question);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static void on_log(void *user, graft_level level, const char *text)
{
    (void)user;
    if (quiet && level < GRAFT_WARNING)
        return;
    progress_clear();
    if (level == GRAFT_WARNING)
        fprintf(stderr, "%swarning:%s ", colour(STDERR_FILENO, YELLOW), colour(STDERR_FILENO, PLAIN));
    message_put(text, level == GRAFT_WARNING ? strlen("warning: ") : 0);
}

static void on_progress(void *user, const graft_progress *p)
{
    (void)user;
    if (!quiet)
        progress_show(p);
}

// Whoever read our results may have seen enough (| head -1): what goes into files is still wanted, but nothing is said
// any more.
static bool stdout_closed(void)
{
    static bool closed;
    closed |= (ferror(stdout) || fflush(stdout) != 0) && errno == EPIPE;
    return closed;
}

static void on_result(void *user, const char *json)
{
    (void)user;
    if (stdout_closed())
        return;
    progress_clear();
    if (json_output) {
        puts(json);
        fflush(stdout);
    } else
        show_result(command, json);
    stdout_closed();
}

// Of these commands what they print is all that they do, so that a reader who has gone ends them, as any other program.
static bool only_prints(int argc, char **argv)
{
    static const char *const names[] = {"predict", "val", "models", "inspect", "runs", "watch", "bench"};
    bool prints = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        prints |= strcmp(command, names[i]) == 0;
    for (int i = 2; i < argc; i++)
        prints &= strncmp(argv[i], "--csv", 5) != 0 && strncmp(argv[i], "--logits", 8) != 0;
    return prints;
}

static void help_all(void)
{
    printf("graft %s: fine-tune ImageNet networks on your pictures, on the CPU\n\nusage: graft COMMAND [OPTION]...\n\n",
           graft_version());
    for (int i = 0; graft_command_name(i) != NULL; i++)
        printf("  %-10s %s\n", graft_command_name(i), graft_command_help(graft_command_name(i), NULL, NULL));
    printf("\n`graft COMMAND --help` shows a command's options and examples, as does `graft help COMMAND`.\n");
}

enum { HELP_INDENT = 29, HELP_WIDTH = 118 };

// Ends the line, breaking `text` at spaces so that none passes HELP_WIDTH; a word longer than that stays whole.
static void help_text(const char *text)
{
    for (;;) {
        size_t n = strlen(text);
        if (n > HELP_WIDTH - HELP_INDENT)
            for (n = HELP_WIDTH - HELP_INDENT; n > 0 && text[n] != ' ' && text[n - 1] != ',';)
                n--;
        if (n == 0)
            n = strcspn(text, " ");
        printf("%.*s\n", (int)n, text);
        text += n + strspn(text + n, " ");
        if (*text == '\0')
            return;
        printf("%*s", HELP_INDENT, "");
    }
}

static void help_option(const graft_option_info *o)
{
    char left[64], text[1024];
    snprintf(left, sizeof left, "%c%c%s --%s%s%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
             o->letter ? "," : " ", o->name, o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "");
    const bool fallback = o->argument != NULL && o->fallback != NULL;
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s", o->help, fallback ? " [" : "", fallback ? o->fallback : "",
             fallback ? "]" : "", o->aliases != NULL ? " (also --" : "", o->aliases != NULL ? o->aliases : "",
             o->aliases != NULL ? ")" : "");
    if (strlen(left) > HELP_INDENT - 3)
        printf("  %s\n%*s", left, HELP_INDENT, "");
    else
        printf("  %-*s ", HELP_INDENT - 3, left);
    help_text(text);
}

static void help_command(void)
{
    const char *usage, *examples, *help = graft_command_help(command, &usage, &examples);
    printf("graft %s: %s\n\nusage: graft %s %s\n\n", command, help, command, usage);
    const graft_option_info *o;
    for (int i = 0; (o = graft_command_option(command, i)) != NULL; i++) {
        const char *heading = graft_option_heading(command, i);
        if (heading != NULL)
            printf("\n%s:\n", heading);
        help_option(o);
    }
    printf("      %-22s %s\n      %-22s %s\n\nexamples:\n  %s\n", "--json", "results as JSON, one object a line",
           "-q, --quiet", "no messages but warnings", examples);
}

static void message_tell(void)
{
    fputs("graft: ", stderr);
    message_put(graft_message(), strlen("graft: "));
}

static int usage_error(void)
{
    message_tell();
    fprintf(stderr, "Try `graft %s%s--help`.\n", command != NULL ? command : "", command != NULL ? " " : "");
    return GRAFT_BAD_OPTION;
}

static const char *long_name(char letter)
{
    const graft_option_info *o;
    for (int i = 0; (o = graft_command_option(command, i)) != NULL; i++)
        if (o->letter == letter)
            return o->name;
    return NULL;
}

static bool takes_value(const char *name)
{
    const graft_option_info *o;
    for (int i = 0; (o = graft_command_option(command, i)) != NULL; i++)
        if (strcmp(o->name, name) == 0)
            return o->argument != NULL;
    return true; // aliases: all are of options with values
}

// One argument; `*i` moves on when it takes the next one as its value.
static graft_status parse_one(graft_options *options, int argc, char **argv, int *i)
{
    char *arg = argv[*i], name[64];
    const char *value = NULL;
    if (arg[0] != '-' || arg[1] == '\0')
        return graft_options_add_input(options, arg);
    if (arg[1] == '-') {
        const char *equals = strchr(arg, '=');
        snprintf(name, sizeof name, "%.*s", equals != NULL ? (int)(equals - arg - 2) : 60, arg + 2);
        value = equals != NULL ? equals + 1 : NULL;
    } else {
        const char *known = long_name(arg[1]);
        snprintf(name, sizeof name, "%s", known != NULL ? known : arg + 1);
        value = known != NULL && arg[2] != '\0' ? arg + 2 : NULL;
    }
    if (value == NULL && takes_value(name) && *i + 1 < argc)
        value = argv[++*i];
    return graft_options_set(options, name, value);
}

// Threads that wait for each other spin for milliseconds by default, which beside any other busy process costs most of
// the speed (measured: 4 to 28 images/s).  The OpenMP runtime reads its environment before main: set it, start again.
static void wait_briefly(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL)
        return;
    if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0)
        execv("/proc/self/exe", argv); // where it fails we go on, only slower under load
}

// By default large blocks, once freed, make the heap grow by their size and stay: batches and pictures come and go.
static void give_back(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

static bool asks_help(const char *arg) { return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0; }

int main(int argc, char **argv)
{
    wait_briefly(argv);
    give_back();
    const bool help = argc > 1 && strcmp(argv[1], "help") == 0; // `graft help COMMAND`
    const char *name = argc > 1 + help ? argv[1 + help] : NULL;
    if (name == NULL || asks_help(name)) {
        help_all();
        return argc < 2 ? GRAFT_BAD_OPTION : 0;
    }
    if (strcmp(name, "--version") == 0) {
        printf("graft %s\n", graft_version());
        return 0;
    }
    graft_options *options = graft_options_new(name);
    if (options == NULL) {
        fprintf(stderr, "graft: no command '%s'; the commands are", name);
        for (int i = 0; graft_command_name(i) != NULL; i++)
            fprintf(stderr, " %s", graft_command_name(i));
        fputc('\n', stderr);
        return GRAFT_BAD_OPTION;
    }
    command = strcmp(name, "eval") == 0 ? "val" : name;
    bool only_inputs = false;
    if (help) {
        help_command();
        graft_options_free(options);
        return 0;
    }
    for (int i = 2; i < argc; i++) {
        graft_status status = GRAFT_OK;
        if (only_inputs)
            status = graft_options_add_input(options, argv[i]);
        else if (asks_help(argv[i])) {
            help_command();
            graft_options_free(options);
            return 0;
        } else if (strcmp(argv[i], "--json") == 0)
            json_output = true;
        else if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0)
            quiet = true;
        else if (strcmp(argv[i], "--") == 0)
            only_inputs = true;
        else
            status = parse_one(options, argc, argv, &i);
        if (status != GRAFT_OK) {
            graft_options_free(options);
            return usage_error();
        }
    }
    progress_begin();
    terminal = isatty(STDERR_FILENO);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (!only_prints(argc, argv))
        signal(SIGPIPE, SIG_IGN);
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    const graft_hooks hooks = {.log = on_log, .progress = on_progress, .result = on_result, .cancelled = cancelled,
                               .confirm = confirm};
    const graft_status status = graft_run(options, &hooks);
    graft_options_free(options);
    progress_clear();
    if (status == GRAFT_OK)
        return 0;
    if (status == GRAFT_BAD_OPTION)
        return usage_error();
    message_tell();
    return status == GRAFT_CANCELLED ? 128 + (got_signal ? got_signal : SIGINT) : (int)status;
}
